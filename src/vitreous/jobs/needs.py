"""Words for what a field wants, and checks that several declarations share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vitreous.errors import Problem
from vitreous.project import node_types

if TYPE_CHECKING:
    from vitreous.jobs.declare import Options, Start

_MADE_BY = {
    node_types.MOVIES: "the movies.star of an Import job",
    node_types.MICROGRAPHS: "the micrographs of a MotionCorr, CtfFind or Select job",
    node_types.COORDINATES: "the coordinates of an AutoPick or ManualPick job",
    node_types.PARTICLES: "the particles of an Extract, Select or Refine3D job",
    node_types.IMAGES_2D: "the class averages of a Select job",
    node_types.OPTIMISER: "the optimiser file of a Class2D, Class3D or Refine3D job",
    node_types.DENSITY_MAP: "a map of an InitialModel, Class3D or Refine3D job, or an imported one",
    node_types.HALF_MAP: "an unfiltered half-map of a Refine3D job",
    node_types.MASK: "the mask.mrc of a MaskCreate job, or an imported one",
    node_types.POSTPROCESS: "the postprocess.star of a PostProcess job",
    node_types.POLISH_PARAMS: "the parameters of a Polish training job",
    node_types.SEQUENCE: "a FASTA file",
}


def wanted_file(node_type: str) -> str:
    """Say in words what a field that reads a node type should be given."""
    return _MADE_BY.get(node_type, f"a file of type {node_type}" if node_type else "a file")


def needed(options: Options, name: str, why: str = "") -> Iterator[Problem]:
    """Yield a problem if an option is empty.

    Parameters
    ----------
    options
        Options of a job.
    name
        Our name of the option.
    why
        What makes it necessary, if it is not always: ``to extract refined particles again``.
    """
    if options.value(name) in ("", None):
        wanted = wanted_file(options.job_type.options[name].reads)
        yield Problem(name, f"is empty; give {wanted}{' ' if why else ''}{why}")


def check_continuation(
    options: Options, start: Start, *, of_iteration: bool = True
) -> Iterator[Problem]:
    """Yield what is wrong with ``continue_from`` of a refinement that goes on.

    Parameters
    ----------
    options
        Options of a refinement.
    start
        How it is started.
    of_iteration
        Whether the name must be that of one iteration: ``run_it017_optimiser.star``.
    """
    if not start.is_continue:
        return
    file = str(options.value("continue_from"))
    if not file:
        none = f"; {start.folder} has none, so start it anew with --overwrite"
        yield Problem(
            "continue_from",
            "is empty; give the run_itNNN_optimiser.star of the iteration to go on from"
            f"{none if start.folder and start.project else ''}",
        )
    elif of_iteration and ("_it" not in file or "_optimiser" not in file):
        yield Problem(
            "continue_from",
            f"is {file}, which is not the optimiser file of an iteration; give one such as "
            "run_it017_optimiser.star",
        )


def run_root(options: Options, start: Start, n_iterations: int | None = None) -> str:
    """Return what the names of a refinement's files begin with: ``run``, or ``run_ct<it>``.

    Parameters
    ----------
    options
        Options of a refinement.
    start
        How it is started; one that goes on keeps the files of before.
    n_iterations
        After which nothing is left to do, and the files of before are the last.
    """
    file = str(options.value("continue_from")).rpartition("/")[2]
    found = re.search(r"^(.*)_it(\d{3,})_optimiser", file)
    if not start.is_continue or not found:
        return "run"
    iteration = int(found[2])
    is_over = n_iterations is not None and iteration >= n_iterations
    return found[1] if is_over else f"run_ct{iteration}"


def check_half_map(options: Options) -> Iterator[Problem]:
    """Yield a problem if the name of ``half_map`` does not tell where the other half is."""
    path = str(options.value("half_map"))
    name = path.rpartition("/")[2]
    if path and "half1" not in name and "half2" not in name:
        yield Problem(
            "half_map",
            f"is {path}, whose name has neither half1 nor half2, so the other half cannot be "
            "found; give an unfiltered half-map of a Refine3D job",
        )
