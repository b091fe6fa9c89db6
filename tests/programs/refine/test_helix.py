"""Segments of filaments in a job: their priors move with what the iteration before found."""

from __future__ import annotations

import numpy as np
import pytest

from programs.jobs_made import run_job
from programs.refine import refinement_project as made
from vitreous.dataset.refinement.data_star import tubes_of
from vitreous.engine.refinement.filaments import averaged
from vitreous.io import read_star, write_star

N = 24
VALUES = {
    **made.COMMON,
    "map": "map1.mrc",
    "is_absolute_greyscale": True,
    "initial_low_pass_A": 30,
    "n_iterations": 2,
    "angular_sampling": "15 degrees",
    "is_helix": True,
    "outer_diameter_A": 80,
    "apply_helical_symmetry": False,
    "search_tilt_deg": 45,
    "search_psi_deg": 45,
    "other_args": made.SEED,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a project whose particles lie in three tubes, with priors near their poses."""
    folder = tmp_path_factory.mktemp("helix")
    project = made.project_of(made.simulated(folder / "made", N), folder / "project")
    star = read_star(project.root / made.PARTICLES)
    rows = star["particles"]
    rng = np.random.default_rng(1)
    columns = {
        "rlnHelicalTubeID": np.arange(N) % 3 + 1,
        "rlnHelicalTrackLengthAngst": 40.0 * (np.arange(N) // 3),
        "rlnAngleTiltPrior": np.asarray(rows["rlnAngleTilt"]) + rng.normal(0, 5, N),
        "rlnAnglePsiPrior": np.asarray(rows["rlnAnglePsi"]) + rng.normal(0, 5, N),
    }
    write_star(project.root / made.PARTICLES, [star["optics"], rows.with_columns(columns)])
    return project.root


@pytest.mark.parametrize("keep", [True, False])
def test_priors_follow_the_angles(root, keep):
    number = 1 if keep else 2
    job = run_job(root, "class3d", f"Class3D/job00{number}/", **VALUES, keep_tilt_prior=keep)
    given = read_star(root / made.PARTICLES)["particles"]
    first, second = (read_star(job.path / f"run_it00{n}_data.star")["particles"] for n in (1, 2))
    assert np.allclose(first["rlnAnglePsiPrior"], given["rlnAnglePsiPrior"], atol=1e-3)
    assert np.allclose(second["rlnAnglePsiPrior"], first["rlnAnglePsi"], atol=1e-3)
    tilt = given["rlnAngleTiltPrior"] if keep else first["rlnAngleTilt"]
    assert np.allclose(second["rlnAngleTiltPrior"], tilt, atol=1e-3)


def test_neighbours_are_averaged(root):
    job = run_job(
        root, "class3d", "Class3D/job003/", **VALUES, keep_tilt_prior=False,
        local_averaging_range=30,
    )  # fmt: skip
    first, second = (read_star(job.path / f"run_it00{n}_data.star")["particles"] for n in (1, 2))
    angles = (np.asarray(first[f"rlnAngle{name}"], np.float64) for name in ("Tilt", "Psi"))
    tilt, psi = averaged(*angles, tubes_of(first), 10 * made.BOX * made.PIXEL_A)
    assert np.allclose(second["rlnAngleTiltPrior"], tilt, atol=1e-3)
    assert np.allclose(second["rlnAnglePsiPrior"], psi, atol=1e-3)
    assert np.abs(tilt - first["rlnAngleTilt"]).max() > 5
