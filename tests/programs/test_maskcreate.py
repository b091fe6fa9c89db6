"""Mask creation: RELION's masks from the form and from flags, warnings, and what is refused."""

import subprocess

import numpy as np
import pytest
import torch

import vitreous
from programs.fake_run import FakeRun
from vitreous.engine import filtering, masking
from vitreous.errors import InputError
from vitreous.io import read_volume, write_volume
from vitreous.jobs.maskcreate import MaskCreate
from vitreous.jobs.shared import Running
from vitreous.programs import maskcreate

A = 3.0


def noise(seed=0, size=32):
    volume = torch.randn((size,) * 3, generator=torch.Generator().manual_seed(seed))
    volume = filtering.low_pass(volume, 24, A, 3)
    return (volume / volume.std()).numpy()


def ball(size=32, radius=6.0):
    return masking.sphere(size, 3, radius, 4).numpy()


@pytest.fixture
def project(tmp_path):
    write_volume(tmp_path / "map.mrc", noise(), A)
    write_volume(tmp_path / "second.mrc", noise(1), A)
    write_volume(tmp_path / "ball.mrc", ball(), A)
    return tmp_path


def make(project, map="ball.mrc", other="", **values):
    values = {"low_pass_A": 0, "threshold": 0.5} | values
    options = MaskCreate(map=map, running=Running(other_arguments=other), **values)
    run = FakeRun(project, "MaskCreate/job001/")
    maskcreate.run(options, run)
    return read_volume(run.path / "mask.mrc"), run


@pytest.mark.usefixtures("relion")
@pytest.mark.parametrize(
    ("values", "flags"),
    [
        ({"low_pass_A": 20}, "--lowpass 20"),
        ({"low_pass_A": 20, "pixel_size_A": 2.5}, "--lowpass 20 --angpix 2.5"),
        ({"is_helix": True, "central_z_percent": 40}, "--helix --z_percentage 0.4"),
        ({"other": "--invert"}, "--invert"),
        ({"other": "--and second.mrc"}, "--and second.mrc"),
        ({"other": "--or second.mrc"}, "--or second.mrc"),
        ({"other": "--and_not second.mrc"}, "--and_not second.mrc"),
        ({"other": "--or_not second.mrc"}, "--or_not second.mrc"),
        (
            {"is_helix": True, "central_z_percent": 40, "other": "--invert"},
            "--helix --z_percentage 0.4 --invert",
        ),
    ],
)
def test_masks_are_relions(project, values, flags):
    ours, _ = make(project, "map.mrc", extend_px=2, soft_edge_px=3, **values)
    command = "relion_mask_create --i map.mrc --o r.mrc --ini_threshold 0.5 --extend_inimask 2 "
    command += f"--width_soft_edge 3 {flags}"
    subprocess.run(command.split(), cwd=project, check=True, capture_output=True, timeout=60)
    wanted = read_volume(project / "r.mrc")
    np.testing.assert_allclose(ours.data, wanted.data, rtol=0, atol=2e-7)
    assert ours.pixel_size_A == pytest.approx(wanted.pixel_size_A)


def test_a_ball_gets_the_mask_of_a_larger_ball(project):
    mask, run = make(project, extend_px=3, soft_edge_px=4)
    inside = ball() >= 0.5
    radius = np.asarray(masking.radius(32, 3))
    edge = radius[inside].max()
    assert (mask.data[radius < edge + 2] > 0.9).all()
    assert (mask.data[radius > edge + 8] == 0).all()
    assert mask.pixel_size_A == A
    assert run.headlines["volume"] == pytest.approx(100 * (mask.data > 0.5).mean())
    assert run.headlines["parts"] == 1
    assert run.warnings == []
    assert len(run.plots["slices"]["panels"]) == 6


def test_the_molecular_weight_finds_the_threshold(project):
    voxels = int((ball() >= 0.3).sum())
    kilodalton = voxels * A**3 * 0.81 / 1000
    mask, run = make(project, other=f"--molweight {kilodalton}", extend_px=0, soft_edge_px=0)
    assert mask.data.sum() == pytest.approx(voxels, rel=0.03)
    assert "is not used" in "\n".join(run.lines)


@pytest.mark.parametrize("threshold", [5.0, -5.0])
def test_empty_and_full_masks_are_refused_with_the_range(project, threshold):
    with pytest.raises(InputError, match=r"voxel is inside, so there is no mask.*runs from 0 to 1"):
        make(project, threshold=threshold)
    assert not (project / "MaskCreate/job001/mask.mrc").exists()


def test_a_mask_shrunk_to_nothing_is_refused(project):
    with pytest.raises(InputError, match="after it was shrunk by 20"):
        make(project, extend_px=-20)


@pytest.mark.parametrize(
    ("map", "values", "words"),
    [
        ("ball.mrc", {"soft_edge_px": 0}, "no soft edge"),
        ("ball.mrc", {"extend_px": 9}, "reaches the edge of the box"),
        ("ball.mrc", {"extend_px": 9}, "hardly less than no mask"),
        ("map.mrc", {"threshold": 1.5}, "separate parts"),
    ],
)
def test_what_makes_a_mask_unfit_is_told(project, map, values, words):
    _, run = make(project, map, **values)
    assert words in run.told


def test_maps_that_cannot_work_are_refused(project):
    write_volume(project / "flat.mrc", np.ones((8, 16, 16), np.float32), A)
    write_volume(project / "small.mrc", noise(size=16), A)
    raw = bytearray((project / "ball.mrc").read_bytes())
    raw[40:52] = bytes(12)  # the size of the cell
    (project / "unknown.mrc").write_bytes(raw)
    with pytest.raises(InputError, match="16 x 16 x 8 pixels; wanted a map in a cube"):
        make(project, "flat.mrc")
    with pytest.raises(InputError, match=r"small\.mrc has 16 x 16 x 16 pixels and ball\.mrc"):
        make(project, other="--and small.mrc")
    with pytest.raises(InputError, match="no pixel size, and the low-pass filter needs one"):
        make(project, "unknown.mrc", low_pass_A=20)
    with pytest.raises(InputError, match="more than the whole box"):
        make(project, low_pass_A=200)
    with pytest.raises(InputError, match=r"A MaskCreate job takes: .*--molweight"):
        make(project, other="--molweigth 3")
    _, run = make(project, "unknown.mrc")
    assert "tells no pixel size" in run.told


def test_real_map_through_the_pipeline(tmp_path, data):
    """The beta-galactosidase tetramer, 465 kDa: found by its weight, and without specks."""
    (tmp_path / "map.mrc").symlink_to(data / "maps/ngl_betaGal_3.54A.mrc")
    project = vitreous.Project.create(tmp_path)
    job = project.run("maskcreate", map="map.mrc", other_arguments="--molweight 465")
    assert job.status == "Succeeded"
    mask = read_volume(project.root / "MaskCreate/job001/mask.mrc")
    inside_A3 = (mask.data > 0.5).sum() * mask.pixel_size_A**3
    assert 1 < inside_A3 * 0.81 / 465e3 < 5
    assert job.results["volume"] == pytest.approx(100 * (mask.data > 0.5).mean(), rel=1e-5)
    assert (job.path / "run.err").read_text() == ""


def test_the_noise_of_the_map_finds_the_threshold(project):
    grainy = ball(48, 9.0) * 2 + np.random.default_rng(5).normal(size=(48, 48, 48))
    write_volume(project / "grainy.mrc", grainy.astype(np.float32), A)
    mask, run = make(project, "grainy.mrc", other="--auto", low_pass_A=15, soft_edge_px=4)
    inside = ball(48, 9.0) > 0.5
    assert (mask.data[inside] > 0.9).mean() > 0.98
    assert (mask.data > 0.5).sum() < 4 * inside.sum()
    assert run.headlines["parts"] == 1
    assert run.headlines["threshold"] > 3 * run.headlines["noise"]
    assert "The threshold of the form is not used" in "\n".join(run.lines)
    panel = run.plots["noise"]
    assert len(panel["series"]) == 2
    assert panel["thresholds"][0]["value"] == run.headlines["threshold"]


def test_the_noise_is_not_looked_for_where_there_is_none(project):
    with pytest.raises(InputError, match=r"ball\.mrc: --auto finds no threshold\. .*it was masked"):
        make(project, other="--auto", low_pass_A=20)
    with pytest.raises(InputError, match=r"map\.mrc: --auto finds no threshold\. Nothing stands"):
        make(project, "map.mrc", other="--auto", low_pass_A=20)
    with pytest.raises(InputError, match="--auto_rate is 2; wanted the share"):
        make(project, other="--auto --auto_rate 2")
    with pytest.raises(InputError, match="not allowed with"):
        make(project, other="--auto --molweight 100")


def test_real_maps_get_an_automatic_mask_that_holds_the_molecule(tmp_path, data):
    (tmp_path / "map.mrc").symlink_to(data / "maps/ngl_betaGal_3.54A.mrc")
    project = vitreous.Project.create(tmp_path)
    job = project.run("maskcreate", map="map.mrc", other_arguments="--auto", soft_edge_px=6)
    assert job.status == "Succeeded"
    by_weight = project.run("maskcreate", map="map.mrc", other_arguments="--molweight 465")
    ours, tight = (read_volume(one.path / "mask.mrc").data > 0.5 for one in (job, by_weight))
    assert (ours & tight).sum() == tight.sum()
    assert ours.sum() < 3 * tight.sum()
