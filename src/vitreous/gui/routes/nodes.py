"""What fields choose from: files between jobs, and files of the project."""

from __future__ import annotations

import fnmatch
import mimetypes
import os
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse

from vitreous.actions.nodes import fitting
from vitreous.gui.context import Here, Server
from vitreous.gui.models.jobs import FileList, FileRow, NodeRow
from vitreous.gui.refusals import not_found
from vitreous.gui.rows import node_row, time_text

router = APIRouter(prefix="/api", tags=["files"])
_MOST_NODES: Final = 500
_MOST_FILES: Final = 5000
_KINDS: Final = {
    ".star": "star",
    ".mrc": "map",
    ".mrcs": "stack",
    ".map": "map",
    ".pdf": "pdf",
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
    ".txt": "text",
    ".out": "text",
    ".err": "text",
    ".log": "text",
    ".json": "text",
    ".jsonl": "text",
    ".tif": "movie",
    ".tiff": "movie",
    ".eer": "movie",
}
# What a browser shows in place; everything else is only handed out as a file.
_INLINE: Final = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".txt": "text/plain; charset=utf-8",
}

PathText = Annotated[str, Query(max_length=4000)]
Pattern = Annotated[str, Query(max_length=200)]


@router.get("/nodes")
def get_nodes(server: Here, type: str = "", pattern: Pattern = "") -> list[NodeRow]:
    """Return the files that an input of a type takes, those of the newest jobs first."""
    pipeline, root = server.project.pipeline, server.project.root
    if type:
        names = fitting(pipeline, root, type)
    else:
        names = [name for name in reversed(pipeline.nodes) if (root / name).exists()]
    patterns = glob_patterns(pattern)
    shown = [name for name in names if _fits(name, patterns)]
    return [node_row(root, pipeline, pipeline.nodes[name]) for name in shown[:_MOST_NODES]]


@router.get("/nodes/types")
def get_node_types(server: Here) -> list[str]:
    """Return the types of the nodes that this project has."""
    return sorted({node.type_label for node in server.project.pipeline.nodes.values()})


@router.get("/files")
def get_files(server: Here, path: PathText = "", pattern: Pattern = "") -> FileList:
    """Return what lies in a folder of the project."""
    return list_folder(server, path, glob_patterns(pattern))


@router.get("/files/raw", response_class=FileResponse)
def get_raw_file(server: Here, path: PathText) -> FileResponse:
    """Return a file: PDF, pictures and text to be shown in place, all others to be kept."""
    file = server.files.path(path)
    if not file.is_file():
        raise not_found(f"{path} is not a file.")
    kind = _INLINE.get(file.suffix.lower())
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
        "frame-ancestors 'self'",
        "Cache-Control": "private, no-cache",
    }
    return FileResponse(
        file,
        media_type=kind or "application/octet-stream",
        filename=file.name,
        content_disposition_type="inline" if kind else "attachment",
        headers=headers,
    )


def glob_patterns(text: str) -> list[str]:
    """Return the patterns of a field: ``STAR files (*_data.star)`` or ``*.mrc *.map``."""
    inner = text[text.find("(") + 1 : text.rfind(")")] if "(" in text and ")" in text else text
    spread = []
    for word in inner.replace(",", " ").split():
        if "{" in word and "}" in word:
            before, _, rest = word.partition("{")
            middle, _, after = rest.partition("}")
            spread += [before + part + after for part in middle.split(",")]
        else:
            spread.append(word)
    return spread


def list_folder(server: Server, path: str, patterns: list[str]) -> FileList:
    """Return the files of a folder that fit, folders first; hidden ones are left out."""
    folder = server.files.path(path) if path else server.project.root
    if not folder.is_dir():
        raise not_found(f"{path} is not a folder.")
    rows = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            is_folder = entry.is_dir()
            if is_folder or _fits(entry.name, patterns):
                row = _file_row(entry, path, is_folder=is_folder)
                rows += [row] if row else []
    rows.sort(key=lambda row: (not row.is_folder, row.path))
    parent = str(Path(path).parent) if path else None
    return FileList(
        path=path,
        files=rows[:_MOST_FILES],
        n_all=len(rows),
        parent="" if parent == "." else parent,
    )


def kind_of_file(name: str) -> str:
    """Return in one word what a file is by its name."""
    known = _KINDS.get(Path(name).suffix.lower())
    if known:
        return known
    guessed = mimetypes.guess_type(name)[0] or ""
    return "text" if guessed.startswith("text/") else "other"


def _file_row(entry: os.DirEntry[str], path: str, *, is_folder: bool) -> FileRow | None:
    try:
        found = entry.stat()
    except OSError:
        return None  # a link to nowhere, or removed meanwhile
    name = f"{path.rstrip('/')}/{entry.name}" if path else entry.name
    return FileRow(
        path=name,
        is_folder=is_folder,
        n_bytes=0 if is_folder else found.st_size,
        modified=time_text(found.st_mtime),
        kind="folder" if is_folder else kind_of_file(entry.name),
    )


def _fits(name: str, patterns: list[str]) -> bool:
    base = name.rpartition("/")[2]
    return not patterns or any(fnmatch.fnmatch(base, one) or one in base for one in patterns)
