"""The commands of the shell: what they print, their JSON, their exit codes."""

from __future__ import annotations

import os

import pytest

import small_project


def test_init_makes_a_project_and_says_where(tmp_path, call):
    said = call("init", tmp_path / "new", "--json")
    assert said.code == 0
    assert said.json() == {"project": str(tmp_path / "new"), "form": "5.0", "new": True}
    assert "is a project already" in call("init", tmp_path / "new").out


def test_a_command_elsewhere_names_init(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    said = call("status")
    assert said.code == 2
    assert said.out == ""
    assert "vitreous init" in said.err
    assert "Traceback" not in said.err


def test_run_offers_to_make_a_project_on_a_terminal(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vitreous.cli.run.confirm", lambda question: "Make it one?" in question)
    said = call("run", "external", "fn_exe=/bin/true", "--schedule", "--json")
    assert said.json()["name"] == "External/job001/"


def test_a_fault_of_ours_is_told_in_one_line(project, monkeypatch, call):
    def broken(self, **how):
        raise RuntimeError("broken")

    monkeypatch.setattr("vitreous.actions.Project.refresh", broken)
    said = call("status")
    assert said.code == 1
    assert said.err.startswith("vitreous: a fault in vitreous itself (RuntimeError: broken)")
    assert "Traceback" not in said.err


def test_debug_shows_where_an_error_comes_from(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITREOUS_DEBUG", "1")
    assert "Traceback" in call("status").err


def test_the_project_is_named_from_elsewhere(project, monkeypatch, tmp_path, call):
    small_project.finished_external(project)
    monkeypatch.chdir(tmp_path)
    assert call("status", "--project", project.root, "--json").json()["jobs"][0]["number"] == 1


def test_a_whole_day_in_the_shell(project, call):
    said = call("run", "external", "fn_exe=./make_particles.sh", "--alias", "picked")
    assert said.code == 0, said.err
    assert "working in External/job001/" in said.out
    assert "External/picked/ succeeded" in said.out

    said = call("status")
    assert said.out.splitlines()[0].split() == ["NO", "TYPE", "NAME", "STATE", "SINCE"]
    assert said.out.splitlines()[1].split()[:4] == ["1", "external", "picked", "Succeeded"]

    said = call("show", "picked")
    for part in (
        "executable (fn_exe)",
        "./make_particles.sh",
        "External/job001/particles.star",
        "Commands",
        "Note",
    ):
        assert part in said.out, part
    assert "n_threads" not in said.out
    assert "n_threads" in call("show", 1, "--all").out

    assert call("log", "picked").out == "working in External/job001/\n"
    assert call("log", "picked", "--follow").out == "working in External/job001/\n"
    assert call("log", "picked", "--err").code == 0

    assert call("note", 1, "looks good").code == 0
    assert call("note", 1).out.endswith("looks good\n")
    assert call("note").out == "\n"
    assert call("note", "--all", "--json").json()["file"].endswith("default_all_notes.txt")

    assert call("alias", 1, "--remove").code == 0
    assert call("show", 1, "--json").json()["alias"] is None

    said = call("run", "external", "fn_exe=./make_particles.sh", "--schedule")
    assert "`vitreous autorun 2` runs it" in said.out
    said = call("autorun", 2, "--json")
    assert said.json() == {"name": "schedule1", "repeats": 1, "reason": ""}

    said = call("delete", 1, "--dry-run", "--json")
    assert [row["name"] for row in said.json()["jobs"]] == ["External/job001/"]
    assert call("delete", 1).code == 0
    assert call("undelete", "--json").json()["trash"][0]["name"] == "External/job001/"
    assert call("undelete", 1).out == "External/job001/ is back (succeeded).\n"

    assert call("mark", 1, "failed").code == 0
    assert call("status", "--json").json()["jobs"][0]["status"] == "Failed"
    assert call("empty-trash", "--yes").code == 0


def test_a_job_that_fails_gives_exit_code_1_and_the_reason(project, monkeypatch, call):
    monkeypatch.setenv("ENDING", "FAILURE")
    said = call("run", "external", "fn_exe=./make_particles.sh")
    assert said.code == 1
    assert "External/job001/ failed" in said.err
    assert "vitreous log 1 --err" in said.err


def slow_program(project):
    program = project.root / "slow.sh"
    program.write_text(
        "#!/bin/sh\nfor i in 1 2 3 4 5 6; do echo tick $i; sleep 0.2; done\n"
        'touch "$2/RELION_JOB_EXIT_SUCCESS"\n'
    )
    program.chmod(0o755)


def test_following_a_log_ends_with_the_job(project, call):
    slow_program(project)
    said = call("run", "external", "fn_exe=./slow.sh", "--background")
    assert said.code == 0
    assert "External/job001/ is running" in said.out
    said = call("log", 1, "--follow")
    assert said.out.split("\n")[:6] == [f"tick {i}" for i in range(1, 7)]
    assert call("status", "--json").json()["jobs"][0]["status"] == "Succeeded"


def test_abort_stops_a_running_job(project, call):
    program = project.root / "endless.sh"
    program.write_text(
        '#!/bin/sh\nwhile [ ! -e "$2/RELION_JOB_ABORT_NOW" ]; do sleep 0.1; done\n'
        'rm "$2/RELION_JOB_ABORT_NOW"; touch "$2/RELION_JOB_EXIT_ABORTED"\n'
    )
    program.chmod(0o755)
    call("run", "external", "fn_exe=./endless.sh", "--background")
    assert call("status", "--json").json()["jobs"][0]["status"] == "Running"
    assert call("abort", 1).out == "External/job001/ is aborted.\n"
    assert project.pipeline.processes["External/job001/"].status == "Aborted"
    said = call("abort", 1)
    assert said.code == 2
    assert "is not running" in said.err


def test_run_tells_everything_that_is_wrong_with_keys(project, call):
    before = small_project.snapshot(project.root)
    said = call("run", "external", "nr_threads=many", "in_part=nothing.star", "colour=red")
    assert said.code == 2
    assert said.out == ""
    assert "4 things stand in the way" in said.err
    assert "n_threads (nr_threads): is 'many', wanted a number" in said.err
    assert "particles (in_part): there is no file nothing.star" in said.err
    assert "executable (fn_exe)" in said.err
    assert small_project.snapshot(project.root) == before


def test_a_value_after_a_completed_key_is_taken(project, call):
    said = call("run", "external", "fn_exe=", "./make_particles.sh", "--dry-run", "--json")
    assert said.json()["commands"] == ["./make_particles.sh --o External/job001/ --j 1"]
    assert said.json()["name"] == "External/job001/"
    assert project.jobs == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("fn_exe",), "options are given as key=value"),
        (("fn_exe=a", "fn_exe=b"), "fn_exe is given twice"),
    ],
)
def test_words_that_are_no_options_are_refused(project, call, words, text):
    said = call("run", "external", *words)
    assert said.code == 2
    assert text in said.err


def test_run_takes_its_type_from_the_job_that_is_overwritten(project, call):
    small_project.finished_external(project)
    said = call("run", "other_args=--z", "--overwrite", 1, "--dry-run", "--json")
    assert said.json()["commands"] == ["./make_particles.sh --o External/job001/ --j 1 --z"]
    assert said.json()["mode"] == "overwrite"


def test_a_warning_does_not_stop_a_job(project, call):
    said = call("run", "external", "fn_exe=./make_particles.sh", "nr_threads=40", "--schedule")
    assert said.code == 0
    assert "warning: n_threads: is 40; 1 to 16 is usual" in said.err


def test_a_misspelt_command_gets_a_suggestion(call):
    said = call("statsu")
    assert said.code == 2
    assert "Did you mean 'status'" in said.err


def test_a_misspelt_job_gets_a_suggestion(project, call):
    small_project.finished_external(project, alias="first")
    said = call("show", "External/frist")
    assert said.code == 2
    assert "External/first/" in said.err


def test_deleting_what_others_need_asks_for_yes(project, call):
    first = small_project.finished_external(project)
    second = small_project.finished_external(project, reads=f"{first}particles.star")
    said = call("delete", 1)
    assert said.code == 2
    assert f"{second} (Succeeded) uses {first}" in said.err
    assert "--yes" in said.err
    assert call("delete", 1, "--yes").code == 0
    assert project.jobs == []


def test_emptying_the_trash_without_a_terminal_asks_for_yes(project, call):
    small_project.finished_external(project)
    call("delete", 1)
    said = call("empty-trash")
    assert said.code == 2
    assert "--yes" in said.err
    assert (project.root / "Trash").is_dir()


def test_clean_shows_sizes_first(project, call):
    with project.folder.edit("test") as pipeline:
        name = pipeline.add_process("Extract", "relion.extract", "Succeeded").name
    folder = project.root / name / "Movies"
    folder.mkdir(parents=True)
    (folder / "a_extract.star").write_text("x" * 2048)
    said = call("clean", "--all", "--dry-run")
    assert "2.0 KiB" in said.out
    assert "would go to the Trash" in said.out
    assert (folder / "a_extract.star").exists()
    found = call("clean", 1, "--json").json()
    assert found["jobs"][0]["files"] == [{"path": f"{name}Movies/a_extract.star", "bytes": 2048}]
    assert not (folder / "a_extract.star").exists()
    assert call("clean").code == 2


def test_a_flowchart_is_drawn_into_the_job_or_elsewhere(project, tmp_path, call):
    first = small_project.finished_external(project)
    second = small_project.finished_external(project, reads=f"{first}particles.star")
    found = call("flowchart", 2, "--json").json()["files"]
    assert [path.rsplit("/", 1)[1] for path in found] == ["flowchart.svg", "flowchart.pdf"]
    assert f"{second}flowchart.pdf" in [node.name for node in project.pipeline.outputs(second)]
    assert call("flowchart", 2, "-o", tmp_path / "x.svg").out == f"{tmp_path / 'x.svg'}\n"
    assert "job001" in (tmp_path / "x.svg").read_text()
    said = call("flowchart", 2, "-o", tmp_path / "x.gif")
    assert said.code == 2
    assert ".svg or .pdf" in said.err


def test_a_stale_lock_is_told_and_removed(project, call):
    lock = project.root / ".relion_lock"
    lock.mkdir()
    (lock / "lock_default_pipeline.star").write_text(
        f"vitreous: test\nhost: {os.uname().nodename}\npid: 4194000\nboot: x\n"
        "started: 1\ntime: 1.0\n"
    )
    said = call("run", "external", "fn_exe=./make_particles.sh", "--schedule")
    assert said.code == 1
    assert "vitreous unlock" in said.err
    assert "Removed the lock" in call("unlock").out
    assert call("run", "external", "fn_exe=./make_particles.sh", "--schedule").code == 0


def test_status_looks_at_a_locked_project_without_waiting_long(project, call):
    name = small_project.finished_external(project)
    with project.folder.edit("test") as pipeline:
        pipeline.set_status(name, "Running")
    (project.root / ".relion_lock").mkdir()
    (project.root / ".relion_lock" / "lock_default_pipeline.star").write_text("RELION is busy")
    said = call("status", "--json")
    assert said.code == 0
    assert said.json()["jobs"][0]["status"] == "Succeeded"
    assert "was not written" in said.err


def test_a_corrupted_pipeline_is_repaired(project, call):
    small_project.finished_external(project)
    small_project.finished_external(project)
    project.folder.file.write_text("data_pipeline_general\n\n_rlnPipeLineJobCounter nonsense\n")
    said = call("status")
    assert said.code == 2
    assert "vitreous repair" in said.err
    said = call("repair", "--json")
    assert said.code == 0
    assert said.json()["jobs"] == 2
    assert call("status", "--json").json()["next_number"] == 3


def test_exec_runs_a_job_that_exists(project):
    import subprocess
    import sys

    job = project.run("external", fn_exe="./make_particles.sh", schedule=True)
    command = [sys.executable, "-m", "vitreous", "exec", job.name]
    run = subprocess.run(command, cwd=project.root, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "working in External/job001/\n")
    assert job.outputs.keys() == set()
    assert (job.path / "RELION_JOB_EXIT_SUCCESS").exists()


def test_describe_lists_all_types_in_order(call):
    found = call("describe", "--json").json()["job_types"]
    assert len(found) == 22
    assert [row["word"] for row in found][:3] == ["import", "motioncorr", "ctffind"]
    assert found[-1]["word"] == "external"
    assert found[0]["built"] is True
    text = call("describe").out
    assert "2D classification" in text
    assert "not built yet" in text


def test_describe_tells_all_of_an_option(call):
    found = call("describe", "class2d", "K", "--json")
    if found.code:  # RELION's key of the number of classes
        found = call("describe", "class2d", "nr_classes", "--json")
    (row,) = found.json()["options"]
    assert row["name"] == "n_classes"
    assert (row["default"], row["low"], row["high"]) == (1, 1, 50)
    text = call("describe", "class2d").out
    for part in ("Optimisation", "n_classes", "nr_classes", "usual 1 to 50", "only when"):
        assert part in text, part


def test_doctor_reports_what_is_there(project, monkeypatch, call):
    monkeypatch.setenv("RELION_SCRATCH_DIR", str(project.root))
    found = call("doctor", "--json").json()
    by_name = {one["name"]: one for one in found["findings"]}
    assert by_name["cpu_cores"]["state"] == "ok"
    assert by_name["torch"]["state"] == "ok"
    assert str(project.root) in by_name["scratch"]["value"]
    assert by_name["RELION_SCRATCH_DIR"]["value"] == str(project.root)
    assert {"memory", "disk", "openmp", "slurm", "mpirun", "ctffind", "relion"} <= set(by_name)
    assert set(by_name["memory"]) == {"section", "name", "label", "state", "value", "advice"}


def test_a_dry_run_shows_the_script_that_would_be_submitted(project, call):
    (project.root / "queue.sh").write_text("#!/bin/sh\n#SBATCH -J XXXnameXXX\nXXXcommandXXX\n")
    words = ("run", "external", "fn_exe=./make_particles.sh", "do_queue=Yes", "--dry-run")
    words = (*words, "qsubscript=queue.sh", "queuename=long", "qsub=sbatch")
    said = call(*words)
    assert "    #SBATCH -J External/job001/\n" in said.out
    assert "    ./make_particles.sh --o External/job001/ --j 1\n" in said.out
    script = (
        "#!/bin/sh\n#SBATCH -J External/job001/\n./make_particles.sh --o External/job001/ --j 1\n"
    )
    assert call(*words, "--json").json()["script"] == script
    assert not (project.root / "External").exists()


def test_what_the_system_refuses_is_told_with_the_file(project, monkeypatch, call):
    def refused(self, **how):
        raise PermissionError(13, "Permission denied", "/data/x")

    monkeypatch.setattr("vitreous.actions.Project.refresh", refused)
    said = call("status")
    assert (said.code, said.err) == (1, "vitreous: /data/x: Permission denied\n")
