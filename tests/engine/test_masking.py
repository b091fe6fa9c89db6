"""Masks: RELION's numbers, distances by brute force, and what must be refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous.engine import filtering, masking
from vitreous.errors import InputError
from vitreous.io import read_volume, write_volume


def blobs(size: int = 24, ndim: int = 3, seed: int = 0) -> torch.Tensor:
    volume = torch.randn((size,) * ndim, generator=torch.Generator().manual_seed(seed))
    volume = filtering.low_pass(volume, 8, 1.0, ndim)
    return volume / volume.std()


@pytest.mark.parametrize("ndim", [2, 3])
def test_distances_are_those_of_brute_force(ndim: int):
    inside = blobs(9, ndim) > 1
    places = torch.stack(torch.meshgrid(*[torch.arange(9.0)] * ndim, indexing="ij"), -1)
    every = (places.reshape(-1, 1, ndim) - places[inside]).norm(dim=-1).amin(1)
    wanted = every.reshape(inside.shape).double()
    torch.testing.assert_close(masking.distance_to(inside), wanted, atol=1e-6, rtol=0)


def test_distance_to_nothing_is_infinite():
    assert torch.isinf(masking.distance_to(torch.zeros(4, 4, dtype=torch.bool))).all()


def test_edge_falls_as_half_a_cosine():
    inside = torch.zeros(1, 21, dtype=torch.bool)
    inside[0, 0] = True
    mask = masking.soften(inside, extend_px=3, edge_px=4)[0]
    wanted = [1, 1, 1, *(0.5 + 0.5 * np.cos(np.pi * d / 4) for d in (1, 2, 3)), 0, 0]
    np.testing.assert_allclose(mask[:8], wanted, atol=1e-7)


def test_extending_and_shrinking():
    inside = torch.zeros(11, 11, dtype=torch.bool)
    inside[3:8, 3:8] = True
    assert masking.soften(inside, extend_px=1.1).sum() == 25 + 20
    assert masking.soften(inside, extend_px=-1.1).sum() == 9
    torch.testing.assert_close(masking.soften(inside), inside.float())


@pytest.mark.parametrize(("threshold", "what"), [(100, "nothing"), (-100, "everything")])
def test_empty_and_full_masks_are_refused(threshold: float, what: str):
    with pytest.raises(InputError, match=f"threshold of {threshold} makes a mask with {what}"):
        masking.soft_mask(blobs(), threshold)


def test_edge_of_the_box_is_noticed():
    mask = torch.zeros(8, 8, 8)
    mask[2:6, 2:6, 2:6] = 1
    assert not masking.touches_edge(mask)
    mask[7, 3, 3] = 0.2
    assert masking.touches_edge(mask)
    assert not masking.touches_edge(mask, above=0.5)


@pytest.mark.parametrize("size", [16, 17])
def test_sphere_is_centred_and_has_its_volume(size: int):
    mask = masking.sphere(size, 3, 5, 0)
    assert mask[size // 2, size // 2, size // 2] == 1
    assert float(mask.sum()) == pytest.approx(4 / 3 * np.pi * 5**3, rel=0.05)
    shifted = masking.sphere(size, 3, 3, 0, centre_px=(2.0, -1.0, 0.0))
    place = torch.nonzero(shifted).double().mean(0)
    wanted = torch.tensor([size // 2, size // 2 - 1, size // 2 + 2]).double()
    torch.testing.assert_close(place, wanted)


def test_sphere_in_2d_is_a_disc():
    mask = masking.sphere(20, 2, 4, 3)
    radius = masking.radius(20, 2)
    assert (mask[radius <= 4] == 1).all()
    assert (mask[radius >= 7] == 0).all()
    assert float(mask[10, 15]) == pytest.approx(0.5 + 0.5 * np.cos(np.pi / 3))


def test_outside_fades_into_its_own_mean():
    image = torch.full((2, 16, 16), 3.0)
    image[1] = 7.0
    mask = masking.sphere(16, 2, 4, 2)
    torch.testing.assert_close(masking.fill_outside(image, mask), image)
    image[:, 8, 8] = 100
    filled = masking.fill_outside(image, mask)
    assert filled[0, 8, 8] == 100
    assert float(filled[0, 0, 0]) == pytest.approx(3.0)


def test_threshold_for_a_weight_gives_that_volume():
    volume = torch.exp(-(masking.radius(32, 3) ** 2) / 50).float()
    volume[2, 2, 2] = 10.0
    weight = 0.81 * 1000 * 1.5**3
    threshold = masking.threshold_for_weight(volume, 1.5, weight)
    assert int((volume >= threshold).sum()) - 1 == pytest.approx(1000, rel=0.08)
    with pytest.raises(InputError, match="Check the weight"):
        masking.threshold_for_weight(volume, 1.5, 1e9)


# ---- RELION ---------------------------------------------------------------------------------


def mask_create(folder: Path, arguments: str) -> torch.Tensor:
    command = f"relion_mask_create {arguments} --o mask.mrc --angpix 1.5"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, timeout=60)
    return torch.from_numpy(read_volume(folder / "mask.mrc").data)


@pytest.mark.parametrize(
    ("threshold", "extend", "edge"),
    [(2, 0, 0), (2, 3, 0), (2, 3, 4), (1, -1, 3), (2, 2.5, 3.7), (0.5, -2, 0)],
)
def test_masks_are_relions(
    tmp_path: Path, relion: None, threshold: float, extend: float, edge: float
):
    volume = blobs()
    write_volume(tmp_path / "map.mrc", volume.numpy(), 1.5)
    arguments = (
        f"--i map.mrc --ini_threshold {threshold} --extend_inimask {extend} "
        f"--width_soft_edge {edge}"
    )
    ours = masking.soft_mask(volume, threshold, extend, edge)
    torch.testing.assert_close(ours, mask_create(tmp_path, arguments), rtol=0, atol=3e-8)


@pytest.mark.parametrize(
    ("inner", "outer", "edge", "centre"),
    [(0, 8, 3, (0.0, 0.0, 0.0)), (4, 10, 2, (1.0, -2.0, 3.0)), (3, 9.5, 0, (0.0, 0.0, 0.0))],
)
def test_spheres_are_relions(tmp_path: Path, relion: None, inner, outer, edge, centre):
    x, y, z = centre
    arguments = (
        f"--denovo --box_size 32 --inner_radius {inner} --outer_radius {outer} "
        f"--width_soft_edge {edge} --center_x {x} --center_y {y} --center_z {z}"
    )
    ours = masking.sphere(32, 3, outer, edge, inner_radius_px=inner, centre_px=centre)
    torch.testing.assert_close(ours, mask_create(tmp_path, arguments), rtol=0, atol=3e-8)


@pytest.mark.parametrize("z_fraction", [0.3, 0.5])
def test_helical_masks_are_relions(tmp_path: Path, relion: None, z_fraction: float):
    volume = blobs(32)
    write_volume(tmp_path / "map.mrc", volume.numpy(), 1.5)
    arguments = (
        "--i map.mrc --ini_threshold 1 --extend_inimask 1 --width_soft_edge 3 "
        f"--helix --z_percentage {z_fraction}"
    )
    ours = masking.central_cylinder(masking.soft_mask(volume, 1, 1, 3), z_fraction, 3)
    torch.testing.assert_close(ours, mask_create(tmp_path, arguments), rtol=0, atol=2e-7)


@pytest.mark.parametrize("shape", [(17, 21), (11, 16, 9)])
def test_near_distances_are_exact_and_far_ones_infinite(shape):
    inside = torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.97
    inside[0] = False
    exact = masking.distance_to(inside).float()
    found = masking.near_distance(inside, 4)
    torch.testing.assert_close(found, torch.where(exact <= 4, exact, torch.inf))
    assert bool(torch.isinf(found).any())
