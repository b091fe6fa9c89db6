"""Local resolution: RELION's numbers, windows against whole maps, and a map of two resolutions."""

import re
import subprocess

import numpy as np
import pytest
import torch

from vitreous.engine import filtering, fourier, fourier_volume, masking, resolution, sharpening
from vitreous.engine.local_resolution import LocalSums, Measurement, Place, Probe, Window
from vitreous.io import read_star, read_volume, write_volume

A = 2.0


def filtering_of(volume):
    return lambda: fourier_volume.forward(volume)


def noise(size, seed):
    return torch.randn((size,) * 3, generator=torch.Generator().manual_seed(seed))


def halves_of(signal, level=0.3):
    size = len(signal)
    return signal + level * noise(size, 1), signal + level * noise(size, 2)


def randomised(halves, shell):
    generator = torch.Generator().manual_seed(0)
    return tuple(
        fourier.inverse(
            resolution.randomise_phases(fourier.forward(half, 3), shell, generator, 3), 3, len(half)
        )
        for half in halves
    )


def measured(halves, probe, *, whole):
    random = randomised(halves, probe.randomised_from)
    mean = (halves[0] + halves[1]) / 2
    measurement = Measurement(halves, random, filtering_of(mean), A, probe, whole=whole)
    sums = LocalSums(len(mean))
    places = list(measurement.run(sums))
    return measurement, places, *sums.finish()


def test_numbers_are_relions(tmp_path, relion):
    """Random phases differ, so RELION's corrected curve of each place is taken over."""
    size = 32
    signal = filtering.low_pass(noise(size, 0), 7, A, 3) * masking.sphere(size, 3, 9, 4)
    halves = halves_of(signal)
    for number, half in enumerate(halves, start=1):
        write_volume(tmp_path / f"m_half{number}.mrc", half.numpy(), A)
    command = (
        "relion_postprocess --locres --i m_half1.mrc --o r --angpix 2 --adhoc_bfac -100 "
        "--locres_sampling 16 --locres_maskrad 7 --locres_edgwidth 10 --locres_randomize_at 14"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    text = re.sub(r" kk=.*", "", (tmp_path / "r_locres_fscs.star").read_text())
    (tmp_path / "curves.star").write_text(text)
    theirs = read_star(tmp_path / "curves.star")

    probe = Probe(8, 4, 5, int(size * A / 14))
    transform = fourier.forward((halves[0] + halves[1]) / 2, 3)
    curve = sharpening.b_factor_curve(size, -100, A)
    sharpened = fourier.inverse(sharpening.apply(transform, curve), 3)
    random = randomised(halves, probe.randomised_from)
    measurement = Measurement(halves, random, filtering_of(sharpened), A, probe, whole=True)
    sums = LocalSums(size)
    centres = probe.places(size)
    assert {f"fsc_{x:05d}_{y:05d}_{z:05d}" for x, y, z in centres} == set(theirs)
    for centre in centres:
        window, mask = (
            Window((0, 0, 0), size, size),
            masking.sphere(size, 3, 4, 5, centre_px=tuple(map(float, centre))),
        )
        place = measurement.place(centre, window, mask)
        table = theirs["fsc_{:05d}_{:05d}_{:05d}".format(*centre)]
        wanted = table["rlnFourierShellCorrelationMaskedMaps"]
        np.testing.assert_allclose(place.masked[1:], wanted[1:], atol=1e-5)
        curve = torch.tensor(np.array(table["rlnFourierShellCorrelationCorrected"]))
        found_A = min(50.0, resolution.resolution_A(curve, size, A))
        place = Place(centre, place.masked, place.randomised, curve, found_A)
        measurement.add_(place, window, mask, sums)
    resolution_A, filtered = sums.finish()
    wanted = read_volume(tmp_path / "r_locres.mrc").data
    np.testing.assert_allclose(resolution_A, wanted, rtol=5e-6)
    wanted = read_volume(tmp_path / "r_locres_filtered.mrc").data / 2  # 3.1.3 filters the sum
    assert np.abs(filtered.numpy() - wanted).max() < 5e-6 * np.abs(wanted).max()


def test_windows_find_what_whole_maps_find():
    size = 64
    fine = filtering.low_pass(noise(size, 0), 6, A, 3)
    coarse = filtering.low_pass(fine, 14, A, 3)
    left = masking.sphere(size, 3, 10, 4, centre_px=(-14.0, 0.0, 0.0))
    right = masking.sphere(size, 3, 10, 4, centre_px=(14.0, 0.0, 0.0))
    halves = halves_of((fine * left + coarse * right) / fine.std(), level=0.5)
    probe = Probe(8, 4, 8, int(size * A / 16))
    small, _, window_A, window_map = measured(halves, probe, whole=False)
    large, _, whole_A, whole_map = measured(halves, probe, whole=True)
    assert (small.side, large.side) == (40, 64)
    inside = (left + right) > 0.5
    difference = (window_A - whole_A)[inside].abs()
    assert float(difference.median()) < 0.15
    assert float(difference.quantile(0.95)) < 1.0
    correlation = np.corrcoef(window_map[inside], whole_map[inside])[0, 1]
    assert correlation > 0.995
    for found_A in (window_A, whole_A):
        assert float(found_A[left > 0.99].median()) == pytest.approx(6, abs=1.2)
        assert float(found_A[right > 0.99].median()) == pytest.approx(14, rel=0.3)
        outside = found_A[(left + right) == 0]
        assert float(outside[outside > 0].median()) > float(found_A[left > 0.99].median())


def test_windows_may_reach_beyond_the_box():
    window = Window((-2, 3, 6), 4, 8)
    volume = torch.arange(512.0).reshape(8, 8, 8)
    cut = window.cut(volume)
    assert not cut[:2].any()
    assert not cut[:, :, 2:].any()
    torch.testing.assert_close(cut[2:, :, :2], volume[:2, 3:7, 6:8])


def test_windows_are_quick_to_transform_and_hold_the_sphere():
    probe = Probe(25, 13, 25, 10)
    assert probe.window_px(256) == 96
    assert probe.window_px(64) == 64
    assert all(x * x + y * y + z * z < (128 - 13) ** 2 for x, y, z in probe.places(256))


def test_voxels_that_no_sphere_reaches_are_zero():
    halves = halves_of(noise(32, 0))
    _, places, resolution_A, filtered = measured(halves, Probe(10, 2, 2, 5), whole=False)
    unreached = torch.ones(32, 32, 32, dtype=torch.bool)
    for place in places:
        offset = tuple(map(float, place.centre_px))
        unreached &= masking.sphere(32, 3, 2.0, 2.0, centre_px=offset) == 0
    assert unreached.any()
    assert not resolution_A[unreached].any()
    assert not filtered[unreached].any()
    assert (resolution_A[~unreached] > 0).all()
