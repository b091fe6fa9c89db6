"""What became of jobs: told by their folders, written only where something changed."""

from __future__ import annotations

import small_project
from vitreous import Project
from vitreous.running import process_table, record
from vitreous.running.record import ProcessRecord


def running(project):
    name = small_project.finished_external(project)
    with project.folder.edit("test") as pipeline:
        pipeline.set_status(name, "Running")
    (project.root / name / "RELION_JOB_EXIT_SUCCESS").unlink(missing_ok=True)
    return name


def dead_process(project, name):
    record.write_process(
        project.root / name,
        ProcessRecord(
            state="running",
            host=process_table.host(),
            boot_id=process_table.boot_id(),
            pid=2**22 - 7,
            start_ticks=5,
            started=record.now(),
        ),
    )


def test_nothing_is_written_where_nothing_changed(project):
    small_project.finished_external(project)
    before = small_project.snapshot(project.root)
    assert not project.refresh()
    assert small_project.snapshot(project.root) == before


def test_an_exit_marker_ends_a_job(project):
    name = running(project)
    (project.root / name / "RELION_JOB_EXIT_FAILURE").touch()
    assert [p.name for p in project.refresh().ended] == [name]
    assert Project(project.root).job(name).status == "Failed"


def test_a_dead_process_fails_its_job_with_the_reason(project):
    name = running(project)
    dead_process(project, name)
    assert [str(p.status) for p in project.refresh().ended] == ["Failed"]
    assert "is gone and left no exit marker" in project.job(name).state.reason
    assert (project.root / name / "RELION_JOB_EXIT_FAILURE").exists()
    row = project.status()["jobs"][0]
    assert row["status"] == "Failed"
    assert "is gone" in row["reason"]


def test_read_only_tells_a_dead_job_without_writing(project):
    name = running(project)
    dead_process(project, name)
    before = small_project.snapshot(project.root)
    looked = Project(project.root, read_only=True)
    looked.refresh()
    assert looked.status()["jobs"][0]["status"] == "Failed"
    assert small_project.snapshot(project.root) == before


def test_a_running_job_of_relion_stays_as_it_is(project):
    name = running(project)
    assert not project.refresh()
    assert project.job(name).status == "Running"


def test_a_job_that_somebody_else_made_appears(project):
    folder = project.root / "Class2D" / "job004"
    folder.mkdir(parents=True)
    (folder / "note.txt").write_text("made in a shell\n")
    (folder / "RELION_JOB_EXIT_SUCCESS").touch()
    assert [p.name for p in project.refresh().found] == ["Class2D/job004/"]
    assert project.job(4).status == "Succeeded"
    assert project.pipeline.counter == 5


def test_an_output_that_is_missing_is_told(project):
    name = running(project)
    (project.root / name / "particles.star").unlink()
    (project.root / name / "RELION_JOB_EXIT_SUCCESS").touch()
    assert any("particles.star" in text for text in project.refresh().warnings)
