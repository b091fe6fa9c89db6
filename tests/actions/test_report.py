"""What `status` and `show` tell."""

from __future__ import annotations

import json
from typing import get_type_hints

import small_project
from vitreous.actions import report
from vitreous.running import record
from vitreous.running.record import ProcessRecord


def fields(kind):
    return set(get_type_hints(kind))


def test_the_status_report_has_its_fields_and_is_json(project):
    small_project.finished_external(project, alias="one")
    found = json.loads(json.dumps(project.status()))
    assert set(found) == fields(report.StatusReport)
    assert set(found["jobs"][0]) == fields(report.JobRow)
    job = found["jobs"][0]
    assert (job["number"], job["alias"], job["word"]) == (1, "External/one/", "external")
    assert (job["status"], job["title"]) == ("Succeeded", "External")
    assert found["schema"] == 1
    assert found["next_number"] == 2


def test_the_report_of_a_job_has_its_fields_and_is_json(project):
    name = small_project.finished_external(project)
    found = json.loads(json.dumps(project.show(1), default=str))
    assert set(found) == fields(report.JobReport)
    option = next(row for row in found["options"] if row["name"] == "executable")
    assert set(option) == fields(report.OptionValue)
    assert (option["key"], option["changed"]) == ("fn_exe", True)
    assert found["outputs"][0]["path"] == f"{name}particles.star"
    assert set(found["outputs"][0]) == fields(report.NodeRow)


def test_progress_and_headlines_are_told(project):
    name = small_project.finished_external(project)
    with project.folder.edit("test") as pipeline:
        pipeline.set_status(name, "Running")
    folder = project.root / name
    (folder / "RELION_JOB_EXIT_SUCCESS").unlink(missing_ok=True)
    record.append_progress(
        folder, {"phase": "Looking", "done": 3, "total": 9, "unit": "files", "left_s": 6.0}
    )
    record.write_results(
        folder,
        {"headline": [{"name": "resolution", "label": "Resolution", "value": 3.2, "unit": "Å"}]},
    )
    row = project.status()["jobs"][0]
    assert row["progress"] == {
        "phase": "Looking",
        "done": 3,
        "total": 9,
        "unit": "files",
        "rate": 0.0,
        "seconds_left": 6.0,
    }
    assert row["headline"][0]["value"] == 3.2
    assert project.job(1).results["resolution"] == 3.2


def test_a_queued_job_tells_since_when(project):
    name = small_project.finished_external(project)
    with project.folder.edit("test") as pipeline:
        pipeline.set_status(name, "Running")
    (project.root / name / "RELION_JOB_EXIT_SUCCESS").unlink(missing_ok=True)
    record.write_process(
        project.root / name,
        ProcessRecord(state="queued", submitted=record.now(), queue_system="", queue_id="77"),
    )
    row = project.status()["jobs"][0]
    assert row["queue_id"] == "77"
    assert row["status"] == "Running"


def test_a_job_of_an_unknown_type_is_shown(project):
    with project.folder.edit("test") as pipeline:
        name = pipeline.add_process("Tomograms", "relion.reconstructtomograms", "Succeeded").name
    (project.root / name).mkdir(parents=True, exist_ok=True)
    (project.root / name / "job.star").write_text(
        "data_job\n\n_rlnJobTypeLabel relion.reconstructtomograms\n_rlnJobIsContinue 0\n\n"
        "data_joboptions_values\n\nloop_\n_rlnJobOptionVariable\n_rlnJobOptionValue\nkey 5\n"
    )
    found = project.show(name)
    assert found["title"] == "Tomograms"
    assert found["unknown"] == {"key": "5"}
    assert project.job(name).options == {"key": "5"}


def test_damaged_records_do_not_hide_a_job(project):
    name = small_project.finished_external(project)
    (project.root / name / "process.json").write_text("{")
    (project.root / name / "results.json").write_text("[1]")
    assert project.status()["jobs"][0]["headline"] == []
