"""A project whose jobs run tiny programs."""

import os
import signal
import sys
from pathlib import Path

import pytest

from vitreous.jobs import registry
from vitreous.jobs.job_star import JobFile, write_job
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Status
from vitreous.running import alive, launch, process_table, record

PROGRAMS = Path(__file__).parent / "programs"


class Workshop:
    """A project, and a way to put jobs in it."""

    def __init__(self, root, monkeypatch):
        self.root = root
        self.folder = ProjectFolder.create(root)
        self._monkeypatch = monkeypatch

    def job(self, program="", word="import", **values):
        """Make a job that runs a function (of `fake_programs`) and return its name."""
        job_type = registry.find(word)
        if program:
            dotted = program if ":" in program else f"fake_programs:{program}"
            self._monkeypatch.setitem(job_type.__dict__, "run", dotted)
            self._monkeypatch.setenv("FAKE_PROGRAMS", f"{word}={dotted}")
        options = job_type.new(values, {})
        with self.folder.edit("adding a job") as pipeline:
            name = pipeline.add_process(job_type.folder, job_type.label, Status.RUNNING).name
        write_job(self.root / name, JobFile(job_type, options))
        return name

    def process(self, name):
        return self.folder.read().find(name)

    def dir(self, name):
        return self.root / name

    def text(self, name, file):
        return (self.root / name / file).read_text()


def make_workshop(root, monkeypatch):
    monkeypatch.syspath_prepend(PROGRAMS)
    paths = [str(PROGRAMS), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.delenv("FAKE_PROGRAMS", raising=False)
    return Workshop(root, monkeypatch)


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    made = make_workshop(tmp_path / "project", monkeypatch)
    yield made
    for path in made.root.glob("*/job*"):
        found = record.read_process(path)
        # Only what this test started and what still lives: a made-up record names others.
        if found and found.start_ticks > 1 and alive.is_alive_here(found):
            process_table.send(process_table.family(found.pid), signal.SIGKILL)
    sys.modules.pop("fake_programs", None)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """A workshop where Import/job001/ has run `counts` in the foreground."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = make_workshop(tmp_path_factory.mktemp("counted") / "project", monkeypatch)
        made.lines = []
        name = made.job("counts")
        made.state = launch.start(made.root, name, mode="foreground", echo=made.lines.append).state
    return made
