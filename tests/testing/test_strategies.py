"""Laws of the engine under the strategies that are shipped for authors of extensions."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from torch import Tensor

from vitreous.engine import ctf, fourier, geometry, symmetry
from vitreous.engine.ctf import Defocus, Optics
from vitreous.testing import strategies


@given(strategies.euler_angles(), strategies.dtypes())
@settings(deadline=None, max_examples=60)
def test_any_angles_make_rotations_that_come_back(angles: Tensor, dtype: torch.dtype) -> None:
    poses = geometry.matrix_from_euler(angles.to(dtype))
    back = geometry.matrix_from_euler(geometry.euler_from_matrix(poses))
    assert poses.shape == (len(angles), 3, 3)
    torch.testing.assert_close(back, poses, atol=2e-5 if dtype == torch.float32 else 1e-12, rtol=0)


@given(strategies.boxes(), strategies.shifts_px())
@settings(deadline=None, max_examples=40)
def test_shifting_there_and_back_changes_nothing(size: int, shift_px: Tensor) -> None:
    image = torch.randn((1, size, size), generator=torch.Generator().manual_seed(size))
    half = fourier.forward(image.double(), 2)
    moved = fourier.shift(fourier.shift(half, shift_px[None]), -shift_px[None])
    torch.testing.assert_close(moved, half)


@given(strategies.rotations(3), strategies.point_groups(mirrors=True))
@settings(deadline=None, max_examples=25)
def test_mates_of_mates_are_mates(poses: Tensor, point_group: str) -> None:
    operators = symmetry.operators(point_group)
    mates = symmetry.mates(poses, operators)
    again = symmetry.mates(mates[:, -1], operators)
    for some, more in zip(mates, again, strict=True):
        distance = (some[:, None] - more[None]).abs().amax((2, 3))
        assert float(distance.min(1).values.max()) < 1e-9


@given(strategies.optics(aberrated=True), strategies.defoci())
@settings(deadline=None, max_examples=30)
def test_the_ctf_is_bounded_even_and_the_same_one_by_one(optics: Optics, images: Defocus) -> None:
    values = ctf.ctf(optics, images, 16)
    assert bool(torch.isfinite(values).all())
    assert bool((values.abs().amax((1, 2)) <= images.scale * 1.0001).all())
    # Along kx = 0 both halves of k and -k are stored.
    assert torch.allclose(values[:, 1:8, 0], values[:, 9:, 0].flip(1), atol=1e-4)
    for row in range(len(images)):
        one = ctf.ctf(optics, images.select(torch.tensor([row])), 16)
        torch.testing.assert_close(values[[row]], one)
    plate = ctf.odd_phase_plate(optics, 16)
    torch.testing.assert_close(plate[:, 1:8, 0], plate[:, 9:, 0].flip(1).conj(), atol=1e-4, rtol=0)
