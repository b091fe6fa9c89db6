"""The 1024 bytes that open an MRC file: what RELION reads there and what it writes.

Layout: MRC2014 (Cheng et al., J. Struct. Biol. 192, 146, 2015). Byte order is told by the numbers
themselves (a mode or width above 65535 means that they are swapped); starts, origin, axis order and
space group are not used, as in RELION.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from vitreous._version import __version__
from vitreous.errors import FormatError

HEADER_BYTES = 1024
_PIXELS_TOGETHER = 2**16  # of an image, that stay in the cache
FOUR_BIT = 101
MODES: dict[int, str] = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", FOUR_BIT: "u1"}
MODE_NAMES = {
    0: "8-bit signed",
    1: "16-bit signed",
    2: "float32",
    3: "complex 16-bit",
    4: "complex float32",
    6: "16-bit unsigned",
    12: "float16",
    FOUR_BIT: "4-bit unsigned",
}
ByteOrder = Literal["<", ">"]

_HEADER = [
    ("nx", "i4"), ("ny", "i4"), ("nz", "i4"), ("mode", "i4"), ("start", "i4", 3),
    ("m", "i4", 3), ("cella", "f4", 3), ("cellb", "f4", 3), ("map_axes", "i4", 3),
    ("min", "f4"), ("max", "f4"), ("mean", "f4"), ("ispg", "i4"), ("nsymbt", "i4"),
    ("extra1", "V8"), ("exttyp", "S4"), ("nversion", "i4"), ("extra2", "V84"),
    ("origin", "f4", 3), ("map", "S4"), ("stamp", "V4"), ("rms", "f4"), ("n_labels", "i4"),
    ("labels", "S80", 10),
]  # fmt: skip
_DTYPE = {order: np.dtype(_HEADER).newbyteorder(order) for order in ("<", ">")}


class FormatWarning(UserWarning):
    """A file is not as it should be, and was read all the same because `permissive` was asked."""


@dataclass(frozen=True)
class Statistics:
    """Minimum, maximum, mean and standard deviation of the pixels, as an MRC header keeps them."""

    minimum: float = 0.0
    maximum: float = 0.0
    mean: float = 0.0
    rms: float = 0.0


@dataclass(frozen=True)
class MrcHeader:
    """What the header of an MRC file says.

    Parameters
    ----------
    path
        The file, for messages.
    shape
        ``(nz, ny, nx)``: images (or sections), rows, columns.
    mode
        Number of the pixel type, one of `MODES`.
    byte_order
        ``<`` little-endian or ``>`` big-endian.
    pixel_sizes_A
        Spacing along x, y, z; 0 where the header does not tell.
    offset
        Byte at which the data starts: 1024 plus the extended header.
    extended_type
        Four letters that name the extended header (``FEI1``, ``SERI``), or nothing.
    statistics
        As written in the file; not computed.
    labels
        Up to ten lines of text.
    is_stack
        The name says that z counts images (``.mrcs``), not sections of a volume.
    n_present
        Whole images that the file really holds, never more than ``shape[0]``.
    """

    path: Path
    shape: tuple[int, int, int]
    mode: int
    byte_order: ByteOrder
    pixel_sizes_A: tuple[float, float, float]
    offset: int
    extended_type: str
    statistics: Statistics
    labels: tuple[str, ...]
    is_stack: bool
    n_present: int

    @property
    def pixel_size_A(self) -> float:
        """Spacing along x in ångström, 0 where unknown."""
        return self.pixel_sizes_A[0]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the stored numbers; for mode 101 a byte that holds two pixels."""
        return np.dtype(self.byte_order + MODES[self.mode])

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return _image_bytes(self.shape, self.mode)


def parse_header(
    raw: bytes, path: Path | str, file_bytes: int, *, is_stack: bool = False
) -> MrcHeader:
    """Read a header from its 1024 bytes.

    Parameters
    ----------
    raw
        The first 1024 bytes of the file.
    path
        Named in messages.
    file_bytes
        Size of the whole (unpacked) file, from which the images present are counted.
    is_stack
        Whether z counts images.

    Raises
    ------
    FormatError
        The bytes are no MRC header, or one that cannot be read: each message says what was found.
    """
    path = Path(path)
    if len(raw) < HEADER_BYTES:
        raise FormatError(
            f"{path}: {len(raw)} bytes, but an MRC file starts with a header of {HEADER_BYTES}. "
            "It is cut off or not an MRC file."
        )
    order = _byte_order(raw)
    fields = np.frombuffer(raw, _DTYPE[order], count=1)[0]
    shape = (int(fields["nz"]), int(fields["ny"]), int(fields["nx"]))
    mode, nsymbt = int(fields["mode"]), int(fields["nsymbt"])
    _check(path, shape, mode, nsymbt, file_bytes)
    data_bytes = max(0, file_bytes - HEADER_BYTES - nsymbt)
    return MrcHeader(
        path=path,
        shape=shape,
        mode=mode,
        byte_order=order,
        pixel_sizes_A=_pixel_sizes(fields["cella"], fields["m"]),
        offset=HEADER_BYTES + nsymbt,
        extended_type=_text(fields["exttyp"]),
        statistics=Statistics(*(float(fields[k]) for k in ("min", "max", "mean", "rms"))),
        labels=tuple(filter(None, (_text(label) for label in fields["labels"]))),
        is_stack=is_stack,
        n_present=min(shape[0], data_bytes // _image_bytes(shape, mode)),
    )


def require_whole(header: MrcHeader, *, permissive: bool = False) -> None:
    """Refuse a file that holds fewer images than its header says; only warn if `permissive`."""
    if header.n_present == header.shape[0]:
        return
    nz, ny, nx = header.shape
    message = (
        f"{header.path}: the header says {nz} images of {nx} x {ny} ({MODE_NAMES[header.mode]}), "
        f"the file ends after {header.n_present}. It is truncated: copy or make it again."
    )
    if not permissive or header.n_present == 0:
        raise FormatError(message)
    warnings.warn(message, FormatWarning, stacklevel=3)


def format_header(
    shape: tuple[int, int, int],
    mode: int,
    pixel_size_A: float,
    statistics: Statistics,
    *,
    is_stack: bool = False,
) -> bytes:
    """Make the 1024 bytes of a header in RELION's form, little-endian.

    Parameters
    ----------
    shape
        ``(nz, ny, nx)``.
    pixel_size_A
        Spacing; 0 for unknown, which is written as a cell of 1 per pixel.
    is_stack
        z counts images: the cell has no length along z.
    """
    fields = np.zeros(1, _DTYPE["<"])
    nz, ny, nx = shape
    spacing = pixel_size_A or 1.0
    fields["nx"], fields["ny"], fields["nz"], fields["mode"] = nx, ny, nz, mode
    fields["m"] = nx, ny, nz
    fields["cella"] = nx * spacing, ny * spacing, 0.0 if is_stack else nz * spacing
    fields["cellb"] = 90.0
    fields["map_axes"] = 1, 2, 3
    fields["min"], fields["max"] = statistics.minimum, statistics.maximum
    fields["mean"], fields["rms"] = statistics.mean, statistics.rms
    fields["nversion"] = 20141
    fields["map"] = b"MAP "
    fields["n_labels"] = 1
    raw = bytearray(fields.tobytes())
    raw[212:216] = b"\x44\x41\x00\x00"
    raw[224:304] = f"vitreous {__version__}".encode().ljust(80)
    return bytes(raw)


class PixelSums:
    """Adds up pixels in float64, image by image, until `statistics` are asked for.

    Values that are not finite are left out, as they would hide all others.
    """

    def __init__(self) -> None:
        self._count = 0
        self._total = 0.0
        self._squares = 0.0
        self._low = math.inf
        self._high = -math.inf

    def add(self, images: npt.NDArray[np.generic]) -> None:
        """Add the pixels of one image, or of several; a few rows at a time, in the cache."""
        for image in images.reshape((-1, *images.shape[-2:])):
            step = max(1, _PIXELS_TOGETHER // max(1, image.shape[-1]))
            for start in range(0, len(image), step):
                self._add_one(image[start : start + step])

    def _add_one(self, image: npt.NDArray[np.generic]) -> None:
        values = image.astype(np.float64).ravel()
        with np.errstate(invalid="ignore"):
            total = float(values.sum())
        if not math.isfinite(total):
            image = values = values[np.isfinite(values)]
            total = float(values.sum())
        elif image.dtype == np.float16:  # which NumPy compares one by one
            image = values
        if values.size == 0:
            return
        self._count += values.size
        self._low = min(self._low, float(image.min()))
        self._high = max(self._high, float(image.max()))
        self._total += total
        np.multiply(values, values, out=values)  # no BLAS product: its threads cost more
        self._squares += float(values.sum())

    def add_known(self, n_pixels: int, statistics: Statistics) -> None:
        """Add pixels of which only the statistics are known."""
        if n_pixels:
            self._count += n_pixels
            self._total += n_pixels * statistics.mean
            self._squares += n_pixels * (statistics.rms**2 + statistics.mean**2)
            self._low = min(self._low, statistics.minimum)
            self._high = max(self._high, statistics.maximum)

    def statistics(self) -> Statistics:
        """Return minimum, maximum, mean and standard deviation; zeros where nothing was added."""
        if self._count == 0:
            return Statistics()
        mean = self._total / self._count
        variance = max(0.0, self._squares / self._count - mean * mean)
        return Statistics(self._low, self._high, mean, math.sqrt(variance))


def _byte_order(raw: bytes) -> ByteOrder:
    """Swap where the width or the mode is absurd in little-endian (formats.md section 5)."""
    nx, _, _, mode = (int(value) for value in np.frombuffer(raw, "<i4", count=4))
    return ">" if abs(nx) > 65535 or abs(mode) > 65535 else "<"


def _check(
    path: Path, shape: tuple[int, int, int], mode: int, nsymbt: int, file_bytes: int
) -> None:
    nz, ny, nx = shape
    if mode in (3, 4):
        raise FormatError(
            f"{path}: MRC mode {mode} ({MODE_NAMES[mode]}) holds a transform, not an image. "
            "Convert it to real space."
        )
    if min(shape) < 1:
        raise FormatError(
            f"{path}: the header says {nx} x {ny} x {nz} pixels, all three must be positive. "
            "It is empty, damaged or not an MRC file."
        )
    if mode not in MODES:
        known = ", ".join(f"{k} ({MODE_NAMES[k]})" for k in MODES)
        raise FormatError(f"{path}: MRC mode {mode} is unknown; wanted one of {known}.")
    if mode == FOUR_BIT and (nx * ny) % 2:
        raise FormatError(
            f"{path}: 4-bit images of {nx} x {ny} pixels; two pixels share a byte, "
            "so their number must be even."
        )
    if not 0 <= nsymbt <= max(0, file_bytes - HEADER_BYTES):
        raise FormatError(
            f"{path}: the header says that an extended header of {nsymbt} bytes follows, "
            f"but the file has {file_bytes} bytes in all. It is damaged or truncated."
        )


def _image_bytes(shape: tuple[int, int, int], mode: int) -> int:
    n_pixels = shape[1] * shape[2]
    return n_pixels // 2 if mode == FOUR_BIT else n_pixels * np.dtype(MODES[mode]).itemsize


def _pixel_sizes(
    cell: npt.NDArray[np.float32], counts: npt.NDArray[np.int32]
) -> tuple[float, float, float]:
    """Return cell over intervals where both are positive and finite, else 0.

    Seven digits are what float32 holds: 3.54 comes back as 3.54.
    """
    x, y, z = (
        float(f"{length / count:.7g}") if count > 0 and 0 < length < math.inf else 0.0
        for length, count in zip(cell, counts, strict=True)
    )
    return x, y, z


def _text(raw: bytes) -> str:
    return raw.decode("ascii", errors="replace").strip("\0 ")
