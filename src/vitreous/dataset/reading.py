"""Read a STAR file of images in any version, with optics groups in the end."""

from __future__ import annotations

from pathlib import Path

from vitreous.io import Star, read_star
from vitreous.io.convert30 import needs_optics_groups, with_optics_groups


def read_with_optics(path: Path | str) -> Star:
    """Read particles, micrographs or movies; files of RELION 3.0 get optics groups.

    Names of images count from the working directory. `Star.notes` tells what was put up with.
    """
    star = read_star(path)
    return with_optics_groups(star) if needs_optics_groups(star) else star
