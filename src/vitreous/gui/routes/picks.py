"""Picks of a picking job: the micrographs, the picks of one, changes, saving."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from vitreous.gui.context import Here
from vitreous.gui.models.display import (
    PickChange,
    PickConflict,
    PickList,
    Picks,
    PickSave,
    PickSaved,
)

router = APIRouter(prefix="/api/picks", tags=["picks"])


@router.get("/{n}")
def get_pick_list(server: Here, n: int) -> PickList:
    """Return the micrographs of a picking job with how many picks each has."""
    return server.picking.listed(server.job(n))


@router.get("/{n}/{row}")
def get_picks(server: Here, n: int, row: int) -> Picks:
    """Return the picks of the micrograph at a place of the list."""
    return server.picking.picks(server.job(n), row)


@router.post("/{n}/{row}", response_model=Picks, responses={409: {"model": PickConflict}})
def change_picks(server: Here, n: int, row: int, change: PickChange) -> Picks | Response:
    """Change the picks of a micrograph; 409 with theirs where somebody else did meanwhile."""
    server.writable()
    job = server.job(n)
    changed = server.picking.change(job, row, change)
    if changed is None:
        theirs = server.picking.picks(job, row)
        message = f"The picks of {theirs.name} were changed elsewhere."
        return JSONResponse(PickConflict(error=message, theirs=theirs).model_dump(), 409)
    server.hub.tell("picks", n, row=row, version=changed.version, count=changed.count)
    return changed


@router.post("/{n}", name="save_picks")
def save_picks(server: Here, n: int, how: PickSave) -> PickSaved:
    """Write the lists that other jobs read; `close` marks the job as finished too."""
    job = server.settled(n)
    with server.writing:
        saved = server.picking.save(job, how)
    server.changed("jobs", "graph")
    server.hub.tell("picks", n, saved=True)
    return saved
