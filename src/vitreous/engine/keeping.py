"""Arrays that depend on a few sizes only are made once, as long as they are small."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from math import prod
from typing import Concatenate, ParamSpec

from torch import Tensor

MOST_VALUES = 2**24  # of an array that is kept
_P = ParamSpec("_P")
_Maker = Callable[Concatenate[tuple[int, ...], _P], Tensor]


def keep_small(results: int) -> Callable[[_Maker[_P]], _Maker[_P]]:
    """Keep what a function returned last, for as many sets of arguments as `results`.

    The function's first argument is the shape of what it returns. What is larger than
    `MOST_VALUES` is made anew each time. Callers must not change what they get.
    """

    def wrap(make: _Maker[_P]) -> _Maker[_P]:
        kept = lru_cache(maxsize=results)(make)

        @wraps(make)
        def made(shape: tuple[int, ...], /, *args: _P.args, **kwargs: _P.kwargs) -> Tensor:
            call = kept if prod(shape) <= MOST_VALUES else make
            return call(shape, *args, **kwargs)

        return made

    return wrap
