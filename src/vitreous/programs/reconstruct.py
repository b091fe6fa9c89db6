"""`vitreous reconstruct`: a map from particles whose poses are known (refinement.md 13.3)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.dataset.particles import Batch, Particles, read_particles
from vitreous.engine import ctf, fourier, reconstruction, symmetry
from vitreous.engine.projection import Accumulator, project, projector
from vitreous.errors import FormatError, InputError
from vitreous.io import read_star, read_volume, write_volume
from vitreous.programs.tool import report

_BATCH_BYTES = 6 << 20  # larger arrays would be new memory every time


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(arguments.j or torch.get_num_threads())
    return report("reconstruct", lambda: [run(arguments)])


def run(arguments: argparse.Namespace) -> str:
    """Reconstruct, write the map, and return what to tell the user."""
    volume, pixel_size_A = reconstruct(arguments)
    write_volume(arguments.o, volume.numpy(), pixel_size_A)
    return f"{arguments.o}: {volume.shape[0]} pixels of {pixel_size_A:g} Å"


def reconstruct(arguments: argparse.Namespace) -> tuple[Tensor, float]:
    """Read, accumulate, solve.

    Parameters
    ----------
    arguments
        What the command line parsed.

    Returns
    -------
    tuple
        The map ``z y x`` and its pixel size in ångström.
    """
    particles = chosen(read_particles(arguments.i, arguments.img), arguments)
    box, pixel_size_A = particles.box_px(), arguments.angpix or particles.pixel_size_A()
    operators = symmetry.rotations(arguments.sym, torch.float32)
    r_max = round(box * pixel_size_A / arguments.maxres) if arguments.maxres > 0 else None
    sums = Accumulator(box, arguments.pad, r_max)
    for part in terms(particles, arguments, pixel_size_A):
        sums.add_(*part[:3], scale=part[3], magnification=part[4])
    sums.finish_(operators)
    tau2 = None
    if arguments.fsc:
        noise = reconstruction.noise_power(sums)
        tau2 = reconstruction.tau2_from_fsc(read_fsc(arguments.fsc), noise)
    iterations = 0 if arguments.skip_gridding else arguments.iter
    volume = reconstruction.reconstruct(sums, tau2=tau2, gridding_iterations=iterations)
    return volume, pixel_size_A


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


def terms(
    particles: Particles, arguments: argparse.Namespace, pixel_size_A: float
) -> Iterator[tuple[Tensor, Tensor, Tensor, float, Tensor]]:
    """Yield slices, weights, poses, frequency scale and magnification, batch by batch."""
    box = particles.box_px()
    reference = None
    if arguments.subtract:
        reference = projector(torch.from_numpy(read_volume(arguments.subtract).data), arguments.pad)
    size = max(1, _BATCH_BYTES // (4 * int(particles.optics.box_px.max()) ** 2))
    conjugate_plates: dict[int, Tensor] = {}
    for batch in particles.batches(size):
        side = batch.images.shape[-1]
        scale = side * particles.pixel_size_A(batch.group) / (box * pixel_size_A)
        magnification = particles.optics.magnification[batch.group].to(torch.float32)
        poses = batch.rotations.to(torch.float32)
        transforms = fourier.forward(batch.images, 2)
        transforms *= fourier.shift_phases(batch.shift_px.to(torch.float32), side)
        if batch.group not in conjugate_plates:
            plate = ctf.odd_phase_plate(particles.optics, side)[batch.group]
            conjugate_plates[batch.group] = plate.conj()
        transforms *= conjugate_plates[batch.group]
        transforms[:, 0, 0] = 0  # the grey level of an image says nothing; RELION drops it too
        transfer = transfer_function(particles, batch, arguments)
        if reference is not None:
            predicted = project(reference, poses, side, scale=scale, magnification=magnification)
            transforms = transforms - predicted * transfer
        numerator, weight = weighted(transforms, transfer, particles, batch, arguments)
        if arguments.fom_weighting:
            fom = np.asarray(particles.table["rlnParticleFigureOfMerit"], np.float32)[batch.rows]
            factor = torch.from_numpy(fom)[:, None, None]
            numerator, weight = numerator * factor, weight * factor
        yield numerator, weight, poses, scale, magnification


def transfer_function(particles: Particles, batch: Batch, arguments: argparse.Namespace) -> Tensor:
    """Return the CTF of each image, or ones where no correction is wanted."""
    side = batch.images.shape[-1]
    if not arguments.ctf:
        return torch.ones(len(batch.rows), side, side // 2 + 1)
    treatment = ctf.Treatment(
        phase_flipped=arguments.ctf_phase_flipped,
        only_flip_phases=arguments.only_flip_phases,
        intact_first_peak=arguments.ctf_intact_first_peak,
    )
    group = torch.full((len(batch.rows),), batch.group)
    return ctf.ctf(particles.optics, batch.defocus, side, group=group, treatment=treatment)


def weighted(
    transforms: Tensor,
    transfer: Tensor,
    particles: Particles,
    batch: Batch,
    arguments: argparse.Namespace,
) -> tuple[Tensor, Tensor]:
    """Return what is summed: image times CTF and CTF^2 (the image alone if premultiplied)."""
    if arguments.ctf and particles.premultiplied[batch.group]:
        return transforms, transfer**2
    return transforms * transfer, transfer**2


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vitreous reconstruct",
        description="Reconstruct a map from particles whose poses are known.",
    )
    add = parser.add_argument
    add("--i", required=True, metavar="STAR", help="particles with poses")
    add("--o", default="vitreous.mrc", type=Path, metavar="MRC", help="map to write")
    add("--sym", default="c1", metavar="GROUP", help="point group, such as D2 or I1")
    add("--maxres", type=float, default=-1, metavar="A", help="finest resolution used, in ångström")
    add("--pad", type=float, default=2, metavar="P", help="padding of the Fourier grid (2)")
    add("--img", default=".", metavar="DIR", help="folder that image names are relative to")
    add("--subset", type=int, default=-1, metavar="H", help="only half set 1 or 2")
    add("--class", type=int, default=-1, dest="cls", metavar="K", help="only particles of a class")
    add("--angpix", type=float, default=0, metavar="A", help="pixel size of the map, in ångström")
    add("--j", type=int, default=0, metavar="N", help="threads (all)")
    group = parser.add_argument_group("CTF").add_argument
    group("--ctf", action="store_true", help="correct for the CTF")
    group("--ctf_intact_first_peak", action="store_true", help="leave CTFs as 1 to the first peak")
    group("--ctf_phase_flipped", action="store_true", help="the images were phase-flipped")
    group("--only_flip_phases", action="store_true", help="correct signs, not amplitudes")
    group = parser.add_argument_group("Solving").add_argument
    group("--fsc", metavar="STAR", help="weight by this FSC curve (Wiener filter)")
    group("--skip_gridding", action="store_true", help="divide by the weights, without iterations")
    group("--iter", type=int, default=10, metavar="N", help="gridding iterations (10)")
    group("--fom_weighting", action="store_true", help="weight by rlnParticleFigureOfMerit")
    group("--subtract", metavar="MRC", help="subtract projections of this map from the images")
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
