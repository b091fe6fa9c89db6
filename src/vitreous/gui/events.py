"""What changes is told to every open page: numbered, so that nobody misses anything.

A page that comes back says which number it had last and gets what it missed; where that is no
longer kept, or the server is another one, it is told to load everything anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

_KEPT: Final = 2000
_QUEUE: Final = 1000


class Listener:
    """One open page.

    Parameters
    ----------
    hub
        Where it listens.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_QUEUE)
        self.log_of: int | None = None
        self.log_at: dict[str, int] = {}
        self.is_lost = False

    def offer(self, event: dict[str, Any]) -> None:
        """Put an event in its queue; a page that cannot follow starts anew."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.is_lost = True


class Hub:
    """The events of one server; `tell` may be called from any thread."""

    def __init__(self) -> None:
        self.boot = secrets.token_hex(8)
        self.seq = 0
        self.listeners: set[Listener] = set()
        self._kept: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hurry: asyncio.Event | None = None

    def begin(self) -> None:
        """Take up the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._hurry = asyncio.Event()

    def tell(self, kind: str, n: int | None = None, **content: object) -> None:
        """Tell every page that something changed.

        Parameters
        ----------
        kind
            ``jobs``, ``job``, ``progress``, ``results``, ``graph``, ``trash``, ``draft``,
            ``picks``, ``selection`` or ``project``.
        n
            Number of the job that it is about.
        **content
            What else a page needs to know.
        """
        event: dict[str, Any] = {"kind": kind, **content}
        if n is not None:
            event["n"] = n
        loop = self._loop
        if loop is None or loop.is_closed():
            self._put(event)
        else:
            with contextlib.suppress(RuntimeError):  # the server is just ending
                loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: dict[str, Any]) -> None:
        self.seq += 1
        event["seq"] = self.seq
        self._kept.append(event)
        for listener in self.listeners:
            listener.offer(event)

    def hurry(self) -> None:
        """Let the watcher look now."""
        loop, event = self._loop, self._hurry
        if loop is not None and event is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)

    async def wait(self, seconds: float) -> None:
        """Wait until somebody hurries, or the time is over."""
        if self._hurry is None:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            # Not wait_for, which loses a cancellation that comes with the event (Python 3.11).
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        self._hurry.clear()

    def missed(self, boot: str, since: int | None) -> list[Mapping[str, Any]] | None:
        """Return what came after an event; None where nobody knows any more."""
        if since is None:
            return []
        if boot != self.boot or since > self.seq:
            return None
        oldest = self._kept[0]["seq"] if self._kept else self.seq + 1
        if since + 1 < oldest:
            return None
        return [event for event in self._kept if event["seq"] > since]
