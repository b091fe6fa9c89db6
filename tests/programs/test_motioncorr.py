"""Motion correction as a job: known truth, RELION, files, bad movies, going on."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from programs.motion_movies import OPTICS, drifting, job, listed, options, tiff
from vitreous.dataset.motion_star import read_motion
from vitreous.engine.motion import local
from vitreous.errors import ComputeError, InputError, MissingFileError
from vitreous.io import read_header, read_star, read_volume, write_mrc
from vitreous.jobs.context import Aborted
from vitreous.programs import motioncorr, simulate, simulate_options

SHAPE = (128, 160)


@pytest.fixture(autouse=True)
def _in_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def movies():
    """Three movies of a project, and their common path."""
    names = []
    for number in range(3):
        frames, path = drifting(seed=number)
        names.append(tiff(f"Movies/m{number}.tiff", frames))
    listed(names)
    return path


def micrographs(folder="MotionCorr/job002/"):
    return read_star(f"{folder}corrected_micrographs.star")["micrographs"]


def simulated(folder, *flags):
    common = ["movies", "--o", folder, "--size", "512", "512", "--angpix", "1.5", "--frames", "14",
              "--dose_per_frame", "1.2", "--particles", "20", "--overlap", "0.2", "--border",
              "-100"]  # fmt: skip
    list(simulate.run(simulate_options.parser().parse_args([*common, *flags])))


def rms(found, truth):
    """Deviation over frames (axis 0 or 1 before x y), what is common to all frames left out."""
    difference = found - truth
    return float(np.sqrt(np.square(difference - difference.mean(-2, keepdims=True)).mean()))


def over_field(motion, grid=9):
    """Return places and the whole shift there, (p, f, 2)."""
    height, width = motion.shape
    x, y = np.meshgrid(np.linspace(0, width, grid), np.linspace(0, height, grid))
    place = torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1))
    shift = motion.shift_px[None]
    if motion.coefficients_px is not None:
        frames = torch.arange(len(motion.shift_px), dtype=torch.float64)
        model = torch.from_numpy(motion.coefficients_px)
        shift = shift + local.shifts_at(model, place, frames, motion.shape).numpy()
    return shift


@pytest.mark.parametrize(("drift_A", "local_A", "patches"), [(20, 0, 1), (0, 4, 5), (20, 4, 5)])
def test_the_motion_of_simulated_movies_is_found(drift_A, local_A, patches):
    simulated("sim", "--drift", str(drift_A), "--local_motion", str(local_A))
    run = job(
        options(
            "sim/movies.star", gain_reference="sim/gain.mrc", defects="sim/defects.txt",
            dose_per_frame_e_per_A2=1.2, patches_x=patches, patches_y=patches,
        )
    )  # fmt: skip
    found = read_motion("MotionCorr/job002/sim/Movies/movie00001.star")
    truth = read_motion("sim/truth/movie00001_motion.star")
    assert rms(found.shift_px, truth.shift_px) < 0.05
    assert rms(over_field(found), over_field(truth)) < 0.2
    assert run.warnings == []
    hot = read_star("sim/truth/hot_pixels.star")["hot_pixels"]
    wanted = set(zip(hot["rlnCoordinateX"], hot["rlnCoordinateY"], strict=True))
    assert set(map(tuple, found.hot_px)) == wanted
    image = read_volume("MotionCorr/job002/sim/Movies/movie00001.mrc").data[0]
    assert (np.abs(image - image.mean()) < 8 * image.std()).all()  # no bad pixel is left


def test_all_that_is_promised_is_written(movies):
    run = job(
        options(
            patches_x=3, patches_y=3, save_unweighted=True, write_float16=True,
            gain_reference="", flags="--even_odd_split --ps_size 64",
        )
    )  # fmt: skip
    rows = micrographs()
    stem = "MotionCorr/job002/Movies/m0"
    assert rows.labels[:5] == (
        "rlnMicrographNameNoDW", "rlnCtfPowerSpectrum", "rlnMicrographNameEven",
        "rlnMicrographNameOdd", "rlnMicrographName",
    )  # fmt: skip
    endings = {"NameNoDW": "_noDW", "NameEven": "_EVN", "NameOdd": "_ODD", "Name": ""}
    for label, ending in endings.items():
        assert rows[f"rlnMicrograph{label}"][0] == f"{stem}{ending}.mrc"
        header = read_header(f"{stem}{ending}.mrc")
        assert header.mode == 12
        assert header.shape == (1, *SHAPE)
        assert header.pixel_size_A == pytest.approx(1.5)
    assert read_header(f"{stem}_PS.mrc").mode == 2
    assert read_header(f"{stem}_PS.mrc").shape == (1, 64, 64)
    optics = read_star("MotionCorr/job002/corrected_micrographs.star")["optics"]
    assert optics["rlnMicrographPixelSize"][0] == 1.5
    even, odd, whole = (read_volume(f"{stem}{end}.mrc").data[0] for end in
                        ("_EVN", "_ODD", "_noDW"))  # fmt: skip
    assert np.corrcoef(even.ravel(), odd.ravel())[0, 1] > 0.3
    assert whole.mean() == pytest.approx(16, rel=0.05)
    motion = read_motion(f"{stem}.star")
    steps = np.hypot(*np.diff(motion.shift_px, axis=0).T)
    assert rows["rlnAccumMotionTotal"][0] == pytest.approx(steps.sum())
    assert rows["rlnAccumMotionEarly"][0] == pytest.approx(steps[:3].sum())  # up to frame 4
    assert run.headlines["movies"] == 3
    assert run.headlines["total_motion"] == pytest.approx(1.5 * 5.6, rel=0.2)
    assert set(run.plots) == {"total_motion", "early_late_motion", "drift"}
    assert len(run.plots["drift"]["panels"]) == 3
    assert (run.path / "logfile.pdf").stat().st_size > 1000
    assert "Global alignment" in (run.path / "Movies/m0.log").read_text()


def test_the_named_plots_and_numbers_are_declared():
    declared = {result.name for result in options().results()}
    assert declared == {
        "movies", "total_motion", "early_motion", "early_late_motion", "drift",
    }  # fmt: skip


def relion_job(*flags, folder="rel/", movies="movies.star"):
    command = ["relion_run_motioncorr", "--i", movies, "--o", folder, "--use_own", "--j", "1"]
    subprocess.run([*command, *flags], check=True, capture_output=True)


@pytest.mark.usefixtures("relion")
def test_shifts_sums_and_spectra_are_those_of_relion():
    frames, _ = drifting((512, 640), 11, 11.0, seed=4)
    listed([tiff("Movies/m.tiff", frames)])
    relion_job("--dose_weighting", "--save_noDW", "--dose_per_frame", "1.1", "--preexposure",
               "0.7", "--grouping_for_ps", "3", "--first_frame_sum", "2", "--last_frame_sum", "9",
               "--skip_defect")  # fmt: skip
    job(
        options(
            dose_per_frame_e_per_A2=1.1, pre_exposure_e_per_A2=0.7, first_frame=2, last_frame=9,
            power_spectrum_dose_e_per_A2=3.3, save_unweighted=True,
            flags="--relion_compat --skip_defect",
        )
    )  # fmt: skip
    ours, theirs = (read_motion(f"{f}Movies/m.star") for f in ("MotionCorr/job002/", "rel/"))
    assert np.isnan(ours.shift_px).all(1).tolist() == [True, *[False] * 8, True, True]
    assert np.nanmax(np.abs(ours.shift_px - theirs.shift_px)) < 0.003
    for ending in ("", "_noDW", "_PS"):
        a, b = (read_volume(f"{f}Movies/m{ending}.mrc") for f in ("MotionCorr/job002/", "rel/"))
        assert a.pixel_size_A == pytest.approx(b.pixel_size_A, rel=1e-5)
        assert a.data.mean() == pytest.approx(b.data.mean(), rel=1e-3)
        assert a.data.std() == pytest.approx(b.data.std(), rel=5e-3)
        assert np.corrcoef(a.data.ravel(), b.data.ravel())[0, 1] > 0.999
    mine, other = micrographs(), micrographs("rel/")
    assert mine.labels == other.labels
    for which in ("Total", "Early", "Late"):
        label = f"rlnAccumMotion{which}"
        assert mine[label][0] == pytest.approx(other[label][0], abs=0.05)


@pytest.mark.usefixtures("relion")
def test_gain_hot_pixels_and_general_facts_are_those_of_relion():
    frames, _ = drifting((512, 640), 6, 3.0, counts=6.0)
    frames[:, 50, 60] = frames[:, 9, 300] = 90
    listed([tiff("Movies/m.v2.tiff", frames)])
    gain = np.random.default_rng(0).normal(1, 0.05, (640, 512)).astype(np.float32)
    write_mrc("given.mrc", gain, 1.0)
    relion_job("--gainref", "given.mrc", "--gain_rot", "1", "--gain_flip", "2")
    job(
        options(
            gain_reference="given.mrc", gain_rotation="90 degrees (1)", dose_weighting=False,
            gain_flip="Flip left to right (2)", save_power_spectra=False, flags="--relion_compat",
        )
    )  # fmt: skip
    turned = [read_volume(f"{folder}gain.mrc").data for folder in ("MotionCorr/job002/", "rel/")]
    np.testing.assert_array_equal(*turned)
    stars = [read_star(f"{f}Movies/m_v2.star") for f in ("MotionCorr/job002/", "rel/")]
    hot = [set(map(tuple, read_motion(f"{f}Movies/m_v2.star").hot_px)) for f in
           ("MotionCorr/job002/", "rel/")]  # fmt: skip
    assert hot[0] == hot[1] == {(60.0, 50.0), (300.0, 9.0)}
    general = [next(star["general"].rows()) for star in stars]
    for label, value in general[1].items():
        if label != "rlnMicrographGainName":
            assert general[0][label] == value, label
    sums = [read_volume(f"{f}Movies/m_v2.mrc").data for f in ("MotionCorr/job002/", "rel/")]
    shifts = [read_motion(f"{f}Movies/m_v2.star").shift_px for f in ("MotionCorr/job002/", "rel/")]
    assert np.abs(shifts[0] - shifts[1]).max() < 0.003
    waves = [np.fft.rfft2(image[0]) for image in sums]
    radius = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(640)[None])
    coarse = [wave[(radius > 0.02) & (radius < 0.2)] for wave in waves]
    power = np.prod([np.square(np.abs(wave)).sum() for wave in coarse])
    assert np.real(coarse[0] * coarse[1].conj()).sum() / power**0.5 > 0.999
    assert np.corrcoef(sums[0].ravel(), sums[1].ravel())[0, 1] > 0.997


@pytest.mark.usefixtures("relion")
def test_relion_reads_the_lists(movies):
    job(options(patches_x=3, patches_y=3))
    for star in ("corrected_micrographs.star", "Movies/m0.star"):
        command = ["relion_star_printtable", f"MotionCorr/job002/{star}"]
        table = ["data_micrographs", "rlnMicrographName"]
        if star.endswith("m0.star"):
            table = ["data_local_motion_model", "rlnMotionModelCoeff"]
        if shutil.which(command[0]) is None:
            pytest.skip("relion_star_printtable is not there")
        told = subprocess.run([*command, *table], check=True, capture_output=True, text=True)
        assert len(told.stdout.split()) == (3 if star.startswith("c") else 36)


def test_bad_movies_are_named_and_the_others_are_corrected(movies):
    frames, _ = drifting()
    good = tiff("Movies/good.tiff", frames)
    cut = tiff("Movies/cut.tiff", frames)
    whole = Path(cut).read_bytes()
    Path(cut).write_bytes(whole[: len(whole) // 2])
    other = tiff("Movies/other.tiff", frames[:, :64])
    short = tiff("Movies/short.tiff", frames[:5])
    few = tiff("Movies/few.tiff", frames[:2])
    values = frames.astype(np.float32)
    values[3, 5, 5] = np.nan
    write_mrc("Movies/nan.mrcs", values, 1.5)
    dark = tiff("Movies/dark.tiff", np.zeros_like(frames))
    blinking = frames.copy()
    blinking[4] = 0
    blinked = tiff("Movies/blink.tiff", blinking)
    names = [good, cut, other, short, few, "Movies/nan.mrcs", dark, blinked, "Movies/no.tiff",
             good.replace("good", "lost"), good.replace("good", "flat")]  # fmt: skip
    for name in names[-2:]:
        tiff(name, frames)
    optics = {k: v * 2 for k, v in OPTICS.items()} | {
        "rlnOpticsGroup": [1, 2],
        "rlnOpticsGroupName": ["a", "b"],
        "rlnMicrographOriginalPixelSize": [1.5, 0.0],
    }
    listed(names, optics, [1] * 9 + [7, 2])
    write_mrc("gain.mrc", np.ones(SHAPE, np.float32), 1.5)
    run = job(options(gain_reference="gain.mrc", last_frame=8))
    done = [name.rsplit("/", 1)[-1] for name in micrographs()["rlnMicrographName"]]
    assert done == ["good.mrc", "short.mrc", "blink.mrc"]
    told = run.told
    for name, why in {
        "cut.tiff": "damaged, truncated", "other.tiff": "160 x 128", "few.tiff": "wanted at least",
        "nan.mrcs": "frame 4: 1 pixels are NaN", "dark.tiff": "no counts", "no.tiff": "no such",
        "lost.tiff": "rlnOpticsGroup is 7", "flat.tiff": "is 0 Å",
    }.items():  # fmt: skip
        (line,) = [one for one in told.splitlines() if f"/{name}" in one and "could not" in one]
        assert why in line, line
    assert "fewer frames than the last one wanted" in told
    assert "short.tiff: 5 frames, most have 8" in told
    assert "blink.tiff: frame 5" in told
    assert any("8 of 11 movies could not be used" in line for line in run.lines)
    motion = read_motion("MotionCorr/job002/Movies/blink.star")
    assert np.isfinite(motion.shift_px).all()
    middle = (motion.shift_px[3] + motion.shift_px[5]) / 2
    np.testing.assert_allclose(motion.shift_px[4], middle)


def test_a_truncated_eer_movie_is_named():
    simulated("sim", "--format", "eer", "--size", "256", "256", "--n", "2", "--no_gain",
              "--eer_raw", "4", "--frames", "6")  # fmt: skip
    name = "sim/Movies/movie00002.eer"
    whole = Path(name).read_bytes()
    Path(name).write_bytes(whole[: len(whole) * 2 // 3])
    run = job(options("sim/movies.star", eer_grouping=4, dose_per_frame_e_per_A2=1.2))
    assert len(micrographs()) == 1
    assert "movie00002.eer" in run.told
    general = next(read_star("MotionCorr/job002/sim/Movies/movie00001.star")["general"].rows())
    assert general["rlnEERGrouping"] == 4
    assert general["rlnEERUpsampling"] == 1
    assert general["rlnImageSizeZ"] == 6


def test_a_job_fails_only_where_nothing_is_left():
    frames, _ = drifting()
    listed([tiff("Movies/a.tiff", frames[:2])])
    with pytest.raises(ComputeError, match="None of the 1 movies"):
        job(options())


def test_a_job_goes_on_with_what_is_missing(movies):
    chosen = options(patches_x=3, patches_y=3)
    first = job(chosen, abort_after=None)
    assert first.advanced == 3
    kept = {name: Path(name).read_bytes() for name in micrographs()["rlnMicrographName"]}
    lost = "MotionCorr/job002/Movies/m1_PS.mrc"
    (first.path / "Movies/m1_PS.mrc").unlink()
    again = job(chosen, is_continue=True)
    assert again.advanced == 1
    assert read_header(lost).shape[1:] == (512, 512)
    for name, content in kept.items():
        assert Path(name).read_bytes() == content  # random repairs included
    assert len(micrographs()) == 3


def test_no_more_than_asked_are_done_and_a_stop_keeps_what_is_finished(movies):
    one = job(options(flags="--do_at_most 1"))
    assert one.advanced == 1
    assert len(micrographs()) == 1
    with pytest.raises(Aborted):
        job(options(), abort_after=0)
    assert not list(one.path.rglob("*.tmp"))


def test_frames_read_again_give_the_same_as_frames_kept(movies, monkeypatch):
    job(options())
    monkeypatch.setattr(motioncorr, "_SHARE_OF_FREE", 1e-9)
    run = job(options(), folder="MotionCorr/job003/")
    assert any("read again" in line for line in run.lines)
    for number in range(3):
        one, two = (
            read_volume(f"MotionCorr/job00{job_number}/Movies/m{number}.mrc").data
            for job_number in (2, 3)
        )
        np.testing.assert_array_equal(one, two)


def test_several_movies_at_once_give_the_same(movies):
    job(options())
    before = torch.get_num_threads()
    try:
        job(options(n_threads=8), folder="MotionCorr/job003/", n_threads=8)
    finally:
        torch.set_num_threads(before)
    for number in range(3):
        one, two = (
            read_volume(f"MotionCorr/job00{job_number}/Movies/m{number}.mrc").data
            for job_number in (2, 3)
        )
        np.testing.assert_allclose(one, two, atol=0.02)


@pytest.mark.parametrize("flags", ["", "--relion_compat"])
def test_binning_makes_smaller_micrographs_of_the_same_motion(flags, movies):
    job(options(flags=flags, binning=2))
    header = read_header("MotionCorr/job002/Movies/m2.mrc")
    assert header.shape == (1, SHAPE[0] // 2, SHAPE[1] // 2)
    assert header.pixel_size_A == pytest.approx(3.0)
    motion = read_motion("MotionCorr/job002/Movies/m2.star")
    assert motion.binning == 2
    assert rms(-motion.shift_px, movies) < 0.15
    optics = read_star("MotionCorr/job002/corrected_micrographs.star")["optics"]
    assert optics["rlnMicrographPixelSize"][0] == 3.0


def test_a_binning_that_does_not_fit_names_those_that_do(movies):
    with pytest.raises(ComputeError, match="both must be even") as refused:
        job(options(binning=1.1))
    assert "Binnings near that which work" in str(refused.value)


def test_what_is_not_there_is_refused_before_anything_begins(movies):
    with pytest.raises(MissingFileError, match=r"Gain reference no\.mrc; Defects none\.txt"):
        job(options(gain_reference="no.mrc", defects="none.txt"))
    with pytest.raises(InputError, match="--frobnicate"):
        job(options(flags="--frobnicate"))
    with pytest.raises(InputError, match="even size"):
        job(options(flags="--ps_size 63"))
    listed(["Movies/m0.tiff"], {**OPTICS, "rlnVoltage": [120.0]})
    with pytest.raises(ComputeError, match="120 kV: dose weighting is known"):
        job(options())


def test_names_that_differ_by_a_dot_only_stay_apart(movies):
    frames, _ = drifting()
    listed([tiff("Movies/a.b.tiff", frames), tiff("Movies/a_b.tiff", frames)])
    run = job(options(patches_x=2, patches_y=5))
    names = [name.rsplit("/", 1)[-1] for name in micrographs()["rlnMicrographName"]]
    assert names == ["a_b.mrc", "a_b_2.mrc"]
    assert "2 x 5 patches are too few" in run.told


def test_a_movie_without_common_signal_is_told():
    rng = np.random.default_rng(1)
    frames = rng.poisson(1.0, (6, 128, 160)).astype(np.uint8)
    listed([tiff("Movies/noise.tiff", frames)])
    run = job(options())
    assert "did not converge" in run.told
    assert len(micrographs()) == 1
