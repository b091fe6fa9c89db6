"""From the declaration of a job type to the form that a browser shows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final, Literal

from vitreous.gui.book import family
from vitreous.gui.models.forms import Form, FormGroup, FormOption, FormTab, Rule, TypeRow
from vitreous.jobs import codec, describe, environment
from vitreous.jobs import when as rules
from vitreous.jobs.job_star import JobFile
from vitreous.jobs.job_type import JobType, extras_of, values_of
from vitreous.jobs.spec import OptionSpec

_UNITS: Final = {
    "_A": "Å",
    "_A2": "Å²",
    "_px": "px",
    "_deg": "°",
    "_rad": "rad",
    "_kV": "kV",
    "_mm": "mm",
    "_mrad": "mrad",
    "_s": "s",
    "_MiB": "MiB",
    "_um": "µm",
    "_e_per_A2": "e/Å²",
}
_SHARE: Final = 0.8  # of the options of a tab that its switch must turn on


def type_row(job_type: JobType) -> TypeRow:
    """Return a job type as lists show it."""
    built = job_type.is_built()
    why_not = (
        None
        if built
        else f"{job_type.gui_name} jobs are shown, read and kept, but this version of vitreous "
        "cannot run them yet."
    )
    return TypeRow(
        word=job_type.word,
        label=job_type.label,
        gui_name=job_type.gui_name,
        family=family(job_type.folder),
        folder=job_type.folder,
        about=job_type.title,
        built=built,
        why_not=why_not,
    )


def form(
    job_type: JobType,
    environ: Mapping[str, str] = os.environ,
    *,
    last_used: JobFile | None = None,
    of_job: JobFile | None = None,
) -> Form:
    """Return the form of a job type.

    Parameters
    ----------
    job_type
        The job type.
    environ
        The environment, which gives a site's defaults.
    last_used
        What such a job was started with last.
    of_job
        The job whose values are filled in.
    """
    specs = [environment.at_this_site(spec, environ) for spec in job_type.options.values()]
    specs += job_type.extras(environ)
    start = of_job or last_used
    defaults = {spec.name: spec.default for spec in specs}
    return Form(
        type=type_row(job_type),
        tabs=[_tab(title, list(group), job_type, environ) for title, group in _by_tab(specs)],
        last_used=_values(last_used) if last_used else None,
        values=defaults | (_values(start) if start else {}),
        unknown=dict(of_job.unknown) if of_job else {},
        mpi=job_type.uses_mpi,
        threads=job_type.uses_threads,
        gpu=job_type.uses_gpu,
        queue=job_type.uses_queue,
    )


def rule(text: str) -> Rule | None:
    """Return a rule of a declaration as data; None where it always holds."""
    return Rule.model_validate(rules.as_data(text)) if text else None


def _values(file: JobFile) -> dict[str, Any]:
    """Return values by name; a text that stands for a Scheme variable stays as it is."""
    texts = file.options.texts
    values: dict[str, Any] = dict(values_of(file.options))
    values |= {name: text for name, text in texts.items() if codec.is_variable(text)}
    return values | dict(extras_of(file.options))


def _by_tab(specs: Iterable[OptionSpec]) -> list[tuple[str, list[OptionSpec]]]:
    tabs: dict[str, list[OptionSpec]] = {}
    for spec in specs:
        tabs.setdefault(spec.tab, []).append(spec)
    return list(tabs.items())


def _tab(
    title: str, specs: list[OptionSpec], job_type: JobType, environ: Mapping[str, str]
) -> FormTab:
    groups = []
    for row, group in groupby(specs, key=lambda spec: spec.row):
        options = [_option(spec, job_type, environ) for spec in group]
        groups.append(FormGroup(title=row, options=options))
    return FormTab(title=title, switch=_switch(specs), groups=groups)


def _switch(specs: list[OptionSpec]) -> str | None:
    """Return the answer that turns nearly all other options of a tab on."""
    for spec in specs:
        others = [one for one in specs if one is not spec]
        if spec.kind != "boolean" or len(others) < 3:
            continue
        depending = sum(spec.name in rules.names(one.when) for one in others if one.when)
        if depending >= _SHARE * len(others):
            return spec.name
    return None


def _option(spec: OptionSpec, job_type: JobType, environ: Mapping[str, str]) -> FormOption:
    return FormOption(
        name=spec.name,
        key=spec.key,
        label=spec.label.strip().rstrip(":"),
        relion_label=spec.relion_label.strip().rstrip(":"),
        kind=spec.kind,
        type=_type(spec),
        default=spec.default,
        default_text=codec.to_text(spec, spec.default),
        required=spec.required,
        optional=spec.optional,
        choices=list(spec.choices),
        low=spec.low,
        high=spec.high,
        step=spec.step,
        at_least=spec.at_least,
        at_most=spec.at_most,
        off=spec.off,
        unit=unit(spec.name),
        help=spec.help,
        range=describe.range_text(spec),
        pattern=spec.pattern,
        directory=spec.directory,
        node_type=spec.reads,
        when=rule(spec.when),
        when_text=describe.when_text(spec, job_type.options) if spec.when else "",
        on_continue=spec.on_continue,
        locked_here=environment.is_locked_here(spec, environ),
    )


def _type(spec: OptionSpec) -> Literal["bool", "int", "float", "str"]:
    if spec.value_type is bool:
        return "bool"
    if spec.value_type is int:
        return "int"
    return "float" if spec.value_type is float else "str"


def unit(name: str) -> str:
    """Return the unit that the end of an option's name tells."""
    ends = [end for end in _UNITS if name.endswith(end)]
    return _UNITS[max(ends, key=len)] if ends else ""
