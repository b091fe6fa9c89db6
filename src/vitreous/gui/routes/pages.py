"""The pages themselves: what Vite built, or a sentence where it did not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from vitreous.gui.refusals import not_found

router = APIRouter(include_in_schema=False)
# Whoever works on the pages builds them elsewhere, so that servers in use keep theirs.
STATIC: Final = Path(os.environ.get("VITREOUS_PAGES", Path(__file__).parents[1] / "static"))
_MISSING: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>vitreous</title>
<p>The pages of the browser interface are not part of this installation, because npm was not there
when it was built. Install Node.js and run <code>make install</code> (or <code>pip install .</code>)
again. The interface for programs works: <a href="/api/openapi.json">/api/openapi.json</a>.</p>
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
        kind = _TYPES.get(file.suffix)
        return FileResponse(file, media_type=kind, headers={"Cache-Control": keep})
    if "." in path.rpartition("/")[2]:
        raise not_found("There is nothing at this address.")
    index = STATIC / "index.html"
    if index.is_file():
        return FileResponse(index, headers={"Cache-Control": "no-cache"})
    return HTMLResponse(_MISSING)


def _built(path: str) -> Path | None:
    file = (STATIC / path).resolve()
    is_inside = file.is_relative_to(STATIC.resolve()) and not path.startswith("/")
    return file if path and is_inside and file.is_file() else None
