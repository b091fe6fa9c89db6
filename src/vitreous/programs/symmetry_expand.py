"""Write every particle once for each operator of a symmetry: `vitreous symmetry-expand`.

The copies of one particle see the symmetric object in the same way, so each asymmetric unit in
turn comes to stand where a mask or a focused classification looks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.particles import pose_problems
from vitreous.engine import geometry, helix, symmetry
from vitreous.errors import FormatError, InputError
from vitreous.io import Star, Table, read_star, write_star
from vitreous.programs.tool import HelpWithDefaults, finite, positive, report, star_name

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS_A = ("rlnOriginXAngst", "rlnOriginYAngst")
ORIGINS_PX = ("rlnOriginX", "rlnOriginY")
SUBSET_WARNING = (
    "Copies of one particle are in the file now. Never split it into half-sets again: copies of "
    "one particle in both halves make the resolution look better than it is."
)


def main(argv: list[str]) -> int:
    """Read the command line, expand, and return the exit code."""
    arguments = _parser().parse_args(argv)
    return report("symmetry-expand", lambda: [run(arguments)])


def run(arguments: argparse.Namespace) -> str:
    """Expand one STAR file and return what to tell the user."""
    star = read_star(Path(arguments.i))
    table = _particles(star, arguments.i)
    operators = _operators(arguments)
    expanded = expand(table, *operators, arguments.angpix)
    write_star(Path(arguments.o), star.with_table(expanded))
    told = f"{arguments.o}: {len(table):,} particles became {len(expanded):,}."
    kept = "rlnRandomSubset was kept." if "rlnRandomSubset" in table else ""
    return " ".join(part for part in (told, kept, SUBSET_WARNING) if part)


def expand(
    table: Table, rotations: Tensor, translations_A: Tensor, pixel_size_A: float = 1.0
) -> Table:
    """Return the table with all mates of a particle, one after the other.

    Parameters
    ----------
    table
        Particles with Euler angles.
    rotations
        ``g 3 3``; operators of the object, mirrors included.
    translations_A
        ``g 3``; zero for point groups.
    pixel_size_A
        Only for old files, whose origins are in pixels.

    Returns
    -------
    Table
        ``g`` times the rows; a row whose operator is the identity is as it was.
    """
    angles = torch.from_numpy(_columns(table, ANGLES))
    poses = geometry.matrix_from_euler(angles)
    in_pixels = ORIGINS_A[0] not in table and ORIGINS_PX[0] in table
    labels, unit_A = (ORIGINS_PX, pixel_size_A) if in_pixels else (ORIGINS_A, 1.0)
    origins = torch.from_numpy(_columns(table, labels)) * unit_A
    moves = bool((translations_A != 0).any())
    turned, moved = helix.mates(poses, origins, rotations, translations_A)
    if not moves:
        turned = symmetry.mates(poses, rotations)
    same = (rotations - torch.eye(3, dtype=torch.float64)).abs().amax((1, 2)) < 1e-9
    found = geometry.euler_from_matrix(turned.flatten(0, 1)).reshape(len(table), -1, 3)
    found = torch.where(same[None, :, None], angles[:, None], found)
    rows = np.repeat(np.arange(len(table)), len(rotations))
    columns = {label: found[..., axis].flatten().numpy() for axis, label in enumerate(ANGLES)}
    if moves:
        shifts = (moved / unit_A).flatten(0, 1).numpy()
        columns |= {label: shifts[:, axis] for axis, label in enumerate(labels)}
    return table.select(rows).with_columns(columns)


def _operators(arguments: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Return rotations and translations (in A) of what the command line asks for."""
    if not arguments.helix:
        matrices = _point_group(arguments.sym)
        if len(matrices) == 1:
            raise InputError("--sym C1 has only one operator: there is nothing to expand.")
        return matrices, torch.zeros(len(matrices), 3, dtype=torch.float64)
    numbers = _units(arguments.asu, arguments.frac_sampling, arguments.frac_range)
    if arguments.twist == 0 and arguments.rise == 0:
        raise InputError("--helix needs --twist or --rise: without both all copies are alike.")
    return helix.units(numbers, arguments.twist, arguments.rise)


def _point_group(name: str) -> Tensor:
    """Return the operators of a point group, or of a file of symmetry elements."""
    path = Path(name)
    if not path.is_file():
        return symmetry.operators(name)
    text = path.read_text(encoding="utf-8", errors="replace")
    return symmetry.generate(symmetry.generators_from_text(text, name))


def _units(n_units: int, n_parts: int, range_units: float) -> Tensor:
    """Return the numbers of the units along the axis, whole or fractions around 0."""
    if (n_units > 1) == (n_parts > 1):
        raise InputError(
            "Helical expansion needs --asu N (whole units) or --frac_sampling N (parts of one "
            "unit): one of them above 1, and not both."
        )
    if n_units > 1:
        return helix.unit_numbers(n_units)
    if not 0 < range_units <= 0.5:
        raise InputError(f"--frac_range is {range_units:g}, wanted above 0 and at most 0.5.")
    return torch.arange(-range_units, range_units - 1e-3, 1 / n_parts, dtype=torch.float64)


def _particles(star: Star, source: str) -> Table:
    """Return the table of particles, or say what is wrong with it."""
    names = [name for name in star if name != "optics"]
    table = star["particles" if "particles" in names else names[0]] if names else None
    if table is None or len(table) == 0:
        raise FormatError(f"{source}: no particles, nothing to expand.")
    missing = [label for label in ANGLES if label not in table]
    if missing:
        raise FormatError(
            f"{source}, data_{table.name}: no column {', '.join(missing)}. Only particles with "
            "poses can be expanded: give the data file of a refinement or a 3D classification."
        )
    numbers = _columns(table, ANGLES + ORIGINS_A + ORIGINS_PX)
    bad = np.nonzero(~np.isfinite(numbers).all(1))[0]
    if len(bad):
        raise FormatError(
            f"{source}, data_{table.name} row {bad[0] + 1}: an angle or origin is not a "
            f"number ({len(bad)} such rows). Remove them first."
        )
    if "rlnOpticsGroup" in table:
        optics = star["optics"] if "optics" in star else Table.from_columns("optics", {})
        problems = list(pose_problems(table, optics))
        if problems:
            raise FormatError("\n".join(f"{source}, {problem}" for problem in problems))
    return table


def _columns(table: Table, labels: tuple[str, ...]) -> NDArray[np.float64]:
    """Return columns side by side; zeros for those that are absent."""
    absent = np.zeros(len(table))
    return np.stack([np.asarray(table.get(label, absent), np.float64) for label in labels], 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vitreous symmetry-expand",
        description="Write every particle once for each operator of a symmetry.",
        formatter_class=HelpWithDefaults,
    )
    add = parser.add_argument
    add("--i", required=True, metavar="STAR", help="particles with refined poses")
    add("--o", default="expanded.star", type=star_name, metavar="STAR", help="file to write")
    add("--sym", default="C1", help="point group, such as C4, D2, O, I1, or a symmetry file")
    add("--helix", action="store_true", help="expand by helical symmetry instead")
    add("--twist", type=finite, default=0.0, metavar="DEG", help="helical twist")
    add("--rise", type=finite, default=0.0, metavar="A", help="helical rise")
    add("--asu", type=int, default=1, metavar="N", help="number of neighbouring units")
    add("--frac_sampling", type=int, default=1, metavar="N", help="parts of one unit instead")
    add(
        "--frac_range",
        type=float,
        default=0.5,
        metavar="F",
        help="how far the parts reach, in units",
    )
    add("--angpix", type=positive, default=1.0, metavar="A", help="pixel size, for old files")
    add("--ignore_optics", action="store_true", help="accepted; files say what they hold")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
