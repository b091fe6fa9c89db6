"""The CtfFind job on real and simulated micrographs, and on what is no micrograph."""

from __future__ import annotations

import math
import os
import subprocess

import numpy as np
import pytest

import vitreous
from programs.jobs_made import run_job
from vitreous.dataset.micrograph_ctf import Estimate, read_estimate, read_list, write_estimate
from vitreous.engine.ctf_spectrum import SMALLEST_BOX_PX
from vitreous.errors import ComputeError, FormatError, InputError, OptionError
from vitreous.io import Table, read_star, read_volume, write_mrc, write_star
from vitreous.io.pictures import read_picture
from vitreous.jobs.context import Aborted
from vitreous.programs import benchmark_ctf, ctffind_pictures
from vitreous.programs.ctffind_files import read_curves
from vitreous.programs.ctffind_own import source_of
from vitreous.testing.simulate.contrast import Microscope
from vitreous.testing.simulate.thon import Thon, thon_micrograph

WIDE = {"min_defocus_A": 2000, "max_defocus_A": 60000}
SMALL = {"box_px": 256, "min_defocus_A": 5000, "max_defocus_A": 30000}
APOFERRITIN = {"05.35.20": 25200, "05.55.31": 20600, "07.10.35": 18500}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def optics(pixel_A=1.5, kV=300.0, cs_mm=2.7, **more):
    columns = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnMicrographPixelSize": [pixel_A],
        "rlnVoltage": [kV],
        "rlnSphericalAberration": [cs_mm],
        "rlnAmplitudeContrast": [0.1],
    }
    return Table.from_columns("optics", {**columns, **more})


def list_of(names, path="mics.star", optics_table=None, **columns):
    table = {"rlnMicrographName": names, "rlnOpticsGroup": [1] * len(names), **columns}
    write_star(path, [optics_table or optics(), Table.from_columns("micrographs", table)])
    return path


def simulated(name, truth=(15000.0, 14600.0, 30.0), snr=0.6, size=768, seed=1, **microscope):
    wanted = Thon(size, 1.5, Microscope(**microscope), snr)
    write_mrc(name, thon_micrograph(wanted, truth, np.random.default_rng(seed)), 1.5)
    return name


def rows_of(run):
    return read_star(run.path / "micrographs_ctf.star")["micrographs"]


def test_real_power_spectra_are_fitted_where_another_program_failed(tmp_path, data):
    source = data / "betagal_10204/PowerSpectra"
    expected = read_star(source / "expected_ctf.star").first
    spectra = [str(source / name) for name in expected["rlnCtfPowerSpectrum"]]
    names = [f"MotionCorr/job002/Movies/m{i}.mrc" for i in range(len(spectra))]
    list_of(names, optics_table=optics(0.885, 200.0, 1.4), rlnCtfPowerSpectrum=spectra)
    run = run_job(tmp_path, "ctffind", micrographs="mics.star", **WIDE)
    rows = rows_of(run)
    assert rows["rlnMicrographName"].tolist() == names
    for label in ("rlnDefocusU", "rlnDefocusV"):
        np.testing.assert_allclose(rows[label], expected[label].astype(float), rtol=0.03)
    assert (rows["rlnCtfFigureOfMerit"] > 0.15).all()
    assert (rows["rlnCtfMaxResolution"] < 5.5).all()
    assert (rows["rlnCtfIceRingDensity"] > 0).all()
    assert rows["rlnCtfImage"][0] == "CtfFind/job001/Movies/m0.ctf:mrc"
    assert run.told == ""


@pytest.mark.usefixtures("data")
def test_real_micrographs_fit_cleanly_and_a_hopeless_one_is_told_as_such(tmp_path, data):
    folder = data / "micrographs/apoferritin_10146"
    names = []
    for stem in APOFERRITIN:
        write_mrc(f"{stem}.mrc", read_picture(folder / f"May08_{stem}.bin_avg.png"), 1.5)
        names.append(f"{stem}.mrc")
    write_mrc("one_frame.mrc", read_picture(folder / "May08_07.10.35.bin.png"), 1.5)
    noise = np.random.default_rng(0).normal(size=(1200, 1240)).astype(np.float32)
    write_mrc("noise.mrc", noise, 1.5)
    list_of([*names, "one_frame.mrc", "noise.mrc"])
    run = run_job(tmp_path, "ctffind", micrographs="mics.star", **WIDE)
    rows = rows_of(run)
    mean = (rows["rlnDefocusU"] + rows["rlnDefocusV"]) / 2
    np.testing.assert_allclose(mean[:3], list(APOFERRITIN.values()), rtol=0.03)
    assert (rows["rlnCtfFigureOfMerit"][:3] > 0.1).all()
    assert (rows["rlnCtfMaxResolution"][:3] < 5.6).all()
    assert (rows["rlnCtfAstigmatism"][:3] < 400).all()
    # A single frame has hardly any rings; they are those of the sum (of 07.10.35) all the same.
    assert mean[3] == pytest.approx(APOFERRITIN["07.10.35"], rel=0.03)
    assert (rows["rlnCtfFigureOfMerit"][3:] < 0.02).all()
    assert (rows["rlnCtfMaxResolution"][3:] > 15).all()
    assert rows["rlnCtfFigureOfMerit"][4] == 0
    assert run.headlines["no_rings"] == 1
    assert "no Thon rings" in run.told
    assert "noise.mrc" in run.told


@pytest.mark.parametrize(("snr", "most_A", "gross"), [(0.3, 30, 0), (0.05, 250, 0)])
def test_ten_simulated_micrographs_each_are_fitted(snr, most_A, gross):
    found = benchmark_ctf.accuracy(10, snr, seed=7)
    assert found["mean_error_A"] <= most_A
    assert found["gross"] == gross
    if snr == 0.3:
        assert found["largest_angle_error_deg"] <= 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_hundred_simulated_micrographs_are_fitted():
    good, poor = (benchmark_ctf.accuracy(150, snr) for snr in (0.3, 0.05))
    assert good["largest_error_A"] <= 30
    assert good["largest_angle_error_deg"] <= 5
    assert poor["mean_error_A"] <= 250
    assert good["gross"] + poor["gross"] == 0


@pytest.mark.usefixtures("relion")
def test_relion_reads_the_list_and_the_picture(tmp_path):
    simulated("a.mrc")
    list_of(["a.mrc"])
    run = run_job(tmp_path, "ctffind", micrographs="mics.star", **SMALL)
    listed = f"{run.folder}micrographs_ctf.star"
    command = ["relion_star_handler", "--i", listed, "--o", "r.star"]
    flags = ["--select", "rlnCtfMaxResolution", "--maxval", "10"]
    subprocess.run([*command, *flags], check=True, capture_output=True)
    theirs, ours = read_star("r.star")["micrographs"], rows_of(run)
    assert theirs["rlnCtfImage"].tolist() == ours["rlnCtfImage"].tolist()
    np.testing.assert_allclose(theirs["rlnDefocusU"], ours["rlnDefocusU"], rtol=1e-6)
    command = ["relion_image_handler", "--i", f"{run.folder}a.ctf:mrc", "--stats"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "(x,y,z,n)= 256 x 256 x 1 x 1" in told


def test_a_job_leaves_picture_curves_and_a_list(tmp_path):
    simulated("a.mrc")
    list_of(["a.mrc"])
    run = run_job(tmp_path, "ctffind", micrographs="mics.star", **SMALL)
    rows = rows_of(run)
    assert rows.labels == (
        "rlnMicrographName", "rlnOpticsGroup", "rlnCtfImage", "rlnDefocusU", "rlnDefocusV",
        "rlnCtfAstigmatism", "rlnDefocusAngle", "rlnCtfFigureOfMerit", "rlnCtfMaxResolution",
        "rlnCtfIceRingDensity",
    )  # fmt: skip
    assert rows["rlnDefocusU"][0] == pytest.approx(15000, abs=60)
    assert rows["rlnDefocusU"][0] >= rows["rlnDefocusV"][0]
    difference = rows["rlnDefocusU"] - rows["rlnDefocusV"]
    np.testing.assert_allclose(rows["rlnCtfAstigmatism"], difference, atol=2e-3)
    picture = read_volume(run.path / "a.ctf")
    assert picture.data.shape == (1, 256, 256)
    assert picture.pixel_size_A == pytest.approx(1.5)
    curves = read_curves(run.path / "a_avrot.txt")
    assert len(curves) == 6
    assert curves[0][-1] == pytest.approx(1 / 3)
    in_ring = (curves[0] >= 0.25) & (curves[0] <= 0.28)
    assert rows["rlnCtfIceRingDensity"][0] == pytest.approx(
        np.abs(curves[1][in_ring]).sum(), abs=1e-4
    )
    assert set(run.plots) >= {"defocus", "astigmatism", "max_resolution", "rings", "spectra"}
    assert read_star(run.path / "micrographs_ctf.star")["optics"] == optics()
    assert run.headlines["defocus"] == pytest.approx(1.48, abs=0.01)


def test_bad_micrographs_are_named_and_left_out(tmp_path):
    simulated("good.mrc")
    write_mrc("constant.mrc", np.ones((700, 700), np.float32), 1.5)
    write_mrc("nan.mrc", np.full((700, 700), np.nan, np.float32), 1.5)
    write_mrc("tiny.mrc", np.zeros((40, 50), np.float32), 1.5)
    write_mrc("movie.mrc", np.zeros((3, 300, 300), np.float32), 1.5)
    (tmp_path / "broken.mrc").write_bytes(b"no image")
    bad = ["constant", "nan", "tiny", "movie", "broken", "absent"]
    list_of([f"{name}.mrc" for name in [*bad[:3], "good", *bad[3:]]])
    run = run_job(tmp_path, "ctffind", micrographs="mics.star", **SMALL)
    assert rows_of(run)["rlnMicrographName"].tolist() == ["good.mrc"]
    for name in bad:
        assert f"{name}.mrc" in run.told
        assert any(f"{name}.mrc" in line for line in run.lines)
    assert "one constant value" in run.told
    assert "50 x 40 pixels" in run.told
    assert "holds 3 images, wanted one micrograph" in run.told
    assert any("6 of 7 micrographs could not be used" in line for line in run.lines)
    list_of(["absent.mrc", "constant.mrc"])
    with pytest.raises(ComputeError, match="None of the 2 micrographs could be used"):
        run_job(tmp_path, "ctffind", "CtfFind/job002/", micrographs="mics.star", **SMALL)


def test_optics_that_cannot_be_are_told_for_the_micrographs_that_have_them(tmp_path):
    simulated("good.mrc")
    groups = {
        "rlnOpticsGroupName": list("abcd"),
        "rlnOpticsGroup": [1, 2, 3, 4],
        "rlnMicrographPixelSize": [1.5, 0.0, 1.5, 1.5],
        "rlnVoltage": [300.0, 300.0, 0.0, 300.0],
        "rlnSphericalAberration": [2.7] * 4,
        "rlnAmplitudeContrast": [0.1, 0.1, 0.1, 1.5],
    }
    rows = {"rlnMicrographName": ["good.mrc"] + ["x.mrc"] * 4, "rlnOpticsGroup": [1, 2, 3, 4, 9]}
    write_star(
        "mics.star",
        [Table.from_columns("optics", groups), Table.from_columns("micrographs", rows)],
    )
    run = run_job(tmp_path, "ctffind", micrographs="mics.star", **SMALL)
    assert len(rows_of(run)) == 1
    assert "optics group 2 has no pixel size above 0" in run.told
    assert "a voltage of 0 kV" in run.told
    assert "amplitude contrast of 1.5" in run.told
    assert "rlnOpticsGroup is 9, but data_optics has 1, 2, 3, 4" in run.told


def test_lists_of_nothing_are_refused(tmp_path):
    none = Table.from_columns("micrographs", {"rlnMicrographName": [], "rlnOpticsGroup": []})
    write_star("mics.star", [optics(), none], keep_empty=True)
    with pytest.raises(InputError, match="lists no micrographs"):
        run_job(tmp_path, "ctffind", micrographs="mics.star")
    write_star("particles.star", [optics(), Table.from_columns("particles", {"rlnImageName": []})])
    with pytest.raises(FormatError, match="rlnMicrographName"):
        run_job(tmp_path, "ctffind", micrographs="particles.star")


def test_all_options_that_cannot_work_are_told_together(tmp_path):
    simulated("a.mrc")
    list_of(["a.mrc"])
    wrong = {
        "min_defocus_A": 30000, "max_defocus_A": 20000, "min_resolution_A": 4,
        "max_resolution_A": 5, "fit_phase_shift": True, "phase_shift_step_deg": 0,
        "box_px": 32,
    }  # fmt: skip
    with pytest.raises(OptionError) as caught:
        run_job(tmp_path, "ctffind", micrographs="mics.star", **wrong)
    assert len(caught.value.problems) == 4
    assert SMALLEST_BOX_PX == 64  # the declaration's number, which may not see the engine's
    with pytest.raises(InputError, match="A CtfFind job takes"):
        run_job(tmp_path, "ctffind", micrographs="mics.star", other_arguments="--what")


def test_a_continued_job_does_only_the_rest_and_gives_the_same(tmp_path):
    names = [
        simulated(f"m{i}.mrc", (12000.0 + 3000 * i, 11800.0 + 3000 * i, 10.0)) for i in range(3)
    ]
    list_of(names)
    whole = run_job(tmp_path, "ctffind", "CtfFind/job001/", micrographs="mics.star", **SMALL)
    part = {"micrographs": "mics.star", **SMALL}
    first = run_job(
        tmp_path, "ctffind", "CtfFind/job002/", **part, other_arguments="--do_at_most 1"
    )
    assert len(rows_of(first)) == 1
    before = (first.path / "m0.ctf").stat().st_mtime_ns
    (first.path / "m1_ctf.star").write_text("data_ctf\n\n_rlnCtfImage")  # half a file
    rest = run_job(tmp_path, "ctffind", "CtfFind/job002/", **part, is_continue=True)
    assert rest.advanced == 2
    assert (rest.path / "m0.ctf").stat().st_mtime_ns == before
    one, two = rows_of(whole), rows_of(rest)
    for label in one.labels:
        if label != "rlnCtfImage":
            assert one[label].tolist() == two[label].tolist()


def test_an_aborted_job_keeps_what_is_done(tmp_path):
    list_of([simulated(f"m{i}.mrc") for i in range(3)])
    with pytest.raises(Aborted):
        run_job(tmp_path, "ctffind", micrographs="mics.star", **SMALL, abort_after=1)
    left = list((tmp_path / "CtfFind/job001").glob("*.tmp"))
    assert left == []
    again = run_job(tmp_path, "ctffind", micrographs="mics.star", **SMALL, is_continue=True)
    assert len(rows_of(again)) == 3


def test_phase_shifts_are_fitted_on_request(tmp_path):
    simulated("a.mrc", (9000.0, 8900.0, 0.0), snr=1.0, phase_shift_deg=90.0)
    list_of(["a.mrc"])
    run = run_job(tmp_path, "ctffind", micrographs="mics.star", fit_phase_shift=True, **SMALL)
    assert rows_of(run)["rlnPhaseShift"][0] == pytest.approx(90, abs=5)
    assert "phase_shift" in run.plots


def test_sums_without_dose_weighting_go_before_weighted_ones(tmp_path):
    simulated("noDW.mrc", (9000.0, 8900.0, 0.0))
    simulated("DW.mrc", (20000.0, 19900.0, 0.0))
    list_of(["DW.mrc"], rlnMicrographNameNoDW=["noDW.mrc"])
    run = run_job(tmp_path, "ctffind", micrographs="mics.star", **SMALL)
    rows = rows_of(run)
    assert rows["rlnDefocusU"][0] == pytest.approx(9000, abs=100)
    assert rows["rlnMicrographName"][0] == "DW.mrc"
    assert rows["rlnMicrographNameNoDW"][0] == "noDW.mrc"
    list_of(["DW.mrc"])
    with pytest.raises(InputError, match="no sums without dose weighting"):
        run_job(tmp_path, "ctffind", micrographs="mics.star", use_unweighted=True)
    (unit,) = read_list("mics.star").micrographs
    with pytest.raises(InputError, match=r"DW.mrc: there is no sum without dose weighting"):
        source_of(unit, needs_unweighted=True)


def test_a_lost_power_spectrum_is_told_and_the_micrograph_taken(tmp_path):
    simulated("a.mrc")
    list_of(["a.mrc"], rlnCtfPowerSpectrum=["gone_PS.mrc"])
    run = run_job(tmp_path, "ctffind", micrographs="mics.star", **SMALL)
    assert rows_of(run)["rlnDefocusU"][0] == pytest.approx(15000, abs=60)
    assert "gone_PS.mrc" in run.told


def test_only_the_central_square_is_used_on_request(tmp_path):
    image = np.zeros((900, 900), np.float32)
    simulated("small.mrc", size=600)
    image[150:750, 150:750] = read_volume("small.mrc").data[0]
    image[:150] = np.random.default_rng(0).normal(size=(150, 900)) * 50
    write_mrc("a.mrc", image, 1.5)
    list_of(["a.mrc"])
    run = run_job(tmp_path, "ctffind", micrographs="mics.star", window_px=600, **SMALL)
    assert rows_of(run)["rlnDefocusU"][0] == pytest.approx(15000, abs=100)


@pytest.mark.parametrize("resolution_A", [4.321, 31.0, math.inf])
def test_an_estimate_comes_back_from_its_file(tmp_path, resolution_A):
    one = Estimate("J/a.ctf", 12000.5, 11000.25, -33.5, 0.25, resolution_A, 12.5, 3.5)
    write_estimate(tmp_path / "a_ctf.star", one)
    back = read_estimate(tmp_path / "a_ctf.star")
    assert back.row() == one.row()
    assert back.row()["rlnCtfMaxResolution"] == min(resolution_A, 25)
    assert read_estimate(tmp_path / "none.star") is None
    strange = Estimate("J/a.ctf", 1.0, 1.0, 0.0, math.nan, 5.0)
    assert strange.row()["rlnCtfFigureOfMerit"] == 0
    assert "rlnPhaseShift" not in strange.row()
    assert "rlnCtfIceRingDensity" not in strange.row()


def test_a_list_of_relion_3_0_is_read(tmp_path):
    simulated("a.mrc")
    labels = (
        "MicrographName", "Voltage", "SphericalAberration", "AmplitudeContrast",
        "DetectorPixelSize", "Magnification",
    )  # fmt: skip
    head = "".join(f"_rln{label}\n" for label in labels)
    (tmp_path / "old.star").write_text(f"data_\n\nloop_\n{head}a.mrc 300 2.7 0.1 15 100000\n\n")
    run = run_job(tmp_path, "ctffind", micrographs="old.star", **SMALL)
    assert rows_of(run)["rlnDefocusU"][0] == pytest.approx(15000, abs=60)


def test_in_a_project_the_log_and_what_was_promised_are_there(tmp_path):
    simulated("a.mrc")
    list_of(["a.mrc"])
    project = vitreous.Project.create(tmp_path)
    job = project.run("ctffind", micrographs="mics.star", **SMALL)
    assert job.status == "Succeeded"
    assert (job.path / "run.err").read_text() == ""
    assert (job.path / "logfile.pdf").read_bytes().startswith(b"%PDF")
    names = {plot["name"] for plot in job.results["plots"]}
    promised = {"defocus", "astigmatism", "max_resolution", "figure_of_merit", "rings", "spectra"}
    assert promised <= names
    assert os.path.getsize(job.path / "plots/spectra.json") < 2e6
    assert job.results["micrographs"] == 1


def test_of_many_micrographs_the_worst_and_an_even_choice_are_drawn():
    merits = [0.3] * 50 + [0.01] + [0.3] * 49
    results = [(f"m{i}", Estimate("p", 1e4, 1e4, 0, merit, 4)) for i, merit in enumerate(merits)]
    some = ctffind_pictures.chosen(results, 12)
    assert len(some) == len({name for name, _ in some}) == 12
    assert some[0][0] == "m50"
    numbers = [int(name[1:]) for name, _ in some[4:]]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 99
    assert ctffind_pictures.chosen(results[:5], 12) == results[:5]
