"""Flowchart of a job's history, as SVG and PDF, without LaTeX (pipeline.md section 11).

First an overview with the types of the jobs alone, then the main chain with full names, counts
on the arrows and side inputs left and right, then one picture for each side branch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vitreous.io.atomic import write_bytes, write_text
from vitreous.project import node_types, process_types
from vitreous.project.flowchart_layout import draw_chart, draw_overview
from vitreous.project.flowchart_pdf import to_pdf
from vitreous.project.flowchart_svg import to_svg
from vitreous.project.folder import ProjectFolder, cannot_write
from vitreous.project.history import Chart, Step, history
from vitreous.project.pipeline import Pipeline, Process
from vitreous.project.scene import Picture

SVG: Final = "flowchart.svg"
PDF: Final = "flowchart.pdf"


def make_flowchart(folder: ProjectFolder, ref: str | int) -> tuple[Path, Path]:
    """Draw the history of a job into its folder, and add the PDF to its outputs.

    Returns
    -------
    tuple[Path, Path]
        The SVG and the PDF file.
    """
    pipeline = folder.read()
    job = pipeline.find(ref)
    pictures = draw(folder.root, pipeline, job)
    job_dir = folder.job_dir(job.name)
    svg, pdf = job_dir / SVG, job_dir / PDF
    drawn = to_pdf(pictures, title=f"History of {job.name}")
    with folder.edit(f"adding the flowchart of {job.name}") as changing:
        try:
            write_text(svg, to_svg(pictures))
            write_bytes(pdf, drawn)
        except OSError as error:
            raise cannot_write(job_dir, error) from error
        changing.add_output(job.name, f"{job.name}{PDF}", f"{node_types.LOG_PDF}.flowchart")
    return svg, pdf


def flowchart_svg(folder: ProjectFolder, ref: str | int) -> str:
    """Return the flowchart of a job as SVG; nothing is written."""
    pipeline = folder.read()
    return to_svg(draw(folder.root, pipeline, pipeline.find(ref)))


def draw(root: Path, pipeline: Pipeline, job: Process) -> list[Picture]:
    """Return the pictures of a job's history: the overview is number 0."""
    charts = history(root, pipeline, job)
    chain = _main_chain(charts)
    overview = draw_overview([short_name(step.job) for step in chain], job.name)
    return [overview, *(draw_chart(chart, is_last_job=job.name) for chart in charts)]


def short_name(job: Process) -> str:
    """Return the type of a job in one word, such as ``Class2D``."""
    return process_types.to_folder(job.type_label) or job.type_folder


def _main_chain(charts: list[Chart]) -> list[Step]:
    """Return the steps of the main chain over all its parts, last one first."""
    title = charts[0].title
    parts = [chart for chart in charts if chart.title.startswith(title)]
    return [step for chart in parts for step in chart.steps]
