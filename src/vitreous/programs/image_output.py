"""What `vitreous image` writes: maps, stacks, pictures, and STAR files that name new images."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vitreous.errors import InputError
from vitreous.io import (
    ImageRef,
    StackWriter,
    Table,
    format_ref,
    parse_ref,
    read_star,
    write_mrc,
    write_star,
)
from vitreous.io.image_refs import split_format
from vitreous.io.pictures import PICTURES, write_picture
from vitreous.programs.image_files import Unit, image_label, is_one_file, with_suffix
from vitreous.programs.image_steps import Pictures

_GROUP = "rlnOpticsGroup"


class Output:
    """Writes what comes out of a unit; nothing is left where the block raises."""

    def __init__(self, target: str, arguments: argparse.Namespace) -> None:
        self.target = target
        self.n_written = 0
        self.names: list[str] = []
        self.grids: list[tuple[float, int]] = []  # pixel size and side of each image
        self._arguments = arguments
        self._writer: StackWriter | None = None
        _, self.kind = split_format(target)
        if self.kind not in ("mrc", "mrcs", "map", *PICTURES):
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
        data = pictures.data.numpy()
        self.grids += [(pixel_size_A, data.shape[-1])] * (len(data) if pictures.ndim == 2 else 1)
        if self.kind in PICTURES:
            self._write_pictures(data if pictures.ndim == 2 else data[0])
            return
        if self.n_written and (self._writer is None or data.shape[1:] != self._writer.shape):
            raise InputError(f"{self.target}: one stack can hold only images of one size.")
        self.names = [self.target]
        if pictures.ndim == 3:
            write_mrc(self.target, data[0], pixel_size_A, mode=self._mode())
        elif self.kind == "mrcs" or len(data) > 1 or self._writer is not None:
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
        if several and self.names == [self.target]:  # the first was not the only one
            self.names = [with_suffix(self.target, f"{1:06d}")]
            os.replace(self.target, self.names[0])
        for number, image in enumerate(images, start=self.n_written + 1):
            name = with_suffix(self.target, f"{number:06d}") if several else self.target
            black, white = _contrast(image, self._arguments)
            write_picture(name, image, black=black, white=white, scheme=self._arguments.colour)
            self.names.append(name)
        self.n_written += len(images)

    def told(self) -> str:
        """Return the names written and how many images they hold."""
        names = self.names[0] if len(self.names) == 1 else f"{self.names[0]} to {self.names[-1]}"
        return f"{names}: {counted(self.n_written)}"


def counted(number: int) -> str:
    """Return ``7 images``."""
    return f"{number:,} image{'s' if number != 1 else ''}"


def check_target(arguments: argparse.Namespace, listed: list[Unit]) -> None:
    """Refuse an output that could not hold what comes, or would destroy what is read."""
    if not arguments.i.endswith(".star") or not arguments.o or not is_one_file(arguments.o):
        return
    if split_format(arguments.o)[1] in PICTURES:
        return
    if split_format(arguments.o)[1] != "mrcs":
        raise InputError(f"--o {arguments.o}: images of a STAR file go to a stack; name it .mrcs.")
    if Path(changed_star_name(arguments)).resolve() == Path(arguments.i).resolve():
        raise InputError(f"--o {arguments.o}: its STAR file would replace the input; name another.")
    whole = [unit.source for unit in listed if unit.n_images() > len(unit.indices0 or (0,))]
    if whole:
        raise InputError(
            f"{whole[0]} is a map or a movie, which cannot be one image of the stack {arguments.o}."
            " Give --o a text that is added to the names of the files, such as --o changed."
        )


def changed_star_name(arguments: argparse.Namespace) -> str:
    """Return the name of the STAR file that names the new images."""
    if is_one_file(arguments.o):
        return str(split_format(arguments.o)[0].with_suffix(".star"))
    return with_suffix(arguments.i, arguments.o)


def write_changed_star(arguments: argparse.Namespace, outputs: list[Output]) -> str:
    """Write the STAR file that names the new images; returns its name.

    Where the box or the pixel size changed, the optics table follows, group by group.
    """
    star = read_star(arguments.i)
    label, key = image_label(star, arguments.i)
    table = star[key]
    together = is_one_file(arguments.o)
    counters: dict[str, int] = {}
    of_target = {output.target: output.grids for output in outputs}
    names, grids = [], []
    for text in table[label]:
        ref = parse_ref(str(text))
        target = arguments.o if together else with_suffix(ref.path, arguments.o)
        number = counters[target] = counters.get(target, -1) + 1
        in_stack = together or ref.index0 is not None
        names.append(format_ref(ImageRef(target, number)) if in_stack else target)
        grids.append(of_target[target][number if in_stack else 0])
    changed = table.with_columns({label: np.array(names, object)})
    tables = {name: (changed if name == key else other) for name, other in star.items()}
    if "optics" in tables and "rlnImagePixelSize" in tables["optics"]:
        tables["optics"] = _followed(tables["optics"], table, grids, arguments.i)
    name = changed_star_name(arguments)
    write_star(name, list(tables.values()))
    return name


def _followed(optics: Table, rows: Table, grids: list[tuple[float, int]], source: str) -> Table:
    """Return the optics table with box and pixel size of what was written of each group.

    Groups without images stay as they are; where no row names its group, all have one grid.
    """
    numbers = optics.get(_GROUP, np.ones(len(optics), np.int64))
    of_rows = rows.get(_GROUP, np.zeros(len(rows), np.int64))
    pixel_A = np.array(optics["rlnImagePixelSize"], np.float64)
    box_px = np.array(optics.get("rlnImageSize", np.zeros(len(optics), np.int64)), np.int64)
    for place, number in enumerate(numbers.tolist()):
        has = of_rows == number if _GROUP in rows else np.ones(len(rows), bool)
        found = {grids[row] for row in np.flatnonzero(has).tolist()}
        if len(found) > 1:
            told = " and ".join(f"{side} pixels of {size:.4g} Å" for size, side in sorted(found))
            raise InputError(
                f"{source}: images of optics group {number} now have boxes of {told}; all images "
                "of a group share one. The images are written, but no STAR file. Give the images "
                "of each box a group of their own, or bring them to one --rescale_angpix and "
                "--new_box."
            )
        for size_A, side in found:
            pixel_A[place] = size_A if size_A > 0 else pixel_A[place]
            box_px[place] = side
    columns: dict[str, object] = {"rlnImagePixelSize": pixel_A}
    if "rlnImageSize" in optics:
        columns["rlnImageSize"] = box_px
    return optics.with_columns(columns)


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
