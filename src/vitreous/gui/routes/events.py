"""The one WebSocket: what changes is told here, with numbers to go on from."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Final

import anyio
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from vitreous.gui.context import Server
from vitreous.gui.events import Listener
from vitreous.running.record import now, plain

router = APIRouter()
_PING_S: Final = 15.0
_MOST_TEXT: Final = 4096
_GONE: Final = (WebSocketDisconnect, RuntimeError, ConnectionError)  # the page was closed


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
        async with anyio.create_task_group() as both:
            both.start_soon(_tell, socket, listener, both.cancel_scope)
            both.start_soon(_hear, socket, server, listener, both.cancel_scope)
    except _GONE:
        pass
    finally:
        server.hub.listeners.discard(listener)


async def _tell(socket: WebSocket, listener: Listener, both: anyio.CancelScope) -> None:
    with contextlib.suppress(*_GONE):
        while True:
            event: dict[str, Any] = {"kind": "ping"}
            with anyio.move_on_after(_PING_S):
                event = await listener.queue.get()
            if listener.is_lost:  # it could not follow: everything anew
                listener.is_lost = False
                while not listener.queue.empty():
                    listener.queue.get_nowait()
                event = {"kind": "reset"}
            await _send(socket, event)
    both.cancel()


async def _hear(
    socket: WebSocket, server: Server, listener: Listener, both: anyio.CancelScope
) -> None:
    """Take what a page asks for: ``{"subscribe": {"log": 12}}``."""
    with contextlib.suppress(*_GONE):
        while len(text := await socket.receive_text()) <= _MOST_TEXT:
            _subscribe(listener, text)
            server.hub.hurry()
        await socket.close(1009)
    both.cancel()


def _subscribe(listener: Listener, text: str) -> None:
    with contextlib.suppress(ValueError):
        asked = json.loads(text)
        if isinstance(asked, dict) and isinstance(asked.get("subscribe"), dict):
            n = asked["subscribe"].get("log")
            listener.log_of = n if isinstance(n, int) else None
            listener.log_at = {}


async def _send(socket: WebSocket, event: dict[str, Any]) -> None:
    await socket.send_text(json.dumps(plain(event)))
