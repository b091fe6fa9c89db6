"""Local resolution as a job: the built-in method, ResMap as a stub, and what is refused."""

import threading

import numpy as np
import pytest

import vitreous
from programs.fake_run import FakeRun
from programs.jobs_made import run_job
from vitreous.engine import masking
from vitreous.errors import ComputeError, EnvironmentMissing, InputError
from vitreous.io import read_star, read_volume, write_volume
from vitreous.jobs.context import Aborted
from vitreous.jobs.localres import LocalRes
from vitreous.jobs.shared import Running
from vitreous.programs import localres

A = 3.54
OWN = {"use_resmap": False, "built_in": True, "pixel_size_A": A}
STUB = """#!/bin/sh
echo "$@" > said.txt
for word in "$@"; do case "$word" in *half1.mrc) cp map.mrc "${word%.mrc}_resmap.mrc";; esac; done
"""


@pytest.fixture
def project(tmp_path, data):
    for number in (1, 2):
        source = data / f"betagal_10204/baseline_half{number}.mrc"
        (tmp_path / f"baseline_half{number}.mrc").symlink_to(source)
    size = read_volume(tmp_path / "baseline_half1.mrc").data.shape[0]
    write_volume(tmp_path / "mask.mrc", masking.sphere(size, 3, 22, 5).numpy(), A)
    return tmp_path


def measure(project, other="", **values):
    values = {"half_map": "baseline_half1.mrc", "mask": "mask.mrc"} | values
    return run_job(project, "localres", other_arguments=other, **values)


def test_real_half_maps_through_the_pipeline(project):
    made = vitreous.Project.create(project)
    job = made.run("localres", half_map="baseline_half1.mrc", mask="mask.mrc", **OWN)
    assert job.status == "Succeeded"
    found_A = read_volume(job.path / "relion_locres.mrc").data
    inside = (read_volume(project / "mask.mrc").data > 0.5) & (found_A > 0)
    assert job.results["median_resolution"] == pytest.approx(np.median(found_A[inside]), rel=0.01)
    assert 2 * A - 1e-3 < job.results["best_resolution"] < 9
    star = read_star(job.path / "relion_locres_fscs.star")
    places = star["places"]
    assert len(star) == 1 + len(places)
    assert (np.asarray(places["rlnAngstromResolution"]) <= 50).all()
    assert read_volume(job.path / "relion_locres_filtered.mrc").data.std() > 0
    assert (job.path / "histogram.pdf").read_bytes().startswith(b"%PDF")
    assert (job.path / "run.err").read_text() == ""


def test_flags_change_the_sphere_and_odd_ones_are_refused(project):
    coarse = "--locres_sampling 60 --locres_maskrad 21 --locres_edgwidth 28"
    run = measure(project, coarse, **OWN)
    star = read_star(run.path / "relion_locres_fscs.star")
    assert len(star["places"]) < 30
    assert "17 pixels apart" in "\n".join(run.lines)
    whole = measure(project, f"{coarse} --whole_maps", **OWN)
    assert whole.headlines["median_resolution"] == pytest.approx(
        run.headlines["median_resolution"], rel=0.05
    )
    for flags, words in (
        ("--locres_sampling 0", "--locres_sampling is 0; wanted"),
        ("--locres_randomize_at 3", "between 7.08 Å"),
        ("--locres_maskrad 500", "fits into the box of"),
        ("--what", "A LocalRes job takes"),
    ):
        with pytest.raises(InputError, match=words):
            measure(project, flags, **OWN)


def maps_of(run):
    names = ("relion_locres.mrc", "relion_locres_filtered.mrc")
    text = (run.path / "relion_locres_fscs.star").read_text()
    return [read_volume(run.path / name).data for name in names], text


FEW = "--locres_sampling 40 --locres_maskrad 18 --locres_edgwidth 24"


def test_a_job_that_was_stopped_goes_on_where_it_was(project):
    """What was measured is kept, also beside a file that was cut short, and gives the same maps."""
    wanted = maps_of(measure(project, FEW, **OWN))
    values = {"half_map": "baseline_half1.mrc", "mask": "mask.mrc", **OWN}
    options = LocalRes(**values, running=Running(other_arguments=FEW))
    folder = "LocalRes/job002/"
    with pytest.raises(Aborted):
        localres.run(options, FakeRun(project, folder, abort_after=4))
    kept = sorted((project / folder / "Places").glob("*.npz"))
    assert kept
    assert not (project / folder / "relion_locres.mrc").exists()
    kept[0].write_bytes(kept[0].read_bytes()[:1000])
    again = FakeRun(project, folder, is_continue=True)
    localres.run(options, again)
    maps, text = maps_of(again)
    for found, other in zip(maps, wanted[0], strict=True):
        np.testing.assert_array_equal(found, other)
    assert text == wanted[1]
    assert not (project / folder / "Places").exists()
    assert f"{len(kept) - 1} of" in "\n".join(again.lines)


def test_places_of_other_settings_are_measured_anew(project):
    values = {"half_map": "baseline_half1.mrc", "mask": "mask.mrc", **OWN}
    folder = "LocalRes/job002/"
    first = LocalRes(**values, running=Running(other_arguments=FEW))
    with pytest.raises(Aborted):
        localres.run(first, FakeRun(project, folder, abort_after=4))
    other = LocalRes(**values, running=Running(other_arguments=f"{FEW} --random_seed 5"))
    again = FakeRun(project, folder, is_continue=True)
    localres.run(other, again)
    assert "were done before" not in "\n".join(again.lines)


def test_ranks_share_the_places(project):
    wanted = maps_of(measure(project, FEW, **OWN))
    values = {"half_map": "baseline_half1.mrc", "mask": "mask.mrc", **OWN}
    options = LocalRes(**values, running=Running(other_arguments=FEW))
    runs = [FakeRun(project, "LocalRes/job002/", rank=rank, n_ranks=2) for rank in (0, 1)]
    other = threading.Thread(target=localres.run, args=(options, runs[1]))
    other.start()
    localres.run(options, runs[0])
    other.join()
    maps, text = maps_of(runs[0])
    for found, alone in zip(maps, wanted[0], strict=True):
        np.testing.assert_array_equal(found, alone)
    assert text == wanted[1]
    assert runs[1].advanced > 1


def test_several_ranks_through_the_pipeline(project):
    made = vitreous.Project.create(project)
    values = {"half_map": "baseline_half1.mrc", "mask": "mask.mrc", "other_arguments": FEW}
    job = made.run("localres", n_ranks=2, **values, **OWN)
    assert job.status == "Succeeded"
    assert job.results["median_resolution"] > 2 * A
    assert (job.path / "run.err").read_text() == ""


def test_a_doubtful_pixel_size_is_told(project):
    run = measure(project, "--locres_sampling 20 --locres_maskrad 8", **OWN | {"pixel_size_A": 1.0})
    assert "far from that of the file" in run.told


def test_maps_that_cannot_be_compared_are_refused_before_anything_is_measured(project):
    half = read_volume(project / "baseline_half1.mrc").data
    write_volume(project / "c_half1.mrc", half, A)
    for other, words in (
        (half, "hold the same map"),
        (half[:32, :32, :32], "have one size"),
        (np.zeros_like(half), "all voxels are 0"),
    ):
        write_volume(project / "c_half2.mrc", other, A)
        with pytest.raises(InputError, match=words):
            measure(project, half_map="c_half1.mrc", **OWN)
    other = read_volume(project / "baseline_half2.mrc").data
    write_volume(project / "c_half2.mrc", other, 1.2 * A)
    with pytest.raises(InputError, match="have one pixel size"):
        measure(project, half_map="c_half1.mrc", **OWN)
    with pytest.raises(InputError, match="hold the same map"):
        measure(project, "--i2 baseline_half1.mrc", **OWN)
    write_volume(project / "none.mrc", 0 * half, A)
    with pytest.raises(InputError, match="nothing is inside this mask"):
        measure(project, mask="none.mrc", **OWN)
    assert not list((project / "LocalRes/job001").glob("*.mrc"))


def resmap(project, script):
    program = project / "ResMap-stub"
    program.write_text(script)
    program.chmod(0o755)
    return {"use_resmap": True, "resmap_program": str(program), "pixel_size_A": A}


def test_resmap_is_called_and_its_map_is_shown(project):
    mask = read_volume(project / "mask.mrc").data
    found = np.where(mask > 0.9, 8.5, 100).astype(np.float32)
    found[32, 32, 32] = 7.5
    write_volume(project / "map.mrc", found, A)
    run = measure(project, **resmap(project, STUB), p_value=0.01, finest_A=7, step_A=0.5)
    said = (project / "said.txt").read_text().split()
    assert said == [
        "--maskVol=mask.mrc",
        "--noguiSplit",
        "LocalRes/job001/half1.mrc",
        "LocalRes/job001/half2.mrc",
        "--vxSize=3.54",
        "--pVal=0.01",
        "--minRes=7",
        "--maxRes=0",
        "--stepRes=0.5",
    ]
    link = (run.path / "half2.mrc").resolve()
    assert link == (project / "baseline_half2.mrc").resolve()
    assert run.headlines == {"median_resolution": 8.5, "best_resolution": 7.5}


def test_a_resmap_that_fails_is_told(project):
    values = resmap(project, "#!/bin/sh\necho no licence\nexit 3\n")
    with pytest.raises(ComputeError, match=r"exit code 3; its last words: no licence"):
        measure(project, **values)
    with pytest.raises(ComputeError, match=r"wrote no LocalRes/job001/half1_resmap\.mrc"):
        measure(project, **resmap(project, "#!/bin/sh\n"))
    with pytest.raises(EnvironmentMissing, match="use the built-in method"):
        measure(project, **values | {"resmap_program": "/nowhere/ResMap"})


def test_curves_that_never_fall_are_told(project):
    """Half-maps that correlate to Nyquist have limits instead of resolutions; noise ends that."""
    few = "--locres_sampling 60 --locres_maskrad 21 --locres_edgwidth 28"
    told = measure(project, few, **OWN).told
    assert "without a mask, never falls below 0.143: up to 7.08 Å" in told
    assert "places the FSC never falls below 0.143: the local resolution given there" in told
    half = read_volume(project / "baseline_half1.mrc").data
    noise = np.random.default_rng(0).normal(0, 3 * half.std(), (2, *half.shape))
    for number, extra in enumerate(noise, start=1):
        write_volume(project / f"noisy_half{number}.mrc", (half + extra).astype("f4"), A)
    run = measure(project, few, half_map="noisy_half1.mrc", **OWN)
    assert "without a mask, never falls" not in run.told


def test_a_mask_made_for_other_pixels_is_told(project):
    few = "--locres_sampling 60 --locres_maskrad 21 --locres_edgwidth 28"
    assert "The mask has pixels of" not in measure(project, few, **OWN).told
    mask = read_volume(project / "mask.mrc").data
    write_volume(project / "mask.mrc", mask, 1.77)
    run = measure(project, few, **OWN)
    assert "The mask has pixels of 1.77 Å and the half-maps of 3.54 Å" in run.told
