"""The `.Nodes` tree: empty files that RELION's Browse buttons look through.

We build choices from the graph; the tree is written only for RELION (pipeline.md section 5).
It may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import operator
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from vitreous.project import node_types
from vitreous.project.paths import check_inside
from vitreous.project.pipeline import Node, Pipeline, Status

FOLDER: Final = ".Nodes"


def entries(pipeline: Pipeline, node: Node) -> list[str]:
    """Return the paths below ``.Nodes`` that stand for a node.

    The type is a number in projects of RELION 3.1, else the part of the label before the
    first dot, and with a depth above 1 also the first parts. The alias of the producer is
    used where it has one.
    """
    producer = pipeline.producer(node.name)
    alias = pipeline.processes[producer].alias if producer else None
    shown = alias + node.name.removeprefix(producer) if producer and alias else node.name
    if pipeline.form == "3.1":
        return [f"{node_types.to_number(node.type_label)}/{shown}"]
    parts = node_types.to_form(node.type_label, pipeline.form).split(".")
    found = [f"{parts[0]}/{shown}"]
    if node.depth > 1:
        found.append(f"{'.'.join(parts[: node.depth])}/{shown}")
    return found


def is_shown(root: Path, pipeline: Pipeline, node: Node) -> bool:
    """Tell whether a node has an entry: its file exists, or its job is scheduled."""
    producer = pipeline.producer(node.name)
    if producer and pipeline.processes[producer].status is Status.SCHEDULED:
        return True
    return (root / node.name).exists()


def add_entries(root: Path, pipeline: Pipeline, nodes: Iterable[Node]) -> None:
    """Make the entries of nodes that have one; a folder that cannot be written is left."""
    for node in nodes:
        if is_shown(root, pipeline, node):
            for entry in entries(pipeline, node):
                with contextlib.suppress(OSError):
                    path = root / FOLDER / check_inside(root, entry)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()


def remove_entries(root: Path, pipeline: Pipeline, nodes: Iterable[Node]) -> None:
    """Remove the entries of nodes."""
    for node in nodes:
        for entry in entries(pipeline, node):
            with contextlib.suppress(OSError):
                (root / FOLDER / check_inside(root, entry)).unlink()


def update(root: Path, before: Pipeline, after: Pipeline) -> None:
    """Bring the tree from one state of the pipeline to the next, touching only what changed."""
    # Unchanged jobs and nodes are the same objects in both: a copy shares them.
    if all(map(operator.is_, before.nodes.values(), after.nodes.values())):
        changed = list(after.nodes.values())[len(before.nodes) :]
        gone = list(before.nodes.values())[len(after.nodes) :]
    else:
        changed = [node for name, node in after.nodes.items() if before.nodes.get(name) is not node]
        gone = [node for name, node in before.nodes.items() if name not in after.nodes]
    for name, process in after.processes.items():
        if before.processes.get(name) is not process:
            changed += after.outputs(name)
    renamed = [node for node in changed if node.name in before.nodes]
    remove_entries(root, before, [*gone, *renamed])
    add_entries(root, after, changed)


def remake(root: Path, pipeline: Pipeline) -> int:
    """Delete the tree, build it anew, open it for everybody to write; return the entries."""
    tree = root / FOLDER
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    add_entries(root, pipeline, pipeline.nodes.values())
    count = 0
    for path in (tree, *tree.rglob("*")):
        if path.is_dir():
            path.chmod(0o777)
        else:
            count += 1
    return count
