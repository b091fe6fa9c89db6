"""A job type as data: its names, its options, and how values become a set of options."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vitreous.errors import InputError, OptionError, Problem
from vitreous.jobs import codec, environment

if TYPE_CHECKING:
    from vitreous.jobs.declare import Options
    from vitreous.jobs.spec import OptionSpec, Value

QUEUE_EXTRAS = "queue_extras"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class JobType:
    """One of the kinds of job.

    Parameters
    ----------
    word
        The one word it is called by: ``class2d``.
    label
        RELION's ``rlnJobTypeLabel`` without sub-labels: ``relion.class2d``.
    gui_name, folder
        What people read, and the folder that its jobs lie in: ``2D classification``, ``Class2D``.
    type_number, hidden_prefix
        RELION's number of the type in its 3.x files; prefix of the file of last used values.
    place
        Place in the list of job types.
    run
        Dotted name of its program: ``vitreous.programs.class2d:run``.
    uses_queue
        Whether it may be sent to a queue; what a person works in may not.
    cls
        The declaration.
    options
        Every option by our name, in the order of the form.
    """

    word: str
    label: str
    gui_name: str
    folder: str
    type_number: int
    hidden_prefix: str
    place: int
    run: str
    uses_queue: bool
    cls: type[Options]
    options: Mapping[str, OptionSpec]

    def __repr__(self) -> str:
        return f"<JobType {self.word}>"

    @property
    def title(self) -> str:
        """First sentence of the declaration's docstring: what the job is for."""
        return (self.cls.__doc__ or "").strip().split("\n", 1)[0]

    @property
    def uses_mpi(self) -> bool:
        """Whether it can run as several ranks."""
        return "nr_mpi" in self.by_key

    @property
    def uses_threads(self) -> bool:
        """Whether the number of threads can be chosen."""
        return "nr_threads" in self.by_key

    @property
    def uses_gpu(self) -> bool:
        """Whether GPUs can be chosen."""
        return "gpu_ids" in self.by_key or "gpu_id" in self.by_key

    @cached_property
    def by_key(self) -> Mapping[str, OptionSpec]:
        """Every option by RELION's key."""
        return MappingProxyType({spec.key: spec for spec in self.options.values()})

    @cached_property
    def _by_label(self) -> Mapping[str, OptionSpec]:
        return {spec.relion_label.strip(): spec for spec in self.options.values()}

    def is_built(self) -> bool:
        """Tell whether the program of this job type exists."""
        return importlib.util.find_spec(self.run.partition(":")[0]) is not None

    def spec(self, name: str) -> OptionSpec:
        """Find an option by our name, RELION's key, or the text in RELION's window.

        Raises
        ------
        InputError
            If there is none; the nearest is named.
        """
        for table in (self.options, self.by_key, self._by_label):
            if name.strip() in table:
                return table[name.strip()]
        raise InputError(f"{self.word} has no option {name!r}{self._nearest(name)}")

    def extras(self, environ: Mapping[str, str]) -> tuple[OptionSpec, ...]:
        """Return the queue fields of this site."""
        return environment.extra_queue_options(environ) if "use_queue" in self.options else ()

    def new(self, values: Mapping[str, object], environ: Mapping[str, str]) -> Options:
        """Make the options of a new job.

        Parameters
        ----------
        values
            By our name or RELION's key; texts as RELION writes them, or the values themselves.
        environ
            Environment, which gives a site's defaults.

        Raises
        ------
        OptionError
            With every problem at once: unknown names, texts that are no value, hard limits.
        """
        here = [environment.at_this_site(spec, environ) for spec in self.options.values()]
        start = build(self, {spec.name: spec.default for spec in here}, {})
        extras = {spec.key: str(spec.default) for spec in self.extras(environ)}
        return self.changed(with_extras(start, extras), values)

    def changed(self, options: Options, values: Mapping[str, object]) -> Options:
        """Return the options with some values replaced; see `new` for what is taken.

        Raises
        ------
        OptionError
            With every problem at once.
        """
        problems: list[Problem] = []
        typed = values_of(options)
        texts = dict(options.texts)
        extras = dict(extras_of(options))
        given: dict[str, str] = {}
        for name, value in values.items():
            if environment.is_extra_key(name) and "use_queue" in self.options:
                extras[name] = str(value)
                continue
            try:
                spec = self.spec(name)
                typed[spec.name] = codec.from_given(spec, value)
            except codec.TextError as error:
                problems.append(Problem(spec.name, f"{error}"))
                continue
            except InputError as error:
                problems.append(Problem("", str(error)))
                continue
            problems.extend(_given_twice(spec, name, given))
            texts.pop(spec.name, None)
            if isinstance(value, str):
                texts[spec.name] = value
            problems.extend(hard_limits(spec, typed[spec.name], texts.get(spec.name, "")))
        if problems:
            raise OptionError(problems)
        return with_extras(build(self, typed, texts), extras)

    def _nearest(self, name: str) -> str:
        known = {candidate.lower(): candidate for candidate in (*self.options, *self.by_key)}
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
        if not near:
            return f"; `vitreous describe {self.word}` lists them"
        return f"; did you mean {' or '.join(known[match] for match in near)}?"


def hard_limits(spec: OptionSpec, value: Value, text: str = "") -> Iterator[Problem]:
    """Yield a problem for a number that cannot work; Scheme variables are let through."""
    if isinstance(value, bool) or not isinstance(value, int | float) or codec.is_variable(text):
        return
    if spec.off is not None and value == spec.off:
        return
    if spec.at_least is not None and value < spec.at_least:
        yield Problem(spec.name, f"is {value:g}, must be at least {spec.at_least:g}")
    if spec.at_most is not None and value > spec.at_most:
        yield Problem(spec.name, f"is {value:g}, must be at most {spec.at_most:g}")


def build(job_type: JobType, values: Mapping[str, Value], texts: Mapping[str, str]) -> Options:
    """Put flat values where they belong: on the declaration or on one of its shared tabs."""
    arguments: dict[str, Any] = {"texts": MappingProxyType(dict(texts))}
    groups: dict[str, dict[str, Value]] = {}
    for spec in job_type.options.values():
        if spec.group:
            groups.setdefault(spec.group, {})[spec.name] = values[spec.name]
        else:
            arguments[spec.name] = values[spec.name]
    for field in fields(job_type.cls):
        if field.name in groups:
            tab: Any = field.default_factory
            arguments[field.name] = tab(**groups[field.name])
    return job_type.cls(**arguments)


def value_of(options: Options, spec: OptionSpec) -> Value:
    """Return the value of one option."""
    holder = getattr(options, spec.group) if spec.group else options
    value: Value = getattr(holder, spec.name)
    return value


def values_of(options: Options) -> dict[str, Value]:
    """Return every value by our name, shared tabs flattened."""
    return {name: value_of(options, spec) for name, spec in options.job_type.options.items()}


def extras_of(options: Options) -> Mapping[str, str]:
    """Return the texts of the site's own queue fields, by ``qsub_extraN``."""
    return getattr(getattr(options, "running", None), QUEUE_EXTRAS, MappingProxyType({}))


def with_extras(options: Options, extras: Mapping[str, str]) -> Options:
    """Return the options with the texts of the site's own queue fields."""
    if not extras:
        return options
    job: Any = options
    running = replace(job.running, **{QUEUE_EXTRAS: MappingProxyType(dict(extras))})
    with_them: Options = replace(job, running=running)
    return with_them


def _given_twice(spec: OptionSpec, name: str, given: dict[str, str]) -> Iterator[Problem]:
    if spec.name in given:
        yield Problem(spec.name, f"is given twice, as {given[spec.name]} and as {name}")
    given[spec.name] = name
