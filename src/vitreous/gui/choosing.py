"""Selections in a browser: six types of choice while choosing, one of them when saving."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from vitreous.actions import Job
from vitreous.actions.planning import CHOICE
from vitreous.errors import InputError, VitreousError
from vitreous.gui.context import Server
from vitreous.gui.models.display import Selection, SelectionChange, SelectionSaved
from vitreous.gui.refusals import RefusedError, not_found
from vitreous.io import read_star
from vitreous.jobs import job_star
from vitreous.jobs.declare import Options
from vitreous.project.pipeline import Status

_MOST_TYPES: Final = 6


async def read(server: Server, job: Job) -> Selection:
    """Return what is chosen in a selection job."""
    file = await asyncio.to_thread(job_star.read_job, job.path)
    if file.job_type.word != "select":
        raise not_found(f"Job {job.number} is no selection: nothing is chosen in it.")
    options = file.options
    path = str(options.value("optimiser") or options.value("micrographs") or "")
    path = path or str(options.value("particles"))
    server.files.path(path)
    shown, _ = await server.display.ask("describe", path=path)
    n_rows = int(shown["n"])
    types, is_saved = await asyncio.to_thread(_types, server, job, n_rows)
    why_not = _why_not(job, n_rows)
    return Selection(
        n=job.number,
        path=path,
        kind=_kind(options, str(shown["kind"])),
        n_rows=n_rows,
        types=types,
        version=_version(types, job.path / CHOICE),
        is_saved=is_saved,
        can_save=not why_not,
        why_not=why_not or None,
        regroup=int(str(options.value("n_groups"))) if options.value("regroup") else None,
        recentre=bool(options.value("recenter")),
    )


async def change(
    server: Server, job: Job, now: Selection, wanted: SelectionChange
) -> SelectionSaved:
    """Keep a choice, or save it."""
    types = wanted.types
    if len(types) != now.n_rows:
        raise InputError(
            f"{len(types):,} rows were given a type, but {now.path} has {now.n_rows:,}; it may "
            "have changed, so load it again"
        )
    if types and not 0 <= min(types) <= max(types) <= _MOST_TYPES:
        raise InputError(f"a type is {min(types)} to {max(types)}; wanted 0 (not chosen) to 6")
    saving = wanted.action == "save"
    if saving and not now.can_save:
        raise RefusedError(409, now.why_not or "This selection cannot be saved now.")
    keep = wanted.save_type
    chosen = [one == keep if keep and saving else one > 0 for one in types]
    await asyncio.to_thread(_write, server, job, chosen, wanted)
    count = sum(chosen)
    message = f"{count:,} of {len(types):,} are chosen"
    return SelectionSaved(
        n=job.number,
        version=_version(types, job.path / CHOICE),
        n_selected=count,
        is_saved=saving,
        message=f"{message} and are being saved." if saving else f"{message}.",
    )


def _write(server: Server, job: Job, chosen: list[bool], wanted: SelectionChange) -> None:
    with server.writing:
        _keep_types(server, job, wanted.types)
        if wanted.action == "backup":
            server.project.keep_choice(job, chosen)
            return
        server.project.save_choice(
            job,
            chosen,
            regroup=wanted.regroup,
            recentre=wanted.recentre,
            max_per_class=wanted.max_per_class,
        )


def _keep_types(server: Server, job: Job, types: list[int]) -> None:
    """Keep the six types, which RELION's file of a choice does not know."""
    key = f"types/{job.name}"
    value: Any = types if max(types, default=0) > 1 else None
    server.drafts.write(key, value, server.drafts.read(key).version, "selection")


def _types(server: Server, job: Job, n_rows: int) -> tuple[list[int], bool]:
    """Return the type of each row, and whether a choice was kept before."""
    try:
        rows = read_star(job.path / CHOICE).first
        chosen = np.asarray(rows["rlnSelected"] > 0)
    except (VitreousError, OSError):
        return [0] * n_rows, False
    if len(chosen) != n_rows:
        return [0] * n_rows, False
    kept = server.drafts.read(f"types/{job.name}").value
    if isinstance(kept, list) and len(kept) == n_rows:
        return kept, True
    return chosen.astype(int).tolist(), True


def _kind(options: Options, shown: str) -> Literal["classes", "micrographs", "particles", "movies"]:
    if options.value("optimiser") or shown == "classes":
        return "classes"
    if shown == "movies":
        return "movies"
    return "micrographs" if shown == "micrographs" else "particles"


def _why_not(job: Job, n_rows: int) -> str:
    if job.project.read_only:
        return "The project was opened read-only."
    if job.status is Status.RUNNING and not job.is_interactive:
        return f"Job {job.number} is saving already."
    if job.status is Status.SCHEDULED:
        return f"Job {job.number} is scheduled; start it first."
    return "" if n_rows else "There is nothing to choose from."


def _version(types: list[int], path: Path) -> str:
    mark = hashlib.sha256(bytes(types))
    mark.update(b"kept" if path.exists() else b"")
    return mark.hexdigest()[:16]
