"""Pictures of images: what a file shows, tables, sheets of thumbnails, tiles, single images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from vitreous.errors import InputError
from vitreous.gui.context import Here
from vitreous.gui.models.display import (
    DisplayInfo,
    Histogram,
    ImageMeta,
    Profile,
    Rows,
    TablePart,
    Value,
)
from vitreous.gui.routes.nodes import PathText
from vitreous.project.pipeline import job_number, job_of_path

router = APIRouter(prefix="/api", tags=["images"])
Colour = Literal["grey", "fire", "ice", "fire-n-ice", "rainbow", "difference"]
Label = Annotated[str | None, Query(max_length=200)]
Row = Annotated[int, Query(ge=0, le=1_000_000_000)]
RowList = Annotated[
    str, Query(max_length=8000, pattern=r"^[0-9,-]*$", description="Places: `0-99` or `4,8,15`.")
]
Along = Annotated[float, Query(ge=-1e6, le=1e6)]
_SHEET = 100


@dataclass(frozen=True)
class Look:
    """How grey values become a picture.

    `sigma` n shows the mean and n deviations to both sides; 0 the whole range. Tiles have a
    `percentile` too: so many percent of the pixels are black, and as many white. `black` and
    `white`, where they differ, are the values shown so. Filters are in ångström, 0 for none.
    `denoised` takes what Topaz made of a micrograph, in tiles and along lines.
    """

    sigma: Annotated[float, Query(ge=0, le=100)] = 0.0
    black: Annotated[float, Query(ge=-1e30, le=1e30)] = 0.0
    white: Annotated[float, Query(ge=-1e30, le=1e30)] = 0.0
    lowpass_A: Annotated[float, Query(ge=0, le=1e6)] = 0.0
    highpass_A: Annotated[float, Query(ge=0, le=1e6)] = 0.0
    percentile: Annotated[float, Query(ge=0, lt=50)] = 0.0
    pixel_size_A: Annotated[float, Query(ge=0, le=1e6)] = 0.0
    colour: Colour = "grey"
    oriented: bool = False
    denoised: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the settings as the worker takes them."""
        return dict(self.__dict__)


Looks = Annotated[Look, Depends()]
Version = Annotated[
    str, Query(max_length=100, description="That of /api/display: lets the browser keep it.")
]


@router.get("/display")
async def get_display(server: Here, path: PathText) -> DisplayInfo:
    """Return what a file is and how it can be shown."""
    server.files.path(path)
    found, _ = await server.display.ask("describe", path=path)
    owner = job_of_path(server.project.pipeline.resolve(path))
    return DisplayInfo(**found, job=job_number(owner) if owner else None)


@router.get("/images/table")
async def get_table(
    server: Here,
    path: PathText,
    columns: Annotated[str, Query(max_length=4000, description="Labels, with commas.")] = "",
    sort: Label = None,
    reverse: bool = False,
    seed: Annotated[int, Query(ge=0, le=2**31)] = 0,
    start: Annotated[int, Query(alias="from", ge=0)] = 0,
    count: Annotated[int, Query(ge=0, le=1_000_000)] = 1000,
) -> TablePart:
    """Return columns of a table as arrays, in file order or sorted.

    `sort` is a column of numbers or texts, or RANDOMLY. A `count` of 0 returns the order of all
    rows, and the columns for all of them.
    """
    server.files.path(path)
    found, _ = await server.display.ask(
        "table",
        path=path,
        columns=[label for label in columns.split(",") if label],
        sort=sort,
        reverse=reverse,
        seed=seed,
        start=start,
        count=count,
    )
    return TablePart(**found)


@router.get("/images/histogram")
async def get_histogram(
    server: Here,
    path: PathText,
    column: Annotated[str, Query(max_length=200)],
    bins: Annotated[int, Query(ge=2, le=500)] = 50,
) -> Histogram:
    """Return how a column of numbers is spread."""
    server.files.path(path)
    found, _ = await server.display.ask("histogram", path=path, column=column, bins=bins)
    return Histogram(**found)


@router.get("/images/sprite", response_class=Response)
async def get_sprite(
    server: Here,
    request: Request,
    path: PathText,
    look: Looks,
    column: Label = None,
    rows: RowList = "",
    sort: Label = None,
    reverse: bool = False,
    seed: Annotated[int, Query(ge=0, le=2**31)] = 0,
    start: Annotated[int, Query(alias="from", ge=0)] = 0,
    count: Annotated[int, Query(ge=1, le=_SHEET)] = _SHEET,
    size: Annotated[int, Query(ge=8, le=512)] = 128,
    across: Annotated[int, Query(ge=1, le=_SHEET)] = 10,
    version: Version = "",
) -> Response:
    """Return a sheet of thumbnails, `across` in a line, as JPEG.

    Either of the places in `rows`, or of `count` places from `from` on in the order that `sort`
    gives. Each thumbnail is `size` pixels square; places past the end are left black.
    """
    server.files.path(path)
    about, picture = await server.display.ask(
        "sprite",
        is_gone=request.is_disconnected,
        path=path,
        column=column,
        rows=places(rows) if rows else None,
        sort=sort,
        reverse=reverse,
        seed=seed,
        start=start,
        count=count,
        size=size,
        across=across,
        look=look.as_dict(),
    )
    extra = {"X-Count": str(about["n"]), "X-Size": str(size)}
    return _picture(picture, about, version, extra)


@router.get("/images/one", response_class=Response)
async def get_image(
    server: Here,
    path: PathText,
    look: Looks,
    column: Label = None,
    row: Row = 0,
    size: Annotated[int, Query(ge=0, le=4096)] = 0,
    version: Version = "",
) -> Response:
    """Return one image as PNG, at its own size or with a longer side of `size`."""
    server.files.path(path)
    about, picture = await server.display.ask(
        "one", path=path, column=column, row=row, size=size, look=look.as_dict()
    )
    return _picture(picture, about, version, {})


@router.get("/images/meta")
async def get_image_meta(
    server: Here, path: PathText, column: Label = None, row: Row = 0
) -> ImageMeta:
    """Return the size of an image and of its tiles, and what its row says."""
    server.files.path(path)
    found, _ = await server.display.ask("image_meta", path=path, column=column, row=row)
    return ImageMeta(**found)


@router.get("/images/tile", response_class=Response)
async def get_tile(
    server: Here,
    path: PathText,
    look: Looks,
    level: Annotated[int, Query(ge=0, le=16)],
    x: Annotated[int, Query(ge=0, le=100_000)],
    y: Annotated[int, Query(ge=0, le=100_000)],
    column: Label = None,
    row: Row = 0,
    version: Version = "",
) -> Response:
    """Return a tile of 512 pixels; row 0 of the file is at the top, as coordinates count."""
    server.files.path(path)
    about, picture = await server.display.ask(
        "tile",
        path=path,
        column=column,
        row=row,
        level=level,
        x=x,
        y=y,
        look=look.as_dict(),
    )
    return _picture(picture, about, version, {})


@router.get("/images/fft", response_class=Response)
async def get_fft(
    server: Here,
    path: PathText,
    column: Label = None,
    row: Row = 0,
    what: Literal["amplitude", "phase"] = "amplitude",
    size: Annotated[int, Query(ge=16, le=2048)] = 512,
    version: Version = "",
) -> Response:
    """Return the Fourier transform of an image as PNG, zero frequency in the middle."""
    server.files.path(path)
    about, picture = await server.display.ask(
        "fft", path=path, column=column, row=row, what=what, size=size
    )
    return _picture(picture, about, version, {})


@router.get("/images/profile")
async def get_profile(
    server: Here,
    path: PathText,
    column: Label = None,
    row: Row = 0,
    what: Literal["layer_lines", "radial"] = "layer_lines",
) -> Profile:
    """Return the layer lines of a helix, or the radial average of the power spectrum."""
    server.files.path(path)
    found, _ = await server.display.ask("profile", path=path, column=column, row=row, what=what)
    return Profile(**found)


@router.get("/images/line")
async def get_line(
    server: Here,
    path: PathText,
    look: Looks,
    x0: Along,
    y0: Along,
    x1: Along,
    y1: Along,
    column: Label = None,
    row: Row = 0,
) -> Profile:
    """Return the values along a line between two places, in pixels from the first one."""
    server.files.path(path)
    found, _ = await server.display.ask(
        "line", path=path, column=column, row=row, ends=[x0, y0, x1, y1], look=look.as_dict()
    )
    return Profile(**found)


@router.get("/images/value")
async def get_value(
    server: Here,
    path: PathText,
    x: Annotated[int, Query(ge=0, le=1_000_000)],
    y: Annotated[int, Query(ge=0, le=1_000_000)],
    column: Label = None,
    row: Row = 0,
) -> Value:
    """Return the value of a pixel."""
    server.files.path(path)
    found, _ = await server.display.ask("value", path=path, column=column, row=row, x=x, y=y)
    return Value(**found)


@router.post("/images/average", response_class=Response)
async def get_average(server: Here, rows: Rows) -> Response:
    """Return the mean, or the standard deviation, of some images as PNG; nothing is written."""
    server.files.path(rows.path)
    about, picture = await server.display.ask(
        "average",
        path=rows.path,
        column=rows.column,
        rows=rows.rows,
        what=rows.what,
        size=rows.size,
    )
    return _picture(picture, about, "", {})


@router.post("/images/star", response_class=Response)
async def get_star(server: Here, rows: Rows) -> Response:
    """Return some rows of a table as a STAR file, in the order of the file; nothing is written."""
    server.files.path(rows.path)
    _, text = await server.display.ask("star", path=rows.path, rows=rows.rows)
    headers = {"Cache-Control": "no-store", "Content-Disposition": "attachment"}
    return Response(text, media_type="text/plain; charset=utf-8", headers=headers)


def places(text: str) -> list[int]:
    """Return the places that a text names: ``0-99`` or ``4,8,15``; at most 100."""
    found: list[int] = []
    for word in text.split(","):
        first, dash, last = word.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(first + last) > 20:
            raise InputError(f"rows is {text[:40]!r}, wanted places such as 0-99 or 4,8,15")
        begin, end = int(first), int(last) if dash else int(first)
        if end < begin or end - begin >= _SHEET:
            raise InputError(f"rows names {begin}-{end}; at most {_SHEET} images make a sheet")
        found += range(begin, end + 1)
    if len(found) > _SHEET:
        raise InputError(f"rows names {len(found)} images; at most {_SHEET} make a sheet")
    return found


def _picture(
    data: bytes, about: dict[str, object], version: str, extra: dict[str, str]
) -> Response:
    """Return a picture, which the browser may keep for ever where it named the right version."""
    known = bool(version) and version == about["version"]
    keep = "private, max-age=31536000, immutable" if known else "no-store"
    kind = str(about["media"])
    return Response(data, media_type=kind, headers={"Cache-Control": keep, **extra})
