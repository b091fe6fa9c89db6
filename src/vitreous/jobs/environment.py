"""RELION's environment variables: what a site gives as defaults of new jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vitreous.jobs import codec
from vitreous.jobs.spec import OptionSpec

EXTRA_KEY = "qsub_extra"
_EXTRA_COUNT = "RELION_QSUB_EXTRA_COUNT"
_LOCK_DEDICATED = "RELION_ALLOW_CHANGE_MINIMUM_DEDICATED"


def at_this_site(spec: OptionSpec, environ: Mapping[str, str]) -> OptionSpec:
    """Return an option with the default and the upper limit that the environment gives.

    A variable whose text is no value of the option is passed over, as RELION does.
    """
    default = _value(spec, environ.get(spec.default_env, ""))
    high = environ.get(spec.high_env, "")
    return replace(
        spec,
        default=spec.default if default is None else default,
        high=float(high) if high.strip().isdecimal() else spec.high,
    )


def is_locked_here(spec: OptionSpec, environ: Mapping[str, str]) -> bool:
    """Tell whether the site lets nobody change this option."""
    return spec.key == "min_dedicated" and environ.get(_LOCK_DEDICATED, "") == "0"


def extra_queue_options(environ: Mapping[str, str]) -> tuple[OptionSpec, ...]:
    """Return the queue fields that a site adds: ``qsub_extra1`` and so on.

    Field N exists if ``RELION_QSUB_EXTRAN`` is set, which is its label;
    ``RELION_QSUB_EXTRA_COUNT`` (2 if absent) says how many are looked for.
    """
    count = environ.get(_EXTRA_COUNT, "")
    numbers = range(1, (int(count) if count.strip().isdecimal() else 2) + 1)
    return tuple(_extra(n, environ) for n in numbers if environ.get(f"RELION_QSUB_EXTRA{n}"))


def is_extra_key(key: str) -> bool:
    """Tell whether a key of ``job.star`` is one of the site's own queue fields."""
    return key.startswith(EXTRA_KEY) and key[len(EXTRA_KEY) :].isdecimal()


def _extra(number: int, environ: Mapping[str, str]) -> OptionSpec:
    variable = f"RELION_QSUB_EXTRA{number}"
    label = environ[variable]
    return OptionSpec(
        name=f"{EXTRA_KEY}{number}",
        key=f"{EXTRA_KEY}{number}",
        value_type=str,
        label=label,
        relion_label=label,
        help=environ.get(f"{variable}_HELP", "")
        or f"A field of this site. It replaces XXXextra{number}XXX in the submission script.",
        tab="Running",
        default=environ.get(f"{variable}_DEFAULT", ""),
        when="use_queue",
        on_continue="free",
        default_env=f"{variable}_DEFAULT",
        group="running",
    )


def _value(spec: OptionSpec, text: str) -> bool | int | float | str | None:
    if not text:
        return None
    try:
        return codec.from_text(spec, text)
    except codec.TextError:
        return None
