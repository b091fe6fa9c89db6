"""What a browser does to a project: making jobs, names, notes, cleaning, the Trash, schedules."""

from __future__ import annotations

import threading
import time

import pytest

from vitreous import Project
from vitreous.project.lock import FOLDER as LOCK

A = "External/job001/particles.star"
SCRIPT = "./make_particles.sh"


def _new(request_id="request-1", **more):
    values = {"fn_exe": SCRIPT, "in_part": A}
    return {"word": "external", "values": values, "request_id": request_id, **more}


def _until(client, n, status, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        row = client.get(f"/api/jobs/{n}").json()
        if row["status"] == status:
            return row
        time.sleep(0.1)
    raise AssertionError(f"job {n} is {row['status']}, not {status}: {row['reason']}")


def test_a_job_is_run_and_ends(client, project):
    made = client.post("/api/jobs", json=_new(alias="mine"))
    assert made.status_code == 201, made.text
    assert made.json()["n"] == 4
    row = _until(client, 4, "Succeeded")
    assert row["alias"] == "mine"
    assert row["inputs"] == [1]
    assert "working in External/job004/" in client.get("/api/jobs/4/log").json()["text"]
    assert Project(project.root).job(4).status == "Succeeded"


def test_a_request_that_is_sent_twice_is_done_once(client):
    answers = []

    def send():
        answers.append(client.post("/api/jobs", json=_new("double-click", mode="schedule")))

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert {answer.json()["n"] for answer in answers} == {4}
    assert len(client.get("/api/jobs").json()) == 4


def test_a_request_that_was_refused_can_be_sent_again(client):
    wrong = _new("mended-later")
    wrong["values"] = {"fn_exe": SCRIPT, "in_part": "none.star"}
    refused = client.post("/api/jobs", json=wrong)
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["where"] == "particles"
    assert len(client.get("/api/jobs").json()) == 3
    assert client.post("/api/jobs", json=_new("mended-later", mode="schedule")).status_code == 201


def test_a_scheduled_job_is_started(client):
    client.post("/api/jobs", json=_new(mode="schedule"))
    assert client.get("/api/jobs/4").json()["status"] == "Scheduled"
    assert "start" in client.get("/api/jobs/4").json()["can"]
    assert client.post("/api/jobs/4/start", json={}).status_code == 200
    _until(client, 4, "Succeeded")
    assert client.post("/api/jobs/4/start", json={}).status_code == 409


def test_a_job_is_continued_and_overwritten_under_its_number(client):
    client.post("/api/jobs", json=_new())
    _until(client, 4, "Succeeded")
    again = client.post("/api/jobs", json=_new("again-00", mode="continue", job=4))
    assert again.status_code == 201, again.text
    _until(client, 4, "Succeeded")
    note = client.get("/api/jobs/4/note").json()["text"]
    assert note.count("Executing new job") == 2
    over = client.post("/api/jobs", json=_new("over-000", mode="overwrite", job=4))
    assert over.json()["n"] == 4, over.text
    _until(client, 4, "Succeeded")
    assert client.get("/api/jobs/4/note").json()["text"].count("Executing new job") == 1
    assert client.post("/api/jobs", json=_new("no-job-00", mode="continue")).status_code == 409


def test_a_running_job_is_aborted(client, project):
    script = project.root / "sleep.sh"
    script.write_text(
        """#!/bin/sh
        echo begun
        while [ ! -e "${2}RELION_JOB_ABORT_NOW" ]; do sleep 0.1; done
        rm "${2}RELION_JOB_ABORT_NOW"
        touch "${2}RELION_JOB_EXIT_ABORTED"
        """
    )
    script.chmod(0o755)
    new = _new()
    new["values"]["fn_exe"] = "./sleep.sh"
    client.post("/api/jobs", json=new)
    assert "abort" in client.get("/api/jobs/4").json()["can"]
    assert client.post("/api/jobs/4/delete", json={"dry_run": True}).json()["blocked"]
    assert client.post("/api/jobs/4/delete", json={"dry_run": False}).status_code == 409
    assert client.post("/api/jobs/4/abort", json={}).status_code == 200
    told = client.get("/api/jobs/4").json()
    assert told["status"] == "Aborted"
    assert told["failure"]["remedies"]


def test_a_failed_job_tells_cause_remedies_and_its_last_lines(client, project):
    script = project.root / "fail.sh"
    script.write_text("#!/bin/sh\necho 'no such thing' >&2\nexit 3\n")
    script.chmod(0o755)
    new = _new()
    new["values"]["fn_exe"] = "./fail.sh"
    client.post("/api/jobs", json=new)
    told = _until(client, 4, "Failed")
    assert "exit code 3" in told["failure"]["cause"]
    assert told["failure"]["last_lines"] == ["no such thing"]
    assert any("Overwrite" in one for one in told["failure"]["remedies"])
    assert client.post("/api/jobs/4/clear-errors", json={}).status_code == 200
    assert client.get("/api/jobs/4/log?stream=err").json()["size"] == 0


def test_an_alias_is_given_and_taken_away(client):
    assert client.post("/api/jobs/1/alias", json={"alias": "first try"}).status_code == 200
    assert client.get("/api/jobs").json()[0]["alias"] == "first_try"
    clash = client.post("/api/jobs/3/alias", json={"alias": "good"})
    assert clash.status_code == 409
    assert "good" in clash.json()["error"]
    assert client.post("/api/jobs/1/alias", json={"alias": None}).status_code == 200
    assert client.get("/api/jobs").json()[0]["alias"] is None


def test_two_people_who_change_a_note_are_told(client):
    seen = client.get("/api/jobs/1/note").json()
    mine = client.put("/api/jobs/1/note", json={"text": "mine", "version": seen["version"]})
    assert mine.status_code == 200
    late = client.put("/api/jobs/1/note", json={"text": "theirs", "version": seen["version"]})
    assert late.status_code == 409
    assert late.json()["text"] == "mine"
    assert client.get("/api/jobs/1/note").json()["text"] == "mine"
    whole = client.put("/api/project/note", json={"text": "of all"})
    assert whole.json()["text"] == "of all"
    assert "mine" in client.get("/api/project/notes").text


def test_marks(client):
    assert client.post("/api/jobs/3/mark", json={"state": "failed"}).status_code == 200
    assert client.get("/api/jobs/3").json()["status"] == "Failed"
    assert client.post("/api/jobs/3/mark", json={"state": "lost"}).status_code == 422


def test_deleting_shows_what_goes_along_first_and_can_be_undone(client, project):
    plan = client.post("/api/jobs/1/delete", json={}).json()
    assert [job["n"] for job in plan["jobs"]] == [1, 2, 3]
    assert plan["jobs"][1]["because_of"] == "External/job001/"
    assert plan["n_bytes"] > 0
    assert len(client.get("/api/jobs").json()) == 3
    assert client.post("/api/jobs/1/delete", json={"dry_run": False}).status_code == 409
    done = client.post("/api/jobs/1/delete", json={"dry_run": False, "yes": True})
    assert done.status_code == 200
    assert client.get("/api/jobs").json() == []
    trash = client.get("/api/trash").json()
    assert [job["n"] for job in trash["jobs"]] == [1, 2, 3]
    back = client.post(
        "/api/trash/undelete", json={"names": ["External/job001/"], "whole_group": True}
    )
    assert back.json()["jobs"] == [1, 2, 3]
    assert len(client.get("/api/jobs").json()) == 3
    assert (project.root / A).exists()


def test_emptying_the_trash(client, project):
    client.post("/api/jobs/3/delete", json={"dry_run": False})
    assert client.get("/api/project").json()["trash"]["n_files"] > 0
    assert client.post("/api/trash/empty", json={}).status_code == 200
    assert client.get("/api/trash").json()["jobs"] == []
    assert not list(project.folder.trash.rglob("job.star"))


def _extract(project):
    """Make a finished Extract job with files that cleaning takes."""
    with project.folder.edit("test") as pipeline:
        process = pipeline.add_process("Extract", "relion.extract", "Succeeded")
    folder = project.root / process.name / "Movies"
    folder.mkdir(parents=True)
    (folder / "a_extract.star").write_text("x" * 100)
    (folder / "a.mrcs").write_text("y" * 1000)
    from vitreous.jobs import job_star, registry
    from vitreous.jobs.job_star import JobFile

    options = registry.find("extract").new({}, {})
    file = JobFile(
        job_type=options.job_type, options=options, is_continue=False, label="relion.extract"
    )
    job_star.write_job(project.root / process.name, file)
    return process.number


def test_cleaning_tells_sizes_before_it_moves_anything(client, project):
    n = _extract(project)
    gentle = client.post(f"/api/jobs/{n}/clean", json={"harsh": False}).json()
    assert (gentle["n_files"], gentle["n_bytes"]) == (1, 100)
    harsh = client.post(f"/api/jobs/{n}/clean", json={"harsh": True}).json()
    assert harsh["n_bytes"] == 1100
    assert harsh["jobs"][0]["n_bytes_before"] > 1100
    assert (project.root / f"Extract/job{n:03d}/Movies/a.mrcs").exists()
    everything = client.post("/api/project/clean-all", json={"harsh": True}).json()
    assert everything["n_bytes"] == 1100
    done = client.post(f"/api/jobs/{n}/clean", json={"harsh": True, "dry_run": False}).json()
    assert done["n_bytes"] == 1100
    assert not (project.root / f"Extract/job{n:03d}/Movies/a.mrcs").exists()
    assert [row["n"] for row in client.get("/api/trash").json()["cleaned"]] == [n]
    back = client.post("/api/trash/undelete", json={"names": [f"Extract/job{n:03d}/"]}).json()
    assert len(back["files"]) == 2


def test_scheduled_jobs_are_run_by_a_process_of_their_own(client):
    for number in (1, 2):
        client.post("/api/jobs", json=_new(f"schedule-{number}", mode="schedule"))
    body = {"jobs": [4, 5], "name": "night", "wait_after_s": 0.2}
    started = client.post("/api/autorun", json=body)
    assert started.status_code == 201, started.text
    _until(client, 5, "Succeeded", 40)
    end = time.monotonic() + 10
    while (row := client.get("/api/autorun").json()[0])["is_running"] and time.monotonic() < end:
        time.sleep(0.1)
    assert row["name"] == "night"
    assert not row["is_running"]
    assert any("has done all" in line for line in row["log"])
    assert client.post("/api/autorun/stop", json={"name": "night"}).status_code == 409
    assert client.post("/api/autorun", json={"jobs": [1], "name": "x"}).status_code == 409
    assert client.post("/api/autorun", json={"jobs": [4], "name": "../x"}).status_code == 422


def test_scheduled_jobs_are_exported_and_imported(client):
    client.post("/api/jobs", json=_new(mode="schedule"))
    assert client.post("/api/autorun/export", json={"name": "plan"}).status_code == 201
    imported = client.post("/api/autorun/import", json={"path": "ExportJobs/plan"})
    assert imported.status_code == 201, imported.text
    assert len(client.get("/api/jobs").json()) == 5
    assert client.post("/api/autorun/import", json={"path": "../x"}).status_code == 404


def test_drafts_survive_the_server_and_never_overwrite_each_other(client, project):
    url = "/api/drafts/form/class2d"
    first = client.put(url, json={"value": {"n_classes": "7"}, "version": 0, "by": "left"})
    assert first.json()["version"] == 1
    late = client.put(url, json={"value": {}, "version": 0, "by": "right"})
    assert late.status_code == 409
    assert late.json()["theirs"]["value"] == {"n_classes": "7"}
    assert "left" in late.json()["error"]
    from vitreous.gui.drafts import Drafts

    assert Drafts(project.root).read("form/class2d").value == {"n_classes": "7"}
    assert client.request("DELETE", url, json={}).status_code == 200
    gone = client.get(url).json()
    assert (gone["value"], gone["version"]) == (None, 2)


def test_display_settings_are_kept_in_the_project(client):
    client.put("/api/drafts/settings", json={"value": {"sigma": 3}, "version": 0})
    assert client.get("/api/project").json()["settings"] == {"sigma": 3}


def test_the_nodes_folder_is_made_anew(client, project):
    assert client.post("/api/project/remake-nodes", json={}).status_code == 200
    assert (project.root / ".Nodes/ParticleGroupMetadata/External/good/particles.star").exists()


def test_whoever_else_holds_the_project_is_named(client, project):
    import dataclasses

    folder = client.app.state.server.project.folder
    folder.policy = dataclasses.replace(folder.policy, timeout_s=0.3)
    (project.root / LOCK).mkdir()
    refused = client.post("/api/jobs/1/alias", json={"alias": "held"})
    assert refused.status_code == 423
    assert "lock" in refused.json()["error"]
    (project.root / LOCK).rmdir()
    assert client.post("/api/jobs/1/alias", json={"alias": "held"}).status_code == 200


@pytest.mark.parametrize("act", ["alias", "mark", "delete", "clean", "abort", "start"])
def test_a_project_that_is_read_only_is_left_as_it_is(project, act):
    import small_project
    from gui_client import TOKEN, client_of
    from vitreous.gui.guard import Access
    from vitreous.gui.server import create_app

    before = small_project.snapshot(project.root)
    with client_of(create_app(project.root, access=Access(TOKEN), read_only=True)) as client:
        body = {"alias": "x"} if act == "alias" else {"state": "failed"} if act == "mark" else {}
        body = {"dry_run": False} if act in ("delete", "clean") else body
        assert client.post(f"/api/jobs/1/{act}", json=body).status_code in (403, 409)
        assert client.post("/api/jobs", json=_new()).status_code == 403
        assert client.get("/api/project").json()["read_only"] is True
        assert client.put("/api/drafts/x", json={"value": 1}).status_code == 200
    assert small_project.snapshot(project.root) == before
