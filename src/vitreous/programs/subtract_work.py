"""What a Subtract job does with some particles: read, subtract, write a stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset import subtraction as tables
from vitreous.dataset.particles import Particles
from vitreous.dataset.subtraction import Subtracted
from vitreous.engine import subtraction
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.settings import Image
from vitreous.engine.subtraction import Subtrahend, Views
from vitreous.io import StackWriter, Star, Table, read_star, write_star
from vitreous.jobs.context import Run
from vitreous.programs.micrograph_faults import UNIT_ERRORS, reason
from vitreous.programs.micrograph_list import Work

JOINT = "particles_subtracted.star"
_UNIT_BYTES = 2**27  # of images in a stack
_UNIT_MOST = 1000
_TOGETHER_PIXELS = 2**20  # what stays in the cache
_ROW, _INTO, _FIT = "vitreousRow", "images", "fit"
_LARGEST_FLOAT16 = 65504.0
_FITTED = ("vitreousProduct", "vitreousPower", "vitreousSpread")
_NO_FIT = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Inputs:
    """What is subtracted from what.

    Parameters
    ----------
    particles, data, views
        All particles.
    terms, image
        What is subtracted and how particles see it, one term or one for each body; and how images
        are modelled.
    point_px
        What becomes the centre of the new images, from the centre of the map in its voxels; None
        leaves images where they are.
    pixel_size_A
        Of the map.
    box_px
        Of the new images; 0 for that of the old ones.
    float16
        Whether two bytes a pixel are written.
    grey_corrected
        Whether norm corrections are in the new images.
    """

    particles: Particles
    data: Data
    views: Views
    terms: tuple[tuple[Subtrahend, Views], ...]
    image: Image
    point_px: tuple[float, float, float] | None
    pixel_size_A: float
    box_px: int = 0
    float16: bool = False
    grey_corrected: bool = False


@dataclass(frozen=True)
class Unit:
    """Particles of one optics group whose images go into one stack."""

    stem: str
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Loaded:
    """The images that could be read."""

    rows: NDArray[np.int64]
    images: Float[Tensor, "n y x"]


@dataclass(frozen=True)
class Changed:
    """What is left of images, before it is written."""

    rows: NDArray[np.int64]
    images: NDArray[np.float32]
    shift_A: NDArray[np.float64]
    moved_A: NDArray[np.float64]
    fit: tuple[float, ...]
    n_bytes: int


def units_of(particles: Particles, folder: str) -> list[Unit]:
    """Return which particles go into which stack; it does not depend on ranks or threads."""
    units = []
    for group in np.unique(particles.group).tolist():
        rows = np.flatnonzero(particles.group == group)
        size = max(1, min(_UNIT_MOST, _UNIT_BYTES // (4 * particles.box_px(group) ** 2)))
        number = int(particles.optics_table[tables.OPTICS][group])
        for start in range(0, len(rows), size):
            name = f"Particles/subtracted_opticsgroup{number}_{start // size + 1:05d}"
            units.append(Unit(folder + name, rows[start : start + size]))
    return units


def unit_bytes(units: Sequence[Unit], particles: Particles) -> int:
    """Return the most that a unit holds: its images before and after."""
    boxes = [particles.box_px(int(particles.group[unit.rows[0]])) for unit in units]
    return max(8 * len(unit.rows) * box**2 for unit, box in zip(units, boxes, strict=True))


class SubtractParticles(Work[Unit, Loaded, Changed, Subtracted]):
    """Subtract from the particles of each unit and write them as one stack."""

    def __init__(self, run: Run, inputs: Inputs) -> None:
        self.run, self.inputs = run, inputs

    def name(self, unit: Unit) -> str:
        """Return the stack that the unit becomes."""
        return f"{unit.stem}.mrcs"

    def restore(self, unit: Unit) -> Subtracted | None:
        """Return the rows of a unit that was done; its stack was whole before them."""
        path = self.run.project / f"{unit.stem}.star"
        if not path.exists():
            return None
        star = read_star(path)
        written = star[_INTO] if _INTO in star else Table(_INTO)
        fit = star[_FIT]
        if not len(written):
            none = np.zeros((0, 2))
            return Subtracted(np.zeros(0, np.int64), (), none, none, _NO_FIT)
        if not (self.run.project / f"{unit.stem}.mrcs").exists():
            return None
        rows = np.asarray(written[_ROW], np.int64) - 1
        if not np.isin(rows, unit.rows).all() or (
            written[tables.ORIGINAL].tolist()
            != self.inputs.particles.table[tables.IMAGE][rows].tolist()
        ):
            return None  # of another list of particles
        return Subtracted(
            rows,
            tuple(written[tables.IMAGE].tolist()),
            _pairs(written, tables.ORIGINS),
            _pairs(written, tables.MOVED),
            tuple(float(fit[label][0]) for label in _FITTED),
        )

    def load(self, unit: Unit) -> Loaded:
        """Read images; those that cannot be used are named and left out."""
        try:
            loaded = Loaded(unit.rows, self.inputs.data.read(unit.rows))
        except UNIT_ERRORS as error:
            reason(error)  # what would meet all particles ends the job
            loaded = self._one_by_one(unit)
        images = loaded.images
        finite = torch.isfinite(images.sum((-1, -2))).numpy()
        for row in loaded.rows[~finite].tolist():
            self._leave_out(row, "it has pixels that are no numbers")
        return Loaded(loaded.rows[finite], images[torch.from_numpy(finite)])

    def compute(
        self, units: Sequence[Unit], loaded: Sequence[Loaded], device: torch.device
    ) -> Sequence[Changed]:
        """Subtract from the images of units."""
        del units, device
        return [self._changed(one) for one in loaded]

    def save(self, unit: Unit, computed: Changed) -> Subtracted:
        """Write the stack, then the rows that say that it is whole."""
        inputs = self.inputs
        stem = self.run.project / unit.stem
        stem.parent.mkdir(parents=True, exist_ok=True)
        images, rows = computed.images, computed.rows
        names = tuple(f"{place + 1:06d}@{unit.stem}.mrcs" for place in range(len(rows)))
        if len(rows):
            pixel_A = inputs.particles.pixel_size_A(int(inputs.particles.group[rows[0]]))
            shape = (images.shape[1], images.shape[2])
            path = stem.with_name(f"{stem.name}.mrcs")
            with StackWriter(path, shape, pixel_A, float16=inputs.float16) as stack:
                stack.write(images)
        written = Table.from_columns(
            _INTO,
            {
                _ROW: rows + 1,
                tables.IMAGE: list(names),
                tables.ORIGINAL: inputs.particles.table[tables.IMAGE][rows].tolist(),
                **dict(zip(tables.ORIGINS, computed.shift_A.T, strict=True)),
                **dict(zip(tables.MOVED, computed.moved_A.T, strict=True)),
            },
        )
        fit = Table.from_columns(
            _FIT, {label: [value] for label, value in zip(_FITTED, computed.fit, strict=True)}
        )
        star = stem.with_name(f"{stem.name}.star")
        write_star(star, [fit, written] if len(rows) else [fit])
        return Subtracted(rows, names, computed.shift_A, computed.moved_A, computed.fit)

    def publish(self, results: Sequence[Subtracted]) -> None:
        """Write the list of all particles."""
        some = [result for result in results if len(result.rows)]
        if not some:
            return
        optics, rows = tables.subtracted_tables(
            self.inputs.particles,
            some,
            box_px=self.inputs.box_px,
            grey_corrected=self.inputs.grey_corrected,
            moved=self.inputs.point_px is not None,
        )
        write_star(self.run.path / JOINT, Star([optics, rows]))

    def cost(self, computed: Changed) -> tuple[float, float]:
        """Return the bytes read and written."""
        return 0.0, float(computed.n_bytes)

    def _one_by_one(self, unit: Unit) -> Loaded:
        kept, images = [], []
        for row in unit.rows.tolist():
            self.run.check_abort()
            try:
                images.append(self.inputs.data.read(np.array([row])))
            except UNIT_ERRORS as error:
                self._leave_out(row, reason(error))
            else:
                kept.append(row)
        box = self.inputs.particles.box_px(int(self.inputs.particles.group[unit.rows[0]]))
        together = torch.cat(images) if images else torch.zeros(0, box, box)
        return Loaded(np.array(kept, np.int64), together)

    def _leave_out(self, row: int, why: str) -> None:
        name = self.inputs.particles.table[tables.IMAGE][row]
        self.run.warn(
            "Some particles could not be used and are left out.",
            why if str(name) in why else f"{name} (row {row + 1}): {why}",
        )

    def _changed(self, loaded: Loaded) -> Changed:
        kept = list(self._parts(loaded))
        if not kept:
            none = np.zeros((0, 2))
            return Changed(loaded.rows, np.zeros((0, 2, 2), np.float32), none, none, _NO_FIT, 0)
        rows, images, shifts, moved, fits = (list(part) for part in zip(*kept, strict=True))
        fit = torch.cat(fits).sum(0)
        left = torch.cat(images).numpy()
        all_rows = np.concatenate(rows)
        n_bytes = loaded.images.nbytes + left.nbytes // (2 if self.inputs.float16 else 1)
        return Changed(
            all_rows,
            left,
            torch.cat(shifts).numpy(),
            torch.cat(moved).numpy(),
            tuple(fit.tolist()),
            n_bytes,
        )

    def _parts(
        self, loaded: Loaded
    ) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor, Tensor, Tensor]]:
        """Yield rows, images, shifts (Å), moves (Å) and fits, a few particles at a time."""
        inputs = self.inputs
        step = max(1, _TOGETHER_PIXELS // max(1, loaded.images[:1].numel()))
        for start in range(0, len(loaded.rows), step):
            self.run.check_abort()
            rows = loaded.rows[start : start + step]
            views = inputs.views.select(rows)
            removed = sum(
                (
                    subtraction.predicted(parts, inputs.data, rows, seen.select(rows), inputs.image)
                    for parts, seen in inputs.terms
                ),
                start=torch.zeros(()),
            )
            left, fit = subtraction.subtracted(loaded.images[start : start + step], removed, views)
            group = int(inputs.particles.group[rows[0]])
            pixel_A = inputs.particles.pixel_size_A(group)
            moved = torch.zeros(len(rows), 2, dtype=torch.float64)
            shift = views.shift_px
            if inputs.point_px is not None:
                point = torch.tensor(inputs.point_px, dtype=torch.float64)
                point = point * (inputs.pixel_size_A / pixel_A)
                magnification = inputs.data.optics.magnification[group]
                shift = shift - subtraction.place_of(views, point, magnification)
                left, moved = subtraction.recentred(left, shift)
                shift = shift - moved
            left = subtraction.boxed(left, inputs.box_px or left.shape[-1])
            keep = self._storable(rows, left)
            yield (
                rows[keep.numpy()], left[keep], pixel_A * shift[keep], pixel_A * moved[keep],
                fit[keep],
            )  # fmt: skip

    def _storable(self, rows: NDArray[np.int64], images: Tensor) -> Tensor:
        """Tell which images can be written in 16 bits."""
        if not self.inputs.float16:
            return torch.ones(len(rows), dtype=torch.bool)
        largest = images.abs().amax((-1, -2))
        keep = largest <= _LARGEST_FLOAT16
        for row, value in zip(rows[~keep.numpy()].tolist(), largest[~keep].tolist(), strict=True):
            self._leave_out(
                row, f"its values reach {value:.3g}, too large for 16 bits; write 32-bit floats"
            )
        return keep


def _pairs(table: Table, labels: tuple[str, str]) -> NDArray[np.float64]:
    return np.stack([np.asarray(table[label], np.float64) for label in labels], 1)


def original_and_new(inputs: Inputs, result: Subtracted, n: int) -> Iterator[tuple[Path, str, str]]:
    """Yield the folder and the names of a few images before and after."""
    table = inputs.particles.table
    for row, name in list(zip(result.rows.tolist(), result.names, strict=True))[:n]:
        yield inputs.particles.folder, str(table[tables.IMAGE][row]), name
