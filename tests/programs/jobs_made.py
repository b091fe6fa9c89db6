"""Run a program by the word of its job type, as a job would."""

from __future__ import annotations

import importlib
from pathlib import Path

from programs.fake_run import FakeRun
from vitreous.jobs import registry


def run_job(
    project: Path,
    word: str,
    folder: str = "",
    *,
    is_continue: bool = False,
    abort_after: int | None = None,
    **values: object,
) -> FakeRun:
    """Run the program of a job type on options by our names or RELION's keys."""
    job_type = registry.find(word)
    options = job_type.new(values, {})
    run = FakeRun(
        project,
        folder or f"{job_type.folder}/job001/",
        is_continue=is_continue,
        abort_after=abort_after,
    )
    module, _, name = job_type.run.partition(":")
    getattr(importlib.import_module(module), name)(options, run)
    return run
