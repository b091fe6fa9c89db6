"""Every job type of the demonstration goes through the whole pipeline.

From options to job.star, process, files, nodes and the next job; stopped and continued; cleaned,
deleted and brought back. All of it is done to the jobs of the tiny demonstration.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import vitreous
from demo.demo_steps import ALIASES, STEPS
from vitreous.actions.job import Job
from vitreous.jobs import job_star
from vitreous.running import record

pytestmark = pytest.mark.timeout(3600)  # the first test waits for the demonstration

SHORTER = {
    "class2d": {"n_iterations_em": 3},
    "initialmodel": {"n_iterations": 10},
    "class3d": {"n_iterations": 2},
}
"""What a job that is stopped has less to do than that of the demonstration."""


@pytest.mark.parametrize("alias", ALIASES)
def test_options_process_files_and_nodes(demo: vitreous.Project, alias: str) -> None:
    job = demo.job(alias)
    assert job_star.read_job(job.path).job_type.word == STEPS[alias]
    for path in job.outputs.values():
        assert path.stat().st_size > 0, path
    for path in job.inputs:
        assert path.exists(), path
    assert (job.path / "RELION_JOB_EXIT_SUCCESS").exists()
    assert (job.path / "run.out").read_text()
    assert (job.path / "note.txt").read_text()
    known = record.read_process(job.path)
    assert known is not None
    assert known.state == "succeeded"
    assert known.processor_s > 0
    assert demo.show(job)["name"] == job.name


def test_each_job_feeds_the_next(demo: vitreous.Project) -> None:
    """All that is read was made by a job of the graph; movies come from the microscope's folder."""
    made = {path for job in demo.jobs for path in job.outputs.values()}
    read = {path for job in demo.jobs for path in job.inputs}
    assert read <= made
    readers = [alias for alias in ALIASES if demo.job(alias).inputs]
    assert readers == ALIASES[2:]


@pytest.mark.filterwarnings("ignore:.*is usual:UserWarning")  # the job is made very short
@pytest.mark.parametrize("alias", ALIASES)
def test_stopped_and_continued(copy: vitreous.Project, alias: str) -> None:
    template = copy.job(alias)
    shorter = SHORTER.get(STEPS[alias], {})
    job = copy.run(from_file=template.path, background=True, **shorter)
    _until_it_works(job)
    copy.abort(job)
    stopped = job.status
    assert stopped in ("Aborted", "Succeeded")  # a quick job may have ended before
    if stopped == "Aborted":
        again = _continued(copy, job, shorter)
        assert again.status == "Succeeded", again.state.reason
    assert set(job.outputs) == set(template.outputs)
    for path in job.outputs.values():
        assert path.stat().st_size > 0, path
    if alias != "microscope":  # processes of the simulator say that they were killed
        assert job.log(err=True) == ""


def _until_it_works(job: Job) -> None:
    """Wait until the program has begun; all that it loads comes before."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        known = record.read_process(job.path)
        if known is not None and known.state != "starting":
            return
        time.sleep(0.01)
    raise AssertionError(f"{job.name} did not begin")


def _continued(project: vitreous.Project, job: Job, shorter: dict[str, int]) -> Job:
    """Go on with a job as its user does; a refinement without an iteration is begun again."""
    from vitreous.errors import OptionError

    try:
        return project.run(continue_job=job)
    except OptionError:
        return project.run(overwrite=job, from_file=job.path, **shorter)


def test_cleaned_and_brought_back(copy: vitreous.Project) -> None:
    before = _files(copy.root)
    plans = copy.clean_all(harsh=True)
    assert plans
    for job in copy.jobs:
        for path in job.outputs.values():
            assert path.exists(), f"cleaning took {path}"
    kept = _files(copy.root)
    assert len(kept) < len(before)
    for job in copy.jobs:
        if any(plan.process.name == job.name and plan.files for plan in plans):
            copy.undelete(job)
    assert _files(copy.root) == before


@pytest.mark.parametrize("alias", ALIASES)
def test_deleted_and_brought_back(copy: vitreous.Project, alias: str) -> None:
    before = [(job.name, job.alias, job.status, dict(job.outputs)) for job in copy.jobs]
    files = _files(copy.root)
    name = copy.job(alias).name
    copy.delete(alias, yes=True)
    gone = [one for one in before if one[0] not in {job.name for job in copy.jobs}]
    assert name in [one[0] for one in gone]
    copy.undelete(name, whole_group=True)
    after = [(job.name, job.alias, job.status, dict(job.outputs)) for job in copy.jobs]
    assert after == before
    assert _files(copy.root) == files


def _files(root: Path) -> set[str]:
    """Return what lies in the job folders."""
    return {
        path.relative_to(root).as_posix()
        for path in root.glob("*/job*/**/*")
        if path.is_file() and not path.relative_to(root).parts[0].startswith((".", "Trash"))
    }
