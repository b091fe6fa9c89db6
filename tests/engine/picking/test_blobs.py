"""Blobs are found where they are, as RELION finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous.engine import masking
from vitreous.engine.picking import blobs, preparation
from vitreous.errors import InputError
from vitreous.io import read_image, read_star

GOLDEN = Path(__file__).parents[2] / "golden" / "autopick_log"


def _micrograph(
    shape: tuple[int, int], places: list[tuple[int, int]], radius: float
) -> torch.Tensor:
    image = 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    side = 2 * int(radius + 2)
    disc = (masking.radius(side, 2) < radius).to(torch.float32)
    for x, y in places:
        image[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2] -= disc
    return image


def _pick(image: torch.Tensor, search: blobs.BlobSearch, *, white: bool = False) -> blobs.Blobs:
    at = preparation.coarse((image.shape[0], image.shape[1]), 2.0, 20.0)
    transformed = preparation.transform(preparation.normalise(image), at)
    found = blobs.answers(transformed, at, search, white=white)
    return blobs.pick_blobs(found, at, search)


@pytest.mark.parametrize("shape", [(256, 256), (256, 320), (320, 256)])
def test_discs_are_found_where_they_are(shape: tuple[int, int]) -> None:
    places = [(60, 70), (150, 60), (200, 190), (90, 180)]
    found = _pick(_micrograph(shape, places, 17), blobs.BlobSearch(60, 80, 2.0))
    assert len(places) <= len(found.merit) <= len(places) + 2
    for place in places:
        distance = np.hypot(*(found.places_px.numpy() - place).T)
        assert distance.min() < 5  # half a work pixel in both directions, and noise


def test_white_particles_need_the_option() -> None:
    image = -_micrograph((256, 256), [(100, 120)], 17)
    search = blobs.BlobSearch(60, 80, 3.0)
    found = _pick(image, search, white=True)
    assert np.hypot(*(found.places_px.numpy()[0] - (100, 120))) < 5


def test_an_upper_limit_drops_the_strongest() -> None:
    image = _micrograph((256, 256), [(60, 60), (180, 180)], 17)
    image += 4 * torch.minimum(_micrograph((256, 256), [(60, 60)], 17), torch.tensor(0.0))
    n_all = len(_pick(image, blobs.BlobSearch(60, 80, 1.0)).merit)
    limited = _pick(image, blobs.BlobSearch(60, 80, 1.0, upper_sigma=4.0))
    assert len(limited.merit) < n_all
    assert (np.hypot(*(limited.places_px.numpy() - (60, 60)).T) > 10).all()


def test_picks_keep_their_distance() -> None:
    image = torch.randn(256, 256, generator=torch.Generator().manual_seed(2))
    places = _pick(image, blobs.BlobSearch(40, 50, -2.0)).places_px.numpy()
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert len(places) > 20
    assert apart.min() > 40 / 2 - 5


def test_transposed_micrographs_give_transposed_picks() -> None:
    image = torch.randn(256, 256, generator=torch.Generator().manual_seed(3))
    one, other = (_pick(i, blobs.BlobSearch(40, 50)) for i in (image, image.T.contiguous()))
    torch.testing.assert_close(
        one.merit, other.merit, rtol=0.1, atol=0.01
    )  # one Nyquist row is kept


def test_all_picks_and_merits_are_those_of_relion() -> None:
    image = torch.from_numpy(read_image(GOLDEN / "micrograph.mrc").data)
    at = preparation.coarse((image.shape[0], image.shape[1]), 3.0, 20.0)
    search = blobs.BlobSearch(120, 130, -1.0)
    transformed = preparation.transform(preparation.normalise(image), at)
    found = blobs.pick_blobs(blobs.answers(transformed, at, search), at, search)
    wanted = read_star(GOLDEN / "autopick.star").first
    places = np.stack([wanted["rlnCoordinateX"], wanted["rlnCoordinateY"]], 1)
    np.testing.assert_allclose(found.places_px.numpy(), places, atol=1e-3)
    np.testing.assert_allclose(found.merit.numpy(), wanted["rlnAutopickFigureOfMerit"], atol=2e-6)


@pytest.mark.parametrize("side", [186, 188, 94, 206, 100])
def test_work_sizes_have_small_factors(side: int) -> None:
    good = preparation.good_size(side)
    assert good % 2 == 0
    for number in (good, good // 2 + 1):
        assert all(
            number % prime for prime in (47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103)
        )


def test_a_constant_micrograph_is_refused() -> None:
    with pytest.raises(InputError, match="all pixels of the micrograph are equal"):
        preparation.normalise(torch.full((64, 64), 3.0))


def test_outliers_become_the_mean() -> None:
    image = torch.randn(64, 64, generator=torch.Generator().manual_seed(4))
    image[3, 4] = 1e4
    assert float(preparation.normalise(image)[3, 4]) == 0


def test_diameters_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(InputError, match="smallest <= largest"):
        blobs.BlobSearch(200, 100)


def test_local_contrast_finds_what_a_noisy_half_hides() -> None:
    """The right half is carbon: darker, and four times as noisy."""
    places = [(50, 60), (60, 190), (110, 120), (170, 60), (200, 200)]
    places += [(300, 100), (400, 300), (450, 60), (350, 420), (120, 400)]
    image = _micrograph((512, 512), places, 17)
    noise = torch.randn(512, 256, generator=torch.Generator().manual_seed(5))
    image[:, 256:] += 1.2 * noise - 3
    n_found = {}
    for local in (False, True):
        picks = _pick(image, blobs.BlobSearch(60, 80, 0.5, local_contrast=local)).places_px.numpy()
        n_found[local] = sum(np.hypot(*(picks - place).T).min() < 8 for place in places)
        assert len(picks) < 40
    assert n_found[True] == len(places)
    assert n_found[False] < len(places)
