"""Mask creation: a soft solvent mask from a map (postprocessing.md section 3)."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from vitreous.engine import filtering, masking, masking_auto
from vitreous.errors import InputError
from vitreous.io import write_volume
from vitreous.jobs.context import Run
from vitreous.jobs.evaluate import output_nodes
from vitreous.jobs.maskcreate import MaskCreate
from vitreous.programs.extra_flags import Flags
from vitreous.programs.half_maps import share_inside
from vitreous.programs.maps import central_slices, pixel_size_of, read_cube, size_text

T = TypeVar("T")
_COMBINED = ("and", "or", "and_not", "or_not")
_WHOLE = 0.95  # of the mask in one part
_BINS = 200


@dataclass(frozen=True)
class Density:
    """A map that a mask is made of, low-passed if so wanted.

    Parameters
    ----------
    name
        Its file.
    data
        ``z y x``.
    pixel_size_A
        0 where nobody knows and nothing needs it.
    """

    name: str
    data: Tensor
    pixel_size_A: float


def run(options: MaskCreate, run: Run) -> None:
    """Make the mask, tell what is odd about it, and show it."""
    extra = _extra(options)
    with run.phase("Making the mask", 4, "steps") as progress:
        density = _read(options, extra, run)
        progress.advance()
        run.check_abort()
        threshold, inside = _chosen(density, options, extra, run)
        inside = _combined(inside, density, threshold, extra, run)
        progress.advance()
        run.check_abort()
        mask = _soften(inside, options, extra)
        progress.advance()
        (output,) = output_nodes(options, run.folder)
        write_volume(run.project / output.path, mask.numpy(), density.pixel_size_A)
        progress.advance()
    _judge(mask, inside, options, extra, run)
    _show(density, mask, run)


def _extra(options: MaskCreate) -> argparse.Namespace:
    flags = Flags("MaskCreate")
    chosen = flags.add_mutually_exclusive_group()
    for name in _COMBINED:
        chosen.add_argument(f"--{name}", dest=name, metavar="MAP", default="")
    flags.add_argument("--invert", action="store_true")
    found = flags.add_mutually_exclusive_group()
    found.add_argument("--molweight", type=float, metavar="KDA", default=0.0)
    found.add_argument("--auto", action="store_true")
    flags.add_argument("--auto_rate", type=float, metavar="SHARE", default=masking_auto.RATE)
    flags.add_argument("--j", type=int, help=argparse.SUPPRESS)  # RELION's; one thread will do
    extra = flags.read(options.running.other_arguments)
    if not math.isfinite(extra.molweight) or extra.molweight < 0:
        raise InputError(
            f"Additional arguments: --molweight is {extra.molweight:g}; wanted the weight of the "
            "whole particle in kDa, above 0."
        )
    if not 0 < extra.auto_rate < 1:
        raise InputError(
            f"Additional arguments: --auto_rate is {extra.auto_rate:g}; wanted the share of noise "
            "that the particle may hold, between 0 and 1."
        )
    return extra


def _read(options: MaskCreate, extra: argparse.Namespace, run: Run) -> Density:
    volume = read_cube(run.project, options.map)
    data = torch.from_numpy(volume.data)
    if extra.auto:
        _explained(options.map, lambda: masking_auto.require_solvent(data))
    needs_size = options.low_pass_A > 0 or extra.molweight > 0
    if not needs_size and options.pixel_size_A <= 0 and volume.pixel_size_A <= 0:
        run.warn(
            "The map tells no pixel size, so the mask tells none either. Give it as “Pixel size”.",
            options.map,
        )
        return Density(options.map, data, 0.0)
    why = "the low-pass filter" if options.low_pass_A > 0 else "--molweight"
    pixel_size_A = pixel_size_of(volume, options.map, options.pixel_size_A, why)
    if options.low_pass_A > 0:
        if options.low_pass_A > len(data) * pixel_size_A:
            raise InputError(
                f"“Low-pass filter” is {options.low_pass_A:g} Å, more than the whole box of "
                f"{options.map} ({len(data) * pixel_size_A:g} Å). Check it and the pixel size "
                f"({pixel_size_A:g} Å)."
            )
        data = filtering.low_pass(data, options.low_pass_A, pixel_size_A, 3)
    return Density(options.map, data, pixel_size_A)


def _chosen(
    density: Density, options: MaskCreate, extra: argparse.Namespace, run: Run
) -> tuple[float, Tensor]:
    """Return a threshold and what is inside: by the form, by the weight, or by the noise."""
    if extra.auto:
        return _out_of_noise(density, extra.auto_rate, run)
    threshold = options.threshold
    if extra.molweight:
        threshold = masking.threshold_for_weight(
            density.data, density.pixel_size_A, 1000 * extra.molweight
        )
        run.say(
            f"Threshold {threshold:.4g}: there the largest connected part of the map has the "
            f"volume of {extra.molweight:g} kDa (0.81 Da/Å³). The threshold of the form, "
            f"{options.threshold:g}, is not used."
        )
        run.headline("threshold", threshold, "", "Threshold that was found")
    return threshold, density.data >= threshold


def _explained(name: str, step: Callable[[], T]) -> T:
    """Do a step of the automatic threshold, and name the map where it cannot be done."""
    try:
        return step()
    except InputError as error:
        raise InputError(f"{name}: --auto finds no threshold. {error}") from None


def _out_of_noise(density: Density, rate: float, run: Run) -> tuple[float, Tensor]:
    """Find what stands out of the noise of the solvent (`engine.masking_auto`)."""
    noise = _explained(density.name, lambda: masking_auto.noise_of(density.data))
    found = _explained(density.name, lambda: masking_auto.thresholds(density.data, noise, rate))
    inside = masking_auto.inside(density.data, found)
    left_out = int((density.data >= found.extended).sum() - inside.sum())
    deviations = (found.extended - noise.level) / noise.deviation
    run.say(
        f"Threshold {found.extended:.4g}, {deviations:.1f} deviations above the solvent "
        f"({noise.level:.3g} ± {noise.deviation:.3g}): {100 * rate:g} % of what is above may be "
        f"noise. Parts that do not reach {found.initial:.4g}, and specks, are left out "
        f"({left_out:,} voxels). The threshold of the form is not used."
    )
    run.headline("threshold", found.extended, "", "Threshold that was found")
    run.headline("noise", noise.deviation, "", "Deviation of the solvent")
    _show_noise(density, found, run)
    return found.extended, inside


def _show_noise(density: Density, found: masking_auto.Thresholds, run: Run) -> None:
    counts, edges = np.histogram(density.data.numpy(), _BINS)
    noise = found.noise
    middle = (edges[1:] + edges[:-1]) / 2
    fitted = np.exp(-(((middle - noise.level) / noise.deviation) ** 2) / 2)
    fitted *= counts[np.abs(middle - noise.level).argmin()]
    run.plot(
        "noise",
        "histogram",
        "Densities, noise of the solvent, and threshold",
        {
            "axes": {
                "x": {"label": "Density", "unit": ""},
                "y": {"label": "Voxels", "unit": "", "scale": "log", "low": 0.5},
            },
            "series": [
                {"name": "map", "edges": edges.tolist(), "counts": counts.tolist()},
                {"name": "solvent", "edges": edges.tolist(), "counts": fitted.tolist()},
            ],
            "thresholds": [
                {"axis": "x", "value": found.extended, "label": "threshold"},
                {"axis": "x", "value": found.initial, "label": "reached by each part"},
            ],
        },
    )


def _combined(
    inside: Tensor, density: Density, threshold: float, extra: argparse.Namespace, run: Run
) -> Tensor:
    """Return what is inside before it is extended, combined with a second map if one was given.

    RELION takes the first map from the threshold on, but the second strictly above or below it.
    """
    name = next((name for name in _COMBINED if getattr(extra, name)), "")
    if name:
        file = getattr(extra, name)
        second = read_cube(run.project, file)
        if second.data.shape != tuple(density.data.shape):
            raise InputError(
                f"--{name} {file} has {size_text(second.data.shape)} pixels and {density.name} "
                f"{size_text(tuple(density.data.shape))}; wanted two maps of one size."
            )
        other = torch.from_numpy(second.data)
        chosen = other < threshold if name.endswith("not") else other > threshold
        inside = inside & chosen if name.startswith("and") else inside | chosen
    n_inside = int(inside.sum())
    if n_inside in (0, inside.numel()):
        what = "no voxel" if n_inside == 0 else "every voxel"
        low, high = float(density.data.min()), float(density.data.max())
        raise InputError(
            f"{density.name}: at a threshold of {threshold:g} {what} is inside, so there is no "
            f"mask. The map{' after the filter' if density.pixel_size_A else ''} runs from "
            f"{low:.4g} to {high:.4g}. Choose a threshold where the particle shows without "
            "noise around it, or let --auto or --molweight KDA in the additional arguments find it."
        )
    return inside


def _soften(inside: Tensor, options: MaskCreate, extra: argparse.Namespace) -> Tensor:
    mask = masking.soften(inside, options.extend_px, options.soft_edge_px)
    if float(mask.max()) == 0:
        raise InputError(
            f"Nothing is left of the mask after it was shrunk by {-options.extend_px:g} pixels; "
            "“Extend by” must be larger."
        )
    if options.is_helix:
        mask = masking.central_cylinder(mask, options.central_z_percent / 100, options.soft_edge_px)
    return 1 - mask if extra.invert else mask


def _judge(
    mask: Tensor, inside: Tensor, options: MaskCreate, extra: argparse.Namespace, run: Run
) -> None:
    """Warn of what makes a mask unfit for measuring resolution."""
    if options.soft_edge_px == 0:
        run.warn(
            "The mask has no soft edge. A hard edge correlates the half-maps at all resolutions: "
            "take 6 pixels or more for post-processing."
        )
    covers = float((1 - mask if extra.invert else mask).mean(dtype=torch.float64))
    if not options.is_helix and masking.touches_edge(1 - mask if extra.invert else mask):
        run.warn(
            "The mask reaches the edge of the box, where it is cut. The masked FSC and its "
            "correction are wrong for such a mask: raise the threshold, extend less, or "
            "reconstruct in a larger box."
        )
    if covers > 0.5:
        run.warn(
            f"The mask covers {100 * covers:.0f} % of the box, hardly less than no mask. "
            "Is the threshold too low?"
        )
    n_parts, largest = masking.parts(inside)
    if largest < _WHOLE:
        run.warn(
            f"The density at this threshold falls into {n_parts:,} separate parts; the largest "
            f"holds {100 * largest:.0f} %. Small specks are noise: raise the threshold or "
            "filter more strongly."
        )
    run.headline("volume", 100 * share_inside(mask), "%", "Part of the box inside the mask")
    run.headline("parts", n_parts, "", "Separate parts at the threshold")


def _show(density: Density, mask: Tensor, run: Run) -> None:
    panels = []
    for of_map, of_mask in zip(
        central_slices(density.data), central_slices(mask, 0.0, 1.0), strict=True
    ):
        panels.append(of_map | {"title": f"Map {of_map['title']}"})
        panels.append(of_mask | {"title": f"Mask {of_mask['title']}"})
    run.plot(
        "slices", "image", "Central slices of map and mask", {"colour": "grey", "panels": panels}
    )
