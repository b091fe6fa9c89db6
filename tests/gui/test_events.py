"""Several windows see the same truth within a second, and miss nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

import small_project
from gui_client import ORIGIN, SOCKET
from vitreous import Project
from vitreous.gui.book import JobBook
from vitreous.gui.events import Hub, Listener
from vitreous.gui.watch import Watcher
from vitreous.running import record


def _next(socket, *kinds, most=50):
    for _ in range(most):
        event = socket.receive_json()
        if event["kind"] in kinds:
            return event
    raise AssertionError(f"no {kinds} came")


def test_a_page_is_greeted_and_told_what_happens_in_another_window(client):
    with (
        client.websocket_connect(SOCKET, headers=ORIGIN) as left,
        client.websocket_connect(SOCKET, headers=ORIGIN) as right,
    ):
        assert left.receive_json()["kind"] == right.receive_json()["kind"] == "hello"
        client.post("/api/jobs/1/alias", json={"alias": "seen"})
        for socket in (left, right):
            event = _next(socket, "job")
            assert (event["n"], event["row"]["alias"]) == (1, "seen")


def test_what_the_shell_does_is_seen_within_a_second(client, project):
    with client.websocket_connect(SOCKET, headers=ORIGIN) as socket:
        _next(socket, "hello")
        time.sleep(0.3)
        began = time.monotonic()
        Project(project.root).alias(2, "by_the_shell")
        event = _next(socket, "job")
        assert event["row"]["alias"] == "by_the_shell"
        assert time.monotonic() - began < 2.5  # 0.9 s on an idle machine
        small_project.finished_external(Project(project.root))
        added = _next(socket, "jobs")
        assert [row["n"] for row in added["added"]] == [4]


def test_a_page_that_comes_back_gets_what_it_missed(client):
    with client.websocket_connect(SOCKET, headers=ORIGIN) as socket:
        hello = _next(socket, "hello")
    for text in ("one", "two"):
        client.put(f"/api/drafts/{text}", json={"value": 1})
    time.sleep(0.1)
    again = f"{SOCKET}?since={hello['seq']}&boot={hello['boot']}"
    with client.websocket_connect(again, headers=ORIGIN) as socket:
        _next(socket, "hello")
        assert _next(socket, "draft")["key"] == "one"
        second = _next(socket, "draft")
        assert second["key"] == "two"
        assert second["seq"] > hello["seq"]


@pytest.mark.parametrize("query", ["since=5&boot=other", "since=99999&boot={boot}", "since=0"])
def test_a_page_of_another_server_starts_anew(client, query):
    boot = client.app.state.server.hub.boot
    url = f"{SOCKET}?{query.format(boot=boot)}"
    with client.websocket_connect(url, headers=ORIGIN) as socket:
        assert _next(socket, "hello")["boot"] == boot
        assert socket.receive_json()["kind"] == "reset"


def test_a_log_is_followed_by_whoever_asks_for_it(client, project):
    path = project.job(2).path / "run.out"
    path.write_text("before\n")
    with client.websocket_connect(SOCKET, headers=ORIGIN) as socket:
        _next(socket, "hello")
        socket.send_json({"subscribe": {"log": 2}})
        first = _next(socket, "log")
        assert (first["n"], first["stream"], first["text"]) == (2, "out", "before\n")
        with path.open("a") as stream:
            stream.write("after\n")
        assert _next(socket, "log")["text"] == "after\n"
        socket.send_text("no json")
        socket.send_json({"subscribe": {"log": None}})


def test_nothing_is_told_while_nothing_happens(project):
    hub = Hub()
    watcher = Watcher(project, JobBook(project), hub)
    for _ in range(5):
        watcher.look()
    assert hub.seq == 0


def test_the_watcher_tells_progress_results_and_the_end(project):
    job = project.run("external", fn_exe="./make_particles.sh", schedule=True)
    with project.folder.edit("test") as pipeline:
        pipeline.set_status(job.name, "Running")
    mine = record.ProcessRecord(state="interactive", host="x")
    record.write_process(job.path, mine)
    hub = Hub()
    listener = Listener(hub)
    hub.listeners.add(listener)
    watcher = Watcher(project, JobBook(project), hub)
    watcher.look()
    report = {"phase": "p", "done": 1, "total": 4, "unit": "x", "rate": 1.0, "left_s": 3.0}
    record.append_progress(job.path, report)
    watcher.look()
    record.write_results(job.path, {"headline": [{"name": "a", "value": 1.5, "unit": "Å"}]})
    watcher.look()
    (job.path / "RELION_JOB_EXIT_SUCCESS").touch()
    watcher.look()
    told = [listener.queue.get_nowait() for _ in range(listener.queue.qsize())]
    kinds = [event["kind"] for event in told]
    assert kinds[0] == "progress"
    assert told[0]["progress"]["done"] == 1
    assert {"results", "job", "graph"} <= set(kinds)
    rows = [event["row"] for event in told if event["kind"] == "job"]
    assert rows[0]["headline"][0]["value"] == 1.5
    assert rows[-1]["status"] == "Succeeded"
    assert project.pipeline.find(job.name).status == "Succeeded"


def test_a_page_that_cannot_follow_starts_anew():
    hub = Hub()
    listener = Listener(hub)
    hub.listeners.add(listener)
    for _ in range(1001):
        hub.tell("graph")
    assert listener.is_lost
    assert hub.missed(hub.boot, 1) is not None
    for _ in range(2001):
        hub.tell("graph")
    assert hub.missed(hub.boot, 1) is None
    assert hub.missed(hub.boot, hub.seq) == []


def test_a_damaged_pipeline_does_not_end_the_watching(client, project, caplog):
    whole = project.folder.file.read_bytes()
    project.folder.file.write_bytes(whole[:40])
    with client.websocket_connect(SOCKET, headers=ORIGIN) as socket:
        _next(socket, "hello")
        assert client.get("/api/jobs").status_code == 409
        project.folder.file.write_bytes(whole)
        Project(project.root).alias(1, "mended")
        assert _next(socket, "job")["row"]["alias"] == "mended"


def test_rows_are_made_anew_only_where_something_changed(project):
    book = JobBook(project)
    first = book.rows()
    assert all(a is b for a, b in zip(first, book.rows(), strict=True))
    record.write_results(project.job(2).path, {"headline": [], "warnings": [{"count": 3}]})
    second = book.rows()
    assert [a is b for a, b in zip(first, second, strict=True)] == [True, False, True]
    assert second[1]["n_warnings"] == 3
    assert json.loads(book.encoded())[1]["n_warnings"] == 3
    project.note(1, "seen at a glance")
    assert book.glance()[0]["note_first_line"] == "seen at a glance"
    project.alias(3, "renamed")
    assert [row["alias"] for row in book.glance()] == [None, "good", "renamed"]
    assert book.glance() is book.glance()  # nothing changed: nothing to compare


def test_a_glance_at_a_large_project_asks_for_few_files(tmp_path, monkeypatch):
    from vitreous.gui import book as looking
    from vitreous.programs.benchmark_gui import make_project

    make_project(tmp_path / "large", 400)
    book = JobBook(Project(tmp_path / "large"))
    book.glance()
    asked = []
    whole = looking._stamp
    monkeypatch.setattr(looking, "_stamp", lambda *words: asked.append(words) or whole(*words))
    record.write_results(tmp_path / "large/Class2D/job399", {"warnings": [{"count": 7}]})
    rounds = [book.glance()[398]["n_warnings"] for _ in range(5)]
    assert len(asked) == 400
    assert rounds == [0, 0, 0, 0, 7]


def test_a_job_does_not_notice_that_its_server_is_stopped_and_started(project, tmp_path):
    """Start a job through a real server, kill the server, and look at the job through another."""
    slow = project.root / "slow.sh"
    slow.write_text('#!/bin/sh\nsleep 4\necho survived\ntouch "${2}RELION_JOB_EXIT_SUCCESS"\n')
    slow.chmod(0o755)
    environment = {"VITREOUS_RUNTIME_DIR": str(tmp_path / "run"), "PATH": "/usr/bin:/bin"}
    with _server(project.root, environment) as first:
        body = {"word": "external", "values": {"fn_exe": "./slow.sh"}, "request_id": "a" * 8}
        body["values"]["in_part"] = "External/job001/particles.star"
        made = _ask(first, "POST", "/api/jobs", body)
        assert made["status"] == "Running"
    with _server(project.root, environment) as second:
        assert second["token"] == first["token"]  # so that open windows go on
        end = time.monotonic() + 30
        while (row := _ask(second, "GET", "/api/jobs/4"))["status"] == "Running":
            assert time.monotonic() < end
            time.sleep(0.2)
        assert row["status"] == "Succeeded"
        assert "survived" in _ask(second, "GET", "/api/jobs/4/log")["text"]


class _server:  # noqa: N801 - used as a function
    """Run `vitreous gui` in a process of its own; Ctrl-C ends it."""

    def __init__(self, root, environment):
        words = ["-m", "vitreous", "gui", "--project", str(root), "--no-browser", "--json"]
        self._process = subprocess.Popen(
            [sys.executable, *words, "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self):
        text = ""
        while not text.rstrip().endswith("}"):
            line = self._process.stdout.readline()
            assert line, "the server ended at once"
            text += line
        told = json.loads(text)
        url, _, token = told["url"].partition("/?token=")
        return {**told, "url": url, "token": token}

    def __exit__(self, *_):
        self._process.send_signal(2)
        assert self._process.wait(15) == 0
        self._process.stdout.close()


def _ask(server, method, path, body=None):
    from http.client import HTTPConnection

    headers = {"Authorization": f"Bearer {server['token']}", "Content-Type": "application/json"}
    connection = HTTPConnection(server["url"].removeprefix("http://"), timeout=20)
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    assert answer.status < 300, found
    return found
