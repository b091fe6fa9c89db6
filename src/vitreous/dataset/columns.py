"""Columns of text as numbers: what a million names are counted and grouped with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def codes(values: Iterable[object]) -> NDArray[np.int64]:
    """Return a number for each value: equal for equal values, in order of appearance."""
    numbers: dict[object, int] = {}
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return np.array([numbers.setdefault(value, len(numbers)) for value in listed], np.int64)


def repeated(values: NDArray[np.generic]) -> list[str]:
    """Return the values that stand more than once, in order of appearance."""
    return [str(value) for value, count in Counter(values.tolist()).items() if count > 1]
