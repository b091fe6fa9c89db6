"""From accumulated slices to a map (refinement.md sections 7.3 to 7.6).

The map is the Wiener solution ``data / (weight + 1 / (p^d T tau2))`` on the padded grid, without
regularisation ``data / weight``; ``p`` is the padding factor and ``d`` the dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import fourier, grids
from vitreous.engine.keeping import keep_small
from vitreous.engine.projection import (
    Accumulator,
    gridding_correction,
    padded_side,
)

_BLOB_RADIUS = 3.8  # grid steps, whatever the padding


def reconstruct(
    sums: Accumulator,
    *,
    tau2: Float[Tensor, " s"] | None = None,
    first_regularised: int = 5,
    gridding_iterations: int = 0,
) -> Float[Tensor, "*zyx"]:
    """Solve for the map.

    Parameters
    ----------
    sums
        Finished sums (`Accumulator.finish_`).
    tau2
        Power of the signal per shell, already times T; None for no regularisation. Where it is
        zero the weight is multiplied by 1001, as RELION does.
    first_regularised
        Shells below it are not regularised (`minres_map`).
    gridding_iterations
        0 divides by the weights; more (RELION: 10) refines the division by convolving with a
        Kaiser-Bessel blob, which costs two transforms each.

    Returns
    -------
    Tensor
        ``z y x`` (or ``y x``) of the accumulator's box, centred, masked by a soft sphere.
    """
    weight = regularised_weight(sums, tau2, first_regularised)
    if gridding_iterations:
        # Factors of empty points grow without bound; they multiply zeros.
        factors = gridding_weights(weight, sums, gridding_iterations)

        def solved(rows: slice) -> Tensor:
            return (sums.data_rows(rows).to(torch.complex128) * factors[..., rows, :]).to(
                torch.complex64
            )
    else:
        floor = weight_floor(weight, sums.padding)

        def solved(rows: slice) -> Tensor:
            shells = grids.shell_of(weight, sums.padding, rows, floor=True)
            least = floor[shells.clamp_(max=len(floor) - 1)]
            return sums.data_rows(rows) / torch.maximum(weight[..., rows, :], least)

    return from_transform(weight, solved, sums.box_px, sums.padding)


def regularised_weight(
    sums: Accumulator, tau2: Float[Tensor, " s"] | None, first_regularised: int = 5
) -> Float[Tensor, "*grid"]:
    """Return the weight plus the inverse signal power (section 7.5)."""
    weight = sums.weight
    if tau2 is None:
        return weight
    power = tau2.to(torch.float64)
    inverse = torch.where(power > 0, 1 / (sums.padding**sums.ndim * power), 0.0)
    factor = torch.where(power > 0, 1.0, 1001.0)
    inverse[:first_regularised], factor[:first_regularised] = 0, 1
    # One more entry, for shells that the spectrum does not reach: nothing is added there.
    inverse = torch.cat([inverse, inverse.new_zeros(1)]).to(weight.dtype)
    factor = torch.cat([factor, factor.new_ones(1)]).to(weight.dtype)
    result = torch.empty_like(weight, memory_format=torch.contiguous_format)
    for rows in grids.rows_of(weight):
        shells = grids.shell_of(weight, sums.padding, rows).clamp_(max=len(power))
        result[..., rows, :] = weight[..., rows, :] * factor[shells] + inverse[shells]
    return result


def weight_floor(weight: Float[Tensor, "*grid"], padding: float) -> Float[Tensor, " s"]:
    """Return the least weight per shell, a thousandth of its mean, and never zero."""
    n_shells = math.floor((weight.shape[-1] - 2) / padding) + 1
    floor = grids.shell_mean(weight, padding, n_shells, floor=True) / 1000
    return floor.clamp(min=torch.finfo(weight.dtype).tiny).to(weight.dtype)


def gridding_weights(
    weight: Float[Tensor, "*grid"], sums: Accumulator, iterations: int
) -> Float[Tensor, "*grid"]:
    """Find factors g with (g x weight) convolved with the blob equal to 1 (section 7.5).

    The iteration is that of Pipe and Menon, Magn. Reson. Med. 41, 179 (1999).
    """
    radius = weight.shape[-1] - 2
    inside = grids.radius_of(weight) < radius + 1e-4
    factors = inside.to(torch.float64)
    # As in RELION: the array is as wide as the grid with its rim, the blob that of the padded box.
    side, period = 2 * radius + 3, padded_side(sums.box_px, sums.padding)
    window = blob_window(side, sums.ndim, _BLOB_RADIUS, 15.0, period, weight.device)
    scaled = weight.to(torch.float64)
    for _ in range(iterations):
        transform = grids.uncentred((factors * scaled).to(torch.complex128), side)
        real = fourier.inverse(transform, sums.ndim, side) * window
        smoothed = grids.centred(fourier.forward(real, sums.ndim), radius)
        factors = torch.where(inside, factors / smoothed.abs().clamp(min=1e-6), factors)
    return factors


def blob_window(
    side: int,
    ndim: int,
    radius: float,
    alpha: float,
    period: int,
    device: torch.device | str | None = None,
) -> Float[Tensor, "*zyx"]:
    """Return the transform of a Kaiser-Bessel blob of order 0, 1 at the centre.

    Lewitt, J. Opt. Soc. Am. A 7, 1834 (1990), equation A3 with m = 0, in three dimensions; 0
    farther than half a period from the centre. Without that zero the corners of the cube count,
    and maps from few particles differ by percents from RELION's.

    Parameters
    ----------
    side
        Side of the array, centred at ``side // 2``.
    ndim
        Its dimensions.
    radius, alpha
        Radius of the blob in grid steps, and its taper.
    period
        Samples of real space in one turn of one grid step: the side of the padded box.
    """
    total = torch.zeros((), dtype=torch.float64, device=device)
    for axis in range(ndim):
        line = torch.arange(side, device=device, dtype=torch.float64) - side // 2
        total = total + (line**2).reshape([-1] + [1] * axis)
    values = _bessel_three_halves(alpha**2 - (2 * math.pi * radius / period) ** 2 * total)
    window: Tensor = values / _bessel_three_halves(torch.tensor(alpha**2, dtype=torch.float64))
    return torch.where(total <= (period / 2) ** 2, window, 0.0)


def _bessel_three_halves(square: Tensor) -> Tensor:
    """Return I_3/2(x) / x^3/2 for x^2 = `square`, or J_3/2(|x|) / |x|^3/2 where it is negative."""
    x = square.abs().sqrt().clamp(min=1e-4)
    growing = (torch.cosh(x) - torch.sinh(x) / x) / x**2
    waving = (torch.sin(x) / x - torch.cos(x)) / x**2
    return math.sqrt(2 / math.pi) * torch.where(square > 0, growing, waving)


def from_transform(
    like: Tensor, read: Callable[[slice], Complex[Tensor, "*rows"]], box_px: int, padding: float
) -> Float[Tensor, "*zyx"]:
    """Turn a grid of frequencies into a map: the inverse of `projection.projector`.

    Parameters
    ----------
    like
        Gives the shape of the grid, ``z y xh`` or ``y xh``, its precision and device.
    read
        Returns rows of the grid (`grids.to_real`) on the scale of image transforms.
    box_px, padding
        Box of the map and grid steps per frequency.

    Returns
    -------
    Tensor
        The map, its corners replaced through a soft sphere of 3 pixels by the mean outside.
    """
    side = padded_side(box_px, padding)
    volume = grids.to_real(like, read, side, box_px)
    volume /= padding**like.ndim * box_px ** (like.ndim - 2)
    return soft_sphere(volume) / gridding_correction(volume, side)


def soft_sphere(volume: Float[Tensor, "*zyx"], edge_px: float = 3) -> Float[Tensor, "*zyx"]:
    """Fade a map to the mean outside, over `edge_px` beyond the largest sphere that fits."""
    outside = _outside(tuple(volume.shape), volume.dtype, volume.device, edge_px)
    total = outside.sum(dtype=torch.float64)
    background = (outside * volume).sum(dtype=torch.float64) / total.clamp(min=1e-9)
    return torch.lerp(volume, background.to(volume.dtype), outside)


@keep_small(2)
def _outside(
    shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, edge_px: float
) -> Float[Tensor, "*zyx"]:
    """Return how far each voxel is outside the largest sphere: 0 to 1 over the edge."""
    axes = [torch.arange(size, device=device) - size // 2 for size in shape]
    radius2 = (axes[-2][:, None] ** 2 + axes[-1] ** 2).to(dtype)
    if len(shape) == 3:
        radius2 = radius2 + axes[0][:, None, None].to(dtype) ** 2
    depth = radius2.sqrt_().sub_(shape[-1] // 2).div_(edge_px).clamp_(0, 1)
    return depth.mul_(math.pi).cos_().mul_(-0.5).add_(0.5)


def noise_power(sums: Accumulator) -> Float[Tensor, " s"]:
    """Return the noise power of the map per shell, 1 / mean(p^d weight) (section 7.3)."""
    mean = grids.shell_mean(sums.weight, sums.padding, sums.r_max + 1) * sums.padding**sums.ndim
    return torch.where(mean > 0, 1 / mean.clamp(min=1e-300), torch.zeros_like(mean))


def tau2_from_fsc(
    fsc: Float[Tensor, " s"],
    sigma2: Float[Tensor, " s"],
    *,
    fudge: float = 1.0,
    whole_set: bool = False,
) -> Float[Tensor, " s"]:
    """Return the signal power that an FSC between halves implies (section 7.4), times T once.

    Parameters
    ----------
    fsc
        Correlation per shell, clipped here to 0.001 ... 0.999.
    sigma2
        `noise_power` of the map.
    fudge
        T.
    whole_set
        The map is of both halves: the correlation is raised to that of the whole set.
    """
    clipped = fsc.to(torch.float64).clamp(0.001, 0.999)
    if whole_set:
        clipped = (2 * clipped / (1 + clipped)).sqrt()
    n = min(len(clipped), len(sigma2))
    return fudge * clipped[:n] / (1 - clipped[:n]) * sigma2[:n]


def signal_to_noise(
    sums: Accumulator, tau2: Float[Tensor, " s"], fudge: float = 1.0
) -> Float[Tensor, " s"]:
    """Return data versus prior, mean(weight p^d T tau2) per shell (section 7.4)."""
    mean = grids.shell_mean(sums.weight, sums.padding, sums.r_max + 1)
    n = min(len(mean), len(tau2))
    return mean[:n] * sums.padding**sums.ndim * fudge * tau2[:n].to(torch.float64)
