"""Import: list the images of a microscope, or bring in one file that was made elsewhere."""

from __future__ import annotations

from vitreous.jobs.context import Run
from vitreous.jobs.import_ import Import
from vitreous.programs.import_images import import_images
from vitreous.programs.import_other import import_other


def run(options: Import, run: Run) -> None:
    """Import what the options name."""
    if options.import_images:
        import_images(options, run)
    else:
        import_other(options, run)
