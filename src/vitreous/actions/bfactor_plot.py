"""B-factor plot: refine and post-process subsets of the particles as ordinary jobs.

Each subset is a Select job, a Refine3D job with the options of the given refinement and a
PostProcess job with those of the given post-processing. What was started is written down before it
starts, so that the same call goes on where it was stopped: finished jobs are kept, running ones are
waited for, killed ones go on from their last iteration. Subsets are nested: each holds the smaller
ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitreous.actions.job import Job
from vitreous.actions.planning import Request
from vitreous.errors import ComputeError, InputError, ProjectError
from vitreous.io import read_star
from vitreous.io.atomic import write_text
from vitreous.programs import bfactor_plot, pdf_log
from vitreous.programs.bfactor_plot import Point
from vitreous.project.pipeline import Status
from vitreous.running import record

if TYPE_CHECKING:
    from vitreous.actions.project import Project, Ref

STATE = "bfactor_plot.json"
_HALF = "half1_class001_unfil.mrc"
_SHELL = 1 / math.sqrt(12)  # deviation of what lies anywhere within one shell


@dataclass(frozen=True)
class Wanted:
    """What is plotted.

    Parameters
    ----------
    refinement, postprocess
        The finished jobs of all particles, whose options the subsets take.
    smallest, largest
        Particles of the smallest and (at most) of the largest subset; doubled in between.
    folder
        Of the results, below the project.
    seed
        Of the draw.
    """

    refinement: Ref
    postprocess: Ref
    smallest: int = 100
    largest: int = 10**9
    folder: str = "BfactorPlot"
    seed: int = 1


@dataclass
class _State:
    """What was made so far; by number of particles and type of job."""

    about: dict[str, Any]
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)


def plot(
    project: Project, wanted: Wanted, echo: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Run what is missing, fit the line, write ``results.json`` and ``logfile.pdf``.

    Parameters
    ----------
    project
        The project.
    wanted
        Which jobs, which subsets.
    echo
        Takes a line for every step.

    Returns
    -------
    dict
        As ``results.json`` has it.

    Raises
    ------
    InputError
        The jobs do not fit, or the folder holds a plot of others.
    ComputeError
        A job of a subset failed. The same call tries it again.
    """
    refinement, processed = _sources(project, wanted)
    particles = _particles_of(refinement)
    total = len(read_star(particles)["particles"])
    subsets = bfactor_plot.sizes(wanted.smallest, wanted.largest, total)
    if wanted.smallest < 2 or not subsets:
        raise InputError(
            f"A smallest subset of {wanted.smallest} does not fit {total:,} particles; wanted 2 or "
            "more, and fewer than there are."
        )
    folder = project.root / wanted.folder
    folder.mkdir(parents=True, exist_ok=True)
    state = _read_state(folder, wanted, refinement, processed)
    points = []
    for n in subsets:
        echo(f"{n:,} particles")
        job = _subset(project, n, wanted, state, (refinement, processed), particles, echo)
        points.append(_point(job, n))
        echo(f"  {_text(points[-1])}")
        _write(folder, points)
    points.append(_point(processed, total))
    echo(f"{total:,} particles, all\n  {_text(points[-1])}")
    return _write(folder, points)


def _sources(project: Project, wanted: Wanted) -> tuple[Job, Job]:
    found = []
    for ref, word in ((wanted.refinement, "refine3d"), (wanted.postprocess, "postprocess")):
        job = project.job(ref)
        if not job.type.startswith(f"relion.{word}"):
            raise InputError(f"{job.name} is a {job.type} job; wanted one of type relion.{word}.")
        if job.status is not Status.SUCCEEDED:
            raise InputError(f"{job.name} is {job.status.lower()}; wanted a finished job.")
        found.append(job)
    refinement, processed = found
    if project.root / str(processed.options["half_map"]) not in refinement.outputs.values():
        raise InputError(
            f"{processed.name} works on {processed.options['half_map']}, which is not of "
            f"{refinement.name}. Give the post-processing of that refinement."
        )
    return refinement, processed


def _particles_of(refinement: Job) -> Path:
    for path in refinement.outputs.values():
        if path.name.endswith("_data.star"):
            return path
    raise InputError(f"{refinement.name} has no particles (run_data.star) among its outputs.")


def _read_state(folder: Path, wanted: Wanted, refinement: Job, processed: Job) -> _State:
    about = {"refinement": refinement.name, "postprocess": processed.name, "seed": wanted.seed}
    path = folder / STATE
    if not path.is_file():
        return _State(about)
    try:
        known = json.loads(path.read_text())
        state = _State(known["about"], known["jobs"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: not a list of jobs of a B-factor plot. Remove it.") from None
    if state.about != about:
        raise InputError(
            f"{folder} holds the plot of {state.about.get('refinement')} and "
            f"{state.about.get('postprocess')} with seed {state.about.get('seed')}; give another "
            "folder for this one."
        )
    return state


def _subset(
    project: Project,
    n: int,
    wanted: Wanted,
    state: _State,
    sources: tuple[Job, Job],
    particles: Path,
    echo: Callable[[str], None],
) -> Job:
    """Run the three jobs of a subset, as far as they are not done; return the last."""
    refinement, processed = sources
    relative = str(particles.relative_to(project.root))
    steps: list[tuple[str, Callable[[Job | None], Request]]] = [
        ("select", lambda _: _drawn(relative, n, wanted.seed)),
        ("refine3d", lambda before: _like(refinement, particles=_output(before, "split1.star"))),
        ("postprocess", lambda before: _like(processed, half_map=_output(before, _HALF))),
    ]
    of_subset = state.jobs.setdefault(str(n), {})
    job: Job | None = None
    for word, make in steps:
        known = _known(project, of_subset.get(word))
        if known is None:
            # What is unusual about small subsets is wanted here.
            known = project.make(make(job), on_warning=lambda _: None)
            of_subset[word] = known.name
            _keep(project.root / wanted.folder, state)
        echo(f"  {known.name}")
        _finish(project, known)
        job = known
    assert job is not None
    return job


def _drawn(particles: str, n: int, seed: int) -> Request:
    """Ask for the first `n` of the particles in an order that only the seed decides."""
    values = {
        "particles": particles,
        "split": True,
        "shuffle": True,
        "subset_size": n,
        "n_subsets": 1,
        "other_arguments": f"--random_seed {seed}",
    }
    return Request("select", values, schedule=True)


def _like(job: Job, **values: str) -> Request:
    """Ask for a job with the options of another, and some of its own."""
    return Request(None, values, from_file=job.path, schedule=True)


def _known(project: Project, name: str | None) -> Job | None:
    """Return a job that was made before; None where it is gone."""
    if name is None:
        return None
    try:
        return project.job(name)
    except ProjectError:
        return None


def _finish(project: Project, job: Job) -> None:
    """Start a job or go on with it, and wait for its end."""
    status = job.status
    if status is Status.SUCCEEDED:
        return
    if status is Status.SCHEDULED:
        project.start(job)
    elif status is not Status.RUNNING:
        goes_on = any(job.path.glob("run_*_optimiser.star"))
        how: dict[str, Any] = {"continue_job" if goes_on else "overwrite": job.name}
        project.run(background=True, **how)
    if job.wait() is Status.FAILED and _never_started(job):
        project.run(background=True, overwrite=job.name)
    if job.wait() is not Status.SUCCEEDED:
        lines = [line for line in job.log(err=True).splitlines() if line.strip()]
        told = f": {lines[-1]}" if lines else ""
        message = (
            f"{job.name} {job.status.lower()}{told} Mend what is wrong and call the same command "
            "again: it goes on there."
        )
        raise ComputeError(message)


def _never_started(job: Job) -> bool:
    """Tell whether a job has never had a process: whoever was to start it was killed."""
    found = record.read_process(job.path)
    return found is not None and not found.pid and not found.queue_id


def _output(job: Job | None, ending: str) -> str:
    assert job is not None
    job.project.refresh()
    found = [path for path in job.outputs.values() if path.name.endswith(ending)]
    if not found:
        raise InputError(f"{job.name} has no output …{ending}.")
    return str(found[-1].relative_to(job.project.root))


def _point(processed: Job, n: int) -> Point:
    """Read the resolution of a post-processing, and how sure it is."""
    curve = read_star(processed.path / "postprocess.star")["fsc"]
    resolutions_A = [float(value) for value in curve["rlnAngstromResolution"]]
    side_A, finest_A = resolutions_A[1], resolutions_A[-1]
    value = processed.results.get("resolution")
    if not isinstance(value, int | float):
        return Point(n, math.inf, math.inf)
    resolution_A = float(value)
    within_shell_A = _SHELL * resolution_A**2 / side_A
    told = processed.results.get("resolution_error")
    sampling_A = float(told) if isinstance(told, int | float) else 0.0
    error_A = math.hypot(within_shell_A, sampling_A)
    return Point(n, resolution_A, error_A, limited=resolution_A < 1.0001 * finest_A)


def _text(point: Point) -> str:
    if not math.isfinite(point.resolution_A):
        return "no resolution"
    limited = ", the limit of the pixels" if point.limited else ""
    return f"{point.resolution_A:.2f} ± {point.error_A:.2f} Å{limited}"


def _keep(folder: Path, state: _State) -> None:
    text = json.dumps({"about": state.about, "jobs": state.jobs}, indent=1)
    write_text(folder / STATE, text + "\n")


def _write(folder: Path, points: list[Point]) -> dict[str, Any]:
    """Write results and picture of the points that there are."""
    line = bfactor_plot.fit(points)
    headline = [{"name": "points", "value": len(points), "unit": "", "label": "Subsets"}]
    warnings = []
    if line:
        for name, value, label in (
            ("bfactor", line.b_factor_A2, "B-factor of data and processing"),
            ("bfactor_error", line.b_error_A2, "Standard error of the B-factor"),
        ):
            headline.append({"name": name, "value": value, "unit": "Å²", "label": label})
        if line.slope <= 0:
            warnings.append(
                "Resolution does not improve with more particles: there is no B-factor."
            )
    if any(point.limited for point in points):
        warnings.append("Resolutions at the limit of the pixels are not fitted.")
    plots = []
    for name, kind, title, data in (
        ("bfactor", "line", "B-factor plot", bfactor_plot.plot(points, line)),
        ("resolutions", "table", "Resolutions", bfactor_plot.table(points, line)),
    ):
        file = record.write_plot(folder, name, data)
        axes = data.get("axes")
        plots.append({"name": name, "kind": kind, "title": title, "axes": axes, "data": file})
    results: dict[str, Any] = {
        "headline": headline,
        "timing": [],
        "plots": plots,
        "warnings": [{"what": text, "count": 1, "units": []} for text in warnings],
    }
    record.write_results(folder, results)
    pdf_log.write_log(folder)
    return results
