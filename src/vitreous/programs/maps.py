"""Maps as jobs take them: cubes, half-maps of one refinement, masks; and how they are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.errors import InputError
from vitreous.io import Volume, read_volume

PIXEL_TOLERANCE = 0.01
_SHOWN_PX = 160


def read_cube(project: Path, name: str) -> Volume:
    """Read a map that must be a cube and hold finite values.

    Raises
    ------
    InputError
        It is an image, a stack, or a box of unequal sides.
    """
    volume = read_volume(project / name)
    shape = volume.data.shape
    if len(set(shape)) != 1:
        raise InputError(
            f"{name} has {size_text(shape)} pixels; wanted a map in a cube. "
            "Images and stacks are not maps; `vitreous image --new_box` brings a map into a cube."
        )
    return volume


def pixel_size_of(volume: Volume, name: str, given_A: float, why: str) -> float:
    """Return the pixel size that was given (above 0), or that of the file.

    Raises
    ------
    InputError
        There is none; `why` tells what needs it.
    """
    if given_A > 0:
        return given_A
    if volume.pixel_size_A <= 0:
        raise InputError(
            f"{name} tells no pixel size, and {why} needs one; give it as “Pixel size”."
        )
    return volume.pixel_size_A


def size_text(shape: tuple[int, ...]) -> str:
    """Return sizes as people write them, x first: ``64 x 64 x 32``."""
    return " x ".join(str(side) for side in reversed(shape))


def central_slices(
    volume: Tensor, low: float | None = None, high: float | None = None
) -> list[dict[str, object]]:
    """Return panels of an image plot: the sections through the centre across z, y and x.

    Parameters
    ----------
    volume
        ``z y x``.
    low, high
        Values shown black and white; by default those of the slices.
    """
    centre = volume.shape[0] // 2
    panels = []
    for axis, title in enumerate(("across z", "across y", "across x")):
        shown = small(volume.select(axis, centre))
        panel: dict[str, object] = {"title": title, "image": shown.tolist(), "origin": "bottom"}
        if low is not None and high is not None:
            panel |= {"low": low, "high": high}
        panels.append(panel)
    return panels


def small(image: Tensor) -> np.ndarray:
    """Average an image over blocks until it is small enough for a picture."""
    step = -(-max(image.shape) // _SHOWN_PX)
    if step == 1:
        return np.asarray(image.cpu().numpy(), np.float64)
    pooled = torch.nn.functional.avg_pool2d(image[None, None].float(), step)[0, 0]
    return np.asarray(pooled.cpu().numpy(), np.float64)
