"""HEALPix pixels: against RELION's tables, and by what defines them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vitreous.engine import geometry, healpix


def vectors(order: int) -> Tensor:
    pixels = torch.arange(healpix.n_pixels(order))
    return geometry.view_direction(healpix.directions(order, pixels))


@pytest.mark.parametrize(
    "name",
    [
        "relion5_runs/refine3d_d2/run_it001_sampling.star",
        "star_corpus/starfile_BSD3/relion_tutorial/run_it025_sampling_3D.star",
    ],
)
def test_directions_stand_in_the_order_of_relion_files(data: Path, name: str) -> None:
    text = (data / name).read_text()
    table = [
        (float(rot), float(tilt))
        for rot, tilt in re.findall(r"^ +(-?[0-9.]+) +(-?[0-9.]+) *$", text, re.MULTILINE)
    ]
    theirs = torch.tensor(table, dtype=torch.float64)
    from vitreous.engine import asymmetric_unit

    group = "D2" if "d2" in name else "C1"
    ours = healpix.directions(2, asymmetric_unit.pixels(2, group))
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
def test_pixels_have_equal_areas(order: int) -> None:
    """Centres of equal areas: low spherical harmonics average to zero; rings of z are known."""
    v = vectors(order)
    assert len(v) == 12 * 4**order
    assert float(v.mean(0).abs().max()) < 1e-14
    z = v[:, 2].sort(descending=True).values
    n_side = 2**order
    rings = []
    for ring in range(1, 4 * n_side):
        near = min(ring, 4 * n_side - ring)
        if near < n_side:
            height = 1 - near**2 / (3 * n_side**2)
            rings += [height if ring < 2 * n_side else -height] * (4 * near)
        else:
            rings += [4 / 3 - 2 * ring / (3 * n_side)] * (4 * n_side)
    torch.testing.assert_close(z, torch.tensor(rings, dtype=torch.float64))


def test_known_pixels() -> None:
    found = healpix.directions(0, torch.arange(12))
    expected = [[45, 135, -135, -45], [0, 90, 180, -90], [45, 135, -135, -45]]
    torch.testing.assert_close(found[:, 0], torch.tensor(expected).flatten().double())
    tilt = torch.rad2deg(torch.acos(torch.tensor(2 / 3, dtype=torch.float64)))
    expected_tilt = torch.stack([tilt, 0 * tilt + 90, 180 - tilt]).repeat_interleave(4)
    torch.testing.assert_close(found[:, 1], expected_tilt)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_children_lie_around_their_parent(order: int, levels: int) -> None:
    pixels = torch.arange(healpix.n_pixels(order))
    finer = healpix.children(pixels, levels)
    assert finer.shape == (len(pixels), 4**levels)
    assert torch.equal(finer.flatten().sort().values, torch.arange(len(pixels) * 4**levels))
    parents, children = vectors(order), vectors(order + levels)[finer]
    nearest = (children @ parents.T).argmax(-1)
    # The corners of a pixel can be nearer to a neighbour's centre.
    assert float((nearest == pixels[:, None]).double().mean()) > 0.8
    middle = torch.nn.functional.normalize(children.mean(1), dim=-1)
    assert float((middle * parents).sum(-1).min()) > 0.98


def test_neighbours_are_about_the_nominal_spacing_apart() -> None:
    for order in (1, 2, 3, 4):
        cosine = vectors(order) @ vectors(order).T
        cosine.fill_diagonal_(-1)
        nearest = torch.rad2deg(torch.acos(cosine.max(1).values))
        assert 0.8 < float(nearest.mean()) / healpix.spacing_deg(order) < 1.05


def test_a_fine_order_is_exact_and_an_empty_list_is_empty() -> None:
    pixels = torch.tensor([0, 12 * 4**10 - 1])
    found = healpix.directions(10, pixels)
    assert found[0, 0] == 45.0
    assert float(found[0, 1]) == pytest.approx(90 - 0.0373, abs=1e-4)
    assert healpix.directions(3, pixels[:0]).shape == (0, 2)
