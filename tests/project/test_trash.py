"""Deleting and undeleting jobs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from projects import DONE, chain, files, write

from vitreous.errors import InputError, ProjectError
from vitreous.project import markers
from vitreous.project import node_types as types
from vitreous.project.aliases import set_alias
from vitreous.project.clean_rules import Cleanup, Files
from vitreous.project.cleaning import apply, plan_clean
from vitreous.project.folder import ProjectFolder
from vitreous.project.moving import Moves
from vitreous.project.pipeline import Pipeline, Status
from vitreous.project.pipeline_file import read_pipeline
from vitreous.project.trash import delete, empty_trash, overwrite, plan_delete
from vitreous.project.undelete import list_trash, undelete


def content(pipeline: Pipeline) -> tuple[object, ...]:
    return (
        pipeline.processes,
        pipeline.nodes,
        set(pipeline.input_edges),
        set(pipeline.output_edges),
    )


def test_the_plan_lists_all_that_goes_with_sizes_and_reasons(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    before = files(tmp_path)
    plan = plan_delete(folder, [2])
    assert plan.names == ["MotionCorr/job002/", "CtfFind/job003/", "Extract/job004/"]
    assert [job.because_of for job in plan.jobs] == [None, "MotionCorr/job002/", "CtfFind/job003/"]
    sizes = [path.stat().st_size for path in (tmp_path / "Extract/job004").iterdir()]
    assert (plan.jobs[2].n_files, plan.jobs[2].n_bytes) == (len(sizes), sum(sizes))
    assert plan.running == []
    assert files(tmp_path) == before


def test_delete_moves_folders_and_records_what_was_removed(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    set_alias(folder, 3, "good")
    gone = folder.read().part(["MotionCorr/job002/", "CtfFind/job003/", "Extract/job004/"])
    delete(folder, plan_delete(folder, ["MotionCorr/job002"]))
    pipeline = folder.read()
    assert list(pipeline.processes) == ["Import/job001/", "Select/job005/"]
    assert list(pipeline.nodes) == ["Import/job001/movies.star", "Select/job005/half.star"]
    assert pipeline.counter == 6
    record = read_pipeline(tmp_path / "Trash/MotionCorr/job002/deleted_pipeline.star")
    assert content(record) == content(gone)
    assert (tmp_path / "Trash/Extract/job004/particles.star").exists()
    assert not (tmp_path / "CtfFind/good").is_symlink()
    assert not [
        name for name in files(tmp_path, below=".Nodes") if "job002" in name or "good" in name
    ]


def test_undelete_of_a_whole_delete_restores_everything(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    set_alias(folder, 3, "good")
    with folder.edit("x") as pipeline:
        pipeline.set_status("Extract/job004/", Status.ABORTED)
    before, before_files = folder.read().copy(), files(tmp_path)
    delete(folder, plan_delete(folder, [2]))
    trashed = list_trash(folder)
    assert [job.process.number for job in trashed] == [2, 3, 4]
    assert trashed[2].group == ("MotionCorr/job002/", "CtfFind/job003/", "Extract/job004/")
    done = undelete(folder, ["Extract/job004"], whole_group=True)
    assert [process.number for process in done.processes] == [2, 3, 4]
    assert done.warnings == ()
    assert content(folder.read()) == content(before)
    assert folder.read().find("good").status is DONE
    assert folder.read().find(4).status is Status.ABORTED
    assert files(tmp_path) == before_files
    assert list_trash(folder) == []


def test_one_job_comes_back_with_its_true_state_and_the_others_later(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    before = folder.read().copy()
    delete(folder, plan_delete(folder, [2]))
    done = undelete(folder, [4])
    assert "whose job is not there" in done.warnings[0]
    assert folder.read().find(4).status is DONE
    undelete(folder, [2])
    undelete(folder, [3])
    assert content(folder.read()) == content(before)
    assert list_trash(folder) == []


def test_a_job_deleted_by_relion_gets_the_state_of_its_marker(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    delete(folder, plan_delete(folder, [4]))
    trashed = tmp_path / "Trash/Extract/job004"
    (trashed / "deleted_pipeline.star").unlink()
    record = trashed / "job_pipeline.star"
    record.write_text(record.read_text().replace("Succeeded", "Running"))
    (trashed / markers.SUCCESS).rename(trashed / markers.FAILURE)
    assert list_trash(folder)[0].process.status is Status.FAILED
    assert undelete(folder, [4]).processes[0].status is Status.FAILED


def test_a_clashing_alias_becomes_none_with_a_warning(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    set_alias(folder, 4, "best")
    delete(folder, plan_delete(folder, [4]))
    with folder.edit("x") as pipeline:
        pipeline.add_process("Extract", "relion.extract", DONE, "Extract/best/")
    done = undelete(folder, [4])
    assert done.processes[0].alias is None
    assert "Extract/job006/ has now" in done.warnings[0]
    assert (tmp_path / "Extract/best").resolve().name == "job006"


def test_cleaned_files_come_back_with_their_job(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    write(tmp_path, ["Extract/job004/Movies/a_extract.star"])
    before = files(tmp_path)
    rules = Cleanup(gentle=(Files("*_extract.star", below=True),))
    pipeline = folder.read()
    apply(folder, plan_clean(folder, pipeline, pipeline.find(4), rules, harsh=False))
    assert (tmp_path / "Trash/Extract/job004/Movies/a_extract.star").exists()
    delete(folder, plan_delete(folder, [4]))
    assert (tmp_path / "Trash/Extract/job004/Movies/a_extract.star").exists()
    undelete(folder, [4])
    assert files(tmp_path) == before


def test_a_name_that_is_taken_again_is_not_overwritten(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    delete(folder, plan_delete(folder, [4]))
    write(tmp_path, ["Extract/job004/mine.txt"])
    with pytest.raises(ProjectError, match="cannot come back"):
        undelete(folder, [4])
    assert (tmp_path / "Trash/Extract/job004/particles.star").exists()
    with pytest.raises(InputError, match="There is Extract/job004/"):
        undelete(folder, [9])


def test_overwriting_keeps_the_old_job_in_the_trash_and_the_children(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    with folder.edit("overwriting") as pipeline:
        job = overwrite(
            folder, pipeline, Moves(), "MotionCorr/job002/", "relion.motioncorr", Status.RUNNING
        )
        pipeline.add_output(job.name, "MotionCorr/job002/m.star", types.MICROGRAPHS)
    pipeline = folder.read()
    assert (pipeline.counter, pipeline.find(2).status) == (6, Status.RUNNING)
    assert pipeline.children("MotionCorr/job002/") == ["CtfFind/job003/"]
    assert "m.star" not in {path.name for path in folder.job_dir("MotionCorr/job002/").iterdir()}
    assert (folder.job_dir("MotionCorr/job002/") / "job_pipeline.star").exists()
    assert (tmp_path / "Trash/MotionCorr/job002/m.star").exists()
    # Deleting the new one keeps the old one too, under another name.
    delete(folder, plan_delete(folder, [2]))
    assert (tmp_path / "Trash/MotionCorr/job002.old1/m.star").exists()


def test_a_delete_that_fails_puts_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = chain(tmp_path)
    before, text = files(tmp_path), folder.file.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vitreous.project.folder.write_bytes", refuse)
    with pytest.raises(ProjectError, match="disk is full"):
        delete(folder, plan_delete(folder, [2]))
    assert folder.file.read_bytes() == text
    assert files(tmp_path) == before


def test_a_delete_that_was_cut_off_can_be_taken_back_or_finished(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    text = folder.file.read_bytes()
    delete(folder, plan_delete(folder, [4]))
    folder.file.write_bytes(text)  # as if the process had died before the pipeline was written
    assert undelete(folder, [4]).processes[0].number == 4
    assert (tmp_path / "Extract/job004/particles.star").exists()
    delete(folder, plan_delete(folder, [4]))
    folder.file.write_bytes(text)
    delete(folder, plan_delete(folder, [4]))
    assert "Extract/job004/" not in folder.read().processes
    assert (tmp_path / "Trash/Extract/job004/particles.star").exists()


def test_the_trash_is_emptied_and_tells_how_much_that_was(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    delete(folder, plan_delete(folder, [2]))
    size = sum(path.stat().st_size for path in (tmp_path / "Trash").rglob("*") if path.is_file())
    assert empty_trash(folder) == size
    assert not (tmp_path / "Trash").exists()
    assert empty_trash(folder) == 0


def test_a_job_that_came_to_depend_on_the_plan_goes_too(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    plan = plan_delete(folder, [4])
    with folder.edit("x") as pipeline:
        late = pipeline.add_process("Class2D", "relion.class2d", Status.RUNNING)
        pipeline.add_input(late.name, "Extract/job004/particles.star", types.PARTICLES)
    done = delete(folder, plan)
    assert done.names == ["Extract/job004/", late.name]
    assert done.running == [late.name]
    assert (tmp_path / "Trash" / late.name).is_dir()


class AnyHistory(RuleBasedStateMachine):
    """Adding, deleting, undeleting and naming jobs in any order keeps the project whole."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")  # hundreds of changes, each waits for the disk elsewhere
        where = memory if os.access(memory, os.W_OK) else None
        self.disk = tempfile.TemporaryDirectory(dir=where)
        self.folder = ProjectFolder.create(self.disk.name)
        self.numbers: list[int] = []

    def teardown(self) -> None:
        self.disk.cleanup()

    @rule(kind=st.sampled_from(["Import", "Select"]), data=st.data())
    def add(self, kind: str, data: st.DataObject) -> None:
        with self.folder.edit("adding") as pipeline:
            job = pipeline.add_process(kind, f"relion.{kind.lower()}", DONE)
            if pipeline.nodes:
                node = data.draw(st.sampled_from(list(pipeline.nodes)))
                pipeline.add_input(job.name, node, types.PARTICLES)
            pipeline.add_output(job.name, f"{job.name}p.star", types.PARTICLES)
        write(self.folder.root, [f"{job.name}p.star"])
        self.numbers.append(job.number)

    @precondition(lambda self: self.folder.read().processes)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.folder.read().processes)))
        delete(self.folder, plan_delete(self.folder, [name]))

    @precondition(lambda self: list_trash(self.folder))
    @rule(data=st.data(), whole=st.booleans())
    def undelete(self, data: st.DataObject, whole: bool) -> None:
        job = data.draw(st.sampled_from(list_trash(self.folder)))
        undelete(self.folder, [job.process.name], whole_group=whole)

    @precondition(lambda self: self.folder.read().processes)
    @rule(data=st.data(), alias=st.sampled_from(["one", "two", None]))
    def name(self, data: st.DataObject, alias: str | None) -> None:
        name = data.draw(st.sampled_from(list(self.folder.read().processes)))
        with contextlib.suppress(InputError):  # two jobs cannot have it
            set_alias(self.folder, name, alias)

    @invariant()
    def is_whole(self) -> None:
        pipeline = ProjectFolder(self.folder.root).read()
        assert content(pipeline) == content(self.folder.read())
        assert pipeline.problems == []
        for job, node in pipeline.output_edges:
            assert pipeline.producer(node) == job
            assert (self.folder.root / node).exists()
        aliases = [p.alias for p in pipeline if p.alias]
        assert len(set(aliases)) == len(aliases)
        for process in pipeline:
            assert self.folder.job_dir(process.name).is_dir()
            if process.alias:
                assert (self.folder.root / process.alias.rstrip("/")).readlink().name == (
                    process.name.split("/")[1]
                )
        present = [p.number for p in pipeline] + [j.process.number for j in list_trash(self.folder)]
        assert sorted(present) == sorted(self.numbers)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=12,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
