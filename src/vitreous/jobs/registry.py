"""All job types. A declaration is found by being a file in this folder."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from types import ModuleType

import vitreous.jobs
from vitreous.errors import InputError
from vitreous.jobs.declare import Options
from vitreous.jobs.job_type import JobType

# What is in the folder and declares nothing.
_VOCABULARY = {
    "checks",
    "codec",
    "common",
    "context",
    "declare",
    "describe",
    "environment",
    "evaluate",
    "job_star",
    "job_type",
    "needs",
    "older",
    "registry",
    "run_job",
    "shared",
    "spec",
    "when",
}


@cache
def all_types() -> tuple[JobType, ...]:
    """Return every job type, in the order of the list on screen."""
    found = [job_type for name in _modules() for job_type in _declared(_load(name))]
    return tuple(sorted(found, key=lambda job_type: job_type.place))


def find(text: str | int) -> JobType:
    """Find a job type.

    Parameters
    ----------
    text
        Its word (``class2d``), its label with or without sub-labels
        (``relion.class2d.helical``), its folder (``Class2D``), its name on screen or its number.

    Raises
    ------
    InputError
        If there is none; the nearest is named.
    """
    wanted = str(text).strip()
    if wanted.lstrip("-").isdigit():
        return _by_number(int(wanted))
    label = wanted.lower()
    while label:
        named = _by_word(label.rpartition(".")[2])
        if named and label in (named.label, named.word):
            return named
        label = label.rpartition(".")[0]
    for job_type in all_types():
        if wanted.lower() in (job_type.folder.lower(), job_type.gui_name.lower()):
            return job_type
    raise InputError(f"there is no job type {wanted!r}{_nearest(wanted)}")


def _by_word(word: str) -> JobType | None:
    """Return the job type with a word; only its own file is loaded."""
    for name in {word, f"{word}_"} & set(_modules()):
        return next(iter(_declared(_load(name))), None)
    return None


def _by_number(number: int) -> JobType:
    for job_type in all_types():
        if job_type.type_number == number:
            return job_type
    raise InputError(
        f"there is no job type with number {number}; it may be one for tomography, which is kept "
        "and shown but not run"
    )


def _nearest(wanted: str) -> str:
    names = {name.lower(): job_type.word for job_type in all_types() for name in _names(job_type)}
    base = wanted.lower().removeprefix("relion.").split(".")[0]
    words = dict.fromkeys(names[n] for n in difflib.get_close_matches(base, names, 3, 0.5))
    if words:
        return f"; did you mean {' or '.join(words)}?"
    return "; `vitreous describe` lists them"


def _names(job_type: JobType) -> tuple[str, ...]:
    return (job_type.word, job_type.gui_name, job_type.folder)


@cache
def _modules() -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(vitreous.jobs.__path__))
    return [name for name in names if name not in _VOCABULARY]


def _load(name: str) -> ModuleType:
    return importlib.import_module(f"vitreous.jobs.{name}")


def _declared(module: ModuleType) -> list[JobType]:
    return [
        value.job_type
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Options)
        and value is not Options
        and value.__module__ == module.__name__
    ]
