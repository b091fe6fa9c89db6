"""Read every image once and find those whose pixels are unlike the others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.image_statistics import mean_and_sd, ordinary
from vitreous.errors import AbsentError, InputError
from vitreous.io import ImageStack, Table, parse_ref
from vitreous.jobs.context import Progress

_BATCH_BYTES = 64 << 20


class Watch(Protocol):
    """Who watches while images are read: a job's `Run`, or a `Console`."""

    def phase(self, name: str, total: int, unit: str) -> AbstractContextManager[Progress]:
        """See `Run.phase`."""

    def check_abort(self) -> None:
        """See `Run.check_abort`."""

    def warn(self, what: str, unit: str = "") -> None:
        """See `Run.warn`."""


class Console:
    """Watches for a command-line tool: warnings go to standard error, nothing else is said."""

    def __init__(self, tool: str) -> None:
        self._tool = tool

    @contextmanager
    def phase(self, name: str, total: int, unit: str) -> Iterator[Progress]:
        """Begin a part of the work."""
        del name, total, unit
        yield _Silent()

    def check_abort(self) -> None:
        """Tools are stopped by signals."""

    def warn(self, what: str, unit: str = "") -> None:
        """Print a warning."""
        sys.stderr.write(f"vitreous {self._tool}: warning: {what}{f' ({unit})' if unit else ''}\n")


class _Silent:
    def advance(self, n: int = 1) -> None:
        """Say nothing."""

    def work(self, flop: float = 0.0, n_bytes: float = 0.0) -> None:
        """Count nothing."""


def ordinary_rows(
    rows: Table, label: str, n_sigma: float, run: Watch
) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
    """Return which rows to keep, and the values that decided.

    Rows whose image cannot be read are named and not kept.

    Parameters
    ----------
    rows
        Particles or micrographs.
    label
        The column with the names of the images.
    n_sigma
        How far from the average an image may be, in standard deviations of all images.
    run
        Hears of progress and of images that cannot be read.
    """
    if label not in rows or rows[label].dtype != object:
        names = ", ".join(name for name in rows.labels if rows[name].dtype == object)
        raise AbsentError(
            f"data_{rows.name}: there is no column {label} with names of images. Columns of text: "
            f"{names}."
        )
    means, sds = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    with run.phase("Measuring images", len(rows), "images") as progress:
        for path, wanted in _by_file(rows[label].tolist(), run).items():
            _measure_file(path, wanted, means, sds, run)
            progress.advance(len(wanted))
    if not np.isfinite(means).any():
        raise InputError(f"None of the {len(rows):,} images can be read; is {label} right?")
    return ordinary(means, sds, n_sigma), {"mean": means, "standard deviation": sds}


def _by_file(names: list[str], run: Watch) -> dict[str, list[tuple[int, int | None]]]:
    by_file: dict[str, list[tuple[int, int | None]]] = {}
    for row, name in enumerate(names):
        try:
            ref = parse_ref(name)
        except InputError as error:
            run.warn(f"Rows whose image cannot be read are left out: {error}", f"row {row + 1}")
            continue
        by_file.setdefault(ref.path, []).append((row, ref.index0))
    return by_file


def _measure_file(
    path: str,
    wanted: list[tuple[int, int | None]],
    means: NDArray[np.float64],
    sds: NDArray[np.float64],
    run: Watch,
) -> None:
    """Measure the images of one file, in batches."""
    try:
        with ImageStack(path, permissive=True) as stack:
            places = [(row, stack.only(index)) for row, index in wanted]
            present = [(row, place) for row, place in places if place < len(stack)]
            for row, _ in sorted(set(places) - set(present)):
                run.warn(
                    "Rows whose image is not in its stack are left out.", f"row {row + 1}, {path}"
                )
            size = max(1, _BATCH_BYTES // (4 * stack.shape[1] * stack.shape[2]))
            for first in range(0, len(present), size):
                run.check_abort()
                batch = present[first : first + size]
                numbers = [row for row, _ in batch]
                images = stack.read([place for _, place in batch])
                means[numbers], sds[numbers] = mean_and_sd(images)
                for row in np.array(numbers)[~np.isfinite(means[numbers])].tolist():
                    run.warn(
                        "Images with values that are not numbers are left out.", f"row {row + 1}"
                    )
    except InputError as error:
        run.warn(
            "Rows whose image cannot be read are left out.",
            f"{len(wanted):,} rows: {error}".rstrip("."),
        )
