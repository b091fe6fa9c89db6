"""What cannot work is refused before the first iteration, with the remedy; what can is told."""

from __future__ import annotations

import re

import numpy as np
import pytest

from programs.jobs_made import run_job
from programs.refine import refinement_project as made
from vitreous.errors import ComputeError, InputError, OptionError
from vitreous.io import read_mrc, read_star, write_mrc, write_star, write_volume

VALUES = {
    **made.COMMON,
    "map": "map1.mrc",
    "initial_low_pass_A": 30,
    "angular_sampling": "30 degrees",
    "shift_range_px": 2,
    "other_args": f"{made.SEED} --iter 1",
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return made.simulated(tmp_path_factory.mktemp("bad") / "made", 20)


@pytest.fixture
def project(simulated, tmp_path):
    return made.project_of(simulated, tmp_path / "project")


@pytest.fixture
def refused(project):
    """Return how to run a job that is refused, and what it says."""

    def refused(word="refine3d", **values):
        folder = f"{word}/job001/"
        with pytest.raises(InputError) as caught:
            run_job(project.root, word, folder, **{**VALUES, **values})
        assert not list((project.root / folder).glob("run_it*"))
        text = str(caught.value)
        assert text.rstrip().endswith(".")
        return text

    return refused


def changed(project, columns=(), *, optics=None, without=()):
    """Write the particles with other columns."""
    star = read_star(project.root / made.PARTICLES)
    table = star["particles"].with_columns(dict(columns))
    star = star.with_table(table.without(*without))
    if optics:
        star = star.with_table(star["optics"].with_columns(optics))
    write_star(project.root / made.PARTICLES, star)


def test_a_half_without_particles(project, refused):
    changed(project, {"rlnRandomSubset": np.ones(20, int)})
    text = refused()
    assert "No particles are left in half 2: rlnRandomSubset puts all 20 into" in text
    assert "Remove that column to have halves drawn anew" in text


def test_a_reference_of_another_box_and_pixel_size(project, refused):
    write_volume(project.root / "other.mrc", np.random.rand(32, 32, 32).astype("f4"), 3.0)
    text = refused(map="other.mrc", resize_reference=False)
    assert "other.mrc: the box is 32 pixels, that of the particles 24. Allow the" in text
    assert "other.mrc: the pixel size is 3 Å, that of the particles 4 Å." in text


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "the reference is empty, all its values are 0. Give"), (np.nan, "not numbers")],
)
def test_a_reference_without_density(project, refused, value, told):
    write_volume(project.root / "empty.mrc", np.full((24, 24, 24), value, "f4"), 4.0)
    text = refused(map="empty.mrc")
    assert text.startswith("empty.mrc: the reference")
    assert told in text


def test_a_mask_in_the_wrong_box(project, refused):
    write_volume(project.root / "mask.mrc", np.ones((32, 32, 32), "f4"), 4.0)
    text = refused(mask="mask.mrc", resize_reference=False)
    assert "mask.mrc: the solvent mask has 32 x 32 x 32 pixels, the box is 24." in text
    assert "MaskCreate" in text


def test_particles_without_a_ctf(project, refused):
    changed(project, without=("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"))
    text = refused()
    assert "the particles have no rlnDefocusU, rlnDefocusV, rlnDefocusAngle" in text
    assert "or switch the correction off" in text


def test_everything_that_is_wrong_is_told_at_once(project, refused):
    changed(project, {"rlnRandomSubset": np.ones(20, int)}, without=("rlnDefocusU",))
    write_volume(project.root / "empty.mrc", np.zeros((24, 24, 24), "f4"), 4.0)
    assert len(refused(map="empty.mrc").splitlines()) == 3


@pytest.mark.parametrize("value", [np.nan, 1e30, 3e3])
def test_an_image_that_cannot_be_used_is_named_skipped_and_counted(project, value):
    stack, header = read_mrc(project.root / "sim/particles.mrcs")
    stack = np.array(stack)
    stack[6, 3, 4] = value
    write_mrc(project.root / "sim/particles.mrcs", stack, header.pixel_size_A)
    values = {**VALUES, "other_args": made.SEED}
    job = run_job(project.root, "class3d", "Class3D/job001/", **values, n_iterations=1)
    assert re.search(r"left out.*\[000007@sim/particles.mrcs\]", job.told), job.told
    map_ = read_mrc(job.path / "run_it001_class001.mrc")[0]
    assert np.isfinite(map_).all()
    assert map_.std() > 0
    assert len(read_star(job.path / "run_it001_data.star")["particles"]) == 20


def test_images_that_are_all_unusable(project):
    stack, header = read_mrc(project.root / "sim/particles.mrcs")
    broken = np.full_like(stack, np.nan)
    write_mrc(project.root / "sim/particles.mrcs", broken, header.pixel_size_A)
    with pytest.raises(ComputeError, match="Optics group 1 has no particle to measure its noise"):
        run_job(project.root, "refine3d", "Refine3D/job001/", **VALUES)


def test_an_optimiser_that_is_not_there(project):
    job = project.run("class2d", **made.COMMON, n_iterations_em=1, use_em=True, use_vdam=False)
    with pytest.raises(OptionError, match="run_it777_optimiser") as caught:
        project.run(continue_job=1, continue_from="Class2D/job001/run_it777_optimiser.star")
    assert "continue_from" in str(caught.value)
    for file in job.path.glob("*optimiser.star"):
        file.unlink()
    with pytest.raises(OptionError, match="Class2D/job001/ has none, so start it anew with --over"):
        project.run(continue_job=1)
