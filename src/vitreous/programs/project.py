"""`vitreous project`: images of a map at given or random poses (refinement.md 13.4)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.particles import Particles, read_particles, same_pixel
from vitreous.engine import ctf, fourier, geometry
from vitreous.engine.kernels import slices as kernels
from vitreous.engine.projection import Projector, project, projector
from vitreous.errors import FormatError, InputError
from vitreous.io import StackWriter, Star, Table, read_star, read_volume, write_mrc, write_star
from vitreous.programs.tool import at_least, count_from, finite, report

_BATCH_BYTES = 2 << 20  # transforms of larger batches are slower, in and out of the cache


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(arguments.j or torch.get_num_threads())
    return report("project", lambda: [run(arguments)])


@dataclass(frozen=True)
class Source:
    """A map ready to be projected, and the pixel size of its images."""

    projector: Projector
    pixel_size_A: float

    @property
    def box_px(self) -> int:
        """Side of the images."""
        return self.projector.box_px


def run(arguments: argparse.Namespace) -> str:
    """Project, write images and STAR file, and return what to tell the user."""
    source = read_source(arguments)
    if arguments.ang is None and arguments.nr_uniform < 1:
        return project_once(source, arguments)
    if arguments.ang is None:
        particles = uniform_particles(source, arguments)
    else:
        read = read_particles(arguments.ang, with_images=False)
        _require_pixel(read, source, arguments)
        particles = on_the_map(read, source)
    stack, star = f"{arguments.o}.mrcs", f"{arguments.o}.star"
    with (
        StackWriter(stack, (source.box_px, source.box_px), source.pixel_size_A) as writer,
        ThreadPoolExecutor(1) as beside,
    ):
        written: Future[None] | None = None
        for images in images_of(source, particles, arguments):
            if written is not None:
                written.result()
            written = beside.submit(writer.write, images.numpy())
        if written is not None:
            written.result()
    names = [f"{i + 1:06d}@{stack}" for i in range(len(particles))]
    table = particles.table.with_columns({"rlnImageName": names})
    write_star(star, Star([particles.optics_table, table]))
    return f"{stack}: {len(particles):,} images of {source.box_px} pixels; poses in {star}"


def read_source(arguments: argparse.Namespace) -> Source:
    """Read the map, apply the mask, and prepare its slices."""
    volume = read_volume(arguments.i)
    data = torch.from_numpy(np.ascontiguousarray(volume.data, np.float32))
    if data.ndim != 3 or len(set(data.shape)) != 1 or data.shape[0] % 2:
        message = (
            f"{arguments.i}: the map is {' x '.join(map(str, data.shape[::-1]))}; a cube with an "
            "even side is needed. `vitreous image --new_box` makes one."
        )
        raise FormatError(message)
    if not data.any():
        message = f"{arguments.i}: the map is empty: all its values are 0"
        raise FormatError(message)
    if arguments.mask:
        found = read_volume(arguments.mask)
        mask = torch.from_numpy(np.ascontiguousarray(found.data, np.float32))
        if not same_pixel(found.pixel_size_A, _pixel_size(arguments, volume.pixel_size_A)):
            message = (
                f"{arguments.mask}: the mask has pixels of {found.pixel_size_A:g} Å, the map of "
                f"{_pixel_size(arguments, volume.pixel_size_A):g} Å; they must agree"
            )
            raise FormatError(message)
        if mask.shape != data.shape:
            message = (
                f"{arguments.mask}: the mask is {tuple(mask.shape)}, the map {tuple(data.shape)} "
                "(z y x); they must have one size"
            )
            raise FormatError(message)
        data = data * mask
    pixel_size_A = _pixel_size(arguments, volume.pixel_size_A)
    r_max = None
    if arguments.maxres > 0:
        r_max = round(len(data) * pixel_size_A / arguments.maxres)
        if r_max < 1:
            message = (
                f"--maxres is {arguments.maxres:g} Å, but the box is only "
                f"{len(data) * pixel_size_A:g} Å wide: nothing is left"
            )
            raise InputError(message)
    return Source(projector(data, arguments.pad, r_max), pixel_size_A)


def project_once(source: Source, arguments: argparse.Namespace) -> str:
    """Write one projection without CTF, at the angles of the command line."""
    angles = torch.tensor([[arguments.rot, arguments.tilt, arguments.psi]], dtype=torch.float64)
    slices = project(source.projector, geometry.matrix_from_euler(angles).float())
    shift = torch.tensor([[-arguments.xoff, -arguments.yoff]], dtype=torch.float32)
    image = fourier.inverse(fourier.shift(slices, shift), 2, source.box_px)[0]
    path = arguments.o if Path(arguments.o).suffix else f"{arguments.o}.mrc"
    write_mrc(path, image.numpy(), pixel_size_A=source.pixel_size_A)
    return f"{path}: one image of {source.box_px} pixels"


def uniform_particles(source: Source, arguments: argparse.Namespace) -> Particles:
    """Return particles at random poses, uniform over all rotations, with random offsets."""
    generator = torch.Generator().manual_seed(arguments.random_seed)
    n = arguments.nr_uniform
    poses = geometry.random_rotations(n, generator, torch.float64)
    angles = _as_written(geometry.euler_from_matrix(poses).numpy())
    offsets = torch.randn(n, 2, generator=generator, dtype=torch.float64).numpy()
    offsets = _as_written(offsets * arguments.sigma_offset * source.pixel_size_A)
    optics = Table.from_columns(
        "optics",
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
            "rlnImageDimensionality": [2],
        },
    )
    table = Table.from_columns(
        "particles",
        {
            "rlnOpticsGroup": np.ones(n, np.int64),
            "rlnAngleRot": angles[:, 0],
            "rlnAngleTilt": angles[:, 1],
            "rlnAnglePsi": angles[:, 2],
            "rlnOriginXAngst": offsets[:, 0],
            "rlnOriginYAngst": offsets[:, 1],
        },
    )
    bare = Particles.from_tables(table, optics)
    return on_the_map(bare, source)


def _as_written(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to the digits of STAR files, so that images are made with what these tell; no -0."""
    return np.round(values, 6) + 0.0


def on_the_map(particles: Particles, source: Source) -> Particles:
    """Give every optics group the box and the pixel size of the map."""
    n = len(particles.optics_table)
    table = particles.optics_table.with_columns(
        {
            "rlnImagePixelSize": np.full(n, source.pixel_size_A),
            "rlnImageSize": np.full(n, source.box_px, np.int64),
        }
    )
    box = torch.full((n,), float(source.box_px), dtype=torch.float64)
    pixel = torch.full((n,), source.pixel_size_A, dtype=torch.float64)
    return replace(
        particles,
        optics_table=table,
        optics=replace(particles.optics, box_px=box, pixel_size_A=pixel),
    )


def images_of(
    source: Source, particles: Particles, arguments: argparse.Namespace
) -> Iterator[Tensor]:
    """Yield the images in the order of the rows, batch by batch, as float32 ``n y x``."""
    box = source.box_px
    generator = torch.Generator().manual_seed(arguments.random_seed)
    noise = noise_maker(arguments, particles, box)
    other = other_poses(particles, arguments, generator)
    size = max(1, _BATCH_BYTES // (4 * box * box))
    terms: dict[int, Tensor] = {}
    for rows, slices in batches(source, particles, size):
        predicted = predict(particles, slices, rows, arguments, terms)
        if arguments.subtract_exp or arguments.simulate:
            images = particles.images(rows)
            _require_box(images, box, arguments)
            images = images - fourier.inverse_to_corner(predicted, box)
            if other is not None:
                alike = slices_of(source, other, rows)
                added = predict(other, alike, rows, arguments, terms)
                added *= arguments.adjust_simulation_SNR
                images = images + fourier.inverse_to_corner(added, box)
        else:
            images = fourier.inverse_to_corner(predicted, box)
        yield noise(images, rows, generator)


def batches(
    source: Source, particles: Particles, size: int
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield rows, `size` at a time, with their slices; these are taken many at a time."""
    at_once = max(size, kernels.many(source.projector.grid, source.box_px) // size * size)
    for first in range(0, len(particles), at_once):
        rows = np.arange(first, min(first + at_once, len(particles)))
        slices = slices_of(source, particles, rows)
        for start in range(0, len(rows), size):
            yield rows[start : start + size], slices[start : start + size]


def slices_of(source: Source, particles: Particles, rows: NDArray[np.int64]) -> Tensor:
    """Return half transforms of the projections at the particles' poses, without their optics."""
    groups = torch.from_numpy(particles.group[rows])
    poses = particles.rotations(rows).float()
    parts = [
        (chosen, project(source.projector, poses[chosen], magnification=magnification))
        for chosen, magnification in _magnified(particles, groups)
    ]
    if len(parts) == 1:
        return parts[0][1]
    box = source.box_px
    result = torch.empty(len(rows), box, box // 2 + 1, dtype=torch.complex64)
    for chosen, slices in parts:
        result[chosen] = slices
    return result


def predict(
    particles: Particles,
    slices: Tensor,
    rows: NDArray[np.int64],
    arguments: argparse.Namespace,
    terms: dict[int, Tensor],
) -> Tensor:
    """Make of slices, which are changed, half transforms of what a camera would see.

    The origin of their images is the first pixel. `terms` keeps the CTF's functions of each group.
    """
    box, result, optics = slices.shape[-2], slices, particles.optics
    along = fourier.centring_phases(-particles.shift_px(rows).float(), box)
    given, groups = particles.defocus(rows), particles.group[rows]
    has_odd = bool(optics.beam_tilt_mrad.any() or optics.odd_zernike.any())
    treatment = ctf.Treatment(
        phase_flipped=arguments.ctf_phase_flip,
        intact_first_peak=arguments.ctf_intact_first_peak,
        premultiplied=arguments.ctf2,
    )
    is_plain = treatment == ctf.PLAIN and not has_odd and not bool(given.bfactor_A2.any())
    if arguments.ctf and is_plain and (groups == groups[0]).all():
        row = int(groups[0])
        if row not in terms:
            terms[row] = ctf.phase_terms(optics, row, box)
        ctf.weigh_(result, along, terms[row], optics, row, given)
        return result
    if arguments.ctf or arguments.ctf2:
        group = torch.from_numpy(groups)
        result *= ctf.ctf(optics, given, box, group=group, treatment=treatment)
        if has_odd:
            result *= ctf.odd_phase_plate(optics, box)[group]
    return result.mul_(along[0][:, None]).mul_(along[1][..., None])


def _magnified(particles: Particles, groups: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield which images each optics group has, and its magnification."""
    for group in np.unique(groups.numpy()).tolist():
        yield groups == group, particles.optics.magnification[group].float()


def other_poses(
    particles: Particles, arguments: argparse.Namespace, generator: torch.Generator
) -> Particles | None:
    """Return the particles at the poses that `--simulate` adds, or None."""
    if not arguments.simulate:
        return None
    if arguments.ang_simulate:
        given = read_particles(arguments.ang_simulate, with_images=False).table
        if len(given) < len(particles):
            message = (
                f"{arguments.ang_simulate} has {len(given)} poses for {len(particles)} particles"
            )
            raise InputError(message)
        order = np.arange(len(particles))
    else:
        given = particles.table
        order = torch.randperm(len(particles), generator=generator).numpy()
    labels = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
    angles = {label: given[label][order] for label in labels}
    return replace(particles, table=particles.table.with_columns(angles))


def noise_maker(
    arguments: argparse.Namespace, particles: Particles, box: int
) -> Callable[[Tensor, np.ndarray, torch.Generator], Tensor]:
    """Return the function that adds the noise asked for."""
    if not arguments.add_noise:
        return lambda images, _rows, _generator: images
    if arguments.model_noise:
        spectra = noise_spectra(arguments.model_noise, len(particles.optics_table))
        shells = fourier.shell_index(box, 2)

        def coloured(images: Tensor, rows: np.ndarray, generator: torch.Generator) -> Tensor:
            power = spectra[torch.from_numpy(particles.group[rows])]
            deviation = power.clamp(min=0).sqrt()[:, shells.clamp(max=power.shape[1] - 1)]
            white = torch.randn(images.shape, generator=generator)
            # White noise of deviation 1 has the power 1 / (2 N^2) in each part of a component.
            filtered = fourier.forward(white, 2) * (2**0.5 * box) * deviation.float()
            return images + fourier.inverse(filtered, 2, box)

        return coloured
    if arguments.white_noise <= 0:
        message = "--add_noise needs --white_noise above 0, or --model_noise"
        raise InputError(message)
    sigma = arguments.white_noise
    return lambda images, _rows, generator: (
        images + sigma * torch.randn(images.shape, generator=generator)
    )


def noise_spectra(path: str, n_groups: int) -> Tensor:
    """Read the noise power per shell of each optics group from a model STAR file, ``g s``."""
    star = read_star(path)
    spectra = []
    for number in range(1, n_groups + 1):
        names = (f"model_optics_group_{number}", f"model_group_{number}")
        found = next((name for name in names if name in star), None)
        if found is None:
            message = f"{path}: no {names[0]} (nor {names[1]}) with the noise of group {number}"
            raise FormatError(message)
        spectra.append(torch.from_numpy(np.array(star[found]["rlnSigma2Noise"], np.float64)))
    return torch.stack(spectra)


def _pixel_size(arguments: argparse.Namespace, header_A: float) -> float:
    if arguments.angpix > 0:
        return float(arguments.angpix)
    if header_A <= 0:
        message = f"{arguments.i}: the header has no pixel size; give --angpix"
        raise InputError(message)
    return header_A


def _require_pixel(particles: Particles, source: Source, arguments: argparse.Namespace) -> None:
    """Refuse to subtract from images of another sampling than that of the map."""
    if not (arguments.subtract_exp or arguments.simulate):
        return
    for group in np.unique(particles.group).tolist():
        stated_A = particles.pixel_size_A(group)
        if stated_A > 0 and not same_pixel(source.pixel_size_A, stated_A):
            message = (
                f"{arguments.ang}: the images of optics group {group + 1} have pixels of "
                f"{stated_A:g} Å, the map of {source.pixel_size_A:g} Å; rescale one of them"
            )
            raise FormatError(message)


def _require_box(images: Tensor, box: int, arguments: argparse.Namespace) -> None:
    if images.shape[-2:] != (box, box):
        message = (
            f"{arguments.ang}: its images are {images.shape[-1]} pixels wide, but the map is "
            f"{box}; rescale one of them"
        )
        raise FormatError(message)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vitreous project",
        description="Project a map: once, at random, or as the particles of a STAR file.",
    )
    add = parser.add_argument
    add("--i", required=True, metavar="MRC", help="map to project")
    add("--o", default="proj", metavar="ROOT", help="name of the output, without ending")
    add("--angpix", type=finite, default=-1, metavar="A", help="pixel size (header)")
    add("--mask", metavar="MRC", help="multiply the map by this first")
    add("--maxres", type=finite, default=-1, metavar="A", help="finest resolution, in ångström")
    add("--pad", type=at_least(1), default=2, metavar="P", help="padding of the Fourier grid (2)")
    add("--j", type=count_from(0), default=0, metavar="N", help="threads (all)")
    group = parser.add_argument_group("Poses").add_argument
    group("--ang", metavar="STAR", help="particles whose poses and CTFs are used")
    group(
        "--nr_uniform", type=count_from(1), default=-1, metavar="N", help="N random poses instead"
    )
    group(
        "--sigma_offset", type=at_least(0), default=0, metavar="PX", help="spread of random offsets"
    )
    for angle in ("rot", "tilt", "psi"):
        group(f"--{angle}", type=finite, default=0, metavar="DEG", help="of a single projection")
    for axis in ("x", "y"):
        group(f"--{axis}off", type=finite, default=0, metavar="PX", help="of a single projection")
    group("--random_seed", type=int, default=0, metavar="N", help="for poses and noise (0)")
    group = parser.add_argument_group("CTF").add_argument
    group("--ctf", action="store_true", help="multiply by the CTF")
    group("--ctf2", action="store_true", help="multiply by the square of the CTF")
    group("--ctf_phase_flip", action="store_true", help="multiply by its absolute value")
    group("--ctf_intact_first_peak", action="store_true", help="leave the CTF 1 to its first peak")
    group = parser.add_argument_group("Noise and experimental images").add_argument
    group("--add_noise", action="store_true", help="add noise")
    group(
        "--white_noise", type=at_least(0), default=0, metavar="SD", help="deviation of white noise"
    )
    group("--model_noise", metavar="STAR", help="model file with noise spectra")
    group("--subtract_exp", action="store_true", help="subtract projections from the images")
    group("--simulate", action="store_true", help="subtract, then add at another pose")
    group(
        "--adjust_simulation_SNR", type=finite, default=1, metavar="F", help="scale what is added"
    )
    group("--ang_simulate", metavar="STAR", help="poses that --simulate adds (else shuffled)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
