"""The pages themselves: what Vite built, or a sentence where it did not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from vitreous.gui.refusals import not_found

router = APIRouter(include_in_schema=False)
# Whoever works on the pages builds them elsewhere, so that servers in use keep theirs.
STATIC: Final = Path(os.environ.get("VITREOUS_PAGES", Path(__file__).parents[1] / "static"))
_MISSING: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>vitreous</title>
<p>The pages of the browser interface are not part of this installation, because npm was not there
when it was built. Install Node.js and run <code>make install</code> (or <code>pip install .</code>)
again. The interface for programs works: <a href="/api/openapi.json">/api/openapi.json</a>.</p>
"""
_BUILDING: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>vitreous</title>
<meta http-equiv="refresh" content="2">
<p>The pages of the browser interface are being built anew. This one comes back by itself, within a
minute. If it does not, run <code>make front</code> and read what it says.</p>
"""
_TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}


@router.get("/{path:path}")
def page(path: str) -> Response:
    """Return a file that was built; every other address is one of the pages."""
    if path.startswith("api"):
        raise not_found("There is nothing at this address.")
    file = _built(path)
    if file is not None:
        keep = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
        kind = _TYPES.get(file.suffix, "application/octet-stream")
        return _sent(file, kind, keep)
    if "." in path.rpartition("/")[2]:
        raise not_found("There is nothing at this address.")
    if not STATIC.is_dir():
        return HTMLResponse(_MISSING)
    return _sent(STATIC / "index.html", _TYPES[".html"], "no-cache")


def _sent(file: Path, kind: str, keep: str) -> Response:
    """Return a file, read before anything is sent: a build may take it away at any moment."""
    try:
        data = file.read_bytes()
    except OSError:
        return HTMLResponse(_BUILDING, 503, {"Cache-Control": "no-store", "Retry-After": "2"})
    return Response(data, media_type=kind, headers={"Cache-Control": keep})


def _built(path: str) -> Path | None:
    file = (STATIC / path).resolve()
    is_inside = file.is_relative_to(STATIC.resolve()) and not path.startswith("/")
    return file if path and is_inside and file.is_file() else None
