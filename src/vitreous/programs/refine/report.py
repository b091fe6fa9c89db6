"""What a refinement shows while it runs and at its end: plots, headline numbers and the PDF log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from vitreous.engine.refinement import schedule, sizes
from vitreous.engine.refinement.accuracy import UNKNOWN
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import State
from vitreous.jobs.context import Run
from vitreous.programs.pdf_log import write_log
from vitreous.programs.refine import history, plots

LOG_EVERY_S: Final = 300.0  # while it runs; drawing takes seconds
BAD_ACCURACY_DEG: Final = 10.0
PLOTS_EVERY_S: Final = 10.0  # writing takes a tenth of a second, a mini-batch no more


class Report:
    """Shows a refinement in its job folder; only the first of several ranks does.

    Parameters
    ----------
    run
        The job.
    settings
        What was asked for.
    start
        The iteration that a job which goes on starts from; 0 for a new one.
    """

    def __init__(self, run: Run, settings: Settings, start: int = 0) -> None:
        self._run, self._settings = run, settings
        self._iterations = history.read(run.path, start) if start > 0 else []
        self._drawn = time.monotonic()
        self._plotted = float("-inf")

    @property
    def iterations(self) -> tuple[history.Iteration, ...]:
        """All iterations so far, those of an earlier start included."""
        return tuple(self._iterations)

    def add(self, state: State, n_particles: int, seconds: Mapping[str, float]) -> None:
        """Show an iteration that has ended, or leave it to the next where iterations are short.

        Parameters
        ----------
        state
            After its end.
        n_particles
            Particles that it looked at.
        seconds
            Its time by phase; ``coarse`` and ``fine`` are the passes of the expectation step.
        """
        if self._run.rank != 0:
            return
        self._iterations.append(history.measured(state, n_particles, seconds))
        self._warn(state)
        if schedule.writes_files(state, self._settings):
            history.write(self._run.path, self._iterations)
        if time.monotonic() - self._plotted > PLOTS_EVERY_S:
            self._plot(state)
            self._plotted = time.monotonic()
        if time.monotonic() - self._drawn > LOG_EVERY_S:
            write_log(self._run.path)
            self._drawn = time.monotonic()

    def finish(self, state: State) -> None:
        """Hand in the headline numbers and draw the PDF log."""
        if self._run.rank != 0:
            return
        self._headline(state)
        if self._iterations:
            history.write(self._run.path, self._iterations)
            self._plot(state)
        write_log(self._run.path)

    def _warn(self, state: State) -> None:
        """Tell what makes the numbers of an auto-refinement doubtful."""
        now = state.schedule
        if not self._settings.auto_refine:
            return
        if sizes.resolves_beyond_a_gap(state.models[0].ssnr):
            self._run.warn(
                "The signal falls below the noise and comes back at higher resolution, which "
                "counts; look at the FSC",
                f"iteration {now.iteration}",
            )
        if now.converged and now.accuracy_angle_deg > BAD_ACCURACY_DEG:
            self._run.warn(
                f"Orientations are known to {now.accuracy_angle_deg:.3g}° only, so the FSC may "
                "promise too much: look at the map, or classify the particles first"
            )

    def _plot(self, state: State) -> None:
        run, settings, model = self._run, self._settings, state.models[0]
        known, classes = self._iterations, model.n_classes
        curves = plots.fsc(known, model.box_px * model.pixel_size_A)
        if curves is not None:
            run.plot("fsc", "line", "Fourier shell correlation by iteration", curves)
        run.plot("resolution", "line", "Resolution by iteration", plots.resolution(known))
        if curves is None:
            run.plot("signal", "line", "Signal of the references", plots.signal(model))
        if _has_occupancy(settings):
            kind, title, data = self._occupancy()
            run.plot("occupancy", kind, title, data)
        if classes > 1 and settings.ndim == 2:
            sizes = plots.class_sizes(known)
            run.plot("class_sizes", "line", "Sizes of the classes by iteration", sizes)
        run.plot(
            "changes", "line", "Changes of class and orientation by iteration", plots.changes(known)
        )
        run.plot("accuracies", "line", "Accuracies and steps by iteration", plots.accuracies(known))
        if settings.ndim == 3:
            views = plots.directions(state.assignments, state.sampling.point_group)
            run.plot("directions", "image", "Distribution of directions", views)
        run.plot("certainty", "histogram", "Certainty of poses", plots.certainty(state.assignments))
        run.plot("times", "line", "Time and speed by iteration", plots.times(known))
        run.plot("iterations", "table", "Iterations", plots.table(known))

    def _occupancy(self) -> tuple[str, str, plots.Plot]:
        """Return the particles of every class: over iterations where classes are few maps."""
        if self._settings.ndim == 3 and not self._settings.from_nothing:
            title = "Particles in every class by iteration"
            return "line", title, plots.class_sizes(self._iterations)
        return "bar", "Particles in every class", plots.members(self._iterations)

    def _headline(self, state: State) -> None:
        run, settings, now = self._run, self._settings, state.schedule
        model, n_particles = state.models[0], len(state.assignments)
        members = [int((state.assignments.class_ == k).sum()) for k in range(model.n_classes)]
        resolution_A = 1 / now.resolution_per_A if now.resolution_per_A > 0 else float("inf")
        filled = [
            float(length)
            for length, count in zip(model.class_resolution_A, members, strict=True)
            if count > 0
        ]
        if settings.auto_refine:
            run.headline("resolution", resolution_A, "Å", "Final resolution, without a mask")
        elif settings.ndim == 3 and settings.from_nothing:
            best = float(model.class_resolution_A[members.index(max(members))])
            run.headline("resolution", best, "Å", "Resolution of the map")
        else:
            best = min(filled, default=resolution_A)
            run.headline("best_resolution", best, "Å", "Resolution of the best class")
        run.headline("particles", n_particles, label="Particles")
        if settings.ndim == 2:
            run.headline("classes", len(filled), label="Classes with particles")
        elif not settings.auto_refine and not settings.from_nothing:
            share = 100 * max(members) / max(n_particles, 1)
            run.headline("largest_class", share, "%", "Particles in the largest class")
        if settings.auto_refine and now.accuracy_angle_deg < UNKNOWN:
            angle_deg, shift_A = now.accuracy_angle_deg, now.accuracy_shift_A
            run.headline("accuracy_rotation", angle_deg, "°", "Accuracy of orientations")
            run.headline("accuracy_shift", shift_A, "Å", "Accuracy of shifts")


def _has_occupancy(settings: Settings) -> bool:
    """Tell whether a job has classes to count: all but auto-refinement."""
    return not settings.auto_refine
