"""Where `vitreous image` reads from and writes to: maps, stacks, movies, STAR files, pictures."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vitreous.errors import InputError
from vitreous.io import (
    ImageRef,
    ImageStack,
    StackWriter,
    Star,
    format_ref,
    open_movie,
    parse_ref,
    read_header,
    read_star,
    read_volume,
    write_mrc,
    write_star,
)
from vitreous.io.image_refs import is_stack_name, split_format
from vitreous.io.pictures import PICTURES, read_picture, write_picture
from vitreous.programs.image_steps import Pictures

BATCH_PIXELS = 1 << 24
LABELS = ("rlnImageName", "rlnMicrographName", "rlnReferenceImage", "rlnMicrographMovieName")


@dataclass(frozen=True)
class Unit:
    """One file that is read and one that is written: a map, an image or a stack.

    Parameters
    ----------
    source
        File to read.
    indices0
        Images of a stack, from 0, in the order wanted; None for all.
    target
        File to write; empty where only reports were asked for.
    """

    source: str
    indices0: tuple[int, ...] | None
    target: str


def units(arguments: argparse.Namespace) -> list[Unit]:
    """List what is to be read and written."""
    if Path(arguments.i).suffix == ".star":
        by_file = _images_of_star(arguments.i)
        suffix = arguments.o or ""
        return [
            Unit(path, indices or None, with_suffix(path, suffix) if suffix else "")
            for path, indices in by_file.items()
        ]
    ref = parse_ref(arguments.i)
    indices = None if ref.index0 is None else (ref.index0,)
    return [Unit(ref.path, indices, arguments.o or "")]


def with_suffix(path: str, suffix: str) -> str:
    """Put a text before the extension: ``a/b.mrcs`` and ``lp`` make ``a/b_lp.mrcs``."""
    file, _ = split_format(path)
    return str(file.with_name(f"{file.stem}_{suffix}{file.suffix}"))


def batches(unit: Unit, angpix: float | None, *, permissive: bool) -> Iterator[Pictures]:
    """Read a unit as one map, or as batches of images that fit into memory."""
    _, kind = split_format(unit.source)
    if kind in PICTURES:
        picture = torch.from_numpy(read_picture(unit.source))[None]
        yield Pictures(picture, angpix or 0.0)
    elif kind in ("tif", "tiff", "eer"):
        yield from _movie_batches(unit, angpix)
    elif is_map(unit):
        volume = read_volume(unit.source, permissive=permissive)
        yield Pictures(torch.from_numpy(volume.data)[None], angpix or volume.pixel_size_A)
    else:
        with ImageStack(unit.source, permissive=permissive) as stack:
            wanted = unit.indices0 or tuple(range(len(stack)))
            for chunk in _chunks(wanted, stack.shape[1] * stack.shape[2]):
                data = torch.from_numpy(stack.read(chunk))
                yield Pictures(data, angpix or stack.pixel_size_A)


def is_map(unit: Unit) -> bool:
    """Whether a unit is a map: several sections in a file that is not called a stack."""
    if unit.indices0 is not None or is_stack_name(unit.source):
        return False
    return read_header(unit.source).shape[0] > 1


class Output:
    """Writes what comes out of a unit; nothing is left where the block raises."""

    def __init__(self, target: str, arguments: argparse.Namespace) -> None:
        self.target = target
        self.n_written = 0
        self.pixel_size_A = 0.0
        self.size_px = 0
        self._arguments = arguments
        self._writer: StackWriter | None = None
        _, self._kind = split_format(target)
        if self._kind not in ("mrc", "mrcs", "map", *PICTURES):
            raise InputError(f"{target}: can write .mrc, .mrcs, .png and .jpg, not this.")

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, None)

    def write(self, pictures: Pictures) -> None:
        """Write a map, or the next images."""
        forced_A = self._arguments.force_header_angpix
        pixel_size_A = pictures.pixel_size_A if forced_A is None else forced_A
        self.pixel_size_A, self.size_px = pixel_size_A, pictures.data.shape[-1]
        data = pictures.data.numpy()
        if self._kind in PICTURES:
            self._write_pictures(data if pictures.ndim == 2 else data[0])
        elif pictures.ndim == 3:
            write_mrc(self.target, data[0], pixel_size_A, mode=self._mode())
        elif self._kind == "mrcs" or len(data) > 1 or self._writer is not None:
            self._write_stack(data, pixel_size_A)
        else:
            write_mrc(self.target, data[0], pixel_size_A, mode=self._mode())
        self.n_written += len(data)

    def _mode(self) -> int:
        return 12 if self._arguments.float16 else 2

    def _write_stack(self, data: npt.NDArray[np.float32], pixel_size_A: float) -> None:
        if self._writer is None:
            shape = (data.shape[1], data.shape[2])
            self._writer = StackWriter(
                self.target, shape, pixel_size_A, float16=self._arguments.float16
            ).__enter__()
        self._writer.write(data)

    def _write_pictures(self, images: npt.NDArray[np.float32]) -> None:
        """Write one picture, or numbered ones; a map is shown section by section."""
        several = len(images) > 1 or self.n_written > 0
        for number, image in enumerate(images, start=self.n_written + 1):
            name = with_suffix(self.target, f"{number:06d}") if several else self.target
            black, white = _contrast(image, self._arguments)
            write_picture(name, image, black=black, white=white)


def write_changed_star(arguments: argparse.Namespace, outputs: dict[str, Output]) -> str:
    """Write the STAR file that names the new images; returns its name.

    Where the box or the pixel size changed, the optics table follows.
    """
    star = read_star(arguments.i)
    label, key = _image_label(star, arguments.i)
    table = star[key]
    counters: dict[str, int] = {}
    names = []
    for text in table[label]:
        ref = parse_ref(str(text))
        output = outputs[ref.path]
        number = counters[ref.path] = counters.get(ref.path, -1) + 1
        names.append(
            output.target if ref.index0 is None else format_ref(ImageRef(output.target, number))
        )
    changed = table.with_columns({label: np.array(names, object)})
    tables = {name: (changed if name == key else other) for name, other in star.items()}
    first = next(iter(outputs.values()))
    if "optics" in tables and "rlnImagePixelSize" in tables["optics"]:
        optics, n = tables["optics"], len(tables["optics"])
        columns = {"rlnImagePixelSize": np.full(n, first.pixel_size_A)}
        if "rlnImageSize" in optics:
            columns["rlnImageSize"] = np.full(n, first.size_px, np.int64)
        tables["optics"] = optics.with_columns(columns)
    name = with_suffix(arguments.i, arguments.o)
    write_star(name, list(tables.values()))
    return name


def _images_of_star(path: str) -> dict[str, tuple[int, ...]]:
    star = read_star(path)
    label, key = _image_label(star, path)
    by_file: dict[str, list[int]] = {}
    for text in star[key][label]:
        ref = parse_ref(str(text))
        indices = by_file.setdefault(ref.path, [])
        if ref.index0 is not None:
            indices.append(ref.index0)
    if not by_file:
        raise InputError(f"{path}: the table {key} has no rows.")
    return {name: tuple(indices) for name, indices in by_file.items()}


def _image_label(star: Star, path: str) -> tuple[str, str]:
    """Return the column that names images, and the key of its table."""
    for label in LABELS:
        for key, table in star.items():
            if label in table and not table.is_list:
                return label, key
    raise InputError(f"{path}: no column of images; wanted one of {', '.join(LABELS)}.")


def _movie_batches(unit: Unit, angpix: float | None) -> Iterator[Pictures]:
    with open_movie(unit.source) as movie:
        wanted = unit.indices0 or tuple(range(movie.n_frames))
        for chunk in _chunks(wanted, movie.shape[0] * movie.shape[1]):
            frames = np.stack([movie.frame(index) for index in chunk]).astype(np.float32)
            yield Pictures(torch.from_numpy(frames), angpix or movie.pixel_size_A)


def _chunks(indices: tuple[int, ...], n_pixels: int) -> Iterator[tuple[int, ...]]:
    step = max(1, BATCH_PIXELS // n_pixels)
    for start in range(0, len(indices), step):
        yield indices[start : start + step]


def _contrast(
    image: npt.NDArray[np.float32], arguments: argparse.Namespace
) -> tuple[float | None, float | None]:
    """Return the values shown black and white: given, or so many sigma from the mean."""
    if arguments.black != arguments.white:
        return arguments.black, arguments.white
    if arguments.sigma_contrast > 0:
        mean, sigma = float(image.mean()), float(image.std())
        return mean - arguments.sigma_contrast * sigma, mean + arguments.sigma_contrast * sigma
    return None, None
