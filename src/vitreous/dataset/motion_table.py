"""The list of movies that motion correction starts from, and that of micrographs that it leaves.

A row that cannot be used keeps its place with the reason, so that the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vitreous.dataset.optics_tables import GROUP, OPTICS
from vitreous.errors import FormatError
from vitreous.io import Star, Table, read_star

_MOVIE = "rlnMicrographMovieName"
_PRE_EXPOSURE = "rlnMicrographPreExposure"


@dataclass(frozen=True)
class MovieRow:
    """One movie of the list.

    Parameters
    ----------
    number
        Its row, from 0.
    name
        The file.
    pixel_size_A, voltage_kV
        Of its optics group.
    pre_exposure_e_per_A2
        What its row says, 0 without such a column.
    problem
        Why it cannot be used; empty where it can.
    """

    number: int
    name: str
    pixel_size_A: float
    voltage_kV: float
    pre_exposure_e_per_A2: float
    problem: str = ""


@dataclass(frozen=True)
class MovieList:
    """A list of movies as it was read."""

    optics: Table
    movies: Table
    rows: tuple[MovieRow, ...] = field(repr=False)


@dataclass(frozen=True)
class Corrected:
    """What became of one movie; files are named from the project folder.

    Parameters
    ----------
    number
        Row of the movie, from 0.
    micrograph, metadata
        The sum and the STAR file of the motion.
    unweighted, spectrum, even, odd
        Further files; empty where they were not wanted.
    early_px, late_px
        How far the frames as a whole went, in pixels of the movie as recorded.
    pixel_size_A
        Of the movie as recorded.
    n_frames
        In the file of the movie, used or not; 0 where that is not known.
    """

    number: int
    micrograph: str
    metadata: str
    early_px: float
    late_px: float
    pixel_size_A: float
    n_frames: int = 0
    unweighted: str = ""
    spectrum: str = ""
    even: str = ""
    odd: str = ""

    @property
    def total_A(self) -> float:
        """How far the frames went in all, in ångström."""
        return (self.early_px + self.late_px) * self.pixel_size_A

    @property
    def early_A(self) -> float:
        """How far the frames went at first, in ångström."""
        return self.early_px * self.pixel_size_A


def read_movies(path: Path | str) -> MovieList:
    """Read a list of movies of an Import job.

    Raises
    ------
    FormatError
        There are no optics groups or no movies in it.
    """
    star = read_star(path, upgrade=True)
    movies = next((t for t in star.tables if _MOVIE in t and not t.is_list), None)
    if movies is None or not len(movies):
        raise FormatError(
            f"{path}: no row with {_MOVIE}; wanted the movies.star of an Import job of movies."
        )
    if OPTICS not in star:
        raise FormatError(f"{path}: there is no data_optics; wanted pixel size and voltage.")
    groups = {int(row[GROUP]): row for row in star[OPTICS].rows()}
    rows = tuple(_row(number, row, groups) for number, row in enumerate(movies.rows()))
    return MovieList(star[OPTICS], movies, rows)


def micrograph_list(movies: MovieList, done: Sequence[Corrected], binning: float) -> Star:
    """Return the list of micrographs, with the columns of the movies that are kept."""
    chosen = movies.movies.select([one.number for one in done])
    optional = {
        "rlnMicrographNameNoDW": [one.unweighted for one in done],
        "rlnCtfPowerSpectrum": [one.spectrum for one in done],
        "rlnMicrographNameEven": [one.even for one in done],
        "rlnMicrographNameOdd": [one.odd for one in done],
    }
    columns: dict[str, object] = {k: v for k, v in optional.items() if any(v)}
    columns |= {
        "rlnMicrographName": [one.micrograph for one in done],
        "rlnMicrographMetadata": [one.metadata for one in done],
        GROUP: chosen[GROUP],
        "rlnAccumMotionTotal": [one.early_px + one.late_px for one in done],
        "rlnAccumMotionEarly": [one.early_px for one in done],
        "rlnAccumMotionLate": [one.late_px for one in done],
    }
    if _PRE_EXPOSURE in chosen:
        columns[_PRE_EXPOSURE] = chosen[_PRE_EXPOSURE]
    pixel_A = movies.optics["rlnMicrographOriginalPixelSize"] * binning
    optics = movies.optics.with_columns({"rlnMicrographPixelSize": pixel_A})
    return Star([optics, Table.from_columns("micrographs", columns)])


def _row(number: int, row: dict[str, object], groups: dict[int, dict[str, object]]) -> MovieRow:
    name = str(row[_MOVIE])
    group = groups.get(int(str(row.get(GROUP, -1))))
    problem, pixel_size_A, voltage_kV = "", 0.0, 0.0
    if group is None:
        problem = (
            f"{name}: {GROUP} is {row.get(GROUP, 'missing')}, but data_optics has "
            f"{', '.join(str(one) for one in groups) or 'none'}. Import the movie again."
        )
    else:
        pixel_size_A = float(str(group.get("rlnMicrographOriginalPixelSize", 0.0)))
        voltage_kV = float(str(group.get("rlnVoltage", 0.0)))
        if not pixel_size_A > 0:
            problem = (
                f"{name}: the pixel size of its optics group {row[GROUP]} is {pixel_size_A:g} Å; "
                "wanted more than 0. Import the movie again with its pixel size."
            )
    pre_exposure = float(str(row.get(_PRE_EXPOSURE, 0.0)))
    return MovieRow(number, name, pixel_size_A, voltage_kV, pre_exposure, problem)
