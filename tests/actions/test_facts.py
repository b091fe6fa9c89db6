"""What a file holds by its first lines, why a job failed, and what a person chose."""

from __future__ import annotations

import os

import numpy as np
import pytest

import small_project
from vitreous.actions import failures
from vitreous.actions.facts import facts
from vitreous.errors import InputError, ProjectError
from vitreous.io import Table, read_star, write_mrc, write_star
from vitreous.jobs import job_star
from vitreous.project.pipeline import Status


def test_rows_box_and_pixel_size_are_told_without_reading_the_table(tmp_path):
    path = tmp_path / "particles.star"
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [1.25], "rlnImageSize": [64]}
    names = {"rlnImageName": [f"{n:06d}@a.mrcs" for n in range(1, 8)]}
    write_star(path, [Table.from_columns("optics", optics), Table.from_columns("particles", names)])
    found = facts(path)
    assert (found.count, found.box_px, found.pixel_size_A) == (7, 64, 1.25)
    assert found.n_bytes == path.stat().st_size


def test_a_stack_tells_by_its_header(tmp_path):
    write_mrc(tmp_path / "a.mrcs", np.zeros((5, 8, 8), np.float32), 3.0)
    found = facts(tmp_path / "a.mrcs")
    assert (found.count, found.box_px, found.pixel_size_A) == (5, 8, 3.0)


@pytest.mark.parametrize("content", [b"", b"\0" * 3000, b"data_optics\n", b"data_optics\nloop_\n"])
@pytest.mark.parametrize("name", ["x.star", "x.mrc", "x.txt"])
def test_of_a_file_that_is_something_else_only_the_size_is_told(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    found = facts(tmp_path / name)
    assert found.n_bytes == len(content)
    assert found.box_px is None
    assert facts(tmp_path / "none.star").n_bytes is None


def test_a_file_that_changed_is_looked_at_again(tmp_path):
    path = tmp_path / "a.star"
    path.write_text("data_particles\n\nloop_\n_rlnImageName #1\n1@a\n")
    assert facts(path).count == 1
    path.write_text("data_particles\n\nloop_\n_rlnImageName #1\n1@a\n2@a\n")
    os.utime(path, ns=(1, 1))
    assert facts(path).count == 2


def test_a_failure_is_cause_and_remedies(tmp_path):
    reason = "mask.mrc has 64 pixels; the map has 80. Give a mask of the same box."
    told = failures.explain(tmp_path, Status.FAILED, reason, goes_on=True)
    assert told is not None
    assert "64 pixels" in told.cause
    assert told.remedies[0] == "Give a mask of the same box."
    assert any("Continue" in one for one in told.remedies)
    assert failures.explain(tmp_path, Status.SUCCEEDED, "", goes_on=True) is None


def test_a_failure_without_a_reason_is_read_from_its_last_lines(tmp_path):
    (tmp_path / "run.err").write_text("Traceback\n  File x\nValueError: odd box\n")
    told = failures.explain(tmp_path, Status.FAILED, "", goes_on=False)
    assert told is not None
    assert told.cause == "ValueError: odd box."
    assert told.last_lines[-1] == "ValueError: odd box"
    assert any("Overwrite" in one for one in told.remedies)


def test_progress_bars_are_told_by_their_last_state(tmp_path):
    (tmp_path / "run.out").write_text("begun\n 1%\r 50%\r 99%\n")
    told = failures.explain(tmp_path, Status.ABORTED, "stopped on request", goes_on=False)
    assert told is not None
    assert told.last_lines == ("begun", " 99%")


@pytest.fixture
def select(project):
    """Return a selection that waits for a person."""
    path = project.root / small_project.finished_external(project) / "particles.star"
    job = project.run("select", particles=str(path.relative_to(project.root)))
    assert job.is_interactive
    return job


def test_a_choice_is_kept_and_how_it_is_saved_is_written_down(project, select):
    project.keep_choice(select, [True])
    assert read_star(select.path / "backup_selection.star").first["rlnSelected"].tolist() == [1]
    from vitreous.actions import choosing

    form = project.pipeline.form
    choosing.set_saving(
        project.folder, select.process, form, regroup=12, recentre=True, max_per_class=5
    )
    options = job_star.read_job(select.path).options
    assert options.value("regroup") is True
    assert options.value("n_groups") == 12
    assert options.value("recenter") is True
    assert options.value("other_arguments") == "--max_nr_parts_per_class 5"
    choosing.set_saving(
        project.folder, select.process, form, regroup=None, recentre=False, max_per_class=None
    )
    assert job_star.read_job(select.path).options.value("other_arguments") == ""


def test_nothing_is_saved_where_nothing_is_chosen(project, select):
    with pytest.raises(InputError, match="nothing is chosen"):
        project.save_choice(select, [False])
    with pytest.raises(InputError, match="is no selection"):
        project.keep_choice(1, [True])
    reading = type(project)(project.root, read_only=True)
    with pytest.raises(ProjectError, match="read-only"):
        reading.keep_choice(select.name, [True])
    with pytest.raises(ProjectError, match="read-only"):
        reading.remake_nodes()
