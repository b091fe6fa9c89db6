"""The slot for priors: the default, one of our own, plug-ins by name, trailing, and by files."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata

import pytest
import torch
from torch import Tensor

from vitreous.engine import filtering, fourier, projection, reconstruction
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement import regulariser
from vitreous.engine.refinement.external_regulariser import Exchange, external
from vitreous.engine.refinement.maximisation import maximise
from vitreous.engine.refinement.regulariser import Regularised, Request, Trailing, load, wiener_map
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model
from vitreous.engine.refinement.weights import weights_of
from vitreous.errors import ComputeError, EnvironmentMissing, InputError
from vitreous.testing import known_poses, phantoms

BOX = 24
THING = phantoms.cluster(radius_px=6, width_px=1.5)
VOLUME = THING.volume(BOX).to(torch.float32)
PLAIN = Settings()


def positive(request: Request) -> Regularised:
    """A prior of our own: density is positive."""
    return Regularised(request.wiener.volume.clamp(min=0))


def models_with(chosen: regulariser.Regulariser, noise: float = 0.1) -> tuple[Model, ...]:
    seen = known_poses.experiment(THING, 200, BOX, noise=noise)
    parts = seen.some(slice(0, 100)), seen.some(slice(100, 200))
    model = known_poses.model_of(VOLUME[None], seen.sigma2)
    state = known_poses.state_of((model, model))
    sums = tuple(known_poses.sums_of(part, PLAIN) for part in parts)
    return maximise(state, sums, PLAIN, regularise=chosen)[0]


def test_a_prior_of_ones_own_makes_the_maps() -> None:
    plain, found = models_with(wiener_map), models_with(positive)
    for before, after in zip(plain, found, strict=True):
        assert float(before.references.min()) < 0
        assert torch.equal(after.references, before.references.clamp(min=0))
        assert torch.equal(after.ssnr, before.ssnr)


def test_halves_are_asked_for_one_after_the_other_and_share_nothing_but_the_fsc() -> None:
    asked: list[Request] = []

    def watching(request: Request) -> Regularised:
        asked.append(request)
        return wiener_map(request)

    models_with(watching)
    assert [(one.half, one.class_, one.iteration) for one in asked] == [(0, 0, 2), (1, 0, 2)]
    first, second = asked
    assert torch.equal(first.fsc, second.fsc)
    assert not torch.equal(first.weight, second.weight)
    assert first.data.shape == first.weight.shape
    assert first.pixel_size_A == known_poses.PIXEL_SIZE_A


def test_a_better_fsc_changes_the_powers() -> None:
    def confident(request: Request) -> Regularised:
        return Regularised(request.wiener.volume, fsc=torch.full_like(request.fsc, 0.5))

    for model in models_with(confident):
        assert torch.allclose(model.ssnr, torch.ones_like(model.ssnr))
        assert torch.allclose(model.tau2, model.sigma2_map)
        assert (model.fsc == 0.5).all()
        assert float(model.completeness.max()) > 0


def test_a_better_signal_power_changes_the_ssnr() -> None:
    def loud(request: Request) -> Regularised:
        return Regularised(request.wiener.volume, tau2=3 * request.weights.noise_power())

    for model in models_with(loud):
        assert torch.allclose(model.ssnr, torch.full_like(model.ssnr, 3))


def test_changes_end_where_the_data_end() -> None:
    """Spectral trailing: detail that a prior invents is left out."""
    generator = torch.Generator().manual_seed(0)
    invented = torch.randn(BOX, BOX, BOX, generator=generator) * VOLUME.std()

    def inventive(request: Request) -> Regularised:
        return Regularised(request.wiener.volume + invented)

    plain, found = models_with(wiener_map), models_with(Trailing(inventive))
    shell = regulariser.resolution.resolution_shell(plain[0].fsc[0])
    assert 2 < shell < BOX // 2 - 4
    change = fourier.forward((found[0].references - plain[0].references)[0].double(), 3)
    power = fourier.shell_mean(change.abs().square(), 3)
    given = fourier.shell_mean(fourier.forward(invented.double(), 3).abs().square(), 3)
    assert torch.allclose(power[1:shell], given[1:shell], rtol=0.02)
    assert float(power[shell + 4 :].max()) < 1e-6 * float(given.max())


def test_without_halves_support_ends_where_noise_exceeds_the_signal() -> None:
    seen = known_poses.experiment(THING, 100, BOX, noise=0.1)
    state = known_poses.state_of((known_poses.model_of(VOLUME[None], seen.sigma2),))
    shells: list[int] = []

    def watching(request: Request) -> Regularised:
        shells.append(regulariser.supported_shell(request))
        return wiener_map(request)

    (model,), _ = maximise(state, (known_poses.sums_of(seen, PLAIN),), PLAIN, regularise=watching)
    (shell,) = shells
    assert float(model.ssnr[0, shell]) >= 1 > float(model.ssnr[0, shell + 1])


def test_maps_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ComputeError, match=r"\(5, 5, 5\) for class 1; wanted \(24, 24, 24\)"):
        models_with(lambda _: Regularised(torch.zeros(5, 5, 5)))
    with pytest.raises(ComputeError, match="NaN or infinity for class 1 in iteration 2"):
        models_with(lambda request: Regularised(request.wiener.volume * torch.nan))


def test_plug_ins_are_found_by_dotted_name() -> None:
    found = load("vitreous.engine.refinement.regulariser:wiener_map", trailing=False)
    assert found is wiener_map
    assert load("vitreous.engine.refinement.regulariser:wiener_map") == Trailing(wiener_map)
    with pytest.raises(
        EnvironmentMissing, match="cannot be loaded: No module named 'nothing_here'"
    ):
        load("nothing_here:map")
    with pytest.raises(InputError, match="has no 'nothing'"):
        load("vitreous.engine.refinement.regulariser:nothing")
    with pytest.raises(InputError, match="is a str, not a callable"):
        load("vitreous.engine.refinement.regulariser:ENTRY_POINTS")


def test_plug_ins_are_found_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = metadata.EntryPoint(
        "plain", "vitreous.engine.refinement.regulariser:wiener_map", regulariser.ENTRY_POINTS
    )
    points = metadata.EntryPoints([point])
    monkeypatch.setattr(metadata, "entry_points", lambda group: points.select(group=group))
    assert load("plain", trailing=False) is wiener_map
    with pytest.raises(EnvironmentMissing, match=r"No regulariser named 'blush'.*found: plain"):
        load("blush")


@pytest.mark.parametrize("padding", [1, 2])
def test_files_hold_whole_transforms(padding: int) -> None:
    """A program outside can solve for the map from the arrays alone."""

    def program(given: Exchange) -> Regularised:
        side = given.side_px
        assert side == padding * BOX
        assert given.weight.shape == (side, side, side // 2 + 1)
        radius = fourier.squared_radius(side, 3).sqrt()
        assert float(given.weight[radius > padding * BOX // 2 + 1].abs().max()) == 0
        shells = (radius / padding).round().long().clamp(max=BOX // 2)
        inverse = 1 / (padding**3 * given.request.tau_fudge * given.tau2[shells])
        inverse[shells < 5] = 0
        solved = torch.where(given.weight > 0, given.data / (given.weight + inverse), 0)
        volume = fourier.inverse(solved, 3, side) / (padding**3 * BOX)
        cropped = _cropped(volume.float())
        return Regularised(cropped / projection.gridding_correction(cropped, side))

    settings = replace(PLAIN, padding=padding)
    seen = known_poses.experiment(THING, 400, BOX, noise=0.02)
    state = known_poses.state_of((known_poses.model_of(VOLUME[None], seen.sigma2),))
    found = []
    for chosen in (wiener_map, external(program)):
        sums = known_poses.sums_of(seen, settings)
        found.append(maximise(state, (sums,), settings, regularise=chosen)[0][0].references[0])
    middle = (slice(6, 18),) * 3
    error = (found[0][middle] - found[1][middle]).abs().max()
    assert float(error) < 0.02 * float(found[0].abs().max())


def _cropped(volume: Tensor) -> Tensor:
    start = volume.shape[0] // 2 - BOX // 2
    return volume[(slice(start, start + BOX),) * 3]


def test_trailed_maps_are_the_prior_below_and_the_data_beyond() -> None:
    changed, plain = filtering.low_pass(VOLUME, 20.0, 4.0, 3), VOLUME
    found = regulariser.trailed(changed, plain, 5, 2)
    both = [fourier.forward(one.double(), 3) for one in (found, changed, plain)]
    shells = fourier.shell_index(BOX, 3)
    radius = fourier.squared_radius(BOX, 3).sqrt()
    assert torch.allclose(both[0][radius <= 5], both[1][radius <= 5], atol=1e-8)
    assert torch.allclose(both[0][radius >= 7], both[2][radius >= 7], atol=1e-8)
    assert shells.max() > 7


def test_the_default_is_the_plain_reconstruction() -> None:
    sums = known_poses.sums_of(known_poses.experiment(THING, 100, BOX, noise=0.1), PLAIN)
    (accumulator,) = sums.references[0]
    accumulator.finish_()
    tau2 = torch.linspace(1e-4, 1e-6, BOX // 2 + 1).double()
    request = _request(accumulator, tau2)
    expected = reconstruction.reconstruct(accumulator, tau2=2 * tau2)
    # Radii half way between two shells are rounded up here, to even there.
    error = (wiener_map(request).volume - expected).norm() / expected.norm()
    assert float(error) < 5e-3


def _request(accumulator: Accumulator, tau2: Tensor) -> Request:
    return Request(
        accumulator, weights_of(accumulator), tau2, torch.zeros_like(tau2), 4.0, 80.0, BOX, 2.0
    )
