"""Post-processing: RELION's curves and maps, known truth, warnings, and what is refused."""

import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import vitreous
from programs.jobs_made import run_job
from vitreous.engine import filtering, fourier, masking, sharpening
from vitreous.engine.kernels import shells
from vitreous.errors import InputError, MissingFileError
from vitreous.io import read_star, read_volume, write_volume

A = 2.0
N = 48
HALF1 = "m_half1_class001_unfil.mrc"
HALF2 = "m_half2_class001_unfil.mrc"


def noise(seed):
    return torch.randn((N,) * 3, generator=torch.Generator().manual_seed(seed))


def write_halves(folder, signal, level=0.8, names=(HALF1, HALF2)):
    for number, name in enumerate(names, start=1):
        write_volume(folder / name, (signal + level * noise(number)).numpy(), A)


@pytest.fixture
def project(tmp_path):
    """Half-maps of a blurred ball with structure, a mask, and the MTF of a detector."""
    signal = filtering.low_pass(noise(0), 8, A, 3) * masking.sphere(N, 3, 12, 4)
    signal = filtering.apply_b_factor(signal / signal.std(), 60, A, 3)
    write_halves(tmp_path, signal)
    write_volume(tmp_path / "mask.mrc", masking.sphere(N, 3, 14, 5).numpy(), A)
    k = np.linspace(0, 1, 201)
    rows = "".join(f"{a:.6f} {1 - 0.65 * a - 0.2 * a * a:.8f}\n" for a in k)
    labels = "_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n"
    (tmp_path / "mtf.star").write_text(f"\ndata_mtf\n\nloop_\n{labels}{rows}\n")
    return tmp_path


def process(project, other="", **values):
    values = {"half_map": HALF1, "mask": "mask.mrc", "fit_from_A": 15} | values
    return run_job(project, "postprocess", other_arguments=other, **values)


def result(project, name="postprocess.star"):
    path = project / "PostProcess/job001" / name
    return read_volume(path).data if name.endswith(".mrc") else read_star(path)


def relion(project, flags):
    (project / "theirs").mkdir()
    command = f"relion_postprocess --i {HALF1} --mask mask.mrc --o theirs/p --angpix 2 {flags}"
    subprocess.run(command.split(), cwd=project, check=True, capture_output=True, timeout=60)
    return read_star(project / "theirs/p.star")


# ---- RELION ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("relion")
def test_everything_fixed_is_relions_to_the_last_digit(project):
    """Curves, fractions, Guinier plot; and, without the FSC of random phases, the map."""
    flags = "--mtf mtf.star --mtf_angpix 1 --adhoc_bfac -150 --skip_fsc_weighting --low_pass 7"
    theirs = relion(project, f"{flags} --molweight 50 --half_maps")
    process(
        project,
        "--molweight 50 --half_maps",
        mtf="mtf.star",
        fit_bfactor=False,
        use_given_bfactor=True,
        given_bfactor_A2=-150,
        skip_fsc_weighting=True,
        low_pass_A=7,
    )
    ours = result(project)
    assert list(ours) == list(theirs)
    random = {"rlnFourierShellCorrelationCorrected", "rlnFinalResolution"}
    random.add("rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps")
    for block in theirs:
        # Names of the sharpened maps came with RELION 4.
        labels = [x for x in ours[block].labels if not x.startswith("rlnPostprocessedMap")]
        assert labels == list(theirs[block].labels)
        for label in set(theirs[block].labels) - random:
            wanted = theirs[block][label]
            if np.asarray(wanted).dtype.kind in "fi":
                np.testing.assert_allclose(
                    np.asarray(ours[block][label], float), wanted, rtol=1e-5, atol=6e-6
                )
            else:
                assert list(ours[block][label]) == list(wanted)
    for suffix in ("", "_masked", "_half1", "_half1_masked", "_half2", "_half2_masked"):
        map_ = read_volume(project / f"theirs/p{suffix}.mrc").data
        found = result(project, f"postprocess{suffix}.mrc")
        assert np.abs(found - map_).max() < 1e-6 * np.abs(map_).max()


@pytest.mark.usefixtures("relion")
def test_weight_and_fit_are_relions_on_the_same_curve(project):
    """Random phases differ, so the curve of RELION is taken over for its map and B-factor."""
    theirs = relion(project, "--mtf mtf.star --mtf_angpix 1 --auto_bfac --autob_lowres 15")
    curve = torch.tensor(np.array(theirs["fsc"]["rlnFourierShellCorrelationCorrected"]))
    mean = torch.tensor(
        sum(read_volume(project / name).data.astype(float) for name in (HALF1, HALF2)) / 2
    )
    mtf = read_star(project / "mtf.star")["mtf"]
    k, value = (torch.tensor(np.array(mtf[label])) for label in mtf.labels)
    steps = sharpening.mtf_curve(N, k, value, 0.5) * sharpening.fsc_curve(N, curve)
    transform = sharpening.apply(fourier.forward(mean, 3), steps)
    plot = sharpening.guinier(shells.amplitudes(transform), N)
    line = sharpening.fit_line(sharpening.guinier_axis(N, A), plot, 15)
    assert line is not None
    general = theirs["general"]
    # The curve has six digits in the file, and so has the B-factor then.
    for ours, label in (
        (line.slope, "rlnFittedSlopeGuinierPlot"),
        (line.intercept, "rlnFittedInterceptGuinierPlot"),
        (line.correlation, "rlnCorrelationFitGuinierPlot"),
        (line.b_factor_A2, "rlnBfactorUsedForSharpening"),
    ):
        assert ours == pytest.approx(general.value(label), rel=2e-6)
    transform = sharpening.apply(transform, sharpening.b_factor_curve(N, line.b_factor_A2, A))
    map_ = read_volume(project / "theirs/p.mrc").data
    assert np.abs(fourier.inverse(transform, 3).numpy() - map_).max() < 2e-6 * map_.max()

    run = process(project, "--n_random 4", mtf="mtf.star")
    assert run.headlines["resolution"] == pytest.approx(general.value("rlnFinalResolution"))
    # Over seeds, B-factors of one set of random phases deviate by 15 % here.
    assert run.headlines["bfactor"] == pytest.approx(line.b_factor_A2, rel=0.4)


# ---- known truth ----------------------------------------------------------------------------


def test_noise_in_a_tight_mask_has_no_resolution_left(tmp_path):
    """What phase randomisation is for: the mask correlates pure noise, and that is taken out."""
    common = filtering.low_pass(noise(0), 30, A, 3) * 8
    write_halves(tmp_path, common, level=1.0)
    mask = masking.sphere(N, 3, 4, 0)
    write_volume(tmp_path / "mask.mrc", mask.numpy(), A)
    run = process(tmp_path, "--n_random 8 --force_mask", fit_bfactor=False)
    fsc = result(tmp_path)["fsc"]
    masked = np.asarray(fsc["rlnFourierShellCorrelationMaskedMaps"])
    corrected = np.asarray(fsc["rlnFourierShellCorrelationCorrected"])
    beyond = slice(8, None)
    assert abs(corrected[beyond].mean()) < 0.15
    assert masked[4:7].mean() > 0.2
    assert "is binary" in run.told


def test_the_curve_is_that_of_signal_over_noise(tmp_path):
    """FSC = S / (S + N) for white signal within a band."""
    signal = filtering.low_pass(noise(0), 8, A, 3, edge_shells=0)
    write_halves(tmp_path, signal, level=1.0)
    write_volume(tmp_path / "mask.mrc", masking.sphere(N, 3, 20, 3).numpy(), A)
    process(tmp_path)
    fsc = np.asarray(result(tmp_path)["fsc"]["rlnFourierShellCorrelationUnmaskedMaps"])
    count = fourier.shell_count(N, 3, stored=True).numpy()
    sigma = 0.75 / np.sqrt(count / 2)
    assert (np.abs(fsc - 0.5)[3:12] < 4 * sigma[3:12]).all()
    assert (np.abs(fsc)[13:] < 4 / 0.75 * sigma[13:]).all()


def test_halves_may_be_exchanged(project):
    first = process(project)
    star = (project / "PostProcess/job001/postprocess.star").read_text()
    second = process(project, half_map=HALF2)
    assert (project / "PostProcess/job001/postprocess.star").read_text() == star
    assert first.headlines == second.headlines


def test_odd_boxes_work(tmp_path):
    signal = filtering.low_pass(torch.randn((41,) * 3), 10, A, 3)
    for number, name in enumerate((HALF1, HALF2)):
        generator = torch.Generator().manual_seed(number)
        half = signal + 0.05 * torch.randn((41,) * 3, generator=generator)
        write_volume(tmp_path / name, half.numpy(), A)
    write_volume(tmp_path / "mask.mrc", masking.sphere(41, 3, 14, 3).numpy(), A)
    process(tmp_path)
    assert result(tmp_path, "postprocess.mrc").shape == (41,) * 3
    assert len(result(tmp_path)["fsc"]) == 21


def test_xml_holds_the_curve_that_counts(project):
    process(project)
    root = ElementTree.parse(project / "PostProcess/job001/postprocess_fsc.xml").getroot()
    values = [float(point.text) for point in root.iter("y")]
    wanted = result(project)["fsc"]["rlnFourierShellCorrelationCorrected"]
    np.testing.assert_allclose(values, wanted, atol=2e-6)
    assert root.get("xaxis") == "Resolution (A-1)"


def test_all_files_of_a_relion_job_are_there(project):
    run = process(project, "--molweight 50")
    for name in ("postprocess.mrc", "postprocess_masked.mrc", "postprocess.star", "logfile.pdf"):
        assert (run.path / name).stat().st_size > 1000
    for name in ("fsc", "fsc_part", "guinier"):
        text = (run.path / f"postprocess_{name}.eps").read_text("ascii")
        assert text.startswith("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 500 360\n")
        assert text.endswith("showpage\n%%EOF\n")
        assert text.count(" lineto") > 2 * 20
    star = result(project)
    columns = np.loadtxt(run.path / "postprocess_fsc.dat")
    np.testing.assert_allclose(columns[:, 0], star["fsc"]["rlnResolution"], rtol=1e-5)
    corrected = star["fsc"]["rlnFourierShellCorrelationCorrected"]
    np.testing.assert_allclose(columns[:, 1], corrected, rtol=1e-5, atol=1e-8)
    general = star["general"]
    for label in ("rlnPostprocessedMap", "rlnPostprocessedMapMasked"):
        assert (project / general.value(label)).is_file()


# ---- warnings and errors --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.ones(N, N, N), "whole box inside"),
        (masking.sphere(N, 3, 14, 0), "is binary"),
        (masking.sphere(N, 3, 10, 4, centre_px=(18.0, 0.0, 0.0)), "cut off by the edge"),
        (masking.sphere(N, 3, 2, 2, centre_px=(15.0, 15.0, 0.0)), "unmasked curve is used"),
    ],
)
def test_unfit_masks_are_told(project, mask, words):
    write_volume(project / "mask.mrc", mask.numpy(), A)
    run = process(project)
    assert words in run.told


def test_a_mask_that_makes_correlation_is_told(project):
    write_volume(project / "mask.mrc", masking.sphere(N, 3, 5, 0).numpy(), A)
    run = process(project, "--force_mask --randomize_at_A 6.3")
    assert "the mask itself makes that much" in run.told


def test_a_curve_that_never_falls_is_told(tmp_path):
    write_halves(tmp_path, 10 * noise(0), level=0.1)
    write_volume(tmp_path / "mask.mrc", masking.sphere(N, 3, 14, 5).numpy(), A)
    run = process(tmp_path)
    assert "nowhere to randomise phases" in run.told
    assert "the mask itself makes" not in run.told  # nobody can know
    assert "limit that the pixels set (4.00 Å)" in run.told
    assert run.headlines["resolution"] == 4.0


def test_maps_without_anything_in_common_are_told(tmp_path):
    write_halves(tmp_path, torch.zeros(N, N, N))
    write_volume(tmp_path / "mask.mrc", masking.sphere(N, 3, 14, 5).numpy(), A)
    run = process(tmp_path)
    assert "No B-factor was fitted" in run.told
    assert float(run.headlines["bfactor"]) == 0


def test_pairs_that_cannot_be_compared_are_refused(project):
    ours = read_volume(project / HALF1).data
    write_volume(project / "b_half1.mrc", ours, A)
    with pytest.raises(MissingFileError, match=r"b_half2\.mrc does not exist"):
        process(project, half_map="b_half1.mrc")
    for other, words in (
        (ours, "hold the same map"),
        (2 * ours + 1, "hold the same map"),
        (ours[:24, :24, :24], "24 x 24 x 24; the half-maps of one refinement have one size"),
        (np.zeros_like(ours), "all voxels are 0"),
    ):
        write_volume(project / "b_half2.mrc", other, A)
        with pytest.raises(InputError, match=words):
            process(project, half_map="b_half1.mrc")
    write_volume(project / "b_half2.mrc", read_volume(project / HALF2).data, 1.1 * A)
    with pytest.raises(InputError, match=r"b_half2\.mrc of 2\.2 Å"):
        process(project, half_map="b_half1.mrc")
    bad = ours.copy()
    bad[3, 4, 5] = np.nan
    write_volume(project / "b_half2.mrc", bad, A)
    with pytest.raises(InputError, match="1 of 110592 pixels are NaN"):
        process(project, half_map="b_half1.mrc")


def test_one_file_twice_is_refused(project):
    with pytest.raises(InputError, match="hold the same map"):
        process(project, f"--i2 {HALF1}")


def test_masks_that_are_none_are_refused(project):
    for mask, words in (
        (np.zeros((N,) * 3, np.float32), "nothing is inside this mask"),
        (np.full((N,) * 3, 1.5, np.float32), "run from 1.5 to 1.5"),
        (np.zeros((24,) * 3, np.float32), "24 x 24 x 24 pixels and the half-maps"),
    ):
        write_volume(project / "mask.mrc", mask, A)
        with pytest.raises(InputError, match=words):
            process(project)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"other": "--randomize_at_A 2"}, "between 4 Å"),
        ({"other": "--randomize_at_fsc 2"}, "between 0 and 1"),
        ({"other": "--molweight -3"}, "wanted 0 or more"),
        ({"use_given_bfactor": True}, "switch one of them off"),
        ({"other": "--what"}, "A PostProcess job takes"),
        ({"mtf": HALF1.replace(".mrc", ".star")}, "rlnMtfValue"),
    ],
)
def test_settings_that_cannot_work_are_refused(project, values, words):
    (project / HALF1.replace(".mrc", ".star")).write_text("data_\n\n_rlnVoltage 3\n")
    with pytest.raises(InputError, match=words):
        process(project, **values)


# ---- as a job -------------------------------------------------------------------------------


def test_real_half_maps_through_the_pipeline(tmp_path, data):
    """Beta-galactosidase: correlated to Nyquist, and sharper than before."""
    for number in (1, 2):
        source = data / f"betagal_10204/baseline_half{number}.mrc"
        (tmp_path / f"baseline_half{number}.mrc").symlink_to(source)
    mean = read_volume(tmp_path / "baseline_half1.mrc")
    project = vitreous.Project.create(tmp_path)
    size = mean.data.shape[0]
    write_volume(tmp_path / "mask.mrc", masking.sphere(size, 3, 24, 5).numpy(), mean.pixel_size_A)
    values = {"half_map": "baseline_half1.mrc", "mask": "mask.mrc", "fit_from_A": 15}
    job = project.run("postprocess", **values)
    assert job.status == "Succeeded"
    assert job.results["resolution"] == pytest.approx(2 * mean.pixel_size_A, rel=1e-4)
    assert "never falls below 0.143" in str(job.results["warnings"])
    assert job.results["bfactor"] < 0
    curve = np.loadtxt(data / "betagal_10204/baseline_fsc.txt")
    fsc = read_star(job.path / "postprocess.star")["fsc"]
    wanted = np.asarray(fsc["rlnFourierShellCorrelationUnmaskedMaps"])
    assert np.abs(wanted[1:32] - curve[:31, -1]).max() < 0.05
    assert (job.path / "logfile.pdf").read_bytes().startswith(b"%PDF")
    assert (job.path / "run.err").read_text() == ""


def test_a_mask_made_for_other_pixels_is_told(project):
    assert "The mask has pixels of" not in process(project).told
    mask = read_volume(project / "mask.mrc").data
    write_volume(project / "mask.mrc", mask, 1.5 * A)
    assert "The mask has pixels of 3 Å and the half-maps of 2 Å" in process(project).told


def test_a_mask_with_the_pixels_of_the_files_fits_also_where_others_are_given(project):
    """A calibrated pixel size changes figures, not which voxels belong together."""
    assert "The mask has pixels of" not in process(project, pixel_size_A=1.04 * A).told
