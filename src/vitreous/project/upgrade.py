"""Changing the form of the pipeline file, for the project to be opened by another RELION."""

from __future__ import annotations

import shutil
from pathlib import Path

from vitreous.project import node_types, process_types
from vitreous.project.folder import ProjectFolder, cannot_write
from vitreous.project.pipeline import Form, Pipeline


def upgrade(folder: ProjectFolder, form: Form) -> Path | None:
    """Write the pipeline in another form; the old file is kept beside it.

    A RELION 3.1 cannot open the forms of 4.0 and 5.0, and an older program may not know job
    types of a newer one, so nothing changes the form unless it is asked to.

    Returns
    -------
    Path | None
        The copy of the old file, None where the form is the same already.
    """
    with folder.edit(f"writing the form of RELION {form}") as pipeline:
        if pipeline.form == form:
            return None
        copy = folder.root / f"{folder.name}_pipeline_{pipeline.form}.star"
        try:
            shutil.copy2(folder.file, copy)
        except OSError as error:
            raise cannot_write(copy, error) from error
        pipeline.form = form
    return copy


def lost_in_form(pipeline: Pipeline, form: Form) -> list[str]:
    """Return what a form cannot express: types without a number in RELION 3.1."""
    if form != "3.1":
        return []
    jobs = [
        f"{process.name} ({process.type_label})"
        for process in pipeline
        if process_types.to_number(process.type_label) == process_types.NO_NUMBER
    ]
    nodes = [
        f"{node.name} ({node.type_label})"
        for node in pipeline.nodes.values()
        if node_types.to_number(node.type_label) == node_types.NO_NUMBER
    ]
    return jobs + nodes
