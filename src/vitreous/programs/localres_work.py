"""The places of a LocalRes job, shared between ranks, and kept so that a job can be continued."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.engine.local_resolution import Measurement, Place
from vitreous.io.atomic import write_bytes
from vitreous.jobs.context import Run
from vitreous.programs.micrograph_list import Settings, Work, process

FOLDER = "Places"
_TOGETHER = 16
_CURVES = ("masked", "randomised", "corrected")
_WORK_ARRAYS = 8  # windows that exist at the same time


@dataclass(frozen=True)
class Batch:
    """Some places whose curves go into one file.

    Parameters
    ----------
    file
        Where they are kept.
    centres
        Of the places.
    curves
        ``n 3 s``, a part of one array for all places: many small ones between the large ones that
        come and go would leave the memory in pieces.
    """

    file: Path
    centres: Sequence[tuple[int, int, int]]
    curves: Tensor


class MeasurePlaces(Work[Batch, None, list[Place], list[Place]]):
    """Measures places and keeps their curves in ``Places/`` until the job is done.

    Parameters
    ----------
    run
        The job.
    measurement
        Of its maps.
    sense
        All that curves depend on; files of another are measured anew.
    """

    def __init__(self, run: Run, measurement: Measurement, sense: str) -> None:
        self.run, self.measurement = run, measurement
        self._sense = hashlib.sha256(sense.encode()).hexdigest()

    def through(self, centres: Sequence[tuple[int, int, int]]) -> list[Place]:
        """Measure all places; on the first rank return them in their order."""
        folder = self.run.path / FOLDER
        folder.mkdir(exist_ok=True)
        n_shells = self.measurement.size // 2 + 1
        curves = torch.zeros(len(centres), len(_CURVES), n_shells, dtype=torch.float64)
        batches = []
        for start in range(0, len(centres), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            file = folder / f"{start // _TOGETHER + 1:05d}.npz"
            batches.append(Batch(file, centres[some], curves[some]))
        settings = Settings(
            phase="Measuring local resolution",
            noun="groups of places",
            unit_bytes=8 * _TOGETHER * len(_CURVES) * n_shells,
            batch_bytes=_WORK_ARRAYS * 4 * self.measurement.side**3,
        )
        outcome = process(self.run, batches, self, settings)
        return [place for batch in outcome.done for place in batch]

    def forget(self) -> None:
        """Remove the curves, which stand in the job's own files now."""
        shutil.rmtree(self.run.path / FOLDER, ignore_errors=True)

    def name(self, unit: Batch) -> str:
        """Return the file of some places."""
        return f"{self.run.folder}{FOLDER}/{unit.file.name}"

    def restore(self, unit: Batch) -> list[Place] | None:
        """Return places that were measured before, with the same maps and settings."""
        try:
            with np.load(io.BytesIO(unit.file.read_bytes()), allow_pickle=False) as kept:
                if str(kept["sense"]) != self._sense:
                    return None
                unit.curves.copy_(torch.from_numpy(kept["curves"]))
                found_A = kept["resolution_A"].tolist()
                return [_place(unit, i, found_A[i]) for i in range(len(unit.centres))]
        except (FileNotFoundError, ValueError, LookupError, RuntimeError, zipfile.BadZipFile):
            return None

    def load(self, unit: Batch) -> None:
        """Nothing is read: the maps are in memory."""
        del unit

    def compute(
        self, units: Sequence[Batch], loaded: Sequence[None], device: torch.device
    ) -> Sequence[list[Place]]:
        """Measure places."""
        del loaded, device
        return [[self._one(unit, i) for i in range(len(unit.centres))] for unit in units]

    def save(self, unit: Batch, computed: list[Place]) -> list[Place]:
        """Keep the curves of some places."""
        stream = io.BytesIO()
        np.savez(
            stream,
            sense=self._sense,
            curves=unit.curves.numpy(),
            resolution_A=np.array([place.resolution_A for place in computed]),
        )
        write_bytes(unit.file, stream.getvalue())
        return computed

    def publish(self, results: Sequence[list[Place]]) -> None:
        """Nothing: the joint files are written once, at the end."""
        del results

    def _one(self, unit: Batch, number: int) -> Place:
        self.run.check_abort()
        found = self.measurement.at(unit.centres[number])
        for row, name in zip(unit.curves[number], _CURVES, strict=True):
            row.copy_(getattr(found, name))
        return _place(unit, number, found.resolution_A)


def _place(unit: Batch, number: int, resolution_A: float) -> Place:
    masked, randomised, corrected = unit.curves[number]
    return Place(unit.centres[number], masked, randomised, corrected, resolution_A)
