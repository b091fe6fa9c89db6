"""A first pass that shares slices between in-plane angles (refinement.md section 15.8).

All poses of one viewing direction see the same slice, turned in its plane. Written in angular
frequencies m and, for each, in few radial functions u, a slice is ``sum p_mj u_mj(r) exp(i m a)``;
turning it by psi multiplies p_mj by ``exp(i m psi)``. The radial functions are the principal ones
of the slices themselves, so that few are needed. Images are not interpolated: what of them matters
is their product with the functions at their own pixels. The score of an image is then, for each
direction and m, a short product over j, and a sum over m for all psi at once
(`kernels.polar_slices`).

Powers of slices are written in the same way. What weighs them is nearly round: even frequencies up
to `_HIGHEST_OF_POWER` tell all that an astigmatic CTF can see.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.ctf import Optics
from vitreous.engine.kernels import packed
from vitreous.engine.kernels.polar_slices import PolarSlices
from vitreous.engine.refinement.disc import disc, tight_index
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.images import View
from vitreous.engine.refinement.references import References

RINGS_PER_PX = 2  # radial samples of a slice
_LOST = 1e-3  # part of the weighted power of all slices that may be left out
_LOST_OF_POWER = 1e-7  # the same of their squares, which are summed over all pixels
_HIGHEST_OF_POWER = 12
_TAPS = 6  # rings that interpolation between them uses
_HAIR_DEG = 1e-6


def harmonics(
    references: References,
    grid: PoseGrid,
    seen: View,
    optics: Optics,
    classes: tuple[int, ...],
    weight: Float[Tensor, " s"],
) -> tuple[PolarSlices, PolarSlices]:
    """Expand the slices of all directions of some classes, and their squares.

    Parameters
    ----------
    references, grid, seen, optics
        As in `coarse.search`; `is_possible` for these.
    classes
        Directions of the classes follow each other.
    weight
        Mean of ``c`` of the images in each shell: what is drowned in noise needs no functions.

    Returns
    -------
    tuple
        Slices and squared slices at the size of the first pass.
    """
    radius = seen.coarse_radius
    n_angles = 2 * math.ceil(2.5 * radius + 8)
    n_rings = RINGS_PER_PX * (radius + _TAPS) + 1
    values = torch.cat(
        [_polar(references, k, grid, seen, optics, n_angles, n_rings) for k in classes]
    )
    few = range(0, min(_HIGHEST_OF_POWER, n_angles // 2 - 1) + 1, 2)
    squares = _angular(torch.view_as_real(values).square().sum(-1), few)
    rings = torch.arange(n_rings, dtype=torch.float64) / RINGS_PER_PX
    area = torch.where(rings <= radius + 0.5, rings.clamp(min=0.25), 0.0) * math.pi / RINGS_PER_PX
    of_ring = weight.double()[rings.round().long().clamp(max=len(weight) - 1)]
    expand = partial(_expanded, radius=radius, n_psi=len(grid.psi_deg))
    return (
        expand(fourier.angular(values), range(n_angles // 2), (area * of_ring).float(), lost=_LOST),
        expand(squares, few, area.float(), lost=_LOST_OF_POWER),
    )


def _angular(half: Float[Tensor, "d a q"], orders: range) -> Complex[Tensor, "m d q"]:
    """Return some angular frequencies of real values that half a turn does not change."""
    n = half.shape[1]
    turns = torch.tensor(orders)[:, None] * torch.arange(n) / (2 * n)
    factor = torch.polar(torch.full_like(turns, 1 / n), -2 * math.pi * turns)
    flat = half.transpose(0, 1).flatten(1)
    of_m = torch.complex(factor.real @ flat, factor.imag @ flat)
    return of_m.view(len(orders), half.shape[0], -1)


def _expanded(
    spectrum: Complex[Tensor, "m d q"],
    orders: range,
    weight: Float[Tensor, " q"],
    *,
    radius: int,
    n_psi: int,
    lost: float,
) -> PolarSlices:
    """Write angular frequencies of all directions in few functions of the radius.

    The functions left out hold no more than a part `lost` of the weighted power, all together.
    """
    n_rings = spectrum.shape[-1]
    packing, index = disc(radius), tight_index(radius)
    kx, ky = packing.kx[index].double(), packing.ky[index].double()
    r, angle = torch.hypot(kx, ky), torch.atan2(ky, kx)
    between = _interpolation(r, n_rings)
    root = weight.sqrt()
    weighted = spectrum * root
    power, vectors = _principal(weighted)
    # Frequencies m and -m count twice as much together as m = 0.
    power = power.clamp(min=0) * torch.tensor([[1.0 if m == 0 else 2.0] for m in orders])
    least = _least(power, lost * float(power.sum()))
    safe = torch.where(root > 0, 1 / root.clamp(min=1e-30), 0.0)
    blocks = []
    for m, of_m, among, axes in zip(orders, weighted, power, vectors, strict=True):
        keep = among > least
        if not bool(keep.any()):
            continue
        chosen = axes[:, keep]
        radial = (chosen * safe[:, None]).conj()
        coefficients = of_m @ chosen.conj().to(torch.complex64)
        functions = (between @ radial) * torch.polar(torch.ones_like(r), -m * angle)[:, None]
        blocks.append((m, functions, coefficients.T * (0.5 if m == 0 else 1.0)))
    return _assembled(blocks, len(r), n_psi)


def _least(power: Float[Tensor, "m q"], lost: float) -> float:
    """Return the greatest power such that all powers not above it add up to no more than `lost`."""
    rising = power.flatten().sort().values
    n = int(torch.searchsorted(rising.cumsum(0), lost, right=True))
    return float(rising[min(n, len(rising) - 1) - 1]) if n else -1.0


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
    lines = packed.gather_lines(source.grid, steps.float(), n_rings, references.grid_radius())
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


def _assembled(blocks: list[tuple[int, Tensor, Tensor]], n_pixels: int, n_psi: int) -> PolarSlices:
    """Put the functions of all frequencies side by side, real parts before imaginary ones."""
    columns: list[list[Tensor]] = [[torch.zeros(n_pixels, 0)], [torch.zeros(n_pixels, 0)]]
    for m, functions, _ in blocks:
        # Products with the whole plane: b + (-1)^m b* is twice the real part of b, or 2 i times
        # the imaginary part.
        twice = 2 * functions if m % 2 == 0 else 2j * functions
        columns[m % 2] += [twice.real.float(), twice.imag.float()]
    return PolarSlices(
        tuple(m for m, _, _ in blocks),
        torch.cat(columns[0], 1),
        torch.cat(columns[1], 1),
        tuple(coefficients.contiguous() for _, _, coefficients in blocks),
        n_psi,
    )


def is_possible(optics: Optics, group: int, grid: PoseGrid) -> bool:
    """Tell whether slices of a direction are turned copies of each other, all the way round."""
    plain = torch.eye(2, dtype=optics.magnification.dtype)
    steps = torch.diff(grid.psi_deg.double()) - 360 / len(grid.psi_deg)
    round_ = len(steps) > 0 and float(steps.abs().max()) < _HAIR_DEG
    return round_ and bool(torch.allclose(optics.magnification[group], plain, atol=1e-9))
