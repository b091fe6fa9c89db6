"""`vitreous simulate`: particles, micrographs or movies of a molecule, with the truth beside them.

The work is done in `vitreous.testing.simulate`; here flags become its settings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vitreous.errors import InputError
from vitreous.io import Table
from vitreous.programs.simulate_options import parser, problems
from vitreous.programs.tool import report
from vitreous.testing.simulate.contrast import Microscope, trefoil
from vitreous.testing.simulate.detector import Transfer, read_mtf
from vitreous.testing.simulate.dose import critical_dose_e_per_A2
from vitreous.testing.simulate.ice import Surroundings
from vitreous.testing.simulate.images import Imaging
from vitreous.testing.simulate.layout import Crowd
from vitreous.testing.simulate.micrographs import Made, MicrographSet, write_micrographs
from vitreous.testing.simulate.motion import MotionSize
from vitreous.testing.simulate.movies import MovieSet, write_movies
from vitreous.testing.simulate.particles import ParticleSet, write_particles
from vitreous.testing.simulate.projection import Camera
from vitreous.testing.simulate.rotations import Preference
from vitreous.testing.simulate.scene import View
from vitreous.testing.simulate.specimens import Inputs, State, read_states
from vitreous.testing.simulate.tables import write_tables
from vitreous.testing.simulate.workers import stream


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parser().parse_args(argv)
    return report("simulate", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """Check everything, simulate, and yield what to tell the user."""
    wrong = list(problems(arguments))
    if wrong:
        raise InputError("\n".join(wrong))
    folder = Path(arguments.o)
    listing = folder / f"{arguments.what}.star"
    if listing.exists() and not arguments.overwrite:
        raise InputError(
            f"{listing} exists; write to another folder, or replace it with --overwrite."
        )
    imaging, detector = _imaging(arguments), _detector(arguments)
    doses = arguments.dose > 0 or arguments.what != "particles"
    if doses and imaging.damage:
        critical_dose_e_per_A2(np.ones(1), arguments.kV)  # refuses voltages without a curve
    states, notes = read_states(_inputs(arguments), arguments.kV, needs_units=doses)
    yield from notes
    folder.mkdir(parents=True, exist_ok=True)
    listing.unlink(missing_ok=True)  # what is replaced must not look whole meanwhile
    if arguments.what == "particles":
        yield _particles(arguments, folder, states, imaging, detector)
    elif arguments.what == "micrographs":
        yield from _micrographs(arguments, folder, states, imaging, detector)
    else:
        yield from _movies(arguments, folder, states, imaging, detector)


def _particles(
    arguments: argparse.Namespace,
    folder: Path,
    states: tuple[State, ...],
    imaging: Imaging,
    detector: Transfer,
) -> str:
    box = arguments.box_size or _box(states, arguments.angpix)
    wanted = ParticleSet(
        arguments.n,
        Camera(box, arguments.angpix),
        imaging,
        padding=arguments.padding,
        snr=arguments.snr,
        coloured=arguments.coloured,
        dose_e_per_A2=max(arguments.dose, 0),
        surroundings=Surroundings(thickness_A=arguments.ice),
        detector=detector,
        mtf=_mtf(arguments, folder) if arguments.dose > 0 else "",
        offset_A=arguments.offset,
        seed=arguments.random_seed,
    )
    measured = write_particles(wanted, states, folder, arguments.j)
    noise = f"SNR {measured['snr']:.4g}" if "snr" in measured else "no noise"
    return f"{folder}/particles.star: {arguments.n:,} images of {box} pixels, {noise}"


def _micrographs(
    arguments: argparse.Namespace,
    folder: Path,
    states: tuple[State, ...],
    imaging: Imaging,
    detector: Transfer,
) -> Iterator[str]:
    dose = 50.0 if arguments.dose < 0 else arguments.dose
    wanted = MicrographSet(
        arguments.n,
        _view(arguments, states, imaging),
        dose_e_per_A2=dose,
        transfer=detector,
        mtf=_mtf(arguments, folder),
        seed=arguments.random_seed,
    )
    made = write_micrographs(wanted, folder, arguments.j)
    yield from _told(arguments, made, folder / "micrographs.star")


def _movies(
    arguments: argparse.Namespace,
    folder: Path,
    states: tuple[State, ...],
    imaging: Imaging,
    detector: Transfer,
) -> Iterator[str]:
    wanted = MovieSet(
        arguments.n,
        _view(arguments, states, imaging),
        n_frames=arguments.frames,
        dose_per_frame_e_per_A2=arguments.dose_per_frame,
        motion=MotionSize(arguments.drift, arguments.local_motion, arguments.particle_motion),
        transfer=detector,
        flawed=not arguments.no_gain,
        format=arguments.format,
        raw_per_frame=arguments.eer_raw,
        metadata=arguments.mdoc,
        mtf=_mtf(arguments, folder),
        seed=arguments.random_seed,
    )
    if wanted.format == "eer" and set(wanted.view.shape) not in ({4096}, {2048}):
        yield (
            "Note: RELION reads EER files of 4096 x 4096 or 2048 x 2048 pixels only "
            "(--size 2048 2048)."
        )
    made = write_movies(wanted, folder, arguments.j)
    yield from _told(arguments, made, folder / "movies.star")


def _told(arguments: argparse.Namespace, made: list[Made], listing: Path) -> Iterator[str]:
    n = sum(len(one.scene.poses) for one in made)
    if n < arguments.n * arguments.particles:
        yield (
            f"Note: only {n:,} of {arguments.n * arguments.particles:,} particles found room; "
            "allow more --overlap or make the field larger."
        )
    told = f"{len(made):,} {arguments.what} with {n:,} particles"
    yield f"{listing}: {told}; truth in {listing.parent}/truth"


def _inputs(arguments: argparse.Namespace) -> Inputs:
    return Inputs(
        tuple(arguments.i),
        tuple(arguments.weights),
        point_group=arguments.sym,
        assembly=arguments.assembly,
        mass_kDa=arguments.mass,
        keep_waters=arguments.keep_waters,
        centre=not arguments.no_centre,
    )


def _imaging(arguments: argparse.Namespace) -> Imaging:
    spread = stream(arguments.random_seed, "optics").normal(size=(arguments.optics_groups, 2))
    tilts = np.array([arguments.beamtilt_x, arguments.beamtilt_y])
    tilts = tilts + spread * arguments.beamtilt_spread
    odd = trefoil(*arguments.trefoil) if any(arguments.trefoil) else ()
    groups = tuple(
        Microscope(
            arguments.kV,
            arguments.Cs,
            arguments.Q0,
            (float(x), float(y)),
            odd,
            tuple(arguments.even_zernike),
            arguments.phase_shift,
        )
        for x, y in tilts
    )
    return Imaging(
        groups,
        defocus_A=tuple(arguments.defocus),
        astigmatism_A=arguments.astigmatism,
        preferences=tuple(Preference(*row) for row in arguments.prefer or ()),
        bfactor_A2=arguments.bfactor,
        layer_A=arguments.ewald_layer,
        damage=not arguments.no_damage,
        height_A=arguments.height,
    )


def _detector(arguments: argparse.Namespace) -> Transfer:
    if arguments.mtf and arguments.perfect_detector:
        raise InputError("--mtf and --perfect_detector exclude each other.")
    if arguments.mtf:
        read_mtf(arguments.mtf)
    return Transfer(arguments.mtf, arguments.perfect_detector)


def _mtf(arguments: argparse.Namespace, folder: Path) -> str:
    """Return the file with the MTF of the detector, written where it was not given."""
    if arguments.mtf or arguments.perfect_detector:
        return str(arguments.mtf)
    k = np.linspace(0, 0.5, 101)
    table = {"rlnResolutionInversePixel": k, "rlnMtfValue": Transfer().root_dqe(k)}
    write_tables(folder / "mtf.star", [Table.from_columns("", table)])
    return str(folder / "mtf.star")


def _view(arguments: argparse.Namespace, states: tuple[State, ...], imaging: Imaging) -> View:
    diameter_A = 2 * max(state.scatterers.radius_A for state in states)
    crowd = Crowd(arguments.particles, diameter_A * (1 - arguments.overlap), arguments.border)
    surroundings = Surroundings(
        arguments.ice,
        arguments.ice_variation,
        carbon=arguments.carbon,
        n_contaminations=arguments.contamination,
    )
    columns, rows = arguments.size
    return View((rows, columns), arguments.angpix, imaging, crowd, surroundings, states)


def _box(states: tuple[State, ...], pixel_size_A: float) -> int:
    """Return an even box of one and a half diameters."""
    radius_A = max(state.scatterers.radius_A for state in states)
    return max(16, 4 * round(3 * radius_A / pixel_size_A / 4))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
