"""External jobs: the user's own programs, word for word, with every way to end."""

import os
import re
import shlex
import signal
import time

import pytest

from vitreous.actions.project import Project
from vitreous.errors import MissingFileError, OptionError
from vitreous.jobs import registry
from vitreous.jobs.external_command import check_program, command
from vitreous.project import node_types
from vitreous.project.pipeline import Status
from vitreous.running import launch, process_table, record, stop
from vitreous.running.commands import command_lines
from vitreous.running.execute import grace_s
from vitreous.running.state import job_state

FOLDER = "External/job001/"


def options(**values):
    return registry.find("external").new(values, {})


def script(workshop, body, name="own.sh", mode=0o755):
    path = workshop.root / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)


def run(workshop, body, program="./own.sh", **values):
    script(workshop, body)
    name = workshop.job(word="external", fn_exe=program, **values)
    return launch.start(workshop.root, name, mode="foreground").state


def test_the_command_of_the_user_document():
    given = options(
        fn_exe="run_topaz.py",
        in_mic="CtfFind/job005/micrographs_ctf.star",
        param1_label="threshold",
        param1_value="0.1",
        param2_label="denoise_first",
    )
    assert command(given, "External/job006/") == (
        "run_topaz.py --o External/job006/ --in_mics CtfFind/job005/micrographs_ctf.star"
        " --threshold 0.1 --denoise_first --j 1"
    )


def test_all_inputs_ten_parameters_threads_and_other_arguments():
    keys = ("in_mov", "in_mic", "in_part", "in_coords", "in_3dref", "in_mask")
    given = {key: f"a/{key}" for key in keys}
    for number in range(1, 11):
        given[f"param{number}_label"] = f"l{number}"
        given[f"param{number}_value"] = f"v{number}" if number % 2 else ""
    given |= {"fn_exe": "x", "nr_threads": "4", "other_args": '--title "two words"'}
    assert command(options(**given), FOLDER) == (
        "x --o External/job001/ --in_movies a/in_mov --in_mics a/in_mic --in_parts a/in_part"
        " --in_coords a/in_coords --in_3dref a/in_3dref --in_mask a/in_mask"
        " --l1 v1 --l2 --l3 v3 --l4 --l5 v5 --l6 --l7 v7 --l8 --l9 v9 --l10"
        ' --j 4 --title "two words"'
    )


def test_names_of_inputs_reach_the_program_whole():
    given = options(fn_exe="x", in_mic="my data/it's.star")
    assert shlex.split(command(given, FOLDER))[3:5] == ["--in_mics", "my data/it's.star"]


def test_a_program_of_relion_is_told_where_to_leave_its_marker():
    assert command(options(fn_exe="relion_image_handler"), FOLDER).endswith(
        f" --j 1 --pipeline_control {FOLDER}"
    )
    assert "pipeline_control" not in command(options(fn_exe="x", in_mic="relion_a.star"), FOLDER)


def test_the_dry_run_and_the_note_show_the_same_command(workshop):
    state = run(workshop, f"touch {FOLDER}RELION_JOB_EXIT_SUCCESS", other_args="a b")
    assert state.status is Status.SUCCEEDED
    lines = command_lines(workshop.root, registry.find("external"), options(fn_exe="x"), FOLDER)
    assert lines == ["x --o External/job001/ --j 1"]
    assert "\n./own.sh --o External/job001/ --j 1 a b\n" in workshop.text(FOLDER, "note.txt")
    assert record.read_process(workshop.dir(FOLDER)).command == (
        "./own.sh --o External/job001/ --j 1 a b",
    )


def test_the_shell_runs_it_in_the_project_and_its_output_is_kept(workshop):
    body = f'pwd; echo "$@"; echo oops >&2; touch {FOLDER}RELION_JOB_EXIT_SUCCESS'
    state = run(workshop, body, other_args='--title "two words" --home $HOME')
    assert state.status is Status.SUCCEEDED
    assert workshop.text(FOLDER, "run.out").splitlines() == [
        str(workshop.root),
        f"--o External/job001/ --j 1 --title two words --home {os.environ['HOME']}",
    ]
    assert workshop.text(FOLDER, "run.err") == "oops\n"


def test_a_program_in_the_project_is_found_by_its_name(workshop):
    body = f"touch {FOLDER}RELION_JOB_EXIT_SUCCESS"
    assert run(workshop, body, program="own.sh").status is Status.SUCCEEDED


def test_the_exit_code_does_not_count_where_a_marker_is(workshop):
    state = run(workshop, f"touch {FOLDER}RELION_JOB_EXIT_SUCCESS; exit 3")
    assert state.status is Status.SUCCEEDED
    state = run_again(workshop, f"touch {FOLDER}RELION_JOB_EXIT_FAILURE; exit 0")
    assert state.status is Status.FAILED
    state = run_again(workshop, f"touch {FOLDER}RELION_JOB_EXIT_ABORTED")
    assert (state.status, state.reason) == (Status.ABORTED, "stopped on request")


def run_again(workshop, body):
    script(workshop, body)
    return launch.start(workshop.root, FOLDER, mode="foreground").state


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 0", "its program ended, but did not say that it is done.*RELION_JOB_EXIT_SUCCESS"),
        ("exit 3", "its program ended with an error .exit code 3.; what it said last"),
        ("no_such_program_at_all", "exit code 127.*the shell did not find the program"),
        ("kill -9 $$", r"killed by signal 9 \(SIGKILL\)"),
    ],
)
def test_a_program_that_leaves_no_marker_failed(workshop, body, reason):
    state = run(workshop, body)
    assert state.status is Status.FAILED
    assert re.search(reason, state.reason), state.reason


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("no_such.py", r"no_such\.py: it is neither in PATH nor in /.*project"),
        ("./no_such.py", r"\./no_such\.py: there is no such file"),
        ("./data.txt", r"data\.txt may not be executed. Allow it with `chmod \+x "),
    ],
)
def test_a_program_that_cannot_be_started_is_refused_before_anything_is(workshop, program, message):
    (workshop.root / "data.txt").touch(mode=0o644)
    project = Project(workshop.root)
    with pytest.raises(OptionError, match=message):
        project.run("external", fn_exe=program)
    assert project.jobs == []
    assert not (workshop.root / "External").exists()


def test_a_name_is_not_looked_up_for_a_queue_that_may_know_more_programs(tmp_path):
    check_program(options(fn_exe="topaz_of_the_cluster", do_queue="Yes"), tmp_path)
    with pytest.raises(MissingFileError, match="there is no such file"):
        check_program(options(fn_exe="./no_such.py", do_queue="Yes"), tmp_path)


def begin(workshop, body):
    script(workshop, f"{body}\n")
    name = workshop.job(word="external", fn_exe="./own.sh")
    pid = launch.start(workshop.root, name).pid
    end = time.monotonic() + 30
    while not (workshop.dir(name) / "is_busy").exists():
        assert time.monotonic() < end, workshop.text(name, "run.err")
        time.sleep(0.02)
    return pid


POLITE = f"""touch {FOLDER}is_busy
while [ ! -e {FOLDER}RELION_JOB_ABORT_NOW ]; do sleep 0.05; done
touch {FOLDER}RELION_JOB_EXIT_ABORTED
rm {FOLDER}RELION_JOB_ABORT_NOW"""
# One child ignores SIGTERM, one has a session of its own: both are found.
STUBBORN = f"""trap '' TERM INT HUP
setsid sh -c "trap '' TERM; sleep 60; :" &
touch {FOLDER}is_busy
sh -c "trap '' TERM; sleep 60; :"
sleep 60"""


def left(workshop):
    return sorted(path.name for path in workshop.dir(FOLDER).glob("RELION_JOB_*"))


def test_a_program_that_behaves_aborts_itself(workshop):
    pid = begin(workshop, POLITE)
    began = time.monotonic()
    assert stop.abort(workshop.root, FOLDER).status is Status.ABORTED
    assert time.monotonic() - began < 9  # its grace is 10 s
    assert left(workshop) == ["RELION_JOB_EXIT_ABORTED"]
    assert process_table.family(pid) == []


def test_a_stubborn_program_is_killed_with_all_its_children(workshop):
    pid = begin(workshop, STUBBORN)
    members = process_table.family(pid)
    sessions = {process_table.entry(one).session for one in members}
    assert len(members) >= 5
    assert len(sessions) == 2
    began = time.monotonic()
    assert stop.abort(workshop.root, FOLDER, grace=0.5).status is Status.ABORTED
    assert time.monotonic() - began < 20
    assert [one for one in members if process_table.is_alive(one, 0)] == []
    assert left(workshop) == ["RELION_JOB_EXIT_ABORTED"]


def test_its_children_have_ten_seconds():
    assert (grace_s("external"), grace_s("class2d")) == (10.0, 2.0)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("rlnPipeLineNodeType", "3"),
        ("rlnPipeLineNodeTypeLabel", "ParticleGroupMetadata.star.relion"),
        ("rlnPipeLineNodeTypeLabel", "ParticlesData.star.relion"),
    ],
)
def test_listed_outputs_enter_the_graph_in_every_form(workshop, label, kind):
    head = f"data_output_nodes\\nloop_\\n_rlnPipeLineNodeName #1\\n_{label} #2\\n"
    nodes = f"{head}{FOLDER}parts.star {kind}\\n"
    body = f"printf '{nodes}' > {FOLDER}RELION_OUTPUT_NODES.star; touch {FOLDER}parts.star"
    script(workshop, f"{body}\ntouch {FOLDER}RELION_JOB_EXIT_SUCCESS")
    project = Project(workshop.root)
    job = project.run("external", fn_exe="./own.sh")
    assert job.status is Status.SUCCEEDED
    (node,) = project.pipeline.outputs(job.name)
    assert node.name == f"{FOLDER}parts.star"
    assert node.type_label == node_types.PARTICLES


ORPHAN = f"""sh -c 'touch {FOLDER}is_busy; sleep 60; :' &
wait"""


def test_children_that_outlive_their_supervisor_are_still_the_job(workshop):
    pid = begin(workshop, ORPHAN)
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 30
    while process_table.is_alive(pid, 0):
        assert time.monotonic() < end
        time.sleep(0.02)
    process = workshop.process(FOLDER)
    assert job_state(workshop.root, process).status is Status.RUNNING
    left_behind = process_table.family(pid)
    assert left_behind
    assert stop.abort(workshop.root, FOLDER, grace=0.2).status is Status.ABORTED
    assert [one for one in left_behind if process_table.is_alive(one, 0)] == []
    assert left(workshop) == ["RELION_JOB_EXIT_ABORTED"]
