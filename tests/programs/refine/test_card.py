"""A classification on a graphics card: the job finds the card, uses it, and writes the same."""

from __future__ import annotations

from contextlib import chdir

import numpy as np
import pytest
import torch

import requirements
from fake_card import FakeCard
from interpreter import INTERPRETED, outside, run_tests
from programs.jobs_made import run_job
from programs.refine import refinement_project as made
from vitreous.distributed import devices
from vitreous.errors import EnvironmentMissing
from vitreous.io import read_star

VALUES = {
    **made.COMMON, "n_classes": 1, "use_em": True, "use_vdam": False, "n_iterations_em": 1,
    "psi_step_deg": 12, "shift_range_px": 2, "other_args": made.SEED,
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("card")
    particles = made.simulated(root / "made", 8, of_one_view=True)
    return made.project_of(particles, root / "project").root


def particles(run):
    return read_star(run.path / "run_it001_data.star")["particles"]


def test_on_card_a_job_finds_the_same(project, monkeypatch):
    if not INTERPRETED:
        requirements.need("cuda")
    with chdir(project):
        wanted = run_job(project, "class2d", "Class2D/job001/", **VALUES)
        values = {**VALUES, "use_gpu": True}
        if INTERPRETED:
            monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
            monkeypatch.setattr(devices, "free_bytes", lambda device: 8 * 2**30)
            monkeypatch.setattr(devices, "use", lambda device: None)
            with FakeCard():
                found = run_job(project, "class2d", "Class2D/job002/", **values)
            assert any("as many ranks" in what for what, _ in found.warnings)
        else:
            found = run_job(project, "class2d", "Class2D/job002/", **values)
    assert "Poses are scored and images summed on cuda:0" in found.lines
    theirs, ours = particles(wanted), particles(found)
    for label in ("rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"):
        np.testing.assert_allclose(ours[label], theirs[label], atol=1e-3)
    # The processor shares slices in the first pass, and keeps a little more to make up for it.
    label = "rlnMaxValueProbDistribution"
    np.testing.assert_allclose(ours[label], theirs[label], atol=0.02)


def test_a_card_that_is_not_there_is_refused(project, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with chdir(project), pytest.raises(EnvironmentMissing, match="use_gpu=No"):
        run_job(project, "class2d", "Class2D/job003/", **VALUES, use_gpu=True)


@outside
def test_a_job_for_cards_works_under_the_interpreter():
    run_tests(__file__, "on_card")
