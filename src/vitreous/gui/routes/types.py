"""Job types: their list, their forms, and checks of what was filled in."""

from __future__ import annotations

import shutil

from fastapi import APIRouter

from vitreous.actions.facts import facts
from vitreous.actions.nodes import noun
from vitreous.actions.planning import Mode, Plan, Request
from vitreous.errors import InputError, OptionError, Problem, ProjectError, VitreousError
from vitreous.gui.context import Here, Server
from vitreous.gui.forms import form, type_row
from vitreous.gui.models.common import ProblemRow
from vitreous.gui.models.forms import Check, Checked, Estimate, Form, InputFact, TypeRow
from vitreous.gui.refusals import not_found, problem_rows
from vitreous.jobs import job_star, registry
from vitreous.jobs.job_type import JobType
from vitreous.project.pipeline import job_number

router = APIRouter(prefix="/api/types", tags=["types"])


@router.get("")
def get_types() -> list[TypeRow]:
    """Return every job type in RELION's order."""
    return [type_row(job_type) for job_type in registry.all_types()]


@router.get("/{word}/form")
def get_form(server: Here, word: str, job: int | None = None, defaults: bool = False) -> Form:
    """Return the form of a job type, filled in from a job or from what was last used."""
    job_type = find_type(word)
    of_job = job_star.read_job(server.job(job).path) if job is not None else None
    if of_job is not None and of_job.job_type is not job_type:
        raise InputError(f"job {job} is a {of_job.job_type.gui_name} job, not {job_type.gui_name}")
    return form(
        job_type, last_used=None if defaults else _last_used(server, job_type), of_job=of_job
    )


@router.post("/{word}/check")
def check_values(server: Here, word: str, check: Check) -> Checked:
    """Say what stands against a job, and what it would execute; nothing is made."""
    job_type = find_type(word)
    request = request_of(server, job_type, check)
    try:
        plan = server.project.plan(request)
    except OptionError as error:
        return _refused(server, job_type, check, error.problems)
    except (InputError, ProjectError) as error:
        return _refused(server, job_type, check, (Problem("", str(error)),))
    return _accepted(server, check, plan)


def find_type(word: str) -> JobType:
    """Return a job type by its word, or answer that there is none."""
    try:
        return registry.find(word)
    except InputError as error:
        raise not_found(str(error)) from None


def request_of(server: Server, job_type: JobType, check: Check) -> Request:
    """Return what a check is about in the words of `vitreous.actions`."""
    mode, target = Mode.NEW, None
    if check.continue_job is not None and check.overwrite_job is not None:
        raise InputError("a job is continued or overwritten, not both")
    if check.continue_job is not None:
        mode, target = Mode.CONTINUE, server.job(check.continue_job).name
    if check.overwrite_job is not None:
        mode, target = Mode.OVERWRITE, server.job(check.overwrite_job).name
    return Request(
        job_type=job_type.word,
        values=check.values,
        mode=mode,
        target=target,
        alias=check.alias or None,
        schedule=check.schedule,
    )


def _last_used(server: Server, job_type: JobType) -> job_star.JobFile | None:
    try:
        found = job_star.read_last_used(server.project.root, job_type)
    except (VitreousError, OSError):
        return None
    return found if found and found.job_type is job_type else None


def _refused(
    server: Server, job_type: JobType, check: Check, problems: tuple[Problem, ...]
) -> Checked:
    rows = problem_rows(problems)
    values = {str(key): value for key, value in check.values.items()}
    given = {}
    for key, value in values.items():
        try:
            spec = job_type.spec(key)
        except InputError:
            continue
        if spec.kind == "node" and isinstance(value, str):
            given[spec.name] = (value, spec.reads)
    return Checked(
        ok=False,
        problems=[row for row in rows if row.severity == "error"],
        warnings=[row for row in rows if row.severity == "warning"],
        commands=[],
        script="",
        label=job_type.label,
        job=None,
        outputs=[],
        dependents=[],
        waits_for_you=False,
        inputs=_facts(server, given),
        estimate=_estimate(server),
    )


def _accepted(server: Server, check: Check, plan: Plan) -> Checked:
    project = server.project
    pipeline = project.pipeline
    dependents = []
    if check.overwrite_job is not None and plan.target is not None:
        users = pipeline.descendants([plan.target.name])
        dependents = [job_number(name) for name in users if name != plan.target.name]
    specs = plan.job_type.options
    given = {
        name: (str(plan.options.value(name)), spec.reads)
        for name, spec in specs.items()
        if spec.kind == "node" and any(path == plan.options.value(name) for path, _ in plan.inputs)
    }
    warnings: list[ProblemRow] = problem_rows(plan.warnings)
    return Checked(
        ok=True,
        problems=[],
        warnings=warnings,
        commands=project.commands(plan),
        script=project.script(plan),
        label=plan.label,
        job=plan.name,
        outputs=[output.path for output in plan.outputs],
        dependents=dependents,
        waits_for_you=plan.is_interactive,
        inputs=_facts(server, given),
        estimate=_estimate(server),
    )


def _facts(server: Server, given: dict[str, tuple[str, str]]) -> list[InputFact]:
    """Return what the headers of the inputs say; nothing of files that nobody may look at."""
    rows = []
    for option, (path, wanted) in given.items():
        if not path or not server.files.reach.holds(server.project.root / path):
            continue
        known = facts(server.project.root / path)
        rows.append(
            InputFact(
                option=option,
                path=path,
                what=noun(wanted).removeprefix("a ").removeprefix("an "),
                count=known.count,
                box_px=known.box_px,
                pixel_size_A=known.pixel_size_A,
                n_bytes=known.n_bytes,
            )
        )
    return rows


def _estimate(server: Server) -> Estimate:
    """Say what is known of what a job needs; its program itself refuses what cannot fit."""
    return Estimate(
        disk_bytes=None,
        free_bytes=shutil.disk_usage(server.project.root).free,
        memory_bytes=None,
        seconds=None,
        basis="Free space of the project's disk. What the job needs is checked when it begins.",
    )
