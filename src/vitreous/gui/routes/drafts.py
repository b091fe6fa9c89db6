"""Drafts: what people typed and have not used yet; display settings of the project."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, Response

from vitreous.gui.context import Here
from vitreous.gui.models.common import Done
from vitreous.gui.models.project import DraftBody, DraftChange, DraftConflict

router = APIRouter(prefix="/api/drafts", tags=["drafts"])
Key = Annotated[str, Path(max_length=500, pattern=r"^[A-Za-z0-9_.:@/ -]+$")]


@router.get("/{key:path}")
def get_draft(server: Here, key: Key) -> DraftBody:
    """Return what is kept under a key; version 0 where there is nothing."""
    return server.drafts.read(key)


@router.put("/{key:path}", response_model=DraftBody, responses={409: {"model": DraftConflict}})
def put_draft(server: Here, key: Key, change: DraftChange) -> DraftBody | Response:
    """Keep a value; 409 with theirs where another window changed it."""
    kept = server.drafts.write(key, change.value, change.version, change.by)
    if kept is None:
        theirs = server.drafts.read(key)
        who = f" ({theirs.by})" if theirs.by else ""
        answer = DraftConflict(error=f"Another window{who} changed this.", theirs=theirs)
        return JSONResponse(answer.model_dump(), 409)
    server.hub.tell("draft", key=key, version=kept.version, by=kept.by)
    return kept


@router.delete("/{key:path}")
def delete_draft(server: Here, key: Key) -> Done:
    """Forget a draft."""
    server.drafts.remove(key)
    server.hub.tell("draft", key=key, version=server.drafts.read(key).version, by=None)
    return Done(message="Forgotten.")
