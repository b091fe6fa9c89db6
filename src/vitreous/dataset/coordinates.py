"""Where particles were picked: lists of coordinate files in both forms, and the files.

New form (RELION 4): a table ``coordinate_files`` pairs micrographs with files. Old form (3.1):
a file ``coords_suffix_NAME.star`` gives only its own suffix, and the picks of micrograph
``M/mic.mrc`` are at ``M/mic_NAME.star`` beside it (formats.md section 3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.io import Star, Table, read_star

LIST = "coordinate_files"
MICROGRAPH, FILE = "rlnMicrographName", "rlnMicrographCoordinates"
OLD_PREFIX = "coords_suffix"
_JOB_FOLDER = re.compile(r"^[A-Za-z0-9]+/job\d{3,}/")


def below_job(path: str) -> str:
    """Return a path without a leading ``JobType/jobNNN/``: where jobs mirror it."""
    return _JOB_FOLDER.sub("", path)


def coordinate_files(
    node: Path | str, micrographs: Sequence[str], root: Path | str = "."
) -> dict[str, str]:
    """Return the coordinate file of each micrograph that has one.

    Parameters
    ----------
    node
        The output of a coordinate job, from the project folder; either form.
    micrographs
        Names of micrographs, as their STAR file has them. With the new form, those that are
        listed; names that differ only by the leading job folder are the same micrograph.
    root
        The project folder.

    Raises
    ------
    FormatError
        It is neither of the two forms.
    """
    path = Path(root) / node
    if path.name.startswith(OLD_PREFIX):
        suffix = path.name.removeprefix(OLD_PREFIX)
        if not path.exists():
            raise MissingFileError(f"{path}: no such list of coordinates.")
        folder = PurePosixPath(node).parent
        candidates = {
            name: str(folder / PurePosixPath(below_job(name)).with_suffix("")) + suffix
            for name in micrographs
        }
        return {name: file for name, file in candidates.items() if (Path(root) / file).is_file()}
    listed = _listed(path)
    below = {below_job(name): file for name, file in listed.items()}
    found = {name: listed.get(name, below.get(below_job(name))) for name in micrographs}
    return {name: file for name, file in found.items() if file and (Path(root) / file).is_file()}


def coordinate_list(pairs: Sequence[tuple[str, str]]) -> Star:
    """Return a list in the new form from pairs of micrograph and coordinate file."""
    return Star([Table.from_rows(LIST, (MICROGRAPH, FILE), pairs)])


def read_coordinates(path: Path | str) -> Table:
    """Read one coordinate file: STAR, EMAN ``.box``, or text with x and y in two columns.

    Returns
    -------
    Table
        ``rlnCoordinateX`` and ``rlnCoordinateY`` in pixels from 0, and whatever else a STAR file
        holds. A box file gives the centres of its boxes.

    Raises
    ------
    FormatError
        It holds no coordinates.
    """
    path = Path(path)
    if path.suffix == ".star":
        star = read_star(path)
        for table in star.tables:
            if "rlnCoordinateX" in table and "rlnCoordinateY" in table:
                return table
        if not star.tables:
            return _table(np.zeros((0, 2)))
        raise FormatError(
            f"{path}: no rlnCoordinateX and rlnCoordinateY; it has "
            f"{', '.join(star.first.labels) or 'no columns'}."
        )
    numbers = _numbers(path)
    if path.suffix == ".box":
        if len(numbers) and numbers.shape[1] < 4:
            raise FormatError(f"{path}: a box has x, y, width and height; found fewer columns.")
        return _table(numbers[:, :2] + numbers[:, 2:4] / 2 if len(numbers) else numbers)
    return _table(numbers)


def _listed(path: Path) -> dict[str, str]:
    star = read_star(path)
    for table in star.tables:
        if MICROGRAPH in table and FILE in table:
            return dict(zip(table[MICROGRAPH].tolist(), table[FILE].tolist(), strict=True))
    raise FormatError(
        f"{path}: neither a list of coordinate files (columns {MICROGRAPH} and {FILE}) nor a file "
        f"named {OLD_PREFIX}_NAME.star."
    )


def _numbers(path: Path) -> NDArray[np.float64]:
    """Read columns of numbers; the first line may be a heading."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise MissingFileError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: this is not a text file ({error}).") from None
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        words = line.replace(",", " ").split()
        try:
            values = [float(word) for word in words[:4]]
        except ValueError:
            if number == 1:
                continue
            raise FormatError(f"{path}, line {number}: {line!r} does not start with x y.") from None
        if values:
            rows.append(values)
    widths = {len(row) for row in rows}
    if rows and min(widths) < 2:
        raise InputError(f"{path}: two columns, x and y, are needed.")
    width = min(widths, default=2)
    return np.array([row[:width] for row in rows]).reshape(-1, width)


def _table(positions: NDArray[np.float64]) -> Table:
    return Table.from_columns(
        "", {"rlnCoordinateX": positions[:, 0], "rlnCoordinateY": positions[:, 1]}
    )
