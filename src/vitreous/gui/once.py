"""Requests that must not be done twice, though a browser may send them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")
_KEPT: Final = 500


class Once:
    """Answers by the id of the request; a second asker waits for the answer of the first."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def do(self, request_id: str, act: Callable[[], T]) -> T:
        """Do something, or return what it gave before.

        What was refused is not remembered: the user mends it and asks again.
        """
        with self._lock:
            known = self._answers.get(request_id)
            if known is None:
                mine: Future[Any] = Future()
                self._answers[request_id] = mine
                while len(self._answers) > _KEPT:
                    self._answers.popitem(last=False)
        if known is not None:
            given: T = known.result()
            return given
        try:
            answer = act()
        except BaseException as error:
            with self._lock:
                self._answers.pop(request_id, None)
            mine.set_exception(error)
            raise
        mine.set_result(answer)
        return answer
