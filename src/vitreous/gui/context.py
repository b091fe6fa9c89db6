"""What the routes share: the project, the list of jobs, events, drafts, the display worker."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from vitreous.actions import Job, Project
from vitreous.gui.book import JobBook
from vitreous.gui.confine import Confinement
from vitreous.gui.drafts import Drafts
from vitreous.gui.events import Hub
from vitreous.gui.once import Once
from vitreous.gui.refusals import RefusedError, not_found
from vitreous.project.pipeline import Status

if TYPE_CHECKING:
    from vitreous.gui.display import Display
    from vitreous.gui.pick_denoise import Denoising
    from vitreous.gui.picking import PickingSessions


@dataclass
class Server:
    """One server of one project.

    Parameters
    ----------
    project
        The project.
    book
        Its jobs as every page shows them.
    files
        What may be read.
    hub
        Where changes are told.
    drafts
        Values that forms keep.
    display
        The process that makes pictures.
    picking
        Micrographs that people pick on.
    denoising
        Topaz, for micrographs that people pick on.
    writing
        Held by whoever changes the project: a second one waits here, not for the lock on disk.
    once
        Answers to requests that must not be done twice.
    """

    project: Project
    book: JobBook
    files: Confinement
    hub: Hub
    drafts: Drafts
    display: Display
    picking: PickingSessions
    denoising: Denoising
    writing: threading.RLock = field(default_factory=threading.RLock)
    once: Once = field(default_factory=Once)

    def job(self, n: int) -> Job:
        """Return the job of a number."""
        for process in self.project.pipeline:
            if process.number == n:
                return Job(self.project, process.name)
        raise not_found(f"There is no job {n} in this project. It may have been deleted.")

    def settled(self, n: int) -> Job:
        """Return the job of a number for a change, once it is written down how it ended."""
        self.writable()
        job = self.job(n)
        if job.process.status is Status.RUNNING:
            self.project.refresh(patient=False)
        return self.job(n)

    def writable(self) -> None:
        """Refuse where nothing may be changed."""
        if self.project.read_only:
            raise RefusedError(403, "The project was opened read-only: nothing can be changed.")

    def changed(self, *kinds: str, n: int | None = None) -> None:
        """Tell everybody at once that something changed, and let the watcher look."""
        for kind in kinds:
            self.hub.tell(kind, n)
        self.hub.hurry()


async def server_of(request: Request) -> Server:
    """Return the server that a request came to."""
    found = request.app.state.server
    if not isinstance(found, Server):
        raise TypeError("the app was not made by create_app")
    return found


async def right_of(request: Request) -> str:
    """Return what the caller may do: ``all`` or ``read``."""
    return str(getattr(request.state, "right", "read"))


Here = Annotated[Server, Depends(server_of)]
Right = Annotated[str, Depends(right_of)]
