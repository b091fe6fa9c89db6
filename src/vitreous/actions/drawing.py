"""The flowchart of a job: how it came about."""

from __future__ import annotations

from pathlib import Path

from vitreous.errors import InputError
from vitreous.io.atomic import write_bytes, write_text
from vitreous.project import flowchart as charts
from vitreous.project.flowchart_pdf import to_pdf
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Process


def flowchart(folder: ProjectFolder, process: Process, output: Path | str | None) -> list[Path]:
    """Draw how a job came about and return the files.

    Parameters
    ----------
    folder, process
        The project and the job.
    output
        An ``.svg`` or ``.pdf`` file; by default both go into the job's folder, and the PDF
        becomes one of its outputs.
    """
    if output is None:
        return list(charts.make_flowchart(folder, process.name))
    path = Path(output)
    if path.suffix == ".svg":
        write_text(path, charts.flowchart_svg(folder, process.name))
    elif path.suffix == ".pdf":
        pictures = charts.draw(folder.root, folder.read(), process)
        write_bytes(path, to_pdf(pictures, title=f"History of {process.name}"))
    else:
        raise InputError(f"{path}: a flowchart is written as .svg or .pdf; end the name with one")
    return [path]
