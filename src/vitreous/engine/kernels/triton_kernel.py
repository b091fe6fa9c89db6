"""Compile functions with Triton."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import triton


def kernel(function: Callable[..., object]) -> Any:  # noqa: ANN401 - see below
    """Compile a function with Triton; a run-time type checker around it is taken off.

    What comes back is launched as ``made[grid](...)``, for which Triton has no type.
    """
    return triton.jit(inspect.unwrap(function))
