"""From what a user asks for to a job that can be made, or to everything that stands against it.

Nothing is written here. The order is that of jobs.md section 4: keys and values, paths, rules
of the job type, input nodes, alias, state of the job that is continued or overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from vitreous.actions.inputs import check_files, check_inputs, with_stored_paths
from vitreous.errors import FormatError, InputError, OptionError, Problem
from vitreous.jobs import evaluate, job_star, registry
from vitreous.jobs.checks import check_values
from vitreous.jobs.declare import Options, Output, Start
from vitreous.jobs.job_star import JobFile
from vitreous.jobs.job_type import JobType, value_of
from vitreous.project import aliases
from vitreous.project.outputs import last_optimiser
from vitreous.project.pipeline import Pipeline, Process, Status, job_folder
from vitreous.running import launch, record

REFINEMENTS = frozenset({"class2d", "class3d", "refine3d", "initialmodel", "multibody"})
INTERACTIVE = (
    "relion.manualpick",
    "relion.select.interactive",
    "relion.autopick.continuemanual",
)
CHOICE = "backup_selection.star"


class Mode(StrEnum):
    """What is done with the job folder."""

    NEW = "new"
    CONTINUE = "continue"
    OVERWRITE = "overwrite"


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Parameters
    ----------
    job_type
        Word, label or folder of the type; None where another job or a file tells.
    values
        Options by our name or RELION's key.
    mode, target
        What to do, and which job to continue or overwrite.
    alias
        Name for the job.
    from_file
        A ``job.star``, or a job folder, whose options are taken first.
    schedule
        Whether the job is only put in the graph, to run later.
    """

    job_type: str | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    mode: Mode = Mode.NEW
    target: str | int | None = None
    alias: str | None = None
    from_file: Path | None = None
    schedule: bool = False


@dataclass(frozen=True)
class Plan:
    """A job that passed every check.

    Parameters
    ----------
    name
        Job folder with its slash; of a new job the one it would get now.
    label, alias
        Type label with its sub-labels; alias in the form it is stored in.
    file
        What its ``job.star`` will say.
    inputs, outputs
        Nodes: path and type.
    target
        The job that is continued or overwritten.
    warnings
        What the user should know and what does not stand in the way.
    is_interactive
        Whether it waits for a person and has no process.
    """

    name: str
    label: str
    alias: str | None
    mode: Mode
    file: JobFile
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[Output, ...]
    target: Process | None = None
    warnings: tuple[Problem, ...] = ()
    is_interactive: bool = False

    @property
    def job_type(self) -> JobType:
        """The job type."""
        return self.file.job_type

    @property
    def options(self) -> Options:
        """The options."""
        return self.file.options


def make_plan(root: Path, pipeline: Pipeline, request: Request, environ: Mapping[str, str]) -> Plan:
    """Check everything that can be known before a job is made.

    Parameters
    ----------
    root
        The project folder, absolute.
    pipeline
        Its graph.
    request
        What is wanted.
    environ
        The environment, which gives a site's defaults.

    Raises
    ------
    OptionError
        With everything that is wrong, all at once.
    InputError
        There is no such job type, or its program is not part of this version.
    ProjectError
        There is no such job to continue or overwrite.
    """
    target = None if request.target is None else pipeline.find(request.target)
    base = _base(root, request, target)
    job_type = _job_type(request, base)
    _need_program(job_type)
    process = target or Process(
        job_folder(job_type.folder, pipeline.counter), None, job_type.label, Status.SCHEDULED
    )
    alias, alias_problems = _alias_of(root, pipeline, process, request)
    problems = [*_target_problems(root, target, request), *alias_problems]
    stored, path_problems = with_stored_paths(root, pipeline, job_type, request.values)
    problems += path_problems
    if base is not None and request.mode is Mode.CONTINUE:
        problems += _locked_problems(job_type, base, stored)
    options = _options(job_type, base, stored, problems, environ)

    goes_on = _goes_on(target, base, request)
    if goes_on and target is not None and request.from_file is None:
        options = _from_last_iteration(root, target, options, stored)
    start = Start(is_continue=goes_on, folder=target.name if target else "", project=root)
    wrong = {problem.option for problem in problems if problem.severity == "error"}
    inputs = _inputs(options, start)
    wanted_inputs = {option: node for option, node in inputs.items() if option not in wrong}
    found = [
        *check_inputs(root, pipeline, wanted_inputs, may_wait=request.schedule),
        *check_values(options, start),
        *check_files(options, start, may_wait=request.schedule),
        *options.check(start),
        *launch.check(root, job_type, options, environ),
    ]
    problems += _first_of_each(found, wrong)
    if any(problem.severity == "error" for problem in problems):
        raise OptionError(_in_order(job_type, problems))
    return Plan(
        name=process.name,
        label=evaluate.full_label(options, goes_on),
        alias=alias,
        mode=request.mode,
        file=_file(job_type, options, base, goes_on),
        inputs=tuple(dict.fromkeys(node for node in inputs.values() if node[0])),
        outputs=tuple(evaluate.output_nodes(options, process.name, goes_on, root)),
        target=target,
        warnings=tuple(_in_order(job_type, problems)),
        is_interactive=needs_person(root / process.name, options, goes_on),
    )


def needs_person(job_dir: Path, options: Options, goes_on: bool = False) -> bool:
    """Tell whether a job waits for a person, who picks or selects.

    A selection whose choice is made needs nobody: it is among the arguments, which the
    declaration knows, or in the file that a browser leaves in the job folder.
    """
    if not evaluate.full_label(options, goes_on).startswith(INTERACTIVE):
        return False
    is_chosen = options.job_type.word == "select" and (job_dir / CHOICE).exists()
    return bool(getattr(options, "is_interactive", True)) and not is_chosen


def type_of_request(root: Path, pipeline: Pipeline, request: Request) -> JobType:
    """Return the job type that a request is about; see `make_plan` for what may be raised."""
    target = None if request.target is None else pipeline.find(request.target)
    return _job_type(request, _base(root, request, target))


def _base(root: Path, request: Request, target: Process | None) -> JobFile | None:
    """Return the options to begin with: of a file, or of the job that is continued."""
    if request.from_file is not None:
        return job_star.read_job(request.from_file)
    if target is not None:
        return job_star.read_job(root / target.name)
    return None


def _job_type(request: Request, base: JobFile | None) -> JobType:
    if base is None:
        if request.job_type is None:
            raise InputError("no job type was given; `vitreous describe` lists them")
        return registry.find(request.job_type)
    if request.job_type is not None and registry.find(request.job_type) is not base.job_type:
        wanted = registry.find(request.job_type)
        raise InputError(
            f"the job to start from is a {base.job_type.gui_name} job ({base.job_type.word}), "
            f"not {wanted.word}; leave the job type out"
        )
    return base.job_type


def _need_program(job_type: JobType) -> None:
    if not job_type.is_built():
        raise InputError(
            f"{job_type.gui_name} jobs ({job_type.word}) are shown, read and kept, but this "
            "version of vitreous cannot run them yet."
        )


def _target_problems(root: Path, target: Process | None, request: Request) -> Iterator[Problem]:
    if target is None or (request.mode is Mode.CONTINUE and _waits(root, target)):
        return
    if target.status is Status.RUNNING:
        wanted = "continued" if request.mode is Mode.CONTINUE else "overwritten"
        yield Problem(
            "",
            f"{target.shown_name} is running and cannot be {wanted}; wait for it, or stop it with "
            f"`vitreous abort {target.number}`",
        )


def _waits(root: Path, target: Process) -> bool:
    """Tell whether a job waits for a person, who may go on with it at any time."""
    try:
        known = record.read_process(root / target.name)
    except FormatError:
        return False
    return known is not None and known.state == "interactive"


def _alias_of(
    root: Path, pipeline: Pipeline, process: Process, request: Request
) -> tuple[str | None, list[Problem]]:
    """Return the alias in the form it is stored in, and what is wrong with it."""
    if not request.alias:
        return process.alias, []
    try:
        stored = aliases.checked_alias(pipeline, process, request.alias)
    except InputError as error:
        return None, [Problem("", str(error))]
    path = root / (stored or "").rstrip("/")
    if stored and path.exists() and not path.is_symlink():
        return None, [Problem("", f"alias {stored} is taken by a folder of that name")]
    return stored, []


def _locked_problems(
    job_type: JobType, base: JobFile, values: Mapping[str, object]
) -> Iterator[Problem]:
    """Yield the values that cannot change once a job has begun."""
    for key, value in values.items():
        try:
            spec = job_type.spec(key)
            changed = job_type.changed(base.options, {key: value})
        except InputError:
            continue  # told by the one who makes the options
        if spec.on_continue == "locked" and value_of(changed, spec) != value_of(base.options, spec):
            was = evaluate.to_text(base.options).get(spec.key, "") or "empty"
            yield Problem(
                spec.name,
                f"was {was} when the job began and cannot change while it goes on; start a new "
                "job, or overwrite this one (--overwrite)",
            )


def _options(
    job_type: JobType,
    base: JobFile | None,
    values: Mapping[str, object],
    problems: list[Problem],
    environ: Mapping[str, str],
) -> Options:
    """Make the options from the values that can be used; add what is wrong with the others."""
    bad = {problem.option for problem in problems if problem.severity == "error"} - {""}
    usable = {key: value for key, value in values.items() if _name(job_type, key) not in bad}
    start = base.options if base is not None else job_type.new({}, environ)
    try:
        return job_type.changed(start, usable)
    except OptionError as error:
        problems.extend(error.problems)
        wrong = {problem.option for problem in error.problems}
    good = {key: value for key, value in usable.items() if _name(job_type, key) not in wrong}
    known = {key: value for key, value in good.items() if _name(job_type, key)}
    return job_type.changed(start, known)


def _from_last_iteration(
    root: Path, target: Process, options: Options, values: Mapping[str, object]
) -> Options:
    """Let a refinement go on from its last whole iteration, unless the user named another."""
    job_type, name = options.job_type, "continue_from"
    is_given = target.status is Status.SCHEDULED and bool(options.value(name))
    if job_type.word not in REFINEMENTS - {"multibody"} or is_given:
        return options
    if any(_name(job_type, key) == name and value for key, value in values.items()):
        return options
    last = last_optimiser(root / target.name)
    return job_type.changed(options, {name: f"{target.name}{last}"}) if last else options


def _name(job_type: JobType, key: str) -> str:
    try:
        return job_type.spec(key).name
    except InputError:
        return ""


def _inputs(options: Options, start: Start) -> dict[str, tuple[str, str]]:
    """Return path and type of each input, by option."""
    specs = options.job_type.options
    return {
        item.option: (str(options.value(item.option)), item.node_type or specs[item.option].reads)
        for item in options.inputs(start)
    }


def _goes_on(target: Process | None, base: JobFile | None, request: Request) -> bool:
    """Tell whether a job continues; a scheduled one does what it was scheduled for."""
    if request.mode is not Mode.CONTINUE or target is None or base is None:
        return False
    return base.is_continue if target.status is Status.SCHEDULED else True


def _file(job_type: JobType, options: Options, base: JobFile | None, goes_on: bool) -> JobFile:
    label = evaluate.full_label(options, goes_on)
    if base is None:
        return JobFile(job_type=job_type, options=options, is_continue=goes_on, label=label)
    return replace(base, options=options, is_continue=goes_on, label=label)


def _first_of_each(found: Sequence[Problem], wrong: set[str]) -> list[Problem]:
    """Keep the first problem of each option, and none of an option that was refused before."""
    kept: list[Problem] = []
    told = set(wrong) - {""}
    for problem in found:
        if problem.option not in told:
            kept.append(problem)
        if problem.option and problem.severity == "error":
            told.add(problem.option)
    return kept


def _in_order(job_type: JobType, problems: Sequence[Problem]) -> list[Problem]:
    order = {name: place for place, name in enumerate(job_type.options)}
    return sorted(dict.fromkeys(problems), key=lambda problem: order.get(problem.option, -1))
