"""Selections: what is chosen in a Select job, kept while choosing, and saved."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from vitreous.gui import choosing
from vitreous.gui.context import Here
from vitreous.gui.models.display import (
    Selection,
    SelectionChange,
    SelectionConflict,
    SelectionSaved,
)

router = APIRouter(prefix="/api/selections", tags=["selections"])


@router.get("/{n}")
async def get_selection(server: Here, n: int) -> Selection:
    """Return what is chosen in a Select job."""
    return await choosing.read(server, server.job(n))


@router.post("/{n}", response_model=SelectionSaved, responses={409: {"model": SelectionConflict}})
async def change_selection(
    server: Here, n: int, change: SelectionChange
) -> SelectionSaved | Response:
    """Keep a choice, or save it, which makes the files of the job."""
    job = await asyncio.to_thread(server.settled, n)
    now = await choosing.read(server, job)
    if change.version and change.version != now.version:
        message = "Somebody else changed this selection meanwhile."
        return JSONResponse(SelectionConflict(error=message, **now.model_dump()).model_dump(), 409)
    saved = await choosing.change(server, job, now, change)
    server.hub.tell("selection", n, version=saved.version, saved=saved.is_saved)
    if saved.is_saved:
        server.changed("jobs", "graph")
    return saved
