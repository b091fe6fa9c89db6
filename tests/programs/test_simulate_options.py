"""Every option of `vitreous simulate`: what it changes, and that none is without effect."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous.io import read_image, read_mrc, read_star, write_volume
from vitreous.programs import project, simulate
from vitreous.programs.simulate_options import parser

ATOM = "{kind:6}{n:5d} {name:4} {residue:3} A{n:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00          {element:>2}\n"  # noqa: E501 -- the columns of a PDB file
TWICE = """REMARK 350 BIOMOLECULE: 1
REMARK 350 APPLY THE FOLLOWING TO CHAINS: A
REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000
REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000
REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000
REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000        0.00000
REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000        0.00000
REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000        0.00000
"""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, Path]:
    """A model of 60 atoms with a water, another, a map of the same size, and an MTF."""
    folder = tmp_path_factory.mktemp("inputs")
    files = {name: folder / name for name in ("model.pdb", "other.pdb", "map.mrc", "mtf.star")}
    rng = np.random.default_rng(5)
    for name in ("model.pdb", "other.pdb"):
        places = rng.normal((6, 3, 0), 8, (60, 3))
        lines = [
            ATOM.format(kind="ATOM", n=n, name=" CA", residue="ALA", x=x, y=y, z=z, element="C")
            for n, (x, y, z) in enumerate(places, 1)
        ]
        wet = ATOM.format(
            kind="HETATM", n=61, name=" O", residue="HOH", x=20, y=0, z=0, element="O"
        )
        files[name].write_text(TWICE + "".join(lines) + wet + "END\n")
    axis = np.arange(16) - 8
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    blob = np.exp(-(x**2 + (y - 1) ** 2 / 2 + z**2 / 3) / 4).astype(np.float32)
    write_volume(files["map.mrc"], blob, 4.0)
    table = "_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n0 1\n0.5 0.2\n"
    files["mtf.star"].write_text(f"\ndata_\n\nloop_\n{table}\n")
    return files


# What every run has, of all commands and of each. Fields hold few particles in a small frame.
COMMON = ["--i", "model.pdb", "--angpix", "4", "--kV", "300"]
BASE = {
    "particles": [*COMMON, "--n", "2", "--box_size", "24", "--pad", "1"],
    "micrographs": [*COMMON, "--size", "96", "96", "--particles", "3"],
    "movies": [*COMMON, "--size", "64", "64", "--particles", "2", "--frames", "3"],
}
# Another value of each option, after what it needs to be of use; argparse takes the last one.
OTHER: dict[str, list[str]] = {
    "n": ["--n", "3"],
    "angpix": ["--angpix", "4.5"],
    "random_seed": ["--random_seed", "1"],
    "i": ["--i", "other.pdb"],
    "weights": ["--i", "model.pdb", "other.pdb", "--weights", "0.01", "0.99"],
    "sym": ["--sym", "C3"],
    "assembly": ["--assembly", "1"],
    "mass": ["--i", "map.mrc", "--mass", "80"],
    "keep_waters": ["--keep_waters"],
    "no_centre": ["--no_centre"],
    "prefer": ["--prefer", "10", "90", "2", "1"],
    "height": ["--height", "300"],
    "kV": ["--kV", "200"],
    "Cs": ["--Cs", "0.5"],
    "Q0": ["--Q0", "0.2"],
    "defocus": ["--defocus", "5000", "6000"],
    "astigmatism": ["--astigmatism", "2000"],
    "phase_shift": ["--phase_shift", "60"],
    "beamtilt_x": ["--beamtilt_x", "5"],
    "beamtilt_y": ["--beamtilt_y", "5"],
    "trefoil": ["--trefoil", "300", "0"],
    "even_zernike": ["--even_zernike", "0", "0", "0", "0", "0", "0", "300"],
    "optics_groups": ["--n", "3", "--optics_groups", "2"],
    "beamtilt_spread": ["--n", "3", "--optics_groups", "2", "--beamtilt_spread", "5"],
    "bfactor": ["--bfactor", "300"],
    "ewald_layer": ["--ewald_layer", "2"],
    "dose": ["--dose", "20"],
    "no_damage": ["--dose", "60", "--no_damage"],
    "ice": ["--dose", "20", "--ice", "900"],
    "mtf": ["--dose", "20", "--mtf", "mtf.star"],
    "perfect_detector": ["--dose", "20", "--perfect_detector"],
    "box_size": ["--box_size", "32"],
    "offset": ["--offset", "9"],
    "snr": ["--snr", "0.1"],
    "coloured": ["--snr", "0.1", "--coloured"],
    "padding": ["--pad", "2"],
    "size": ["--size", "96", "64"],
    "particles": ["--particles", "5"],
    "overlap": ["--particles", "40", "--overlap", "0.9"],
    "border": ["--border", "90"],
    "ice_variation": ["--ice_variation", "0.6"],
    "carbon": ["--carbon", "0.4"],
    "contamination": ["--contamination", "2"],
    "frames": ["--frames", "4"],
    "dose_per_frame": ["--dose_per_frame", "0.8"],
    "format": ["--format", "mrc"],
    "eer_raw": ["--format", "eer", "--eer_raw", "4"],
    "no_gain": ["--no_gain"],
    "mdoc": ["--mdoc"],
    "drift": ["--drift", "60"],
    "local_motion": ["--local_motion", "30"],
    "particle_motion": ["--particle_motion", "20"],
}
SAME = {"help", "o", "overwrite", "j"}  # where, whether and how fast; the pixels are the same


def actions(command: str) -> dict[str, argparse.Action]:
    top = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {a.dest: a for a in top.choices[command]._actions}


def options(command: str) -> list[str]:
    refused = {"dose"} if command == "movies" else set()  # they have --dose_per_frame
    return sorted(actions(command).keys() - SAME - refused)


def made(command: str, folder: Path, flags: list[str], inputs: dict[str, Path]) -> dict[str, str]:
    """Run the command and return a digest of each file it wrote."""
    words = [str(inputs.get(word, word)) for word in flags]
    assert simulate.main([command, "--o", str(folder), *words]) == 0
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("command", "option"), [(command, option) for command in BASE for option in options(command)]
)
def test_no_option_is_without_effect(command, option, inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = OTHER[option]
    own = actions(command)[option].option_strings
    last = next(i for i, word in enumerate(flags) if word in own)
    needed = flags[:last]
    if command == "movies" and needed[:1] == ["--dose"]:
        needed = needed[2:]
    if option == "mass":
        needed = [*needed, *([] if command == "movies" else ["--dose", "20"]), "--mass", "40"]
    before = made(command, Path("a"), [*BASE[command], *needed], inputs)
    after = made(command, Path("b"), [*BASE[command], *needed, *flags[last:]], inputs)
    assert set(before.values()) != set(after.values())


def simulated(command: str, folder: Path, *flags: object, inputs: dict[str, Path]) -> Path:
    made(command, folder, [*BASE[command], *map(str, flags)], inputs)
    return folder


def clean(folder: Path) -> np.ndarray:
    return read_mrc(folder / "truth/clean.mrcs")[0].astype(np.float64)


def band(images: np.ndarray) -> np.ndarray:
    """Return the values of images, frequencies above 0.7 Nyquist (the map ends at it) left out."""
    keep = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.rfftfreq(48)) < 0.35
    return np.fft.irfft2(np.fft.rfft2(images) * keep).ravel()


@pytest.mark.parametrize("microscope", [("--kV", 120, "--Cs", 1.2), ("--Q0", 0.35)])
def test_images_are_those_of_the_microscope_they_name(inputs, tmp_path, microscope):
    folder = simulated("particles", tmp_path / "sim", "--box_size", 48, "--n", 20,
                       "--defocus", 3000, 4000, *microscope, inputs=inputs)  # fmt: skip
    flags = ["--i", folder / "truth/map_class001.mrc", "--ang", folder / "particles.star",
             "--ctf", "--o", tmp_path / "again", "--angpix", 4]  # fmt: skip
    assert project.main(list(map(str, flags))) == 0
    truth = band(clean(folder))
    assert np.corrcoef(band(read_mrc(tmp_path / "again.mrcs")[0]), truth)[0, 1] > 0.99
    usual = simulated("particles", tmp_path / "usual", "--box_size", 48, "--n", 20,
                      "--defocus", 3000, 4000, inputs=inputs)  # fmt: skip
    assert np.corrcoef(band(clean(usual)), truth)[0, 1] < 0.97


def test_twice_the_mass_is_twice_the_contrast(inputs, tmp_path):
    one, two = (
        simulated(
            "particles",
            tmp_path / f"{mass}",
            "--i",
            "map.mrc",
            "--dose",
            20,
            "--mass",
            mass,
            inputs=inputs,
        )
        for mass in (40, 80)
    )
    np.testing.assert_allclose(clean(two), 2 * clean(one), rtol=1e-3, atol=1e-6)


def test_a_model_stays_where_it_is_when_it_is_not_centred(inputs, tmp_path):
    """The atoms lie 6 Å to the right of and 3 Å above their origin, seen along z."""
    flags = ("--prefer", 0, 0, 0.01, 1, "--defocus", 8000, 8000, "--astigmatism", 0)
    seen = [
        clean(simulated("particles", tmp_path / name, *flags, *extra, inputs=inputs))[0]
        for name, extra in (("centred", ()), ("left", ("--no_centre",)))
    ]
    truth = read_star(tmp_path / "left/particles.star")["particles"]
    psi = np.radians(truth["rlnAnglePsi"][0] + truth["rlnAngleRot"][0])
    correlation = np.fft.irfft2(np.fft.rfft2(seen[1]) * np.fft.rfft2(seen[0]).conj())
    peak = np.array(np.unravel_index(correlation.argmax(), correlation.shape)[::-1])
    found = (peak + 12) % 24 - 12
    turn = np.array([[np.cos(psi), np.sin(psi)], [-np.sin(psi), np.cos(psi)]])
    np.testing.assert_allclose(found * 4.0, turn @ (6, 3), atol=4)


def test_the_ewald_sphere_matters_for_what_is_thick(inputs, tmp_path):
    """Curvature moves phases by pi lambda z k^2: hardly at high voltage, far more at a low one."""
    change = {}
    for voltage in (60, 1000):
        flat, bent = (
            clean(
                simulated(
                    "particles",
                    tmp_path / f"{voltage}-{layer}",
                    "--kV",
                    voltage,
                    "--angpix",
                    1.5,
                    "--box_size",
                    48,
                    "--ewald_layer",
                    layer,
                    inputs=inputs,
                )
            )
            for layer in (0, 2)
        )
        change[voltage] = np.linalg.norm(bent - flat) / np.linalg.norm(flat)
    assert change[60] > 3 * change[1000]


def test_ice_varies_as_much_as_asked(inputs, tmp_path):
    """Without molecules, the slow part of the micrograph follows the thickness of the ice."""
    slow = []
    for variation in (0.0, 0.5):
        folder = simulated("micrographs", tmp_path / f"{variation}", "--particles", 0, "--dose",
                           2000, "--size", 256, 256, "--no_damage", "--ice_variation", variation,
                           inputs=inputs)  # fmt: skip
        image = read_image(next((folder / "Micrographs").glob("*.mrc"))).data.astype(float)
        tiles = image.reshape(8, 32, 8, 32).mean((1, 3))
        slow.append(tiles.std() / image.mean())
    assert slow[1] > 5 * slow[0]
