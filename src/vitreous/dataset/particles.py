"""Particles: a STAR file's rows as poses, optics and images in tensors.

This is where labels become tensors: angles become matrices, origins become pixels, optics groups
become rows of one record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine.ctf import Defocus, Optics
from vitreous.engine.geometry import matrix_from_euler
from vitreous.errors import FormatError
from vitreous.io import ImageRef, ImageStack, Table, parse_ref, read_images, read_star

_SAME_PIXEL = 0.01  # relative; headers are rounded
_UNSET_PIXEL_SIZES = (0.0, 1.0)
_LARGEST_DEFOCUS_A = 1e6
_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")


@dataclass(frozen=True)
class Batch:
    """Particles of one optics group.

    Parameters
    ----------
    rows
        Rows of the particle table.
    group
        Row of the optics record.
    images
        ``n y x``, float32.
    rotations
        ``n 3 3``, pose matrices.
    shift_px
        ``n 2``, the shift that centres each image, in its pixels.
    defocus
        CTF parameters of each image.
    """

    rows: NDArray[np.int64]
    group: int
    images: Tensor
    rotations: Tensor
    shift_px: Tensor
    defocus: Defocus


@dataclass(frozen=True)
class Particles:
    """The rows of a particle file, their optics, and where their images are.

    Parameters
    ----------
    table, optics_table
        As read; every column is kept.
    optics
        One row per row of `optics_table`.
    group
        ``n``, row of `optics` of each particle.
    premultiplied
        ``g``, whether the images of a group were multiplied by their CTF.
    folder
        What image names are relative to.
    """

    table: Table
    optics_table: Table
    optics: Optics
    group: NDArray[np.int64]
    premultiplied: NDArray[np.bool_]
    folder: Path

    @classmethod
    def from_tables(cls, table: Table, optics_table: Table, folder: Path | str = ".") -> Particles:
        """Put together particles from checked tables."""
        order = {int(number): row for row, number in enumerate(optics_table["rlnOpticsGroup"])}
        group = np.array([order[int(number)] for number in table["rlnOpticsGroup"]], np.int64)
        premultiplied = optics_table.get("rlnCtfDataAreCtfPremultiplied")
        flags = np.zeros(len(optics_table), bool) if premultiplied is None else premultiplied
        record = optics_record(optics_table)
        return cls(table, optics_table, record, group, np.asarray(flags, bool), Path(folder))

    def __len__(self) -> int:
        """Return the number of particles."""
        return len(self.table)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Particles:
        """Return some of the particles."""
        return replace(self, table=self.table.select(rows), group=self.group[rows])

    def box_px(self, group: int = 0) -> int:
        """Return the side of the images of an optics group."""
        return int(self.optics.box_px[group])

    def pixel_size_A(self, group: int = 0) -> float:
        """Return the sampling of the images of an optics group."""
        return float(self.optics.pixel_size_A[group])

    def rotations(self, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Return pose matrices, ``n 3 3`` in float64."""
        angles = np.stack([self._column(label)[rows] for label in _ANGLES], 1)
        return matrix_from_euler(torch.from_numpy(angles))

    def shift_px(self, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Return the shifts that centre the images, ``n 2`` in pixels, float64."""
        shifts = np.stack([self._column(label, 0.0)[rows] for label in _ORIGINS], 1)
        return torch.from_numpy(shifts) / self.optics.pixel_size_A[self.group[rows], None]

    def defocus(self, rows: Sequence[int] | NDArray[np.int64]) -> Defocus:
        """Return the CTF parameters of particles; what a row lacks, its optics group gives."""
        values = [
            torch.from_numpy(self._row_or_optics(label, default)[rows].copy())
            for label, default in (
                ("rlnDefocusU", 0.0),
                ("rlnDefocusV", 0.0),
                ("rlnDefocusAngle", 0.0),
                ("rlnPhaseShift", 0.0),
                ("rlnCtfBfactor", 0.0),
                ("rlnCtfScalefactor", 1.0),
            )
        ]
        return Defocus(*values)

    def images(self, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Read images, ``n y x`` in float32; all must have one size."""
        refs = [parse_ref(name) for name in self.table["rlnImageName"][rows]]
        placed = {path: str(self.folder / path) for path in {ref.path for ref in refs}}
        return torch.from_numpy(
            read_images([ImageRef(placed[ref.path], ref.index0) for ref in refs])
        )

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield all particles, group by group in the order of the disk, the next batch read ahead.

        Parameters
        ----------
        size
            Most particles in a batch.
        """
        parts = [
            rows[start : start + size]
            for rows in self._rows_by_group()
            for start in range(0, len(rows), size)
        ]
        with ThreadPoolExecutor(1) as reader:
            ahead = [reader.submit(self.images, rows) for rows in parts[:1]]
            for i, rows in enumerate(parts):
                images = ahead.pop().result()
                if i + 1 < len(parts):
                    ahead.append(reader.submit(self.images, parts[i + 1]))
                group = int(self.group[rows[0]])
                self._require_box(images, rows, group)
                yield Batch(
                    rows,
                    group,
                    images,
                    self.rotations(rows),
                    self.shift_px(rows),
                    self.defocus(rows),
                )

    def _rows_by_group(self) -> Iterator[NDArray[np.int64]]:
        refs = [parse_ref(name) for name in self.table["rlnImageName"]]
        paths = np.unique([ref.path for ref in refs], return_inverse=True)[1].reshape(-1)
        places = np.array([ref.index0 or 0 for ref in refs], np.int64)
        order = np.lexsort((places, paths, self.group))
        for group in np.unique(self.group):
            yield order[self.group[order] == group].astype(np.int64)

    def _require_box(self, images: Tensor, rows: NDArray[np.int64], group: int) -> None:
        box = self.box_px(group)
        if images.shape[1:] != (box, box):
            message = (
                f"{self.table['rlnImageName'][rows[0]]}: the images are "
                f"{images.shape[2]} x {images.shape[1]} pixels, but optics group {group + 1} says "
                f"rlnImageSize {box}. Give the groups their true sizes."
            )
            raise FormatError(message)

    def _column(self, label: str, default: float | None = None) -> NDArray[np.float64]:
        if label in self.table:
            return np.asarray(self.table[label], np.float64)
        if default is None:
            message = f"data_{self.table.name} has no {label}; poses are needed"
            raise FormatError(message)
        return np.full(len(self), default)

    def _row_or_optics(self, label: str, default: float) -> NDArray[np.float64]:
        if label not in self.table and label in self.optics_table:
            return np.asarray(self.optics_table[label], np.float64)[self.group]
        return self._column(label, default)


def read_particles(
    path: Path | str, folder: Path | str = ".", *, with_images: bool = True
) -> Particles:
    """Read a particle file of any dialect.

    Parameters
    ----------
    path
        STAR file; one of RELION 3.0 is given optics groups on the way.
    folder
        What its image names are relative to.
    with_images
        Require what is needed to read images, and not only poses and optics.

    Raises
    ------
    FormatError
        It has no particles, an optics group is missing or incomplete, a box is odd or not given,
        or a number is not finite: all problems at once, with the rows.
    """
    star = read_star(path, upgrade=True)
    name = "particles" if "particles" in star else ""
    if not name or "optics" not in star or len(star[name]) == 0:
        message = (
            f"{path}: no particles were found (blocks: {', '.join(star) or 'none'}); "
            "data_optics and a data_particles with rows are needed"
        )
        raise FormatError(message)
    table, optics_table = star[name], star["optics"]
    problems = list(_row_problems(table, optics_table))
    if with_images:
        problems += [*_name_problems(table), *_optics_problems(optics_table)]
    if problems:
        raise FormatError("\n".join(f"{path}, {problem}" for problem in problems))
    return Particles.from_tables(table, optics_table, folder)


def same_pixel(told_A: float, wanted_A: float) -> bool:
    """Whether a header agrees with a pixel size, or says nothing about it."""
    return told_A in _UNSET_PIXEL_SIZES or abs(told_A / wanted_A - 1) <= _SAME_PIXEL


def require_stated_pixels(particles: Particles, path: Path | str) -> None:
    """Refuse images whose header has another pixel size than their optics group.

    Parameters
    ----------
    particles
        The first image of each optics group is looked at.
    path
        The particle file, for the message.
    """
    for group in np.unique(particles.group).tolist():
        row = int(np.flatnonzero(particles.group == group)[0])
        ref = parse_ref(particles.table["rlnImageName"][row])
        with ImageStack(particles.folder / ref.path, permissive=True) as stack:
            told_A = stack.header.pixel_size_A
        stated_A = particles.pixel_size_A(group)
        if not same_pixel(told_A, stated_A):
            message = (
                f"{path}: rlnImagePixelSize of optics group {group + 1} says {stated_A:g} Å, but "
                f"the header of {ref.path} says {told_A:.4g} Å. Correct the wrong one, or give "
                "--angpix to go by the STAR file."
            )
            raise FormatError(message)


def optics_record(optics_table: Table) -> Optics:
    """Turn an optics table into the engine's record."""
    n = len(optics_table)

    def column(label: str, default: float) -> Tensor:
        values = optics_table.get(label)
        filled = np.full(n, default) if values is None else np.asarray(values, np.float64)
        return torch.from_numpy(filled.copy())

    def vectors(label: str) -> Tensor:
        rows = [np.asarray(row, np.float64) for row in optics_table.get(label, [[]] * n)]
        width = max((len(row) for row in rows), default=0)
        return torch.from_numpy(
            np.stack([np.pad(row, (0, width - len(row))) for row in rows]).reshape(n, width)
        )

    tilt = torch.stack([column("rlnBeamTiltX", 0.0), column("rlnBeamTiltY", 0.0)], 1)
    magnification = torch.stack(
        [column(f"rlnMagMat{i}{j}", float(i == j)) for i in (0, 1) for j in (0, 1)], 1
    ).reshape(n, 2, 2)
    return Optics(
        column("rlnImagePixelSize", 0.0),
        column("rlnImageSize", 0.0),
        column("rlnVoltage", 300.0),
        column("rlnSphericalAberration", 2.7),
        column("rlnAmplitudeContrast", 0.1),
        tilt,
        vectors("rlnOddZernike"),
        vectors("rlnEvenZernike"),
        magnification,
    )


def pose_problems(table: Table, optics_table: Table) -> Iterator[str]:
    """Yield what is wrong with the optics groups and the poses of particles, with the rows.

    Parameters
    ----------
    table, optics_table
        As they stand in the file; an optics table without rows has no groups.
    """
    where = f"data_{table.name}"
    if "rlnOpticsGroup" not in table:
        yield f"{where}: rlnOpticsGroup is missing; convert the file or add the column"
        return
    known = {int(number) for number in optics_table.get("rlnOpticsGroup", [])}
    groups = np.asarray(table["rlnOpticsGroup"])
    lost = np.flatnonzero(~np.isin(groups, list(known)))
    if lost.size:
        there = ", ".join(map(str, sorted(known))) or "none"
        yield (
            f"{where} row {lost[0] + 1} ({lost.size} rows in all): rlnOpticsGroup is "
            f"{groups[lost[0]]}, but data_optics has {there}. Join "
            "the files with a JoinStar job, which renumbers groups."
        )
    yield from _far_away(table, optics_table)
    for label in _ANGLES:
        values = np.abs(np.asarray(table.get(label, []), np.float64))
        bad = np.flatnonzero(values > 3600)
        if bad.size:
            yield (
                f"{where} row {bad[0] + 1} ({bad.size} rows in all): {label} is "
                f"{table[label][bad[0]]}, which cannot be an angle in degrees"
            )


def _row_problems(table: Table, optics_table: Table) -> Iterator[str]:
    for label in table.labels:
        values = table[label]
        if values.dtype == np.float64 and not np.isfinite(values).all():
            bad = np.flatnonzero(~np.isfinite(values))
            yield (
                f"data_{table.name} row {bad[0] + 1} ({bad.size} rows in all): {label} is not "
                "finite"
            )
    yield from pose_problems(table, optics_table)


def _far_away(table: Table, optics_table: Table) -> Iterator[str]:
    """Yield origins beyond the image and defoci that no microscope has."""
    limits = dict.fromkeys(("rlnDefocusU", "rlnDefocusV"), (_LARGEST_DEFOCUS_A, "a defocus"))
    if "rlnImageSize" in optics_table and "rlnImagePixelSize" in optics_table:
        sides_A = [
            float(box) * float(pixel)
            for box, pixel in zip(
                optics_table["rlnImageSize"], optics_table["rlnImagePixelSize"], strict=True
            )
        ]
        limits |= dict.fromkeys(_ORIGINS, (max(sides_A, default=0.0), "an origin in this box"))
    for label, (most, kind) in limits.items():
        bad = np.flatnonzero(np.abs(np.asarray(table.get(label, []), np.float64)) > most)
        if bad.size:
            yield (
                f"data_{table.name} row {bad[0] + 1} ({bad.size} rows in all): {label} is "
                f"{table[label][bad[0]]:g} Å, which cannot be {kind} (at most {most:g} Å)"
            )


def _name_problems(table: Table) -> Iterator[str]:
    if "rlnImageName" not in table:
        yield f"data_{table.name}: rlnImageName is missing, so there are no images to read"


def _optics_problems(optics_table: Table) -> Iterator[str]:
    for label in ("rlnOpticsGroup", "rlnImagePixelSize", "rlnImageSize"):
        if label not in optics_table:
            yield f"data_optics: {label} is missing; Extract and Import write it"
            continue
        values = np.asarray(optics_table[label], np.float64)
        bad = np.flatnonzero(~(values > 0))
        if bad.size:
            yield f"data_optics row {bad[0] + 1}: {label} is {values[bad[0]]:g}, not above 0"
        if label == "rlnImageSize" and (values % 2 == 1).any():
            row = int(np.flatnonzero(values % 2 == 1)[0])
            yield (
                f"data_optics row {row + 1}: rlnImageSize is {values[row]:g}, but boxes must be "
                "even. Extract the particles again with an even box."
            )
