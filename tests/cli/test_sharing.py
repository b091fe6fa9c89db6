"""Projects passed on: the form of another RELION, the plan of jobs for another project."""

from __future__ import annotations

from pathlib import Path

import small_project
from vitreous import Project


def test_the_form_is_changed_and_the_old_file_kept(project, call):
    small_project.finished_external(project)
    said = call("change-form", "3.1", "--json")
    assert said.code == 0, said.err
    text = (project.root / "default_pipeline.star").read_text()
    assert "_rlnPipeLineProcessStatus #4" in text
    assert "rlnPipeLineProcessStatusLabel" in Path(said.json()["kept"]).read_text()
    assert "already" in call("change-form", "3.1").out
    assert Project(project.root).pipeline.form == "3.1"


def test_an_unknown_form_is_refused(project, call):
    assert call("change-form", "2.9").code == 2


def test_scheduled_jobs_go_to_another_project(project, call, tmp_path):
    asked = ["run", "external", "fn_exe=./make_particles.sh", "--schedule"]
    assert call(*asked).code == 0
    assert call(*asked).code == 0
    said = call("export-scheduled", "plan", "--json")
    assert said.code == 0, said.err
    other = Project.create(tmp_path / "other")
    taken = call("import-scheduled", said.json()["folder"], "--project", other.root, "--json")
    assert taken.json()["jobs"] == ["External/job001/", "External/job002/"]
    job = Project(other.root).job(1)
    assert job.status == "Scheduled"
    assert job.options["executable"] == "./make_particles.sh"


def test_an_export_of_nothing_is_refused_and_writes_nothing(project, call):
    said = call("export-scheduled", "plan")
    assert said.code == 2
    assert "no scheduled job" in said.err
    assert not (project.root / "ExportJobs").exists()
    assert call("import-scheduled", "nowhere").code == 2
