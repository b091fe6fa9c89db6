"""A micrograph made ready for picking, at the coarse sampling that picking works at.

preprocessing.md section 6. The axes of the coarse (work) grid are called v u (uh: half of a
transform), those of the micrograph and of references y x. Sides need not be equal: each is reduced
by itself, so the scale of the two axes may differ a little, and places are counted with that of
each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import filtering, fourier
from vitreous.engine.filtering import low_pass_curve
from vitreous.errors import InputError

OUTLIER_SIGMA = 8.0
LARGEST_PRIME = 43
_PIXELS_TOGETHER = 2**18  # of rows that are gone through while they are in the cache
Shape = tuple[int, int]


@dataclass(frozen=True)
class Coarse:
    """The sampling that picking works at.

    Parameters
    ----------
    full
        Sides ``y x`` of the micrograph in pixels.
    work
        Sides ``y x`` after scaling down; even.
    pixel_size_A
        Of the micrograph.
    """

    full: Shape
    work: Shape
    pixel_size_A: float

    @property
    def scale(self) -> tuple[float, float]:
        """Work pixels over micrograph pixels along x and y."""
        return self.work[1] / self.full[1], self.work[0] / self.full[0]

    def to_micrograph(self, places: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Turn places x y on the work grid into pixels of the micrograph."""
        return places / torch.tensor(self.scale, dtype=places.dtype, device=places.device)


def coarse(
    full: Shape,
    pixel_size_A: float,
    resolution_A: float,
    shrink: float = 0.0,
    *,
    keep_size: bool = False,
) -> Coarse:
    """Choose the sampling.

    Parameters
    ----------
    full
        Sides ``y x`` of the micrograph.
    resolution_A
        Finest detail that matters; not above 0 for no limit.
    shrink
        0: what the resolution allows; up to 1: a fraction; above 1: pixels of the larger side.
    keep_size
        Take sides whose Fourier transform is slow, as they come.
    """
    if not pixel_size_A > 0:
        raise InputError(f"The pixel size is {pixel_size_A:g} A; it must be above 0.")
    sides = []
    for side in full:
        if shrink == 0:
            band = side * pixel_size_A / resolution_A if resolution_A > 0 else side / 2
            wanted = 2 * int(band + 0.5)
        else:
            factor = shrink if shrink <= 1 else shrink / max(full)
            wanted = int(side * factor + 0.5)
        wanted = min(wanted - wanted % 2, side - side % 2)
        sides.append(wanted if keep_size else min(good_size(wanted), side - side % 2))
    if min(sides) < 8:
        raise InputError(
            f"A micrograph of {full[1]} x {full[0]} pixels would be scaled to "
            f"{sides[1]} x {sides[0]}, which is too small to pick from. Check the pixel size "
            f"({pixel_size_A:g} A), the resolution ({resolution_A:g} A) and the shrink factor."
        )
    return Coarse(full, (sides[0], sides[1]), pixel_size_A)


def good_size(wanted: int) -> int:
    """Return the nearest even side whose transform is fast: no prime factor above 43.

    Neither the side nor half of it plus one may have one, as in RELION.
    """
    for distance in range(0, wanted, 2):
        for side in (wanted - distance, wanted + distance):
            if side > 0 and max(_largest_prime(side), _largest_prime(side // 2 + 1)) <= (
                LARGEST_PRIME
            ):
                return side
    return wanted


def normalise(micrograph: Float[Tensor, "y x"]) -> Float[Tensor, "y x"]:
    """Bring a micrograph to mean 0 and deviation 1; what is more than 8 deviations off becomes 0.

    Raises
    ------
    InputError
        All pixels are equal, or some are not numbers.
    """
    double = torch.float64
    n = max(1, micrograph.numel())
    mean = float(micrograph.sum(1).to(double).sum()) / n
    scaled = micrograph - mean
    lengths = torch.linalg.vector_norm(scaled, dim=1).to(double)
    scaled.div_(_deviation(float(lengths.square().sum() / n), mean))
    low, high = torch.aminmax(scaled, dim=1)
    rows = torch.nonzero((high > OUTLIER_SIGMA) | (low < -OUTLIER_SIGMA))[:, 0]
    if len(rows):  # nearly always few
        outer = scaled[rows]
        scaled[rows] = outer.masked_fill(outer.abs() > OUTLIER_SIGMA, 0.0)
    return scaled


def _deviation(variance: float, mean: float) -> float:
    """Return the deviation of pixels; refuse a micrograph that has none."""
    deviation = max(variance, 0.0) ** 0.5 if math.isfinite(variance) else math.nan
    if not math.isfinite(deviation):
        raise InputError("the micrograph has pixels that are not numbers")
    if deviation <= 1e-6 * max(1.0, abs(mean)):
        raise InputError(f"all pixels of the micrograph are equal ({mean:g}): it is empty")
    return deviation


def transform(micrograph: Float[Tensor, "y x"], sampling: Coarse) -> Complex[Tensor, "v uh"]:
    """Return the half transform at the coarse sampling, origin at the centre, divided by pixels."""
    return fourier.cropped_forward(micrograph, sampling.work, 2)


def normalised_transform(
    micrograph: Float[Tensor, "y x"], sampling: Coarse
) -> Complex[Tensor, "v uh"]:
    """Return what `transform` makes of what `normalise` does, going through the pixels once.

    Rows are transformed while they are in the cache, as they are; as a transform is linear, mean
    and deviation are put right in the few frequencies that are kept. Rows with pixels that are
    far off, nearly always few, are transformed again.

    Raises
    ------
    InputError
        All pixels are equal, or some are not numbers.
    """
    ny, nx = micrograph.shape
    about = float(micrograph[0].mean())
    about = about if math.isfinite(about) else 0.0
    step = max(1, _PIXELS_TOGETHER // nx)
    total = squares = 0.0
    rows, ends = [], []
    for start in range(0, ny, step):
        block = micrograph[start : start + step] - about
        total += float(block.sum())
        squares += float(torch.linalg.vector_norm(block)) ** 2
        ends.append([float(end) for end in torch.aminmax(block)])
        rows.append(fourier.row_transforms(block, sampling.work[1]))
    mean = total / micrograph.numel()
    deviation = _deviation(squares / micrograph.numel() - mean**2, about + mean)
    limit = OUTLIER_SIGMA * deviation
    for number, (low, high) in enumerate(ends):
        if low - mean < -limit or high - mean > limit:
            some = slice(number * step, (number + 1) * step)
            block = micrograph[some] - (about + mean)
            near = block.masked_fill(block.abs() > limit, 0.0) + mean
            rows[number] = fourier.row_transforms(near, sampling.work[1])
    joined = torch.cat(rows)
    joined[:, 0] -= mean
    return fourier.cropped_from_rows(joined.div_(deviation), sampling.work)


def high_passed(
    micrograph: Float[Tensor, "y x"], pixel_size_A: float, resolution_A: float
) -> Float[Tensor, "y x"]:
    """Take out what is coarser than a resolution, with a raised-cosine edge of two shells.

    What is taken out has few frequencies: they are found and summed without the others.
    """
    side = max(micrograph.shape)
    keep = low_pass_curve(side, resolution_A, pixel_size_A)
    last = int(side * pixel_size_A / resolution_A + 0.5) + filtering.EDGE_SHELLS
    few = [min(n - n % 2, 2 * (math.ceil(last * n / side) + 1)) for n in micrograph.shape]
    if 4 * max(few) > side or any(n % 2 for n in micrograph.shape):
        filtered = filtering.apply(micrograph, lambda k: 1 - keep(k), 2)
    else:
        index = fourier.indices(few, 2, micrograph.device).to(torch.float64)
        full = torch.tensor(micrograph.shape[::-1], dtype=torch.float64, device=index.device)
        radius = (index / full).square().sum(-1).sqrt()
        low = fourier.cropped_forward(micrograph, few, 2) * keep(radius).to(micrograph.dtype)
        filtered = micrograph - _waves_summed(low, (micrograph.shape[0], micrograph.shape[1]))
    return filtered / filtered.std(correction=0).clamp(min=1e-6)


def _waves_summed(low: Complex[Tensor, "v uh"], shape: Shape) -> Float[Tensor, "y x"]:
    """Return the image of a few frequencies; their conjugates are taken along."""
    ky = fourier.indices((len(low), 2), 2, low.device)[:, 0, 1]
    kx = torch.arange(low.shape[1], device=low.device)
    along_y, along_x = (
        torch.outer(torch.arange(n, device=low.device) - n // 2, k).to(torch.float64) / n
        for n, k in zip(shape, (ky, kx), strict=True)
    )
    twice = torch.where(kx > 0, 2.0, 1.0)
    down = torch.polar(torch.ones_like(along_y), 2 * torch.pi * along_y).to(low.dtype) @ low
    turns = 2 * torch.pi * along_x.T
    cosine, sine = (
        part.to(down.real.dtype) * twice[:, None] for part in (turns.cos(), turns.sin())
    )
    return down.real @ cosine - down.imag @ sine


def shell_radius(sampling: Coarse, device: torch.device) -> Float[Tensor, "v uh"]:
    """Return the frequency of each pixel of a half transform in cycles per micrograph pixel."""
    index = fourier.indices(sampling.work, 2, device).to(torch.float64)
    full = torch.tensor(sampling.full[::-1], dtype=torch.float64, device=device)
    return (index / full).square().sum(-1).sqrt().to(torch.float32)


def _largest_prime(number: int) -> int:
    largest, factor = 1, 2
    while factor * factor <= number:
        while number % factor == 0:
            largest, number = factor, number // factor
        factor += 1
    return max(largest, number)
