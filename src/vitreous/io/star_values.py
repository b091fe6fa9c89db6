"""Single values of a STAR file: text to number and back, quoting, vectors.

The number texts are RELION's own (12 characters, 6 decimals or 7 digits) wherever they read
back as the same number, and the shortest text that does otherwise. This file is the plain
reference of the compiled kernel `_star.cpp`; a test holds the two equal.
"""

from __future__ import annotations

import math
import re

import numpy as np

_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan)",
    re.IGNORECASE | re.ASCII,
)
_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT_START = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INT_START = re.compile(r"[+-]?[0-9]+")
_LARGEST = 2**63
_TEXT_WIDTH = 10
_NUMBER_WIDTH = 12


def to_float(text: str) -> float:
    """Return the number that a text stands for; raise ValueError where it is none."""
    if _FLOAT.fullmatch(text) is None:
        raise ValueError(text)
    return float(text)


def to_int(text: str) -> int:
    """Return a whole number that fits 64 bits; ``1.000000`` counts as whole."""
    if _INT.fullmatch(text):
        number = int(text)
    else:
        real = to_float(text)
        if not real.is_integer():
            raise ValueError(text)
        number = int(real)
    if not -_LARGEST <= number < _LARGEST:
        raise ValueError(text)
    return number


def leading_float(text: str) -> float:
    """Return the number that a text begins with, or 0: what RELION takes ``12abc`` for."""
    found = _FLOAT_START.match(text)
    return float(found[0]) if found else 0.0


def leading_int(text: str) -> int:
    """Return the whole number that a text begins with, or 0 where there is none that fits."""
    found = _INT_START.match(text)
    try:
        return to_int(found[0]) if found else 0
    except ValueError:
        return 0


def to_bool(text: str) -> bool:
    """Return a truth value, which RELION writes as 0 or 1."""
    return to_int(text) != 0


def to_float_vector(text: str) -> np.ndarray:
    """Return ``[1,2.5]`` as an array of float64, shape (n,)."""
    return _frozen(np.array([to_float(item) for item in _items(text)], dtype=np.float64))


def to_int_vector(text: str) -> np.ndarray:
    """Return ``[1,2]`` as an array of int64, shape (n,)."""
    return _frozen(np.array([to_int(item) for item in _items(text)], dtype=np.int64))


def _items(text: str) -> list[str]:
    if len(text) < 2 or text[0] != "[" or text[-1] != "]":
        raise ValueError(text)
    return text[1:-1].split(",") if len(text) > 2 else []


def _frozen(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values


def float_text(value: float) -> str:
    """Return a float64 in RELION's form of 12 characters, or exactly where that loses digits."""
    if math.isnan(value):
        text = "-nan" if math.copysign(1.0, value) < 0 else "nan"
    elif math.isinf(value):
        text = "inf" if value > 0 else "-inf"
    else:
        size = abs(value)
        scientific = 0 < size < 0.001 or size > 100000
        decimals = 5 if value < 0 else 6
        text = f"{value:.{decimals}{'e' if scientific else 'f'}}"
        if float(text) != value:
            text = repr(value)
    return text.rjust(_NUMBER_WIDTH)


def int_text(value: int) -> str:
    """Return a whole number in RELION's 12 characters."""
    return str(int(value)).rjust(_NUMBER_WIDTH)


def vector_text(values: np.ndarray) -> str:
    """Return ``[1,2,3]``: 12 digits for each number, or exactly where that loses digits."""
    return "[" + ",".join(_item_text(item) for item in values.tolist()) + "]"


def _item_text(value: float) -> str:
    if isinstance(value, int) or not math.isfinite(value):
        return str(value) if not _is_negative_nan(value) else "-nan"
    text = f"{value:.12g}"
    return text if float(text) == value else repr(value)


def _is_negative_nan(value: float) -> bool:
    return math.isnan(value) and math.copysign(1.0, value) < 0


def quoted(text: str, *, always: bool = False) -> str:
    r"""Return a text as RELION writes it: bare where it can be, in double quotes otherwise.

    A quote that would close the text too early is preceded by the BEL character (0x07).

    Raises
    ------
    ValueError
        The text holds a line end or a zero byte, or a BEL where it must be quoted.
    """
    if any(bad in text for bad in "\n\r\0"):
        raise ValueError("a line end or a zero byte cannot be written in a STAR file")
    if text and not always and text[0] not in "\"'#" and " " not in text and "\t" not in text:
        return text
    if not text:
        return '""'
    if "\a" in text:
        raise ValueError("a BEL character cannot be written in a quoted text")
    inner = re.sub(r'"(?=[ \t]|$)', '\a"', text)
    return f'"{inner}"'


def text_cell(text: str) -> str:
    """Return a text as a cell of a row, right-aligned to 10 bytes."""
    return padded(quoted(text))


def padded(text: str) -> str:
    """Right-align to 10 bytes, as RELION counts."""
    n_bytes = len(text) if text.isascii() else len(text.encode(errors="surrogateescape"))
    return " " * (_TEXT_WIDTH - n_bytes) + text
