"""The words that a job type is declared with: `job`, `tab`, `option`, `shared`.

A declaration is one frozen class whose fields are the options. Form, flags, ``job.star``,
checks, graph edges and the manual page are all read from it.

```python
@job("relion.maskcreate", folder="MaskCreate", gui_name="Mask creation", number=12,
     hidden_prefix=".gui_maskcreate", place=16)
class MaskCreate(Options):
    \"\"\"Make a soft solvent mask from a map.\"\"\"

    map: str = option(key="fn_in", reads=DENSITY_MAP, label="Map", help="…")
    running: Running = shared(default_factory=Running, without=("n_ranks",))
```
"""

from __future__ import annotations

import dataclasses
import keyword
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import (
    Any,
    ClassVar,
    Literal,
    TypedDict,
    TypeVar,
    Unpack,
    dataclass_transform,
    overload,
)

from vitreous.errors import Problem
from vitreous.jobs import when as rules
from vitreous.jobs.job_type import JobType, value_of
from vitreous.jobs.spec import OnContinue, OptionSpec, Value
from vitreous.project.clean_rules import Cleanup

T = TypeVar("T")
_OPTION = "vitreous.option"
_SHARED = "vitreous.shared"
_TYPES: Mapping[str, type] = {"bool": bool, "int": int, "float": float, "str": str}


@dataclass(frozen=True)
class Start:
    """How a job is started: what some checks, inputs and outputs depend on.

    Parameters
    ----------
    is_continue
        Whether the job goes on from where it was.
    folder
        Job folder below the project, with its slash; empty for a job that has none yet.
    project
        The project folder, or None where no file may be looked at.
    """

    is_continue: bool = False
    folder: str = ""
    project: Path | None = None

    @property
    def is_new(self) -> bool:
        """Whether the job begins from nothing."""
        return not self.is_continue

    def exists(self, path: str) -> bool:
        """Tell whether a file is there; where no project is given, a path counts as there."""
        return bool(path) and (self.project is None or (self.project / path).is_file())

    def rows(self, path: str) -> int:
        """Return the number of rows of the first table of a STAR file; 0 where it is not there."""
        if self.project is None or not self.exists(path):
            return 0
        from vitreous.io import read_star

        return len(read_star(self.project / path).first)


@dataclass(frozen=True)
class Input:
    """An option whose file becomes an input node; `node_type` where the option names none."""

    option: str
    node_type: str = ""


@dataclass(frozen=True)
class Output:
    """A file that becomes an output node.

    Parameters
    ----------
    path
        Below the job folder in a declaration; below the project once evaluated.
    node_type
        Its type in the 5 form.
    late
        Whether it is registered only when the job has ended.
    """

    path: str
    node_type: str
    late: bool = False


@dataclass(frozen=True)
class Result:
    """A number or a plot that the job reports: what a page about it shows first.

    Parameters
    ----------
    kind
        ``headline`` for a number, ``plot`` for a plot.
    name, label, unit
        Name in ``results.json``, what people read, and the unit of a number.
    """

    kind: Literal["headline", "plot"]
    name: str
    label: str
    unit: str = ""


class _MoreWords(TypedDict, total=False):
    tab: str
    relion_label: str
    row: str
    low: float
    high: float
    step: float
    at_least: float
    at_most: float
    when: str
    choices: tuple[str, ...]
    reads: str
    pattern: str
    directory: str
    off: float
    on_continue: OnContinue
    default_env: str
    high_env: str


class OptionWords(_MoreWords):
    """What `option` takes; `vitreous.jobs.spec.OptionSpec` tells what each means."""

    key: str
    label: str
    help: str


class Words(_MoreWords, total=False):
    """What declarations of one option in several job types have in common."""

    key: str
    label: str
    help: str


@overload
def option(*, default: T, **words: Unpack[OptionWords]) -> T: ...
@overload
def option(**words: Unpack[OptionWords]) -> Any: ...  # noqa: ANN401 - fits any field
@overload
def option(*, default: T, like: Words, **words: Unpack[Words]) -> T: ...
@overload
def option(*, like: Words, **words: Unpack[Words]) -> Any: ...  # noqa: ANN401 - fits any field
def option(
    *, default: object = dataclasses.MISSING, like: Words | None = None, **words: Unpack[Words]
) -> object:
    """Declare an option; without `default` it is required.

    Parameters
    ----------
    default
        Value of a new job.
    like
        Words of `vitreous.jobs.common`, for an option that several job types have.
    words
        The words of this option; they go before those of `like`.
    """
    metadata = {_OPTION: {**(like or {}), **words}}
    if default is dataclasses.MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def shared(*, default_factory: type[T], without: tuple[str, ...] = ()) -> T:
    """Declare that a tab of `vitreous.jobs.shared` stands here.

    Parameters
    ----------
    default_factory
        The tab.
    without
        Its options that this job type does not have; they keep their defaults.
    """
    made: T = field(default_factory=default_factory, metadata={_SHARED: without})
    return made


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(option, shared, field)
)
def tab(title: str) -> Callable[[type[T]], type[T]]:
    """Make a class into a group of options that several job types share.

    Parameters
    ----------
    title
        Name of the tab in the form.
    """

    def declare(cls: type[T]) -> type[T]:
        made: Any = dataclass(frozen=True, kw_only=True)(cls)
        made.specs = tuple(_specs(made, title))
        return cls

    return declare


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(option, shared, field)
)
def job(
    label: str,
    *,
    folder: str,
    gui_name: str,
    number: int,
    hidden_prefix: str,
    place: int,
    queue: bool = True,
    run: str = "",
) -> Callable[[type[T]], type[T]]:
    """Make a class into the declaration of a job type.

    Parameters
    ----------
    label, folder, gui_name, number, hidden_prefix, place, queue
        See `vitreous.jobs.job_type.JobType`.
    run
        Dotted name of the program; by default ``vitreous.programs.<word>:run``.
    """

    def declare(cls: type[T]) -> type[T]:
        made: Any = dataclass(frozen=True, kw_only=True)(cls)
        word = label.rsplit(".", 1)[-1]
        module = f"{word}_" if keyword.iskeyword(word) else word
        made.job_type = JobType(
            word=word,
            label=label,
            gui_name=gui_name,
            folder=folder,
            type_number=number,
            hidden_prefix=hidden_prefix,
            place=place,
            run=run or f"vitreous.programs.{module}:run",
            uses_queue=queue,
            cls=made,
            options=MappingProxyType(_unique(cls.__name__, _specs(made, "I/O"))),
        )
        return cls

    return declare


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def _base(cls: type[T]) -> type[T]:
    return dataclass(frozen=True, kw_only=True)(cls)


@_base
class Options:
    """What every declaration answers; here are the answers of a job that has nothing to say.

    Parameters
    ----------
    texts
        By option: the text that a value was read from, which is written back as it was while
        the value stays the same (``1.40``, or a Scheme variable ``$$angpix``).
    """

    job_type: ClassVar[JobType]
    texts: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work; rules that one option alone breaks are generic."""
        yield from ()

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield what becomes an input node: every node option that is on, if not told else."""
        for spec in self.job_type.options.values():
            if spec.kind == "node" and rules.holds(spec.when, self.value):
                yield Input(spec.name)

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the output nodes that are registered when the job starts."""
        yield from ()

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield the parts that are added to the label: ``helical``."""
        yield from ()

    def cleanup(self) -> Cleanup:
        """Return what cleaning removes; nothing, if not told else."""
        return Cleanup()

    def results(self) -> Iterator[Result]:
        """Yield the headline numbers and the plots of the job."""
        yield from ()

    def value(self, name: str) -> Value:
        """Return the value of an option by our name, wherever it is declared."""
        return value_of(self, self.job_type.options[name])


def _specs(cls: type, first_tab: str) -> Iterator[OptionSpec]:
    for item in dataclasses.fields(cls):
        if _OPTION in item.metadata:
            yield _spec(cls, item, first_tab)
        elif _SHARED in item.metadata:
            without = item.metadata[_SHARED]
            shared_tab: Any = item.default_factory
            for spec in shared_tab.specs:
                if spec.name not in without:
                    yield dataclasses.replace(spec, group=item.name)


def _spec(cls: type, item: dataclasses.Field[Any], first_tab: str) -> OptionSpec:
    arguments = dict(item.metadata[_OPTION])
    missing = [word for word in ("key", "label", "help") if word not in arguments]
    if missing:
        raise TypeError(f"{cls.__name__}.{item.name}: an option needs {' and '.join(missing)}")
    text = item.type if isinstance(item.type, str) else item.type.__name__
    value_type = _TYPES.get(text.removesuffix(" | None"))
    if value_type is None:
        raise TypeError(f"{cls.__name__}.{item.name}: {text} is no type of an option")
    default: Any = item.default
    required = default is dataclasses.MISSING
    if required:
        default = ""
    if value_type is float and isinstance(default, int):
        default = float(default)
    arguments.setdefault("tab", first_tab)
    arguments.setdefault("relion_label", arguments["label"])
    return OptionSpec(
        name=item.name,
        value_type=value_type,
        default=default,
        required=required,
        optional=text.endswith(" | None"),
        **arguments,
    )


def _unique(owner: str, specs: Iterator[OptionSpec]) -> dict[str, OptionSpec]:
    table: dict[str, OptionSpec] = {}
    for spec in specs:
        if spec.name in table:
            raise TypeError(f"{owner}: option {spec.name} is declared twice")
        table[spec.name] = spec
    return table
