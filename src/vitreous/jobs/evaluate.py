"""Questions about the options of a job: its label, its problems, its nodes, its text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from vitreous.errors import Problem
from vitreous.jobs import codec, environment
from vitreous.jobs.checks import check_values, matters
from vitreous.jobs.declare import Options, Output, Result, Start
from vitreous.jobs.job_type import JobType, build, extras_of, value_of, values_of, with_extras
from vitreous.jobs.spec import OptionSpec, Value
from vitreous.project.clean_rules import Cleanup


def full_label(options: Options, is_continue: bool = False) -> str:
    """Return the label with its sub-labels: ``relion.class2d.helical``."""
    return ".".join((options.job_type.label, *options.sublabels(Start(is_continue=is_continue))))


def check(options: Options, is_continue: bool = False, folder: str = "") -> list[Problem]:
    """Return everything that is wrong with the options themselves, all at once.

    No file is looked at: whether the inputs are there, and hold what they should, depends on
    the project.

    Parameters
    ----------
    options
        Options of a job.
    is_continue
        Whether the job goes on from where it was.
    folder
        Job folder of a continued job, with its slash.

    Returns
    -------
    list of Problem
        Those of severity ``error`` refuse the job. In the order of the options.
    """
    start = Start(is_continue=is_continue, folder=folder)
    found = [*check_values(options, start), *options.check(start)]
    order = {name: place for place, name in enumerate(options.job_type.options)}
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda problem: order.get(problem.option, -1))


def input_nodes(
    options: Options, is_continue: bool = False, project: Path | None = None, folder: str = ""
) -> list[tuple[str, str]]:
    """Return path and node type of every input node, each path once."""
    start = Start(is_continue=is_continue, folder=folder, project=project)
    nodes: dict[str, str] = {}
    for item in options.inputs(start):
        spec = options.job_type.options[item.option]
        path = str(value_of(options, spec))
        if path:
            nodes.setdefault(path, item.node_type or spec.reads)
    return list(nodes.items())


def output_nodes(
    options: Options, out: str, is_continue: bool = False, project: Path | None = None
) -> list[Output]:
    """Return the output nodes, each path once.

    Parameters
    ----------
    options
        Options of a job.
    out
        Job folder below the project, with its slash: ``Class2D/job007/``.
    is_continue
        Whether the job goes on from where it was.
    project
        The project folder, for outputs whose number depends on a file.
    """
    start = Start(is_continue=is_continue, folder=out, project=project)
    outputs: dict[str, Output] = {}
    for output in options.outputs(start):
        outputs.setdefault(output.path, replace(output, path=out + output.path))
    return list(outputs.values())


def cleanup(options: Options) -> Cleanup:
    """Return what cleaning removes from such a job."""
    return options.cleanup()


def results(options: Options) -> list[Result]:
    """Return the headline numbers and plots that the job reports."""
    return list(options.results())


def is_enabled(options: Options, name: str, is_continue: bool = False) -> bool:
    """Tell whether a form lets the option be changed, given the other options."""
    spec = options.job_type.options[name]
    if is_continue and spec.on_continue == "locked":
        return False
    return matters(options, spec, Start(is_continue=is_continue))


def to_text(options: Options) -> dict[str, str]:
    """Return the text of every option by RELION's key, sorted as ``job.star`` is.

    A value that was read from text and has not changed is written as it was read.
    """
    texts = {spec.key: _text(options, spec) for spec in options.job_type.options.values()}
    texts.update(extras_of(options))
    return dict(sorted(texts.items(), key=lambda item: item[0].encode(errors="surrogateescape")))


def from_text(job_type: JobType, texts: Mapping[str, str]) -> tuple[Options, dict[str, str]]:
    """Make options from the texts of a file; nothing is refused here, `check` tells.

    Parameters
    ----------
    job_type
        The job type.
    texts
        Text by RELION's key. A missing key gives the default.

    Returns
    -------
    Options
        A text that is no value of its option gives the default, and is kept.
    dict of str to str
        What is no option of this job type, to be written back.
    """
    values: dict[str, Value] = {}
    kept: dict[str, str] = {}
    for spec in job_type.options.values():
        values[spec.name] = spec.default
        if spec.key in texts:
            kept[spec.name] = texts[spec.key]
            values[spec.name] = _meaning(spec, texts[spec.key])
    others = {key: text for key, text in texts.items() if key not in job_type.by_key}
    has_queue = "use_queue" in job_type.options
    extras = {k: others.pop(k) for k in list(others) if has_queue and environment.is_extra_key(k)}
    return with_extras(build(job_type, values, kept), extras), others


def changed(options: Options, values: Mapping[str, object]) -> Options:
    """Return the options with some values replaced, by our name or RELION's key."""
    return options.job_type.changed(options, values)


def values(options: Options) -> dict[str, Value]:
    """Return every value by our name."""
    return values_of(options)


def option_items(options: Options) -> Iterator[tuple[OptionSpec, Value]]:
    """Yield every option with its value, in the order of the form."""
    for spec in options.job_type.options.values():
        yield spec, value_of(options, spec)


def _meaning(spec: OptionSpec, text: str) -> Value:
    try:
        return codec.from_text(spec, text)
    except codec.TextError:
        return spec.default


def _text(options: Options, spec: OptionSpec) -> str:
    value = value_of(options, spec)
    if spec.name in options.texts:
        raw = options.texts[spec.name]
        if _meaning(spec, raw) == value:
            return raw
    return codec.to_text(spec, value)
