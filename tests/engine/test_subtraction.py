"""Subtraction on tensors: where a point is seen, whole pixels, strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vitreous.engine import fourier, geometry, subtraction
from vitreous.engine.projection import project, projector
from vitreous.engine.subtraction import Views
from vitreous.testing.phantoms import Gaussians

BOX = 32


def views(n):
    chance = torch.Generator().manual_seed(4)
    return Views(
        rotations=geometry.random_rotations(n, chance, torch.float64),
        shift_px=torch.zeros(n, 2, dtype=torch.float64),
        half=np.zeros(n, np.int64),
        class_=np.zeros(n, np.int64),
        scale=torch.ones(n),
        grey=torch.ones(n),
    )


def test_a_point_is_where_its_projection_is_also_in_magnified_images():
    point = torch.tensor([5.0, -3.0, 4.0], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    spot = Gaussians(point[None], 2 * one, one)
    seen = views(6)
    magnification = torch.tensor([[1.06, 0.03], [0.03, 0.95]], dtype=torch.float64)
    slices = project(
        projector(spot.volume(BOX).float()),
        seen.rotations.float(),
        magnification=magnification.float(),
    )
    images = fourier.inverse(slices, 2, BOX).double() ** 2  # ghosts far away count little
    axis = torch.arange(BOX, dtype=torch.float64) - BOX // 2
    total = images.sum((1, 2))
    centre = torch.stack([(images.sum(1) @ axis) / total, (images.sum(2) @ axis) / total], 1)
    place = subtraction.place_of(seen, point, magnification)
    assert (centre - place).abs().max() < 0.05
    plain = subtraction.place_of(seen, point, torch.eye(2))
    assert (plain - place).abs().max() > 0.2


def test_images_move_by_whole_pixels_and_halves_away_from_zero():
    images = torch.arange(3 * 16.0).reshape(3, 4, 4)
    shift = torch.tensor([[0.5, -0.5], [1.4, 0.0], [-2.6, 1.49]], dtype=torch.float64)
    moved, whole = subtraction.recentred(images, shift)
    assert whole.tolist() == [[1, -1], [1, 0], [-3, 1]]
    for image, result, (x, y) in zip(images, moved, whole.int().tolist(), strict=True):
        assert torch.equal(result, image.roll((y, x), (0, 1)))
    assert subtraction.recentred(images[:0], shift[:0])[0].shape == (0, 4, 4)


def test_strength_is_found_with_its_error():
    chance = torch.Generator().manual_seed(0)
    n = 400
    removed = torch.randn(1, 16, 16, generator=chance).expand(n, -1, -1) + 3
    images = 0.7 * removed + 5 * torch.randn(n, 16, 16, generator=chance)
    left, fit = subtraction.subtracted(images, removed, views(n))
    assert torch.equal(left, images - removed)
    found, error = subtraction.strength(fit.sum(0))
    assert error == pytest.approx(5 / (n * 256) ** 0.5, rel=0.1)
    assert abs(found - 0.7) < 3 * error
    assert subtraction.strength(torch.zeros(3, dtype=torch.float64)) == (1.0, float("inf"))
