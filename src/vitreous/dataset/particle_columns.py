"""What the rows of a particles file lack, and what that will cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vitreous.dataset.columns import repeated
from vitreous.dataset.findings import Finding, name_a_few
from vitreous.dataset.optics_tables import GROUP, GROUP_NAME, pixel_size_A
from vitreous.errors import FormatError
from vitreous.io import Table, parse_ref

IMAGE = "rlnImageName"
_DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
_LENS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
_RANGES = {
    "rlnVoltage": (50.0, 500.0, "kV"),
    "rlnAmplitudeContrast": (0.0, 0.5, ""),
    "rlnImagePixelSize": (0.2, 20.0, "Å"),
}
_DEFOCUS_RANGE_A = (-1e4, 2e5)
_SHOWN = 3


def column_findings(particles: Table, optics: Table) -> Iterator[Finding]:
    """Yield what is missing or cannot be in the tables of a particles file."""
    yield from _missing(particles, optics)
    yield from _odd_optics(optics)
    yield from _odd_defocus(particles)
    yield from _odd_names(particles)


def _missing(particles: Table, optics: Table) -> Iterator[Finding]:
    lacking = [label for label in _DEFOCUS if label not in particles]
    if lacking:
        yield Finding(
            f"There is no {' and no '.join(lacking)}: the CTF cannot be corrected, and resolution "
            "will end near the first zero of the CTF. Import particles with their CTF, or extract "
            "them from micrographs with a CTF estimate."
        )
    lens = [label for label in _LENS if label not in optics and label not in particles]
    if lens:
        yield Finding(
            f"There is no {' and no '.join(lens)} in data_optics: the CTF will be computed with "
            "default values and be wrong. Add the columns."
        )
    sizes = ("rlnImagePixelSize", "rlnImageSize")
    unsized = [label for label in sizes if label not in optics]
    if unsized:
        yield Finding(
            f"There is no {' and no '.join(unsized)} in data_optics: refinement needs them. Add "
            "the columns."
        )
    if "rlnMicrographName" not in particles:
        yield Finding(
            "There is no rlnMicrographName: all particles share one intensity scale, and polishing,"
            " per-micrograph CTF refinement and re-extraction are not possible."
        )
    if not {"rlnCoordinateX", "rlnCoordinateY"} <= set(particles.labels):
        yield Finding(
            "There are no rlnCoordinateX and rlnCoordinateY: particles cannot be extracted again, "
            "polished or freed of duplicates."
        )


def _odd_optics(optics: Table) -> Iterator[Finding]:
    for row in optics.rows():
        unit = f"optics group {row.get(GROUP_NAME, row[GROUP])}"
        for label, (low, high, symbol) in _RANGES.items():
            value = row.get(label)
            if isinstance(value, float) and not low <= value <= high:
                yield Finding(
                    f"{label} is {value:g} {symbol}; {low:g} to {high:g} was expected. The CTF and "
                    "every resolution will be wrong.".replace(" ;", ";"),
                    unit,
                )
        box = row.get("rlnImageSize")
        if isinstance(box, int) and box % 2:
            yield Finding(
                f"The box of {box} pixels is odd; refinement needs an even one. Extract the "
                "particles again.",
                unit,
            )
        if pixel_size_A(row) is None:
            yield Finding("No pixel size is known; refinement cannot start without one.", unit)


def _odd_defocus(particles: Table) -> Iterator[Finding]:
    for label in _DEFOCUS[:2]:
        if label not in particles:
            continue
        values = particles[label]
        low, high = _DEFOCUS_RANGE_A
        bad = np.flatnonzero(~np.isfinite(values) | (values < low) | (values > high))
        if bad.size:
            yield Finding(
                f"{bad.size:,} rows have a {label} that is no number or outside {low / 1e4:g} to "
                f"{high / 1e4:g} µm; their CTF will be wrong. Remove them with a Select job.",
                _rows(bad),
            )
        elif len(values) and not values.any():
            yield Finding(f"{label} is 0 in all rows: there is no CTF estimate in this file.")


def _odd_names(particles: Table) -> Iterator[Finding]:
    names = particles[IMAGE]
    bad = np.array([row for row, name in enumerate(names.tolist()) if not _is_ref(name)], np.int64)
    if bad.size:
        yield Finding(
            f"{bad.size:,} rows do not name an image as N@stack.mrcs; every job will stop at them.",
            _rows(bad),
        )
    twice = repeated(names)
    if twice:
        yield Finding(
            f"{len(twice):,} images are listed more than once: they count double, and half-sets "
            "that share images overestimate the resolution.",
            name_a_few(twice),
        )


def _is_ref(name: str) -> bool:
    try:
        parse_ref(name)
    except FormatError:
        return False
    return True


def _rows(rows: Sequence[int] | np.ndarray) -> str:
    return "rows " + name_a_few([int(row) + 1 for row in rows], _SHOWN)
