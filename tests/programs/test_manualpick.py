"""Picking by hand: every change is kept, can be taken back, and reaches the lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from programs.fake_run import FakeRun
from vitreous.errors import InputError
from vitreous.io import read_star, write_mrc
from vitreous.io.coordinates import read_coordinates
from vitreous.jobs.manualpick import ManualPick
from vitreous.programs import manualpick
from vitreous.programs.picking_session import PickingSession
from vitreous.programs.picking_view import Display, picture, shown

FOLDER = "ManualPick/job003/"
A, B = "Micrographs/a.mrc", "Micrographs/b.mrc"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Micrographs").mkdir()
    for name in (A, B):
        noise = np.random.default_rng(0).normal(size=(64, 80)).astype(np.float32)
        write_mrc(tmp_path / name, noise, 2.0)
    return tmp_path


def _session(project: Path, **more: bool) -> PickingSession:
    return PickingSession.open(project, FOLDER, "Micrographs/*.mrc", "manualpick", **more)


def test_picks_are_on_disk_at_once_and_can_be_taken_back(project: Path) -> None:
    session = _session(project)
    session.add(A, 10, 20)
    session.add(A, 30, 40)
    assert len(_session(project).picks(A)) == 2
    assert len(session.delete(A, 29, 40, 5)) == 1
    assert len(session.undo(A)) == 2
    assert len(session.undo(A)) == 1
    assert len(session.clear(A)) == 0
    assert len(session.undo(A)) == 1
    assert len(_session(project).picks(A)) == 1


def test_a_new_pick_has_the_columns_of_a_manual_one(project: Path) -> None:
    table = _session(project).add(A, 10.5, 20)
    assert table["rlnAnglePsi"][0] == -999
    assert table["rlnAutopickFigureOfMerit"][0] == 0
    assert table["rlnParticleSelectionType"][0] == 1


def test_other_columns_come_from_the_last_row(project: Path) -> None:
    file = project / FOLDER / "Micrographs" / "a_manualpick.star"
    file.parent.mkdir(parents=True)
    file.write_text(
        "\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnClassNumber #3\n"
        "_rlnAngleRot #4\n_rlnOriginXAngst #5\n1 2 7 33 4.5\n\n"
    )
    table = _session(project).add(A, 5, 6)
    assert table["rlnClassNumber"].tolist() == [7, 7]
    assert table["rlnAngleRot"].tolist() == [33, -999]
    assert table["rlnOriginXAngst"].tolist() == [4.5, 0]


def test_the_lists_hold_what_is_ticked(project: Path) -> None:
    session = _session(project)
    session.add(A, 1, 2)
    session.add(B, 3, 4)
    session.select(B, selected=False)
    session.save()
    assert [n for n, _ in read_coordinates(f"{FOLDER}manualpick.star", project)] == [A]
    kept = read_star(project / FOLDER / "micrographs_selected.star").first
    assert kept["rlnMicrographName"].tolist() == [A]
    assert not _session(project).is_selected(B)


def test_filaments_need_both_ends(project: Path) -> None:
    session = _session(project, filaments=True)
    for x in (5, 50, 20):
        session.add(A, x, 10)
    assert session.save() == [A]
    assert len(session.delete(A, 50, 10, 3)) == 1


def test_the_job_prepares_and_publishes(project: Path) -> None:
    options = ManualPick(micrographs="Micrographs/*.mrc")
    job = FakeRun(project, FOLDER)
    manualpick.run(options, job)
    assert job.headlines["picks"] == 0
    _session(project).add(A, 1, 2)
    manualpick.run(options, job)
    assert job.headlines == {"picks": 1, "micrographs": 1}
    for name in ("manualpick.star", "micrographs_selected.star", "local_selection.star"):
        assert (job.path / name).is_file()


def test_picks_of_low_merit_are_left_out(project: Path) -> None:
    file = project / FOLDER / "Micrographs" / "a_manualpick.star"
    file.parent.mkdir(parents=True)
    file.write_text(
        "\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n"
        "_rlnAutopickFigureOfMerit #3\n1 2 0.1\n3 4 0.9\n\n"
    )
    session = _session(project)
    session.save(0.5)
    assert session.picks(A)["rlnCoordinateX"].tolist() == [3]


def test_unknown_micrographs_and_places_are_refused(project: Path) -> None:
    with pytest.raises(InputError, match=r"c\.mrc is not in the list"):
        _session(project).add("c.mrc", 1, 2)
    with pytest.raises(InputError, match="no place for a pick"):
        _session(project).add(A, float("nan"), 2)


def test_the_picture_is_scaled_and_filtered() -> None:
    noise = np.random.default_rng(1).normal(size=(100, 120)).astype(np.float32)
    display = Display(scale=0.5, low_pass_A=20)
    image = picture(noise, 2.0, display)
    assert image.shape == (50, 60)
    assert image.dtype == np.uint8
    assert shown(noise, 2.0, display).std() < 0.5 * noise.std()
    with pytest.raises(InputError, match="pixel size"):
        picture(noise, 0.0, display)
