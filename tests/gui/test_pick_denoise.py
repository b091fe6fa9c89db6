"""Topaz denoises micrographs for the picker: called as it should be, once, and only by writers."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import small_project
import topaz_stub
from gui_client import READER, TOKEN, client_of
from vitreous.gui.guard import Access
from vitreous.gui.server import create_app
from vitreous.io import Table, write_mrc, write_star
from vitreous.jobs import job_star, registry
from vitreous.programs.display import denoised

WIDE, HIGH = 96, 64


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = small_project.make(tmp_path_factory.mktemp("denoise") / "project")
    write_star(
        made.root / "mics.star",
        [Table.from_columns("micrographs", {"rlnMicrographName": ["m.mrc"]})],
    )
    return made


@pytest.fixture(scope="module")
def client(project):
    """Return a client of one server: its worker serves all tests."""
    with client_of(create_app(project.root, access=Access(TOKEN, READER))) as made:
        yield made


@pytest.fixture
def micrograph(project):
    """Return a micrograph that no other test has."""
    with tempfile.NamedTemporaryFile(dir=project.root, suffix=".mrc", delete=False) as file:
        noise = np.random.default_rng(1).normal(100, 5, (HIGH, WIDE)).astype(np.float32)
    write_mrc(file.name, noise, 2.0, mode=12)
    return Path(file.name).name


def _job(project, program=""):
    """Return a picking job; that nobody started it does not matter here."""
    more = {"other_arguments": f"--topaz_exe {program}"} if program else {}
    return project.run("manualpick", schedule=True, micrographs="mics.star", **more)


def _ask(client, job, path):
    return client.post("/api/picks/denoised", json={"path": path, "job": job.number})


def _works(project):
    """Return what is there of the work of Topaz; kept pictures are no folders."""
    return [one for one in (project.root / denoised.FOLDER).iterdir() if one.is_dir()]


def _tile(client, path):
    query = f"path={path}&level=0&x=0&y=0&denoised=true"
    answer = client.get(f"/api/images/tile?{query}")
    if answer.status_code != 200:
        return answer
    return np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)


def test_topaz_is_called_once_and_its_picture_is_shown_and_kept(
    client, project, micrograph, tmp_path
):
    stub = topaz_stub.install(tmp_path / "bin")
    job = _job(project, stub)
    assert _tile(client, micrograph).status_code == 404
    assert _ask(client, job, micrograph).json() == {"path": micrograph, "is_ready": True}
    assert _ask(client, job, micrograph).json()["is_ready"]
    seen = _tile(client, micrograph)
    assert seen[:, : WIDE // 2 - 4].min() > 200
    assert seen[:, WIDE // 2 + 4 :].max() < 50
    assert topaz_stub.calls(stub) == ["denoise --patch-size 2048 -o out micrograph.mrc"]
    assert _works(project) == []
    os.utime(project.root / micrograph, (1, 1))  # another micrograph under the same name
    assert _tile(client, micrograph).status_code == 404
    assert _ask(client, job, micrograph).json()["is_ready"]
    assert len(topaz_stub.calls(stub)) == 2


def test_where_nothing_may_be_written_what_is_there_is_shown_and_no_more(
    client, project, micrograph, tmp_path
):
    stub = topaz_stub.install(tmp_path / "bin")
    job = _job(project, stub)
    app = create_app(project.root, access=Access(TOKEN), read_only=True)
    with client_of(app) as looking:
        assert not _ask(looking, job, micrograph).json()["is_ready"]
        assert topaz_stub.calls(stub) == []
        assert _ask(client, job, micrograph).json()["is_ready"]
        assert _ask(looking, job, micrograph).json()["is_ready"]
        assert _tile(looking, micrograph)[:, :20].min() > 200


def test_without_topaz_a_sentence_says_where_to_name_it(
    client, project, micrograph, monkeypatch, tmp_path
):
    _last_used(project, "nothing_of_the_kind")
    monkeypatch.setenv("PATH", str(tmp_path))
    for job in (_job(project), _job(project, "/nowhere/topaz")):
        answer = _ask(client, job, micrograph)
        assert answer.status_code == 424
        assert "Topaz is not installed here" in answer.json()["error"]
        assert "--topaz_exe PROGRAM" in answer.json()["error"]


def test_the_program_that_autopick_last_used_is_taken(client, project, micrograph, tmp_path):
    stub = topaz_stub.install(tmp_path / "bin")
    _last_used(project, str(stub))
    assert _ask(client, _job(project), micrograph).json()["is_ready"]
    assert len(topaz_stub.calls(stub)) == 1


def _last_used(project, program):
    autopick = registry.find("autopick")
    options = autopick.new({"micrographs": "mics.star", "topaz_program": program}, {})
    job_star.write_last_used(project.root, job_star.JobFile(autopick, options))


def test_what_topaz_said_is_told_where_it_fails_and_nothing_is_left(
    client, project, micrograph, tmp_path
):
    stub = topaz_stub.install(tmp_path / "bin", fails=True)
    answer = _ask(client, _job(project, stub), micrograph)
    assert answer.status_code == 424
    assert "exit code 1; its last words: no model was found" in answer.json()["error"]
    assert _works(project) == []


def test_readers_and_strangers_start_nothing(client, project, micrograph, tmp_path):
    stub = topaz_stub.install(tmp_path / "bin")
    job = _job(project, stub)
    for token, status in ((READER, 403), ("", 401)):
        assert _ask(client_of(client.app, token), job, micrograph).status_code == status
    assert topaz_stub.calls(stub) == []


def test_paths_outside_the_project_are_refused(client, project, tmp_path):
    job = _job(project, topaz_stub.install(tmp_path / "bin"))
    for path in ("../m.mrc", "/etc/passwd", "gone.mrc"):
        assert _ask(client, job, path).status_code == 404


def test_room_is_made_by_deleting_what_was_looked_at_longest_ago(tmp_path, monkeypatch):
    for number in range(4):
        (tmp_path / f"{number}.mrc").write_bytes(bytes(100))
        os.utime(tmp_path / f"{number}.mrc", (number, number))
    monkeypatch.setattr(denoised, "_MOST_BYTES", 250)
    denoised._make_room(tmp_path / "0.mrc")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["0.mrc", "3.mrc"]
