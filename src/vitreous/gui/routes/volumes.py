"""Volumes: for a viewer that draws them itself, and pictures for one that cannot."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from vitreous.errors import InputError
from vitreous.gui.context import Here
from vitreous.gui.models.display import IterationMap, Scene, VolumeMeta
from vitreous.gui.routes.images import Looks, Version
from vitreous.gui.routes.nodes import PathText

router = APIRouter(prefix="/api/volumes", tags=["volumes"])
SurfaceColour = Literal["map", "half1", "half2", "mask", "other"]
_LAYERS = 4
Angle = Annotated[float, Query(ge=-3600, le=3600)]


@router.get("/meta")
async def get_volume_meta(server: Here, path: PathText) -> VolumeMeta:
    """Return shape, values and a likely threshold of a volume."""
    server.files.path(path)
    found, _ = await server.display.ask("volume_meta", path=path)
    return VolumeMeta(**found)


@router.get("/scene")
async def get_scene(server: Here, path: PathText) -> Scene:
    """Return what belongs to a map: iterations, classes, half-maps, mask, symmetry."""
    server.files.path(path)
    found, _ = await server.display.ask("volume_scene", path=path)
    return Scene(**found)


@router.get("/at")
async def get_at_iteration(
    server: Here, path: PathText, iteration: Annotated[int, Query(ge=0, le=100_000)]
) -> IterationMap:
    """Return the map of the same run and class at another iteration."""
    server.files.path(path)
    found, _ = await server.display.ask("volume_at", path=path, iteration=iteration)
    return IterationMap(**found)


@router.get("/newest")
async def get_newest(server: Here, n: Annotated[int, Query(ge=1, le=100_000_000)]) -> IterationMap:
    """Return the newest map that a job has made while it runs."""
    job = server.project.job(n)
    found, _ = await server.display.ask("volume_newest", folder=job.name)
    return IterationMap(**found)


@router.get("/data", response_class=Response)
async def get_volume_data(
    server: Here,
    path: PathText,
    box: Annotated[int, Query(ge=8, le=512)] = 128,
    form: Literal["uint8", "float16"] = "uint8",
    lowpass_A: Annotated[float, Query(ge=0, le=1e6)] = 0.0,
    version: Version = "",
) -> Response:
    """Return a volume as bytes, z slowest, gzip-packed; Fourier-cropped to a side of `box`.

    The headers X-Box (z, y, x), X-Low and X-High (the values of 0 and 255, or of 0 and 1 where
    `form` is float16) and X-Pixel-Size (Å) tell what the bytes mean.
    """
    server.files.path(path)
    about, data = await server.display.ask(
        "volume_data", path=path, box=box, form=form, lowpass_A=lowpass_A
    )
    keep = version == about["version"]
    headers = {
        "Content-Encoding": "gzip",
        "X-Box": ",".join(map(str, about["shape"])),
        "X-Low": repr(about["low"]),
        "X-High": repr(about["high"]),
        "X-Pixel-Size": repr(about["pixel_size_A"]),
        "X-Form": about["form"],
        "Cache-Control": "private, max-age=31536000, immutable" if keep else "no-store",
    }
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.get("/slice", response_class=Response)
async def get_slice(
    server: Here,
    path: PathText,
    look: Looks,
    axis: Literal["x", "y", "z"] = "z",
    index: Annotated[int, Query(ge=0, le=100_000)] = 0,
    size: Annotated[int, Query(ge=0, le=2048)] = 0,
    version: Version = "",
) -> Response:
    """Return a slice as PNG; contrast is common to all slices."""
    server.files.path(path)
    about, data = await server.display.ask(
        "volume_slice", path=path, axis=axis, index=index, size=size, look=look.as_dict()
    )
    keep = version == about["version"]
    cache = "private, max-age=31536000, immutable" if keep else "no-store"
    return Response(data, media_type="image/png", headers={"Cache-Control": cache})


@router.get("/surface.png", response_class=Response)
async def get_surface(
    server: Here,
    path: PathText,
    threshold: Annotated[float, Query(ge=-1e30, le=1e30)],
    over: Annotated[list[PathText], Query(default_factory=list, max_length=_LAYERS)],
    over_threshold: Annotated[list[float], Query(default_factory=list, max_length=_LAYERS)],
    over_colour: Annotated[list[SurfaceColour], Query(default_factory=list, max_length=_LAYERS)],
    rot: Angle = 0.0,
    tilt: Angle = 0.0,
    psi: Angle = 0.0,
    size: Annotated[int, Query(ge=32, le=1024)] = 384,
    colour_by: Annotated[str, Query(max_length=4000, description="A second map.")] = "",
    low: Annotated[float, Query(ge=-1e30, le=1e30)] = 0.0,
    high: Annotated[float, Query(ge=-1e30, le=1e30)] = 0.0,
    colour: SurfaceColour = "map",
) -> Response:
    """Return a shaded surface as PNG, for a browser without WebGL2.

    Maps that lie `over` it, each with a threshold and a colour, are seen through.
    """
    server.files.path(path)
    if not len(over) == len(over_threshold) == len(over_colour):
        raise InputError("each map in over needs its over_threshold and its over_colour")
    for one in over:
        server.files.path(one)
    if colour_by:
        server.files.path(colour_by)
    _, data = await server.display.ask(
        "surface",
        path=path,
        threshold=threshold,
        rot=rot,
        tilt=tilt,
        psi=psi,
        size=size,
        colour_by=colour_by,
        low=low,
        high=high,
        colour=colour,
        over=[
            {"path": one, "threshold": level, "colour": name}
            for one, level, name in zip(over, over_threshold, over_colour, strict=True)
        ],
    )
    return Response(data, media_type="image/png")
