"""Files that Topaz reads and writes: scaled micrographs, tables of names, coordinates, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.dataset.picking_list import Micrograph
from vitreous.engine import fourier
from vitreous.engine.picking.preparation import normalise
from vitreous.errors import FormatError, InputError
from vitreous.io import read_image, write_mrc
from vitreous.io.atomic import write_text
from vitreous.jobs.autopick import AutoPick
from vitreous.jobs.context import Run
from vitreous.programs.micrograph_list import Work

_TYPICAL_DIAMETER_PX = 71
_SMALLEST_FACTOR = 4
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Scaled:
    """A micrograph made ready for Topaz: its name, the file, and the factor of its sides."""

    micrograph: str
    file: str


def downscale(diameter_A: float, pixel_size_A: float) -> int:
    """Return the whole number that micrographs are scaled down by."""
    wanted = round(2 * diameter_A / pixel_size_A / _TYPICAL_DIAMETER_PX) if diameter_A > 0 else 0
    return max(_SMALLEST_FACTOR, wanted)


def device_word(options: AutoPick) -> str:
    """Return the card that Topaz is to use: the first one named, or -1 for the processor."""
    if not options.use_gpu:
        return "-1"
    first = options.gpu_ids.replace(":", ",").split(",")[0].strip()
    return first or "0"


class Scaling(Work[Micrograph, NDArray[np.float32], NDArray[np.float32], Scaled]):
    """Scale micrographs down and normalise them.

    Parameters
    ----------
    run
        The job.
    stems
        Where the files of each micrograph go, by its name.
    factor
        Sides become so many times smaller.
    """

    def __init__(self, run: Run, stems: Mapping[str, str], factor: int) -> None:
        self.run, self.factor = run, factor
        self._files = {name: _scaled_file(run.folder, stem) for name, stem in stems.items()}

    def name(self, unit: Micrograph) -> str:
        """Return the file of the micrograph."""
        return unit.name

    def restore(self, unit: Micrograph) -> Scaled | None:
        """Return the micrograph where it was scaled before."""
        file = self._files[unit.name]
        return Scaled(unit.name, file) if (self.run.project / file).is_file() else None

    def load(self, unit: Micrograph) -> NDArray[np.float32]:
        """Read the micrograph."""
        return read_image(self.run.project / unit.name).data

    def compute(
        self,
        units: Sequence[Micrograph],
        loaded: Sequence[NDArray[np.float32]],
        device: torch.device,
    ) -> list[NDArray[np.float32]]:
        """Scale a batch."""
        del units
        return [
            scaled_down(torch.from_numpy(image).to(device), self.factor).cpu().numpy()
            for image in loaded
        ]

    def save(self, unit: Micrograph, computed: NDArray[np.float32]) -> Scaled:
        """Write the scaled micrograph."""
        file = self._files[unit.name]
        (self.run.project / file).parent.mkdir(parents=True, exist_ok=True)
        write_mrc(self.run.project / file, computed, unit.pixel_size_A * self.factor)
        return Scaled(unit.name, file)

    def publish(self, results: Sequence[Scaled]) -> None:
        """Nothing is joined yet."""


def scaled_down(image: torch.Tensor, factor: int) -> torch.Tensor:
    """Return an image with sides a whole number of times smaller, mean 0 and deviation 1.

    Sides are cut to a multiple first, so that a pixel is exactly so many old ones.
    """
    y, x = (side // (2 * factor) * 2 * factor for side in image.shape)
    if min(y, x) == 0:
        raise InputError(f"its sides are too small to be scaled down {factor} times")
    whole = fourier.forward(normalise(image[:y, :x]), 2)
    small = fourier.crop(whole, (y // factor, x // factor), 2)
    return normalise(fourier.inverse(small, 2, (y // factor, x // factor)))


def write_image_table(path: Path, scaled: Sequence[Scaled]) -> None:
    """Write which images there are: ``image_name`` and ``path``."""
    rows = [f"{Path(one.file).stem}\t{one.file}" for one in scaled]
    write_text(path, "\n".join(["image_name\tpath", *rows]) + "\n")


def write_target_table(
    path: Path, scaled: Sequence[Scaled], picks: Mapping[str, Points], factor: int
) -> None:
    """Write where particles are, in whole pixels of the scaled images."""
    rows = ["image_name\tx_coord\ty_coord"]
    for one in scaled:
        for x, y in np.rint(picks[one.micrograph] / factor).astype(int):
            rows.append(f"{Path(one.file).stem}\t{x}\t{y}")
    write_text(path, "\n".join(rows) + "\n")


def read_scores(path: Path) -> dict[str, tuple[Points, Points]]:
    """Read the picks of `topaz extract`.

    Returns
    -------
    dict
        Places ``n 2`` and scores ``n`` of each image name; columns are found by their names.
    """
    if not path.is_file():
        raise FormatError(f"{path}: Topaz ended well but left no picks")
    lines = path.read_text().splitlines()
    names = lines[0].split("\t") if lines else []
    wanted = ("image_name", "x_coord", "y_coord", "score")
    if not set(wanted) <= set(names):
        raise FormatError(
            f"{path}: its first line has the columns {', '.join(names) or 'none'}; wanted "
            f"{', '.join(wanted)}"
        )
    columns = [names.index(name) for name in wanted]
    found: dict[str, list[tuple[float, float, float]]] = {}
    for number, line in enumerate(lines[1:], start=2):
        words = line.split("\t")
        try:
            image, x, y, score = (words[column] for column in columns)
            found.setdefault(image, []).append((float(x), float(y), float(score)))
        except (IndexError, ValueError):
            raise FormatError(
                f"{path}, line {number}: found {line!r}, wanted a name and three numbers"
            ) from None
    arrays = {image: np.array(rows) for image, rows in found.items()}
    return {image: (rows[:, :2], rows[:, 2]) for image, rows in arrays.items()}


def _scaled_file(folder: str, stem: str) -> str:
    """Return a file name that is the image name of Topaz: unique, without folders."""
    below = stem.removeprefix(folder).replace("/", "__")
    return f"{folder}topaz/{below}.mrc"
