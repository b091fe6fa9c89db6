"""Filters and boxes against RELION's image handler, and against laws."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vitreous.engine import boxing, filtering, fourier, masking, symmetric_maps
from vitreous.errors import InputError
from vitreous.io import read_volume, write_volume

SIZE, PIXEL_A = 24, 1.5
Change = Callable[[torch.Tensor], torch.Tensor]


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


VOLUME = noise((SIZE,) * 3)
OTHER = noise((SIZE,) * 3, 1) + 0.5 * VOLUME
FLIPS: dict[str, Change] = {
    "--flipX": lambda v: boxing.flip(v, 0),
    "--flipY": lambda v: boxing.flip(v, 1),
    "--flipZ": lambda v: boxing.flip(v, 2),
    "--invert_hand": boxing.invert_hand,
}
FILTERS: dict[str, Change] = {
    "--lowpass 6": lambda v: filtering.low_pass(v, 6, PIXEL_A, 3),
    "--highpass 9": lambda v: filtering.high_pass(v, 9, PIXEL_A, 3),
    "--lowpass 5 --highpass 12": lambda v: filtering.band_pass(v, 12, 5, PIXEL_A, 3),
    "--lowpass 6 --filter_edge_width 5": lambda v: filtering.low_pass(
        v, 6, PIXEL_A, 3, edge_shells=5
    ),
    "--lowpass 6 --directional Y": lambda v: filtering.low_pass(v, 6, PIXEL_A, 3, direction=1),
    "--bfactor 80": lambda v: filtering.apply_b_factor(v, 80, PIXEL_A, 3),
    "--bfactor -30": lambda v: filtering.apply_b_factor(v, -30, PIXEL_A, 3),
    "--LoG 10": lambda v: filtering.laplacian_of_gaussian(v, 10, PIXEL_A, 3),
    "--adjust_power other.mrc": lambda v: filtering.adjust_power(v, OTHER, 3),
}
BOXES: dict[str, Change] = {
    "--new_box 20": lambda v: boxing.new_box(v, 20, 3),
    "--new_box 21": lambda v: boxing.new_box(v, 21, 3),
    "--new_box 35": lambda v: boxing.new_box(v, 35, 3),
    "--rescale_angpix 2.25": lambda v: boxing.rescale(v, 16, 3),
    "--rescale_angpix 2.05": lambda v: boxing.rescale(v, 18, 3),
    "--rescale_angpix 1.1": lambda v: boxing.rescale(v, 32, 3),
    "--shift_x 3 --shift_y -2": lambda v: boxing.shift(v, (3, -2, 0)),
    "--shift_x 2.3 --shift_y -1.6 --shift_z 0.5": lambda v: boxing.shift(v, (2.3, -1.6, 0.5)),
    "--shift_com": lambda v: boxing.shift(v, tuple(-c for c in boxing.centre_of_mass(v))),
}


def _symmetrise(group: str) -> Change:
    return lambda v: symmetric_maps.symmetrise(v, group)


SYMMETRIES = {
    f"--sym {group}": _symmetrise(group) for group in ("C2", "C3", "C2V", "D4", "T", "O", "I1")
}
ALL = FLIPS | FILTERS | BOXES


def image_handler(folder: Path, flags: str) -> torch.Tensor:
    command = f"relion_image_handler --i map.mrc --o out.mrc --angpix {PIXEL_A} {flags}"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, timeout=60)
    return torch.from_numpy(read_volume(folder / "out.mrc").data)


@pytest.mark.parametrize("flags", ALL)
def test_relions_image_handler_does_the_same(tmp_path: Path, relion: None, flags: str):
    write_volume(tmp_path / "map.mrc", VOLUME.numpy(), PIXEL_A)
    write_volume(tmp_path / "other.mrc", OTHER.numpy(), PIXEL_A)
    theirs = image_handler(tmp_path, flags)
    torch.testing.assert_close(ALL[flags](VOLUME), theirs, rtol=0, atol=5e-6)


@pytest.mark.parametrize("flags", SYMMETRIES)
def test_relion_symmetrises_alike(tmp_path: Path, relion: None, flags: str):
    """To rounding, but for the few voxels whose mates lie exactly on the border of the box."""
    write_volume(tmp_path / "map.mrc", VOLUME.numpy(), PIXEL_A)
    difference = (SYMMETRIES[flags](VOLUME) - image_handler(tmp_path, flags)).abs()
    assert (difference > 5e-6).sum() <= 4
    assert difference[masking.sphere(SIZE, 3, SIZE // 2 - 1) > 0].max() < 5e-6


@pytest.mark.parametrize("flags", ["--lowpass 6", "--shift_x 2.3 --shift_y -1.6", "--new_box 30"])
def test_images_are_treated_as_volumes_are(tmp_path: Path, relion: None, flags: str):
    image = VOLUME[0]
    write_volume(tmp_path / "map.mrc", image.numpy(), PIXEL_A)
    ours = {
        "--lowpass 6": lambda: filtering.low_pass(image, 6, PIXEL_A, 2),
        "--shift_x 2.3 --shift_y -1.6": lambda: boxing.shift(image, (2.3, -1.6)),
        "--new_box 30": lambda: boxing.new_box(image, 30, 2),
    }[flags]()
    torch.testing.assert_close(ours, image_handler(tmp_path, flags)[0], rtol=0, atol=1e-6)


# ---- laws -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 17])
@pytest.mark.parametrize("ndim", [2, 3])
def test_low_and_high_pass_make_the_whole(size: int, ndim: int):
    image = noise((2, *(size,) * ndim))
    low = filtering.low_pass(image, 5, 1.0, ndim)
    high = filtering.high_pass(image, 5, 1.0, ndim)
    torch.testing.assert_close(low + high, image, atol=1e-5, rtol=0)
    assert low.dtype == image.dtype


def test_filters_take_batches_and_double_precision():
    images = noise((3, 12, 12)).double()
    low = filtering.low_pass(images, 5, 1.0, 2)
    assert low.dtype == torch.float64
    torch.testing.assert_close(low[1], filtering.low_pass(images[1], 5, 1.0, 2))
    assert filtering.low_pass(images[:0], 5, 1.0, 2).shape == (0, 12, 12)


def test_b_factors_add_up_and_nothing_is_left_beyond_nyquist():
    twice = filtering.apply_b_factor(filtering.apply_b_factor(VOLUME, 20, 1, 3), 30, 1, 3)
    once = filtering.apply_b_factor(VOLUME, 50, 1, 3)
    torch.testing.assert_close(twice, once, atol=1e-5, rtol=0)
    transform = fourier.forward(once, 3)
    assert transform[fourier.shell_index(SIZE, 3) > SIZE // 2].abs().max() < 1e-8


def test_the_disc_of_its_diameter_answers_a_log_filter_most():
    place = torch.arange(64) - 32
    disc = ((place[:, None] ** 2 + place**2) <= 8**2).float()
    answers = {
        d: float(filtering.laplacian_of_gaussian(disc, d, 1.0, 2)[32, 32])
        for d in (8, 12, 16, 20, 28)
    }
    assert max(answers, key=answers.__getitem__) == 16
    assert answers[16] > 0


def test_adjusted_power_is_that_of_the_other():
    adjusted = filtering.adjust_power(VOLUME, OTHER, 3)
    torch.testing.assert_close(
        filtering.mean_amplitude(adjusted, 3), filtering.mean_amplitude(OTHER, 3)
    )


def test_mean_power_of_white_noise_is_flat():
    power = filtering.mean_power(noise((64, 64)), 2)
    assert float(power[4:].mean()) == pytest.approx(1 / 64**2, rel=0.1)


@pytest.mark.parametrize("resolution", [0.0, -5.0])
def test_filters_without_sense_are_refused(resolution: float):
    with pytest.raises(InputError, match="above 0"):
        filtering.low_pass(VOLUME, resolution, 1.0, 3)
    with pytest.raises(InputError, match="above 0"):
        filtering.laplacian_of_gaussian(VOLUME, resolution, 1.0, 3)
    with pytest.raises(InputError, match="No axis 2"):
        filtering.low_pass(VOLUME[0], 5, 1.0, 2, direction=2)


@pytest.mark.parametrize("size", [12, 13])
def test_boxes_keep_the_origin(size: int):
    for new in (8, 9, 12, 13, 20, 21):
        image = torch.zeros(size, size)
        image[size // 2, size // 2] = 1
        box = boxing.new_box(image, new, 2)
        assert torch.nonzero(box).tolist() == [[new // 2, new // 2]]
        assert boxing.new_box(torch.zeros(0, size, size), new, 2).shape == (0, new, new)


@pytest.mark.parametrize("size", [12, 13])
def test_inverting_the_hand_twice_is_nothing_and_keeps_the_origin(size: int):
    volume = noise((size,) * 3)
    torch.testing.assert_close(boxing.invert_hand(boxing.invert_hand(volume)), volume)
    centre = size // 2
    assert boxing.invert_hand(volume)[1, 2, centre] == volume[1, 2, centre]


def test_scaling_down_what_was_scaled_up_is_nothing():
    smooth = filtering.low_pass(VOLUME, 4, 1.0, 3)
    larger = boxing.rescale(smooth, 36, 3)
    torch.testing.assert_close(boxing.rescale(larger, SIZE, 3), smooth, atol=1e-5, rtol=0)
    assert float(larger.mean()) == pytest.approx(float(smooth.mean()), abs=1e-6)


def test_even_sizes_are_relions():
    sizes = [boxing.even_size(32, 1.5, 48 / n) for n in (17.6, 18.4, 17.4, 18.9, 19.1)]
    assert sizes == [18, 18, 16, 18, 18]


def test_whole_shifts_let_zeros_in():
    image = torch.arange(1.0, 10).reshape(3, 3)
    assert boxing.shift(image, (1, 0)).tolist() == [[0, 1, 2], [0, 4, 5], [0, 7, 8]]
    assert boxing.shift(image, (0, -2)).tolist() == [[7, 8, 9], [0, 0, 0], [0, 0, 0]]
    assert boxing.shift(image, (9, -9)).abs().sum() == 0


def test_centre_of_mass_counts_positive_density_only():
    image = torch.zeros(8, 9)
    image[6, 3] = 2.0
    image[0, 0] = -50.0
    assert boxing.centre_of_mass(image) == (-1.0, 2.0)
    with pytest.raises(InputError, match="no positive density"):
        boxing.centre_of_mass(-image.abs())


def test_symmetrised_maps_are_symmetric():
    once = symmetric_maps.symmetrise(VOLUME, "C4")[1:, 1:, 1:]
    torch.testing.assert_close(once, once.rot90(1, (1, 2)), atol=1e-5, rtol=0)


def test_sampling_on_the_grid_returns_the_grid():
    axis = torch.arange(SIZE, dtype=torch.float32) - SIZE // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    found = boxing.sample(VOLUME, torch.stack([x, y, z], -1))
    torch.testing.assert_close(found, VOLUME, atol=1e-4, rtol=0)
