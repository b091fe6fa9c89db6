"""The display worker seen from the server: a process that makes pictures, while somebody looks.

It is started by the first question and ended when nobody asked for a while; one that died is
started again. Questions and answers are JSON with a length before them, answers carry bytes.
The worker itself is `vitreous.programs.display`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from vitreous import errors
from vitreous.gui.refusals import RefusedError

IDLE_S: Final = 300.0
_PATIENCE_S: Final = 120.0
_AT_ONCE: Final = 8  # others wait here, where they can be given up
_LENGTHS: Final = struct.Struct(">II")
_Gone: TypeAlias = Callable[[], Awaitable[bool]]
_Answer: TypeAlias = asyncio.Future[tuple[dict[str, Any], bytes]]


class Display:
    """The worker of one project.

    Parameters
    ----------
    root
        The project folder.
    data
        Folders outside of it that may be read.
    idle_s
        Seconds without a question after which it is ended.
    """

    def __init__(self, root: Path, data: Sequence[Path] = (), *, idle_s: float = IDLE_S) -> None:
        self._command = ["-P", "-m", "vitreous.programs.display", str(root), *map(str, data)]
        self._idle_s = idle_s
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, _Answer] = {}
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._asked = time.monotonic()

    @property
    def pid(self) -> int | None:
        """Its process; None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def ask(
        self, what: str, /, *, is_gone: _Gone | None = None, **arguments: object
    ) -> tuple[dict[str, Any], bytes]:
        """Let the worker do something.

        Parameters
        ----------
        what
            A name of `vitreous.programs.display.QUESTIONS`.
        is_gone
            Tells whether whoever asked waits no more; then nothing is done.
        **arguments
            Its arguments.

        Returns
        -------
        tuple
            Named values, and the bytes of a picture where there is one.

        Raises
        ------
        VitreousError
            What the worker refused.
        RefusedError
            It died, or did not answer in time.
        """
        async with self._room:
            if is_gone is not None and await is_gone():
                raise RefusedError(408, "Nobody waits for this picture any more.")
            self._asked = time.monotonic()
            process = await self._started()
            number = next(self._numbers)
            answer: _Answer = asyncio.get_running_loop().create_future()
            self._waiting[number] = answer
            try:
                text = json.dumps([number, what, arguments], default=_plain).encode()
                await self._send(process, text)
                async with asyncio.timeout(_PATIENCE_S):
                    return await answer
            except TimeoutError:
                raise RefusedError(
                    408, f"The picture was not ready in {_PATIENCE_S:g} s."
                ) from None
            finally:
                self._waiting.pop(number, None)
                self._asked = time.monotonic()

    async def end_when_idle(self) -> None:
        """End the worker whenever nobody asked for a while; runs as long as the server."""
        while True:
            await asyncio.sleep(min(self._idle_s, 10.0))
            is_idle = not self._waiting and time.monotonic() - self._asked > self._idle_s
            if self.pid is not None and is_idle:
                await self.close()

    async def close(self) -> None:
        """End the worker."""
        async with self._starting:
            process = self._process
            if process is None:
                return
            if process.stdin:
                process.stdin.close()
            try:
                async with asyncio.timeout(3.0):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            if self._reading is not None:
                await self._reading
            self._process = None

    async def _started(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C in the terminal is for the server
                )
                self._reading = asyncio.create_task(self._read(self._process))
            return self._process

    async def _send(self, process: asyncio.subprocess.Process, text: bytes) -> None:
        if process.stdin is None:
            raise _died()
        try:
            process.stdin.write(struct.pack(">I", len(text)) + text)
            await process.stdin.drain()
        except (ConnectionError, RuntimeError):
            raise _died() from None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand out answers until the worker ends; who still waits then is told."""
        stream = process.stdout
        if stream is None:
            return
        mine = self._waiting
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                n_text, n_data = _LENGTHS.unpack(await stream.readexactly(_LENGTHS.size))
                number, error, found = json.loads(await stream.readexactly(n_text))
                data = await stream.readexactly(n_data)
                answer = mine.pop(number, None)
                if answer is None or answer.done():
                    continue
                if error:
                    answer.set_exception(_error(*error))
                else:
                    answer.set_result((found, data))
        await process.wait()
        for answer in list(mine.values()):
            if not answer.done():
                answer.set_exception(_died())


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)


def _died() -> RefusedError:
    return RefusedError(
        424, "The process that makes pictures ended; ask again, and it starts anew."
    )


def _error(kind: str, message: str) -> Exception:
    known = getattr(errors, kind, errors.ComputeError)
    if isinstance(known, type) and issubclass(known, errors.VitreousError):
        return errors.InputError(message) if known is errors.OptionError else known(message)
    return errors.ComputeError(message)
