"""What every iteration of a refinement reached and took, kept beside its files.

`HISTORY` in the job folder is rewritten after each iteration; a job that goes on reads it and
forgets what came after the iteration that it starts from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from vitreous.engine.refinement import counts
from vitreous.engine.refinement.accuracy import UNKNOWN
from vitreous.engine.refinement.state import State
from vitreous.io.atomic import write_text

HISTORY: Final = "history.json"


@dataclass(frozen=True)
class Iteration:
    """One iteration in numbers.

    Parameters
    ----------
    resolution_A, size_px, coarse_size_px
        Of the references after it; sides of the images in its two passes.
    step_deg, shift_step_A, shift_range_A, is_local
        Steps of its fine pass, and where it searched.
    accuracy_deg, accuracy_A
        None where they were not measured.
    change_deg, change_A, change_class
        Against the iteration before.
    n_particles, n_significant
        Particles that it looked at; coarse hypotheses kept for each, on average.
    particles, class_weight, class_resolution_A
        Of each class: particles assigned to it, its share, its own resolution.
    fsc
        Of the halves, empty where there are none.
    seconds, gflop
        By phase: time, and operations of the scores that it had to make.
    """

    number: int
    resolution_A: float
    size_px: int
    coarse_size_px: int
    step_deg: float
    shift_step_A: float
    shift_range_A: float
    is_local: bool
    is_final: bool
    accuracy_deg: float | None
    accuracy_A: float | None
    change_deg: float
    change_A: float
    change_class: float
    mean_pmax: float
    n_particles: int
    n_significant: float
    particles: tuple[int, ...]
    class_weight: tuple[float, ...]
    class_resolution_A: tuple[float, ...]
    fsc: tuple[float, ...]
    seconds: Mapping[str, float]
    gflop: Mapping[str, float]

    @property
    def total_s(self) -> float:
        """Return the time of all phases."""
        return sum(self.seconds.values())


def measured(state: State, n_particles: int, seconds: Mapping[str, float]) -> Iteration:
    """Put the iteration that made a state into numbers.

    Parameters
    ----------
    state
        After the end of the iteration.
    n_particles
        Particles that it looked at.
    seconds
        Its time by phase; ``coarse`` and ``fine`` are the passes of the expectation step.
    """
    now, sampling, model = state.schedule, state.sampling, state.models[0]
    assigned = state.assignments
    kept = float(assigned.n_significant.mean()) if len(assigned) else 0.0
    search = counts.count(
        sampling, now.coarse_size_px, now.current_size_px, n_classes=model.n_classes
    )
    work = {
        "coarse": n_particles * (search.coarse_flop + search.power_flop) / 1e9,
        "fine": n_particles * search.fine_flop(kept) / 1e9,
    }
    known = now.accuracy_angle_deg < UNKNOWN
    members = [int((assigned.class_ == k).sum()) for k in range(model.n_classes)]
    curve = model.fsc[0].tolist() if bool((model.fsc[0][1:] != 0).any()) else []
    return Iteration(
        number=now.iteration,
        resolution_A=_length_A(now.resolution_per_A),
        size_px=now.current_size_px,
        coarse_size_px=now.coarse_size_px,
        step_deg=sampling.fine_step_deg,
        shift_step_A=sampling.fine_shift_step_A,
        shift_range_A=sampling.shift_range_A,
        is_local=sampling.is_local,
        is_final=now.converged,
        accuracy_deg=now.accuracy_angle_deg if known else None,
        accuracy_A=now.accuracy_shift_A if known else None,
        change_deg=now.changes_angle_deg,
        change_A=now.changes_shift_A,
        change_class=now.changes_class,
        mean_pmax=model.mean_pmax,
        n_particles=n_particles,
        n_significant=kept,
        particles=tuple(members),
        class_weight=tuple(model.class_weight.tolist()),
        class_resolution_A=tuple(model.class_resolution_A.tolist()),
        fsc=tuple(round(value, 5) for value in curve),
        seconds=dict(seconds),
        gflop={name: value for name, value in work.items() if name in seconds},
    )


def write(job_folder: Path, iterations: list[Iteration]) -> None:
    """Keep the iterations in the job folder."""
    write_text(job_folder / HISTORY, json.dumps([asdict(one) for one in iterations]) + "\n")


def read(job_folder: Path, last: int) -> list[Iteration]:
    """Read the iterations up to one; what cannot be read counts as never kept."""
    try:
        found = json.loads((job_folder / HISTORY).read_text())
    except (OSError, ValueError):
        return []
    if not isinstance(found, list):
        return []
    iterations = [_iteration(one) for one in found if isinstance(one, dict)]
    return [one for one in iterations if one is not None and one.number <= last]


def _iteration(values: dict[str, Any]) -> Iteration | None:
    if set(values) != {field.name for field in fields(Iteration)}:
        return None
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    return Iteration(**plain)


def _length_A(per_A: float) -> float:
    return 1 / per_A if per_A > 0 else float("inf")
