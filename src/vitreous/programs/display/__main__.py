"""``python -m vitreous.programs.display PROJECT [DATA ...]`` answers questions.

It ends with its standard input. A question is a length (4 bytes, big-endian) and JSON ``[number,
what, arguments]``. An answer is two lengths, JSON ``[number, error, found]`` and bytes; the error
is null or ``[kind, message]``.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final

from vitreous.errors import VitreousError
from vitreous.programs.display.questions import answer
from vitreous.programs.display.shelf import Shelf

_REST_S: Final = 1.5


class _Worker:
    def __init__(self, shelf: Shelf, out: BinaryIO) -> None:
        self._shelf = shelf
        self._out = out
        self._writing = threading.Lock()
        self._last = time.monotonic()
        self._busy = 0

    def do(self, text: bytes) -> None:
        """Answer one question."""
        self._busy += 1
        try:
            self._do(*json.loads(text))
        finally:
            self._busy -= 1
            self._last = time.monotonic()

    def warm_up(self) -> None:
        """Load torch when nobody waits: the first filter then comes at once."""
        while self._busy or time.monotonic() - self._last < _REST_S:
            time.sleep(_REST_S / 4)
        importlib.import_module("vitreous.programs.display.spectra")

    def _do(self, number: int, what: str, arguments: dict[str, Any]) -> None:
        try:
            found = answer(self._shelf, what, arguments)
        except (VitreousError, OSError, MemoryError, ArithmeticError) as error:
            self._send([number, [type(error).__name__, _words(error)], {}], b"")
        except Exception as error:  # noqa: BLE001 - one picture that fails must not end the others
            sys.excepthook(type(error), error, error.__traceback__)
            message = f"a fault of the display ({type(error).__name__}: {error})"
            self._send([number, ["ComputeError", message], {}], b"")
        else:
            self._send([number, None, found.values], found.data)

    def _send(self, values: list[Any], data: bytes) -> None:
        text = json.dumps(values).encode()
        with self._writing:
            self._out.write(struct.pack(">II", len(text), len(data)) + text + data)
            self._out.flush()


def _words(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "There is not enough memory for this picture."
    return str(error)


def main(arguments: list[str]) -> None:
    """Answer until standard input ends."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the pool below is what runs side by side
    source = sys.stdin.buffer
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not come between the answers
    root, *data = map(Path, arguments)
    os.chdir(root)
    worker = _Worker(Shelf(root, data), out)
    threading.Thread(target=worker.warm_up, daemon=True).start()
    with ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2))) as pool:
        while len(head := source.read(4)) == 4:
            pool.submit(worker.do, source.read(struct.unpack(">I", head)[0]))
        pool.shutdown(cancel_futures=True)
    os._exit(0)  # threads of torch would only keep the server waiting


if __name__ == "__main__":
    main(sys.argv[1:])
