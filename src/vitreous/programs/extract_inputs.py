"""What an Extract job works on: each micrograph with its picks, and the optics of the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.columns import codes
from vitreous.dataset.extraction_rows import X, Y
from vitreous.dataset.findings import name_a_few
from vitreous.dataset.optics_tables import GROUP, GROUP_NAME, main_table, optics_of, pixel_size_A
from vitreous.dataset.reading import read_with_optics
from vitreous.errors import FormatError, InputError
from vitreous.io import Table
from vitreous.io.coordinates import OLD_PREFIX, below_job, pick_files
from vitreous.jobs.context import Run
from vitreous.programs.micrograph_list import output_stems

MICROGRAPH = "rlnMicrographName"
_SAME_PIXEL = 1e-4


@dataclass(frozen=True)
class Micrograph:
    """One micrograph to extract from.

    Parameters
    ----------
    row
        Its row of the list of micrographs.
    stem
        Where its outputs go, without an ending.
    pixel_size_A
        Its sampling; 0 where `problem` says why nobody knows.
    picks
        File of its picks; None where refined particles are extracted.
    particles
        Rows of its refined particles; empty where picks are extracted.
    problem
        Why it cannot be used; empty where it can.
    """

    row: Mapping[str, Any]
    stem: str
    pixel_size_A: float
    picks: Path | None
    particles: NDArray[np.int64]
    problem: str = ""

    @property
    def name(self) -> str:
        """Its file."""
        return str(self.row[MICROGRAPH])


@dataclass(frozen=True)
class Inputs:
    """Everything that was read before the work begins.

    Parameters
    ----------
    micrographs
        Those that have picks.
    optics
        Optics groups that the particles will have, before their size is known.
    particles
        Refined particles; None where picks are extracted.
    keep_ctf
        Whether CTF and optics group of the refined particles are kept.
    old_pixel_sizes_A
        Pixel size of the refined particles, by optics group.
    """

    micrographs: list[Micrograph]
    optics: Table
    particles: Table | None = None
    keep_ctf: bool = False
    old_pixel_sizes_A: Mapping[int, float] = field(default_factory=dict)


def picked(run: Run, micrographs: str, coordinates: str) -> Inputs:
    """Read micrographs and find the file of picks of each."""
    table, optics = _micrographs(run, micrographs)
    names = [str(name) for name in table[MICROGRAPH]]
    places = _pick_files(run, coordinates, names)
    wanted = [i for i, name in enumerate(names) if name in places and places[name].is_file()]
    if not wanted:
        raise InputError(
            f"{coordinates}: none of the {len(names):,} micrographs of {micrographs} "
            f"({name_a_few(names)}) has a file of picks. Take the micrographs that were picked "
            "from."
        )
    if len(wanted) < len(names):
        run.say(f"{len(names) - len(wanted):,} of {len(names):,} micrographs have no picks")
    files = [places[names[i]] for i in wanted]
    none = [np.zeros(0, np.int64)] * len(wanted)
    return Inputs(list(_units(run, table.select(wanted), optics, files, none)), optics)


def refined(run: Run, micrographs: str, particles: str, *, keep_micrograph_ctf: bool) -> Inputs:
    """Read micrographs and refined particles, and put each particle to its micrograph."""
    table, optics = _micrographs(run, micrographs)
    star = read_with_optics(run.project / particles)
    rows = main_table(star, MICROGRAPH, particles)
    lacking = [label for label in (X, Y, GROUP) if label not in rows]
    if lacking:
        raise FormatError(f"{particles}, data_{rows.name}: there is no {' and no '.join(lacking)}.")
    if not len(rows):
        raise InputError(f"{particles}: there are no particles to extract.")
    members = _members(run, rows, [str(name) for name in table[MICROGRAPH]], particles)
    if not members:
        raise InputError(
            f"{particles}: none of its {len(rows):,} particles (of "
            f"{name_a_few(list(dict.fromkeys(rows[MICROGRAPH].tolist())))}) lies in a micrograph "
            f"of {micrographs}. Take the micrographs that the particles were extracted from."
        )
    kept = table.select(list(members))
    units = list(_units(run, kept, optics, [None] * len(kept), list(members.values())))
    own = optics_of(star, particles)
    sizes = {int(group[GROUP]): pixel_size_A(group) or 0.0 for group in own.rows()}
    if keep_micrograph_ctf:
        return Inputs(units, optics, rows, keep_ctf=False, old_pixel_sizes_A=sizes)
    units = [_checked(unit, rows, own) for unit in units]
    return Inputs(units, own, rows, keep_ctf=True, old_pixel_sizes_A=sizes)


def with_images(inputs: Inputs, window_px: int, binning: float, *, premultiplied: bool) -> Table:
    """Return the optics of the particles.

    Parameters
    ----------
    inputs
        What was read.
    window_px
        Side of the particles.
    binning
        How many pixels of the micrograph become one.
    premultiplied
        Whether they were multiplied by their CTF.

    Raises
    ------
    InputError
        Particles of one optics group lie in micrographs of different pixel size.
    """
    optics = inputs.optics
    sizes = _group_pixel_sizes(inputs)
    known = [sizes.get(int(group), next(iter(sizes.values()), 0.0)) for group in optics[GROUP]]
    n = len(optics)
    columns: dict[str, object] = {
        "rlnImagePixelSize": [size * binning for size in known],
        "rlnImageSize": [window_px] * n,
        "rlnImageDimensionality": [2] * n,
        "rlnCtfDataAreCtfPremultiplied": [premultiplied] * n,
    }
    return optics.without("rlnMicrographPixelSize").with_columns(columns)


def _micrographs(run: Run, path: str) -> tuple[Table, Table]:
    star = read_with_optics(run.project / path)
    table = main_table(star, MICROGRAPH, path)
    if not len(table):
        raise InputError(f"{path}: it lists no micrographs.")
    if GROUP not in table:
        raise FormatError(f"{path}, data_{table.name}: there is no column {GROUP}.")
    twice = len(table) - len(set(table[MICROGRAPH].tolist()))
    if twice:
        run.warn(f"{twice:,} micrographs are listed more than once and taken once.", path)
        first = np.unique(codes(table[MICROGRAPH]), return_index=True)[1]
        table = table.select(np.sort(first))
    return table, optics_of(star, path)


def _pick_files(run: Run, coordinates: str, names: Sequence[str]) -> dict[str, Path]:
    """Return the file of picks of each micrograph; those of another job by path below it."""
    file = run.project / coordinates
    found = dict(pick_files(file, run.project, names))
    if len(found) < len(names) and not file.name.startswith(OLD_PREFIX):
        below = _by_tail(name for name, _ in pick_files(file, run.project))
        listed = dict(pick_files(file, run.project))
        for name in names:
            same = below.get(below_job(name), [])
            if name not in found and len(same) == 1:
                found[name] = listed[same[0]]
    return found


def _members(
    run: Run, rows: Table, names: Sequence[str], source: str
) -> dict[int, NDArray[np.int64]]:
    """Return the rows of each micrograph, by its place in the list, in the order of the list."""
    places = {name: place for place, name in enumerate(names)}
    below = _by_tail(names)
    number = codes(rows[MICROGRAPH])
    order = np.argsort(number, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    members: dict[int, list[NDArray[np.int64]]] = {}
    lost: list[str] = []
    n_lost = 0
    for part in parts:
        name = str(rows[MICROGRAPH][part[0]])
        same = [name] if name in places else below.get(below_job(name), [])
        if len(same) == 1:
            members.setdefault(places[same[0]], []).append(part)
        else:
            lost.append(name)
            n_lost += len(part)
    if lost and members:
        run.warn(
            f"{n_lost:,} particles lie in micrographs that are not in the list of micrographs, "
            "and are left out.",
            f"{source}: {name_a_few(lost)}",
        )
    return {place: np.concatenate(members[place]) for place in sorted(members)}


def _by_tail(names: Iterator[str] | Sequence[str]) -> dict[str, list[str]]:
    below: dict[str, list[str]] = {}
    for name in names:
        below.setdefault(below_job(name), []).append(name)
    return below


def _units(
    run: Run,
    table: Table,
    optics: Table,
    picks: Sequence[Path | None],
    particles: Sequence[NDArray[np.int64]],
) -> Iterator[Micrograph]:
    """Yield each micrograph with what it needs to know."""
    groups = {int(row[GROUP]): row for row in optics.rows()}
    stems = output_stems(run.folder, [str(name) for name in table[MICROGRAPH]])
    for row, stem, file, own in zip(table.rows(), stems, picks, particles, strict=True):
        group = groups.get(int(row[GROUP]))
        size = None if group is None else _micrograph_pixel_A(group)
        problem = ""
        if group is None:
            problem = (
                f"rlnOpticsGroup is {row[GROUP]}, but data_optics has {name_a_few(list(groups), 8)}"
            )
        elif size is None:
            problem = f"optics group {group.get(GROUP_NAME, row[GROUP])} has no pixel size above 0"
        yield Micrograph(row, stem, size or 0.0, file, own, problem)


def _micrograph_pixel_A(group: Mapping[str, Any]) -> float | None:
    own = group.get("rlnMicrographPixelSize")
    return float(own) if isinstance(own, float) and own > 0 else pixel_size_A(group)


def _checked(unit: Micrograph, rows: Table, optics: Table) -> Micrograph:
    """Find fault with a micrograph whose particles have unknown optics groups."""
    own = np.unique(rows[GROUP][unit.particles])
    unknown = own[~np.isin(own, optics[GROUP])]
    if not unknown.size or unit.problem:
        return unit
    problem = (
        f"rlnOpticsGroup of its particles is {unknown[0]}, but data_optics of the particles has "
        f"{name_a_few(optics[GROUP].tolist(), 8)}"
    )
    return replace(unit, problem=problem)


def _group_pixel_sizes(inputs: Inputs) -> dict[int, float]:
    """Return the pixel size of the micrographs of each optics group of the result."""
    sizes: dict[int, float] = {}
    for unit in inputs.micrographs:
        if unit.problem:
            continue
        groups = [int(unit.row[GROUP])]
        if inputs.keep_ctf and inputs.particles is not None:
            groups = np.unique(inputs.particles[GROUP][unit.particles]).tolist()
        for group in groups:
            known = sizes.setdefault(group, unit.pixel_size_A)
            if abs(known / unit.pixel_size_A - 1) > _SAME_PIXEL:
                raise InputError(
                    f"Optics group {group} of the particles lies in micrographs of {known:g} and "
                    f"of {unit.pixel_size_A:g} Å per pixel ({unit.name}). Give the particles of "
                    "each pixel size an optics group of their own."
                )
    return sizes
