"""A job type in words: what `vitreous describe` and the manual pages say of each option."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vitreous.jobs import codec
from vitreous.jobs.job_type import JobType
from vitreous.jobs.needs import wanted_file
from vitreous.jobs.spec import OptionSpec


@dataclass(frozen=True)
class OptionRow:
    """One option in words.

    Parameters
    ----------
    tab
        Tab of the form.
    key, name
        RELION's key and our name; either may be given.
    label
        What the form calls it.
    default
        Text of the default; ``required`` where there is none.
    range
        Usual values, choices, or the kind of file.
    meaning
        What it is for.
    when
        When it has an effect, in the labels of the options that decide; empty for always.
    """

    tab: str
    key: str
    name: str
    label: str
    default: str
    range: str
    meaning: str
    when: str


def table(job_type: JobType) -> list[OptionRow]:
    """Return the options of a job type in words, in the order of the form."""
    return [
        OptionRow(
            tab=spec.tab,
            key=spec.key,
            name=spec.name,
            label=spec.label,
            default=default_text(spec),
            range=range_text(spec),
            meaning=spec.help,
            when=when_text(spec, job_type.options),
        )
        for spec in job_type.options.values()
    ]


def default_text(spec: OptionSpec) -> str:
    """Return the default as text; ``required`` for an option without one."""
    if spec.required:
        return "required"
    return codec.to_text(spec, spec.default) or "empty"


def range_text(spec: OptionSpec) -> str:
    """Return in words what an option takes."""
    if spec.kind == "boolean":
        return "Yes or No"
    if spec.choices:
        return "; ".join(spec.choices)
    if spec.reads:
        return wanted_file(spec.reads)
    if spec.kind == "file":
        return "file"
    if spec.value_type is str:
        return "text"
    words = [_numbers(spec), *_limits(spec)]
    if spec.off is not None and spec.off != spec.low:
        words.append(f"or {spec.off:g}")
    return ", ".join(word for word in words if word)


def when_text(spec: OptionSpec, options: Mapping[str, OptionSpec]) -> str:
    """Return a rule with the labels of options instead of their names."""
    return re.sub(r"\w+", lambda word: _label(word[0], options), spec.when)


def _label(word: str, options: Mapping[str, OptionSpec]) -> str:
    return f"“{options[word].label}”" if word in options else word


def _numbers(spec: OptionSpec) -> str:
    kind = "whole number" if spec.value_type is int else "number"
    if spec.low is None or spec.high is None:
        return kind
    return f"{spec.low:g} to {spec.high:g}"


def _limits(spec: OptionSpec) -> list[str]:
    """Return the refused limits, where they are not those that are usual."""
    limits = []
    if spec.at_least is not None and spec.at_least != spec.low:
        limits.append(f"at least {spec.at_least:g}")
    if spec.at_most is not None and spec.at_most != spec.high:
        limits.append(f"at most {spec.at_most:g}")
    return limits
