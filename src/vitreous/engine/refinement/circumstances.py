"""What new references depend on besides their sums."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vitreous.engine.refinement import schedule, schedule_gradient
from vitreous.engine.refinement.regulariser import Regulariser
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import State


@dataclass(frozen=True)
class Circumstances:
    """What the references of one model depend on besides their sums.

    Parameters
    ----------
    state
        Schedule and sampling of this iteration.
    fsc
        ``k s``, between halves; None where there are none.
    half
        0 or 1; None where data are not split.
    regularise
        Makes maps.
    whole_set
        The sums are of both halves.
    """

    settings: Settings
    state: State
    regularise: Regulariser
    fsc: Float[Tensor, "k s"] | None = None
    half: int | None = None
    whole_set: bool = False

    @property
    def iteration(self) -> int:
        """Return the number of this iteration, from 1."""
        return self.state.schedule.iteration

    @property
    def phase(self) -> schedule_gradient.Phase:
        """Return where a gradient run stands."""
        schedule = self.state.schedule
        return schedule_gradient.phase(schedule.iteration, schedule, self.settings)

    @property
    def is_gradient(self) -> bool:
        """Tell whether references take a step along their gradient."""
        return self.phase is not schedule_gradient.Phase.EM

    @property
    def cross_correlation(self) -> bool:
        """Tell whether this iteration scored by cross-correlation."""
        return schedule.scores_by_correlation(self.state, self.settings)

    @property
    def is_to_be_filtered(self) -> bool:
        """Tell whether references are low-passed again: after a first cross-correlation (3.6)."""
        first = self.settings.firstiter_cc and self.iteration <= 1
        return first and self.settings.low_pass_A > 0
