"""How the weights of a reconstruction are spread over shells (refinement.md sections 7.3 to 7.5).

The maximisation rounds a radius to a shell in two ways: to the nearest for powers, downwards for
the floor of the weights. Sums over *half* shells, ``h = floor(2 r / p)``, hold both: the nearest
shell of a point is ``(h + 1) // 2``, the one below it is ``h // 2``. The grid is read once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitreous.engine.kernels import half_shells
from vitreous.engine.projection import Accumulator


@dataclass(frozen=True)
class Weights:
    """Sums of the weights of one reference, on the CPU as all curves are.

    Parameters
    ----------
    total, count
        ``h``: sum of the weights and number of points in each half shell, float64.
    padding, ndim
        Grid steps per shell, dimensions.
    n_shells
        Shells of the accumulator, ``r_max + 1``.
    """

    total: Float[Tensor, " h"]
    count: Float[Tensor, " h"]
    padding: float
    ndim: int
    n_shells: int

    @property
    def volume(self) -> float:
        """Return how many grid points there are to one frequency of an image: ``p^d``."""
        return float(self.padding**self.ndim)

    @property
    def nearest(self) -> Int64[Tensor, " h"]:
        """Return the nearest shell of each half shell, at most the last."""
        return ((self._index + 1) // 2).clamp(max=self.n_shells - 1)

    @property
    def below(self) -> Int64[Tensor, " h"]:
        """Return the shell below each half shell."""
        return self._index // 2

    @property
    def _index(self) -> Tensor:
        return torch.arange(len(self.total), device=self.total.device)

    def mean(self) -> Float[Tensor, " s"]:
        """Return the mean weight of each shell, 0 where there are no points."""
        return self.by_shell(self.total) / self.points().clamp(min=1)

    def points(self) -> Float[Tensor, " s"]:
        """Return the number of points of each shell."""
        return self.by_shell(self.count)

    def noise_power(self) -> Float[Tensor, " s"]:
        """Return the power of the noise in the map, ``1 / mean(p^d weight)`` (section 7.3)."""
        mean = self.mean() * self.volume
        return torch.where(mean > 0, 1 / mean.clamp(min=1e-300), torch.zeros_like(mean))

    def signal_to_noise(self, tau2: Float[Tensor, " t"], fudge: float) -> Float[Tensor, " s"]:
        """Return data versus prior, ``mean(weight) p^d T tau2`` (section 7.4)."""
        tau2 = tau2[: self.n_shells].to(self.total)
        return self.mean()[: len(tau2)] * self.volume * fudge * tau2

    def coverage(self, reached: Float[Tensor, " h"]) -> Float[Tensor, " s"]:
        """Return the share of each shell's points that were reached."""
        return self.by_shell(reached) / self.points().clamp(min=1)

    def coverage_within(self, reached: Float[Tensor, " h"], shell: int) -> float:
        """Return the share of the points within the radius of a shell that were reached."""
        inside = slice(0, max(1, 2 * shell))
        return float(reached[inside].sum() / self.count[inside].sum().clamp(min=1))

    def by_shell(self, values: Float[Tensor, " h"]) -> Float[Tensor, " s"]:
        """Add what belongs to half shells up to their nearest shells."""
        return values.new_zeros(self.n_shells).index_add_(0, self.nearest, values)


def weights_of(sums: Accumulator, grid: Float[Tensor, "*grid 4"] | None = None) -> Weights:
    """Add up the weights of a finished accumulator, or of a grid of its shape."""
    total, count = half_shells.weight_sums(sums.grid if grid is None else grid, sums.padding)
    return Weights(total.cpu(), count.cpu(), sums.padding, sums.ndim, sums.r_max + 1)


def reached(
    grid: Float[Tensor, "*grid 4"], weights: Weights, tau2: Float[Tensor, " s"]
) -> Float[Tensor, " h"]:
    """Count the points with ``weight p^d tau2 >= 1``, where data outweigh the prior.

    Parameters
    ----------
    grid, weights
        Of a finished accumulator.
    tau2
        Power of the signal times T.
    """
    threshold = wiener_tables(weights, tau2)[3]
    return half_shells.count_reached(grid, weights.padding, threshold).cpu()


def wiener_tables(
    weights: Weights, tau2: Float[Tensor, " s"] | None, first_regularised: int = 5
) -> Float[Tensor, "4 h"]:
    """Return what the map with a given signal power needs of each half shell (section 7.5).

    Parameters
    ----------
    weights
        Of the reference.
    tau2
        Power of the signal per shell times T; None for a map that is not regularised. Where it
        is zero the weight is multiplied by 1001.
    first_regularised
        Shells below it are not regularised (`minres_map`).

    Returns
    -------
    Tensor
        Rows ``factor``, ``extra``, ``least``, ``threshold``: data are divided by
        ``max(weight factor + extra, least)``; a point is covered from the weight ``threshold`` on.
    """
    factor = torch.ones_like(weights.total)
    extra, threshold = torch.zeros_like(factor), torch.full_like(factor, torch.inf)
    if tau2 is not None:
        power = torch.nn.functional.pad(tau2.to(weights.total), (0, weights.n_shells))
        power = power[weights.nearest]
        inverse = 1 / (weights.volume * power.clamp(min=1e-300))
        threshold = torch.where(power > 0, inverse, threshold)
        regular = weights.nearest >= first_regularised
        extra = torch.where(regular & (power > 0), inverse, extra)
        factor = torch.where(regular & (power <= 0), 1001.0, factor)
    n = int(weights.below.max()) + 1
    summed = factor.new_zeros(2, n)
    values = torch.stack([factor * weights.total + extra * weights.count, weights.count])
    summed.index_add_(1, weights.below, values)
    tiny = torch.finfo(torch.float32).tiny
    least = (summed[0] / summed[1].clamp(min=1) / 1000).clamp(min=tiny)[weights.below]
    return torch.stack([factor, extra, least, threshold])
