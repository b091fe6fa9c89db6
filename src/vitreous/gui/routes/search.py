"""The command palette: jobs, job types, files and acts by RELION's name or ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import APIRouter, Query

from vitreous.actions.nodes import noun
from vitreous.gui.context import Here, Server
from vitreous.gui.models.project import Hit, SearchResult
from vitreous.jobs import registry

router = APIRouter(prefix="/api", tags=["search"])
_MOST: Final = 60
# Act -> our name, RELION's names.
_ACTIONS: Final = {
    "reread": ("Look at all job folders again", "Re-read pipeline"),
    "project-note": ("Project note", "Edit project note"),
    "all-notes": ("All notes, for printing", "Print all notes"),
    "remake-nodes": ("Make .Nodes anew", "Remake .Nodes/"),
    "display": ("Show a file", "Display"),
    "start-page": ("Start page", "Show initial screen"),
    "trash": ("Trash", "Empty trash; Undelete job(s)"),
    "about": ("About vitreous", "About"),
    "stop-server": ("Stop the server", "Quit"),
    "load-job-star": ("Start from a job.star", "Load job.star"),
    "save-job-star": ("Save the form as job.star", "Save job.star"),
    "order": ("Order of finished jobs", "Order alphabetically; Order chronologically"),
    "overwrite": ("Overwrite a job", "Toggle overwrite button; Overwrite continue"),
    "run-scheduled": ("Run scheduled jobs", "Run scheduled jobs; Autorun"),
    "stop-scheduled": ("Stop a run of scheduled jobs", "Stop running scheduled jobs"),
    "clean-gently": ("Clean all jobs gently", "Gently clean all jobs"),
    "clean-harshly": ("Clean all jobs harshly", "Harshly clean all jobs"),
    "export-scheduled": ("Export scheduled jobs", "Export scheduled job(s)"),
    "import-scheduled": ("Import scheduled jobs", "Import scheduled job(s)"),
    "graph": ("Graph of the project", "Make flowchart"),
    "files": ("Files of the project", "Browse"),
    "check-command": ("Check the command of a form", "Check command"),
}


@router.get("/search")
def search(server: Here, q: Annotated[str, Query(max_length=200)] = "") -> SearchResult:
    """Return what fits a text, best first."""
    words = q.lower().split()
    scored = [(_score(hit, words), hit) for hit in _all(server)]
    best = sorted((one for one in scored if one[0]), key=lambda one: -one[0])[:_MOST]
    hits = [hit.model_copy(update={"score": score}) for score, hit in best]
    return SearchResult(query=q, hits=hits)


def _all(server: Server) -> Iterator[Hit]:
    for row in reversed(server.book.rows()):
        title = f"{row['n']:03d}: {row['alias'] or row['name'].rstrip('/')}"
        state = "Finished" if row["status"] == "Succeeded" else row["status"]
        detail = f"{row['gui_name']}, {state}. {row['note_first_line']}"
        yield Hit(kind="job", title=title, detail=detail, target=str(row["n"]), score=0.0)
    for job_type in registry.all_types():
        names = f"{job_type.folder}, {job_type.label}. {job_type.title}"
        yield Hit(
            kind="type", title=job_type.gui_name, detail=names, target=job_type.word, score=0.0
        )
    for act, (ours, relions) in _ACTIONS.items():
        yield Hit(kind="action", title=ours, detail=f"RELION: {relions}", target=act, score=0.0)
    for node in server.project.pipeline.nodes.values():
        what = noun(node.type_label)
        yield Hit(kind="node", title=node.name, detail=what, target=node.name, score=0.0)


def _score(hit: Hit, words: list[str]) -> float:
    """Return how well a hit fits; 0 unless every word occurs."""
    title, detail = hit.title.lower(), hit.detail.lower()
    total = {"job": 0.4, "type": 0.5, "action": 0.3, "node": 0.0}[hit.kind] if not words else 0.0
    for word in words:
        if title.startswith(word) or hit.target.lower() == word:
            total += 4.0
        elif f" {word}" in title or f"/{word}" in title:
            total += 3.0
        elif word in title:
            total += 2.0
        elif word in detail:
            total += 1.0
        else:
            return 0.0
    return total + {"job": 0.3, "type": 0.4, "action": 0.2, "node": 0.0}[hit.kind]
