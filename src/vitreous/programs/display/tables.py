"""What a file is, and the table of images that it holds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import AbsentError, FormatError, InputError, VitreousError
from vitreous.io import Star, Table, format_star, read_header
from vitreous.io.coordinates import OLD_PREFIX
from vitreous.io.coordinates import TABLE as COORDINATES
from vitreous.io.image_refs import is_stack_name
from vitreous.io.labels import Kind, kind_of
from vitreous.programs.display.shelf import Shelf
from vitreous.project.pipeline import job_number, job_of_path

IMAGE_COLUMNS: Final = (
    "rlnImageName",
    "rlnImageOriginalName",
    "rlnReferenceImage",
    "rlnCtfImage",
    "rlnMicrographName",
    "rlnCtfPowerSpectrum",
    "rlnMicrographMovieName",
)
PARTICLES: Final = "particles"  # of each class: a column that we add
RANDOMLY: Final = "RANDOMLY"
_PIXEL_SIZES: Final = (
    "rlnImagePixelSize",
    "rlnMicrographPixelSize",
    "rlnPixelSize",
    "rlnMicrographOriginalPixelSize",
)
_OPTICS: Final = "optics"
_MAPS: Final = ("mrc", "map", "ccp4", "rec", "mrcs", "st")
_TEXTS: Final = ("txt", "out", "err", "log", "json", "jsonl", "note", "script", "sh", "py", "csv")
_ITERATION: Final = re.compile(r"_it(\d{3})_")


@dataclass(frozen=True)
class Shown:
    """The images of a file as a table.

    Parameters
    ----------
    path
        The file, from the project folder.
    kind
        As of `vitreous.gui.models.display.Kind`.
    table
        One row per image; of a stack the column ``rlnImageName`` alone.
    name
        Name of the table in its file.
    pixel_size_A
        Of the images, None where unknown.
    classes_of
        The particles of the classes.
    """

    path: str
    kind: str
    table: Table
    name: str = ""
    pixel_size_A: float | None = None
    classes_of: str | None = None

    @property
    def image_columns(self) -> list[str]:
        """The columns that name images, the one shown by default first."""
        return [label for label in IMAGE_COLUMNS if label in self.table]

    def images(self, column: str | None) -> NDArray[Any]:
        """Return the names of the images of a column."""
        known = self.image_columns
        if column is not None and column not in self.table:
            raise AbsentError(f"{self.path}: has no column {column}; images are in: {known}")
        label = column or (known[0] if known else "")
        if label not in known:
            raise FormatError(f"{self.path}: no column of it names images, so none can be shown.")
        return self.table[label]


def shown(shelf: Shelf, path: str) -> Shown:
    """Return the images that a file shows."""
    suffix = path.rpartition(".")[2].lower()
    if suffix == "star":
        key = ("shown", path, shelf.version(path))
        return shelf.pictures.get(key, lambda: _of_star(shelf, path), lambda _: 1 << 16)
    if suffix in _MAPS:
        return _of_map(shelf, path)
    kind = {"pdf": "pdf", "png": "picture", "jpg": "picture", "jpeg": "picture"}.get(suffix)
    kind = kind or ("text" if suffix in _TEXTS or "." not in path.rpartition("/")[2] else "other")
    kind = "movies" if suffix in ("tif", "tiff", "eer", "ecc") else kind
    columns = {"rlnMicrographMovieName": [path]} if kind == "movies" else {}
    shelf.path(path)
    return Shown(path, kind, Table.from_columns("", columns) if columns else Table())


def describe(shelf: Shelf, path: str) -> dict[str, Any]:
    """Return what `/api/display` tells, but for the job."""
    found = shown(shelf, path)
    images = found.image_columns
    width, height = _size(shelf, found)
    iteration = _ITERATION.search(path)
    sort = "rlnClassDistribution" if found.kind == "classes" else None
    volume_pixel = None
    n = len(found.table)
    if found.kind == "volume":
        header = read_header(shelf.path(path))
        n, volume_pixel = header.shape[0], header.pixel_size_A or None
        width, height = header.shape[2], header.shape[1]
    n_particles = None
    if PARTICLES in found.table:
        n_particles = int(np.nansum(found.table[PARTICLES].astype(float)))
    elif found.kind == "particles":
        n_particles = n
    return {
        "path": path,
        "kind": found.kind,
        "version": shelf.version(path),
        "n": n,
        "columns": [
            {"label": label, "kind": _column_kind(found.table, label)}
            for label in found.table.labels
        ],
        "image_column": images[0] if images else None,
        "width_px": width,
        "height_px": height,
        "pixel_size_A": found.pixel_size_A or volume_pixel,
        "table": found.name,
        "iteration": int(iteration[1]) if iteration else None,
        "classes_of": found.classes_of,
        "n_particles": n_particles,
        "picks_job": _picks_job(found),
        "default_sort": sort if sort in found.table else None,
        "default_reverse": found.kind == "classes",
        "n_bytes": shelf.path(path).stat().st_size,
    }


def part(
    shelf: Shelf,
    path: str,
    columns: Sequence[str],
    start: int,
    count: int,
    **order: Any,  # noqa: ANN401 - sort, reverse, seed
) -> dict[str, Any]:
    """Return rows of the table, in the order asked for."""
    found = shown(shelf, path)
    rows = ordered(found.table, **order)
    chosen = rows[start : start + count] if count else rows
    unknown = [label for label in columns if label not in found.table]
    if unknown:
        found.table[unknown[0]]  # which names the nearest
    return {
        "path": path,
        "version": shelf.version(path),
        "n": len(found.table),
        "start": start if count else 0,
        "rows": chosen.tolist(),
        "columns": {label: _plain(found.table[label][chosen]) for label in columns},
    }


def chosen(shelf: Shelf, path: str, rows: Sequence[int]) -> tuple[dict[str, Any], bytes]:
    """Return some rows as the bytes of a STAR file, with the optics groups beside them."""
    found = shown(shelf, path)
    n = len(found.table)
    wrong = [row for row in rows if not 0 <= row < n]
    if wrong:
        raise InputError(f"{path}: has {n:,} rows, there is no row {wrong[0]}.")
    kept = found.table.select(np.isin(np.arange(n), np.asarray(rows)))
    columns = {label: kept[label] for label in kept.labels if label != PARTICLES}
    tables = [Table(kept.name, columns)]
    star = shelf.star(path) if path.endswith(".star") else None
    if star is not None and _OPTICS in star:
        tables.insert(0, star[_OPTICS])
    return {}, format_star(tables).encode()


def histogram(shelf: Shelf, path: str, column: str, bins: int) -> dict[str, Any]:
    """Return how a column of numbers is spread."""
    found = shown(shelf, path).table
    values = found[column]
    if _column_kind(found, column) != "number":
        raise InputError(f"{column} holds no numbers, so there is no histogram of it.")
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return {"label": column, "edges": [0.0, 1.0], "counts": [0], "n_missing": len(values)}
    low, high = float(finite.min()), float(finite.max())
    counts, edges = np.histogram(finite, bins, (low, high if high > low else low + 1.0))
    return {
        "label": column,
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "n_missing": int(values.size - finite.size),
    }


def ordered(
    table: Table, sort: str | None = None, reverse: bool = False, seed: int = 0
) -> NDArray[np.int64]:
    """Return the places of all rows in the order of a column; equal ones in that of the file."""
    n = len(table)
    if not sort:
        places = np.arange(n)
    elif sort == RANDOMLY:
        return np.random.default_rng(seed).permutation(n)
    else:
        values = table[sort]
        keys = values.astype(str) if values.dtype == object else values
        places = np.argsort(keys, kind="stable")
        if reverse:
            # Stable from the other end too: equal values stay in the order of the file.
            return n - 1 - np.argsort(keys[::-1], kind="stable")[::-1]
        return places
    return places[::-1].copy() if reverse else places


def row_values(table: Table, row: int) -> dict[str, Any]:
    """Return the values of a row."""
    return {label: _plain(table[label][row : row + 1])[0] for label in table.labels}


def _of_star(shelf: Shelf, path: str) -> Shown:
    base = path.rpartition("/")[2]
    if base.startswith(OLD_PREFIX) and not shelf.path(path).read_bytes().startswith(b"data_"):
        return Shown(path, "coordinates", Table())
    star = shelf.star(path)
    if COORDINATES in star:
        return Shown(path, "coordinates", star[COORDINATES], COORDINATES)
    classes = _classes(shelf, path, star)
    if classes is not None:
        return classes
    tables = [one for one in star.tables if one.name != "optics" and not one.is_list]
    table = next((one for one in tables if any(c in one for c in IMAGE_COLUMNS)), None)
    if table is None:
        fallback = tables[0] if tables else (star.tables[0] if star.tables else Table())
        return Shown(path, "table", fallback, fallback.name)
    kind = _kind(table)
    return Shown(path, kind, table, table.name, _pixel_size(star, table))


def _classes(shelf: Shelf, path: str, star: Star) -> Shown | None:
    """Return the classes of an optimiser or model file, with the particles of each."""
    data: str | None = None
    for table in star.tables:
        if "rlnModelStarFile" in table:
            data = str(table.value("rlnExperimentalDataStarFile", "")) or None
            star = shelf.star(str(table.value("rlnModelStarFile")))
            break
    if "model_classes" not in star:
        return None
    if data is None:
        stem = path.removesuffix(".star").removesuffix("_model")
        data = stem.removesuffix("_half1").removesuffix("_half2") + "_data.star"
    table = star["model_classes"]
    general = star.get("model_general")
    pixel_size = float(general.value("rlnPixelSize", 0.0)) if general is not None else 0.0
    counts = _per_class(shelf, data, len(table))
    if counts is not None:
        table = Table(table.name, {**table.columns, PARTICLES: counts})
    return Shown(path, "classes", table, "model_classes", pixel_size or None, data)


def _per_class(shelf: Shelf, data: str, n_classes: int) -> NDArray[np.int64] | None:
    try:
        star = shelf.star(data)
    except (VitreousError, OSError):
        return None
    for table in star.tables:
        if "rlnClassNumber" in table:
            numbers = table["rlnClassNumber"]
            inside = numbers[(numbers >= 1) & (numbers <= n_classes)]
            return np.bincount(inside, minlength=n_classes + 1)[1:].astype(np.int64)
    return None


def _of_map(shelf: Shelf, path: str) -> Shown:
    header = read_header(shelf.path(path))
    pixel_size = header.pixel_size_A or None
    if not is_stack_name(path) and header.shape[0] > 1:
        return Shown(path, "volume", Table(), "", pixel_size)
    if header.shape[0] == 1:
        names = [path]
    else:
        names = [f"{index:06d}@{path}" for index in range(1, header.n_present + 1)]
    table = Table.from_columns("", {"rlnImageName": names})
    return Shown(path, "images", table, "", pixel_size)


def _kind(table: Table) -> str:
    if "rlnImageName" in table:
        return "particles"
    if "rlnReferenceImage" in table:
        return "classes"
    if "rlnMicrographName" in table:
        return "micrographs"
    return "movies" if "rlnMicrographMovieName" in table else "images"


def _pixel_size(star: Star, table: Table) -> float | None:
    for one in (star.get("optics"), table):
        for label in _PIXEL_SIZES:
            if one is not None and label in one and len(one):
                return float(one[label][0])
    return None


def _size(shelf: Shelf, found: Shown) -> tuple[int | None, int | None]:
    """Return width and height of the first image, as far as its file is there."""
    from vitreous.programs.display.reading import size_of

    if not found.image_columns or not len(found.table):
        return None, None
    try:
        return size_of(shelf, str(found.images(None)[0]))
    except (VitreousError, OSError):
        return None, None


def _picks_job(found: Shown) -> int | None:
    if found.kind != "coordinates":
        return None
    job = job_of_path(found.path)
    return job_number(job) if job else None


def _column_kind(table: Table, label: str) -> str:
    if label in IMAGE_COLUMNS:
        return "image"
    if label == PARTICLES:
        return "number"
    return "number" if kind_of(label) in (Kind.FLOAT, Kind.INT, Kind.BOOL) else "text"


def _plain(values: NDArray[Any]) -> list[Any]:
    """Return values as JSON knows them; numbers that are none become None."""
    if values.dtype.kind == "f":
        return [value if math.isfinite(value) else None for value in values.tolist()]
    if values.dtype == object:
        return [value if isinstance(value, str) else np.asarray(value).tolist() for value in values]
    plain: list[Any] = values.tolist()
    return plain
