"""Picking from one micrograph after the other: what blobs and templates have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.picking_list import Micrograph, PickingList
from vitreous.dataset.picks import FOM, write_picks
from vitreous.engine.picking import preparation
from vitreous.errors import InputError
from vitreous.io import Table, write_star
from vitreous.io.atomic import replacing
from vitreous.io.coordinate_list import write_coordinate_list
from vitreous.io.coordinates import read_picks
from vitreous.jobs.context import Run
from vitreous.programs.micrograph_list import Work
from vitreous.programs.reused_memory import ReusedMemory

SUFFIX = "_autopick"
BINS = 60


@dataclass(frozen=True)
class Picked:
    """What was found in a micrograph, and maps that are kept on request (name -> ``y x``)."""

    table: Table
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What the job remembers of a micrograph.

    Parameters
    ----------
    micrograph, file
        Its name and that of its picks, from the project folder.
    places_px
        ``n 2``
    merit
        ``n``
    """

    micrograph: str
    file: str
    places_px: NDArray[np.float32]
    merit: NDArray[np.float32]


class Picking(Work[Micrograph, NDArray[np.float32], Picked, Result]):
    """Pick from micrographs; how is told by `pick`.

    Parameters
    ----------
    run
        The job.
    listed
        All micrographs.
    stems
        Where the files of each go, by its name.
    """

    def __init__(self, run: Run, listed: PickingList, stems: Mapping[str, str]) -> None:
        self.run, self.listed, self.stems = run, listed, stems
        self._memory = ReusedMemory()

    @abstractmethod
    def pick(self, unit: Micrograph, image: Tensor) -> Picked:
        """Find the particles of a micrograph ``y x`` with even sides, on its device."""

    def name(self, unit: Micrograph) -> str:
        """Return the file of the micrograph."""
        return unit.name

    def restore(self, unit: Micrograph) -> Result | None:
        """Return the picks of a micrograph that is done."""
        file = self._file(unit)
        return self._result(unit, read_picks(file)) if file.is_file() else None

    def load(self, unit: Micrograph) -> NDArray[np.float32]:
        """Read the micrograph; an odd last row or column is left out."""
        if unit.problem:
            raise InputError(unit.problem)
        image = self._memory.read(self.run.project / unit.name)
        return np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])

    def compute(
        self,
        units: Sequence[Micrograph],
        loaded: Sequence[NDArray[np.float32]],
        device: torch.device,
    ) -> list[Picked]:
        """Pick from each of a batch."""
        found = []
        for unit, image in zip(units, loaded, strict=True):
            self.run.check_abort()
            with torch.no_grad():
                found.append(self.pick(unit, torch.from_numpy(image).to(device)))
            self._memory.give_back(image)
        return found

    def save(self, unit: Micrograph, computed: Picked) -> Result:
        """Write the picks, after the maps that are kept."""
        for name, values in computed.maps.items():
            write_map(self.map_file(unit, name), values)
        write_picks(self._file(unit), computed.table)
        return self._result(unit, computed.table)

    def publish(self, results: Sequence[Result]) -> None:
        """Write the list of all files of picks, and how many picks each has."""
        pairs = [(one.micrograph, one.file) for one in results]
        write_coordinate_list(self.run.path / "autopick.star", pairs)
        columns = {
            "rlnMicrographName": [one.micrograph for one in results],
            "rlnGroupNrParticles": [len(one.merit) for one in results],
            "rlnAutopickFigureOfMerit": [_mean(one.merit) for one in results],
        }
        write_star(self.run.path / "summary.star", [Table.from_columns("", columns)])

    def map_file(self, unit: Micrograph, name: str) -> Path:
        """Return where a map of merit is kept."""
        return self.run.project / f"{self.stems[unit.name]}{SUFFIX}_{name}.spi"

    def _file(self, unit: Micrograph) -> Path:
        return self.run.project / self._name(unit)

    def _name(self, unit: Micrograph) -> str:
        return f"{self.stems[unit.name]}{SUFFIX}.star"

    def _result(self, unit: Micrograph, table: Table) -> Result:
        places = np.stack([table["rlnCoordinateX"], table["rlnCoordinateY"]], 1)
        merit = table.get(FOM, np.zeros(len(table)))
        return Result(
            unit.name, self._name(unit), places.astype(np.float32), merit.astype(np.float32)
        )


def prepared(
    image: Tensor, sampling: preparation.Coarse, high_pass_A: float = -1.0
) -> tuple[Tensor, Tensor]:
    """Return a normalised micrograph and its transform on the work grid."""
    scaled = preparation.normalise(image)
    if high_pass_A > 0:
        scaled = preparation.high_passed(scaled, sampling.pixel_size_A, high_pass_A)
    return scaled, preparation.transform(scaled, sampling)


def write_map(path: Path, values: NDArray[np.float32]) -> None:
    """Write a map as SPIDER does, the form that RELION keeps maps of merit in."""
    rows, columns = values.shape
    n_records = -(-1024 // (4 * columns))
    header = np.zeros(n_records * columns, np.float32)
    header[[0, 1, 4, 11, 12, 21, 22]] = (
        1, rows, 1, columns, n_records, n_records * columns * 4, columns * 4
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(header.tobytes() + np.ascontiguousarray(values, np.float32).tobytes())


def read_map(path: Path) -> NDArray[np.float32]:
    """Read what `write_map` wrote."""
    if not path.is_file():
        raise InputError(
            f"{path}: there is no such map of merit. Run the job with “Write maps of merit” first."
        )
    content = np.fromfile(path, "<f4")
    rows, columns, start = int(content[1]), int(content[11]), int(content[21]) // 4
    return content[start : start + rows * columns].reshape(rows, columns)


def _mean(values: NDArray[np.float32]) -> float:
    return float(values.mean()) if len(values) else 0.0
