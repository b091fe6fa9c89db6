"""Templates find what they show, at its angle; the basis loses nothing; figures are RELION's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vitreous.engine import filtering
from vitreous.engine.picking import matching, peaks, preparation, templates
from vitreous.errors import InputError
from vitreous.io import read_image, read_volume

GOLDEN = Path(__file__).parents[2] / "golden"
PIXEL_A = 4.0
AT = preparation.coarse((192, 192), PIXEL_A, 20.0)


def _bar(box: int = 32) -> Tensor:
    """Return a shape without any symmetry."""
    image = torch.zeros(1, box, box)
    middle = box // 2
    image[0, middle - 3 : middle + 3, middle - 9 : middle + 9] = 1
    image[0, middle : middle + 8, middle + 4 : middle + 9] = 2
    return filtering.low_pass(image, 20.0, PIXEL_A, 2)


def _refs(images: Tensor | None = None) -> templates.References:
    images = _bar() if images is None else images
    return templates.references(images, PIXEL_A, PIXEL_A, 112.0, invert=True)


def _micrograph(places: list[tuple[int, int, int]]) -> Tensor:
    """Return dark particles x y with quarter turns, in noise."""
    image = 0.2 * torch.randn(192, 192, generator=torch.Generator().manual_seed(0))
    for x, y, quarter in places:
        # A quarter turn about the middle pixel, not about the edge between two.
        turned = torch.rot90(_bar(33)[0], quarter)
        image[y - 16 : y + 17, x - 16 : x + 17] -= turned
    return image


def _find(
    image: Tensor, refs: templates.References, step_deg: float, **more: float
) -> tuple[matching.Merits, templates.Basis]:
    waves = templates.basis(refs, AT, step_deg, 20.0, **more)
    return _find_in(preparation.normalise(image), refs, waves)


def _find_in(
    scaled: Tensor, refs: templates.References, waves: templates.Basis
) -> tuple[matching.Merits, templates.Basis]:
    transformed = preparation.transform(scaled, AT)
    averaging = matching.surroundings(AT, refs.box_px, refs.radius_px, torch.device("cpu"))
    squared = preparation.transform(scaled.square(), AT)
    around = matching.background(transformed, squared, averaging, AT)
    return matching.match(transformed, around, refs, waves, AT), waves


def test_particles_are_found_with_their_angle() -> None:
    places = [(50, 60, 0), (140, 50, 1), (60, 140, 2), (130, 130, 3)]
    refs = _refs()
    found, waves = _find(_micrograph(places), refs, 90.0)
    search = peaks.PeakSearch(0.3, 20, 16)
    picked = peaks.find_peaks(found, waves, AT, search)
    assert len(picked) >= 4
    for x, y, quarter in places:
        distance = np.hypot(*(picked.places_px - (x, y)).T)
        assert distance.min() < 3
        # rot90 turns y towards x; psi counts against x towards y
        assert picked.psi_deg[distance.argmin()] == pytest.approx(90 * quarter % 360)


def test_the_basis_gives_the_correlation_with_every_turned_reference() -> None:
    refs = _refs()
    few, _ = _find(_micrograph([(60, 60, 0)]), refs, 30.0)
    all_waves, _ = _find(_micrograph([(60, 60, 0)]), refs, 30.0, tolerance=1e-6)
    assert len(few.maps) <= len(all_waves.maps)
    spread = float(all_waves.merit.std())
    assert float((few.merit - all_waves.merit).abs().max()) < 0.02 * spread


def test_half_a_turn_needs_no_work_of_its_own() -> None:
    refs = _refs()
    found, waves = _find(_micrograph([(60, 60, 0), (130, 120, 3)]), refs, 30.0)
    assert waves.has_pairs
    assert 0 < waves.n_even < waves.weights.shape[-1]
    assert waves.weights.shape[:2] == (1, 12)
    paired = matching.best_correlations(found.maps, waves.weights, waves.n_even)
    every = matching.best_correlations(found.maps, waves.weights)
    torch.testing.assert_close(paired, every, rtol=1e-4, atol=1e-4)


def test_an_odd_number_of_angles_has_no_pairs() -> None:
    _, waves = _find(_micrograph([(60, 60, 0)]), _refs(), 120.0)
    assert not waves.has_pairs
    assert waves.weights.shape[1] == 3


def test_a_strong_crystal_does_not_correlate() -> None:
    """A disc with more contrast has a high merit, but does not look like the reference."""
    image = _micrograph([(60, 60, 0)]) / 0.2
    y, x = torch.meshgrid(torch.arange(192), torch.arange(192), indexing="ij")
    image[(y - 130) ** 2 + (x - 130) ** 2 < 100] -= 40
    refs = _refs()
    found, waves = _find_in(image, refs, templates.basis(refs, AT, 30.0, 20.0))
    transformed = preparation.transform(image, AT)
    curve = templates.low_pass(AT, 20.0, transformed.device)
    of_place = matching.inside(transformed, curve, refs.radius_px, AT)
    alike = matching.match(transformed, found.background, refs, waves, AT, of_place=of_place)
    row, column = (round(130 * scale) for scale in AT.scale)
    true_row, true_column = (round(60 * scale) for scale in AT.scale)
    assert _near(found.merit, row, column) > _near(found.merit, true_row, true_column)
    assert _near(alike.merit, true_row, true_column) > 0.8
    assert _near(alike.merit, row, column) < _near(alike.merit, true_row, true_column) - 0.1


def _near(merit: Tensor, row: int, column: int) -> float:
    return float(merit[0, row - 2 : row + 3, column - 2 : column + 3].max())


def test_a_place_beside_the_mask_sets_the_background() -> None:
    image = torch.randn(192, 192, generator=torch.Generator().manual_seed(5))
    refs = _refs()
    averaging = matching.surroundings(AT, refs.box_px, refs.radius_px, torch.device("cpu"))
    transformed = preparation.transform(image, AT)
    squared = preparation.transform(image.square(), AT)
    around = matching.background(transformed, squared, averaging, AT)
    assert float(around.sigma.mean()) == pytest.approx(1.0, abs=0.05)
    assert float(around.mean.mean()) == pytest.approx(float(image.mean()), abs=1e-3)


def test_an_empty_reference_is_refused() -> None:
    images = torch.cat([_bar(), torch.full((1, 32, 32), 0.5)])
    with pytest.raises(InputError, match=r"Reference 2 is empty .* after masking"):
        _refs(images)


def test_a_mask_larger_than_the_box_is_refused() -> None:
    with pytest.raises(InputError, match="mask is larger than the box"):
        templates.references(_bar(), PIXEL_A, PIXEL_A, 300.0)


def test_references_of_different_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="32 x 32 and 48 x 48"):
        templates.stack_of_one_size([_bar()[0], torch.zeros(48, 48)])


def test_close_peaks_keep_the_better_one_or_none() -> None:
    found = peaks.Peaks(
        np.array([[0.0, 0], [6, 0], [50, 0]]),
        np.array([1.0, 2, 3]),
        np.zeros(3),
        np.zeros(3, np.int64),
    )
    kept = peaks.choose(found, peaks.PeakSearch(0, 10, 0))
    np.testing.assert_array_equal(kept.merit, [3, 2])
    none = peaks.PeakSearch(0, 10, 0, drop_close_pairs=True, cluster_radius_px=5)
    np.testing.assert_array_equal(peaks.choose(found, none).merit, [3])


def test_maps_of_merit_are_those_of_relion_up_to_a_factor() -> None:
    """RELION 3.1.3 on a real micrograph; it draws a random factor for each template.

    What is left differs where templates are turned: RELION interpolates, which blurs the noise of
    the first template, a mean of 28 particles, more than the smooth second one.
    """
    image = torch.from_numpy(read_image(GOLDEN / "autopick_log/micrograph.mrc").data)
    given = torch.from_numpy(read_volume(GOLDEN / "autopick_templates/references.mrcs").data)
    theirs = torch.from_numpy(read_volume(GOLDEN / "autopick_templates/maps.mrcs").data)
    at = preparation.coarse((320, 320), 3.0, 20.0)
    refs = templates.references(given, 3.0, 3.0, 132.0, invert=True)
    scaled = preparation.normalise(image)
    transformed = preparation.transform(scaled, at)
    averaging = matching.surroundings(at, refs.box_px, refs.radius_px, torch.device("cpu"))
    squared = preparation.transform(scaled.square(), at)
    around = matching.background(transformed, squared, averaging, at)
    found = matching.match(transformed, around, refs, templates.basis(refs, at, 30.0, 20.0), at)
    torch.testing.assert_close(around.mean, theirs[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(around.sigma, theirs[1], rtol=1e-3, atol=1e-3)
    for ours, other, within in zip(found.merit, theirs[2:], (0.03, 0.01), strict=True):
        factor = float((ours * other).sum() / other.square().sum())
        assert 0.7 < factor < 1.4
        assert float((ours - factor * other).abs().max()) < within * float(ours.std())


def test_close_peaks_are_thinned_as_if_each_were_compared_with_each() -> None:
    rng = np.random.default_rng(3)
    places, merit = rng.integers(0, 60, (300, 2)).astype(float), rng.random(300)
    kept: list[int] = []
    for row in np.argsort(-merit):
        if all(np.hypot(*(places[row] - places[one])) >= 5 for one in kept):
            kept.append(int(row))
    assert peaks.thin(places, merit, 5.0).tolist() == kept
    assert len(peaks.thin(places, merit, 0.0)) == 300


def test_a_round_reference_has_no_odd_waves() -> None:
    blob = templates.gaussian(112.0, PIXEL_A)
    found, waves = _find(_micrograph([(60, 60, 0)]), _refs(blob), 90.0)
    assert waves.n_even == waves.weights.shape[-1] == len(found.maps)
