"""Each rule of refinement.md sections 1.1 to 1.3 and 1.5, and preprocessing.md section 0."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vitreous.engine import fourier
from vitreous.io import read_volume, write_volume

SIZES = (8, 9)


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def direct_transform(real: Tensor, ndim: int) -> Tensor:
    """The sum of the convention, term by term."""
    sizes = real.shape[-ndim:]
    centred = [torch.arange(side) - side // 2 for side in sizes]
    places = torch.stack(torch.meshgrid(*centred, indexing="ij")[::-1], -1).reshape(-1, ndim)
    freq = fourier.frequencies(sizes, ndim, torch.float64)
    phases = torch.exp(-2j * torch.pi * (freq.reshape(-1, ndim) @ places.to(torch.float64).T))
    flat = real.reshape(*real.shape[:-ndim], -1).to(torch.complex128)
    half = flat @ phases.T / places.shape[0]
    return half.reshape(*real.shape[:-ndim], *freq.shape[:-1])


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_forward_is_the_mean_of_samples_with_origin_at_the_centre(size: int, ndim: int) -> None:
    real = noise(2, *[size] * ndim)
    torch.testing.assert_close(fourier.forward(real, ndim), direct_transform(real, ndim))


@pytest.mark.parametrize("shape", [(6, 10), (7, 10), (6, 8, 10), (5, 8, 9)])
def test_non_square_arrays_transform_alike(shape: tuple[int, ...]) -> None:
    real = noise(2, *shape)
    half = fourier.forward(real, len(shape))
    torch.testing.assert_close(half, direct_transform(real, len(shape)))
    torch.testing.assert_close(fourier.inverse(half, len(shape), shape), real)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_inverse_undoes_forward(size: int, ndim: int, dtype: torch.dtype) -> None:
    real = noise(3, *[size] * ndim, dtype=dtype)
    half = fourier.forward(real, ndim)
    kept = half.clone()
    back = fourier.inverse(half, ndim, size)
    assert back.dtype == dtype
    torch.testing.assert_close(back, real)
    assert torch.equal(half, kept)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_an_empty_batch_stays_empty(ndim: int) -> None:
    half = fourier.forward(torch.zeros(0, *[8] * ndim), ndim)
    assert half.shape == (0, *[8] * (ndim - 1), 5)
    assert fourier.inverse(half, ndim).shape == (0, *[8] * ndim)
    assert fourier.shell_mean(half.abs(), ndim).shape == (0, 5)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_a_delta_at_the_centre_has_a_flat_real_transform(size: int, ndim: int) -> None:
    real = torch.zeros(1, *[size] * ndim, dtype=torch.float64)
    real[(0, *[size // 2] * ndim)] = 1.0
    half = fourier.forward(real, ndim)
    torch.testing.assert_close(half, torch.full_like(half, size**-ndim))


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_gradients_flow_through_both_transforms(size: int, ndim: int) -> None:
    real = noise(1, *[size] * ndim).requires_grad_()
    back = fourier.inverse(fourier.forward(real, ndim), ndim, size)
    weight = noise(*real.shape, seed=1)
    (gradient,) = torch.autograd.grad((back * weight).sum(), real)
    torch.testing.assert_close(gradient, weight)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_half_plane_counts_each_friedel_pair_once(size: int, ndim: int) -> None:
    index = fourier.indices(size, ndim)[fourier.half_plane_mask(size, ndim)]
    inside = {tuple(k) for k in index.tolist() if max(map(abs, k)) < (size + 1) // 2}
    assert len(index) == len({tuple(k) for k in index.tolist()})
    mirrored = {tuple(-c for c in k) for k in inside}
    assert inside & mirrored == {(0,) * ndim}
    half = size // 2
    reach = range(-half, half + 1)
    places = torch.cartesian_prod(*[torch.tensor(reach)] * ndim)
    within = [
        tuple(k)
        for k in places.tolist()
        if round(sum(c * c for c in k) ** 0.5) <= half and max(map(abs, k)) < (size + 1) // 2
    ]
    assert inside | mirrored == set(within)


def test_half_plane_skips_the_corners_and_the_negative_half_of_kx_zero() -> None:
    assert fourier.half_plane_mask(6, 2).int().tolist() == [
        [1, 1, 1, 1],
        [1, 1, 1, 1],
        [1, 1, 1, 0],
        [1, 1, 0, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 1],
    ]


def test_white_noise_has_the_same_variance_per_component_in_every_shell() -> None:
    """sigma2 = E|F|^2 / 2 = 1 / (2 N^2) (refinement.md section 19.1)."""
    size = 32
    half = fourier.forward(noise(2000, size, size), 2)
    sigma2 = fourier.shell_mean(half.abs() ** 2 / 2, 2).mean(0)
    count = fourier.shell_count(size, 2)
    # A shell of n complex values over 2000 images has a relative spread of 1/sqrt(2000 n);
    # zero frequency, which is real, sqrt(2) more.
    spread = 1 / (2000 * count).to(torch.float64).sqrt()
    spread[0] *= 2**0.5
    assert ((2 * size**2 * sigma2 - 1).abs() < 4.5 * spread).all()


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_parseval(size: int, ndim: int) -> None:
    """The mean square is the sum of |F|^2 over the whole plane, each stored kx > 0 twice."""
    real = noise(1, *[size] * ndim)
    power = fourier.forward(real, ndim).abs() ** 2
    twice = torch.full((size // 2 + 1,), 2.0, dtype=torch.float64)
    twice[0] = 1.0
    if size % 2 == 0:
        twice[-1] = 1.0
    torch.testing.assert_close((power * twice).sum(), (real**2).mean())


@pytest.mark.parametrize("size", SIZES)
def test_counting_the_half_plane_twice_gives_the_power_of_a_band_limited_image(size: int) -> None:
    half = fourier.forward(noise(1, size, size), 2)
    half[..., 0, 0] = 0
    index = fourier.indices(size, 2)
    half = half * ((index**2).sum(-1) < ((size - 1) // 2 + 0.5) ** 2)
    image = fourier.inverse(half, 2, size)
    power = fourier.shell_sum(half.abs() ** 2, 2).sum(-1) * 2
    torch.testing.assert_close(power, (image**2).mean((-1, -2)))


def test_shell_is_the_rounded_length() -> None:
    assert fourier.shell_index(4, 2).tolist() == [[0, 1, 2], [1, 1, 2], [2, 2, 3], [1, 1, 2]]
    assert fourier.shell_index(5, 3).shape == (5, 5, 3)
    assert int(fourier.shell_index(6, 3).max()) == 5


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("stored", [False, True])
def test_shell_sum_is_a_loop_over_pixels(ndim: int, stored: bool) -> None:
    values = noise(2, *[6] * (ndim - 1), 4)
    shells, mask = fourier.shell_index(6, ndim), fourier.half_plane_mask(6, ndim)
    expected = torch.zeros(2, 4, dtype=torch.float64)
    for shell in range(4):
        taken = (shells == shell) & (mask | stored)
        expected[:, shell] = values[:, taken].sum(-1)
    torch.testing.assert_close(fourier.shell_sum(values, ndim, stored=stored), expected)
    count = fourier.shell_count(6, ndim, stored=stored)
    torch.testing.assert_close(fourier.shell_mean(values, ndim, stored=stored), expected / count)


@pytest.mark.parametrize(("old", "new"), [(12, 8), (12, 7), (11, 8), (11, 7), (12, 12)])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_crop_keeps_the_mean_and_the_waves_below_nyquist(old: int, new: int, ndim: int) -> None:
    real = torch.full((1, *[old] * ndim), 3.0, dtype=torch.float64)
    cropped = fourier.inverse(fourier.crop(fourier.forward(real, ndim), new, ndim), ndim, new)
    torch.testing.assert_close(cropped, torch.full_like(cropped, 3.0))
    centred = [torch.arange(side, dtype=torch.float64) - side // 2 for side in (old, new)]
    waves = [torch.cos(2 * torch.pi * 2 * j / len(j)) for j in centred]
    wide, narrow = (
        (wave.expand(1, *[len(wave)] * ndim)).contiguous().transpose(1, -1) for wave in waves
    )
    half = fourier.crop(fourier.forward(wide, ndim), new, ndim)
    torch.testing.assert_close(fourier.inverse(half, ndim, new), narrow)


def test_crop_to_an_even_side_keeps_the_positive_nyquist_row() -> None:
    index = fourier.indices(12, 2).to(torch.complex128)
    rows = fourier.crop(index[..., 1], 8, 2)[:, 0].real
    columns = fourier.crop(index[..., 0], 8, 2)[0].real
    assert rows.tolist() == [0, 1, 2, 3, 4, -3, -2, -1]
    assert columns.tolist() == [0, 1, 2, 3, 4]
    assert fourier.indices(8, 2)[:, 0, 1].tolist() == [0, 1, 2, 3, 4, -3, -2, -1]


@pytest.mark.parametrize(("small", "large"), [(8, 12), (8, 13), (7, 12), (7, 13), (8, 8)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_crop_undoes_pad(small: int, large: int, ndim: int) -> None:
    half = fourier.forward(noise(2, *[small] * ndim), ndim)
    padded = fourier.pad(half, large, ndim, corners=True)
    assert padded.shape[-1] == large // 2 + 1
    torch.testing.assert_close(fourier.crop(padded, small, ndim), half)


@pytest.mark.parametrize("ndim", [2, 3])
def test_pad_drops_the_corners_only_when_the_size_grows(ndim: int) -> None:
    half = torch.ones(1, *[8] * (ndim - 1), 5, dtype=torch.complex128)
    padded = fourier.pad(half, 12, ndim)
    inside = (fourier.indices(12, ndim) ** 2).sum(-1) <= 16
    kept = (fourier.indices(12, ndim)[..., 1:] != -4).all(-1)
    torch.testing.assert_close(padded[0].real, (inside & kept).to(torch.float64))
    assert torch.equal(fourier.pad(half, 8, ndim), half)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_shift_by_whole_pixels_is_a_roll(size: int, ndim: int) -> None:
    real = noise(2, *[size] * ndim)
    shifts = torch.tensor([[1, -2, 3], [0, 4, -1]], dtype=torch.float64)[:, :ndim]
    half = fourier.forward(real, ndim) * fourier.shift_phases(shifts, size)
    expected = torch.stack(
        [
            torch.roll(image, [int(t) for t in shift.flip(0)], tuple(range(ndim)))
            for image, shift in zip(real, shifts, strict=True)
        ]
    )
    torch.testing.assert_close(fourier.inverse(half, ndim, size), expected)


def test_shift_of_a_cropped_transform_counts_pixels_of_the_full_box() -> None:
    real = noise(1, 16, 16)
    shift_px = torch.tensor([[1.5, -0.75]], dtype=torch.float64)
    after = fourier.crop(fourier.shift(fourier.forward(real, 2), shift_px), 8, 2)
    before = fourier.shift(fourier.crop(fourier.forward(real, 2), 8, 2), shift_px, box=16)
    torch.testing.assert_close(before, after)


def test_shifts_broadcast_over_images() -> None:
    half = fourier.forward(noise(3, 1, 8, 8), 2)
    moved = fourier.shift(half, torch.zeros(5, 2, dtype=torch.float64))
    assert moved.shape == (3, 5, 8, 5)


def test_a_size_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 axes are transformed"):
        fourier.crop(fourier.forward(torch.zeros(1, 8, 8), 2), (8, 8, 8), 2)


@pytest.mark.usefixtures("relion")
@pytest.mark.parametrize("new_pixel_A", [4.0, 1.0])
def test_relion_rescales_maps_alike(tmp_path: Path, new_pixel_A: float) -> None:
    volume = noise(16, 16, 16).float()
    write_volume(tmp_path / "in.mrc", volume.numpy(), 2.0)
    command = (
        f"relion_image_handler --i in.mrc --o out.mrc --angpix 2 --rescale_angpix {new_pixel_A}"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    theirs = torch.from_numpy(read_volume(tmp_path / "out.mrc").data.copy())
    size, half = theirs.shape[-1], fourier.forward(volume, 3)
    changed = fourier.crop(half, size, 3) if size < 16 else fourier.pad(half, size, 3)
    ours = fourier.inverse(changed, 3)
    assert float((ours - theirs).abs().max()) < 3e-6


@pytest.mark.parametrize(("size", "side"), [(6, 6), (6, 10), (5, 8), (5, 9)])
def test_one_axis_at_a_time_is_the_padded_transform(size: int, side: int):
    generator = torch.Generator().manual_seed(4)
    real = torch.randn((size, size), generator=generator, dtype=torch.float64)
    after = side - side // 2 - (size - size // 2)
    before = side // 2 - size // 2
    padded = torch.nn.functional.pad(real, (before, after, before, after))
    half = fourier.forward_axis(fourier.forward_axis(real, 1, side), 0, side)
    torch.testing.assert_close(half / side**2, fourier.forward(padded, 2))
    back = fourier.inverse_axis(half / side**2, 0, size)
    torch.testing.assert_close(fourier.inverse_axis(back, 1, size, real_side=side), real)


@pytest.mark.parametrize(("old", "new"), [(16, 8), (16, 16), (15, 8), (16, 7), (12, 2)])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_cropped_transform_is_the_transform_cropped(old, new, ndim):
    generator = torch.Generator().manual_seed(0)
    real = torch.randn((2, *[old] * ndim), generator=generator, dtype=torch.float64)
    expected = fourier.crop(fourier.forward(real, ndim), new, ndim)
    found = fourier.cropped_forward(real, new, ndim)
    torch.testing.assert_close(found, expected, atol=1e-14, rtol=0)


def test_two_images_come_out_of_one_inverse_transform() -> None:
    images = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(2))
    first, second = (
        fourier.whole_plane(fourier.forward_from_corner(image), (6, 8)) for image in images
    )
    both = torch.empty(2, 1, 6, 8)
    fourier.products_to_corner(torch.ones(1, 6, 8), first + 1j * second, *both)
    torch.testing.assert_close(both[:, 0], images)
