"""What follows a write of the pipeline: files that mirror it elsewhere in the project.

All of it can be made anew from the pipeline, which is whole on disk by then; a file that
cannot be written (full disk) is therefore left out and no reason to fail.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from vitreous.project import job_files, links, nodes_tree
from vitreous.project.pipeline import Pipeline, job_number


def follow(root: Path, name: str, before: Pipeline, after: Pipeline, content: bytes) -> None:
    """Bring backups, alias symlinks and `.Nodes` from one state of the pipeline to the next.

    Parameters
    ----------
    root
        Project folder.
    name
        Name of the pipeline, such as ``default``.
    before, after
        The two states.
    content
        The pipeline file as written, for the backup in the folder of each new job.
    """
    with contextlib.suppress(OSError):
        _job_files(root, name, after, content)
    with contextlib.suppress(OSError):
        _links(root, before, after)
    nodes_tree.update(root, before, after)


def _job_files(root: Path, name: str, after: Pipeline, content: bytes) -> None:
    for job in after.added:
        job_files.write_job_pipeline(root, after, job)
    if after.added:  # many at once (found in their folders) need one backup, in the newest
        job_files.write_backup(root, name, max(after.added, key=job_number), content)


def _links(root: Path, before: Pipeline, after: Pipeline) -> None:
    for name, process in before.processes.items():
        now = after.processes.get(name)
        if process.alias and (now is None or now.alias != process.alias):
            links.remove_link(root, process.alias, name)
    for name, process in after.processes.items():
        was = before.processes.get(name)
        if process.alias and (was is None or was.alias != process.alias):
            links.make_link(root, process.alias, name)
