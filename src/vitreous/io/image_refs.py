"""Names of images: ``000012@stack.mrcs`` and ``x.ctf:mrc`` (formats.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitreous.errors import FormatError

PACKINGS = ("bz2", "xz", "zst")
_FORMATS = {
    "mrc", "mrcs", "map", "ccp4", "st", "rec",
    "tif", "tiff", "gain",
    "eer", "ecc",
    "png", "jpg", "jpeg",
    "spi", "vol", "img", "hed",
}  # fmt: skip
_STACKS = {"mrcs", "st"}


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image of a file.

    Parameters
    ----------
    path
        The file as written, without ``N@``; a ``:format`` at its end is kept.
    index0
        Number of the image, from 0; None means the file as a whole.
    """

    path: str
    index0: int | None = None

    def __str__(self) -> str:
        """Return the name as it stands in a STAR file."""
        return format_ref(self)


def parse_ref(text: str) -> ImageRef:
    """Take ``12@a/b.mrcs`` or ``a/b.mrc`` apart.

    Raises
    ------
    FormatError
        What stands before ``@`` is 0, or nothing stands after it.
    """
    number, at, path = text.partition("@")
    if not at or not number.isdigit():
        if not text:
            raise FormatError("The name of an image is empty; wanted N@stack.mrcs or a file.")
        return ImageRef(text)
    if not path:
        raise FormatError(f"{text!r}: no file after the @; wanted N@stack.mrcs.")
    if int(number) == 0:
        raise FormatError(f"{text}: images are counted from 1, there is no image 0.")
    return ImageRef(path, int(number) - 1)


def format_ref(ref: ImageRef) -> str:
    """Write a reference as RELION does: six digits, from 1."""
    return ref.path if ref.index0 is None else f"{ref.index0 + 1:06d}@{ref.path}"


def split_format(name: str | Path) -> tuple[Path, str]:
    """Return the file and its format in small letters, told by ``:format`` or by the extension.

    A packed file (``movie.mrc.xz``) has the format of what is inside it.

    >>> split_format("x.ctf:mrc")
    (PosixPath('x.ctf'), 'mrc')
    """
    text = str(name)
    path, colon, wanted = text.rpartition(":")
    if colon and wanted.lower() in _FORMATS:
        return Path(path), wanted.lower()
    parts = Path(text).name.lower().split(".")
    if len(parts) > 2 and parts[-1] in PACKINGS:
        parts.pop()
    return Path(text), parts[-1] if len(parts) > 1 else ""


def is_stack_name(name: str | Path) -> bool:
    """Whether the name says that z counts images (``.mrcs``)."""
    return split_format(name)[1] in _STACKS
