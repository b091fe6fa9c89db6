"""Files that the pipeline keeps beside a job: `job_pipeline.star` and the backup.

`job_pipeline.star` is a pipeline of the one job, with its inputs, its expected outputs and its
state at the start; the copy of the whole pipeline just after the job was added is the backup
that repair uses (pipeline.md section 3).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from vitreous.project.pipeline import Pipeline
from vitreous.project.pipeline_text import format_pipeline

JOB_PIPELINE: Final = "job_pipeline.star"


def write_job_pipeline(root: Path, pipeline: Pipeline, job: str) -> None:
    """Write the pipeline of one job into its folder, with the state it has now.

    The counter is 2, as RELION writes it.
    """
    part = pipeline.part([job])
    part.counter = 2
    _replace(root / job / JOB_PIPELINE, format_pipeline(part).encode())


def write_backup(root: Path, name: str, job: str, content: bytes) -> None:
    """Copy the whole pipeline file into the folder of a job."""
    _replace(root / job / f"{name}_pipeline.star", content)


def _replace(path: Path, content: bytes) -> None:
    """Replace a file as a whole, without waiting for the disk.

    Waiting twice would double the time of every change. After a power cut such a file may be
    empty; repair then takes the one of the job before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
