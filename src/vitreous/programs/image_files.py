"""Where `vitreous image` reads from: maps, stacks, movies, STAR files, pictures."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.errors import InputError
from vitreous.io import (
    ImageRef,
    ImageStack,
    Star,
    open_movie,
    parse_ref,
    read_header,
    read_star,
    read_volume,
)
from vitreous.io.image_refs import is_stack_name, split_format
from vitreous.io.pictures import PICTURES, read_picture
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

    def n_images(self) -> int:
        """Return how many images, or sections, are in the file."""
        _, kind = split_format(self.source)
        if kind in PICTURES:
            return 1
        if kind in ("tif", "tiff", "eer"):
            with open_movie(self.source) as movie:
                return movie.n_frames
        return 1 if self.indices0 else read_header(self.source).shape[0]


def units(arguments: argparse.Namespace) -> list[Unit]:
    """List what is to be read and written.

    Of a STAR file, images go to one file where `--o` names one (`is_one_file`), in the order of
    the rows; else `--o` is a part of the names, and each file becomes another.
    """
    if Path(arguments.i).suffix == ".star":
        refs = _images_of_star(arguments.i)
        if not arguments.o or not is_one_file(arguments.o):
            return _one_for_each_file(refs, arguments.o or "")
        runs = itertools.groupby(refs, key=lambda ref: (ref.path, ref.index0 is None))
        return [_run(path, list(run), arguments.o) for (path, _), run in runs]
    ref = parse_ref(arguments.i)
    indices = None if ref.index0 is None else (ref.index0,)
    return [Unit(ref.path, indices, arguments.o or "")]


def is_one_file(target: str) -> bool:
    """Whether `--o`, for the images of a STAR file, names a stack or pictures to write."""
    return split_format(target)[1] in ("mrcs", "mrc", "map", *PICTURES)


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


def in_plane_angles(path: str) -> torch.Tensor:
    """Return rlnAnglePsi of the rows of a STAR file, in radians."""
    if Path(path).suffix != ".star":
        raise InputError(
            f"--avg_ampl2_ali needs rlnAnglePsi: give a STAR file with --i, not {path}."
        )
    star = read_star(path)
    _, key = image_label(star, path)
    if "rlnAnglePsi" not in star[key]:
        raise InputError(f"{path}: no rlnAnglePsi, by which --avg_ampl2_ali turns the images.")
    return torch.from_numpy(np.deg2rad(np.asarray(star[key]["rlnAnglePsi"], np.float64)))


def _images_of_star(path: str) -> list[ImageRef]:
    star = read_star(path)
    label, key = image_label(star, path)
    refs = [parse_ref(str(text)) for text in star[key][label]]
    if not refs:
        raise InputError(f"{path}: the table {key} has no rows.")
    return refs


def _one_for_each_file(refs: list[ImageRef], suffix: str) -> list[Unit]:
    if "/" in suffix:
        raise InputError(
            f"--o {suffix}: for a STAR file this is a text put into the names of its files, which "
            "stay in their folders, or one stack: a name that ends in .mrcs."
        )
    by_file: dict[str, list[ImageRef]] = {}
    for ref in refs:
        by_file.setdefault(ref.path, []).append(ref)
    return [
        _run(path, run, with_suffix(path, suffix) if suffix else "")
        for path, run in by_file.items()
    ]


def _run(path: str, refs: list[ImageRef], target: str) -> Unit:
    indices = tuple(ref.index0 for ref in refs if ref.index0 is not None)
    return Unit(path, indices or None, target)


def image_label(star: Star, path: str) -> tuple[str, str]:
    """Return the column that names images, and the key of its table."""
    for label in LABELS:
        for key, table in star.items():
            if label in table and not table.is_list:
                return label, key
    raise InputError(f"{path}: no column of images; wanted one of {', '.join(LABELS)}.")


def frames(unit: Unit, angpix: float | None) -> Iterator[Pictures]:
    """Read the frames of a movie as images, also where the file could be taken for a map."""
    return _movie_batches(unit, angpix)


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
