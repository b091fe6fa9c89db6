"""What there is to run, and what each option means: for the shell, for Python and for forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from vitreous.jobs import codec, environment, registry
from vitreous.jobs.job_type import JobType
from vitreous.jobs.spec import OptionSpec, Value
from vitreous.project.node_types import accepts


class TypeRow(TypedDict):
    """One job type of the list."""

    number: int
    word: str
    label: str
    name: str
    folder: str
    built: bool
    about: str


class OptionRow(TypedDict):
    """One option of a job type."""

    name: str
    key: str
    tab: str
    label: str
    kind: str
    default: Value
    default_text: str
    required: bool
    low: float | None
    high: float | None
    step: float | None
    at_least: float | None
    at_most: float | None
    off: float | None
    choices: list[str]
    reads: str
    pattern: str
    when: str
    on_continue: str
    help: str


class TypeSheet(TypeRow):
    """A job type with its options."""

    mpi: bool
    threads: bool
    gpu: bool
    queue: bool
    options: list[OptionRow]


def job_types() -> list[TypeRow]:
    """Return every job type, in the order of RELION's window."""
    return [_row(job_type) for job_type in registry.all_types()]


def job_type_sheet(text: str, environ: Mapping[str, str]) -> TypeSheet:
    """Return a job type with all its options.

    Parameters
    ----------
    text
        Its word, label, folder or number.
    environ
        The environment, which gives a site's defaults.
    """
    job_type = registry.find(text)
    specs = [environment.at_this_site(spec, environ) for spec in job_type.options.values()]
    return {
        **_row(job_type),
        "mpi": job_type.uses_mpi,
        "threads": job_type.uses_threads,
        "gpu": job_type.uses_gpu,
        "queue": job_type.uses_queue,
        "options": [_option(spec) for spec in (*specs, *job_type.extras(environ))],
    }


def readers(node_type: str) -> list[str]:
    """Return the words of the job types that read a type of node, in order."""
    return [
        job_type.word
        for job_type in registry.all_types()
        if any(spec.reads and accepts(spec.reads, node_type) for spec in job_type.options.values())
    ]


def _row(job_type: JobType) -> TypeRow:
    return {
        "number": job_type.type_number,
        "word": job_type.word,
        "label": job_type.label,
        "name": job_type.gui_name,
        "folder": job_type.folder,
        "built": job_type.is_built(),
        "about": job_type.title,
    }


def _option(spec: OptionSpec) -> OptionRow:
    return {
        "name": spec.name,
        "key": spec.key,
        "tab": spec.tab,
        "label": spec.label.strip().rstrip(":"),
        "kind": spec.kind,
        "default": spec.default,
        "default_text": codec.to_text(spec, spec.default),
        "required": spec.required,
        "low": spec.low,
        "high": spec.high,
        "step": spec.step,
        "at_least": spec.at_least,
        "at_most": spec.at_most,
        "off": spec.off,
        "choices": list(spec.choices),
        "reads": spec.reads,
        "pattern": spec.pattern or "",
        "when": spec.when,
        "on_continue": spec.on_continue,
        "help": spec.help,
    }
