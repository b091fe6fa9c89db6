"""Picks of a picking job: the micrographs, the picks of one, changes, saving."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from vitreous.gui.context import Here
from vitreous.gui.models.display import (
    PickChange,
    PickConflict,
    PickDenoise,
    PickDenoised,
    PickList,
    PickLoad,
    PickLoaded,
    Picks,
    PickSave,
    PickSaved,
    PickTicks,
)
from vitreous.gui.pick_sets import PickSets
from vitreous.gui.routes.nodes import PathText
from vitreous.project.pipeline import job_of_path

router = APIRouter(prefix="/api/picks", tags=["picks"])


@router.get("/sets")
def get_pick_set(server: Here, path: PathText) -> PickList:
    """Return the micrographs of any list of coordinates or micrographs, to look at."""
    return server.picking.looked_at(PickSets(server.files).listed(path))


@router.get("/sets/picks")
def get_set_picks(
    server: Here, path: PathText, name: Annotated[str, Query(max_length=4000)]
) -> Picks:
    """Return the picks that a list of coordinates has for a micrograph; none where it has none."""
    found = PickSets(server.files).picks(path, name)
    owner = job_of_path(server.project.pipeline.resolve(path))
    diameter_A = server.picking.diameter_A(owner) if owner else None
    return found.model_copy(update={"diameter_A": diameter_A})


@router.post("/denoised", name="denoise_micrograph")
async def denoise_micrograph(server: Here, given: PickDenoise) -> PickDenoised:
    """Let Topaz denoise a micrograph; who is told that it is not ready asks again."""
    server.files.path(given.path)
    job = server.job(given.job).name if given.job is not None else None
    can_write = not server.project.read_only
    is_ready = await server.denoising.ask(given.path, job, can_write=can_write)
    return PickDenoised(path=given.path, is_ready=is_ready)


@router.get("/{n}")
def get_pick_list(server: Here, n: int) -> PickList:
    """Return the micrographs of a picking job with how many picks each has."""
    return server.picking.listed(server.job(n))


@router.get("/{n}/{row}")
def get_picks(server: Here, n: int, row: int) -> Picks:
    """Return the picks of the micrograph at a place of the list."""
    return server.picking.picks(server.job(n), row)


@router.post("/{n}/ticks", name="tick_micrographs")
def tick_micrographs(server: Here, n: int, ticks: PickTicks) -> PickList:
    """Choose which micrographs are used."""
    server.writable()
    told = server.picking.tick(server.job(n), ticks)
    server.hub.tell("picks", n, ticks=True)
    return told


@router.post("/{n}/load", name="load_picks")
def load_picks(server: Here, n: int, given: PickLoad) -> PickLoaded:
    """Take over the picks of another list of coordinates, such as an AutoPick job's."""
    server.writable()
    told = server.picking.load(server.job(n), given, PickSets(server.files))
    server.hub.tell("picks", n, loaded=True)
    return told


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
    more = {} if change.selected is None else {"selected": change.selected}
    server.hub.tell("picks", n, row=row, version=changed.version, count=changed.count, **more)
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
