"""Checks that follow from the declaration of an option alone: needed, typed, in range."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import codec
from vitreous.jobs import when as rules
from vitreous.jobs.declare import Options, Start
from vitreous.jobs.job_type import hard_limits, value_of
from vitreous.jobs.needs import wanted_file
from vitreous.jobs.spec import OptionSpec, Value


def check_values(options: Options, start: Start) -> Iterator[Problem]:
    """Yield what is wrong with single values, option by option.

    Parameters
    ----------
    options
        Options of a job.
    start
        How it is started.
    """
    for spec in options.job_type.options.values():
        value, text = value_of(options, spec), options.texts.get(spec.name, "")
        if not matters(options, spec, start):
            continue
        yield from _needed(spec, value)
        wrong = list(_readable(spec, text, value)) or list(hard_limits(spec, value, text))
        yield from wrong or _suggested(spec, value, text)


def matters(options: Options, spec: OptionSpec, start: Start) -> bool:
    """Tell whether an option has an effect: its rule holds, and it belongs to this start."""
    if spec.on_continue == "only" and start.is_new:
        return False
    return rules.holds(spec.when, options.value)


def _needed(spec: OptionSpec, value: Value) -> Iterator[Problem]:
    if spec.required and value in ("", None):
        yield Problem(spec.name, f"is empty; give {wanted_file(spec.reads)}")


def _readable(spec: OptionSpec, text: str, value: Value) -> Iterator[Problem]:
    try:
        if text:
            codec.from_text(spec, text)
        elif spec.choices:
            codec.from_text(spec, str(value))
    except codec.TextError as error:
        if value == spec.default or not text:
            yield Problem(spec.name, str(error))


def _suggested(spec: OptionSpec, value: Value, text: str) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int | float) or codec.is_variable(text):
        return
    if value in (spec.off, spec.default) or spec.low is None or spec.high is None:
        return
    if not spec.low <= value <= spec.high:
        yield Problem(
            spec.name,
            f"is {value:g}; {spec.low:g} to {spec.high:g} is usual",
            severity="warning",
        )
