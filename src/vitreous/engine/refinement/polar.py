"""A first pass that shares slices between in-plane angles (refinement.md section 15.8).

All poses of one viewing direction see the same slice, turned in its plane. Written in angular
frequencies m and, for each, in few radial functions u, a slice is ``sum p_mj u_mj(r) exp(i m a)``;
turning it by psi multiplies p_mj by ``exp(i m psi)``. The radial functions are the principal ones
of the slices themselves, so that few are needed. Images are not interpolated: what of them matters
is their product with the functions at their own pixels. The score of an image is then, for each
direction and m, a short product over j, and a sum over m for all psi at once.

With F(-k) = F(k)*, only m >= 0 are needed, and of an image only its real part for even m and its
imaginary part for odd m.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.ctf import Optics
from vitreous.engine.kernels import poses
from vitreous.engine.refinement.disc import disc, tight_index
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.images import View
from vitreous.engine.refinement.references import References

RINGS_PER_PX = 2  # radial samples of a slice
_LOST = 5e-5  # part of the power of all slices that may be left out
_TAPS = 6  # rings that interpolation between them uses


@dataclass(frozen=True)
class Harmonics:
    """Slices of all directions and classes as coefficients of few functions.

    Parameters
    ----------
    order
        ``h``: angular frequency m of each block of functions.
    even, odd
        ``px j`` with real and imaginary parts following each other block by block: functions of
        even and of odd m at the true pixels of the disc.
    coefficients
        Per block ``2 2r d``: what the two parts of an image's products are multiplied by for the
        real and for the imaginary part of a term.
    turning
        ``psi 2h``: sums terms over m for every in-plane angle.
    """

    order: tuple[int, ...]
    even: Float[Tensor, "px a"]
    odd: Float[Tensor, "px b"]
    coefficients: tuple[Float[Tensor, "2 _ d"], ...]
    turning: Float[Tensor, "p h"]

    def select(self, directions: Int64[Tensor, " d"]) -> Harmonics:
        """Return some of the directions."""
        chosen = tuple(values[..., directions].contiguous() for values in self.coefficients)
        return replace(self, coefficients=chosen)

    def terms(
        self, b: Complex[Tensor, "n px"]
    ) -> Iterator[tuple[Float[Tensor, "n r"], Float[Tensor, "2 r d"]]]:
        """Yield the products of images with the functions of each m, and the coefficients."""
        products = {0: b.real @ self.even, 1: b.imag @ self.odd}
        place = {0: 0, 1: 0}
        for m, coefficients in zip(self.order, self.coefficients, strict=True):
            n = coefficients.shape[1]
            first = place[m % 2]
            place[m % 2] += n
            yield products[m % 2][:, first : first + n], coefficients


def harmonics(
    references: References,
    grid: PoseGrid,
    seen: View,
    optics: Optics,
    classes: tuple[int, ...],
    *,
    weight: Float[Tensor, " s"] | None = None,
) -> Harmonics:
    """Expand the slices of all directions of some classes at the size of the first pass.

    Parameters
    ----------
    references, grid, seen, optics
        As in `coarse.search`; the magnification of the optics group must be isotropic.
    classes
        Directions of the classes follow each other.
    weight
        Importance of each shell (signal squared over noise); by default all alike.
    """
    radius = seen.coarse_radius
    n_angles = 2 * math.ceil(2.5 * radius + 8)
    rings = torch.arange(RINGS_PER_PX * (radius + _TAPS) + 1, dtype=torch.float64) / RINGS_PER_PX
    values = torch.cat(
        [_polar(references, k, grid, seen, optics, n_angles, len(rings)) for k in classes]
    )
    spectrum = fourier.angular(values)
    packing = disc(radius)
    index = tight_index(radius)
    kx, ky = packing.kx[index].double(), packing.ky[index].double()
    r, angle = torch.hypot(kx, ky), torch.atan2(ky, kx)
    between = _interpolation(r, len(rings))
    inside = (rings <= radius + 0.5).float() * rings.clamp(min=0.25).float()
    if weight is not None:
        shells = rings.round().long().clamp(max=len(weight) - 1)
        inside = inside * weight[shells].float()
    total = 2 * float((torch.view_as_real(spectrum).square().sum(-1) * inside).sum())
    root = inside.sqrt()
    weighted = spectrum * root
    power, vectors = _principal(weighted)
    safe = torch.where(root > 0, 1 / root.clamp(min=1e-30), 0.0)
    blocks = []
    for m in range(n_angles // 2):
        # Frequencies m and -m count twice as much together as m = 0.
        keep = power[m] > _LOST * total / (len(rings) if m == 0 else 2 * len(rings))
        if not bool(keep.any()):
            continue
        chosen = vectors[m][:, keep]
        radial = (chosen * safe[:, None]).conj()
        coefficients = weighted[m] @ chosen.conj().to(torch.complex64)
        functions = (between @ radial) * torch.polar(torch.ones_like(r), -m * angle)[:, None]
        blocks.append((m, functions, coefficients))
    return _assembled(blocks, grid)


def _polar(
    references: References,
    k: int,
    grid: PoseGrid,
    seen: View,
    optics: Optics,
    n_angles: int,
    n_rings: int,
) -> Complex[Tensor, "d a q"]:
    """Sample the slices of all directions, without in-plane turn, on half a polar grid."""
    n_psi = len(grid.psi_deg)
    first = torch.arange(0, grid.n_rotations, n_psi)
    planes = references.planes(grid.rotations(first), seen, optics).double()
    angle = 2 * torch.pi * torch.arange(n_angles // 2, dtype=torch.float64) / n_angles
    along = torch.stack([angle.cos(), angle.sin()])
    steps = (planes @ along).transpose(1, 2).reshape(-1, planes.shape[1]) / RINGS_PER_PX
    source = references.projectors[k]
    lines = poses.gather_lines(source.grid, steps.float(), n_rings, references.grid_radius())
    return lines.reshape(len(first), n_angles // 2, n_rings)


def _interpolation(r: Float[Tensor, " px"], n_rings: int) -> Complex[Tensor, "px q"]:
    """Return the matrix that interpolates between rings (Lagrange, of fifth degree)."""
    place = r * RINGS_PER_PX
    first = (place.floor().long() - _TAPS // 2 + 1).clamp(min=0, max=n_rings - _TAPS)
    nodes = first[:, None] + torch.arange(_TAPS)
    out = torch.zeros(len(r), n_rings, dtype=torch.complex128)
    for i in range(_TAPS):
        share = torch.ones_like(place)
        for j in range(_TAPS):
            if j != i:
                share = share * (place - nodes[:, j]) / (i - j)
        out[torch.arange(len(r)), nodes[:, i]] = share.to(torch.complex128)
    return out


def _principal(
    weighted: Complex[Tensor, "m d q"],
) -> tuple[Float[Tensor, "m q"], Complex[Tensor, "m q q"]]:
    """Return the power of the principal radial functions of each m, and the functions."""
    gram = (weighted.transpose(1, 2) @ weighted.conj()).to(torch.complex128)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other cost more than small matrices
    try:
        power, vectors = torch.linalg.eigh(gram)
    finally:
        torch.set_num_threads(threads)
    return power, vectors


def _assembled(blocks: list[tuple[int, Tensor, Tensor]], grid: PoseGrid) -> Harmonics:
    """Bring functions and coefficients into the form of real matrix products."""
    columns: dict[int, list[Tensor]] = {0: [], 1: []}
    coefficients, order = [], []
    for m, functions, values in blocks:
        # Products with the whole plane: b + (-1)^m b* is twice the real part of b, or 2 i times
        # the imaginary part.
        twice = 2 * functions if m % 2 == 0 else 2j * functions
        columns[m % 2].append(torch.cat([twice.real, twice.imag], 1))
        re, im = values.real.T, values.imag.T
        coefficients.append(
            torch.stack([torch.cat([re, im]), torch.cat([-im, re])]).float().contiguous()
        )
        order.append(m)
    psi = torch.deg2rad(grid.psi_deg)
    if grid.ndim == 2:
        # All angles of an average are turned from that of its first slice.
        psi = psi - psi[0]
    orders = torch.tensor(order, dtype=torch.float64)
    # Half of the whole plane; m and -m together twice the real part. X exp(-i m psi).
    factor = torch.where(orders == 0, 0.5, 1.0)
    turning = torch.stack(
        [factor * torch.cos(psi[:, None] * orders), factor * torch.sin(psi[:, None] * orders)], -1
    )
    n_pixels = len(blocks[0][1])

    def joined(parts: list[Tensor]) -> Tensor:
        if not parts:
            return torch.zeros(n_pixels, 0)
        return torch.cat(parts, 1).float().contiguous()

    return Harmonics(
        tuple(order), joined(columns[0]), joined(columns[1]), tuple(coefficients),
        turning.reshape(len(psi), -1).float().contiguous(),
    )  # fmt: skip


def is_possible(optics: Optics, group: int) -> bool:
    """Tell whether slices of a direction are turned copies of each other for an optics group."""
    plain = torch.eye(2, dtype=optics.magnification.dtype)
    return bool(torch.allclose(optics.magnification[group], plain, atol=1e-9))


def cross(
    b: Complex[Tensor, "i px"],
    slices: Harmonics,
    out: Float[Tensor, "p i d"],
    terms: Float[Tensor, "h i d"],
) -> None:
    """Fill `out` with Re(b conj P) of every in-plane angle, image and direction.

    Parameters
    ----------
    b
        Images, already shifted: a row for every image and shift.
    slices
        What they are compared with.
    out, terms
        Memory for the result and for what it is summed from.
    """
    row = 0
    for products, coefficients in slices.terms(b):
        torch.mm(products, coefficients[0], out=terms[row])
        torch.mm(products, coefficients[1], out=terms[row + 1])
        row += 2
    torch.mm(slices.turning, terms.flatten(1), out=out.view(len(out), -1))
