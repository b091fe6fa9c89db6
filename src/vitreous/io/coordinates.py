"""Where particles were picked: every form that a list of picks comes in.

New form: a STAR file whose table ``coordinate_files`` names a file of picks for each micrograph.
Old form: ``coords_suffix_<name>.star``, a text of one line (the micrographs STAR file), beside
which the picks of ``M/mic.mrc`` lie as ``M/mic_<name>.star``. The picks themselves are STAR,
EMAN ``.box`` or plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from vitreous.errors import FormatError, MissingFileError
from vitreous.io.star import read_star
from vitreous.io.star_table import Table

TABLE: Final = "coordinate_files"
OLD_PREFIX: Final = "coords_suffix"
_MICROGRAPH, _PICKS = "rlnMicrographName", "rlnMicrographCoordinates"
_X, _Y = "rlnCoordinateX", "rlnCoordinateY"
_JOB: Final = re.compile(r"^[^/]+(?:/[^/]+)*?/job\d{3,}/")


def read_coordinates(
    path: Path | str, project: Path | str = ".", micrographs: Sequence[str] | None = None
) -> list[tuple[str, Table]]:
    """Read all picks of a coordinates node.

    Parameters
    ----------
    path
        A STAR file with a table ``coordinate_files``, or ``coords_suffix_<name>.star``.
    project
        The folder that all paths start from.
    micrographs
        Names of the micrographs that are wanted, in order; by default those that the file,
        or the micrographs STAR file that it names, lists.

    Returns
    -------
    list of (str, Table)
        Micrograph and its picks: ``rlnCoordinateX`` and ``rlnCoordinateY`` (px of the
        micrograph) and what else the file has. Micrographs without a file of picks are left out.

    Raises
    ------
    MissingFileError
        The file, or the micrographs STAR file that it names, is not there.
    FormatError
        It is neither form, or a file of picks cannot be read.
    """
    root = Path(project)
    file = root / path
    pairs = pick_files(file, root, micrographs)
    return [(name, read_picks(picks)) for name, picks in pairs if picks.is_file()]


def pick_files(
    file: Path, root: Path, micrographs: Sequence[str] | None = None
) -> list[tuple[str, Path]]:
    """Return each micrograph with the file that would hold its picks, there or not."""
    if not file.is_file():
        raise MissingFileError(f"{file}: there is no such list of coordinates")
    if file.name.startswith(OLD_PREFIX) and TABLE.encode() not in file.read_bytes():
        names = _listed_micrographs(file, root) if micrographs is None else micrographs
        suffix = file.name.removeprefix(OLD_PREFIX)
        return [(name, _old_place(file.parent, name, suffix)) for name in names]
    star = read_star(file)
    if TABLE not in star:
        raise FormatError(
            f"{file}: has no table {TABLE}. Wanted: a list of coordinates as picking jobs write"
            f" it, or a file called {OLD_PREFIX}_NAME.star."
        )
    table = star[TABLE]
    places = {
        str(name): root / str(place)
        for name, place in zip(table[_MICROGRAPH], table[_PICKS], strict=True)
    }
    if micrographs is None:
        return list(places.items())
    return [(name, places[name]) for name in micrographs if name in places]


def place_of_picks(folder: str, micrograph: str, name: str) -> str:
    """Return where a job keeps the picks of a micrograph, as RELION does.

    Parameters
    ----------
    folder
        Job folder with its slash.
    micrograph
        Name of the micrograph; the job folder that it begins with is left out.
    name
        Name of the picks, such as ``autopick``.

    Examples
    --------
    >>> place_of_picks("External/job006/", "MotionCorr/job002/Movies/mic001.mrc", "topaz")
    'External/job006/Movies/mic001_topaz.star'
    """
    return f"{folder}{below_job(micrograph)}_{name}.star"


def read_picks(path: Path) -> Table:
    """Read the picks of one micrograph.

    Parameters
    ----------
    path
        STAR; EMAN's ``.box`` (corner and size of each box); or text with x and y on each line.

    Returns
    -------
    Table
        ``rlnCoordinateX``, ``rlnCoordinateY`` (px, 0-based, from the first row) and what else
        a STAR file has.
    """
    if path.suffix == ".star":
        return _star_picks(path)
    is_box = path.suffix == ".box"
    rows = np.array(list(_numbers(path, 4 if is_box else 2)), dtype=np.float64)
    x, y = (rows[:, 0], rows[:, 1]) if len(rows) else (np.zeros(0), np.zeros(0))
    if is_box and len(rows):  # the box's centre pixel, as RELION takes it
        x, y = np.trunc(x) + rows[:, 2] // 2, np.trunc(y) + rows[:, 3] // 2
    return Table.from_columns("", {_X: x, _Y: y})


def _star_picks(path: Path) -> Table:
    star = read_star(path)
    if not any(one.labels for one in star.values()):  # nothing was picked
        return Table.from_columns("", {_X: np.zeros(0), _Y: np.zeros(0)})
    table = next((one for one in star.values() if _X in one and _Y in one), None)
    if table is None:
        raise FormatError(
            f"{path}: no table has {_X} and {_Y}; found {', '.join(star.first.labels) or 'none'}"
        )
    return table


def _numbers(path: Path, count: int) -> Iterator[list[float]]:
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith(("#", ";")):
            continue
        try:
            values = [float(word) for word in words[:count]]
        except ValueError:
            values = []
        if len(values) < count and number == 1:  # names of the columns
            continue
        if len(values) < count:
            wanted = "x y width height" if count == 4 else "x y"
            raise FormatError(f"{path}, line {number}: found {line.strip()!r}, wanted {wanted}")
        yield values


def _listed_micrographs(file: Path, root: Path) -> list[str]:
    """Return the micrographs of the STAR file, or of the pattern, that the one line names."""
    lines = [line.strip() for line in file.read_text(errors="replace").splitlines()]
    first = next((line for line in lines if line), "")
    if "*" in first or "?" in first:
        return sorted(str(path.relative_to(root)) for path in root.glob(first))
    listed = root / first
    if not first or not listed.is_file():
        raise MissingFileError(
            f"{file}: its first line must name the micrographs STAR file; found {first!r}, which"
            " is no file"
        )
    star = read_star(listed)
    table = next((one for one in star.values() if _MICROGRAPH in one), None)
    if table is None:
        raise FormatError(f"{listed}, named in {file}: no table has {_MICROGRAPH}")
    return [str(name) for name in table[_MICROGRAPH]]


def _old_place(folder: Path, micrograph: str, suffix: str) -> Path:
    stem = folder / below_job(micrograph)
    place = stem.with_name(stem.name + suffix)
    other = place.with_suffix(".box")
    return other if not place.exists() and other.exists() else place


def below_job(micrograph: str) -> str:
    """Return a micrograph's path below the job that made it, without its ending.

    Examples
    --------
    >>> below_job("MotionCorr/job002/Movies/mic001.mrc")
    'Movies/mic001'
    """
    below = _JOB.sub("", micrograph, count=1)
    head, slash, name = below.rpartition("/")
    return f"{head}{slash}{name.rpartition('.')[0] or name}"
