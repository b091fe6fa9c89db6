"""Which regulariser makes the maps of a refinement."""

from __future__ import annotations

import os

from vitreous.dataset.refinement.external_files import PROGRAM, ExternalProgram
from vitreous.engine.refinement import regulariser
from vitreous.engine.refinement.external_regulariser import external
from vitreous.jobs.context import Run
from vitreous.programs.refine.start import Refinement

BLUSH = "blush"


def prior_of(job: Refinement, run: Run) -> regulariser.Regulariser:
    """Return what the settings ask for; the Wiener map where they ask for nothing.

    Raises
    ------
    EnvironmentMissing
        The plug-in or the program is not there.
    """
    if job.settings.use_blush:
        return regulariser.load(BLUSH)
    if job.settings.external_reconstruction:
        command = os.environ.get(PROGRAM, "")
        return external(ExternalProgram(command, job.root, run.project))
    return regulariser.wiener_map
