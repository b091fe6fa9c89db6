"""Particles as the engine of a refinement sees them: images, optics, defocus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.columns import codes
from vitreous.dataset.particles import Particles
from vitreous.engine.aberrations import mtf_image
from vitreous.engine.refinement.data import Data
from vitreous.errors import FormatError, MissingFileError
from vitreous.io import ImageRef, parse_ref, read_images, read_star

MTF = "rlnMtfFileName"
_FREQUENCY, _VALUE = "rlnResolutionInversePixel", "rlnMtfValue"


class Stacks:
    """Where images are: each file name kept once, so that a million rows stay small.

    Parameters
    ----------
    particles
        Their ``rlnImageName``, relative to their folder.

    Attributes
    ----------
    paths
        The files.
    file, place
        ``n``: row of `paths`, and number of the image in it from 0 (-1 for a file of one image).
    """

    def __init__(self, particles: Particles) -> None:
        refs = [parse_ref(name) for name in particles.table["rlnImageName"].tolist()]
        self.file = codes([ref.path for ref in refs])
        self.place = np.array([-1 if ref.index0 is None else ref.index0 for ref in refs], np.int64)
        paths = dict.fromkeys(ref.path for ref in refs)
        self.paths = tuple(str(particles.folder / path) for path in paths)
        self._particles = particles

    def refs(self, rows: NDArray[np.int64]) -> list[ImageRef]:
        """Return the names of images."""
        pairs = zip(self.file[rows].tolist(), self.place[rows].tolist(), strict=True)
        return [ImageRef(self.paths[file], None if place < 0 else place) for file, place in pairs]

    def read(self, rows: NDArray[np.int64]) -> Float[Tensor, "n y x"]:
        """Read images of one optics group, in float32; refuse another size than it says.

        Values that are not finite pass: the engine passes over such a particle and names it.
        """
        images = read_images(self.refs(rows), permissive=True)
        group = int(self._particles.group[rows[0]])
        box = self._particles.box_px(group)
        if images.shape[1:] != (box, box):
            name = self._particles.table["rlnImageName"][rows[0]]
            raise FormatError(
                f"{name}: the images are {images.shape[2]} x {images.shape[1]} pixels, but optics "
                f"group {group + 1} says rlnImageSize {box}. Give the groups their true sizes."
            )
        return torch.from_numpy(images)


def data_of(particles: Particles, *, with_mtf: bool = True) -> Data:
    """Return what the engine works on.

    Parameters
    ----------
    particles
        Rows; their number in the table is what random numbers of a particle hang on.
    with_mtf
        Read the files that ``rlnMtfFileName`` names.

    Raises
    ------
    MissingFileError, FormatError
        An MTF file is not there or is none.
    """
    rows = np.arange(len(particles))
    stacks = Stacks(particles)
    return Data(
        optics=particles.optics,
        defocus=particles.defocus(rows),
        optics_group=particles.group,
        premultiplied=particles.premultiplied,
        identity=rows,
        read=stacks.read,
        mtf=mtf_of(particles) if with_mtf else (),
    )


def mtf_of(particles: Particles) -> tuple[Float[Tensor, "y xh"] | None, ...]:
    """Return the transfer function of the detector of each optics group; none where none is named.

    Frequencies of the table are in pixels of the detector, whose size is
    ``rlnMicrographOriginalPixelSize``.
    """
    optics = particles.optics_table
    names = [str(name) for name in optics.get(MTF, [])]
    if not any(names):
        return ()
    found: list[Tensor | None] = []
    for group, name in enumerate(names):
        if not name:
            found.append(None)
            continue
        frequency, value = read_mtf(particles.folder / name)
        pixel_A = particles.pixel_size_A(group)
        original = optics.get("rlnMicrographOriginalPixelSize")
        detector_A = pixel_A if original is None else float(original[group])
        box = particles.box_px(group)
        found.append(mtf_image(frequency, value, box, box * pixel_A, detector_A))
    return tuple(found)


def read_mtf(path: Path) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Return frequencies (1/pixel) and values of an MTF file."""
    if not path.is_file():
        raise MissingFileError(
            f"{path}: there is no such MTF file. Put it there, or remove {MTF} from data_optics."
        )
    for table in read_star(path).tables:
        if _FREQUENCY in table and _VALUE in table:
            columns = [torch.from_numpy(np.array(table[name])) for name in (_FREQUENCY, _VALUE)]
            frequency, value = columns
            rises = len(frequency) > 1 and bool((frequency.diff() > 0).all())
            if rises and bool((value > 0).all()) and bool(torch.isfinite(value).all()):
                return frequency, value
            raise FormatError(f"{path}: frequencies must rise and values be above 0")
    raise FormatError(f"{path}: no table with {_FREQUENCY} and {_VALUE}; an MTF file was wanted")


def with_images_in(particles: Particles, names: list[str]) -> Particles:
    """Return particles whose images are read from elsewhere, such as a copy on a faster disk.

    Parameters
    ----------
    names
        ``N@stack`` of every row, absolute or from the same folder. Only what is read changes:
        write results with the particles as they were.
    """
    return replace(particles, table=particles.table.with_columns({"rlnImageName": names}))
