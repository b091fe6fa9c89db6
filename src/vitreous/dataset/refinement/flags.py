"""RELION's command line of a refinement as settings, and settings as a command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches

from vitreous.dataset.refinement.flag_table import (
    ABSENT,
    FLAGS,
    NONE,
    REFUSED,
    SEVERAL,
    WITHOUT_EFFECT,
    Flag,
    Given,
    Kind,
    get,
    put,
)
from vitreous.dataset.refinement.machine import Machine
from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.errors import InputError

# Flags that only a refinement of maps has.
_OF_MAPS = ("sym", "healpix_order", "auto_refine", "denovo_3dref", "limit_tilt")
_MAP_ENDINGS = (".mrc", ".map", ".vol", ".spi")


def parse(words: Sequence[str], *, permissive: bool = False) -> tuple[Settings, Machine]:
    """Read the command line of ``relion_refine``, without the name of the program.

    Parameters
    ----------
    words
        Flags of RELION 3.1 or 5, with their values.
    permissive
        Pass over what is not known here, for the commands in files of RELION.

    Returns
    -------
    tuple
        `Settings` (its seed is -1 where none is given) and `Machine`.

    Raises
    ------
    InputError
        Flags are unknown, not supported or lack a value: all of them at once.
    """
    read, problems = _read(words)
    given = ABSENT
    for flag, value in read:
        given = _set(given, flag, value)
    if not permissive:
        _refuse(problems, "Flags")
    return _derived(given, words), given.machine


def extend(
    text: str, given: Given, *, may_only_change: bool = False, where: str = "Additional arguments"
) -> Given:
    """Add flags typed by a user to what the form of a job says.

    Parameters
    ----------
    text
        The flags as typed.
    given
        What they are added to.
    may_only_change
        Of a refinement that goes on: a flag that cannot change any more is refused, unless it
        says what holds anyway.
    where
        What the text is called in messages.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{where} {text!r}: {error}.") from None
    read, problems = _read(words)
    for flag, value in read:
        after = _set(given, flag, value)
        if may_only_change and not flag.may_change and after != given:
            problems.append(_cannot_change(flag, get(given, flag.field)))
            continue
        given = after
    _refuse(problems, where)
    return replace(given, settings=concluded(given.settings))


def command_line(settings: Settings, machine: Machine | None = None) -> str:
    """Return flags that `parse` reads back as the same records.

    It stands in the second line of ``_optimiser.star``, where it keeps what has no label.
    """
    given = Given(settings, machine or ABSENT.machine)
    return " ".join(shlex.join(words) for words in _written(given))


def _written(given: Given) -> Iterator[list[str]]:
    for flag in FLAGS.values():
        value = get(given, flag.field)
        if flag.kind is Kind.PERHAPS:
            if given.machine.use_gpu:
                yield [f"--{flag.name}", flag.text(value)]
        elif not flag.is_written or not _is_needed(flag, value, given.settings):
            continue
        elif flag.kind is Kind.SWITCH:
            yield [f"--{flag.name}"]
        else:
            yield [f"--{flag.name}", flag.text(value)]
    if given.settings.from_nothing and given.settings.ndim == 3:
        yield ["--denovo_3dref"]


def _is_needed(flag: Flag, value: object, settings: Settings) -> bool:
    if flag.kind is Kind.SWITCH:
        return bool(value == flag.on) and value != get(ABSENT, flag.field)
    if flag.name == "sym":
        return settings.ndim == 3
    if flag.name == "iter" and settings.auto_refine:
        return False
    return bool(value != get(ABSENT, flag.field))


def _read(words: Sequence[str]) -> tuple[list[tuple[Flag, object]], list[str]]:
    found: list[tuple[Flag, object]] = []
    problems: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = word.removeprefix("--")
        if not word.startswith("--"):
            problems.append(f"{word!r} does not begin with -- and follows no flag that wants it")
        elif name in WITHOUT_EFFECT:
            del rest[: WITHOUT_EFFECT[name]]
        elif name in SEVERAL or name in FLAGS:
            try:
                found += _values([FLAGS[one] for one in SEVERAL.get(name, (name,))], name, rest)
            except InputError as error:
                problems.append(str(error))
        else:
            problems.append(_unknown(name))
    return found, problems


def _values(flags: list[Flag], name: str, rest: list[str]) -> list[tuple[Flag, object]]:
    first = flags[0]
    if first.kind is Kind.SWITCH:
        return [(flag, flag.on) for flag in flags]
    is_there = bool(rest) and not rest[0].startswith("--")
    if first.kind is Kind.PERHAPS:
        return [(first, rest.pop(0) if is_there else "")]
    if not is_there:
        raise InputError(f"--{name} wants {first.kind.value} behind it")
    text = rest.pop(0)
    return [(flag, replace(flag, name=name).value(text)) for flag in flags]


def _cannot_change(flag: Flag, value: object) -> str:
    now = "was not given" if flag.kind is Kind.SWITCH else f"is {flag.text(value)}"
    return (
        f"--{flag.name} cannot change when a refinement goes on; it {now}. Start a new job for "
        "another value."
    )


def _unknown(name: str) -> str:
    if name in REFUSED:
        return f"--{name} {REFUSED[name]}"
    near = get_close_matches(name, [*FLAGS, *SEVERAL], 1, 0.5)
    return f"--{name} is not known{f'; did you mean --{near[0]}?' if near else ''}"


def _refuse(problems: list[str], where: str) -> None:
    if problems:
        raise InputError("\n".join(f"{where}: {problem}" for problem in problems))


def _set(given: Given, flag: Flag, value: object) -> Given:
    changed: Given = put(given, flag.field, value)
    if flag.name == "gpu":
        changed = put(changed, "machine.use_gpu", True)
    return changed


def _derived(given: Given, words: Sequence[str]) -> Settings:
    """Fill in what RELION concludes from flags: dimensions, beginning, what automation implies."""
    settings = given.settings
    named = {word.removeprefix("--") for word in words if word.startswith("--")}
    is_map = settings.references.lower().endswith(_MAP_ENDINGS) and "@" not in settings.references
    ndim = 3 if is_map or named & set(_OF_MAPS) else 2
    return concluded(replace(settings, ndim=ndim))


def concluded(settings: Settings) -> Settings:
    """Return settings with what follows from others, as RELION concludes it."""
    is_gradient = settings.algorithm is Algorithm.GRADIENT
    from_nothing = settings.references in ("", NONE)
    non_negative = is_gradient and settings.ndim == 3 and from_nothing and settings.solvent.flatten
    automatic = settings.auto_refine
    return replace(
        settings,
        references="" if from_nothing else settings.references,
        from_nothing=from_nothing,
        auto_sampling=settings.auto_sampling or automatic,
        n_iterations=settings.max_auto_iterations if automatic else settings.n_iterations,
        seed=max(settings.seed, -1),
        solvent=replace(settings.solvent, non_negative=non_negative),
    )
