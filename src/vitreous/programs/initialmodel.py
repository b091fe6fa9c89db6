"""3D initial reference: a first map from particles alone."""

from __future__ import annotations

from vitreous.engine import symmetry
from vitreous.io import write_volume
from vitreous.jobs.context import Run
from vitreous.jobs.initialmodel import InitialModel
from vitreous.programs.align_symmetry import aligned
from vitreous.programs.refine.program import refine

LIKE_A_BLOB = 5  # a map that is right only to this part of its diameter says little more than that


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
        run.headline("agreement", turned.agreement_A, "Å", f"{group} mates agree to")
        if turned.agreement_A > options.mask_diameter_A / LIKE_A_BLOB:
            run.warn(
                f"The parts of the map that {group} makes equal agree only to "
                f"{turned.agreement_A:.0f} Å (FSC 0.5, before symmetry was imposed): it may not "
                "have this symmetry, or the map is wrong. Look at it, and try more iterations, "
                "another seed or more classes"
            )
    write_volume(run.path / "initial_model.mrc", volume.numpy(), job.state.models[0].pixel_size_A)
