"""`vitreous mask`: make, combine and change masks, in the order of the command line.

A mask runs from 0 (outside) to 1 (inside). Union is the larger, intersection the smaller of two
values, so that soft edges stay soft; what needs a border takes the surface at one half.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from vitreous.engine import masking, masking_auto
from vitreous.errors import InputError
from vitreous.io import read_volume, write_volume
from vitreous.programs.maps import PIXEL_TOLERANCE, read_cube, size_text
from vitreous.programs.tool import finite, map_name, positive, report

Step = Callable[[Tensor, float], Tensor]
_HALF = 0.5


def main(argv: Sequence[str]) -> int:
    """Read the command line, do what it says, return the exit code."""
    arguments = parser().parse_args(argv)
    return report("mask", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> list[str]:
    """Make or read a mask, apply the steps in their order, write it, and tell about it."""
    mask, pixel_size_A = _start(arguments)
    for name, value in arguments.steps:
        if name in _WITH_MASK:
            other = _other(value, mask, pixel_size_A)
            mask = _WITH_MASK[name](mask, other)
        else:
            mask = _ALONE[name](mask, value)
    if float(mask.max()) <= 0:
        raise InputError("Nothing is left of the mask after these steps; nothing was written.")
    write_volume(arguments.o, mask.numpy(), pixel_size_A)
    facts = _facts(mask, pixel_size_A)
    if arguments.json:
        return [json.dumps({"written": str(arguments.o)} | facts)]
    return [f"{arguments.o}: " + _sentence(facts)]


def _start(arguments: argparse.Namespace) -> tuple[Tensor, float]:
    """Return the first mask: a file, or a ball."""
    if bool(arguments.i) == bool(arguments.sphere):
        raise InputError("Give either --i, a mask or map to begin with, or --sphere DIAMETER.")
    if arguments.sphere:
        if not arguments.box or not arguments.angpix:
            raise InputError("--sphere also needs --box PIXELS and --angpix, the pixel size in Å.")
        radius_px = arguments.sphere / 2 / arguments.angpix
        inner_px = (arguments.inner or 0.0) / 2 / arguments.angpix
        if not inner_px < radius_px <= arguments.box / 2:
            raise InputError(
                f"A ball of {arguments.sphere:g} Å (inner {arguments.inner or 0:g} Å) does not fit "
                f"a box of {arguments.box * arguments.angpix:g} Å."
            )
        centre = tuple(value / arguments.angpix for value in arguments.centre or (0, 0, 0))
        ball = masking.sphere(
            arguments.box, 3, radius_px, inner_radius_px=inner_px, centre_px=centre
        )
        return ball, arguments.angpix
    volume = read_cube(Path(), arguments.i)
    data = torch.from_numpy(volume.data)
    first = arguments.steps[0][0] if arguments.steps else ""
    low, high = float(data.min()), float(data.max())
    if first != "threshold" and (low < -1e-6 or high > 1 + 1e-6):
        raise InputError(
            f"{arguments.i}: values run from {low:g} to {high:g}, but a mask runs from 0 to 1. To "
            "make one of a map, begin with --threshold LEVEL (or run a MaskCreate job, which also "
            "smooths the map)."
        )
    return data, arguments.angpix or volume.pixel_size_A


def _other(path: str, mask: Tensor, pixel_size_A: float) -> Tensor:
    volume = read_volume(path)
    if volume.data.shape != tuple(mask.shape):
        raise InputError(
            f"{path} has {size_text(volume.data.shape)} pixels and the mask "
            f"{size_text(tuple(mask.shape))}; wanted two masks of one size."
        )
    there_A = volume.pixel_size_A
    known = there_A > 0 and pixel_size_A > 0
    if known and abs(there_A - pixel_size_A) > PIXEL_TOLERANCE * pixel_size_A:
        raise InputError(
            f"{path} has pixels of {there_A:g} Å and the mask of {pixel_size_A:g} Å. Bring one to "
            "the grid of the other (vitreous image --rescale_angpix --new_box)."
        )
    data = torch.from_numpy(volume.data)
    if float(data.min()) < -1e-6 or float(data.max()) > 1 + 1e-6:
        raise InputError(
            f"{path}: values run from {float(data.min()):g} to {float(data.max()):g}, but a mask "
            "runs from 0 to 1."
        )
    return data


def _cut(mask: Tensor, level: float) -> Tensor:
    inside = mask >= level
    if not bool(inside.any()):
        raise InputError(
            f"--threshold {level:g}: nothing reaches it, the highest value is "
            f"{float(mask.max()):g}."
        )
    return inside.to(torch.float32)


def _largest(mask: Tensor, _: float) -> Tensor:
    labels, n_parts = ndimage.label((mask > _HALF).numpy())
    if n_parts < 2:
        return mask
    keep = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    # Soft edges belong to the part that they are nearest to.
    nearest = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    return mask * torch.from_numpy(keep[tuple(np.asarray(nearest))])


def _filled(mask: Tensor, _: float) -> Tensor:
    filled = torch.from_numpy(ndimage.binary_fill_holes((mask > _HALF).numpy()))
    return torch.where(filled, torch.maximum(mask, filled.to(mask.dtype)), mask)


def _soft(mask: Tensor, edge_px: float) -> Tensor:
    return masking.soften(mask > _HALF, 0, edge_px)


def _grown(sign: int) -> Step:
    def step(mask: Tensor, distance_px: float) -> Tensor:
        return masking.soften(mask > _HALF, sign * distance_px)

    return step


_ALONE: dict[str, Step] = {
    "threshold": _cut,
    "dilate": _grown(1),
    "erode": _grown(-1),
    "soften": _soft,
    "invert": lambda mask, _: 1 - mask,
    "largest": _largest,
    "fill": _filled,
}
_WITH_MASK: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "union": torch.maximum,
    "intersect": torch.minimum,
    "subtract": lambda mask, other: torch.minimum(mask, 1 - other),
}
_HELP = {
    "union": ("MASK", "what is in either"),
    "intersect": ("MASK", "what is in both"),
    "subtract": ("MASK", "what is not in the other"),
    "threshold": ("LEVEL", "1 from this value on, else 0"),
    "dilate": ("PX", "grow by so many pixels; the edge becomes hard"),
    "erode": ("PX", "shrink by so many pixels; the edge becomes hard"),
    "soften": ("PX", "soft edge of this width around the surface at 0.5"),
    "invert": ("", "exchange inside and outside"),
    "largest": ("", "keep the largest connected part"),
    "fill": ("", "fill holes inside"),
}


def _facts(mask: Tensor, pixel_size_A: float) -> dict[str, float | int | bool]:
    inside = mask > _HALF
    n_parts, _ = masking.parts(inside)
    between = ((mask > 0.001) & (mask < 0.999)).any()
    return {
        "pixels": mask.shape[0],
        "angpix": pixel_size_A,
        "volume_A3": float(inside.sum()) * pixel_size_A**3,
        "percent": 100 * float(inside.double().mean()),
        "parts": n_parts,
        "is_soft": bool(between),
        "reaches_edge": masking.touches_edge(mask),
    }


def _sentence(facts: dict[str, float | int | bool]) -> str:
    text = f"{facts['percent']:.1f} % of the box"
    if facts["angpix"]:
        weight = facts["volume_A3"] * masking_auto.DALTON_PER_A3 / 1000
        text += f", {facts['volume_A3']:,.0f} Å³ (protein of {weight:,.0f} kDa)"
    text += f", {facts['parts']} part{'s' if facts['parts'] != 1 else ''}"
    text += ", soft edge" if facts["is_soft"] else ", hard edge (--soften 6 makes it soft)"
    if facts["reaches_edge"]:
        text += "; it reaches the edge of the box, where it is cut: unfit for measuring resolution"
    return text


class _Append(argparse.Action):
    """Remember a step in the order of the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        value = values if self.nargs is None else 0.0
        namespace.steps = [*namespace.steps, ((option_string or "").lstrip("-"), value)]


def parser() -> argparse.ArgumentParser:
    """Return the options; the steps come out as ``steps``, a list of (name, value)."""
    result = argparse.ArgumentParser(
        prog="vitreous mask",
        allow_abbrev=False,
        description="Make, combine and change masks. Steps act one after the other, in the order "
        "in which they are written. A MaskCreate job makes a mask of a map.",
    )
    result.set_defaults(steps=[])
    add = result.add_argument
    add("--i", metavar="MASK", help="mask (or map, with --threshold first) to begin with")
    add("--o", required=True, type=map_name, metavar="MRC", help="mask to write")
    add("--angpix", type=positive, metavar="A", help="pixel size, else the header's")
    add("--json", action="store_true", help="print JSON")
    ball = result.add_argument_group("begin with a ball instead").add_argument
    ball("--sphere", type=positive, metavar="A", help="diameter in ångström")
    ball("--inner", type=positive, metavar="A", help="hollow up to this diameter")
    ball("--centre", type=finite, nargs=3, metavar=("X", "Y", "Z"), help="from the middle, in Å")
    ball("--box", type=int, metavar="PX", help="side of the box in pixels")
    steps = result.add_argument_group("steps, applied in order").add_argument
    for name, (metavar, text) in _HELP.items():
        if not metavar:
            steps(f"--{name}", action=_Append, nargs=0, help=text)
        elif name in _WITH_MASK:
            steps(f"--{name}", action=_Append, metavar=metavar, help=text)
        else:
            kind = finite if name == "threshold" else positive
            steps(f"--{name}", action=_Append, type=kind, metavar=metavar, help=text)
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
