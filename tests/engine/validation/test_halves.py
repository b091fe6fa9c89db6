"""Blocks of particles: dealt evenly, split in many ways, and together the whole."""

import torch

from vitreous.engine import fourier, geometry, reconstruction
from vitreous.engine.projection import Accumulator
from vitreous.engine.validation import halves
from vitreous.testing.phantoms import cluster

SIZE = 24


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_particles_are_dealt_evenly_within_their_half():
    of_half = torch.randint(2, (1003,), generator=generator())
    blocks = halves.deal(of_half, generator(1))
    assert torch.equal(blocks // 4, of_half)
    counts = blocks.bincount(minlength=8)
    for half in (0, 1):
        part = counts[4 * half : 4 * half + 4]
        assert int(part.max() - part.min()) <= 1
    assert not torch.equal(blocks, halves.deal(of_half, generator(2)))


def test_splits_are_halves_and_none_comes_twice():
    found = halves.splits(100, 8, generator())
    assert len(found) == 34  # 70 / 2 pairs, less the one that is there already
    sides = {frozenset(one) for one in found}
    sides |= {frozenset(range(8)) - one for one in sides}
    assert len(sides) == 68
    assert frozenset(range(4)) not in sides
    assert all(len(one) == 4 for one in found)
    assert len(halves.splits(5, 8, generator())) == 5


def test_blocks_together_make_the_map_of_all():
    phantom = cluster()
    poses = geometry.random_rotations(40, generator(3))
    images = phantom.projections(poses.double(), SIZE).float()
    values = fourier.forward(images, 2)
    ones = torch.ones(values.shape)
    operators = torch.eye(3)[None]
    parts = [Accumulator(SIZE, 1) for _ in range(4)]
    for number, part in enumerate(parts):
        rows = slice(number * 10, number * 10 + 10)
        part.add_(values[rows], ones[rows], poses[rows])
    whole = Accumulator(SIZE, 1)
    whole.add_(values, ones, poses)
    whole.finish_(operators)
    wanted = reconstruction.reconstruct(whole)
    found = halves.map_of(parts, operators)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(halves.map_of(parts, operators), found)  # parts are not used up
