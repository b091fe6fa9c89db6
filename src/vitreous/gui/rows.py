"""Nodes and jobs as they go over the wire."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from vitreous.actions.facts import facts
from vitreous.actions.nodes import noun
from vitreous.gui.book import family
from vitreous.gui.models.jobs import GraphNode, NodeRow
from vitreous.gui.refusals import not_found
from vitreous.project import process_types
from vitreous.project.pipeline import Node, Pipeline, Process, job_number


def node_row(root: Path, pipeline: Pipeline, node: Node, *, counted: bool = True) -> NodeRow:
    """Return a node.

    Parameters
    ----------
    root, pipeline
        The project.
    node
        The node.
    counted
        Whether to look into the file for what it holds.
    """
    known = facts(root / node.name) if counted else None
    producer = pipeline.producer(node.name)
    users = (job_number(name) for name in pipeline.consumers(node.name))
    return NodeRow(
        path=node.name,
        type=node.type_label,
        what=noun(node.type_label).removeprefix("a ").removeprefix("an "),
        job=job_number(producer) if producer else None,
        exists=known.n_bytes is not None if known else (root / node.name).exists(),
        count=known.count if known else None,
        box_px=known.box_px if known else None,
        pixel_size_A=known.pixel_size_A if known else None,
        n_bytes=known.n_bytes if known else None,
        modified=time_text(known.modified_ns / 1e9) if known and known.modified_ns else None,
        used_by=sorted(users),
    )


def bare_job(process: Process, *, waits_for_you: bool = False) -> GraphNode:
    """Return a job without its place in a picture."""
    folder = process_types.to_folder(process.type_label) or process.type_folder
    return GraphNode(
        n=process.number,
        name=process.name,
        alias=short_alias(process.alias),
        word=folder.lower(),
        gui_name=title_of(process),
        family=family(folder),
        status=process.status.value,
        waits_for_you=waits_for_you,
    )


def title_of(process: Process) -> str:
    """Return what people call the type of a job."""
    from vitreous.actions.report import job_type_of

    job_type = job_type_of(process.type_label)
    return job_type.gui_name if job_type else process.type_folder


def short_alias(alias: str | None) -> str | None:
    """Return an alias without its folder."""
    return alias.rstrip("/").rpartition("/")[2] if alias else None


def time_text(seconds: float) -> str:
    """Return a time of the file system as ISO 8601 in UTC."""
    when = datetime.fromtimestamp(seconds, UTC)
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def job_names(pipeline: Pipeline, numbers: Iterable[int]) -> list[str]:
    """Return the folders of jobs; the first number that no job has is told."""
    by_number = {process.number: process.name for process in pipeline}
    wanted = list(numbers)
    for n in wanted:
        if n not in by_number:
            raise not_found(f"There is no job {n} in this project. It may have been deleted.")
    return [by_number[n] for n in wanted]
