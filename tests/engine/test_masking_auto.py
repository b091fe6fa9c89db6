"""The automatic threshold: on noise, on particles whose shape is known, and on real maps."""

import math

import pytest
import torch

from vitreous.engine import filtering, masking, masking_auto
from vitreous.errors import InputError
from vitreous.io import read_volume

N, A = 64, 2.0


def noise(seed, size=N):
    return torch.randn((size,) * 3, generator=torch.Generator().manual_seed(seed))


def shape():
    """A ball and a smaller one beside it."""
    large = masking.sphere(N, 3, 11, 0) > 0.5
    return large | (masking.sphere(N, 3, 7, 0, centre_px=(15.0, 4.0, -2.0)) > 0.5)


def particle(strength, seed=0, low_pass_A=15.0):
    density = shape() * (1 + 0.5 * noise(seed + 50))
    return filtering.low_pass(strength * density + noise(seed), low_pass_A, A, 3)


def found_in(volume, rate=0.01):
    found = masking_auto.thresholds(volume, masking_auto.noise_of(volume), rate)
    return found, masking_auto.inside(volume, found)


def test_the_solvent_of_a_map_is_measured():
    volume = particle(5.0)
    outside = volume[masking.distance_to(shape()) > 8]
    found = masking_auto.noise_of(volume + 3.0)
    deviation = float(outside.std())
    assert found.level == pytest.approx(3 + float(outside.mean()), abs=0.3 * deviation)
    assert found.deviation == pytest.approx(deviation, rel=0.25)


@pytest.mark.parametrize(("strength", "covered"), [(0.8, 0.9), (2.0, 0.99), (10.0, 0.995)])
def test_the_particle_is_covered_and_little_else(strength, covered):
    _, inside = found_in(particle(strength))
    truth = shape()
    assert float((inside & truth).sum() / truth.sum()) > covered
    # Smoothing to 15 Å (7.5 voxels) widens a ball of 11 by up to a fifth.
    assert float(inside.sum() / truth.sum()) < 1.8
    assert masking.parts(inside)[0] == 1


def test_scale_and_offset_of_a_map_do_not_matter():
    volume = particle(2.0)
    first, inside = found_in(volume)
    second, again = found_in(7 * volume - 20)
    assert second.extended == pytest.approx(7 * first.extended - 20, rel=1e-3)
    assert float((inside ^ again).sum()) < 5


def test_the_share_of_noise_is_what_was_asked():
    """White noise and a few voxels far above it: as many noise voxels pass as the rate allows."""
    volume = noise(3, 80)
    core = masking.sphere(80, 3, 12, 0) > 0.5
    volume[core] += 12
    for rate in (0.01, 0.2):
        found = masking_auto.thresholds(volume, masking_auto.Noise(0.0, 1.0), rate)
        above = volume >= found.extended
        in_ball = masking.radius(80, 3) < 39
        false = float((above & ~core & in_ball).sum() / (above & in_ball).sum())
        assert false == pytest.approx(rate, rel=0.35)
    # Specks do not reach what each part must reach.
    assert masking.parts(masking_auto.inside(volume, found))[0] == 1


def test_pure_noise_has_no_particle():
    for seed in range(6):
        volume = filtering.low_pass(noise(seed), 15, A, 3)
        with pytest.raises(InputError, match="Nothing stands out of the noise"):
            found_in(volume)


def test_black_particles_and_blank_maps_are_refused():
    with pytest.raises(InputError, match="is it white"):
        found_in(-particle(2.0))
    with pytest.raises(InputError, match="it was masked"):
        masking_auto.require_solvent(particle(2.0) * shape())
    with pytest.raises(InputError, match="no noise"):
        masking_auto.noise_of(torch.zeros(16, 16, 16))
    masking_auto.require_solvent(particle(2.0))


@pytest.mark.parametrize(
    ("name", "kilodalton"),
    [
        ("maps/ngl_betaGal_3.54A.mrc", 465),
        ("maps/emd_3488.mrc", 64.5),
        ("betagal_10204/baseline_half1.mrc", 465),
    ],
)
def test_real_maps_get_a_mask_of_their_molecule(data, name, kilodalton):
    """More than the volume of the protein, since 15 Å widen it, and less than twice of it."""
    volume = read_volume(data / name)
    smooth = filtering.low_pass(torch.from_numpy(volume.data), 15, volume.pixel_size_A, 3)
    _, inside = found_in(smooth)
    weight = float(inside.sum()) * volume.pixel_size_A**3 * 0.81 / 1000
    assert 1.1 < weight / kilodalton < 2.2
    assert masking.parts(inside)[0] == 1
    assert math.isfinite(weight)
