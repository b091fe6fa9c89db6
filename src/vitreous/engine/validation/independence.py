"""Signs that two half-maps are not independent.

Halves that were refined apart have independent noise: beyond the resolution their correlation
scatters around 0 (the gold standard: Scheres & Chen, Nat. Methods 9, 853 (2012); Henderson et al.,
Structure 20, 205 (2012)). A part p of the noise that both have (particles in both sets, one
reference for both, a filter or a mask that both went through) lifts the curve there to p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import fourier, resolution

TAIL = 0.03
DEVIATIONS = 5.0
FEWEST_SHELLS = 5
RISEN = 0.2
_RUN = 3
_BEYOND = 1.2
_DARK = 1e-6
_INSIDE = 0.45
_SIDE = 64


@dataclass(frozen=True)
class Tail:
    """An unmasked curve beyond the resolution.

    Parameters
    ----------
    first_shell, n_shells
        Where it begins, and how long it is.
    mean, error
        Of the correlation there, and the standard error of that.
    highest
        Largest mean of three shells in a row.
    """

    first_shell: int
    n_shells: int
    mean: float
    error: float
    highest: float

    @property
    def is_lifted(self) -> bool:
        """Whether the correlation is above 0 by more than chance, and by enough to matter."""
        enough = self.n_shells >= FEWEST_SHELLS
        return enough and self.mean > TAIL and self.mean > DEVIATIONS * self.error

    @property
    def rises_again(self) -> bool:
        """Whether the curve comes back after it fell."""
        return self.highest > RISEN


def tail(curve: Float[Tensor, " s"], resolution_shell: int) -> Tail | None:
    """Measure the end of an unmasked curve; None where there is no end without signal.

    It begins where three shells in a row are below 0.143, and well beyond the resolution inside
    the mask: up to there solvent hides signal that an unmasked curve still has a little of.

    Parameters
    ----------
    curve
        Without a mask.
    resolution_shell
        Inside the mask.
    """
    low = (curve[1:] < resolution.THRESHOLD).to(torch.float64)
    if len(low) < _RUN:
        return None
    starts = torch.nonzero(low.unfold(0, _RUN, 1).sum(-1) == _RUN)
    if not len(starts):
        return None
    first = math.ceil(_BEYOND * max(int(starts[0, 0]) + 1, resolution_shell))
    end = curve[first:]
    n = len(end)
    if n < _RUN:
        return None
    error = float(end.std()) / math.sqrt(n)
    return Tail(first, n, float(end.mean()), error, float(end.unfold(0, _RUN, 1).mean(-1).max()))


def filtered_from(volume: Float[Tensor, "z y x"]) -> int | None:
    """Return the shell from which a map holds nothing, None where it is not filtered.

    Only its projection along z is looked at. Correlations of nothing are those of rounding errors.
    """
    power = fourier.shell_mean(fourier.forward(volume.sum(0), 2).abs().double().square(), 2)
    empty = power < _DARK**2 * power.max()
    if not bool(empty[-1]) or bool(empty.all()):
        return None
    return int(torch.nonzero(~empty)[-1, 0]) + 1


def blank_share(first: Float[Tensor, "z y x"], second: Float[Tensor, "z y x"]) -> float:
    """Return the share of a central ball in which both maps have the value of a mask's outside.

    A map that was not masked has noise everywhere; the corners of the box are often blanked and
    are not looked at.
    """
    size = first.shape[0]
    near = slice(
        size // 2 - int(_INSIDE * size), size // 2 + int(_INSIDE * size) + 1, max(1, size // _SIDE)
    )
    line = (torch.arange(size, device=first.device) - size // 2)[near].square()
    ball = line[:, None, None] + line[:, None] + line < (_INSIDE * size) ** 2
    values = [one[near, near, near][ball] for one in (first, second)]
    blank = [one == one.mode().values for one in values]
    return float((blank[0] & blank[1]).double().mean())
