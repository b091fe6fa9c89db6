"""`vitreous project` against RELION 3.1.3, and its noise, modes and refusals."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
import torch

from vitreous.io import Star, Table, read_mrc, read_star, read_volume, write_star, write_volume
from vitreous.programs import project

BOX, PIXEL = 32, 3.0


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    rng = np.random.default_rng(2)
    z, y, x = np.indices((BOX, BOX, BOX)) - BOX // 2
    volume = np.zeros((BOX, BOX, BOX), np.float32)
    for _ in range(12):
        cx, cy, cz = rng.normal(0, 4, 3)
        volume += np.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / 4)
    write_volume(folder / "map.mrc", volume, PIXEL)
    n = 40
    optics = {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnImagePixelSize": [PIXEL],
        "rlnImageSize": [BOX],
        "rlnImageDimensionality": [2],
        "rlnBeamTiltX": [0.4],
        "rlnBeamTiltY": [-0.3],
    }
    particles = {
        "rlnImageName": [f"{i + 1:06d}@none.mrcs" for i in range(n)],
        "rlnOpticsGroup": [1] * n,
        "rlnAngleRot": rng.uniform(-180, 180, n),
        "rlnAngleTilt": rng.uniform(0, 180, n),
        "rlnAnglePsi": rng.uniform(-180, 180, n),
        "rlnOriginXAngst": rng.normal(0, 4, n),
        "rlnOriginYAngst": rng.normal(0, 4, n),
        "rlnDefocusU": rng.uniform(8000, 20000, n),
        "rlnDefocusV": rng.uniform(8000, 20000, n),
        "rlnDefocusAngle": rng.uniform(0, 180, n),
    }
    tables = [Table.from_columns("optics", optics), Table.from_columns("particles", particles)]
    write_star(folder / "poses.star", Star(tables))
    return folder


def run(folder, name, *flags):
    arguments = ["--i", str(folder / "map.mrc"), "--o", str(folder / name), *flags]
    assert project.main(arguments) == 0
    return read_mrc(folder / f"{name}.mrcs")[0]


POSES = ["--ang", "poses.star"]
CASES = {
    "plain": [],
    "ctf": ["--ctf"],
    "squared": ["--ctf", "--ctf2"],
    "flipped": ["--ctf", "--ctf_phase_flip"],
    "first-peak": ["--ctf", "--ctf_intact_first_peak"],
    "padding-1": ["--pad", "1"],
    "resolution": ["--maxres", "12"],
}


@pytest.mark.parametrize("case", CASES)
def test_the_images_are_those_of_relion(folder, relion, case, monkeypatch):
    monkeypatch.chdir(folder)
    flags = [*POSES, *CASES[case]]
    ours = run(folder, f"ours-{case}", *flags)
    command = ["relion_project", "--i", "map.mrc", "--o", f"theirs-{case}", *flags]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    theirs = read_mrc(folder / f"theirs-{case}.mrcs")[0]
    # RELION leaves the mean of an image out where it applies a CTF; compare without.
    ours = ours - ours.mean((1, 2), keepdims=True)
    theirs = theirs - theirs.mean((1, 2), keepdims=True)
    assert (ours * theirs).sum() / (theirs**2).sum() == pytest.approx(1, abs=1e-3)
    assert np.abs(ours - theirs).max() < 5e-3 * np.abs(theirs).max()


def test_one_projection_is_written_as_an_image(folder):
    name = str(folder / "single.mrc")
    flags = ["--rot", "20", "--tilt", "70", "--psi", "-40"]
    assert project.main(["--i", str(folder / "map.mrc"), "--o", name, *flags]) == 0
    image, header = read_mrc(name)
    assert np.squeeze(image).shape == (BOX, BOX)
    assert header.pixel_size_A == pytest.approx(PIXEL)
    assert np.abs(image).max() > 1


def test_one_projection_along_z_is_the_sum_of_the_planes(folder):
    name = str(folder / "along-z.mrc")
    assert project.main(["--i", str(folder / "map.mrc"), "--o", name, "--pad", "4"]) == 0
    image = np.squeeze(read_mrc(name)[0])
    line = read_volume(folder / "map.mrc").data.sum(0)
    assert np.linalg.norm(image - line) < 0.02 * np.linalg.norm(line)


def test_random_poses_are_uniform_seeded_and_written(folder):
    once = run(folder, "random", "--nr_uniform", "50", "--sigma_offset", "1")
    again = run(folder, "again", "--nr_uniform", "50", "--sigma_offset", "1")
    other = run(folder, "other", "--nr_uniform", "50", "--random_seed", "5")
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)
    assert "-0.000000" not in (folder / "other.star").read_text()  # origins of 0 have no sign
    table = read_star(folder / "random.star")["particles"]
    assert abs(np.cos(np.radians(table["rlnAngleTilt"])).mean()) < 0.25
    assert 1.5 < table["rlnOriginXAngst"].std() < 4.5


def test_poses_written_for_random_images_reproduce_them(folder):
    once = run(folder, "made", "--nr_uniform", "10", "--sigma_offset", "2")
    again = run(folder, "remade", "--ang", str(folder / "made.star"))
    assert np.abs(once - again).max() < 1e-3 * np.abs(once).max()


def test_white_noise_has_the_deviation_asked_for(folder):
    poses = ["--ang", str(folder / "poses.star")]
    clean = run(folder, "clean", *poses)
    noisy = run(folder, "noisy", *poses, "--add_noise", "--white_noise", "2")
    assert (noisy - clean).std() == pytest.approx(2, rel=0.02)


def test_coloured_noise_has_the_spectrum_of_the_model(folder):
    poses = ["--ang", str(folder / "poses.star")]
    sigma2 = np.where(np.arange(BOX // 2 + 1) < 8, 1e-3, 1e-5)
    model = Table.from_columns(
        "model_optics_group_1",
        {"rlnSpectralIndex": np.arange(len(sigma2)), "rlnSigma2Noise": sigma2},
    )
    write_star(folder / "model.star", [model])
    clean = run(folder, "clean", *poses)
    flags = ["--add_noise", "--model_noise", str(folder / "model.star")]
    noise = torch.from_numpy(run(folder, "coloured", *poses, *flags) - clean)
    from vitreous.engine import fourier

    power = fourier.shell_mean(fourier.forward(noise, 2).abs() ** 2, 2).mean(0) / 2
    assert power[3:8].numpy() == pytest.approx(1e-3, rel=0.15)
    assert power[9:16].numpy() == pytest.approx(1e-5, rel=0.15)


def test_subtracting_the_projections_of_noise_free_images_leaves_nothing(folder, monkeypatch):
    monkeypatch.chdir(folder)
    images = run(folder, "signal", *POSES, "--ctf")
    left = run(folder, "left", "--ang", str(folder / "signal.star"), "--ctf", "--subtract_exp")
    assert np.abs(left).max() < 1e-3 * np.abs(images).max()


def test_simulation_moves_the_signal_to_other_poses(folder, monkeypatch):
    monkeypatch.chdir(folder)
    images = run(folder, "signal", *POSES, "--ctf")
    moved = run(folder, "moved", "--ang", str(folder / "signal.star"), "--ctf", "--simulate")
    assert moved.std() == pytest.approx(images.std(), rel=0.2)
    assert abs(np.corrcoef(moved.ravel(), images.ravel())[0, 1]) < 0.95


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ang", "nowhere.star"], "nowhere.star"),
        (["--ang", "poses.star", "--add_noise"], "--white_noise"),
        (["--mask", "small.mrc", "--nr_uniform", "2"], "must have one size"),
        (["--ang", "poses.star", "--subtract_exp"], "none.mrcs"),
        (["--ang", "fine.star", "--subtract_exp"], "pixels of 0.5 Å"),
        (["--mask", "coarse.mrc", "--nr_uniform", "2"], "the mask has pixels of 9 Å"),
        (["--i", "empty.mrc", "--nr_uniform", "2"], "all its values are 0"),
        (["--maxres", "1e9", "--nr_uniform", "2"], "nothing is left"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_written(
    folder, monkeypatch, capsys, flags, message
):
    monkeypatch.chdir(folder)
    write_volume("small.mrc", np.zeros((8, 8, 8), np.float32), PIXEL)
    whole = read_volume("map.mrc").data
    write_volume("coarse.mrc", np.ones_like(whole), 9.0)
    write_volume("empty.mrc", np.zeros_like(whole), PIXEL)
    star = read_star("poses.star")
    fine = star["optics"].with_columns({"rlnImagePixelSize": [0.5] * len(star["optics"])})
    write_star("fine.star", star.with_table(fine))
    assert project.main(["--i", "map.mrc", "--o", "refused", *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "refused.mrcs").exists()
    assert not (folder / "refused.star").exists()


@pytest.mark.parametrize(
    "flags",
    ["--pad 0.5", "--nr_uniform 0", "--rot nan", "--sigma_offset -1", "--white_noise -1", "--j -1"],
)
def test_values_that_are_none_are_refused(folder, flags):
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit, match="2"):
        project.main(["--i", str(folder / "map.mrc"), "--o", "refused", *flags.split()])
    assert sorted(folder.iterdir()) == before


def test_a_map_with_an_odd_side_is_refused(tmp_path, capsys):
    write_volume(tmp_path / "odd.mrc", np.zeros((9, 9, 9), np.float32), PIXEL)
    assert project.main(["--i", str(tmp_path / "odd.mrc"), "--nr_uniform", "2"]) == 2
    assert "even side" in capsys.readouterr().err
