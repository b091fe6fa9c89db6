"""`vitreous simulate` held to what other programs, of ours and RELION's, make of its files."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import fft, ndimage

from vitreous.io import open_movie, read_image, read_mrc, read_star, read_volume, write_volume
from vitreous.io.gain import read_gain
from vitreous.programs import project, reconstruct, simulate
from vitreous.testing.simulate import atoms, density, rotations

BOX, PIXEL = 48, 4.5


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def run(what: str, folder: Path, *flags: object) -> Path:
    assert simulate.main([what, "--o", str(folder), *map(str, flags)]) == 0
    return folder


def fsc(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    a, b = (fft.fftshift(fft.fftn(v.astype(float))) for v in (first, second))
    centre = len(first) // 2
    shell = np.sqrt(sum((axis - centre) ** 2.0 for axis in np.indices(first.shape)))
    shell = shell.round().astype(int).ravel()

    def total(values):
        return np.bincount(shell, values.ravel())[1:centre]

    return total((a * b.conj()).real) / np.sqrt(total(np.abs(a) ** 2) * total(np.abs(b) ** 2))


def images_of(folder: Path, name: str = "particles.mrcs") -> np.ndarray:
    return read_mrc(folder / name)[0].astype(np.float64)


@pytest.fixture(scope="module")
def particles(tmp_path_factory):
    """Noise-free particles with all that optics can do wrong; one chain, which has no symmetry."""
    folder = tmp_path_factory.mktemp("simulated") / "sim"
    return run(
        "particles", folder, "--n", 600, "--angpix", PIXEL, "--box_size", BOX, "--pad", 1,
        "--i", atoms.SHIPPED, "--sym", "C1", "--offset", 7, "--defocus", 8000, 16000,
        "--astigmatism", 2500, "--beamtilt_x", 3, "--beamtilt_y", -2, "--trefoil", 60, 30,
        "--even_zernike", 0, 0, 0, 0, 0, 0, 100, "--phase_shift", 25, "--optics_groups", 2,
        "--beamtilt_spread", 1, "--j", 2,
    )  # fmt: skip


def test_our_reconstruction_gives_the_truth_back_with_its_hand(particles):
    found = particles / "ours.mrc"
    command = ["--i", particles / "particles.star", "--o", found, "--ctf", "--skip_gridding"]
    assert reconstruct.main([str(word) for word in command]) == 0
    volume, truth = read_volume(found).data, read_volume(particles / "truth/map_class001.mrc").data
    assert fsc(volume, truth)[: int(0.8 * BOX / 2)].min() > 0.99
    assert fsc(volume[::-1], truth)[5:15].max() < 0.9  # the other hand does not fit


def test_relions_reconstruction_gives_the_same(particles, relion):
    found = particles / "relion.mrc"
    subprocess.run(
        ["relion_reconstruct", "--i", str(particles / "particles.star"), "--o", str(found),
         "--ctf", "--skip_gridding"], check=True, capture_output=True,
    )  # fmt: skip
    volume, truth = read_volume(found).data, read_volume(particles / "truth/map_class001.mrc").data
    assert fsc(volume, truth)[: int(0.8 * BOX / 2)].min() > 0.99


@pytest.mark.parametrize("program", ["ours", "relion"])
def test_projections_of_the_true_map_are_the_images(particles, program, request, tmp_path):
    flags = ["--i", particles / "truth/map_class001.mrc", "--ang", particles / "particles.star",
             "--ctf", "--o", tmp_path / "projected", "--angpix", PIXEL]  # fmt: skip
    words = [str(word) for word in flags]
    if program == "ours":
        assert project.main(words) == 0
    else:
        request.getfixturevalue("relion")
        subprocess.run(["relion_project", *words], check=True, capture_output=True)
    found, ours = images_of(tmp_path, "projected.mrcs"), images_of(particles)
    # Compared below 0.8 Nyquist: a map of this grid ends at Nyquist, and interpolation before it.
    keep = np.hypot(fft.fftfreq(BOX)[:, None], fft.rfftfreq(BOX)) < 0.4
    keep[0, 0] = False
    a, b = (fft.rfft2(images)[:, keep] for images in (found, ours))
    scale = (a * b.conj()).real.sum() / (np.abs(a) ** 2).sum()
    error = np.sqrt((np.abs(scale * a - b) ** 2).sum(1) / (np.abs(b) ** 2).sum(1))
    assert np.median(error) < 0.04
    assert error.max() < 0.1


def test_the_truth_of_particles_is_complete(particles):
    star = read_star(particles / "particles.star")
    table = star["particles"]
    wanted = ("AngleRot", "AngleTilt", "AnglePsi", "OriginXAngst", "OriginYAngst", "DefocusU",
              "DefocusV", "DefocusAngle", "PhaseShift", "ClassNumber", "RandomSubset",
              "OpticsGroup", "MicrographName", "ImageName")  # fmt: skip
    assert all("rln" + label in table for label in wanted)
    assert len(table) == len(images_of(particles)) == 600
    assert np.bincount(table["rlnRandomSubset"]).tolist() == [0, 300, 300]
    assert np.bincount(table["rlnOpticsGroup"]).tolist() == [0, 300, 300]
    assert star["optics"]["rlnBeamTiltX"].std() > 0
    np.testing.assert_array_equal(images_of(particles), images_of(particles, "truth/clean.mrcs"))


@pytest.mark.parametrize(("snr", "extra"), [(0.05, []), (0.5, ["--coloured"])])
def test_the_signal_to_noise_ratio_is_the_one_asked_for(tmp_path, snr, extra):
    folder = run("particles", tmp_path / "s", "--n", 100, "--pad", 1, "--angpix", 6,
                 "--box_size", 40, "--snr", snr, *extra)  # fmt: skip
    noisy, clean = images_of(folder), images_of(folder, "truth/clean.mrcs")
    noise = noisy - clean
    measured = clean.var((1, 2)).mean() / noise.var((1, 2)).mean()
    assert measured == pytest.approx(snr, rel=0.03)
    told = json.loads((folder / "truth/simulation.json").read_text())
    assert told["snr"] == pytest.approx(measured, rel=0.01)
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    power = (np.abs(fft.rfft2(noise)) ** 2).mean(0)
    low, high = power[1:3, 1:3].mean(), power[16:20, 14:18].mean()
    assert (low / high > 1.3) == bool(extra)


def test_images_made_of_electrons_have_the_noise_of_counting(tmp_path):
    folder = run("particles", tmp_path / "d", "--n", 64, "--angpix", 6, "--box_size", 40,
                 "--dose", 20, "--ice", 0, "--perfect_detector")  # fmt: skip
    noise = images_of(folder) - images_of(folder, "truth/clean.mrcs")
    assert noise.std() == pytest.approx(1.0, abs=0.03)
    assert np.abs(noise.mean()) < 0.02
    # The dose has taken the fine detail: less contrast there than in an undamaged set.
    fresh = run("particles", tmp_path / "f", "--n", 64, "--angpix", 6, "--box_size", 40,
                "--dose", 20, "--ice", 0, "--perfect_detector", "--no_damage")  # fmt: skip
    spectra = [np.abs(fft.rfft2(images_of(f, "truth/clean.mrcs"))).mean(0) for f in (folder, fresh)]
    ratio = spectra[0] / spectra[1]
    k = np.array([0, 18]) / 40 / 6
    from vitreous.testing.simulate.dose import amplitude_left

    wanted = amplitude_left(k, 0, 20, 300.0)
    assert ratio[0, 0] == pytest.approx(wanted[0], rel=0.01)
    assert ratio[0, 18] == pytest.approx(wanted[1], rel=0.06)


def test_states_come_in_the_shares_asked_for_and_a_map_is_one(tmp_path):
    chain = density.from_atoms(atoms.read_atoms(atoms.SHIPPED), 300.0)
    write_volume(tmp_path / "map.mrc", density.density_map(chain, 40, 6.0), 6.0)
    folder = run("particles", tmp_path / "two", "--n", 128, "--angpix", 6, "--box_size", 40,
                 "--i", atoms.SHIPPED, tmp_path / "map.mrc", "--weights", 3, 1)  # fmt: skip
    state = read_star(folder / "particles.star")["particles"]["rlnClassNumber"]
    assert 0.6 < (state == 1).mean() < 0.9
    assert (folder / "truth/map_class002.mrc").is_file()


MOVIE = ("--n", 2, "--angpix", 3, "--size", 256, 320, "--particles", 6, "--frames", 8,
         "--dose_per_frame", 2.5, "--drift", 30, "--local_motion", 9, "--defocus", 9000, 9000,
         "--astigmatism", 0, "--height", 100, "--particle_motion", 2)  # fmt: skip


@pytest.fixture(scope="module")
def movies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movies") / "sim"
    return run("movies", folder, *MOVIE, "--mdoc")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes().replace(str(folder).encode(), b"")
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".tiff", ".mrc", ".mrcs", ".star")
    }


def test_the_seed_decides_everything_for_any_number_of_workers(movies, tmp_path):
    same = digests(run("movies", tmp_path / "sim", *MOVIE, "--mdoc", "--j", 2))
    first = digests(movies)
    for kind in (".tiff", ".mrc"):
        mine = {k: v for k, v in first.items() if k.endswith(kind)}
        assert mine
        assert mine == {k: v for k, v in same.items() if k.endswith(kind)}
    again = ("--n", 65, "--angpix", 9, "--box_size", 24, "--snr", 1, "--random_seed")
    stacks = [images_of(run("particles", tmp_path / f"p{i}", *again, seed))
              for i, seed in enumerate((0, 0, 1))]  # fmt: skip
    np.testing.assert_array_equal(stacks[0], stacks[1])
    assert np.abs(stacks[0] - stacks[2]).max() > 1


def test_all_that_is_true_of_a_movie_is_told(movies):
    listed = read_star(movies / "movies.star")
    assert listed["movies"].labels == ("rlnMicrographMovieName", "rlnOpticsGroup")
    assert "rlnMtfFileName" in listed["optics"]
    names = listed["movies"]["rlnMicrographMovieName"].tolist()
    truth = read_star(movies / "truth/particles.star")["particles"]
    assert len(truth) == 12
    assert truth["rlnCoordinateZ"].std() * 3 == pytest.approx(100, rel=0.6)
    # Higher particles are nearer to focus.
    np.testing.assert_allclose(truth["rlnDefocusU"], 9000 - truth["rlnCoordinateZ"] * 3, atol=0.1)
    for name in names:
        stem = Path(name).stem
        motion = read_star(movies / f"truth/{stem}_motion.star")
        assert len(motion["global_shift"]) == 8
        assert len(motion["local_motion_model"]) == 36
        tracks = read_star(movies / f"truth/{stem}_tracks.star")
        assert tracks["general"].value("rlnParticleNumber") == 6
        assert all(len(tracks[str(number)]) == 8 for number in range(6))
        assert read_mrc(movies / f"truth/{stem}_clean.mrc")[0].shape == (1, 320, 256)
        assert (movies / f"Movies/{stem}.tiff.mdoc").read_text().startswith("PixelSpacing = 3\n")
    listed = read_star(movies / "truth/coordinates.star")["coordinate_files"]
    picks = read_star(listed["rlnMicrographCoordinates"][0]).first
    np.testing.assert_allclose(picks["rlnCoordinateX"], truth["rlnCoordinateX"][:6])
    ctf = read_star(movies / "truth/micrographs_ctf.star")["micrographs"]
    np.testing.assert_allclose(ctf["rlnDefocusU"], 9000)


def test_tracks_are_drift_plus_field_plus_the_particles_own(movies):
    stem = "movie00001"
    motion = read_star(movies / f"truth/{stem}_motion.star")
    tracks = read_star(movies / f"truth/{stem}_tracks.star")
    truth = read_star(movies / "truth/particles.star")["particles"]
    c = -np.asarray(motion["local_motion_model"]["rlnMotionModelCoeff"]).reshape(2, 6, 3)
    drift = -np.asarray(motion["global_shift"]["rlnMicrographShiftX"])
    rest = []
    for number in range(6):
        x = (truth["rlnCoordinateX"][number] - truth["rlnOriginXAngst"][number] / 3) / 256 - 0.5
        y = (truth["rlnCoordinateY"][number] - truth["rlnOriginYAngst"][number] / 3) / 320 - 0.5
        t = np.arange(8.0)
        powers = np.array([1, x, x * x, y, y * y, x * y])
        field = powers @ c[0] @ np.stack([t, t**2, t**3])
        rest.append(tracks[str(number)]["rlnOriginXAngst"] / 3 - drift - field)
    own = np.array(rest) * 3
    assert np.abs(own[:, 0]).max() < 1e-3
    assert 0.5 < own[:, -1].std() < 5  # asked for: 2 Å


def test_frames_shifted_back_by_the_truth_are_sharp(tmp_path):
    folder = run("movies", tmp_path / "sharp", "--n", 1, "--angpix", 3, "--size", 256, 256,
                 "--particles", 6, "--frames", 10, "--dose_per_frame", 20, "--drift", 40,
                 "--local_motion", 0, "--no_damage", "--no_gain", "--ice", 0,
                 "--perfect_detector", "--format", "mrc")  # fmt: skip
    frames = read_mrc(folder / "Movies/movie00001.mrc")[0].astype(float)
    motion = read_star(folder / "truth/movie00001_motion.star")["global_shift"]
    clean = read_image(str(folder / "truth/movie00001_clean.mrc")).data
    kx, ky = fft.rfftfreq(256)[None], fft.fftfreq(256)[:, None]
    back = sum(
        fft.irfft2(fft.rfft2(frame) * np.exp(-2j * np.pi * (kx * x + ky * y)))
        for frame, x, y in zip(
            frames, motion["rlnMicrographShiftX"], motion["rlnMicrographShiftY"], strict=True
        )
    )
    edge = np.s_[24:-24, 24:-24]

    def alike(image):
        return np.corrcoef(-image[edge].ravel(), clean[edge].ravel())[0, 1]

    noise = np.sqrt(frames.mean() / 10) / frames.mean()  # of the mean over frames, relative
    signal = clean[edge].std()
    assert alike(back) == pytest.approx(signal / np.hypot(signal, noise), abs=0.02)
    assert alike(frames.sum(0)) < alike(back) - 0.15
    # Counts are whole numbers with the variance of their mean.
    assert (frames == frames.round()).all()
    assert frames.mean() == pytest.approx(20 * 9, rel=0.02)


def test_the_gain_flattens_the_sum_of_frames(movies):
    name = read_star(movies / "movies.star")["movies"]["rlnMicrographMovieName"][0]
    with open_movie(name) as movie:
        frames = movie.frames()
    total = frames.astype(float).sum(0)
    gain = read_gain(movies / "gain.mrc", total.shape)
    good = np.ones(total.shape, bool)
    for x, y, w, h in np.atleast_2d(np.loadtxt(movies / "defects.txt", int)):
        assert not total[y : y + h, x : x + w].any()
        good[y : y + h, x : x + w] = False
    assert not total[gain == 0].any()
    hot = read_star(movies / "truth/hot_pixels.star").first
    x, y = (np.asarray(hot[f"rlnCoordinate{axis}"], int) for axis in "XY")
    assert (total[y, x] > 2 * np.median(total)).all()
    good &= (gain > 0) & (ndimage.maximum_filter(total, 1) < 2 * np.median(total))
    keep = good.any(0)  # the dead column has nothing to average
    columns = [np.where(good, image, np.nan)[:, keep] for image in (total, total * gain)]
    spread = [np.nanmean(image, 0).std() / np.nanmean(image) for image in columns]
    assert spread[1] < 0.5 * spread[0]
    assert np.nanmean(columns[1]) == pytest.approx(8 * 2.5 * 9, rel=0.05)


def test_every_format_holds_the_same_frames(tmp_path):
    short = (*MOVIE, "--n", 1, "--frames", 4, "--dose_per_frame", 0.5)
    tiff = run("movies", tmp_path / "t", *short) / "Movies/movie00001.tiff"
    mrc = run("movies", tmp_path / "m", *short, "--format", "mrc") / "Movies/movie00001.mrc"
    frames = read_mrc(mrc)[0]
    with open_movie(tiff) as movie:
        np.testing.assert_array_equal(movie.frames(), frames)
    import tifffile

    with tifffile.TiffFile(tiff) as file:
        page = file.pages[3]
        assert page.dtype == np.uint8
        assert page.compression.name == "LZW"
        np.testing.assert_array_equal(page.asarray()[::-1], frames[3])  # the top row comes first
    eer = run("movies", tmp_path / "e", *short, "--format", "eer", "--eer_raw", 20)
    with open_movie(eer / "Movies/movie00001.eer", eer_grouping=20) as movie:
        counted = movie.frames().astype(float)
    # A raw frame counts one electron in a pixel: a few are lost, as in the real detector.
    assert counted.shape == frames.shape
    assert (counted <= frames).all()
    assert 0.6 < counted.sum() / frames.sum() < 1.0


def test_a_micrograph_shows_its_clean_image_and_its_film(tmp_path):
    folder = run("micrographs", tmp_path / "m", "--n", 1, "--angpix", 3, "--size", 384, 320,
                 "--particles", 10, "--carbon", 0.25, "--contamination", 1)  # fmt: skip
    image = read_image(str(folder / "Micrographs/mic00001.mrc")).data
    clean = read_image(str(folder / "truth/mic00001_clean.mrc")).data
    assert image.shape == clean.shape == (320, 384)
    smooth = [
        ndimage.gaussian_filter(i, 2) - ndimage.gaussian_filter(i, 20) for i in (image, clean)
    ]
    assert np.corrcoef(smooth[0].ravel(), -smooth[1].ravel())[0, 1] > 0.4
    assert read_star(folder / "micrographs.star")["optics"].value("rlnMicrographPixelSize") == 3
    plain = run("micrographs", tmp_path / "p", "--n", 1, "--angpix", 3, "--size", 384, 320,
                "--particles", 10)  # fmt: skip
    bare = read_image(str(plain / "Micrographs/mic00001.mrc")).data
    ratio = np.sort((image / bare.mean()).ravel())
    assert image.mean() < 0.985 * bare.mean()
    assert ratio[0] < 1


def test_ice_shows_the_rings_of_the_true_defocus(tmp_path):
    folder = run("micrographs", tmp_path / "m", "--n", 1, "--angpix", 2, "--size", 512, 512,
                 "--particles", 0, "--defocus", 12000, 12000, "--astigmatism", 0, "--ice", 900,
                 "--dose", 80)  # fmt: skip
    image = read_image(str(folder / "Micrographs/mic00001.mrc")).data
    power = np.abs(fft.fft2(image - image.mean())) ** 2
    k = np.hypot(*np.meshgrid(fft.fftfreq(512, 2.0), fft.fftfreq(512, 2.0)))
    bins = (k * 1024).round().astype(int)
    profile = np.bincount(bins.ravel(), power.ravel()) / np.bincount(bins.ravel())
    shown = slice(60, 200)
    frequency = np.arange(len(profile))[shown] / 1024
    flat = profile[shown] - ndimage.uniform_filter1d(profile, 41)[shown]

    def rings(defocus):
        wave = 12.2643247 / np.sqrt(3e5 * (1 + 0.978466e-6 * 3e5))
        phase = np.pi * wave * defocus * frequency**2 - np.pi / 2 * 2.7e7 * wave**3 * frequency**4
        return np.sin(phase + np.arcsin(0.1)) ** 2 - 0.5

    trial = np.arange(6000, 18000, 50)
    score = [np.corrcoef(rings(defocus), flat)[0, 1] for defocus in trial]
    assert abs(trial[int(np.argmax(score))] - 12000) <= 200
    assert max(score) > 0.5


def test_boxes_cut_at_the_true_coordinates_are_projections_at_the_true_poses(tmp_path):
    folder = run("micrographs", tmp_path / "m", "--n", 1, "--angpix", 4, "--size", 640, 640,
                 "--particles", 8, "--border", 130, "--beamtilt_x", 1)  # fmt: skip
    molecule = density.from_atoms(atoms.read_atoms(atoms.SHIPPED).symmetrised("D2"), 300.0)
    write_volume(tmp_path / "map.mrc", density.density_map(molecule, 64, 4.0), 4.0)
    flags = ["--i", tmp_path / "map.mrc", "--ang", folder / "truth/particles.star", "--ctf", "--o",
             tmp_path / "projected"]  # fmt: skip
    assert project.main([str(flag) for flag in flags]) == 0
    clean = read_image(str(folder / "truth/mic00001_clean.mrc")).data
    truth = read_star(folder / "truth/particles.star")["particles"]
    origins = np.hypot(truth["rlnOriginXAngst"], truth["rlnOriginYAngst"])
    assert origins.max() > 1  # a wrong sign would show
    for x, y, image in zip(
        truth["rlnCoordinateX"].astype(int), truth["rlnCoordinateY"].astype(int),
        images_of(tmp_path, "projected.mrcs"), strict=True,
    ):  # fmt: skip
        box = clean[y - 32 : y + 32, x - 32 : x + 32]
        assert np.corrcoef(box.ravel(), image.ravel())[0, 1] > 0.93


@pytest.mark.parametrize(
    ("what", "flags", "told"),
    [
        ("particles", ["--box_size", "33"], "--box_size is 33"),
        ("particles", ["--snr", "1", "--dose", "20"], "--snr and --dose"),
        ("particles", ["--i", "absent.pdb"], "absent.pdb: no such file"),
        ("particles", ["--sym", "D0"], "Symmetry 'D0'"),
        ("particles", ["--kV", "120", "--dose", "20"], "100, 200 and 300 kV"),
        ("particles", ["--i", "empty.pdb"], "no atoms"),
        ("particles", ["--i", "nan.mrc"], "NaN"),
        ("particles", ["--i", "flat.mrc"], "every value is 0"),
        ("particles", ["--weights", "1", "2"], "--weights has 2 numbers for 1 inputs"),
        ("particles", ["--weights", "-1"], "none may be negative"),
        ("particles", ["--assembly", "9"], "no biological assembly '9'"),
        ("particles", ["--prefer", "0", "200", "5", "0.5"], "--prefer"),
        ("micrographs", ["--size", "255", "256"], "--size 255 256"),
        ("micrographs", ["--i", "good.mrc"], "give the mass"),
        ("micrographs", ["--mtf", "absent.star"], "absent.star: no such file"),
        ("movies", ["--frames", "0", "--overlap", "1"], "--frames is 0"),
        ("movies", ["--dose_per_frame", "0"], "--dose_per_frame is 0"),
    ],
)
def test_what_cannot_work_is_refused_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, what, flags, told
):
    monkeypatch.chdir(tmp_path)
    Path("empty.pdb").write_text("HEADER\nEND\n")
    cube = np.zeros((8, 8, 8), np.float32)
    write_volume("flat.mrc", cube, 2.0)
    write_volume("good.mrc", cube + 1, 2.0)
    cube[0, 0, 0] = np.nan
    write_volume("nan.mrc", cube, 2.0)
    assert simulate.main([what, "--o", "out", *flags]) == 2
    assert told in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize("flag", ["--angpix", "--kV", "--bfactor", "--dose", "--even_zernike"])
def test_numbers_that_are_none_are_refused(tmp_path, flag):
    with pytest.raises(SystemExit, match="2"):
        simulate.main(["particles", "--o", str(tmp_path / "out"), flag, "nan"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_leaves_no_process_no_warning_and_no_listing(tmp_path, number, code):
    flags = ["micrographs", "--o", "out", "--n", "4000", "--j", "2", "--size", "128", "128"]
    heeded = ["env", "--default-signal=INT"]  # where the tests themselves run in the background
    command = [*heeded, sys.executable, "-P", "-m", "vitreous.programs.simulate", *flags]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        try:
            while not list(tmp_path.glob("out/Micrographs/*.mrc")):
                assert running.poll() is None
                time.sleep(0.1)
            os.killpg(running.pid, number)
            told = running.communicate(timeout=60)[1]
        finally:
            running.kill()
    assert running.returncode == code
    assert told in {"", "vitreous simulate: stopped\n"}
    assert not (tmp_path / "out/micrographs.star").exists()


def test_nothing_is_replaced_unasked(particles, capsys):
    before = (particles / "particles.mrcs").stat().st_mtime_ns
    assert simulate.main(["particles", "--o", str(particles)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (particles / "particles.mrcs").stat().st_mtime_ns == before


@pytest.mark.slow
def test_relion_refines_the_particles_to_their_poses(tmp_path, relion, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = run("particles", Path("sim"), "--n", 200, "--angpix", 6, "--box_size", 48,
                 "--snr", 0.2, "--offset", 6, "--j", 2)  # fmt: skip
    (tmp_path / "out").mkdir()
    # Global searches on a grid of 7.5 degrees and one pixel: by correlation, then by likelihood.
    subprocess.run(
        ["relion_refine", "--i", "sim/particles.star", "--o", "out/run", "--ref",
         "sim/truth/map_class001.mrc", "--ini_high", "30", "--iter", "3", "--K", "1", "--sym", "D2",
         "--ctf", "--particle_diameter", "220", "--healpix_order", "2", "--offset_range", "4",
         "--offset_step", "2", "--oversampling", "1", "--firstiter_cc", "--j", "2",
         "--dont_combine_weights_via_disc", "--zero_mask", "--flatten_solvent", "--tau2_fudge",
         "2"],
        check=True, capture_output=True, timeout=1200,
    )  # fmt: skip
    found = read_star("out/run_it003_data.star")["particles"]
    truth = read_star(folder / "particles.star")["particles"]
    order = np.argsort(found["rlnImageName"].astype(str))
    labels = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
    ours = rotations.matrices(np.stack([truth[label] for label in labels], 1))
    theirs = rotations.matrices(np.stack([found[label][order] for label in labels], 1))
    mates = np.einsum("nij,gjk->ngik", theirs, rotations.operators("D2"))
    trace = np.einsum("nij,ngij->ng", ours, mates)
    angle = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))).min(1)
    assert np.median(angle) < 8
    shift = [found[label][order] - truth[label] for label in ("rlnOriginXAngst", "rlnOriginYAngst")]
    assert np.median(np.hypot(*shift)) < 4
