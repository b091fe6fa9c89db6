"""The flowchart of a job: how it came about."""

from __future__ import annotations

from pathlib import Path

from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Process


def flowchart(folder: ProjectFolder, process: Process, output: Path | str | None) -> list[Path]:
    """Draw how a job came about and return the files."""
    return [Path(output)] if output else []
