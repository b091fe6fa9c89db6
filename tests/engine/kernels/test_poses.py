"""The compiled kernels of the expectation step against their plain-torch reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import requirements
from vitreous.engine import geometry
from vitreous.engine.kernels import packed, pose_sums, poses, reference_poses
from vitreous.engine.kernels.pose_records import Contribution, Kept, Source, Tries
from vitreous.engine.kernels.slices import compiled
from vitreous.engine.projection import central_planes, projector
from vitreous.engine.refinement.disc import disc, tight_index

RADIUS, BOX, N, SHIFTS = 7, 16, 5, 7
reach = pytest.mark.parametrize("scale", [1.0, 0.8])  # 0.8: slices that leave the grid

pytestmark = pytest.mark.skipif(
    compiled() is None, reason="vitreous was built without a compiler: there is only the reference"
)


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def source(n: int = 24, *, scale: float = 1.0, table: bool = False) -> Source:
    """Return slices of two random volumes, or a table of as many."""
    made = [projector(random(BOX, BOX, BOX, seed=k), 2, RADIUS) for k in (1, 2)]
    rotations = geometry.random_rotations(n, torch.Generator().manual_seed(3))
    planes = central_planes(rotations, 2, scale=scale).contiguous()
    classes = (torch.arange(n) % 2).to(torch.int32)
    limit = made[0].padding * made[0].r_max
    whole = Source(planes, classes, RADIUS, limit, tuple(one.grid for one in made))
    if not table:
        return whole
    slices = torch.view_as_real(reference_poses.slices_of(whole, torch.arange(n))).contiguous()
    return replace(whole, table=slices, volumes=())


def images(n: int = N) -> tuple[torch.Tensor, ...]:
    """Return b_re, b_im and c; c is positive and zero at padding and twins."""
    true = (disc(RADIUS).shell >= 0).float()
    length = len(true)
    return tuple(
        (one * true).contiguous()
        for one in (
            random(n, length, seed=4),
            random(n, length, seed=5),
            random(n, length, seed=6).abs(),
        )
    )


def phases(n: int = SHIFTS) -> tuple[torch.Tensor, torch.Tensor]:
    return disc(RADIUS).phases(torch.linspace(-3, 3, n, dtype=torch.float64), BOX)


def tries(n: int, rotations: int, *, children: tuple[int, int] = (1, 1)) -> Tries:
    """Return a few groups of shifts for every image, of different lengths."""
    rng = np.random.default_rng(7)
    per_image = rng.integers(1, 4, n)
    begin = np.concatenate([[0], per_image.cumsum()])
    groups = int(begin[-1])
    lengths = rng.integers(1, 5, groups)
    ends = lengths.cumsum()
    n_axis = SHIFTS // children[1]
    shifts = torch.from_numpy(rng.integers(0, n_axis, (int(ends[-1]), 2)).astype(np.int16))
    return Tries(
        torch.from_numpy(begin.astype(np.int64)),
        torch.from_numpy(rng.integers(0, rotations, groups).astype(np.int32)),
        random(groups, seed=8),
        torch.from_numpy((ends - lengths).astype(np.int64)),
        torch.from_numpy(ends.astype(np.int64)),
        shifts,
        random(len(shifts), seed=9),
        *children,
    )


@reach
@pytest.mark.parametrize("tight", [False, True])
def test_slices_are_gathered(scale: float, tight: bool) -> None:
    of = source(scale=scale)
    n = len(tight_index(RADIUS)) if tight else len(disc(RADIUS))
    args = of.volumes[0], of.planes, RADIUS, of.grid_radius
    found = packed.gather_packed(*args, n, tight=tight)
    wanted = reference_poses.gather_packed(*args, tight=tight)
    assert found.shape == wanted.shape
    # What twins hold does not matter: images are zero there.
    true = slice(None) if tight else tight_index(RADIUS)
    torch.testing.assert_close(found[:, true], wanted[:, true], rtol=1e-4, atol=1e-5)


@reach
def test_slices_are_inserted(scale: float) -> None:
    of = source(scale=scale)
    values = random(len(of.planes), len(disc(RADIUS)), 2, seed=11)
    weights = random(len(of.planes), len(disc(RADIUS)), seed=12).abs()
    twins = disc(RADIUS).shell < 0
    values[:, twins] = 0
    weights[:, twins] = 0
    grids = [torch.zeros(*of.volumes[0].shape, 4) for _ in range(2)]
    for grid, insert in zip(
        grids, (packed.insert_packed_, reference_poses.insert_packed_), strict=True
    ):
        insert(grid, of.planes, values, weights, RADIUS, of.grid_radius)
    torch.testing.assert_close(grids[0][..., :3], grids[1][..., :3], rtol=1e-4, atol=1e-4)


def test_lines_are_sampled() -> None:
    of = source()
    steps = 0.5 * of.planes[:, :, 0].contiguous()
    found = packed.gather_lines(of.volumes[0], steps, 20, of.grid_radius)
    wanted = reference_poses.gather_lines(of.volumes[0], steps, 20, of.grid_radius)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("most", [0, 3])
@pytest.mark.parametrize("fraction", [0.9, 0.999])
@pytest.mark.parametrize("correlation", [False, True])
def test_significant_hypotheses_are_chosen(fraction: float, most: int, correlation: bool) -> None:
    cross, power = 2 * random(N, 4, 12, seed=13), random(N, 12, seed=14).abs()
    priors = random(12, seed=15), random(N, 2, 4, seed=16)
    norm = 1 / (1 + torch.arange(N).float()) if correlation else None
    how = {"fraction": fraction, "most": most, "correlation": norm}
    found = poses.choose(cross.clone(), power, *priors, **how)
    wanted = reference_poses.choose(cross.clone(), power, *priors, **how)
    assert torch.equal(found[0].long(), wanted[0].long())
    assert torch.equal(found[1].long(), wanted[1].long())
    for one, other in zip(found[2:], wanted[2:], strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=1e-4, atol=1e-4)


def test_ties_with_the_last_hypothesis_are_the_same() -> None:
    cross, power = torch.zeros(1, 3, 4), torch.zeros(1, 4)
    cross[0, 0, 0] = 5
    priors = torch.zeros(4), torch.zeros(1, 1, 3)
    for fraction in (0.5, 0.95, 0.999):
        found = poses.choose(cross.clone(), power, *priors, fraction=fraction)
        wanted = reference_poses.choose(cross.clone(), power, *priors, fraction=fraction)
        assert torch.equal(found[1].long(), wanted[1].long())


def same(found: Kept, wanted: Kept) -> None:
    assert torch.equal(found.counts.long(), wanted.counts.long())
    assert torch.equal(found.rotation.long(), wanted.rotation.long())
    assert torch.equal(found.shift.long(), wanted.shift.long())
    for name in ("weight", "largest", "log_sum"):
        one, other = getattr(found, name), getattr(wanted, name)
        torch.testing.assert_close(one.double(), other.double(), rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("correlation", [False, True])
@pytest.mark.parametrize("children", [(1, 1), (8, 2)])
def test_lists_of_hypotheses_are_scored(
    table: bool, correlation: bool, children: tuple[int, int]
) -> None:
    of = source(24, table=table)
    asked = tries(N, 24 // children[0], children=children)
    how = {"fraction": 0.999, "correlation": correlation}
    part = tuple(0.2 * one for one in images())
    found = poses.score(of, part, asked, phases(), **how)
    same(found, reference_poses.score(of, part, asked, phases(), **how))
    assert int(found.counts.min()) >= 1


def kept() -> Kept:
    of, asked = source(24), tries(N, 3, children=(8, 2))
    part = tuple(0.1 * one for one in images())
    return reference_poses.score(of, part, asked, phases(), fraction=0.999)


def test_hypotheses_are_ordered_by_rotation() -> None:
    entries = kept()
    found, wanted = pose_sums.by_rotation(entries, 24), reference_poses.by_rotation(entries)
    for name in ("rotation", "begin", "image", "tx", "ty", "weight"):
        one, other = getattr(found, name), getattr(wanted, name)
        torch.testing.assert_close(one.double(), other.double())


def test_weights_are_tallied() -> None:
    entries = kept()
    cell_of_rotation = (torch.arange(24) % 2) * 3 + torch.arange(24) // 8
    axis = torch.linspace(-3, 3, SHIFTS, dtype=torch.float64)
    moved = random(N, 2, seed=20).double()
    centre = random(N, 2, 2, seed=21).double()
    found = pose_sums.tally(entries, cell_of_rotation, (2, 3), axis, moved, centre)
    cells = torch.zeros(2, 3, dtype=torch.float64)
    wanted = reference_poses.tally(entries, cell_of_rotation, cells, axis, moved, centre)
    assert torch.equal(found.best, wanted.best)
    for name in ("total", "cells", "class_shift"):
        torch.testing.assert_close(
            getattr(found, name), getattr(wanted, name), rtol=1e-6, atol=1e-9
        )
    assert found.distance2 == pytest.approx(wanted.distance2, rel=1e-6)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("counting", [False, True])
def test_images_are_summed(table: bool, residual: bool, counting: bool) -> None:
    of, entries = source(24, table=table), reference_poses.by_rotation(kept())
    compared = images()
    true = (disc(RADIUS).shell >= 0).float()
    u_re, u_im, m = (one * true for one in images())
    mask = torch.stack([true, true * (disc(RADIUS).shell < 4)])
    contribution = Contribution(
        compared if counting else None, u_re, u_im, m, true + 0.5, mask, residual
    )
    outcomes = []
    for summed in (pose_sums.sums, reference_poses.sums):
        per_image = torch.zeros(N, 3, dtype=torch.float64)
        per_pixel = torch.zeros(len(true), dtype=torch.float64)
        values, weights = summed(
            of, contribution, entries, slice(1, None), phases(), per_image, per_pixel
        )
        outcomes.append((values, weights, per_image, per_pixel))
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_no_images_keep_nothing() -> None:
    empty = Tries(
        torch.zeros(1, dtype=torch.int64), *(torch.zeros(0, dtype=t) for t in
        (torch.int32, torch.float32, torch.int64, torch.int64)),
        torch.zeros(0, 2, dtype=torch.int16), torch.zeros(0),
    )  # fmt: skip
    none = tuple(one[:0].contiguous() for one in images())
    found = poses.score(source(), none, empty, phases(), fraction=0.999)
    assert len(found.counts) == len(found.weight) == 0


def test_a_graphics_card_scores_alike() -> None:
    requirements.need("cuda")
    of, asked = source(24), tries(N, 24)
    part = tuple(0.2 * one for one in images())
    wanted = reference_poses.score(of, part, asked, phases(), fraction=0.999)
    on = {"device": "cuda"}
    there = replace(
        of, planes=of.planes.to(**on), classes=of.classes.to(**on),
        volumes=tuple(one.to(**on) for one in of.volumes),
    )  # fmt: skip
    moved = Tries(*(x.to(**on) if isinstance(x, torch.Tensor) else x for x in vars(asked).values()))
    found = poses.score(
        there, tuple(one.to(**on) for one in part), moved,
        tuple(one.to(**on) for one in phases()), fraction=0.999,
    )  # fmt: skip
    same(Kept(*(x.cpu() for x in vars(found).values())), wanted)
