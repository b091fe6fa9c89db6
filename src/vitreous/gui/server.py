"""The web server of one project, put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from vitreous._version import __version__
from vitreous.actions import Project
from vitreous.gui import refusals
from vitreous.gui.book import JobBook
from vitreous.gui.confine import Confinement
from vitreous.gui.context import Server
from vitreous.gui.display import Display
from vitreous.gui.drafts import Drafts
from vitreous.gui.events import Hub
from vitreous.gui.guard import Access, Guard
from vitreous.gui.models.common import Failure
from vitreous.gui.pick_denoise import Denoising
from vitreous.gui.picking import PickingSessions
from vitreous.gui.routes import (
    autorun,
    drafts,
    events,
    graph,
    images,
    job_actions,
    jobs,
    nodes,
    pages,
    picks,
    project,
    search,
    selections,
    trash,
    types,
    volumes,
)
from vitreous.gui.watch import Watcher

_ROUTES = (
    project,
    types,
    jobs,
    job_actions,
    graph,
    nodes,
    trash,
    autorun,
    drafts,
    search,
    images,
    volumes,
    selections,
    picks,
    events,
    pages,
)

_PACKED_ALREADY = (
    *("/api/images/sprite", "/api/images/tile", "/api/images/one", "/api/images/fft"),
    *("/api/images/average", "/api/volumes/data", "/api/volumes/slice", "/api/volumes/surface"),
    "/api/files/raw",
)


def create_app(
    path: Path | str,
    *,
    access: Access,
    read_only: bool = False,
    data: Sequence[Path] = (),
) -> FastAPI:
    """Make the server of a project.

    Parameters
    ----------
    path
        The project folder.
    access
        Who may do what.
    read_only
        Nobody may change anything, and nothing is written.
    data
        Folders outside of the project that links in it may lead into.
    """
    found = Project(path, read_only=read_only)
    hub = Hub()
    files = Confinement(found.root, data)
    display = Display(found.root, data)
    server = Server(
        project=found,
        book=JobBook(found),
        files=files,
        hub=hub,
        drafts=Drafts(found.root, in_memory=read_only),
        display=display,
        picking=PickingSessions(found, files),
        denoising=Denoising(found, display),
    )
    app = bare_app()
    app.state.server = server
    app.router.lifespan_context = _lifespan
    app.add_middleware(_Packed)
    app.add_middleware(Guard, access=access)
    return app


def bare_app() -> FastAPI:
    """Return the routes without a project: enough for the OpenAPI document."""
    app = FastAPI(
        title="vitreous",
        version=__version__,
        description="What the browser, and any other program, can do with a project.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        generate_unique_id_function=_operation,
        responses={"4XX": {"model": Failure, "description": "Refused, with the reason."}},
    )
    refusals.install(app)
    for resource in _ROUTES:
        app.include_router(resource.router)
    return app


class _Packed:
    """Pack answers, but for pictures and files, which are packed as far as they can be."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._packed = GZipMiddleware(app, minimum_size=1000, compresslevel=5)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        is_plain = scope["type"] != "http" or scope["path"].startswith(_PACKED_ALREADY)
        await (self._plain if is_plain else self._packed)(scope, receive, send)


def _operation(route: APIRoute) -> str:
    return route.name


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Watch the project while the server runs; jobs go on when it ends."""
    server: Server = app.state.server
    server.hub.begin()
    watcher = Watcher(server.project, server.book, server.hub)
    await watcher.try_to_look()  # what changes after the first page was loaded is told to it
    tasks = [
        asyncio.create_task(watcher.run()),
        asyncio.create_task(server.display.end_when_idle()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.denoising.close()
        await server.display.close()
