"""What the server tells of a project: jobs, forms, files, graph, search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import small_project
from gui_client import READER, TOKEN, client_of
from vitreous.gui import layout
from vitreous.gui.forms import rule, unit
from vitreous.gui.guard import Access
from vitreous.gui.models.forms import Rule
from vitreous.gui.server import create_app
from vitreous.jobs import registry
from vitreous.jobs import when as rules

A = "External/job001/particles.star"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = small_project.make(tmp_path_factory.mktemp("reading") / "project")
    first = small_project.finished_external(made)
    second = small_project.finished_external(made, reads=f"{first}particles.star", alias="good")
    small_project.finished_external(made, reads=f"{second}particles.star")
    made.note("1", "looks fine\nmore")
    path = made.job(2).path
    (path / "run.out").write_text("line 1\nümlaut\nline 3\n")
    results = {
        "headline": [
            {"name": name, "label": "Particles", "value": 7, "unit": ""} for name in "nopq"
        ],
        "plots": [{"name": "curve", "kind": "line", "title": "A curve", "axes": {}, "data": "x"}],
    }
    (path / "results.json").write_text(json.dumps(results))
    (path / "plots").mkdir()
    (path / "plots/curve.json").write_text('{"series": [{"x": [1], "y": [NaN]}]}')
    return made


@pytest.fixture(scope="module")
def client(project):
    with client_of(create_app(project.root, access=Access(TOKEN, READER))) as made:
        yield made


def test_the_project_tells_what_every_page_shows(client, project):
    told = client.get("/api/project").json()
    assert told["name"] == "project"
    assert told["root"] == str(project.root)
    assert (told["n_jobs"], told["next_number"]) == (3, 4)
    assert told["disk"]["free"] > 0
    assert told["trash"] == {"n_files": 0, "n_bytes": 0}


def test_job_types_come_in_the_order_of_the_window(client):
    told = client.get("/api/types").json()
    assert [one["word"] for one in told] == [one.word for one in registry.all_types()]
    assert told[0]["gui_name"] == "Import"
    for one in told:
        assert (one["why_not"] is None) == one["built"]


@pytest.mark.parametrize("word", [one.word for one in registry.all_types()])
def test_every_option_of_a_declaration_is_in_its_form(client, word):
    told = client.get(f"/api/types/{word}/form").json()
    shown = [o for tab in told["tabs"] for group in tab["groups"] for o in group["options"]]
    job_type = registry.find(word)
    assert [one["name"] for one in shown] == list(job_type.options)
    names = set(job_type.options)
    for one in shown:
        assert one["help"]
        assert one["label"]
        assert set(_keys(one["when"])) <= names
        assert one["name"] in told["values"]
        if one["kind"] == "node":
            assert one["node_type"]
        if one["kind"] == "radio":
            assert one["default"] in one["choices"]
    assert told["last_used"] is None or word == "external"


def _keys(told):
    if told is None:
        return []
    if told["key"] is not None:
        return [told["key"]]
    return [key for part in told["all"] or told["any"] for key in _keys(part)]


def test_a_helix_tab_has_its_switch(client):
    tabs = {tab["title"]: tab for tab in client.get("/api/types/class2d/form").json()["tabs"]}
    switch = tabs["Helix"]["switch"]
    assert registry.find("class2d").options[switch].key == "do_helix"
    assert tabs["I/O"]["switch"] is None


_NAMES = st.sampled_from(["a", "b", "c"])
_RULES = st.recursive(
    _NAMES,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda t: "({} {} {})".format(*t)
        ),
    ),
    max_leaves=6,
)


@given(_RULES, st.fixed_dictionaries({name: st.booleans() for name in "abc"}))
def test_a_rule_as_data_means_what_it_says(text, values):
    def holds(told: Rule) -> bool:
        if told.key is not None:
            return values[told.key] == told.equals
        if told.all is not None:
            return all(map(holds, told.all))
        return any(map(holds, told.any or []))

    told = rule(text)
    assert told is not None
    assert holds(told) == rules.holds(text, values.__getitem__)


def test_units_are_told_by_the_end_of_a_name():
    assert unit("mask_diameter_A") == "Å"
    assert unit("dose_per_frame_e_per_A2") == "e/Å²"
    assert unit("box_px") == "px"
    assert unit("n_classes") == ""


def test_a_form_is_filled_from_what_was_last_used_and_from_a_job(client):
    told = client.get("/api/types/external/form").json()
    assert told["values"]["executable"] == "./make_particles.sh"
    assert told["values"]["particles"] == "External/job002/particles.star"
    of_job = client.get("/api/types/external/form?job=1").json()
    assert of_job["values"]["particles"] == ""
    plain = client.get("/api/types/external/form?defaults=true").json()
    assert plain["values"]["executable"] != "./make_particles.sh"
    assert client.get("/api/types/class2d/form?job=1").status_code == 409
    assert client.get("/api/types/classes2d/form").status_code == 404


def test_the_list_of_jobs(client):
    rows = client.get("/api/jobs").json()
    assert [row["n"] for row in rows] == [1, 2, 3]
    first, second, third = rows
    assert first["note_first_line"] == "looks fine"
    assert second["alias"] == "good"
    assert second["inputs"] == [1]
    assert second["outputs"] == [3]
    assert second["headline"][0] == {"name": "n", "label": "Particles", "value": 7, "unit": ""}
    assert len(second["headline"]) == 3
    assert {row["status"] for row in rows} == {"Succeeded"}
    assert third["ended"]
    assert not third["waits_for_you"]


def test_one_job(client):
    told = client.get("/api/jobs/2").json()
    assert told["input_nodes"][0]["path"] == A
    assert told["input_nodes"][0]["job"] == 1
    assert told["output_nodes"][0]["count"] == 1
    assert told["output_nodes"][0]["used_by"] == [3]
    assert {"continue", "overwrite", "delete", "clean", "mark"} <= set(told["can"])
    assert [one["name"] for one in told["headline"]] == list("nopq")
    options = {one["name"]: one for one in told["options"]}
    assert options["executable"]["changed"]
    assert client.get("/api/jobs/77").status_code == 404
    assert client.get("/api/jobs/x").status_code == 422


def test_results_and_plots(client):
    assert client.get("/api/jobs/2/results").json()["headline"][0]["value"] == 7
    plot = client.get("/api/jobs/2/plots/curve").json()
    assert plot["kind"] == "line"
    assert plot["series"][0]["y"] == [None]
    missing = client.get("/api/jobs/2/plots/..%2F..%2Fx")
    assert missing.status_code == 404
    assert client.get("/api/jobs/1/plots/none").json()["error"].endswith("it has: none.")


def test_a_log_is_read_in_parts(client):
    whole = client.get("/api/jobs/2/log").json()
    assert whole["text"] == "line 1\nümlaut\nline 3\n"
    assert whole["next"] == whole["size"]
    part = client.get("/api/jobs/2/log?from=7").json()
    assert part["text"].startswith("ümlaut")
    tail = client.get("/api/jobs/2/log?from=-9").json()
    assert tail["text"] == "line 3\n"
    assert client.get("/api/jobs/1/log?stream=err").json()["text"] == ""


def test_neighbours(client):
    before = client.get("/api/jobs/2/inputs").json()
    assert [job["n"] for job in before["jobs"]] == [1]
    assert before["jobs"][0]["nodes"][0]["count"] == 1
    after = client.get("/api/jobs/2/outputs").json()
    assert [job["n"] for job in after["jobs"]] == [3]


def test_the_graph_stands_in_layers(client):
    told = client.get("/api/graph?with_layout=true&counts=true").json()
    assert [(edge["source"], edge["target"]) for edge in told["edges"]] == [(1, 2), (2, 3)]
    assert told["edges"][0]["count"] == 1
    assert [job["layer"] for job in told["jobs"]] == [0, 1, 2]
    assert told["width"] > 0


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=60))
def test_a_job_stands_below_what_it_reads_and_no_two_overlap(pairs):
    edges = [(min(a, b), max(a, b)) for a, b in pairs if a != b]
    found = layout.places(list(range(1, 31)), edges)
    assert len(found) == 30
    for source, target in edges:
        assert found[source].layer < found[target].layer
    centres = {(place.x, place.y) for place in found.values()}
    assert len(centres) == 30


def test_a_graph_with_a_circle_is_drawn_all_the_same():
    assert len(layout.places([1, 2], [(1, 2), (2, 1)])) == 2


def test_pictures_of_the_graph(client):
    whole = client.get("/api/graph.svg")
    assert whole.headers["content-type"].startswith("image/svg+xml")
    assert whole.text.count("<rect") >= 3
    assert "good" in whole.text
    assert "External/job002" in client.get("/api/graph.svg?job=3").text


def test_choosers_offer_what_fits(client):
    fitting = client.get("/api/nodes?type=ParticleGroupMetadata.star").json()
    assert [node["job"] for node in fitting] == [3, 2, 1]
    assert client.get("/api/nodes?type=Mask3D.mrc").json() == []
    pattern = {"pattern": "STAR files (*_optimiser.star)"}
    assert client.get("/api/nodes", params=pattern).json() == []


def test_files_of_a_folder(client):
    told = client.get("/api/files?path=External&pattern=*.star").json()
    paths = [row["path"] for row in told["files"]]
    assert {"External/good", "External/job001"} <= set(paths)
    inside = client.get("/api/files?path=External/job002").json()
    names = {Path(row["path"]).name for row in inside["files"]}
    assert {"job.star", "particles.star", "run.out"} <= names
    assert inside["parent"] == "External"
    assert not any(name.startswith(".") for name in names)


def test_a_file_is_shown_in_place_or_handed_out(client, project):
    (project.root / "x.pdf").write_bytes(b"%PDF-1.4")
    shown = client.get("/api/files/raw?path=x.pdf")
    assert shown.headers["content-type"] == "application/pdf"
    assert shown.headers["content-disposition"].startswith("inline")
    assert client.get("/api/files/raw?path=External").status_code == 404


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("class2d", "type", "class2d"),
        ("2D classification", "type", "class2d"),
        ("empty trash", "action", "trash"),
        ("re-read pipeline", "action", "reread"),
        ("good", "job", "2"),
        ("002", "job", "2"),
        ("looks fine", "job", "1"),
        ("job001/particles", "node", A),
    ],
)
def test_everything_is_found_by_relions_name_or_ours(client, text, kind, target):
    hits = client.get("/api/search", params={"q": text}).json()["hits"]
    assert (kind, target) in [(hit["kind"], hit["target"]) for hit in hits[:3]]


def test_what_is_found_has_the_words_of_the_lists(client):
    hits = client.get("/api/search", params={"q": "job"}).json()["hits"]
    said = " ".join(hit["detail"] for hit in hits if hit["kind"] == "job")
    assert "Finished" in said
    assert "Succeeded" not in said


def test_a_check_tells_each_problem_beside_its_field(client):
    told = client.post(
        "/api/types/class2d/check", json={"values": {"n_classes": 0, "particles": "none.star"}}
    ).json()
    assert told["ok"] is False
    assert {row["where"] for row in told["problems"]} == {"n_classes", "particles"}
    assert "at least 1" in " ".join(row["message"] for row in told["problems"])


def test_a_check_tells_what_would_be_executed(client, project):
    told = client.post(
        "/api/types/class2d/check", json={"values": {"particles": A, "n_classes": 5}}
    ).json()
    assert told["ok"], told
    assert "Class2D/job004/" in told["commands"][0]
    assert told["job"] == "Class2D/job004/"
    assert told["inputs"][0]["count"] == 1
    assert project.pipeline.counter == 4


def test_a_check_of_an_overwrite_names_who_uses_the_job(client):
    told = client.post("/api/types/external/check", json={"values": {}, "overwrite_job": 2}).json()
    assert told["dependents"] == [3]


def test_a_type_that_is_not_built_says_so(client):
    told = client.post("/api/types/dynamight/check", json={"values": {}}).json()
    assert told["ok"] is False
    assert "cannot run them yet" in told["problems"][0]["message"]


def test_an_unknown_field_is_refused_by_name(client):
    answer = client.post("/api/types/class2d/check", json={"value": {}})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["where"] == "value"


def test_the_document_is_the_same_each_time_and_names_every_operation_once():
    from vitreous.gui.openapi import document

    text = document()
    assert text == document()
    paths = json.loads(text)["paths"].values()
    names = [act["operationId"] for path in paths for act in path.values()]
    assert len(names) == len(set(names))


def test_a_page_without_a_front_end_says_so_in_one_sentence(client, monkeypatch, tmp_path):
    from vitreous.gui.routes import pages

    monkeypatch.setattr(pages, "STATIC", tmp_path / "static")
    answer = client.get("/jobs/12")
    assert answer.status_code == 200
    assert "npm" in answer.text
    assert client.get("/missing.js").status_code == 404


def test_pages_that_are_being_built_come_back_by_themselves(client, monkeypatch, tmp_path):
    from vitreous.gui.routes import pages

    monkeypatch.setattr(pages, "STATIC", tmp_path)
    answer = client.get("/jobs/12")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert 'http-equiv="refresh"' in answer.text
    assert "built anew" in answer.text
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>the app")
    (tmp_path / "assets/a.js").write_text("1")
    assert client.get("/jobs/12").text == "<p>the app"
    built = client.get("/assets/a.js")
    assert "immutable" in built.headers["cache-control"]
    assert built.headers["content-type"].startswith("text/javascript")
