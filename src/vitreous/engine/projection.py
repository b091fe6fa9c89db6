"""Slices of a volume's Fourier transform, and their insertion (refinement.md sections 7.1, 7.2).

A volume (or a 2D class average) is divided by the transform of the interpolation kernel, padded
with zeros, transformed and kept as a grid of frequencies `padding` times finer than those of an
image. A projection is a central slice of it. Insertion is the exact adjoint.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import grids
from vitreous.engine.keeping import keep_small
from vitreous.engine.kernels import packed, symmetrise
from vitreous.engine.kernels import slices as kernels

if TYPE_CHECKING:
    from vitreous.engine.refinement.disc import Disc


@dataclass(frozen=True)
class Projector:
    """A reference ready to be sliced.

    Parameters
    ----------
    grid
        ``z y xh`` (volume) or ``y xh`` (image), see `grids`; values on the scale of image
        transforms.
    box_px
        Side of the reference.
    padding
        Grid steps per image frequency.
    r_max
        Largest image frequency that the grid holds.
    """

    grid: Complex[Tensor, "*grid"]
    box_px: int
    padding: float
    r_max: int


def projector(
    reference: Float[Tensor, "*zyx"],
    padding: float = 2,
    r_max: int | None = None,
    *,
    correct_gridding: bool = True,
) -> Projector:
    """Prepare a volume or an image for slicing.

    Parameters
    ----------
    reference
        ``z y x`` or ``y x``, square, centred at ``size // 2``.
    padding
        Zero padding, 1 or more; 2 is usual.
    r_max
        Largest frequency wanted, in pixels of the image transform; by default Nyquist.
    correct_gridding
        Divide by the transform of the linear interpolation kernel, ``sinc^2``.
    """
    ndim, box = reference.ndim, reference.shape[-1]
    if len(set(reference.shape)) != 1:
        message = f"a reference must be a cube or a square; its shape is {tuple(reference.shape)}"
        raise ValueError(message)
    side = padded_side(box, padding)
    exact = side / box
    r_max = box // 2 if r_max is None else min(r_max, box // 2)
    if correct_gridding:
        reference = reference / gridding_correction(reference, side)
    # The sum along the beam has the box in it, and padding spread it over more samples.
    factor = exact**ndim * box ** (ndim - 2)
    grid = grids.from_real(reference, side, round(exact * r_max), factor)
    return Projector(grid, box, exact, r_max)


def project(
    source: Projector,
    rotations: Float[Tensor, "n c c"],
    size: int | None = None,
    *,
    scale: float = 1.0,
    magnification: Float[Tensor, "2 2"] | None = None,
    curvature_px: float = 0.0,
) -> Complex[Tensor, "n y xh"]:
    """Take central slices.

    Parameters
    ----------
    source
        What to slice.
    rotations
        Pose matrices A (geometry.matrix_from_euler); 2x2 in-plane rotations for images.
    size
        Side of the slices; by default the box of the reference.
    scale, magnification, curvature_px
        Optics of the images, as in `central_planes`.

    Returns
    -------
    Tensor
        Half transforms of the projections; zero beyond the frequencies of the reference.
    """
    size = source.box_px if size is None else size
    planes = central_planes(
        rotations,
        source.padding,
        scale=scale,
        magnification=magnification,
        curvature_px=curvature_px,
    )
    radius = min(source.r_max, size // 2) if scale == 1 else size // 2
    return kernels.gather(source.grid, planes, size, radius, source.padding * source.r_max)


def central_planes(
    rotations: Float[Tensor, "n c c"],
    padding: float,
    *,
    scale: float = 1.0,
    magnification: Float[Tensor, "2 2"] | None = None,
    curvature_px: float = 0.0,
) -> Float[Tensor, "n c m"]:
    """Return the grid coordinates of the unit steps of image frequency (section 1.6).

    Parameters
    ----------
    rotations
        Pose matrices A.
    padding
        Grid steps per frequency of the reference.
    scale
        ``(image box x image pixel size) / (reference box x reference pixel size)``: image
        frequencies are so much finer than those of the reference.
    magnification
        Anisotropic magnification M of the images.
    curvature_px
        Height of the Ewald sphere over ``kx^2 + ky^2``, in steps of image frequency: plus or
        minus wavelength / (2 box x pixel size). 0 for planes.

    Returns
    -------
    Tensor
        ``padding * A'^-1`` without its third column, with ``A' = M^-1 A scale``; on curved
        slices with it, times the curvature.
    """
    planes = rotations.transpose(-1, -2)[..., :2] * (padding / scale)
    if magnification is not None:
        planes = planes @ magnification.to(planes)
    if curvature_px:
        height = rotations.transpose(-1, -2)[..., 2:] * (padding / scale * curvature_px)
        planes = torch.cat([planes, height], -1)
    return planes.contiguous()


class Accumulator:
    """Sums of slices and of their weights: the one thing that grows while particles pass.

    Sums run in float32; after `flush_every` slices they are moved to float64, so that a million
    particles lose no digits. Data sets that never reach that number never pay for it.

    Parameters
    ----------
    box_px
        Side of the reconstruction.
    padding
        Grid steps per frequency.
    r_max
        Largest frequency accumulated; by default Nyquist.
    ndim
        3 for a volume, 2 for an image.
    """

    flush_every = 20_000

    def __init__(
        self,
        box_px: int,
        padding: float = 2,
        r_max: int | None = None,
        *,
        ndim: int = 3,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        self.box_px = box_px
        self.padding = padded_side(box_px, padding) / box_px
        self.r_max = box_px // 2 if r_max is None else min(r_max, box_px // 2)
        self.ndim = ndim
        width = round(self.padding * self.r_max) + 2
        shape = [2 * width - 1] * (ndim - 1) + [width, 4]
        self._grid = torch.zeros(shape, dtype=dtype, device=device)
        self._total: Tensor | None = None
        self._since_flush = 0

    @property
    def grid(self) -> Float[Tensor, "*grid 4"]:
        """Real part, imaginary part and weight along the last axis (the fourth is unused)."""
        self._flush_()
        return self._grid if self._total is None else self._total

    @property
    def data(self) -> Complex[Tensor, "*grid"]:
        """Sum of the slices."""
        return torch.view_as_complex(self.grid[..., :2].contiguous())

    def data_rows(self, rows: slice) -> Complex[Tensor, "*rows"]:
        """Return `data` at some rows of the second-last axis."""
        return torch.view_as_complex(self.grid[..., rows, :, :2].contiguous())

    @property
    def weight(self) -> Float[Tensor, "*grid"]:
        """Sum of the weights."""
        return self.grid[..., 2]

    def add_(
        self,
        values: Complex[Tensor, "n y xh"],
        weights: Float[Tensor, "n y xh"],
        rotations: Float[Tensor, "n c c"],
        *,
        scale: float = 1.0,
        magnification: Float[Tensor, "2 2"] | None = None,
        curvature_px: float = 0.0,
    ) -> None:
        """Insert slices with their weights; pixels of weight 0 or less are left out.

        Parameters
        ----------
        values
            Image transforms, already multiplied by CTF over noise.
        weights
            CTF^2 over noise.
        rotations, scale, magnification, curvature_px
            As for `project`.
        """
        planes = central_planes(
            rotations.to(self._grid.dtype),
            self.padding,
            scale=scale,
            magnification=magnification,
            curvature_px=curvature_px,
        )
        size = values.shape[-2]
        radius = min(self.r_max, size // 2) if scale == 1 else size // 2
        limit = self.padding * self.r_max
        kernels.insert_(self._grid, planes, values, weights, radius, limit)
        self._count_(len(values))

    def add_packed_(
        self,
        values: Float[Tensor, "n m 2"],
        weights: Float[Tensor, "n m"],
        rotations: Float[Tensor, "n 3 3"],
        packing: Disc,
        *,
        scale: float = 1.0,
        magnification: Float[Tensor, "2 2"] | None = None,
    ) -> None:
        """Insert slices whose pixels are packed (`refinement.disc`); see `add_`."""
        if self.ndim == 2:
            packing = packing.to(values.device)
            slices = packing.unpack(torch.view_as_complex(values))
            matrices = rotations[:, :2, :2].to(values.device, torch.float32)
            if magnification is not None:
                magnification = magnification.to(values.device)
            self.add_(
                slices, packing.unpack(weights), matrices, scale=scale, magnification=magnification
            )
            return
        planes = central_planes(
            rotations, self.padding, scale=scale, magnification=magnification
        ).to(self._grid.device, self._grid.dtype)
        limit = self.padding * self.r_max
        packed.insert_packed_(self._grid, planes, values, weights, packing.radius, limit)
        self._count_(len(values))

    def to(self, device: torch.device) -> Accumulator:
        """Return the same sums on another device."""
        moved = copy.copy(self)
        moved._grid = self._grid.to(device)
        moved._total = None if self._total is None else self._total.to(device)
        return moved

    def _count_(self, n: int) -> None:
        """Count slices; after enough of them the sums go on in double precision."""
        self._since_flush += n
        if self._since_flush >= self.flush_every:
            self.use_double_()

    def use_double_(self) -> None:
        """Go on in double precision, as after many slices; ranks that add sums agree on it."""
        if self._total is None:
            self._total = torch.zeros_like(self._grid, dtype=torch.float64)
            self._since_flush = max(1, self._since_flush)
        self._flush_()

    def merge_(self, other: Accumulator) -> None:
        """Add the sums of another accumulator of the same shape."""
        self._flush_()
        (self._grid if self._total is None else self._total).add_(other.grid)

    def finish_(self, operators: Float[Tensor, "g 3 3"] | None = None) -> None:
        """Bring together what is one measurement: Friedel mates, then symmetry mates.

        Parameters
        ----------
        operators
            All operators of the point group, the identity among them; sums are added, not
            averaged (section 7.2).
        """
        grid = self.grid
        grids.fold_friedel_(grid)
        if operators is not None and len(operators) > 1:
            grid.copy_(symmetrise.symmetrise(grid, operators))

    def _flush_(self) -> None:
        if self._total is not None and self._since_flush:
            self._total.add_(self._grid)
            self._grid.zero_()
        self._since_flush = 0


def padded_side(box_px: int, padding: float) -> int:
    """Return the even side of the padded box."""
    return max(2 * round(padding * box_px / 2), box_px)


def gridding_correction(array: Float[Tensor, "*zyx"], side: int) -> Float[Tensor, "*zyx"]:
    """Return ``sinc^2(r / side)``: the real-space image of linear interpolation; not to be changed.

    Parameters
    ----------
    array
        Gives shape, type and device; centred at ``size // 2``.
    side
        Side of the padded box, in pixels.
    """
    return _correction(tuple(array.shape), array.dtype, array.device, side)


@keep_small(2)
def _correction(
    shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, side: int
) -> Float[Tensor, "*zyx"]:
    axes = [torch.arange(size, device=device, dtype=dtype) - size // 2 for size in shape]
    total = axes[-2][:, None] ** 2 + axes[-1] ** 2
    if len(shape) == 3:
        total = total + axes[0][:, None, None] ** 2
    return total.sqrt_().div_(side).sinc_().square_()
