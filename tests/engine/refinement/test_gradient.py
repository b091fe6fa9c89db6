"""Steps along the gradient: closed forms, growth, rescue, and convergence on known poses."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest
import torch
from torch import Tensor

from vitreous.engine import fourier, grids
from vitreous.engine.projection import Accumulator, projector
from vitreous.engine.reconstruction import soft_sphere
from vitreous.engine.refinement import gradient
from vitreous.engine.refinement.gradient import Slope, Step
from vitreous.engine.refinement.maximisation import maximise
from vitreous.engine.refinement.settings import Algorithm, Gradient, Settings, Solvent
from vitreous.engine.refinement.state import Moments
from vitreous.testing import known_poses, phantoms

BOX = 16
THING = phantoms.cluster(radius_px=4, width_px=1.5)
VOLUME = THING.volume(BOX).to(torch.float32)
VDAM = Settings(algorithm=Algorithm.GRADIENT, n_iterations=100, padding=1)


def constant_sums(data: complex, weight: float, r_max: int = 6) -> Accumulator:
    """Return a finished accumulator that holds the same everywhere inside its sphere."""
    sums = Accumulator(BOX, 1, r_max)
    inside = grids.radius_of(sums.weight) <= r_max
    sums.grid[..., 0] = inside * data.real
    sums.grid[..., 1] = inside * data.imag
    sums.grid[..., 2] = inside * weight
    return sums


def test_first_slope_is_the_mean_gradient() -> None:
    found = gradient.slope(None, (constant_sums(4, 2), constant_sums(8, 2)))
    inside = grids.radius_of(found.gradient.real) <= 6
    # G1 = 2, G2 = 4; v = 0.999 + 0.001 * 4 / 9
    expected = 3 / (0.999 + 0.001 * 4 / 9) ** 0.5
    assert torch.allclose(found.gradient[inside], torch.tensor(expected + 0j))
    assert torch.equal(found.moments.first[0][inside].real, torch.full((int(inside.sum()),), 2.0))
    assert found.activity == pytest.approx(expected**2, rel=1e-5)


def test_weights_below_one_do_not_magnify() -> None:
    found = gradient.slope(None, (constant_sums(0.5, 0.1), constant_sums(0.5, 0.1)))
    assert float(found.moments.first.abs().max()) == 0.5


def test_moments_follow_the_closed_form() -> None:
    pair = (constant_sums(4, 2), constant_sums(8, 2))
    once = gradient.slope(None, pair)
    still = (constant_sums(0, 2), constant_sums(0, 2))
    twice = gradient.slope(once.moments, still)
    inside = grids.radius_of(twice.gradient.real) <= 6
    assert torch.allclose(twice.moments.first[1][inside].real, torch.tensor(0.9 * 4))
    v = 0.999 * (0.999 + 0.001 * 4 / 9)
    assert torch.allclose(twice.moments.second[inside], torch.tensor(v))
    expected = 0.9 * 3 / v**0.5
    assert torch.allclose(twice.gradient[inside].real, torch.tensor(expected))


def test_moments_grow_and_shrink_with_the_radius() -> None:
    small = gradient.slope(None, (constant_sums(4, 2, 4), constant_sums(4, 2, 4))).moments
    large = constant_sums(0, 1, 6)
    grown = gradient.slope(small, (large, large)).moments
    radius = grids.radius_of(grown.second)
    assert torch.allclose(grown.first[0][radius <= 4].real, torch.tensor(0.9 * 2))
    assert float(grown.first[0][radius > 4].abs().max()) == 0
    assert torch.allclose(grown.second, torch.tensor(0.999), atol=2e-3)
    shrunk = gradient.grown(grown.first[0], small.first[0], 0.0)
    inside = grids.radius_of(small.second) <= 4
    assert torch.equal(shrunk[inside], grown.first[0][2:-2, 2:-2, :-2][inside])


def test_one_step_on_a_closed_form_gradient() -> None:
    """V + eta [f g - (1 - f) V] with f = snr / (1 + snr), snr = 2 T mean|V| / mean|m1 - m2|."""
    sums = constant_sums(0, 1, 6)
    source = projector(VOLUME, 1, 6, correct_gridding=False)
    g = torch.full_like(source.grid, 0.01)
    inside = grids.radius_of(g.real) <= 6
    noise = 0.002 * inside
    moments = Moments(torch.stack([g * inside + noise, g * inside]), torch.ones_like(g.real))
    step = Step(size=0.3, tau_fudge=2.0)
    found = gradient.advanced(VOLUME, Slope(moments, g * inside), sums, step)
    amplitude = grids.shell_mean(source.grid.abs(), 1, 7)
    snr = 2 * 2.0 * amplitude / 0.002
    f = (snr / (1 + snr))[grids.shell_of(g.real, 1).clamp(max=6)]
    expected = source.grid + 0.3 * (f * 0.01 - (1 - f) * source.grid)
    expected = torch.where(inside, expected, 0)
    volume = fourier.inverse(grids.uncentred(expected, BOX), 3, BOX) / BOX
    # The soft edge is the only other thing that is done to the map.
    assert torch.allclose(found, soft_sphere(volume.float()), atol=1e-6)


def test_fsc_decides_where_halves_are_split() -> None:
    fsc = torch.linspace(1, 0, BOX // 2 + 1).double()
    moments = Moments(torch.zeros(2, 15, 15, 8) + 0j, torch.ones(15, 15, 8))
    step = Step(0.5, 4.0, fsc)
    share = gradient.signal_share(moments.first[0], moments, 1, 7, step)
    assert torch.equal(share, fsc[:7])
    still = gradient.advanced(
        VOLUME, Slope(moments, moments.first[0]), constant_sums(0, 1, 6), step
    )
    plain = projector(VOLUME, 1, 6, correct_gridding=False).grid
    shells = grids.shell_of(plain.real, 1).clamp(max=6)
    expected = plain * (1 - 0.5 * (1 - fsc[shells]) / 4)
    transform = grids.centred(fourier.forward(still.double(), 3) * BOX, 6)
    near = grids.radius_of(plain.real) <= 3
    assert float((transform - expected)[near].abs().max() / expected.abs().max()) < 0.03


def test_rare_classes_go_less_far() -> None:
    assert gradient.step_of_class(0.3, 0.5, 2) == pytest.approx(0.3 * (1 - exp(-8)))
    assert gradient.step_of_class(0.3, 0.0, 2) == 0
    assert gradient.step_of_class(0.9, 0.01, 1, whole=True) == 0.9


def test_an_idle_class_is_found_and_the_liveliest_replaces_it() -> None:
    weights = torch.tensor([0.5, 0.01, 0.3, 0.19]).double()
    assert gradient.to_rescue(weights, [1.0, 9.0, 4.0, 1.0], 0.1) == (1, 2)
    assert gradient.to_rescue(weights, [1.0, 9.0, 4.0, 1.0], 0.0) is None
    even = torch.full((4,), 0.25).double()
    assert gradient.to_rescue(even, [1.0] * 4, 0.1) is None
    assert gradient.to_rescue(torch.ones(1).double(), [1.0], 0.1) is None


def stepped(n_classes: int, iteration: int, **weights: Tensor):  # type: ignore[no-untyped-def]
    seen = known_poses.experiment(THING, 40, BOX, noise=0.01)
    settings = replace(VDAM, n_classes=n_classes, gradient=Gradient(inactivity_threshold=0.1))
    model = known_poses.model_of(VOLUME.expand(n_classes, -1, -1, -1) * 0.5, seen.sigma2)
    model = replace(model, **weights)  # type: ignore[arg-type] # tables of a model
    state = known_poses.state_of((model,), iteration=iteration, step=0.3, tau_fudge=4.0)
    sums = known_poses.sums_of(seen, settings, reference=VOLUME * 0.5)
    return maximise(state, (sums,), settings)


@pytest.mark.parametrize(("iteration", "rescued"), [(10, None), (50, (1, 0)), (95, None)])
def test_rescue_happens_between_the_outer_phases(
    iteration: int, rescued: tuple[int, int] | None
) -> None:
    weight = torch.tensor([[0.98], [0.02]]).double()
    (model,), outcome = stepped(2, iteration, direction_weight=weight, class_weight=weight[:, 0])
    assert outcome.rescued == rescued
    assert torch.equal(model.references[0], model.references[1]) is (rescued is not None)
    assert float(model.class_weight.sum()) == pytest.approx(1)
    if rescued:
        assert torch.allclose(model.class_weight, torch.tensor([0.5, 0.5]).double())
        assert torch.equal(model.moments[1].first, model.moments[0].first)


def test_a_class_without_particles_stays_as_it_is() -> None:
    weight = torch.tensor([[1.0], [0.0]]).double()
    (model,), _ = stepped(2, 10, direction_weight=weight, class_weight=weight[:, 0])
    assert torch.equal(model.references[1], VOLUME * 0.5)
    assert not torch.equal(model.references[0], VOLUME * 0.5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_steps_lead_to_the_object(ndim: int) -> None:
    settings = replace(VDAM, ndim=ndim)
    truth = VOLUME if ndim == 3 else VOLUME.sum(0)
    reference = 0.3 * truth.roll(1, -1)
    model = known_poses.model_of(reference[None], 1.0)
    for iteration in range(1, 41):
        seen = known_poses.experiment(THING, 60, BOX, noise=0.01, ndim=ndim, seed=iteration)
        model = replace(model, sigma2_noise=model.sigma2_noise * 0 + seen.sigma2)
        state = known_poses.state_of((model,), iteration=iteration, step=0.5, tau_fudge=4.0)
        sums = known_poses.sums_of(seen, settings, reference=model.references[0])
        (model,), _ = maximise(state, (sums,), settings)
    error = (model.references[0] - truth).norm() / truth.norm()
    assert float(error) < (0.15 if ndim == 2 else 0.3)
    assert float(model.ssnr[0, 2]) > 1
    assert model.sigma2_map.shape == (1, BOX // 2 + 1)


def test_halves_are_compared_as_maps_not_as_gradients() -> None:
    """A converged half has no gradient left, and still correlates with the other half."""
    settings = replace(
        VDAM,
        auto_refine=True,
        split_halves=True,
        solvent=Solvent(),
        gradient=Gradient(momentum=0.0),
    )
    models, sums = [], []
    for seed in (1, 2):
        seen = known_poses.experiment(THING, 80, BOX, noise=0.01, seed=seed)
        models.append(known_poses.model_of(VOLUME[None], seen.sigma2))
        sums.append(known_poses.sums_of(seen, settings, reference=VOLUME))
    state = known_poses.state_of((models[0], models[1]), step=0.9)
    found, outcome = maximise(state, (sums[0], sums[1]), settings)
    assert outcome.fsc is not None
    assert float(outcome.fsc[0, 2]) > 0.9
    assert torch.equal(found[0].fsc, outcome.fsc)


def test_centring_moves_the_moments_along() -> None:
    shift = (1.0, -2.0, 0.5)
    grid = projector(VOLUME, 2, 7, correct_gridding=False).grid
    moments = Moments(torch.stack([grid, grid]), grid.abs())
    found = gradient.shifted_moments(moments, shift, 2, BOX)
    moved = THING.moved(torch.tensor(shift).double()).volume(BOX).float()
    expected = projector(moved, 2, 7, correct_gridding=False).grid
    assert torch.allclose(found.first[1], expected, atol=5e-3 * float(expected.abs().max()))
    assert torch.equal(found.second, moments.second)
