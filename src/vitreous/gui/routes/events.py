"""The one WebSocket: what changes is told here, with numbers to go on from."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Final

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from vitreous.gui.context import Server
from vitreous.gui.events import Listener
from vitreous.running.record import now, plain

router = APIRouter()
_PING_S: Final = 15.0
_MOST_TEXT: Final = 4096


@router.websocket("/api/events")
async def events(socket: WebSocket, since: int | None = None, boot: str = "") -> None:
    """Tell a page what changes, beginning after the event that it had last."""
    server: Server = socket.app.state.server
    await socket.accept()
    listener = Listener(server.hub)
    missed = server.hub.missed(boot, since)
    server.hub.listeners.add(listener)
    try:
        hello = {"kind": "hello", "seq": server.hub.seq, "boot": server.hub.boot, "time": now()}
        await _send(socket, hello)
        for event in missed if missed is not None else [{"kind": "reset", "seq": server.hub.seq}]:
            await _send(socket, dict(event))
        server.hub.hurry()
        await _until_first(_tell(socket, listener), _hear(socket, server, listener))
    except (WebSocketDisconnect, RuntimeError, ConnectionError):
        pass  # the page is gone
    finally:
        server.hub.listeners.discard(listener)


async def _tell(socket: WebSocket, listener: Listener) -> None:
    while True:
        try:
            event = await asyncio.wait_for(listener.queue.get(), _PING_S)
        except TimeoutError:
            event = {"kind": "ping", "time": now()}
        if listener.is_lost:  # it could not follow: everything anew
            listener.is_lost = False
            while not listener.queue.empty():
                listener.queue.get_nowait()
            event = {"kind": "reset"}
        await _send(socket, event)


async def _hear(socket: WebSocket, server: Server, listener: Listener) -> None:
    """Take what a page asks for: ``{"subscribe": {"log": 12}}``."""
    while True:
        text = await socket.receive_text()
        if len(text) > _MOST_TEXT:
            await socket.close(1009)
            return
        with contextlib.suppress(ValueError):
            asked = json.loads(text)
            if isinstance(asked, dict) and isinstance(asked.get("subscribe"), dict):
                n = asked["subscribe"].get("log")
                listener.log_of = n if isinstance(n, int) else None
                listener.log_at = {}
                server.hub.hurry()


async def _send(socket: WebSocket, event: dict[str, Any]) -> None:
    await socket.send_text(json.dumps(plain(event)))


async def _until_first(*jobs: Any) -> None:  # noqa: ANN401 - coroutines
    """Run until one of them ends, and end the others."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
