"""The project as a graph, as data and as pictures."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from vitreous.actions.facts import facts
from vitreous.actions.nodes import noun
from vitreous.gui import layout
from vitreous.gui.context import Here, Server
from vitreous.gui.models.jobs import Graph, GraphEdge
from vitreous.gui.rows import bare_job
from vitreous.project.flowchart import flowchart_svg
from vitreous.project.flowchart_svg import to_svg
from vitreous.project.pipeline import job_number

router = APIRouter(prefix="/api", tags=["graph"])


@router.get("/graph")
def get_graph(server: Here, with_layout: bool = False, counts: bool = False) -> Graph:
    """Return all jobs and what passes between them.

    `with_layout` gives each job a place; `counts` looks into the files for how many particles
    or micrographs go along an edge.
    """
    return make_graph(server, with_layout=with_layout, counts=counts)


@router.get("/graph.svg", response_class=Response)
def get_graph_svg(server: Here, job: int | None = None) -> Response:
    """Return a picture of the whole project, or of how one job came about."""
    if job is None:
        graph = make_graph(server, with_layout=True)
        text = to_svg([layout.picture(graph, server.project.root.name)])
    else:
        text = flowchart_svg(server.project.folder, server.job(job).name)
    return Response(text, media_type="image/svg+xml", headers=_as_file("flowchart.svg"))


@router.get("/graph.pdf", response_class=Response)
async def get_graph_pdf(server: Here, job: int | None = None) -> Response:
    """Return the same as a PDF, drawn by the display worker."""
    if job is None:
        graph = make_graph(server, with_layout=True)
        drawn = layout.picture(graph, server.project.root.name)
        _, pdf = await server.display.ask("picture_pdf", picture=drawn)
    else:
        name = server.job(job).name
        _, pdf = await server.display.ask("flowchart_pdf", root=server.project.root, job=name)
    return Response(pdf, media_type="application/pdf", headers=_as_file("flowchart.pdf"))


def make_graph(server: Server, *, with_layout: bool = False, counts: bool = False) -> Graph:
    """Return the graph of the project."""
    pipeline, root = server.project.pipeline, server.project.root
    waiting = {row["n"] for row in server.book.rows() if row["waits_for_you"]}
    between: dict[tuple[int, int], list[str]] = {}
    for process in pipeline:
        for node in pipeline.inputs(process.name):
            producer = pipeline.producer(node.name)
            if producer in pipeline.processes and producer is not None:
                ends = (job_number(producer), process.number)
                between.setdefault(ends, []).append(node.name)
    edges = []
    for (source, target), names in between.items():
        first = pipeline.nodes[names[0]]
        count = facts(root / first.name).count if counts else None
        what = noun(first.type_label).removeprefix("a ").removeprefix("an ")
        edges.append(GraphEdge(source=source, target=target, nodes=names, what=what, count=count))
    jobs = [bare_job(process, waits_for_you=process.number in waiting) for process in pipeline]
    if not with_layout:
        return Graph(jobs=jobs, edges=edges)
    found = layout.places([job.n for job in jobs], list(between))
    placed = [
        job.model_copy(update={"layer": at.layer, "x": at.x, "y": at.y})
        for job in jobs
        for at in [found[job.n]]
    ]
    width, height = layout.size(found)
    return Graph(jobs=placed, edges=edges, width=width, height=height)


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'inline; filename="{name}"'}
