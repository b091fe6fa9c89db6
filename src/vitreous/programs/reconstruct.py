"""`vitreous reconstruct`: a map from particles whose poses are known (refinement.md 13.3)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.dataset.particles import (
    Particles,
    read_particles,
    require_stated_pixels,
    same_pixel,
)
from vitreous.distributed.memory import available_bytes
from vitreous.engine import reconstruction, symmetry
from vitreous.engine.kernels import slices
from vitreous.engine.projection import Accumulator, projector
from vitreous.errors import EnvironmentMissing, FormatError, InputError
from vitreous.io import read_star, read_volume, write_volume
from vitreous.programs.reconstruct_terms import Term, terms, together
from vitreous.programs.tool import at_least, count_from, finite, map_name, positive, report


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parser().parse_args(argv)
    torch.set_num_threads(arguments.j or torch.get_num_threads())
    return report("reconstruct", lambda: [run(arguments)])


def run(arguments: argparse.Namespace) -> str:
    """Reconstruct, write the maps, and return what to tell the user."""
    told = []
    for path, volume, pixel_size_A in maps(arguments):
        write_volume(path, volume.numpy(), pixel_size_A)
        told.append(f"{path}: {volume.shape[0]} pixels of {pixel_size_A:g} Å")
    return "\n".join(told)


def maps(arguments: argparse.Namespace) -> Iterator[tuple[Path, Tensor, float]]:
    """Read, accumulate, solve.

    Parameters
    ----------
    arguments
        What the command line parsed.

    Yields
    ------
    tuple
        Where a map goes, the map ``z y x``, and its pixel size in ångström.
    """
    particles = chosen(read_particles(arguments.i, arguments.img), arguments)
    check(particles, arguments)
    if arguments.angpix == 0:  # who gives a pixel size knows that the headers may be wrong
        require_stated_pixels(particles, arguments.i)
    particles = disturbed(particles, arguments)
    box, pixel_size_A = particles.box_px(), arguments.angpix or particles.pixel_size_A()
    if arguments.newbox > 0:
        box = arguments.newbox
    r_max = None
    if arguments.maxres > 0:
        r_max = round(box * pixel_size_A / arguments.maxres)
        if r_max < 1:
            message = (
                f"--maxres is {arguments.maxres:g} Å, but the box is only {box * pixel_size_A:g} Å "
                "wide: nothing is left. Give a finer resolution, such as 10."
            )
            raise InputError(message)
    n_sums = 2 if arguments.halves else 1
    require_memory(box, arguments, r_max, n_sums)
    operators = symmetry.rotations(arguments.sym, torch.float32)
    subtracted = None
    if arguments.subtract:
        subtracted = projector(_subtracted_map(particles, arguments), arguments.pad)
    sums = [Accumulator(box, arguments.pad, r_max) for _ in range(n_sums)]
    half = np.zeros(len(particles), np.int64)
    if arguments.halves:
        half = np.asarray(particles.table["rlnRandomSubset"]) - 1
    parts = terms(particles, arguments, box * pixel_size_A, subtracted)
    at_once = slices.many(sums[0].grid, int(particles.optics.box_px.max()))
    for part in together(parts, min(at_once, len(particles))):
        for number, total in enumerate(sums):
            chosen_rows = torch.from_numpy(half[part.rows] == number)
            add_(total, part, slice(None) if bool(chosen_rows.all()) else chosen_rows)
    for total in sums:
        total.finish_(operators)
    if arguments.halves:
        root = arguments.o.with_suffix("")
        for number, total in enumerate(sums, 1):
            path = root.with_name(f"{root.name}_half{number}{arguments.o.suffix}")
            yield path, solve(total, arguments), pixel_size_A
        sums[0].merge_(sums.pop())
    yield arguments.o, solve(sums[0], arguments), pixel_size_A


def _subtracted_map(particles: Particles, arguments: argparse.Namespace) -> Tensor:
    """Read the map whose projections are subtracted; its box is that of the images."""
    found = read_volume(arguments.subtract)
    box_px, pixel_size_A = particles.box_px(), particles.pixel_size_A()
    if found.data.shape != (box_px,) * 3 or not same_pixel(found.pixel_size_A, pixel_size_A):
        message = (
            f"{arguments.subtract}: the map is {' x '.join(map(str, found.data.shape[::-1]))} "
            f"pixels of {found.pixel_size_A:g} Å, the images have {box_px} of {pixel_size_A:g} Å. "
            "`vitreous image --rescale_angpix` and --new_box make them alike."
        )
        raise FormatError(message)
    return torch.from_numpy(found.data)


def add_(sums: Accumulator, term: Term, rows: slice | Tensor) -> None:
    """Insert some slices of a term."""
    sums.add_(
        term.values[rows],
        term.weights[rows],
        term.poses[rows],
        scale=term.scale,
        magnification=term.magnification,
        curvature_px=term.curvature_px,
    )


def solve(sums: Accumulator, arguments: argparse.Namespace) -> Tensor:
    """Turn finished sums into a map, weighted by the FSC curve where one is given."""
    tau2 = None
    if arguments.fsc:
        noise = reconstruction.noise_power(sums)
        tau2 = reconstruction.tau2_from_fsc(read_fsc(arguments.fsc), noise)
    iterations = 0 if arguments.skip_gridding else arguments.iter
    return reconstruction.reconstruct(sums, tau2=tau2, gridding_iterations=iterations)


def check(particles: Particles, arguments: argparse.Namespace) -> None:
    """Refuse options that cannot work with these particles or with each other."""
    problems = list(_problems(particles, arguments))
    if problems:
        raise InputError("\n".join(problems))


def _problems(particles: Particles, arguments: argparse.Namespace) -> Iterator[str]:
    table, where = particles.table, arguments.i
    if arguments.fom_weighting and "rlnParticleFigureOfMerit" not in table:
        yield f"{where} has no rlnParticleFigureOfMerit, which --fom_weighting needs"
    if arguments.halves:
        if "rlnRandomSubset" not in table:
            yield f"{where} has no rlnRandomSubset, so there are no halves; leave --halves out"
        else:
            found = np.unique(np.asarray(table["rlnRandomSubset"])).tolist()
            if found != [1, 2]:
                yield f"{where}: rlnRandomSubset is {found}, but --halves needs both 1 and 2"
    if arguments.nr_helical_asu < 1:
        yield f"--nr_helical_asu is {arguments.nr_helical_asu}, but a helix has 1 unit or more"
    if not arguments.ewald:
        if arguments.newbox > 0:
            yield "--newbox is for --ewald; `vitreous image --new_box` changes the box of a map"
    else:
        yield from _ewald_problems(particles, arguments)


def _ewald_problems(particles: Particles, arguments: argparse.Namespace) -> Iterator[str]:
    if not arguments.ctf:
        yield "--ewald corrects the CTF on a curved sphere: give --ctf too"
    if bool(particles.premultiplied.any()):
        yield f"{arguments.i}: images multiplied by their CTF have lost what --ewald needs"
    if arguments.ctf_phase_flipped or arguments.only_flip_phases or arguments.subtract:
        yield "--ewald does not go with --ctf_phase_flipped, --only_flip_phases or --subtract"
    if arguments.nr_helical_asu > 1:
        yield "--ewald does not go with helical units, whose heights would differ"
    needs_size = not (arguments.skip_mask and arguments.skip_weighting)
    if needs_size and arguments.mask_diameter <= 0:
        yield "--ewald needs --mask_diameter, the diameter of the particle in ångström"
    if arguments.newbox > 0 and (arguments.newbox > particles.box_px() or arguments.newbox % 2):
        yield f"--newbox is {arguments.newbox}, but must be even and at most the box of the images"


def disturbed(particles: Particles, arguments: argparse.Namespace) -> Particles:
    """Add random errors to poses, where they are asked for."""
    rng = np.random.default_rng(arguments.random_seed)
    labels = {"rlnAngleRot": arguments.angular_error, "rlnAngleTilt": arguments.angular_error}
    labels |= {"rlnAnglePsi": arguments.angular_error, "rlnOriginXAngst": arguments.shift_error}
    labels |= {"rlnOriginYAngst": arguments.shift_error}
    n, table = len(particles), particles.table
    wrong = {
        label: np.asarray(table.get(label, np.zeros(n)), np.float64) + rng.normal(0, deviation, n)
        for label, deviation in labels.items()
        if deviation > 0
    }
    return replace(particles, table=table.with_columns(wrong)) if wrong else particles


def require_memory(
    box_px: int, arguments: argparse.Namespace, r_max: int | None, n_sums: int
) -> None:
    """Refuse at once what would run out of memory at the end."""
    width = round(arguments.pad * min(box_px // 2, r_max or box_px)) + 2
    points = (2 * width - 1) ** 2 * width
    working = 8 * points // 2 + 12 * box_px**3  # half-transformed planes, and the map
    if not arguments.skip_gridding:
        working = 12 * 8 * points
    if arguments.sym.lower() != "c1":
        working = max(working, 16 * points)
    waiting = 16 * points // 5  # slices that are inserted together
    needed = 16 * points * n_sums + waiting + working
    free = available_bytes()
    if needed > free:
        message = (
            f"a map of {box_px} pixels with --pad {arguments.pad:g} needs "
            f"{needed / 2**30:.1f} GiB of memory, but {free / 2**30:.1f} GiB are free. A coarser "
            "--maxres, --pad 1 or --skip_gridding needs less."
        )
        raise EnvironmentMissing(message)


def chosen(particles: Particles, arguments: argparse.Namespace) -> Particles:
    """Keep the half set and the class that were asked for."""
    keep = np.ones(len(particles), bool)
    for wanted, label in ((arguments.subset, "rlnRandomSubset"), (arguments.cls, "rlnClassNumber")):
        if wanted < 1:
            continue
        if label not in particles.table:
            message = f"{arguments.i} has no {label}, so nothing can be chosen by it"
            raise FormatError(message)
        keep &= np.asarray(particles.table[label]) == wanted
    if not keep.any():
        message = f"{arguments.i}: none of its {len(particles)} particles is in the chosen subset"
        raise InputError(message)
    return particles.select(keep)


def read_fsc(path: str) -> Tensor:
    """Read a curve of Fourier shell correlations from a STAR file."""
    labels = (
        "rlnFourierShellCorrelationCorrected",
        "rlnFourierShellCorrelation",
        "rlnGoldStandardFsc",
    )
    star = read_star(path)
    for table in star.tables:
        for label in labels:
            if label in table:
                return torch.from_numpy(np.array(table[label], np.float64))
    message = f"{path}: no FSC was found; one of {', '.join(labels)} is needed"
    raise FormatError(message)


def _map_path(text: str) -> Path:
    return Path(map_name(text))


def parser() -> argparse.ArgumentParser:
    """Return the options; other programs that sum slices take their defaults from here."""
    parser = argparse.ArgumentParser(
        prog="vitreous reconstruct",
        description="Reconstruct a map from particles whose poses are known.",
    )
    add = parser.add_argument
    add("--i", required=True, metavar="STAR", help="particles with poses")
    add("--o", default=Path("vitreous.mrc"), type=_map_path, metavar="MRC", help="map to write")
    add("--sym", default="c1", metavar="GROUP", help="point group, such as D2 or I1")
    add(
        "--maxres", type=finite, default=-1, metavar="A", help="finest resolution used, in ångström"
    )
    add("--pad", type=at_least(1), default=2, metavar="P", help="padding of the Fourier grid (2)")
    add("--img", default=".", metavar="DIR", help="folder that image names are relative to")
    add("--subset", type=int, default=-1, metavar="H", help="only half set 1 or 2")
    add("--halves", action="store_true", help="also both half-maps, ROOT_half1.mrc and _half2")
    add("--class", type=int, default=-1, dest="cls", metavar="K", help="only particles of a class")
    add(
        "--angpix", type=positive, default=0, metavar="A", help="pixel size of the map, in ångström"
    )
    add("--j", type=count_from(0), default=0, metavar="N", help="threads (all)")
    group = parser.add_argument_group("CTF").add_argument
    group("--ctf", action="store_true", help="correct for the CTF")
    group("--ctf_intact_first_peak", action="store_true", help="leave CTFs as 1 to the first peak")
    group("--ctf_phase_flipped", action="store_true", help="the images were phase-flipped")
    group("--only_flip_phases", action="store_true", help="correct signs, not amplitudes")
    group = parser.add_argument_group("Ewald sphere").add_argument
    group("--ewald", action="store_true", help="correct for the curvature of the Ewald sphere")
    group("--mask_diameter", type=finite, default=-1, metavar="A", help="of the particle")
    group(
        "--width_mask_edge", type=at_least(0), default=3, metavar="PX", help="soft edge of the mask"
    )
    group("--reverse_curvature", action="store_true", help="the other hand of the curvature")
    group("--newbox", type=int, default=-1, metavar="PX", help="crop the images once corrected")
    group("--skip_mask", action="store_true", help="do not mask the corrected images")
    group("--skip_weighting", action="store_true", help="weigh both sides as independent")
    # All directions are treated alike here, without sectors and the borders between them.
    group("--sectors", type=int, default=2, help=argparse.SUPPRESS)
    group = parser.add_argument_group("Helix").add_argument
    group("--nr_helical_asu", type=int, default=1, metavar="N", help="units in each image")
    group("--helical_rise", type=finite, default=0, metavar="A", help="from one unit to the next")
    group("--helical_twist", type=finite, default=0, metavar="DEG", help="+ for right-handed")
    group = parser.add_argument_group("Errors put in on purpose").add_argument
    group(
        "--angular_error", type=at_least(0), default=0, metavar="DEG", help="deviation, each angle"
    )
    group("--shift_error", type=at_least(0), default=0, metavar="A", help="deviation, each origin")
    group("--random_seed", type=int, default=0, metavar="N", help="of the errors (0)")
    group = parser.add_argument_group("Solving").add_argument
    group("--fsc", metavar="STAR", help="weight by this FSC curve (Wiener filter)")
    group("--skip_gridding", action="store_true", help="divide by the weights, without iterations")
    group("--iter", type=count_from(0), default=10, metavar="N", help="gridding iterations (10)")
    group("--fom_weighting", action="store_true", help="weight by rlnParticleFigureOfMerit")
    group("--subtract", metavar="MRC", help="subtract projections of this map from the images")
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
