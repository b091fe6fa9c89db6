"""The grid of a search: refinement.md sections 4 and 15.1."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitreous.engine import geometry, healpix, sampling, symmetry
from vitreous.engine.sampling import Grid


def values(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize(
    ("order", "orientations"), [(1, 576), (2, 4608), (3, 36864), (4, 294912), (5, 2359296)]
)
def test_counts_of_orientations(order: int, orientations: int) -> None:
    grid = Grid(order)
    assert len(grid.pixels()) * len(grid.psi()) == orientations == 72 * 8**order


@pytest.mark.parametrize(("point_group", "n"), [("C2", 2), ("C4", 4), ("D2", 4), ("D1", 2)])
def test_symmetry_divides_the_directions(point_group: str, n: int) -> None:
    assert len(Grid(3, point_group=point_group).pixels()) * n == healpix.n_pixels(3)


@pytest.mark.parametrize(
    ("range_px", "step_px", "count"), [(5, 2, 21), (6, 2, 29), (3, 1.5, 13), (0, 1, 1), (1, 1, 5)]
)
def test_counts_of_shifts(range_px: float, step_px: float, count: int) -> None:
    shifts = sampling.translations(float(range_px), float(step_px))
    assert len(shifts) == count
    assert float(shifts.norm(dim=1).max()) <= range_px + 1e-3
    torch.testing.assert_close(shifts.mean(0), values(0, 0))


@pytest.mark.parametrize("step_deg", [6.0, 7.0, 10.0, 15.0, 60 / 2**3])
def test_in_plane_angles_cover_the_circle(step_deg: float) -> None:
    psi = sampling.psi_angles(step_deg)
    assert psi[0] == 0
    assert float(psi[-1]) < 360 <= float(psi[-1]) + step_deg + 1e-9


def test_poses_are_every_direction_with_every_angle() -> None:
    grid = Grid(1)
    poses = sampling.poses(grid.directions(), grid.psi())
    assert poses.shape == (48, 12, 3, 3)
    one = torch.cat([grid.directions()[7], grid.psi()[5:6]])
    torch.testing.assert_close(poses[7, 5], geometry.matrix_from_euler(one[None])[0])
    nothing = sampling.poses(grid.directions()[:0], grid.psi())
    assert nothing.shape == (0, 12, 3, 3)


def test_the_grid_is_about_as_fine_everywhere() -> None:
    """Every orientation has a grid point within about one step."""
    grid = Grid(2)
    poses = sampling.poses(grid.directions(), grid.psi()).flatten(0, 1)
    for pose in geometry.random_rotations(20, torch.Generator().manual_seed(1), torch.float64):
        distance = geometry.rotation_distance_deg(poses, pose.expand_as(poses))
        assert float(distance.min()) < 1.1 * grid.step_deg


@pytest.mark.parametrize("oversampling", [0, 1, 2])
def test_children_of_all_points_are_the_finer_grid(oversampling: int) -> None:
    fine = Grid(1 + oversampling)
    pixels = torch.arange(48)
    children = sampling.child_directions(1, pixels, oversampling).flatten(0, 1)
    torch.testing.assert_close(children, fine.directions())
    psi = sampling.child_psi(Grid(1).psi(), 30.0, oversampling).flatten()
    assert len(psi) == 12 * 2**oversampling
    torch.testing.assert_close(psi.diff(), torch.full_like(psi[1:], 30.0 / 2**oversampling))
    assert float(psi[0]) == -15 + 15 / 2**oversampling
    shifts = sampling.child_translations(values(0, 0, 4, -2).reshape(2, 2), 2.0, oversampling)
    assert shifts.shape == (2, 4**oversampling, 2)
    torch.testing.assert_close(shifts.mean(1), values(0, 0, 4, -2).reshape(2, 2))
    spread = shifts[0, :, 0].unique()
    torch.testing.assert_close(spread.diff(), torch.full_like(spread[1:], 2 / 2**oversampling))


def test_child_poses_surround_their_parent() -> None:
    pixels, psi = torch.tensor([3, 100]), values(15, 345)
    parents = geometry.matrix_from_euler(
        torch.cat([healpix.directions(2, pixels), psi[:, None]], 1)
    )
    children = sampling.child_poses(2, pixels, psi, 15.0, 1)
    assert children.shape == (2, 8, 3, 3)
    for parent, eight in zip(parents, children, strict=True):
        distance = geometry.rotation_distance_deg(eight, parent.expand_as(eight))
        assert float(distance.min()) > 2
        assert float(distance.max()) < 15
    exact = sampling.child_poses(2, pixels, psi, 15.0, 0)[:, 0]
    torch.testing.assert_close(exact, parents)


@pytest.mark.parametrize(
    ("limit", "kept"),
    [(-91.0, [0, 30, 80, 100, 150, 180]), (70.0, [80, 100]), (-35.0, [0, 30, 150, 180])],
)
def test_tilt_limits_keep_side_or_top_views(limit: float, kept: list[int]) -> None:
    tilt = values(0, 30, 80, 100, 150, 180)
    assert tilt[sampling.within_tilt_limit(tilt, limit)].tolist() == kept
    assert len(Grid(2, tilt_limit_deg=limit).pixels()) > 0


def test_the_perturbation_wraps_is_seeded_and_fills_its_range() -> None:
    def run(seed: int) -> list[float]:
        state, states = 0.0, []
        for iteration in range(400):
            generator = torch.Generator().manual_seed(seed + iteration)
            state = sampling.next_perturbation(state, 0.5, generator)
            states.append(state)
        return states

    states = values(*run(1))
    assert run(1) == states.tolist() != run(2)
    assert float(states.min()) >= -0.5
    assert float(states.max()) <= 0.5
    counts = torch.histc(states, 5, -0.5, 0.5)
    assert float((counts - 80).abs().max()) < 40
    steps = (states.diff() + 1) % 1
    assert float(steps.min()) > 0.25 - 1e-9
    assert float(steps.max()) < 0.5 + 1e-9
    assert sampling.next_perturbation(0.3, 0.0, torch.Generator()) == 0.0


def test_a_restart_draws_the_same_perturbation() -> None:
    def advance(state: float, first: int, last: int) -> float:
        for iteration in range(first, last):
            generator = torch.Generator().manual_seed(11 + iteration)
            state = sampling.next_perturbation(state, 0.5, generator)
        return state

    assert advance(advance(0.0, 1, 5), 5, 9) == advance(0.0, 1, 9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_perturbation_turns_every_pose_by_the_same_object_rotation(dtype: torch.dtype) -> None:
    grid = Grid(1)
    poses = sampling.poses(grid.directions(), grid.psi()).to(dtype)
    turned = sampling.perturb_poses(poses, 0.4, grid.step_deg)
    turn = poses.transpose(-1, -2) @ turned
    angles = torch.full((1, 3), 12.0, dtype=dtype)
    expected = geometry.matrix_from_euler(angles)[0].expand_as(turn)
    torch.testing.assert_close(turn, expected, atol=1e-5, rtol=0)
    moved = sampling.perturb_translations(grid.shifts(), 0.4, 2.0)
    torch.testing.assert_close(moved - grid.shifts(), torch.full((21, 2), 0.8).double())


def test_local_directions_are_a_cut_gaussian_of_the_angle() -> None:
    directions = geometry.view_direction(Grid(4).directions())
    current = geometry.view_direction(values(20, 50, 130, 100).reshape(2, 2))
    prior = sampling.local_directions(current, directions, 5.0)
    torch.testing.assert_close(prior.sum(1), values(1, 1))
    angle = torch.rad2deg(torch.acos((current @ directions.T).clamp(-1, 1)))
    assert bool(((prior > 0) == (angle < 15)).all())
    ratio = prior[0] / torch.exp(-0.5 * (angle[0] / 5) ** 2)
    kept = ratio[prior[0] > 0]
    torch.testing.assert_close(kept, kept[:1].expand_as(kept))


def test_the_number_of_local_orientations() -> None:
    """About 30 directions times 6 in-plane angles for sigma of two fine steps (section 15.1)."""
    grid = Grid(4)
    directions = geometry.view_direction(grid.directions())
    current = geometry.random_rotations(50, torch.Generator().manual_seed(1), torch.float64)[:, 2]
    sigma = 2 * healpix.spacing_deg(5)
    kept = (sampling.local_directions(current, directions, sigma) > 0).sum(1).double()
    angles = sampling.local_angle(values(3.0), grid.psi(), sigma) > 0
    assert 25 < float(kept.mean()) < 35
    assert 5 <= int(angles.sum()) <= 7


def test_symmetry_mates_have_the_same_local_directions() -> None:
    directions = geometry.view_direction(Grid(3, point_group="D3").directions())
    current = geometry.random_rotations(5, torch.Generator().manual_seed(4), torch.float64)[:, 2]
    prior = sampling.local_directions(current, directions, 6.0, "D3")
    for operator in symmetry.operators("D3"):
        mate = sampling.local_directions(current @ operator, directions, 6.0, "D3")
        torch.testing.assert_close(mate, prior)


def test_the_nearest_direction_is_taken_where_none_is_near() -> None:
    directions = geometry.view_direction(Grid(0).directions())
    current = geometry.view_direction(values(10, 80).reshape(1, 2))
    prior = sampling.local_directions(current, directions, 1.0)
    assert float(prior.sum()) == 1.0
    assert int(prior.argmax()) == int((current @ directions.T).argmax())


def test_local_angles_wrap_and_fold() -> None:
    psi = sampling.psi_angles(10.0)
    near_zero = sampling.local_angle(values(-2.0), psi, 5.0)[0]
    assert set(psi[near_zero > 0].tolist()) == {350.0, 0.0, 10.0}
    both_ways = sampling.local_angle(values(2.0), psi, 3.0, bimodal=True)[0]
    assert set(psi[both_ways > 0].tolist()) == {0.0, 10.0, 180.0, 190.0}
    torch.testing.assert_close(both_ways[0], both_ways[18])
    torch.testing.assert_close(both_ways.sum(), values(1.0)[0])


def test_relaxed_symmetry_shares_the_prior_with_the_mates() -> None:
    directions = geometry.view_direction(Grid(3).directions())
    current = geometry.view_direction(values(17, 71).reshape(1, 2))
    prior = sampling.local_directions(current, directions, 0.0033)
    assert int((prior > 0).sum()) == 1
    relaxed = sampling.relax_symmetry(prior, directions, "C4")
    assert relaxed[relaxed > 0].tolist() == [0.25] * 4
    rot = geometry.angles_from_direction(directions[relaxed[0] > 0])[:, 0].sort().values
    torch.testing.assert_close(rot.diff(), values(90, 90, 90), atol=0.1, rtol=0)


def test_empty_batches() -> None:
    nothing = torch.zeros(0, 3, dtype=torch.float64)
    directions = geometry.view_direction(Grid(1).directions())
    assert sampling.local_directions(nothing, directions, 5.0, "D2").shape == (0, 48)
    assert sampling.local_angle(values(), values(0, 10), 5.0).shape == (0, 2)
    assert sampling.relax_symmetry(torch.zeros(0, 48).double(), directions, "C2").shape == (0, 48)
    none = torch.zeros(0, dtype=torch.int64)
    assert sampling.child_poses(1, none, values(), 30.0, 1).shape == (0, 8, 3, 3)
