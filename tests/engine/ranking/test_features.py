"""What is measured on class averages: what it must not depend on, and what it must tell."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from vitreous.engine.ranking.features import Statistics, features
from vitreous.engine.ranking.islands import protein_masks
from vitreous.engine.ranking.preparation import SIZE_PX, distance, prepare

PIXEL_A, DIAMETER_A, SIZE = 3.5, 150.0, 64


def molecule(size=SIZE, pixel_A=PIXEL_A, *, at_A=(0.0, 0.0)):
    """Three lobes of different size, inside a soft circular mask."""
    y, x = (np.arange(size) - size // 2)[:, None] * pixel_A, (np.arange(size) - size // 2) * pixel_A
    lobes = ((0, 0, 22, 1.0), (30, 12, 14, 0.8), (-18, 26, 10, 0.9))
    image = sum(
        w * np.exp(-((x - at_A[0] - a) ** 2 + (y - at_A[1] - b) ** 2) / (2 * s**2))
        for a, b, s, w in lobes
    )
    r = np.hypot(y, x)
    return image * np.clip((DIAMETER_A / 2 - r) / (5 * pixel_A) + 0.5, 0, 1)


def junk(seed=0):
    """Band-limited noise inside the mask."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(SIZE, SIZE)), 1.2)
    y, x = np.indices(noise.shape) - SIZE // 2
    return noise * (np.hypot(y, x) < DIAMETER_A / PIXEL_A / 2)


def statistics(n):
    return Statistics(
        torch.full((n,), 80.0), torch.full((n,), 18.0), torch.full((n,), 6.0), torch.full((n,), 2.0)
    )


def measured(*images, pixel_A=PIXEL_A):
    return features(
        torch.from_numpy(np.stack(images)), pixel_A, DIAMETER_A, statistics(len(images))
    )


def assert_alike(one, other, within):
    for name, values in one.items():
        least = 2.0 if "contrast" in name else 1.0  # a logarithm over five decades
        spread = max(least, float(values.abs().max()))
        assert torch.allclose(values, other[name], atol=within * spread), name


@pytest.mark.parametrize("change", [np.rot90, np.flipud])
def test_quarter_turns_and_mirrors_change_nothing(change):
    # Pixel size // 2 is the middle: turned or mirrored, the image must come back to it.
    plain = (molecule(), junk())
    changed = tuple(np.roll(change(image), _back(change), axis=(0, 1)) for image in plain)
    assert_alike(measured(*plain), measured(*changed), 0.03)


def _back(change):
    mark = np.zeros((SIZE, SIZE))
    mark[SIZE // 2, SIZE // 2] = 1
    y, x = np.argwhere(change(mark) == 1)[0]
    return SIZE // 2 - y, SIZE // 2 - x


def test_any_turn_changes_little():
    turned = ndimage.affine_transform(
        molecule(), _turn(37), offset=SIZE // 2 - _turn(37) @ np.full(2, SIZE // 2), order=3
    )
    assert_alike(measured(molecule(), junk()), measured(turned, junk()), 0.06)


def _turn(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s], [s, c]])


def test_grey_scale_and_sampling_do_not_matter_to_the_shape():
    fine = molecule(96, PIXEL_A * 64 / 96)
    coarse, strong = measured(molecule(), junk()), measured(3.7 * molecule(), 3.7 * junk())
    for name in coarse:
        if name != "job_amplitude":
            assert torch.allclose(coarse[name], strong[name], atol=1e-6), name
    one, other = measured(molecule()), measured(fine, pixel_A=PIXEL_A * 64 / 96)
    for name in ("protein_area", "low_pass_max", "profile_mean_1", "spread", "granulometry_3"):
        assert float(one[name]) == pytest.approx(float(other[name]), abs=0.03), name


def test_a_molecule_looks_different_from_junk():
    values = measured(molecule(), junk())
    good, bad = (lambda name: float(values[name][0])), (lambda name: float(values[name][1]))
    assert abs(good("ring_mean")) < 0.1
    assert good("ring_sigma") < 0.2 < bad("ring_sigma")
    assert good("edge") < 0.02 < bad("edge")
    assert good("granulometry_3") > bad("granulometry_3") + 0.1
    assert good("harmonic_0") > bad("harmonic_0") + 0.1
    assert good("protein_mean") - good("solvent_mean") > 0.7


def test_off_centre_is_measured_in_radii():
    moved = molecule(at_A=(20.0, 0.0))
    values = measured(molecule(), moved)["off_centre"]
    assert float(values[1] - values[0]) == pytest.approx(20 / (DIAMETER_A / 2), abs=0.08)


def test_classes_without_particles_do_not_disturb_the_comparison():
    images = torch.from_numpy(np.stack([molecule(), junk(), junk(1), 1e3 * junk(2)]))
    empty = statistics(4)
    empty.n_particles[3] = 0
    with_empty = features(images, PIXEL_A, DIAMETER_A, empty)
    without = features(images[:3], PIXEL_A, DIAMETER_A, statistics(3))
    assert torch.allclose(with_empty["job_amplitude"][:3], without["job_amplitude"])


def test_an_average_of_nothing_gives_numbers():
    values = measured(molecule(), np.zeros((SIZE, SIZE)))
    assert all(bool(torch.isfinite(column).all()) for column in values.values())


def test_protein_begins_near_the_middle_and_covers_some_of_it():
    y, x = np.indices((SIZE_PX, SIZE_PX)) - SIZE_PX // 2
    blob = np.exp(-(x**2 + y**2) / 60.0)
    far = np.exp(-((x - 25) ** 2 + y**2) / 6.0)
    both, only_far = protein_masks(torch.from_numpy(np.stack([blob + far - 0.02, far - 0.02])))
    assert both[32, 32]
    assert not both[32, 57]
    assert not only_far.any()


def test_detail_of_a_size_stands_out_of_the_solvent_in_its_band():
    size, pixel_A, diameter_A = 64, 4.0, 180.0
    y, x = np.indices((size, size)) - size // 2
    ball = np.hypot(y, x) < 12
    coarse, fine = (
        torch.from_numpy(ball * (1 + np.cos(2 * np.pi * x * pixel_A * elements / diameter_A)))
        for elements in (3.7, 8.0)
    )
    n = statistics(2)
    found = features(torch.stack([coarse, fine]), pixel_A, diameter_A, n)
    first, second = found["band_share_2"], found["band_share_4"]
    assert first[0] > first[1]
    assert second[1] > second[0] + 0.5
    assert found["band_contrast_4"][1] > 1.5
    assert found["band_spread_4"][1] < 0.4


def test_prepared_images_have_the_mask_at_thirty_pixels():
    step = (distance() * DIAMETER_A / 2 < 40).double().numpy()
    size, pixel_A = 100, 2.0
    r = np.hypot(*(np.indices((size, size)) - size // 2)) * pixel_A
    images = prepare(torch.from_numpy((r < 40.0)[None].astype(float)), pixel_A, DIAMETER_A).images
    inside = images[0] > images[0].max() / 2
    assert float(inside.sum()) == pytest.approx(step.sum(), rel=0.03)
