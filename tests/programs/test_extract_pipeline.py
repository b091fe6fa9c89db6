"""Import and Extract as jobs of a project, on simulated micrographs, to a map of the truth."""

import os
import shutil

import numpy as np
import pytest
import torch

import vitreous
from vitreous.engine.resolution import fsc
from vitreous.io import read_mrc, read_star, read_volume, write_star, write_volume
from vitreous.programs import reconstruct, simulate
from vitreous.testing import phantoms

PIXEL_A, BOX, N, EACH = 4.0, 64, 4, 60
MICROGRAPHS = "Micrographs STAR file (.star)"
PICKS = "Particle coordinates (*.box, *_pick.star)"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Return a folder with four micrographs of a phantom and all that is true of them."""
    root = tmp_path_factory.mktemp("extract")
    before = os.getcwd()
    os.chdir(root)
    try:
        volume = phantoms.cluster().volume(BOX).float().numpy()
        write_volume(root / "phantom.mrc", volume, PIXEL_A)
        words = f"micrographs --o sim --n {N} --angpix {PIXEL_A} --i phantom.mrc --size 420 440"
        words += f" --particles {EACH} --random_seed 7 --dose 3000 --no_damage --perfect_detector"
        assert simulate.main([*words.split(), "--mass", "400", "--border", "60"]) == 0
    finally:
        os.chdir(before)
    return root


@pytest.fixture
def project(simulated, tmp_path, monkeypatch):
    """Return a project that has imported micrographs with their CTF."""
    shutil.copytree(simulated, tmp_path / "p")
    monkeypatch.chdir(tmp_path / "p")
    project = vitreous.Project.create(tmp_path / "p")
    bring_in(project, "sim/truth/micrographs_ctf.star", MICROGRAPHS)
    return project


@pytest.fixture
def extract(project):
    """Return how to extract the true particles."""
    picks = bring_in(project, "sim/truth/coordinates.star", PICKS)

    def extract(**values):
        return project.run(
            "extract",
            micrographs="Import/job001/micrographs_ctf.star",
            coordinates=str(picks.relative_to(project.root)),
            box_px=BOX,
            **values,
        )

    return extract


def bring_in(project, file, kind):
    values = {"import_images": False, "import_other": True, "other_file": file}
    job = project.run("import", other_kind=kind, **values)
    assert job.status == "Succeeded"
    (output,) = job.outputs.values()
    return output


def with_true_poses(project, job):
    """Give the particles of a job the poses and shifts that they were simulated with."""
    star = read_star(job.path / "particles.star")
    truth = read_star(project.root / "sim/truth/particles.star")["particles"]
    rows = star["particles"]
    for label in ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"):
        assert rows[label].tolist() == truth[label].tolist()
    labels = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst")
    posed = rows.with_columns({label: truth[label] for label in labels})
    write_star(project.root / "posed.star", star.with_table(posed))


def test_particles_of_simulated_micrographs_give_the_map_they_were_made_of(project, extract):
    job = extract(write_float16=True)
    assert job.status == "Succeeded"
    assert (job.path / "run.err").read_text() == ""
    assert job.results["particles"] == N * EACH
    assert job.results["warnings"] == []
    with_true_poses(project, job)
    words = ["--i", "posed.star", "--o", "map.mrc", "--ctf", "--skip_gridding"]
    assert reconstruct.main(words) == 0
    maps = [read_volume(project.root / name).data for name in ("map.mrc", "phantom.mrc")]
    curve = fsc(*(torch.from_numpy(one) for one in maps), 3)
    assert float(curve[1:17].min()) > 0.85
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.9  # white, not inverted


def test_two_ranks_leave_what_one_leaves(project, extract):
    one, two = extract(), extract(n_ranks=2)
    assert [one.status, two.status] == ["Succeeded", "Succeeded"]
    rows = [read_star(job.path / "particles.star")["particles"] for job in (one, two)]
    names = [name.replace(one.name, two.name) for name in rows[0]["rlnImageName"]]
    assert rows[1]["rlnImageName"].tolist() == names
    for number in range(1, N + 1):
        file = f"sim/Micrographs/mic{number:05d}.mrcs"
        images = [read_mrc(job.path / file)[0] for job in (one, two)]
        np.testing.assert_array_equal(*images)
    assert not list(two.path.glob(".units_*"))


def test_a_bad_micrograph_of_another_rank_is_in_the_results(project, extract):
    (project.root / "sim/Micrographs/mic00002.mrc").write_bytes(b"no image")
    job = extract(n_ranks=2)
    assert job.status == "Succeeded"
    assert job.results["particles"] == (N - 1) * EACH
    (warning,) = job.results["warnings"]
    assert warning["count"] == 1
    assert "mic00002.mrc" in warning["units"][0]
    assert "1 of 4 micrographs could not be used:" in (job.path / "run.out").read_text()
