"""What the shell offers when the Tab key is pressed. Errors give no offer, never a message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from vitreous.errors import VitreousError

Offer = tuple[str, str]
"""A word and its explanation (zsh and fish show it)."""


def jobs(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the jobs of the project: alias or name, and the number where one is typed."""
    return [offer for offer in _jobs(context) if offer[0].startswith(incomplete)]


def _jobs(context: typer.Context) -> Iterator[Offer]:
    from vitreous.project.folder import ProjectFolder

    root = context.params.get("project") or Path()
    try:
        pipeline = ProjectFolder.open(root, read_only=True).read()
    except (VitreousError, OSError):
        return
    for process in reversed(list(pipeline)):
        about = f"{process.type_label}, {process.status}"
        yield process.name.rstrip("/"), about
        yield str(process.number), f"{process.shown_name.rstrip('/')}, {process.status}"
        if process.alias:
            about = f"{process.name.rstrip('/')}, {process.status}"
            yield process.alias.rstrip("/"), about
            yield process.alias.split("/", 1)[1].rstrip("/"), about


def job_types(incomplete: str) -> list[Offer]:
    """Offer the job types."""
    from vitreous.jobs import registry

    types = [(job_type.word, job_type.gui_name) for job_type in registry.all_types()]
    return [offer for offer in types if offer[0].startswith(incomplete)]


def keys(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the options of the job type that stands before."""
    from vitreous.jobs import registry

    try:
        options = registry.find(str(context.params.get("job_type") or "")).options.values()
    except VitreousError:
        return []
    names = [(spec.name, spec.label) for spec in options]
    names += [(spec.key, spec.label) for spec in options if spec.key != spec.name]
    return [offer for offer in names if offer[0].startswith(incomplete)]


def values(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer `key=` words, and after the `=` what the option takes: choices, answers, nodes.

    bash takes `key=value` for three words (and typer drops the `=` where it is the last one);
    what is offered is then the value alone.
    """
    before = [word for word in context.params.get("values") or () if word != "="]
    if before and "=" not in before[-1]:
        offers = list(_values(context, before[-1]))
        if offers:
            return _fitting(offers, incomplete, "")
    name, equals, begun = incomplete.partition("=")
    if not equals:
        return [(f"{key}=", label) for key, label in keys(context, name)]
    return _fitting(_values(context, name), begun, f"{name}=")


def _fitting(offers: Iterable[Offer], begun: str, before: str) -> list[Offer]:
    return [(f"{before}{word}", about) for word, about in offers if word.startswith(begun)]


def _values(context: typer.Context, name: str) -> Iterator[Offer]:
    from vitreous.jobs import registry
    from vitreous.project.folder import ProjectFolder
    from vitreous.project.node_types import accepts

    try:
        spec = registry.find(str(context.params.get("job_type") or "")).spec(name)
        if spec.kind == "boolean":
            yield from (("Yes", spec.label), ("No", spec.label))
        yield from ((choice, "") for choice in spec.choices)
        if spec.kind == "node":
            root = context.params.get("project") or Path()
            for node in ProjectFolder.open(root, read_only=True).read().nodes.values():
                if accepts(spec.reads, node.type_label):
                    yield node.name, node.type_label
    except (VitreousError, OSError):
        return
