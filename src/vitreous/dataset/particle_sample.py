"""A small, repeatable sample of a particles file: some particles of some micrographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.columns import codes
from vitreous.dataset.optics_tables import GROUP
from vitreous.dataset.particle_columns import IMAGE
from vitreous.errors import InputError
from vitreous.io import ImageStack, Table, parse_ref

N_MICROGRAPHS = 12
N_PER_MICROGRAPH = 64
MIN_PER_GROUP = 16


@dataclass(frozen=True)
class Batch:
    """Images of one micrograph (or stack) and one optics group.

    Parameters
    ----------
    rows
        ``n``: row of each image.
    images
        ``n y x``.
    pixel_size_A
        What the header of the file says; 0 where it does not.
    """

    rows: NDArray[np.int64]
    images: NDArray[np.float32]
    pixel_size_A: float


def sample_rows(particles: Table) -> list[NDArray[np.int64]]:
    """Choose rows: spread over the file, together by micrograph, every optics group present.

    The same file gives the same rows.

    Returns
    -------
    list of ndarray
        Rows of one micrograph and one optics group each.
    """
    label = "rlnMicrographName" if "rlnMicrographName" in particles else IMAGE
    source = particles[label].tolist()
    if label == IMAGE:
        source = [name.rpartition("@")[2] for name in source]
    groups = particles[GROUP] if GROUP in particles else np.ones(len(particles), np.int64)
    places = codes(source)
    key = groups * (int(places.max(initial=0)) + 1) + places
    members = _members(key)
    sizes = np.array([len(rows) for rows in members])
    large = [rows for rows in members if len(rows) >= min(N_PER_MICROGRAPH, np.median(sizes))]
    chosen = [
        rows[_spread(len(rows), N_PER_MICROGRAPH)]
        for rows in (large[i] for i in _spread(len(large), N_MICROGRAPHS))
    ]
    present = {int(groups[rows[0]]) for rows in chosen}
    for rows in members:
        group = int(groups[rows[0]])
        if group not in present:
            present.add(group)
            chosen.append(rows[_spread(len(rows), MIN_PER_GROUP)])
    return chosen


def read_batches(
    particles: Table, chosen: Sequence[NDArray[np.int64]], unreadable: list[tuple[int, str]]
) -> Iterator[Batch]:
    """Read the images of the sample; rows that cannot be read are put into `unreadable`.

    Parameters
    ----------
    particles
        All rows.
    chosen
        See `sample_rows`.
    unreadable
        Gets ``(row, reason)``.
    """
    names = particles[IMAGE]
    for rows in chosen:
        by_file: dict[str, list[tuple[int, int | None]]] = {}
        for row in rows.tolist():
            try:
                ref = parse_ref(str(names[row]))
            except InputError as error:
                unreadable.append((row, str(error)))
                continue
            by_file.setdefault(ref.path, []).append((row, ref.index0))
        for path, wanted in by_file.items():
            yield from _read_file(path, wanted, unreadable)


def _read_file(
    path: str, wanted: list[tuple[int, int | None]], unreadable: list[tuple[int, str]]
) -> Iterator[Batch]:
    try:
        with ImageStack(path, permissive=True) as stack:
            good: list[tuple[int, int]] = []
            for row, index in wanted:
                try:
                    place = stack.only(index)
                except InputError as error:
                    unreadable.append((row, str(error)))
                    continue
                if place < len(stack):
                    good.append((row, place))
                else:
                    unreadable.append((row, f"{path} has {len(stack)} images, not {place + 1}"))
            if good:
                rows, places = (list(values) for values in zip(*good, strict=True))
                yield Batch(np.array(rows), stack.read(places), stack.pixel_size_A)
    except InputError as error:
        unreadable.extend((row, str(error)) for row, _ in wanted)


def _members(key: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of each value of `key`, in order of their first row."""
    order = np.argsort(key, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(key[order])) + 1) if len(key) else []
    return sorted(parts, key=lambda rows: int(rows[0]))


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` of the numbers below `n`, evenly spaced."""
    if n <= most:
        return np.arange(n)
    return np.unique(np.linspace(0, n - 1, most).round().astype(np.int64))
