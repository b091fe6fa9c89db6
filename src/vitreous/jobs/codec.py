"""Values of options as text, in RELION's spelling, and back.

Yes and No for booleans, the shortest decimal that reads back for numbers, an empty text for
"no value". A value that starts with ``$$`` is a variable of a Scheme: it stands for a number
or an answer that is not known yet, counts as 0 or No, and is kept as it is written.
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitreous.jobs.spec import OptionSpec, Value

_ANSWERS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
VARIABLE = "$$"


class TextError(ValueError):
    """A text is not a value of its option; the message says what was wanted."""


def to_text(spec: OptionSpec, value: Value) -> str:
    """Write a value as RELION does.

    Parameters
    ----------
    spec
        The option.
    value
        A value of its type.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, float):
        return _number_text(value)
    return str(value)


def from_text(spec: OptionSpec, text: str) -> Value:
    """Read a value from text.

    Raises
    ------
    TextError
        If the text is no value of this option.
    """
    if "\n" in text or "\0" in text:
        raise TextError(f"is {text!r}, wanted text on one line")
    if spec.value_type is str:
        return _choice(spec, text) if spec.choices and not is_variable(text) else text
    text = text.strip()
    if spec.optional and not text:
        return None
    if is_variable(text):
        return spec.value_type(0)  # type: ignore[no-any-return]  # bool, int or float
    if spec.value_type is bool:
        return _answer(text)
    return _number(spec.value_type, text)


def from_given(spec: OptionSpec, given: object) -> Value:
    """Take a value from a caller, who may give text or the value itself.

    Raises
    ------
    TextError
        If it is of the wrong type, or a text that is no value of this option.
    """
    if given is None and spec.optional:
        return None
    if isinstance(given, str):
        return from_text(spec, given)
    if isinstance(given, bool) or spec.value_type is bool:
        if isinstance(given, bool) and spec.value_type is bool:
            return given
        raise TextError(f"is {given!r}, wanted {_wanted(spec)}")
    if isinstance(given, (int, float)) and spec.value_type in (int, float):
        return _number(spec.value_type, repr(given))
    if hasattr(given, "__fspath__") and spec.value_type is str:
        return str(given)
    raise TextError(f"is {given!r}, wanted {_wanted(spec)}")


def is_variable(text: object) -> bool:
    """Tell whether a text stands for a variable of a Scheme."""
    return isinstance(text, str) and text.strip().startswith(VARIABLE)


def _answer(text: str) -> bool:
    try:
        return _ANSWERS[text.lower()]
    except KeyError:
        raise TextError(f"is {text!r}, wanted Yes or No") from None


def _number(kind: type, text: str) -> int | float:
    try:
        number = float(text)
    except ValueError:
        raise TextError(f"is {text!r}, wanted a number") from None
    if not math.isfinite(number):
        raise TextError(f"is {text!r}, wanted a finite number")
    if kind is int:
        if not number.is_integer():
            raise TextError(f"is {text!r}, wanted a whole number")
        return int(number)
    return number


def _choice(spec: OptionSpec, text: str) -> str:
    if text in spec.choices:
        return text
    lowered = {choice.lower(): choice for choice in spec.choices}
    if text.strip().lower() in lowered:
        return lowered[text.strip().lower()]
    near = _nearest_choice(spec.choices, text)
    hint = f" (did you mean {near!r}?)" if near else ""
    raise TextError(f"is {text!r}{hint}, wanted one of: {'; '.join(spec.choices)}")


def _nearest_choice(choices: tuple[str, ...], text: str) -> str:
    """Return the choice with the nearest number, or else the one spelt most alike."""
    try:
        number = float(text.split(maxsplit=1)[0])
        return min(choices, key=lambda choice: abs(float(choice.split()[0]) - number))
    except (ValueError, IndexError):
        near = difflib.get_close_matches(text, choices, n=1, cutoff=0.5)
        return near[0] if near else ""


def _wanted(spec: OptionSpec) -> str:
    if spec.choices:
        return f"one of: {'; '.join(spec.choices)}"
    return {bool: "Yes or No", int: "a whole number", float: "a number", str: "text"}[
        spec.value_type
    ]


def _number_text(value: float) -> str:
    short = f"{value:.12g}"
    return short if float(short) == value else repr(value)
