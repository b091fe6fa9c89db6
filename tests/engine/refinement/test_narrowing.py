"""Long lists of poses are narrowed down by cells of poses before all pixels are looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vitreous.engine import geometry, healpix
from vitreous.engine.kernels import packed, poses
from vitreous.engine.refinement import grid as grids
from vitreous.engine.refinement import reach
from vitreous.engine.refinement.expectation import expectation
from vitreous.testing.oracle.cases import Case, Recipe, make


def fine_case(noise: float, order: int, n_classes: int = 1, tilt_deg: float | None = None) -> Case:
    """Return a local search on a grid far finer than the images can tell."""
    case = make(
        Recipe(
            box_px=64, n=6, n_classes=n_classes, noise=noise, healpix_order=3, coarse_size_px=64,
            offset_error_A=2.0, shift_step_px=1.0,
        )
    )  # fmt: skip
    step = healpix.spacing_deg(order)
    sampling = replace(
        case.state.sampling, healpix_order=order, psi_step_deg=step, sigma_rot_deg=2 * step,
        sigma_tilt_deg=2 * step, sigma_psi_deg=2 * step, perturbation=0.2,
    )  # fmt: skip
    assignments = case.state.assignments
    if tilt_deg is not None:
        angles = assignments.angles_deg.copy()
        angles[:, 1] = tilt_deg
        assignments = replace(assignments, angles_deg=angles)
    return replace(case, state=replace(case.state, sampling=sampling, assignments=assignments))


def grid_of(case: Case) -> grids.PoseGrid:
    return grids.pose_grid(case.state.sampling, case.settings)


@pytest.mark.parametrize(
    ("noise", "order", "n_classes", "tilt_deg"),
    [(1.0, 8, 1, None), (6.0, 7, 1, None), (2.0, 7, 2, None), (2.0, 7, 1, 1.0), (6.0, 6, 1, 179.5)],
)
def test_what_cells_rule_out_does_not_matter(
    noise: float, order: int, n_classes: int, tilt_deg: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    case = fine_case(noise, order, n_classes, tilt_deg)
    monkeypatch.setattr(reach, "radius_of", lambda *args: args[4])  # all pixels count here
    monkeypatch.setattr(packed, "has_corners", lambda: False)  # and as they are
    tried: list[tuple[int, int]] = []
    true_score = poses.score

    def spy(source, images, tries, phases, **how):
        tried.append((source.radius, int((tries.shift_end - tries.shift_begin).sum())))
        return true_score(source, images, tries, phases, **how)

    monkeypatch.setattr(poses, "score", spy)
    found, after = expectation(case.data, case.state, case.settings, None)
    steps = tried[:-1]
    tried.clear()
    exact, wanted = expectation(case.data, case.state, case.settings, None, exact=True)
    assert steps[0][1] < 0.6 * tried[0][1]  # cells, and the rest by all pixels
    assert steps[0][0] <= steps[-1][0] == tried[0][0]
    assert steps[-1][1] < 0.9 * tried[0][1]
    np.testing.assert_array_equal(after.angles_deg, wanted.angles_deg)
    np.testing.assert_allclose(after.log_likelihood, wanted.log_likelihood, atol=2e-3)
    np.testing.assert_allclose(after.pmax, wanted.pmax, rtol=1e-3)
    for mine, theirs in zip(found.references, exact.references, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            scale = float(other.data.abs().max())
            torch.testing.assert_close(one.data, other.data, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_poses_lie_around_the_middle_of_their_cell(level: int) -> None:
    grid = grid_of(fine_case(1.0, 4))
    n_psi = len(grid.psi_deg)
    generator = torch.Generator().manual_seed(0)
    around_the_pole = torch.arange(4 * n_psi)
    chosen = torch.cat(
        [torch.randint(0, grid.n_rotations, (20_000,), generator=generator), around_the_pole]
    )
    cells = grid.cells(chosen, level)
    apart_deg = geometry.rotation_distance_deg(
        grid.rotations(chosen), grid.cell_rotations(cells, level)
    )
    corner_deg = 3**0.5 * (2**level - 1) / 2 * healpix.spacing_deg(4)
    assert float(apart_deg.max()) < 1.7 * corner_deg  # pixels are not squares
    assert float(apart_deg.square().mean().sqrt()) < 1.1 * corner_deg


def test_cells_hold_eight_to_their_level_and_lie_within_each_other() -> None:
    grid = grid_of(fine_case(1.0, 4))
    everything = torch.arange(grid.n_rotations)
    finer = everything
    for level in range(1, grid.cell_levels + 1):
        cells = grid.cells(everything, level)
        _, counts = torch.unique(cells, return_counts=True)
        assert float(counts.double().mean()) == 8**level
        _, inverse = torch.unique(finer, return_inverse=True)
        most = torch.zeros(int(inverse.max()) + 1, dtype=torch.int64)
        least = most.scatter_reduce(0, inverse, cells, "amin", include_self=False)
        most = most.scatter_reduce(0, inverse, cells, "amax", include_self=False)
        torch.testing.assert_close(least, most)
        finer = cells


def test_averages_and_odd_steps_have_no_cells() -> None:
    grid = grid_of(fine_case(1.0, 4))
    assert replace(grid, ndim=2).cell_levels == 0
    assert replace(grid, psi_deg=grid.psi_deg[:-1]).cell_levels == 0
    assert replace(grid, psi_deg=grid.psi_deg[:-2]).cell_levels == 1
