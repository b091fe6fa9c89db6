"""How far an FSC curve may be off: the jackknife over sectors of Fourier space.

A curve from one pair of half-maps has no repetition, but its shells are made of many coefficients.
Leaving out one sector of directions at a time (24 sectors of axes, each far wider than what a mask
makes neighbours alike by) gives the standard error of each value and of the resolution, without
having to know how many coefficients are independent: the block jackknife (Efron & Stein, Ann.
Stat. 9, 586 (1981); Kunsch, Ann. Stat. 17, 1217 (1989)). It holds the noise and the differences
between directions; not what all directions share, such as an error that both halves have.

For independent coefficients the standard error is ``(1 - F^2) / sqrt(2 n)``, n complex
coefficients (Penczek, Methods Enzymol. 482, 73 (2010)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import healpix
from vitreous.engine.geometry import view_direction
from vitreous.engine.validation import cells
from vitreous.engine.validation.cells import CellSums
from vitreous.engine.validation.directional import crossing

_ORDER = 1


@dataclass(frozen=True)
class Spread:
    """A curve with its standard errors.

    Parameters
    ----------
    curve, error
        ``s``
    shell, shell_error
        Where it crosses the threshold, in shells of real number, and the error of that.
    """

    curve: Tensor
    error: Tensor
    shell: float
    shell_error: float


def jackknife(
    sums: CellSums, correct: Callable[[Float[Tensor, " s"]], Float[Tensor, " s"]] | None = None
) -> Spread:
    """Return the curve of whole shells and how far it may be off.

    Parameters
    ----------
    sums
        Of the two maps.
    correct
        What is done to every curve, such as taking out the effect of the mask.
    """
    change = correct or (lambda curve: curve)
    parts = _by_sector(sums)
    whole = [part.sum(0) for part in parts]
    curve = change(cells.correlation(*whole))
    without = torch.stack(
        [
            change(
                cells.correlation(
                    *(all_ - part[sector] for all_, part in zip(whole, parts, strict=True))
                )
            )
            for sector in range(len(parts[0]))
        ]
    )
    reached = torch.tensor([crossing(one) for one in without], dtype=torch.float64)
    return Spread(curve, _error(without), crossing(curve), float(_error(reached[:, None])[0]))


def sectors() -> Tensor:
    """Return the sector of each cell: 24, of equal area, opposite directions in one."""
    pixels = torch.arange(healpix.n_pixels(_ORDER))
    middle = view_direction(healpix.directions(_ORDER, pixels))
    same = (middle @ middle.T).abs() > 1 - 1e-9
    axis = same.to(torch.uint8).argmax(1)
    numbers: Tensor = torch.unique(axis, return_inverse=True)[1]
    return numbers[(cells.directions() @ middle.T).abs().argmax(1)]


def _by_sector(sums: CellSums) -> list[Tensor]:
    of_cell = sectors()
    n_sectors = int(of_cell.max()) + 1
    return [
        torch.zeros(n_sectors, part.shape[1], dtype=part.dtype).index_add(0, of_cell, part.cpu())
        for part in (sums.common, sums.power1, sums.power2)
    ]


def _error(without: Tensor) -> Tensor:
    n = len(without)
    variance: Tensor = (n - 1) / n * (without - without.mean(0)).square().sum(0)
    return variance.sqrt()
