"""Submission scripts and what schedulers say; a real Slurm is in test_slurm.py."""

import pytest

from vitreous.errors import EnvironmentMissing, InputError, MissingFileError, OptionError
from vitreous.jobs import registry
from vitreous.project.pipeline import Status
from vitreous.running import launch, queue, record, resources, stop
from vitreous.running.state import job_state

TEMPLATE = """#!/bin/csh
#$ -pe XXXqueueXXX XXXcoresXXX
#$ -N XXXnameXXX
#$ -e XXXerrfileXXX -o XXXoutfileXXX
#$ -l nodes=XXXnodesXXX dedicated=XXXdedicatedXXX time=XXXextra1XXX
# mail goes to XXXnobodyXXX
setenv OMP_NUM_THREADS XXXthreadsXXX
mpiexec -n XXXmpinodesXXX  XXXcommandXXX
"""
OURS = "/opt/vitreous/bin/vitreous exec Class2D/job007/"


def asked(**values):
    environ = {"RELION_QSUB_EXTRA1": "Time", "RELION_QSUB_EXTRA1_DEFAULT": "24:00:00"}
    return resources.of(registry.find("class2d").new(values, environ))


def filled(commands, **values):
    many = {"nr_mpi": "5", "nr_threads": "6", "min_dedicated": "8", "queuename": "long"}
    return queue.fill_template(TEMPLATE, "Class2D/job007/", commands, asked(**{**many, **values}))


def test_every_placeholder_of_relion_is_replaced():
    assert filled([OURS]).splitlines() == [
        "#!/bin/csh",
        "#$ -pe long 30",
        "#$ -N Class2D/job007/",
        "#$ -e Class2D/job007/run.err -o Class2D/job007/run.out",
        "#$ -l nodes=4 dedicated=8 time=24:00:00",
        "# mail goes to XXXnobodyXXX",
        "setenv OMP_NUM_THREADS 6",
        f"mpiexec -n 5  {OURS}",
    ]


def test_commands_that_are_not_of_the_suite_stand_alone():
    lines = filled(["run_topaz.py --o External/job006/ --j 1"]).splitlines()
    assert lines[-1] == "run_topaz.py --o External/job006/ --j 1"


@pytest.mark.parametrize(("ranks", "launcher"), [("1", "mpiexec -n 1  "), ("2", "")])
def test_a_relion_command_keeps_the_launcher_when_there_is_one_rank(ranks, launcher):
    lines = filled(["`which relion_refine` --o x"], nr_mpi=ranks).splitlines()
    assert lines[-1] == f"{launcher}`which relion_refine` --o x"


def test_several_commands_each_get_a_line():
    lines = filled([OURS, "echo done"]).splitlines()
    assert lines[-2:] == [f"mpiexec -n 5  {OURS}", "echo done"]


def test_a_template_without_a_command_is_refused():
    with pytest.raises(InputError, match="XXXcommandXXX is not in it, so the job would do nothing"):
        queue.fill_template("#!/bin/sh\n", "A/job001/", [OURS], asked())


def test_a_placeholder_that_nothing_replaces_is_refused_outside_comments():
    template = "#SBATCH --time=XXXextra2XXX\nXXXcommandXXX\n"
    with pytest.raises(InputError, match=r"line 1: nothing replaces XXXextra2XXX.*QSUB_EXTRAN"):
        queue.fill_template(template, "A/job001/", [OURS], asked())


def test_a_missing_template_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"nowhere\.sh: there is no such submission script"):
        queue.read_template(tmp_path, asked(qsubscript="nowhere.sh"))
    with pytest.raises(InputError, match="names no submission script"):
        queue.read_template(tmp_path, asked(qsubscript=""))


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("Submitted batch job 4711\n", ("slurm", "4711")),
        ("Submitted batch job 4711 on cluster big\n", ("slurm", "4711")),
        ('Your job 42 ("run_submit.script") has been submitted\n', ("gridengine", "42")),
        ("Job <815> is submitted to default queue <normal>.\n", ("lsf", "815")),
        ("1234.master.cluster\n", ("pbs", "1234.master.cluster")),
        ("Welcome!\n99\n", ("pbs", "99")),
        ("thank you\n", ("", "")),
    ],
)
def test_the_number_is_found_in_the_answer(answer, found):
    assert queue.number_of(answer) == found


def scheduler(folder, monkeypatch, **programs):
    """Put programs on the path that answer as a scheduler does."""
    folder.mkdir()
    for name, body in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    queue._remembered.clear()


@pytest.mark.parametrize(
    ("system", "program", "body", "waits", "is_over", "said"),
    [
        ("pbs", "qstat", "echo '    job_state = Q'", True, False, ""),
        ("pbs", "qstat", "echo '    job_state = R'", False, False, ""),
        (
            "pbs",
            "qstat",
            "echo '    job_state = F'; echo '    Exit_status = 2'",
            False,
            True,
            ": exit code 2",
        ),
        ("pbs", "qstat", "echo 'qstat: Unknown Job Id 9'; exit 153", False, True, ""),
        ("gridengine", "qstat", "echo 'job_number: 9'", True, False, ""),
        ("gridengine", "qstat", "echo 'usage    1:  cpu=00:00:05'", False, False, ""),
        ("gridengine", "qstat", "echo 'Following jobs do not exist:'; exit 1", False, True, ""),
        ("lsf", "bjobs", "echo 'PEND -'", True, False, ""),
        ("lsf", "bjobs", "echo 'RUN -'", False, False, ""),
        ("lsf", "bjobs", "echo 'EXIT 130'", False, True, ": exit code 130"),
        ("lsf", "bjobs", "echo 'Job <9> is not found'; exit 255", False, True, ""),
    ],
)
def test_other_schedulers_are_understood(
    tmp_path, monkeypatch, system, program, body, waits, is_over, said
):
    scheduler(tmp_path / "bin", monkeypatch, **{program: body})
    found = queue.state(system, "9")
    assert (found.is_known, found.waits, found.is_over, found.said) == (True, waits, is_over, said)


def test_a_scheduler_that_is_not_here_is_unknown(tmp_path, monkeypatch):
    scheduler(tmp_path / "bin", monkeypatch)
    assert not queue.state("lsf", "9").is_known
    assert not queue.state("unknown", "9").is_known
    with pytest.raises(EnvironmentMissing, match="`bkill 9` cannot be run on this machine"):
        queue.cancel("lsf", "9")


def in_queue(workshop, program, submit, **values):
    (workshop.root / "submit.sh").write_text("#!/bin/sh\nXXXcommandXXX\n")
    queued = {"do_queue": "Yes", "qsub": submit, "qsubscript": "submit.sh"}
    return workshop.job(program, **queued, **values)


def test_a_pbs_job_waits_and_is_cancelled(workshop, monkeypatch):
    said = workshop.root / "said"
    scheduler(
        workshop.root / "bin",
        monkeypatch,
        qsub="echo 77.master",
        qstat=f"test -e {said} && echo 'job_state = F' || echo 'job_state = Q'",
        qdel=f"echo $1 > {said}",
    )
    name = in_queue(workshop, "counts", "qsub -V")
    assert launch.start(workshop.root, name).queue_id == "77.master"
    assert job_state(workshop.root, workshop.process(name)).is_queued
    assert stop.abort(workshop.root, name).status is Status.ABORTED
    assert said.read_text() == "77.master\n"


def test_a_shell_as_submit_command_runs_the_script_detached(workshop):
    name = in_queue(workshop, "counts", "bash")
    started = launch.start(workshop.root, name, mode="foreground")
    assert started.state.status is Status.SUCCEEDED
    assert (started.queue_id, record.read_process(workshop.dir(name)).queue_id) == ("", "")


def test_a_missing_template_is_a_problem_of_its_option(workshop):
    name = workshop.job("counts", do_queue="Yes", qsub="bash", qsubscript="nowhere.sh")
    with pytest.raises(OptionError) as refused:
        launch.start(workshop.root, name)
    assert [problem.option for problem in refused.value.problems] == ["submit_template"]


@pytest.mark.parametrize("command", ["no-such-command --now", "./no-such-script", "", "'"])
def test_a_submit_command_that_is_not_there_is_refused_before_anything_starts(workshop, command):
    name = in_queue(workshop, "counts", command)
    with pytest.raises(OptionError) as refused:
        launch.start(workshop.root, name)
    assert [problem.option for problem in refused.value.problems] == ["submit_command"]
    assert not (workshop.dir(name) / "run_submit.script").exists()
