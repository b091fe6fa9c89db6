"""Many images out of many stacks: sorted by file and place, neighbours read in one go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vitreous.errors import FormatError
from vitreous.io import mrc
from vitreous.io.image_refs import ImageRef, is_stack_name, parse_ref, split_format
from vitreous.io.mrc_header import MrcHeader, require_whole
from vitreous.io.sources import Source, open_source

_RUN_BYTES = 32 << 20
_RUN_IMAGES = 512
_GAP_BYTES = 16 << 10


@dataclass(frozen=True)
class Image:
    """One image ``(y, x)`` in float32, and its pixel size in ångström (0 where unknown)."""

    data: npt.NDArray[np.float32]
    pixel_size_A: float


@dataclass(frozen=True)
class _Run:
    """Images `start` to `stop` of a file are read together; `wanted` pairs (image, place)."""

    start: int
    stop: int
    wanted: tuple[tuple[int, int], ...]


def read_images(
    refs: Sequence[ImageRef | str], *, permissive: bool = False
) -> npt.NDArray[np.float32]:
    """Read images of one size, from any number of MRC files, in the order asked.

    Reads go file by file in the order of the disk, neighbours together; the kernel is told
    beforehand what will be wanted. The same image may be asked for several times.

    Parameters
    ----------
    refs
        Names such as ``000012@stack.mrcs``, or parsed references. A name without ``N@`` means
        the only image of its file.
    permissive
        Read from stacks that are shorter than their header says, as long as the images wanted
        are there, and let values pass that are not finite.

    Returns
    -------
    ndarray
        ``(n, y, x)``, float32; ``(0, 0, 0)`` where nothing was asked.

    Raises
    ------
    MissingFileError, FormatError
        A file is absent or damaged, an image is not in its file, sizes differ, or a value is not
        finite.
    """
    by_file: dict[str, list[tuple[int | None, int]]] = {}
    for place, ref in enumerate(refs):
        parsed = parse_ref(ref) if isinstance(ref, str) else ref
        by_file.setdefault(parsed.path, []).append((parsed.index0, place))
    images: npt.NDArray[np.float32] | None = None
    first_file = ""
    for name in sorted(by_file):
        with ImageStack(name, permissive=permissive) as stack:
            shape = (len(refs), *stack.shape[1:])
            if images is None:
                images, first_file = _touched(shape), name
            elif images.shape != shape:
                raise FormatError(
                    f"{name}: images of {shape[2]} x {shape[1]} pixels, but {first_file} has "
                    f"{images.shape[2]} x {images.shape[1]}. Images read together must agree."
                )
            indices = [stack.only(index) for index, _ in by_file[name]]
            stack.read_into(images, indices, [place for _, place in by_file[name]])
    return np.empty((0, 0, 0), np.float32) if images is None else images


def read_image(
    ref: ImageRef | str | Path,
    *,
    permissive: bool = False,
    memory: npt.NDArray[np.float32] | None = None,
) -> Image:
    """Read one image, such as a micrograph, with its pixel size.

    `memory` of its size takes the pixels and is returned with them; new memory costs more than
    reading does.
    """
    parsed = ref if isinstance(ref, ImageRef) else parse_ref(str(ref))
    with ImageStack(parsed.path, permissive=permissive) as stack:
        index0 = stack.only(parsed.index0)
        if memory is None or memory.shape != stack.shape[1:]:
            return Image(stack.read([index0])[0], stack.header.pixel_size_A)
        stack.read_into(memory[None], [index0], [0])
        return Image(memory, stack.header.pixel_size_A)


class ImageStack:
    """An open MRC file that images are read from by number (from 0).

    Use it in a ``with`` block. Reading is safe from several threads at once.

    Parameters
    ----------
    path
        The file; may end in ``:mrcs``.
    permissive
        As in `read_images`.
    """

    def __init__(self, path: Path | str, *, permissive: bool = False) -> None:
        file, _ = split_format(path)
        self.permissive = permissive
        self._opened = open_source(file)
        self._source: Source = self._opened.__enter__()
        try:
            self.header: MrcHeader = mrc.header_of(self._source, is_stack=is_stack_name(path))
            require_whole(self.header, permissive=permissive)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ImageStack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.header.n_present

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(n, y, x)``."""
        return (self.header.n_present, *self.header.shape[1:])

    @property
    def pixel_size_A(self) -> float:
        """Spacing in ångström, 0 where the header does not tell."""
        return self.header.pixel_size_A

    def close(self) -> None:
        """Close the file."""
        self._opened.__exit__(None, None, None)

    def only(self, index0: int | None) -> int:
        """Return `index0`, or 0 for None where the file has but one image."""
        if index0 is not None:
            return index0
        if self.header.shape[0] != 1:
            raise FormatError(
                f"{self.header.path}: {self.header.shape[0]} images or sections where one image "
                "was wanted. Name one as N@file."
            )
        return 0

    def read(self, indices0: Iterable[int]) -> npt.NDArray[np.float32]:
        """Read images by number, in the order asked: ``(n, y, x)`` in float32."""
        indices = list(indices0)
        images = _touched((len(indices), *self.shape[1:]))
        self.read_into(images, indices, range(len(indices)))
        return images

    def read_into(
        self, target: npt.NDArray[np.float32], indices0: Sequence[int], places: Sequence[int]
    ) -> None:
        """Read image ``indices0[i]`` into ``target[places[i]]``."""
        self._require_present(indices0)
        runs = list(_runs(indices0, places, self.header.image_bytes))
        for run in runs:
            self._source.expect(*self._extent(run))
        for run in runs:
            self._read_run(target, run)
        if not self.permissive and self.header.dtype.kind == "f":
            self._require_finite(target, indices0, places)

    def _read_run(self, target: npt.NDArray[np.float32], run: _Run) -> None:
        count = run.stop - run.start
        is_plain = self.header.dtype == np.dtype("=f4") and target.flags.c_contiguous
        if is_plain and [index for index, _ in run.wanted] == list(range(run.start, run.stop)):
            views = [mrc.bytes_of(target[place]) for _, place in run.wanted]
            offset, n_bytes = self._extent(run)
            mrc.require_read(self._source, self._source.scatter(offset, views), n_bytes)
            return
        section = mrc.read_section(self._source, self.header, run.start, count)
        for index, place in run.wanted:
            target[place] = section[index - run.start]

    def _extent(self, run: _Run) -> tuple[int, int]:
        size = self.header.image_bytes
        return self.header.offset + run.start * size, (run.stop - run.start) * size

    def _require_present(self, indices0: Sequence[int]) -> None:
        wrong = [index for index in indices0 if not 0 <= index < len(self)]
        if wrong:
            raise FormatError(
                f"{self.header.path}: image {wrong[0] + 1} is wanted ({len(wrong)} such), "
                f"but the stack has {len(self)}. "
                "The STAR file belongs to another stack, or the stack is not complete."
            )

    def _require_finite(
        self, target: npt.NDArray[np.float32], indices0: Sequence[int], places: Sequence[int]
    ) -> None:
        if len(places) == len(target) and mrc.is_finite(target):  # all at once, as they mostly are
            return
        for index, place in zip(indices0, places, strict=True):
            mrc.require_finite(target[place], f"{index + 1:06d}@{self.header.path}")


def _touched(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return an uninitialised array whose memory pages exist already.

    Pages that first appear while the kernel copies into them make a read two to four times slower.
    """
    images = np.empty(shape, np.float32)
    images.reshape(-1)[::1024] = 0
    return images


def _runs(indices0: Sequence[int], places: Sequence[int], image_bytes: int) -> Iterator[_Run]:
    """Put wanted images into runs that are read in one go; small gaps are read over."""
    order = sorted(zip(indices0, places, strict=True))
    gap, longest = _GAP_BYTES // image_bytes, min(_RUN_IMAGES, 1 + _RUN_BYTES // image_bytes)
    wanted: list[tuple[int, int]] = []
    for index, place in order:
        if wanted and (index > wanted[-1][0] + 1 + gap or index - wanted[0][0] >= longest):
            yield _Run(wanted[0][0], wanted[-1][0] + 1, tuple(wanted))
            wanted = []
        wanted.append((index, place))
    if wanted:
        yield _Run(wanted[0][0], wanted[-1][0] + 1, tuple(wanted))
