"""The compiled kernels of the expectation step against their plain-torch reference."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch

from interpreter import outside, run_tests
from vitreous.engine import geometry
from vitreous.engine.kernels import packed, pose_sums, poses, reference_poses
from vitreous.engine.kernels.pose_records import Contribution, Kept, Source, Tries
from vitreous.engine.kernels.segments import choose_in_segments
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


def source(n: int = 24, *, scale: float = 1.0, table: bool = False, radius: int = RADIUS) -> Source:
    """Return slices of two random volumes, or a table of as many."""
    box = 2 * radius + 2
    made = [projector(random(box, box, box, seed=k), 2, radius) for k in (1, 2)]
    rotations = geometry.random_rotations(n, torch.Generator().manual_seed(3))
    planes = central_planes(rotations, 2, scale=scale).contiguous()
    classes = (torch.arange(n) % 2).to(torch.int32)
    limit = made[0].padding * made[0].r_max
    whole = Source(planes, classes, radius, limit, tuple(one.grid for one in made))
    if not table:
        return whole
    slices = torch.view_as_real(reference_poses.slices_of(whole, torch.arange(n))).contiguous()
    return replace(whole, table=slices, volumes=())


def images(n: int = N, radius: int = RADIUS) -> tuple[torch.Tensor, ...]:
    """Return b_re, b_im and c; c is positive and zero at padding and twins."""
    true = (disc(radius).shell >= 0).float()
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


@reach
@pytest.mark.parametrize("correlation", [False, True])
@pytest.mark.parametrize("radius", [31, 32, 46, 64])
def test_large_slices_are_scored_in_strips(radius: int, correlation: bool, scale: float) -> None:
    of = source(16, radius=radius, scale=scale)
    asked = tries(N, 2, children=(8, 2))
    axes = disc(radius).phases(torch.linspace(-3, 3, SHIFTS, dtype=torch.float64), 2 * radius + 2)
    how = {"fraction": 0.999, "correlation": correlation}
    part = tuple(one * RADIUS / radius**2 for one in images(radius=radius))
    found = poses.score(of, part, asked, axes, **how)
    same(found, reference_poses.score(of, part, asked, axes, **how))
    assert int(found.counts.min()) >= 1


def in_halves(of: Source) -> Source:
    """Return a source whose numbers half precision holds as they are, and holds."""
    parts = (torch.view_as_real(volume).half().float() for volume in of.volumes)
    volumes = tuple(torch.view_as_complex(one.contiguous()) for one in parts)
    return replace(of, volumes=volumes, corners=tuple(map(packed.with_corners, volumes)))


needs_halves = pytest.mark.skipif(
    not packed.has_corners(), reason="this machine has no instructions for half precision"
)


@needs_halves
@reach
@pytest.mark.parametrize("size", [1.0, 1e-6, 1e7])
@pytest.mark.parametrize("radius", [RADIUS, 46])
def test_slices_of_halves_are_scored(radius: int, scale: float, size: float) -> None:
    of = in_halves(source(16, radius=radius, scale=scale))
    volumes = tuple(size * one for one in of.volumes)
    of = replace(of, volumes=volumes, corners=tuple(map(packed.with_corners, volumes)))
    asked = tries(N, 2, children=(8, 2))
    axes = disc(radius).phases(torch.linspace(-3, 3, SHIFTS, dtype=torch.float64), 2 * radius + 2)
    re, im, c = (one * RADIUS / radius**2 for one in images(radius=radius))
    part = re / size, im / size, c / size**2
    found = poses.score(of, part, asked, axes, fraction=0.999)
    wanted = reference_poses.score(replace(of, corners=()), part, asked, axes, fraction=0.999)
    assert torch.equal(found.counts.long(), wanted.counts.long())
    torch.testing.assert_close(found.largest, wanted.largest, rtol=1e-3, atol=2e-3)
    if size == 1:
        same(found, wanted)


@needs_halves
def test_images_are_summed_with_slices_of_halves() -> None:
    of, entries = in_halves(source(24)), reference_poses.by_rotation(kept())
    true = (disc(RADIUS).shell >= 0).float()
    u_re, u_im, m = (one * true for one in images())
    mask = torch.stack([true, true * (disc(RADIUS).shell < 4)])
    contribution = Contribution(images(), u_re, u_im, m, true + 0.5, mask, residual=True)
    outcomes = []
    for summed in (pose_sums.sums, reference_poses.sums):
        told = torch.zeros(N, 3, dtype=torch.float64), torch.zeros(len(true), dtype=torch.float64)
        args = contribution, entries, slice(1, None), phases(), *told
        outcomes.append((*summed(of, *args), *told))
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


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


def sent(record, device: torch.device):
    """Return a record, a tuple or a tensor on another device."""
    if isinstance(record, torch.Tensor):
        return record.to(device)
    if isinstance(record, tuple):
        return tuple(sent(one, device) for one in record)
    if is_dataclass(record):
        moved = {f.name: sent(getattr(record, f.name), device) for f in fields(record)}
        return replace(record, **moved)
    return record


@pytest.mark.parametrize("table", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("correlation", [False, True])
@pytest.mark.parametrize("children", [(1, 1), (8, 2)])
@pytest.mark.parametrize("most", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_on_card_lists_are_scored(
    card: torch.device, table: bool, correlation: bool, children: tuple[int, int], most: int
) -> None:
    of, asked = source(24, table=table), tries(N, 24 // children[0], children=children)
    part = tuple(0.2 * one for one in images())
    how = {"fraction": 0.999, "correlation": correlation, "most": most}
    found = poses.score(sent(of, card), sent(part, card), asked, phases(), **how)
    assert found.rotation.device.type == "cpu"
    same(found, reference_poses.score(of, part, asked, phases(), **how))


@pytest.mark.parametrize("most", [0, 3])
@pytest.mark.parametrize("fraction", [0.9, 0.999])
@pytest.mark.parametrize("correlation", [False, True])
def test_on_card_hypotheses_are_chosen(
    card: torch.device, fraction: float, most: int, correlation: bool
) -> None:
    cross, power = 2 * random(N, 4, 12, seed=13), random(N, 12, seed=14).abs()
    cross[:, 1, 3] = cross[:, 2, 3]  # a tie
    priors = random(12, seed=15), random(N, 2, 4, seed=16)
    norm = 1 / (1 + torch.arange(N).float()) if correlation else None
    how = {"fraction": fraction, "most": most}
    there = sent((cross.clone(), power), card)
    found = poses.choose(*there, *priors, **how, correlation=sent(norm, card))
    wanted = reference_poses.choose(cross.clone(), power, *priors, **how, correlation=norm)
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])
    for one, other in zip(found[2:], wanted[2:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("table", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("residual", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("counting", [pytest.param(False, marks=pytest.mark.slow), True])
def test_on_card_images_are_summed(
    card: torch.device, table: bool, residual: bool, counting: bool
) -> None:
    of, entries = source(24, table=table), reference_poses.by_rotation(kept())
    true = (disc(RADIUS).shell >= 0).float()
    u_re, u_im, m = (one * true for one in images())
    mask = torch.stack([true, true * (disc(RADIUS).shell < 4)])
    contribution = Contribution(
        images() if counting else None, u_re, u_im, m, true + 0.5, mask, residual
    )
    outcomes = []
    for there in (card, torch.device("cpu")):
        told = torch.zeros(N, 3, dtype=torch.float64), torch.zeros(len(true), dtype=torch.float64)
        summed = pose_sums.sums if there == card else reference_poses.sums
        values, weights = summed(
            sent(of, there), sent(contribution, there), entries, slice(1, None), phases(), *told
        )
        outcomes.append((values.cpu(), weights.cpu(), *told))
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tight", [False, True])
def test_on_card_slices_are_gathered_and_inserted(card: torch.device, tight: bool) -> None:
    of, n = source(6), len(tight_index(RADIUS)) if tight else len(disc(RADIUS))
    args = of.planes, RADIUS, of.grid_radius
    found = packed.gather_packed(sent(of.volumes[0], card), *args, n, tight=tight)
    wanted = reference_poses.gather_packed(of.volumes[0], *args, tight=tight)
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-4, atol=1e-5)
    if tight:
        return
    grids = [torch.zeros(*of.volumes[0].shape, 4, device=one) for one in (card, "cpu")]
    weights = wanted.square().sum(-1) + 1
    packed.insert_packed_(grids[0], of.planes, found, sent(weights, card), *args[1:])
    reference_poses.insert_packed_(grids[1], of.planes, wanted, weights, *args[1:])
    torch.testing.assert_close(grids[0].cpu()[..., :3], grids[1][..., :3], rtol=1e-4, atol=1e-4)


def test_on_card_images_that_overflow_or_try_nothing_keep_nothing(card: torch.device) -> None:
    scores = torch.tensor([1.0, 2.0, torch.inf, 0.0, torch.nan, 3.0, -torch.inf, 1.0])
    begin = torch.tensor([0, 2, 4, 4, 6, 7, 8])
    found = choose_in_segments(*sent((scores, begin), card), 0.999, 0, only_best=False)
    assert found.counts.tolist() == [2, 0, 0, 0, 0, 1]
    assert found.index.tolist() == [0, 1, 7]
    assert found.weight.cpu()[:2].sum() == pytest.approx(1)
    found = choose_in_segments(*sent((scores, begin), card), 0.999, 0, only_best=True)
    assert found.counts.tolist() == [1, 0, 0, 0, 0, 1]
    assert found.index.tolist() == [1, 7]


@pytest.mark.parametrize("marker", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
@outside
def test_kernels_for_cards_agree_under_the_interpreter(marker: str) -> None:
    run_tests(__file__, "on_card", marker)
