"""Jobs that people work in: picking on micrographs, choosing classes."""

from __future__ import annotations

import time

import numpy as np
import pytest

import small_project
from gui_client import ORIGIN, SOCKET, TOKEN, client_of
from vitreous.gui.guard import Access
from vitreous.gui.server import create_app
from vitreous.io import Table, read_star, write_mrc, write_star
from vitreous.project.node_types import MICROGRAPHS, OPTIMISER

MICS = "External/job001/micrographs.star"
BASE = "Class2D/job002/run_it005_"


@pytest.fixture
def project(tmp_path):
    made = small_project.make(tmp_path / "project")
    root = made.root
    with made.folder.edit("test") as pipeline:
        first = pipeline.add_process("External", "relion.external", "Succeeded")
        pipeline.add_output(first.name, MICS, MICROGRAPHS)
        second = pipeline.add_process("Class2D", "relion.class2d", "Succeeded")
        pipeline.add_output(second.name, f"{BASE}optimiser.star", OPTIMISER)
    (root / "mics").mkdir()
    names = [f"mics/m{n}.mrc" for n in range(3)]
    for name in names:
        write_mrc(root / name, np.zeros((64, 64), np.float32), 1.0)
    columns = {"rlnMicrographName": names, "rlnDefocusU": [9000.0, 8000.0, 7000.0]}
    write_star(root / MICS, [Table.from_columns("micrographs", columns)])
    _classification(root)
    return made


def _classification(root):
    write_mrc(root / "classes.mrcs", np.random.default_rng(1).normal(size=(4, 16, 16)), 2.0)
    write_mrc(root / "images.mrcs", np.zeros((12, 16, 16), np.float32), 2.0)
    told = {
        "rlnModelStarFile": f"{BASE}model.star",
        "rlnExperimentalDataStarFile": f"{BASE}data.star",
    }
    write_star(
        root / f"{BASE}optimiser.star",
        [Table.from_columns("optimiser_general", told, is_list=True)],
    )
    general = {"rlnReferenceDimensionality": 2, "rlnPixelSize": 2.0}
    classes = {
        "rlnReferenceImage": [f"{n:06d}@classes.mrcs" for n in range(1, 5)],
        "rlnClassDistribution": [0.4, 0.3, 0.2, 0.1],
    }
    write_star(
        root / f"{BASE}model.star",
        [
            Table.from_columns("model_general", general, is_list=True),
            Table.from_columns("model_classes", classes),
        ],
    )
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [2.0], "rlnImageSize": [16]}
    data = {
        "rlnImageName": [f"{n:06d}@images.mrcs" for n in range(1, 13)],
        "rlnClassNumber": [1] * 5 + [2] * 4 + [3] * 2 + [4],
        "rlnOpticsGroup": [1] * 12,
        "rlnMicrographName": ["mics/m0.mrc"] * 12,
    }
    write_star(
        root / f"{BASE}data.star",
        [Table.from_columns("optics", optics), Table.from_columns("particles", data)],
    )


def _make(client, word, values, request_id="first-one"):
    made = client.post("/api/jobs", json={"word": word, "values": values, "request_id": request_id})
    assert made.status_code == 201, made.text
    return made.json()


@pytest.fixture
def picking(client):
    made = _make(client, "manualpick", {"micrographs": MICS})
    assert made["waits_for_you"]
    return made["n"]


def _change(client, n, row, version, *edits, **more):
    body = {"version": version, "edits": list(edits), **more}
    return client.post(f"/api/picks/{n}/{row}", json=body)


def test_the_micrographs_of_a_picking_job(client, picking):
    told = client.get(f"/api/picks/{picking}").json()
    assert told["editable"]
    assert [one["name"] for one in told["micrographs"]] == [f"mics/m{n}.mrc" for n in range(3)]
    assert told["micrographs"][1]["defocus_A"] == 8000
    assert told["total"] == 0
    assert told["display"]["low_pass_A"] == 20
    row = client.get("/api/jobs").json()[-1]
    assert row["waits_for_you"]
    assert "continue" in client.get(f"/api/jobs/{picking}").json()["can"]
    assert client.get("/api/picks/1").status_code in (404, 409)
    assert client.get(f"/api/picks/{picking}/9").status_code == 404


def test_picks_are_added_moved_typed_and_deleted_and_are_on_disk_at_once(client, project, picking):
    new = _change(
        client,
        picking,
        0,
        "0",
        {"act": "add", "x": 10, "y": 20},
        {"act": "add", "x": 30.5, "y": 40, "type": 3},
        {"act": "add", "x": 50, "y": 60},
    ).json()
    assert (new["count"], new["x"], new["type"]) == (3, [10, 30.5, 50], [1, 3, 1])
    on_disk = read_star(project.root / f"ManualPick/job{picking:03d}/mics/m0_manualpick.star").first
    assert on_disk["rlnCoordinateX"].tolist() == [10, 30.5, 50]
    moved = _change(
        client,
        picking,
        0,
        new["version"],
        {"act": "move", "index": 0, "x": 11, "y": 21},
        {"act": "delete", "x": 31, "y": 41, "radius": 3},
        {"act": "type", "indices": [1], "type": 2},
    ).json()
    assert (moved["x"], moved["y"], moved["type"]) == ([11, 50], [21, 60], [1, 2])
    listed = client.get(f"/api/picks/{picking}").json()
    assert [one["count"] for one in listed["micrographs"]] == [2, 0, 0]
    cleared = _change(client, picking, 0, moved["version"], {"act": "clear"}).json()
    assert cleared["count"] == 0


def test_two_browsers_never_overwrite_each_other_unseen(client, picking):
    with client.websocket_connect(SOCKET, headers=ORIGIN) as socket:
        first = _change(client, picking, 1, "0", {"act": "add", "x": 1, "y": 2}).json()
        late = _change(client, picking, 1, "0", {"act": "add", "x": 3, "y": 4})
        assert late.status_code == 409
        assert late.json()["theirs"] == first
        forced = _change(client, picking, 1, "0", {"act": "add", "x": 3, "y": 4}, force=True)
        assert forced.json()["x"] == [1, 3]
        kinds = []
        while "picks" not in kinds:
            event = socket.receive_json()
            kinds.append(event["kind"])
        assert (event["row"], event["version"]) == (1, first["version"])


@pytest.mark.parametrize(
    "edit",
    [
        {"act": "add"},
        {"act": "move", "index": 7, "x": 1, "y": 1},
        {"act": "delete"},
        {"act": "delete", "indices": [3]},
        {"act": "type", "indices": [0]},
        {"act": "type", "type": 2},
        {"act": "add", "x": 1, "y": 2, "type": 9},
        {"act": "paint"},
    ],
)
def test_changes_that_mean_nothing_are_refused_and_leave_the_picks(client, picking, edit):
    first = _change(client, picking, 0, "0", {"act": "add", "x": 1, "y": 2}).json()
    assert _change(client, picking, 0, first["version"], edit).status_code in (409, 422)
    assert client.get(f"/api/picks/{picking}/0").json() == first


def test_saving_and_closing_makes_what_other_jobs_read(client, project, picking):
    _change(client, picking, 0, "0", {"act": "add", "x": 1, "y": 2})
    _change(client, picking, 1, "0", {"act": "add", "x": 1, "y": 2}, selected=False)
    saved = client.post(f"/api/picks/{picking}", json={"close": True}).json()
    assert (saved["total"], saved["closed"]) == (2, True)
    told = client.get(f"/api/jobs/{picking}").json()
    assert told["status"] == "Succeeded"
    assert {node["what"] for node in told["output_nodes"]} == {
        "micrographs",
        "particle coordinates",
    }
    folder = project.root / f"ManualPick/job{picking:03d}"
    assert len(read_star(folder / "manualpick.star").first) == 1
    assert len(read_star(folder / "micrographs_selected.star")["micrographs"]) == 2
    closed = client.get(f"/api/picks/{picking}").json()
    assert not closed["editable"]
    assert "Continue" in closed["why_not"]
    assert _change(client, picking, 0, "0", {"act": "clear"}).status_code == 409


def test_picks_that_another_program_wrote_are_seen(client, project, picking):
    client.get(f"/api/picks/{picking}")
    path = project.root / f"ManualPick/job{picking:03d}/mics/m2_manualpick.star"
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "rlnCoordinateX": [5.0],
        "rlnCoordinateY": [6.0],
        "rlnAutopickFigureOfMerit": [-999.0],
    }
    write_star(path, [Table.from_columns("", columns)])
    told = client.get(f"/api/picks/{picking}/2").json()
    assert (told["count"], told["fom"], told["type"]) == (1, [None], [None])
    assert client.get(f"/api/picks/{picking}").json()["micrographs"][2]["count"] == 1


@pytest.fixture
def selecting(client):
    made = _make(client, "select", {"fn_model": f"{BASE}optimiser.star"})
    assert made["waits_for_you"]
    return made["n"]


def _until_ended(client, n):
    end = time.monotonic() + 60
    while (told := client.get(f"/api/jobs/{n}").json())["status"] == "Running":
        assert time.monotonic() < end, told
        time.sleep(0.2)
    return told


def test_classes_are_chosen_in_six_colours_and_one_of_them_is_saved(client, project, selecting):
    told = client.get(f"/api/selections/{selecting}").json()
    assert (told["kind"], told["n_rows"], told["types"]) == ("classes", 4, [0, 0, 0, 0])
    assert told["can_save"]
    kept = client.post(
        f"/api/selections/{selecting}",
        json={"action": "backup", "types": [1, 0, 4, 1], "version": told["version"]},
    )
    assert kept.json()["n_selected"] == 3, kept.text
    again = client.get(f"/api/selections/{selecting}").json()
    assert again["types"] == [1, 0, 4, 1]
    late = client.post(
        f"/api/selections/{selecting}",
        json={"action": "backup", "types": [0, 0, 0, 0], "version": told["version"]},
    )
    assert late.status_code == 409
    assert late.json()["types"] == [1, 0, 4, 1]
    saved = client.post(
        f"/api/selections/{selecting}",
        json={"action": "save", "types": [1, 0, 4, 1], "save_type": 1, "max_per_class": 3},
    )
    assert saved.json()["n_selected"] == 2, saved.text
    done = _until_ended(client, selecting)
    assert done["status"] == "Succeeded", done["reason"]
    particles = read_star(project.root / f"Select/job{selecting:03d}/particles.star")["particles"]
    assert particles["rlnClassNumber"].tolist() == [1, 1, 1, 4]
    headline = {one["name"]: one["value"] for one in done["headline"]}
    assert headline["selected"] == 4
    after = client.get(f"/api/selections/{selecting}").json()
    assert after["types"] == [1, 0, 4, 1]
    assert after["is_saved"]


@pytest.mark.slow
def test_a_saved_selection_can_be_changed_and_recentred(client, project, selecting):
    body = {"action": "save", "types": [1, 0, 0, 0], "recentre": True}
    assert client.post(f"/api/selections/{selecting}", json=body).status_code == 200
    first = _until_ended(client, selecting)
    assert first["status"] == "Succeeded", first["reason"]
    assert (project.root / f"Select/job{selecting:03d}/class_averages.mrcs").exists()
    body["types"] = [1, 1, 0, 0]
    assert client.post(f"/api/selections/{selecting}", json=body).status_code == 200
    assert _until_ended(client, selecting)["status"] == "Succeeded"
    particles = read_star(project.root / f"Select/job{selecting:03d}/particles.star")["particles"]
    assert len(particles) == 9


@pytest.mark.parametrize(
    "body",
    [
        {"action": "save", "types": [0, 0, 0, 0]},
        {"action": "save", "types": [1]},
        {"action": "backup", "types": [9, 0, 0, 0]},
        {"action": "backup", "types": [-1, 0, 0, 0]},
        {"action": "save", "types": [1, 0, 0, 0], "regroup": 0},
    ],
)
def test_a_choice_that_cannot_be_is_refused(client, selecting, body):
    assert client.post(f"/api/selections/{selecting}", json=body).status_code in (409, 422)
    assert client.get(f"/api/jobs/{selecting}").json()["waits_for_you"]


def test_only_selections_are_chosen_in(client):
    assert client.get("/api/selections/1").status_code in (404, 409)


def test_nothing_is_picked_or_chosen_in_a_project_that_is_read_only(project, client, picking):
    with client_of(create_app(project.root, access=Access(TOKEN), read_only=True)) as reading:
        assert reading.get(f"/api/picks/{picking}").json()["editable"] is False
        assert _change(reading, picking, 0, "0", {"act": "add", "x": 1, "y": 1}).status_code == 403
        assert reading.post(f"/api/picks/{picking}", json={}).status_code == 403


def test_picks_that_were_replaced_come_back_with_undo(project):
    from vitreous.programs.picking_session import PickingSession

    session = PickingSession.open(project.root, "ManualPick/job009/", MICS, "manualpick")
    first = session.add("mics/m0.mrc", 1, 2)
    session.replace("mics/m0.mrc", session.with_pick(first, 3, 4))
    assert session.picks("mics/m0.mrc")["rlnCoordinateX"].tolist() == [1, 3]
    left = session.without_near(session.picks("mics/m0.mrc"), 1, 2, 1)
    assert left["rlnCoordinateX"].tolist() == [3]
    assert session.undo("mics/m0.mrc") == first


def _picks_file(project, path, **more):
    columns = {
        "rlnCoordinateX": [10.0, 20.0, 30.0],
        "rlnCoordinateY": [1.0, 2.0, 3.0],
        "rlnAutopickFigureOfMerit": [0.5, -999.0, 0.7],
        **more,
    }
    (project.root / path).parent.mkdir(parents=True, exist_ok=True)
    write_star(project.root / path, [Table.from_columns("", columns)])


def test_a_pick_that_was_deleted_is_put_back_as_it_was(client, project, picking):
    file = f"ManualPick/job{picking:03d}/mics/m0_manualpick.star"
    _picks_file(project, file, rlnClassNumber=[4, 5, 6], rlnAnglePsi=[1.0, 2.0, -999.0])
    first = client.get(f"/api/picks/{picking}/0").json()
    before = read_star(project.root / file).first
    left = _change(client, picking, 0, first["version"], {"act": "delete", "indices": [0, 2]})
    rows = [
        {
            "rlnCoordinateX": first["x"][n],
            "rlnCoordinateY": first["y"][n],
            "rlnAutopickFigureOfMerit": first["fom"][n],
            **{label: values[n] for label, values in first["columns"].items()},
        }
        for n in (2, 0)
    ]
    edit = {"act": "insert", "indices": [2, 0], "rows": rows}
    again = _change(client, picking, 0, left.json()["version"], edit).json()
    assert {**again, "version": ""} == {**first, "version": ""}
    assert read_star(project.root / file).first == before


def test_new_picks_put_in_have_the_values_of_new_picks(client, project, picking):
    rows = [{"rlnCoordinateX": 5, "rlnCoordinateY": 6, "rlnParticleSelectionType": 3}]
    edit = {"act": "insert", "indices": [0], "rows": rows}
    assert _change(client, picking, 0, "0", edit).json()["type"] == [3]
    table = read_star(project.root / f"ManualPick/job{picking:03d}/mics/m0_manualpick.star").first
    assert table.value("rlnAnglePsi") == -999
    assert table.value("rlnAutopickFigureOfMerit") == 0


@pytest.mark.parametrize(
    "edit",
    [
        {"act": "insert"},
        {"act": "insert", "indices": [0], "rows": [{"rlnCoordinateX": 1}]},
        {"act": "insert", "indices": [7], "rows": [{"rlnCoordinateX": 1, "rlnCoordinateY": 1}]},
        {"act": "insert", "indices": [0, 0], "rows": [{"rlnCoordinateX": 1, "rlnCoordinateY": 1}]},
        {
            "act": "insert",
            "indices": [0],
            "rows": [{"rlnCoordinateX": 1, "rlnCoordinateY": 1, "rlnAnglePsi": "north"}],
        },
    ],
)
def test_rows_that_cannot_be_put_in_are_refused(client, picking, edit):
    assert _change(client, picking, 0, "0", edit).status_code in (409, 422)
    assert client.get(f"/api/picks/{picking}/0").json()["count"] == 0


def test_ticks_are_set_and_turned_over_at_once(client, project, picking):
    url = f"/api/picks/{picking}/ticks"
    told = client.post(url, json={"rows": [1], "selected": False}).json()
    assert [one["selected"] for one in told["micrographs"]] == [True, False, True]
    told = client.post(url, json={"selected": None}).json()
    assert [one["selected"] for one in told["micrographs"]] == [False, True, False]
    kept = read_star(project.root / f"ManualPick/job{picking:03d}/local_selection.star").first
    assert kept["rlnSelected"].tolist() == [0, 1, 0]
    # A tick is no change of the picks: an old version of those does not matter.
    assert _change(client, picking, 0, "stale", selected=True).status_code == 200
    assert client.post(url, json={"rows": [9], "selected": True}).status_code == 404


def test_any_list_of_picks_can_be_looked_at_and_taken_over(client, project, picking):
    _picks_file(project, "Other/mics/m1_topaz.star")
    columns = {
        "rlnMicrographName": ["MotionCorr/job002/mics/m1.mrc", "mics/m2.mrc", "mics/m0.mrc"],
        "rlnMicrographCoordinates": [
            "Other/mics/m1_topaz.star",
            "Other/none.star",
            "../outside.star",
        ],
    }
    write_star(project.root / "Other/picks.star", [Table.from_columns("coordinate_files", columns)])
    told = client.get("/api/picks/sets", params={"path": "Other/picks.star"}).json()
    assert [one["count"] for one in told["micrographs"]] == [3, 0, 0]
    assert not told["editable"]
    query = {"path": "Other/picks.star", "name": "mics/m1.mrc"}
    picks = client.get("/api/picks/sets/picks", params=query).json()
    assert picks["fom"] == [0.5, None, 0.7]
    loaded = client.post(f"/api/picks/{picking}/load", json={"path": "Other/picks.star"}).json()
    assert (loaded["n_picks"], loaded["n_micrographs"]) == (3, 1)
    assert client.get(f"/api/picks/{picking}/1").json()["x"] == [10, 20, 30]
    again = client.post(f"/api/picks/{picking}/load", json={"path": "Other/picks.star"}).json()
    assert again["n_picks"] == 0
    listed = client.get("/api/picks/sets", params={"path": MICS}).json()
    assert [one["name"] for one in listed["micrographs"]] == [f"mics/m{n}.mrc" for n in range(3)]
    assert client.get("/api/picks/sets", params={"path": "../x.star"}).status_code == 404
