"""The command line of `vitreous simulate`: flags, and what they must not be."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from vitreous.programs.tool import HelpWithDefaults, finite


def parser() -> argparse.ArgumentParser:
    """Return the parser of all three commands."""
    top = argparse.ArgumentParser(
        prog="vitreous simulate",
        description="Make movies, micrographs or particles of a molecule, with the truth beside "
        "the data. Without --i it is the beta-galactosidase (PDB 5A1A, D2) that is shipped.",
    )
    choices = "particles|micrographs|movies"
    commands = top.add_subparsers(dest="what", required=True, metavar=choices)
    for name, about in (
        ("particles", "Boxed images with poses: particles.star and particles.mrcs."),
        ("micrographs", "Aligned sums: micrographs.star and Micrographs/*.mrc."),
        ("movies", "Frames as a microscope writes them: movies.star and Movies/*."),
    ):
        command = commands.add_parser(
            name,
            help=about,
            description=about,
            formatter_class=HelpWithDefaults,
        )
        _common(command)
        if name == "particles":
            _particles(command)
        else:
            _fields(command)
        if name == "movies":
            _movies(command)
    return top


def problems(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield everything that cannot work, each as one sentence."""
    a = arguments
    positive = {"--n": a.n, "--angpix": a.angpix, "--kV": a.kV, "--j": a.j}
    yield from (f"{flag} is {value:g}; wanted more than 0." for flag, value in positive.items()
                if value <= 0)  # fmt: skip
    at_least_0 = {"--Cs": a.Cs, "--astigmatism": a.astigmatism, "--mass": a.mass,
                  "--bfactor": a.bfactor, "--ewald_layer": a.ewald_layer, "--height": a.height,
                  "--ice": a.ice, "--beamtilt_spread": a.beamtilt_spread}  # fmt: skip
    yield from (f"{flag} is {value:g}; wanted 0 or more." for flag, value in at_least_0.items()
                if value < 0)  # fmt: skip
    if a.dose < 0 and a.dose != -1:
        yield f"--dose is {a.dose:g}; wanted 0 or more."
    if not 0 <= a.Q0 <= 1:
        yield f"--Q0 is {a.Q0:g}; wanted 0 to 1."
    if a.optics_groups < 1:
        yield f"--optics_groups is {a.optics_groups}; wanted at least 1."
    low, high = a.defocus
    if low > high:
        yield f"--defocus {low:g} {high:g}: the smaller first."
    yield from _wrong_preferences(a.prefer or ())
    if a.what == "particles":
        yield from _wrong_particles(a)
    else:
        yield from _wrong_fields(a)
    if a.what == "movies":
        yield from _wrong_movies(a)


def _wrong_preferences(prefer: list[list[float]] | tuple[()]) -> Iterator[str]:
    for rot, tilt, spread, fraction in prefer:
        if not (0 <= tilt <= 180 and spread > 0 and 0 < fraction <= 1):
            yield (
                f"--prefer {rot:g} {tilt:g} {spread:g} {fraction:g}: wanted a tilt of 0 to 180, a "
                "spread above 0 and a fraction above 0 up to 1."
            )
    if sum(row[3] for row in prefer) > 1 + 1e-9:
        yield "--prefer: the fractions sum to more than 1."


def _wrong_particles(a: argparse.Namespace) -> Iterator[str]:
    if a.box_size < 0 or a.box_size % 2 or 0 < a.box_size < 8:
        yield f"--box_size is {a.box_size}; wanted an even number from 8 up, or 0 to choose one."
    if a.padding not in (1, 2, 3, 4):
        yield f"--pad is {a.padding}; wanted 1, 2, 3 or 4."
    if a.snr < 0:
        yield f"--snr is {a.snr:g}; wanted 0 (no noise) or more."
    if a.snr > 0 and a.dose > 0:
        yield "--snr and --dose both make noise; give one of them."
    if a.coloured and a.snr <= 0:
        yield "--coloured needs --snr."
    if a.offset < 0:
        yield f"--offset is {a.offset:g}; wanted 0 or more."


def _wrong_fields(a: argparse.Namespace) -> Iterator[str]:
    columns, rows = a.size
    if min(columns, rows) < 64 or columns % 2 or rows % 2:
        yield f"--size {columns} {rows}: wanted even numbers from 64 up."
    if a.particles < 0:
        yield f"--particles is {a.particles}; wanted 0 or more."
    if not 0 <= a.overlap < 1:
        yield f"--overlap is {a.overlap:g}; wanted 0 up to (not including) 1."
    if not 0 <= a.carbon <= 1:
        yield f"--carbon is {a.carbon:g}; wanted a share of 0 to 1."
    if a.contamination < 0:
        yield f"--contamination is {a.contamination}; wanted 0 or more."


def _wrong_movies(a: argparse.Namespace) -> Iterator[str]:
    if a.dose > 0:
        yield "--dose is for particles and micrographs; movies have --dose_per_frame."
    if a.frames < 1:
        yield f"--frames is {a.frames}; wanted at least 1."
    if a.dose_per_frame <= 0:
        yield f"--dose_per_frame is {a.dose_per_frame:g}; wanted more than 0."
    elif a.dose_per_frame * a.angpix**2 > 20_000:
        yield (
            f"--dose_per_frame {a.dose_per_frame:g} at {a.angpix:g} Å is "
            f"{a.dose_per_frame * a.angpix**2:.0f} electrons in a pixel; no file holds so many."
        )
    for flag in ("drift", "local_motion", "particle_motion"):
        if getattr(a, flag) < 0:
            yield f"--{flag} is {getattr(a, flag):g}; wanted 0 or more."
    if a.eer_raw < 1:
        yield f"--eer_raw is {a.eer_raw}; wanted at least 1 raw frame for each frame."


def _common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--o", required=True, metavar="DIR", help="folder to write to")
    add("--overwrite", action="store_true", help="replace what an earlier run wrote there")
    add("--n", type=int, default=1, metavar="N", help="how many images to make")
    add("--angpix", type=finite, default=2.0, metavar="A", help="pixel size, Å")
    add("--random_seed", type=int, default=0, metavar="N", help="of everything that is random")
    add("--j", type=int, default=1, metavar="N", help="processes; the result is the same")
    group = parser.add_argument_group("Molecule").add_argument
    group("--i", nargs="+", default=[], metavar="FILE", help="models (PDB, mmCIF) or maps (MRC), "
          "one for each conformational state")  # fmt: skip
    group("--weights", nargs="+", type=finite, default=[], metavar="W", help="share of each state")
    group("--sym", default="", metavar="GROUP", help="build the molecule by this point group")
    group("--assembly", default="", metavar="NAME", help="build this biological assembly")
    group("--mass", type=finite, default=0.0, metavar="kDa", help="of a molecule given as a map")
    group("--keep_waters", action="store_true", help="keep ordered waters of the model")
    group("--no_centre", action="store_true", help="leave models where they are")
    group = parser.add_argument_group("Poses").add_argument
    group("--prefer", nargs=4, type=finite, action="append",
          metavar=("ROT", "TILT", "SPREAD", "FRACTION"),
          help="a common direction of view, in degrees; may be given again")  # fmt: skip
    group("--height", type=finite, default=0.0, metavar="A",
          help="deviation of the height of particles, which changes their defocus")  # fmt: skip
    group = parser.add_argument_group("Microscope").add_argument
    group("--kV", type=finite, default=300.0, help="voltage")
    group("--Cs", type=finite, default=2.7, metavar="MM", help="spherical aberration, mm")
    group("--Q0", type=finite, default=0.1, metavar="Q", help="amplitude contrast")
    group("--defocus", nargs=2, type=finite, default=(8000.0, 20000.0), metavar=("LOW", "HIGH"),
          help="range of the mean defocus, Å, underfocus positive")  # fmt: skip
    group("--astigmatism", type=finite, default=400.0, metavar="A", help="largest U - V, Å")
    group("--phase_shift", type=finite, default=0.0, metavar="DEG", help="of a phase plate")
    group("--beamtilt_x", type=finite, default=0.0, metavar="MRAD", help="beam tilt")
    group("--beamtilt_y", type=finite, default=0.0, metavar="MRAD", help="beam tilt")
    group("--trefoil", nargs=2, type=finite, default=(0.0, 0.0), metavar=("X", "Y"),
          help="coefficients of rho^3 cos 3 phi and sin 3 phi, rad Å³")  # fmt: skip
    group("--even_zernike", nargs="+", type=finite, default=[], metavar="C",
          help="symmetric aberrations, in RELION's order")  # fmt: skip
    group("--optics_groups", type=int, default=1, metavar="N", help="images take turns in them")
    group("--beamtilt_spread", type=finite, default=0.0, metavar="MRAD",
          help="deviation of the beam tilt between optics groups")  # fmt: skip
    group("--bfactor", type=finite, default=0.0, metavar="A2", help="envelope exp(-B k^2 / 4)")
    group("--ewald_layer", type=finite, default=0.0, metavar="A",
          help="curve the Ewald sphere, by layers this thick (0: flat)")  # fmt: skip
    group = parser.add_argument_group("Dose, ice and detector").add_argument
    group("--dose", type=finite, default=-1.0, metavar="E",
          help="electrons per Å² (-1: none for particles, 50 for micrographs)")  # fmt: skip
    group("--no_damage", action="store_true", help="the dose destroys nothing")
    group("--ice", type=finite, default=400.0, metavar="A", help="thickness of the ice")
    group("--mtf", default="", metavar="STAR", help="MTF of the detector (an ideal counting one)")
    group("--perfect_detector", action="store_true", help="no blur at all")


def _particles(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Images").add_argument
    group("--box_size", type=int, default=0, metavar="PX", help="side, even (0: 1.5 diameters)")
    group("--offset", type=finite, default=0.0, metavar="A", help="deviation of the origins")
    group("--snr", type=finite, default=0.0, help="variance of signal over noise (0: no noise)")
    group("--coloured", action="store_true", help="noise stronger at low frequencies")
    group("--pad", type=int, default=2, dest="padding", metavar="N",
          help="box in which the CTF acts; 1 lets its rings wrap around")  # fmt: skip


def _fields(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Field of view").add_argument
    group("--size", nargs=2, type=int, default=(1024, 1024), metavar=("X", "Y"), help="pixels")
    group("--particles", type=int, default=60, metavar="N", help="in each field of view")
    group("--overlap", type=finite, default=0.0, metavar="F",
          help="how much particles may overlap, as a share of their diameter")  # fmt: skip
    group("--border", type=finite, default=0.0, metavar="A",
          help="no centre so close to an edge; negative for particles cut by it")  # fmt: skip
    group("--ice_variation", type=finite, default=0.15, metavar="F", help="relative, slow")
    group("--carbon", type=finite, default=0.0, metavar="F", help="share covered by a film")
    group("--contamination", type=int, default=0, metavar="N", help="crystals of ice")


def _movies(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Movie").add_argument
    group("--frames", type=int, default=24, metavar="N", help="in each movie")
    group("--dose_per_frame", type=finite, default=1.5, metavar="E", help="electrons per Å²")
    group("--format", choices=("tiff", "mrc", "eer"), default="tiff", help="of the movies")
    group("--eer_raw", type=int, default=8, metavar="N", help="raw EER frames for each frame")
    group("--no_gain", action="store_true", help="a detector without gain, defects, hot pixels")
    group("--mdoc", action="store_true", help="write metadata as SerialEM does beside each movie")
    group("--drift", type=finite, default=20.0, metavar="A", help="length of the global drift")
    group("--local_motion", type=finite, default=4.0, metavar="A", help="typical local motion")
    group("--particle_motion", type=finite, default=0.0, metavar="A",
          help="typical motion of a particle by itself")  # fmt: skip
