"""3D initial reference: a first map from particles alone."""

from __future__ import annotations

from vitreous.engine import symmetry
from vitreous.io import write_volume
from vitreous.jobs.context import Run
from vitreous.jobs.initialmodel import InitialModel
from vitreous.programs.align_symmetry import DOUBTFUL, aligned
from vitreous.programs.refine.program import refine


def run(options: InitialModel, run: Run) -> None:
    """Find a map by gradient descent from random orientations, then turn it to its axes."""
    ended = refine(options, run)
    if ended is None:  # another than the first of several ranks
        return
    job, state = ended
    model = state.models[0]
    volume = model.references[int(model.class_weight.argmax())]
    group = options.point_group
    later = options.symmetrise_later and len(symmetry.operators(group)) > 1
    if later:
        with run.phase("Aligning the symmetry axes", 1, "maps") as progress:
            turned = aligned(volume, group, model.pixel_size_A)
            progress.advance()
        volume = turned.volume
        share = 100 * turned.found.score
        run.say(f"{group} explains {share:.1f} % of the variance of the aligned map")
        if turned.found.score < DOUBTFUL:
            run.warn(
                f"{group} explains only {share:.0f} % of the map: it may not have this symmetry, "
                "or the map is wrong. Look at it, and try another seed or more classes"
            )
    write_volume(run.path / "initial_model.mrc", volume.numpy(), job.state.models[0].pixel_size_A)
