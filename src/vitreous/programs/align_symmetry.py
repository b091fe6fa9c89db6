"""Turn a map so that its symmetry axes stand where a point group has them.

`vitreous align-symmetry`: the map is centred, its axes are searched in a small box, and the
rotation is applied to the whole map.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.engine import boxing, fourier, geometry, resolution, symmetric_maps, symmetry
from vitreous.errors import FormatError, InputError
from vitreous.io import Table, Volume, read_star, read_volume, write_volume
from vitreous.programs.tool import HelpWithDefaults, finite, map_name, report

FINE_UP_TO = 320
SMALLEST_BOX = 16
WORKING_BOX = 64
DOUBTFUL = 0.9


def main(argv: list[str]) -> int:
    """Read the command line, align, and return the exit code."""
    arguments = _parser().parse_args(argv)
    return report("align-symmetry", lambda: [run(arguments)])


def run(arguments: argparse.Namespace) -> str:
    """Align one map and return what to tell the user."""
    if len(symmetry.operators(arguments.sym)) == 1:
        raise InputError("--sym C1 has no axes: there is nothing to align.")
    if arguments.box_size < SMALLEST_BOX:
        raise InputError(
            f"--box_size is {arguments.box_size}; wanted at least {SMALLEST_BOX} pixels."
        )
    path = _map_path(arguments)
    source = _read(path)
    pixel_size_A = arguments.angpix if arguments.angpix > 0 else source.pixel_size_A
    volume = torch.from_numpy(np.ascontiguousarray(source.data, dtype=np.float32))
    turned = aligned(
        volume,
        arguments.sym,
        pixel_size_A,
        box_px=arguments.box_size,
        maxres_A=arguments.maxres,
        keep_centre=arguments.keep_centre,
        only_rot=arguments.only_rot,
        symmetrise=arguments.apply_sym,
    )
    found, centre, before = turned.found, turned.centre_px, turned.score_before
    write_volume(Path(arguments.o), turned.volume.numpy(), pixel_size_A)
    rot, tilt, psi = geometry.euler_from_matrix(found.rotation[None])[0].tolist()
    told = [
        f"{path}: turned by rot {rot:.3f}, tilt {tilt:.3f}, psi {psi:.3f} degrees after moving "
        f"its centre by {', '.join(f'{-c:.2f}' for c in centre.tolist())} pixels (x, y, z).",
        f"{symmetry.parse(arguments.sym)} explains {100 * found.score:.1f} % of its variance now, "
        f"{100 * before:.1f} % before. It agrees with its symmetry mates to "
        f"{turned.agreement_A:.3g} A (FSC 0.5). Written: {arguments.o}",
    ]
    if found.score < DOUBTFUL:
        told.append(
            "That is little: the map may not have this symmetry, or only at low resolution "
            "(try --maxres 20)."
        )
    return "\n".join(told)


@dataclass(frozen=True)
class Aligned:
    """A map that was turned to its axes.

    Parameters
    ----------
    volume
        The turned map, ``z y x``.
    found
        The rotation, and how well the symmetry explains the map now.
    centre_px
        What was moved to the centre of the box before, x y z.
    score_before
        How well the symmetry explained the map before.
    agreement_A
        Resolution to which the map and its symmetry mates agree: where their FSC falls below 0.5.
    """

    volume: Tensor
    found: symmetric_maps.Alignment
    centre_px: Tensor
    score_before: float
    agreement_A: float


def aligned(
    volume: Tensor,
    point_group: str,
    pixel_size_A: float,
    *,
    box_px: int = WORKING_BOX,
    maxres_A: float = -1,
    keep_centre: bool = False,
    only_rot: bool = False,
    symmetrise: bool = True,
) -> Aligned:
    """Centre a map, turn it to the axes of a point group, and impose the symmetry.

    Parameters
    ----------
    volume
        ``z y x``, a cube.
    point_group
        Its symmetry, in any orientation.
    pixel_size_A
        Its sampling.
    box_px, maxres_A
        Axes are searched in so small a box, at no finer resolution where it is positive.
    keep_centre, only_rot, symmetrise
        Do not centre; turn about z only; average over the symmetry mates at the end.
    """
    centre = torch.zeros(3, dtype=torch.float64)
    if not keep_centre:
        centre = torch.tensor(boxing.centre_of_mass(volume), dtype=torch.float64)
    small = small_box(volume, centre, box_px, maxres_A, pixel_size_A)
    before = symmetric_maps.score(small, point_group)
    found = symmetric_maps.find_axes(small, point_group, only_rot=only_rot)
    curve = symmetric_maps.mates_fsc(symmetric_maps.rotate(small, found.rotation), point_group)
    agreement_A = _agreement_A(curve, volume.shape[-1] * pixel_size_A)
    finer = 2 if volume.shape[-1] <= FINE_UP_TO else 1
    moved = -(found.rotation.to(torch.float64) @ centre)
    turned = symmetric_maps.rotate(volume, found.rotation, moved, oversampling=finer)
    if symmetrise:
        turned = symmetric_maps.symmetrise(turned, point_group, oversampling=finer)
    return Aligned(turned, found, centre, before, agreement_A)


def _agreement_A(curve: Tensor, side_A: float) -> float:
    """Return where an FSC ends, over three shells: a hollow molecule has some without power."""
    means = torch.nn.functional.avg_pool1d(
        curve[None, 1:], 3, stride=1, padding=1, count_include_pad=False
    )
    smooth = torch.cat([curve[:1], means[0]])
    return resolution.resolution_A(smooth, 1, side_A, 0.5, interpolate=True)


def small_box(
    volume: Tensor, centre_px: Tensor, box_px: int, maxres_A: float, pixel_size_A: float
) -> Tensor:
    """Return the centred map in a small box, low-passed where `maxres_A` is positive."""
    size = volume.shape[-1]
    half = fourier.shift(fourier.forward(volume, 3), -centre_px.to(volume))
    if maxres_A > 0:
        half = half * (fourier.shell_index(size, 3) <= size * pixel_size_A / maxres_A)
    box_px = min(box_px, size)
    return fourier.inverse(fourier.crop(half, box_px, 3), 3, box_px)


def _read(path: Path) -> Volume:
    volume = read_volume(path)
    shape = volume.data.shape
    if len(set(shape)) != 1:
        raise FormatError(f"{path}: the map is {shape} voxels (z, y, x), wanted a cube.")
    if float(volume.data.std()) == 0:
        raise FormatError(f"{path}: all voxels are {volume.data.flat[0]:g}, nothing to align.")
    return volume


def _map_path(arguments: argparse.Namespace) -> Path:
    """Return the map: the one given, or the chosen class of a model file."""
    path = Path(arguments.i)
    if path.suffix != ".star":
        return path
    star = read_star(path)
    if "model_classes" not in star:
        raise FormatError(f"{path}: no data_model_classes. Give a map or a run_..._model.star.")
    classes: Table = star["model_classes"]
    if arguments.select_highest_resol:
        chosen = int(np.argmin(classes["rlnEstimatedResolution"]))
    elif arguments.select_largest_class:
        chosen = int(np.argmax(classes["rlnClassDistribution"]))
    elif len(classes) == 1:
        chosen = 0
    else:
        raise InputError(
            f"{path} has {len(classes)} classes: add --select_largest_class or "
            "--select_highest_resol."
        )
    return Path(str(classes["rlnReferenceImage"][chosen]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vitreous align-symmetry",
        description="Turn a map so that its symmetry axes stand where a point group has them.",
        formatter_class=HelpWithDefaults,
    )
    add = parser.add_argument
    add("--i", required=True, metavar="MRC|STAR", help="map, or model file of a classification")
    add("--sym", required=True, help="point group, such as C4, D2, O, I1")
    add("--o", default="aligned.mrc", type=map_name, metavar="MRC", help="map to write")
    add("--apply_sym", action="store_true", help="also average over the symmetry")
    add("--box_size", type=int, default=WORKING_BOX, metavar="PX", help="box of the search")
    add("--keep_centre", action="store_true", help="do not move the centre of mass to the centre")
    add("--angpix", type=finite, default=-1.0, metavar="A", help="pixel size, else the header's")
    add("--only_rot", action="store_true", help="turn about the z axis only")
    add("--maxres", type=finite, default=-1.0, metavar="A", help="finest detail used by the search")
    add("--select_largest_class", action="store_true", help="of a model file")
    add("--select_highest_resol", action="store_true", help="of a model file")
    for flag in ("--nr_uniform", "--local_search_range", "--local_search_step", "--pad"):
        add(flag, type=float, help="accepted; the search here is a grid followed by the gradient")
    add("--NN", action="store_true", help="accepted; interpolation is always linear")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
