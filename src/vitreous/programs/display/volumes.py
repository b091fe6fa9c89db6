"""Volumes: bytes for a viewer that draws them, slices for one that cannot."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.io import read_volume
from vitreous.programs.display import grey, sheets
from vitreous.programs.display.grey import Look, Spread
from vitreous.programs.display.shelf import Shelf

BOXES: Final = (64, 96, 128, 192, 256, 384, 512)
_AXES: Final = {"z": 0, "y": 1, "x": 2}
_HALF: Final = ("half1", "half2")


@dataclass(frozen=True)
class Map:
    """A volume ``z y x`` and what is known of it."""

    data: NDArray[np.float32]
    pixel_size_A: float
    spread: Spread


def volume(shelf: Shelf, path: str) -> Map:
    """Return a volume, kept while somebody looks at it."""

    def read() -> Map:
        found = read_volume(shelf.path(path), permissive=True)
        data = np.nan_to_num(found.data, nan=0.0, posinf=0.0, neginf=0.0)
        return Map(data, found.pixel_size_A, grey.spread(data))

    key = ("volume", path, shelf.version(path))
    return shelf.pictures.get(key, read, lambda made: made.data.nbytes)


def meta(shelf: Shelf, path: str) -> dict[str, Any]:
    """Return what `/api/volumes/meta` tells."""
    found = volume(shelf, path)
    side = max(found.data.shape)
    low, high = found.spread.minimum, found.spread.maximum
    counts, edges = np.histogram(found.data, 128, (low, high if high > low else low + 1))
    return {
        "path": path,
        "version": shelf.version(path),
        "shape": list(found.data.shape),
        "pixel_size_A": found.pixel_size_A or None,
        "minimum": low,
        "maximum": high,
        "mean": found.spread.mean,
        "deviation": found.spread.deviation,
        "threshold": threshold(found),
        "is_mask": _is_mask(found),
        "boxes": [box for box in BOXES if box < side] + [min(side, BOXES[-1])],
        "histogram": {
            "label": "density",
            "edges": edges.tolist(),
            "counts": counts.tolist(),
            "n_missing": 0,
        },
        "half_map": _other_half(shelf, path),
        "symmetry": _symmetry(shelf, path),
    }


def data(
    shelf: Shelf, path: str, box: int, *, form: str = "uint8", lowpass_A: float = 0.0
) -> tuple[dict[str, Any], bytes]:
    """Return a volume as bytes, Fourier-cropped to a side of `box`, gzip-packed.

    Parameters
    ----------
    shelf, path
        The map.
    box
        Its longer side is at most that many voxels.
    form
        ``uint8``, or ``float16`` from 0 to 1 (little-endian).
    lowpass_A
        Nothing finer than that; 0 for all.
    """
    key = ("bytes", path, shelf.version(path), box, form, lowpass_A)
    return shelf.pictures.get(
        key, lambda: _packed(shelf, path, box, form, lowpass_A), lambda made: len(made[1])
    )


def one_slice(
    shelf: Shelf, path: str, look: Look, *, axis: str, index: int, size: int
) -> tuple[dict[str, Any], bytes]:
    """Return a slice as PNG, in the contrast of the whole volume."""
    found = volume(shelf, path)
    number = _AXES[axis]
    if index >= found.data.shape[number]:
        raise InputError(
            f"{path}: has {found.data.shape[number]} slices along {axis}, not {index}."
        )
    image = np.ascontiguousarray(np.take(found.data, index, number))
    image = sheets.filtered(image, look.pixel_size_A or found.pixel_size_A, look)
    if size:
        image = sheets.resized(image, size)
    black, white = grey.limits(look, found.spread)
    picture, media = grey.encode(grey.to_grey(image, black, white), look.colour, "PNG")
    return {"version": shelf.version(path), "media": media}, picture


def threshold(found: Map) -> float:
    """Return a level at which the molecule is likely to show.

    A mask shows at 0.5. In a map the molecule fills a few hundredths of the box: the level above
    which 1.5 % of it lie, but at least three deviations.
    """
    if _is_mask(found):
        return 0.5
    sample = found.data.ravel()[:: max(1, found.data.size // 1_000_000)]
    level = float(np.percentile(sample, 98.5))
    return max(level, found.spread.mean + 3.0 * found.spread.deviation)


def cropped(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return a volume with a longer side of `side`, cut in Fourier space."""
    import torch

    from vitreous.engine import fourier

    longest = max(values.shape)
    if side >= longest:
        return values
    sizes = tuple(max(2, round(one * side / longest / 2) * 2) for one in values.shape)
    transform = fourier.cropped_forward(torch.from_numpy(values), sizes, 3)
    return fourier.inverse(transform, 3, sizes).numpy()


def _packed(
    shelf: Shelf, path: str, box: int, form: str, lowpass_A: float
) -> tuple[dict[str, Any], bytes]:
    found = volume(shelf, path)
    small = cropped(_low_passed(found, lowpass_A), box)
    low = 0.0 if _is_mask(found) else float(np.percentile(small, 0.05))
    high = float(small.max())
    scale = max(found.data.shape) / max(small.shape)
    about = {
        "version": shelf.version(path),
        "shape": list(small.shape),
        "low": low,
        "high": high,
        "pixel_size_A": found.pixel_size_A * scale,
        "form": form,
    }
    return about, gzip.compress(_as_bytes(small, low, high, form), 1)


def _as_bytes(values: NDArray[np.float32], low: float, high: float, form: str) -> bytes:
    if form == "uint8":
        return grey.to_grey(values, low, high).tobytes()
    width = high - low if high > low else 1.0
    parts = np.clip((values - np.float32(low)) / np.float32(width), 0, 1)
    # Eleven bits tell more than eyes can; below a thousandth nothing is to be seen.
    return bytes((np.round(parts * 4096) / 4096).astype("<f2").tobytes())


def _low_passed(found: Map, lowpass_A: float) -> NDArray[np.float32]:
    if lowpass_A <= 0:
        return found.data
    if not found.pixel_size_A > 0:
        raise InputError(
            "The map tells no pixel size, which a low-pass needs. Set it in the header with "
            "`vitreous image --i MAP --rescale_angpix`, or leave the low-pass out."
        )
    import torch

    from vitreous.engine import filtering

    if lowpass_A <= 2 * found.pixel_size_A:
        return found.data
    whole = torch.from_numpy(found.data)
    done: NDArray[np.float32] = filtering.low_pass(whole, lowpass_A, found.pixel_size_A, 3).numpy()
    return done


def _is_mask(found: Map) -> bool:
    """Tell whether a volume runs from 0 to 1 and is mostly one of the two."""
    if found.spread.minimum < -1e-3 or not 0.99 < found.spread.maximum < 1.01:
        return False
    sample = found.data.ravel()[:: max(1, found.data.size // 200_000)]
    return bool(np.mean((sample < 0.01) | (sample > 0.99)) > 0.6)


def _other_half(shelf: Shelf, path: str) -> str | None:
    for mine, other in (_HALF, _HALF[::-1]):
        if mine in path.rpartition("/")[2]:
            folder, slash, base = path.rpartition("/")
            name = folder + slash + base.replace(mine, other)
            return name if (shelf.root / name).is_file() else None
    return None


def _symmetry(shelf: Shelf, path: str) -> str | None:
    """Return the point group that the job of a map was told."""
    from vitreous.errors import VitreousError
    from vitreous.jobs import job_star
    from vitreous.project.pipeline import job_of_path

    job = job_of_path(path)
    try:
        texts = job_star.read_raw(shelf.root / job).texts if job else {}
    except (VitreousError, OSError):
        return None
    return texts.get("sym_name") or None
