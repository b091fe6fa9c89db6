"""Twenty ways in which refinements go wrong unnoticed (refinement.md section 19), a test for each.

What concerns the expectation step is asked of both engines.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from refinement_engines import ENGINES, expect, iterate, posed, with_images
from vitreous.engine import (
    ctf,
    filtering,
    fourier,
    geometry,
    masking,
    reconstruction,
    resolution,
    sampling,
    symmetry,
)
from vitreous.engine.projection import Accumulator, project, projector
from vitreous.engine.refinement import schedule, sizes, updates
from vitreous.engine.refinement.settings import Settings
from vitreous.testing import phantoms
from vitreous.testing.oracle.cases import Camera, Case, Recipe, make, pose_errors
from vitreous.testing.oracle.variants import FLAT, SMALL
from vitreous.testing.simulate.contrast import Microscope

every_engine = pytest.mark.parametrize("engine", list(ENGINES))
DOUBLE = torch.float64
VIEWS = Recipe(box_px=24, n=240, with_ctf=False, noise=0.5, seed=2)


def without_references(case: Case) -> Case:
    return case.with_model(references=torch.zeros_like(case.model.references))


def white(case: Case, deviation: float, seed: int = 5) -> Case:
    """Return a case of white noise alone."""
    generator = torch.Generator().manual_seed(seed)
    images = [
        deviation * torch.randn(one.shape, generator=generator, dtype=DOUBLE) for one in case.images
    ]
    return with_images(case, images)


def noise_of(case: Case, engine: str) -> torch.Tensor:
    """Return the noise spectra after one expectation."""
    sums, _ = expect(engine, case)
    optics = case.data.optics
    counts = updates.pixel_counts(optics, case.model.box_px, case.model.pixel_size_A)
    return updates.noise(case.model, sums.statistics, counts=counts)


def mapped(sums: Accumulator, operators: torch.Tensor | None = None) -> torch.Tensor:
    """Return the map of sums, not regularised."""
    sums.finish_(operators)
    return reconstruction.reconstruct(sums).to(DOUBLE)


def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])


@every_engine
def test_pitfall_01_friedel_pairs_count_once(engine: str) -> None:
    """White noise has the same power in every shell, and likelihoods are those of real space."""
    deviation, n = 0.4, 80
    case = without_references(posed(replace(FLAT, n=n, with_ctf=False, offset_A=0.0)))
    case = white(case, deviation)
    wanted = deviation**2 / (2 * 16**2)
    found = noise_of(case, engine)[0]
    pixels = fourier.shell_count(16, 2)
    assert ((found / wanted - 1).abs()[1:] < 5 / (n * pixels[1:]).sqrt()).all()

    band = [_band_limited(one) for one in case.images[:3]]
    flat = torch.full((1, 9), wanted, dtype=DOUBLE)
    scene = posed(replace(FLAT, n=3, with_ctf=False, offset_A=0.0)).with_model(sigma2_noise=flat)
    scene = with_images(scene, band)
    source = projector(scene.model.references[0].to(DOUBLE), 2)
    flat_views = project(source, scene.rotations)
    views = fourier.inverse(_cut(flat_views), 2, 16)
    with_object = expect(engine, scene)[1].log_likelihood
    without = expect(engine, without_references(scene))[1].log_likelihood
    for row, (image, view) in enumerate(zip(band, views, strict=True)):
        # The Nyquist shell of the object is not in the images: it counts once, as |P|^2 there.
        edge = fourier.half_plane_mask(16, 2) & (fourier.shell_index(16, 2) == 8)
        rest = (flat_views[row].abs().square() * edge).sum() / (2 * wanted)
        squares = (image - view).square().sum() - image.square().sum()
        gain = -squares / (2 * deviation**2) - rest
        assert with_object[row] - without[row] == pytest.approx(float(gain), rel=1e-3, abs=0.02)


def _cut(transform: torch.Tensor) -> torch.Tensor:
    shells = fourier.shell_index(transform.shape[-2], 2)
    return transform * ((shells > 0) & (shells < transform.shape[-2] // 2))


def _band_limited(image: torch.Tensor) -> torch.Tensor:
    return fourier.inverse(_cut(fourier.forward(image[None], 2)), 2, len(image))[0]


@every_engine
@pytest.mark.parametrize("padding", [1.0, 2.0])
@pytest.mark.parametrize("box", [32, 64])
def test_pitfall_02_maps_and_images_have_one_scale(engine: str, box: int, padding: float) -> None:
    """Noise-free images of 20 views are predicted with the right amplitude, and to 1 %."""
    case = posed(Recipe(box_px=box, n=20, offset_A=0.0), clean=True)
    strong = torch.full_like(case.model.ssnr, 10.0)
    case = case.with_model(ssnr=strong).with_settings(
        padding=padding, image=replace(case.settings.image, correct_scale=True)
    )
    known = expect(engine, case)[0].statistics
    assert float(known.scale_cross[0] / known.scale_power[0]) == pytest.approx(1, abs=0.02)
    error = float(known.residual.sum() / known.scale_power.sum())
    assert error**0.5 < (0.1 if padding == 1 else 0.04)


@every_engine
def test_pitfall_03_gridding_is_corrected_once(engine: str) -> None:
    """Projected and reconstructed, a map comes back with the same amplitude at every radius."""
    case = posed(VIEWS, clean=True)
    truth = case.model.references[0].to(DOUBLE)
    found = mapped(expect(engine, case)[0].references[0][0])
    assert correlation(found, truth) > 0.999
    axis = torch.arange(24) - 12
    radius = (axis**2 + axis[:, None] ** 2 + axis[:, None, None] ** 2).sqrt()
    for low, high in [(0, 4), (4, 6), (6, 9)]:
        ring = (radius >= low) & (radius < high)
        slope = (found[ring] * truth[ring]).sum() / truth[ring].square().sum()
        assert abs(slope - 1) < 0.02


@every_engine
@pytest.mark.parametrize("ndim", [2, 3])
def test_pitfall_04_insertion_is_the_adjoint_of_slicing(engine: str, ndim: int) -> None:
    """The product of any map with the sums is that of its slices with the images' share."""
    case = posed(replace(SMALL, ndim=ndim, n=6, offset_A=0.0, with_ctf=False))
    case = case.with_model(sigma2_noise=torch.ones_like(case.model.sigma2_noise))
    sums = expect(engine, case)[0].references[0][0]
    generator = torch.Generator().manual_seed(3)
    other = projector(torch.randn((16,) * ndim, generator=generator, dtype=DOUBLE), 2)
    slices = project(other, case.rotations)
    images = fourier.forward(torch.stack(case.images), 2)
    once = torch.ones(16, 9, dtype=torch.bool)
    once[9:, 0] = False  # kx = 0, ky < 0
    one = ((slices.conj() * images).real * once).sum()
    two = (other.grid.conj() * sums.data.to(torch.complex128)).real.sum()
    torch.testing.assert_close(one, two, rtol=2e-5, atol=1e-5 * float(one.abs()))


@every_engine
@pytest.mark.parametrize("ndim", [2, 3])
def test_pitfall_05_hand_angles_and_shifts_have_their_signs(engine: str, ndim: int) -> None:
    """An object without any symmetry, imaged by closed forms: each pose comes back exactly."""
    case = make(Recipe(ndim=ndim, n=4, noise=0.7, on_grid=True))
    case = case.with_model(sigma2_noise=16 * case.model.sigma2_noise)
    degrees, angstrom = pose_errors(case, expect(engine, case)[1])
    assert degrees.max() < 0.01
    assert angstrom.max() < 1e-3
    assert np.abs(case.origin_A).max() > 4  # there was a shift to find


@every_engine
def test_pitfall_06_old_offsets_are_rounded_once(engine: str) -> None:
    """Perfect data in five iterations: offsets find their place and stay there."""
    case = make(replace(FLAT, n=6, shift_step_px=1.0, perturbation=0.0, noise=0.05))
    history = []
    for _ in range(5):
        found = expect(engine, case)[1]
        history.append(found.origin_A)
        case = case.with_state(assignments=found)
    rms_px = [
        float(np.sqrt(((after - before) ** 2).mean())) / 5.0
        for before, after in pairwise(history[1:])
    ]
    assert max(rms_px) < 0.1
    assert np.abs(history[-1] - case.origin_A).max() < 0.51 * 5.0


@every_engine
def test_pitfall_07_masked_images_are_scored_and_whole_ones_inserted(engine: str) -> None:
    """What lies outside of the mask changes the sums and nothing else."""
    case = make(replace(SMALL, n=2, offset_A=0.0, offset_error_A=0.0))
    solvent = replace(case.settings.solvent, zero_mask=False, diameter_A=40.0, edge_px=2)
    case = case.with_settings(solvent=solvent)
    outside = torch.zeros(16, 16, dtype=DOUBLE)
    outside[:2] = 20 * case.noise
    bright = with_images(case, [one + outside for one in case.images])
    (plain, before), (marked, after) = expect(engine, case), expect(engine, bright)
    np.testing.assert_allclose(after.log_likelihood, before.log_likelihood, rtol=1e-6)
    np.testing.assert_allclose(after.pmax, before.pmax, rtol=1e-4)
    torch.testing.assert_close(marked.statistics.residual, plain.statistics.residual)
    first, second = plain.references[0][0], marked.references[0][0]
    torch.testing.assert_close(second.weight, first.weight, rtol=1e-3, atol=1e-3)
    assert (second.data - first.data).norm() > first.data.norm()


@every_engine
def test_pitfall_08_noise_fill_belongs_to_the_particle(engine: str) -> None:
    """It does not depend on who is processed with whom, and has the power of the noise."""
    case = make(replace(FLAT, n=6, noise=2.0))
    case = case.with_settings(solvent=replace(case.settings.solvent, zero_mask=False))
    together = expect(engine, case)[1].log_likelihood
    for rows in ([4, 1], [5], [3, 2, 0]):
        apart = expect(engine, case, rows=np.array(rows))[1].log_likelihood
        np.testing.assert_allclose(apart[rows], together[rows], rtol=1e-6)
    other_seed = case.with_settings(seed=99)
    assert np.abs(expect(engine, other_seed)[1].log_likelihood - together).min() > 1e-3

    filled = posed(replace(FLAT, n=150, with_ctf=False))
    spectrum = torch.linspace(4.0, 1.0, 9, dtype=DOUBLE)[None]
    filled = without_references(filled).with_model(sigma2_noise=spectrum)
    solvent = replace(filled.settings.solvent, zero_mask=False, diameter_A=0.1, edge_px=0)
    found = noise_of(filled.with_settings(solvent=solvent), engine)[0]
    pixels = fourier.shell_count(16, 2)
    assert ((found / spectrum[0] - 1).abs()[1:] < 5 / (150 * pixels[1:]).sqrt()).all()


@every_engine
def test_pitfall_09_scales_are_found_and_norms_stay(engine: str) -> None:
    """Micrographs of 0.7 to 1.4 times the contrast; ten iterations of norm correction."""
    scales = (0.7, 0.9, 1.1, 1.4)
    case = posed(Recipe(ndim=2, n=24, noise=0.3, scales=scales))
    case = case.with_settings(image=replace(case.settings.image, correct_scale=True))
    case = case.with_model(group_scale=torch.ones(4, dtype=DOUBLE))
    for _ in range(3):
        sums, _ = expect(engine, case)
        case = case.with_model(group_scale=updates.group_scales(case.model, sums.statistics))
    wanted = torch.tensor(scales, dtype=DOUBLE) / np.mean(scales)
    torch.testing.assert_close(case.model.group_scale, wanted, rtol=0.02, atol=0)

    norms = (0.8, 1.0, 1.25)
    case = posed(Recipe(ndim=2, n=12, noise=1.0, norms=norms))
    case = case.with_settings(image=replace(case.settings.image, correct_norm=True))
    means = []
    for _ in range(10):
        found = expect(engine, case)[1]
        case = case.with_state(assignments=found)
        case = case.with_model(mean_norm=float(found.norm.mean()))
        means.append(case.model.mean_norm)
    assert max(means[2:]) / min(means[2:]) < 1.01
    ratio = found.norm.reshape(-1, 3).mean(0) / np.array(norms)
    assert ratio.max() / ratio.min() < 1.1


@every_engine
@pytest.mark.parametrize("cameras", [(), (Camera(20, 4.0), Camera(20, 5.0))])
def test_pitfall_10_noise_is_continuous_across_the_size_in_use(engine: str, cameras: tuple) -> None:
    """White noise looks the same however large the images in use are, in every group."""
    n, deviation = 60, 0.4
    spectra = []
    for size in (8, 12, 16):
        case = posed(
            replace(FLAT, n=n, cameras=cameras, current_size_px=size, with_ctf=False, offset_A=0.0)
        )
        spectra.append(noise_of(white(without_references(case), deviation), engine))
    for one in spectra[1:]:
        torch.testing.assert_close(one, spectra[0], rtol=1e-4, atol=0)
    for row, found in enumerate(spectra[0]):
        box = cameras[row].box_px if cameras else 16
        wanted = deviation**2 / (2 * box**2)
        n_own = n // max(1, len(cameras))
        pixels = fourier.shell_count(16, 2)[1:]
        assert ((found[1:] / wanted - 1).abs() < 6 / (n_own * pixels).sqrt()).all()


@every_engine
def test_pitfall_11_signal_to_noise_is_that_of_the_map(engine: str) -> None:
    """Data versus prior is signal over noise of the map made from the same images."""
    case = posed(replace(VIEWS, noise=6.0, n=240))
    truth = case.model.references[0].to(DOUBLE)
    sums = expect(engine, case)[0].references[0][0]
    found = mapped(sums)
    # Noise is measured where the object is, and where the gridding correction is close to 1.
    inside = masking.sphere(24, 3, 5, 3).to(DOUBLE)
    noise = (found - truth) * inside / float(inside.square().mean()) ** 0.5
    signal, error = (
        fourier.shell_mean(fourier.forward(one, 3).abs().square(), 3) for one in (truth, noise)
    )
    power = fourier.shell_mean((fourier.forward(truth, 3) * 24).abs().square(), 3) / 2
    ratio = reconstruction.signal_to_noise(sums, power)
    shells = slice(3, 9)
    off = (ratio[shells] / (signal / error)[shells]).log()
    assert abs(float(off.mean())) < 0.1
    assert off.abs().max() < 0.3


def test_pitfall_11_noise_alone_is_not_resolved() -> None:
    """Class3D of pure noise: nothing beyond the first shells is more signal than noise."""
    case = white(make(replace(SMALL, n=40, current_size_px=0)), 0.4)
    sigma2 = torch.full((1, 9), 0.4**2 / (2 * 16**2), dtype=DOUBLE)
    case = case.with_model(sigma2_noise=sigma2).with_settings(low_pass_A=30.0)
    case = case.with_state(schedule=replace(schedule.first_schedule(case.settings)))
    case, _ = iterate("fast", case, 3)
    assert (case.model.ssnr[0, 6:] < 1).all()


@every_engine
def test_pitfall_12_halves_know_nothing_of_each_other(engine: str) -> None:
    """Images and model of the other half change nothing, to the last bit."""
    case = make(replace(FLAT, n=6, noise=2.0))
    twin = replace(case.model, references=case.model.references * 1.1)
    case = case.with_state(models=(case.model, twin))
    other_model = replace(twin, references=torch.zeros_like(twin.references), sigma_offset_A=2.0)
    changed = case.with_state(models=(case.model, other_model))
    changed = with_images(
        changed, [one if row % 2 == 0 else 5 * one for row, one in enumerate(case.images)]
    )
    (wanted, before), (found, after) = expect(engine, case, 0), expect(engine, changed, 0)
    assert torch.equal(found.references[0][0].grid, wanted.references[0][0].grid)
    assert torch.equal(found.statistics.residual, wanted.statistics.residual)
    np.testing.assert_array_equal(after.pmax, before.pmax)
    own = expect(engine, case, 1)[0].references[0][0].grid
    assert not torch.equal(own, wanted.references[0][0].grid)


def test_pitfall_12_halves_of_noise_do_not_agree() -> None:
    """Pure noise from one low-passed start: beyond the joined shells the FSC stays within noise.

    Scored by correlation, so that every image has one pose: averages over all poses are round, and
    the shells of two round maps correlate by 1 or -1.
    """
    case = white(make(replace(SMALL, box_px=24, n=60, offset_A=0.0)), 0.4)
    start = filtering.low_pass(case.model.references, 40.0, 5.0, 3)
    settings = replace(
        case.settings, auto_refine=True, split_halves=True, low_pass_A=40.0, join_halves_A=40.0,
        always_cc=True,
    )  # fmt: skip
    model = replace(case.model, references=start)
    case = replace(case, settings=settings)
    case = case.with_state(models=(model, model), schedule=schedule.first_schedule(settings))
    case, outcomes = iterate("fast", case, 2)
    curve = outcomes[-1].fsc
    assert curve is not None
    assert case.state.schedule.current_size_px == 24
    joined = 24 * 5 // 40
    assert curve[0, :joined].min() > 0.99
    expected = 1 / fourier.shell_count(24, 3).to(DOUBLE).sqrt()
    beyond = slice(joined + 2, 13)  # a mask of this size blurs the border by a shell
    assert (curve[0, beyond].abs() < 3.5 * expected[beyond]).all()


def test_pitfall_13_joined_halves_do_not_turn_away_from_each_other() -> None:
    """Half maps that start 12 degrees apart come together, because they share low resolution."""
    angle_deg = torch.tensor([[12.0, 0.0, 0.0]], dtype=DOUBLE)
    recipe = replace(SMALL, n=60, noise=1.0, healpix_order=1, seed=3)
    case = make(recipe)
    turn = geometry.matrix_from_euler(angle_deg)[0]
    turned = case.objects[0].turned(turn).volume(16).to(torch.float32)[None]
    models = (case.model, replace(case.model, references=turned))
    together = {}
    for join_A in (40.0, -1.0):
        settings = replace(
            case.settings, auto_refine=True, split_halves=True, low_pass_A=30.0,
            join_halves_A=join_A,
        )  # fmt: skip
        start = replace(case, settings=settings).with_state(
            models=models, schedule=schedule.first_schedule(settings)
        )
        end, _ = iterate("fast", start, 3)
        together[join_A] = correlation(
            *(model.references[0].double() for model in end.state.models)
        )
    assert together[40.0] > 0.9
    assert together[40.0] > together[-1.0]


def test_pitfall_14_a_restart_goes_on_as_if_nothing_had_happened() -> None:
    """The perturbation is part of the state, shared by all, and reaches every part of its range."""
    case = make(replace(FLAT, n=6))
    case = case.with_state(schedule=schedule.first_schedule(case.settings))
    at_once, _ = iterate("fast", case, 3)
    begun, _ = iterate("fast", case, 1)
    restarted = replace(case, state=pickle.loads(pickle.dumps(begun.state)))
    continued, _ = iterate("fast", restarted, 2)
    assert continued.state.sampling == at_once.state.sampling
    assert torch.equal(continued.model.references, at_once.model.references)
    np.testing.assert_array_equal(
        continued.state.assignments.angles_deg, at_once.state.assignments.angles_deg
    )
    seen, state = [], case.state
    for iteration in range(1, 51):
        state = replace(state, schedule=replace(state.schedule, iteration=iteration))
        state = schedule.update_sampling(state, case.settings)
        seen.append(state.sampling.perturbation)
    counts = np.histogram(seen, 5, (-0.5, 0.5))[0]
    assert counts.sum() == 50
    assert counts.min() >= 3


@every_engine
@pytest.mark.parametrize("group", ["C2", "C4", "D2"])
def test_pitfall_15_a_symmetric_object_is_the_same_in_c1(engine: str, group: str) -> None:
    """The best pose of the asymmetric unit is as good as the best of all poses."""
    recipe = replace(SMALL, n=3, oversampling=0, perturbation=0.0, point_group=group)
    case = make(recipe)
    n_all = len(sampling.Grid(1).pixels())
    everything = case.with_state(sampling=replace(case.state.sampling, point_group="C1"))
    uniform = torch.full((1, n_all), 1 / n_all, dtype=DOUBLE)
    everything = everything.with_model(direction_weight=uniform)
    unit, whole = expect(engine, case)[1], expect(engine, everything)[1]
    best = [one.log_likelihood + np.log(one.pmax) for one in (unit, whole)]
    np.testing.assert_allclose(best[0], best[1], atol=0.05)


@pytest.mark.parametrize("group", ["C4", "D3", "T", "O", "I1", "I2", "I3", "I4", "I5"])
def test_pitfall_15_sums_of_symmetry_mates_are_added(group: str) -> None:
    """Symmetrised sums of particles are the sums of the particles in all mates of their poses."""
    operators = symmetry.operators(group)
    thing = phantoms.symmetric_cluster(group, 2, radius_px=5, width_px=1.5)
    poses = geometry.random_rotations(
        max(4, 160 // len(operators)), torch.Generator().manual_seed(1), DOUBLE
    )
    images = thing.projection_transforms(poses, 16)
    in_c1, in_group = (Accumulator(16, dtype=DOUBLE) for _ in range(2))
    mates = symmetry.mates(poses, operators).flatten(0, 1)
    ones = torch.ones(len(mates), 16, 9, dtype=DOUBLE)
    in_c1.add_(images.repeat_interleave(len(operators), 0), ones, mates)
    in_group.add_(images, ones[: len(poses)], poses)
    in_group.finish_(operators)
    in_c1.finish_()
    assert float(in_group.weight.sum()) == pytest.approx(float(in_c1.weight.sum()), rel=0.05)
    maps = [reconstruction.reconstruct(one).to(DOUBLE) for one in (in_c1, in_group)]
    assert correlation(*maps) > 0.99


@every_engine
def test_pitfall_16_no_particle_is_lost(engine: str) -> None:
    """Whatever the numbers, what is kept makes up 99.9 % and is positive."""
    n = 1000 if engine == "fast" else 12
    case = make(replace(FLAT, n=n, noise=3.0))
    cases = {
        "as usual": case,
        "hardly any noise": case.with_model(sigma2_noise=case.model.sigma2_noise * 1e-6),
        "an offset prior far away": case.with_model(
            class_offset_A=torch.full((1, 2), 500.0, dtype=DOUBLE), sigma_offset_A=0.5
        ),
        "stiff offsets": case.with_model(sigma_offset_A=0.0),
    }
    for name, one in cases.items():
        sums, found = expect(engine, one)
        kept = float(sums.statistics.total_weight) / n
        assert 0.999 - 1e-5 <= kept <= 1 + 1e-5, name
        assert (found.pmax > 0).all(), name
        assert np.isfinite(found.log_likelihood).all(), name
        assert torch.isfinite(sums.references[0][0].grid).all(), name


def test_pitfall_17_sizes_grow_only_as_far_as_they_may() -> None:
    """A leap of a quarter of Nyquist needs both a high FSC at the limit and certain poses."""
    model = make(replace(SMALL, n=2)).model
    model = replace(model, references=torch.zeros(1, 128, 128, 128), pixel_size_A=1.0)
    case = make(replace(SMALL, n=2)).with_state(models=(model,))
    for high, pmax, wanted in [(True, 0.5, 72), (True, 0.05, 60), (False, 0.5, 60)]:
        now = replace(
            case.state.schedule, iteration=3, resolution_per_A=20 / 128, high_fsc_at_limit=high,
            mean_pmax=pmax, size_increment=10,
        )  # fmt: skip
        state = schedule.begin_iteration(case.with_state(schedule=now).state, Settings(), 2)
        assert state.schedule.current_size_px == wanted
    dip = torch.tensor([[9.0, 9, 9, 9, 9, 9, 9, 0.5, 9, 9, 9, 9, 0.1]])
    assert sizes.resolution_shell(dip, beyond_gaps=False) == 6
    assert sizes.resolution_shell(dip, beyond_gaps=True) == 11


def test_pitfall_18_strong_low_resolution_does_not_drown_the_angles() -> None:
    """A disc of sixty times the contrast below the object: log weights within 0.05."""
    case = make(replace(SMALL, n=6, noise=1.0))
    wide = phantoms.Gaussians(
        torch.zeros(1, 3, dtype=DOUBLE),
        torch.tensor([2.5], dtype=DOUBLE),
        torch.tensor([40.0], dtype=DOUBLE),
    )
    references = case.model.references + wide.volume(16).to(torch.float32)
    blob = fourier.forward(wide.projections(torch.eye(3, dtype=DOUBLE)[None], 16), 2)
    source = projector(references[0].to(DOUBLE), 2)
    sliced = project(source, case.rotations)
    power = (sliced.abs().square() / (2 * case.model.sigma2_noise.mean())).sum((-2, -1))
    assert power.min() > 2e4  # ||q||^2 of section 15.4
    functions = ctf.ctf(case.data.optics, case.data.defocus, 16, dtype=DOUBLE)
    moved = fourier.shift_phases(torch.from_numpy(-case.origin_A / 5.0), 16)
    images = [
        image + fourier.inverse((blob[0] * functions[row] * moved[row])[None], 2, 16)[0]
        for row, image in enumerate(case.images)
    ]
    case = with_images(case.with_model(references=references), images)
    wanted, found = (expect(engine, case)[1] for engine in ("oracle", "fast"))
    assert (wanted.pmax < 0.999).any()  # there is something to drown
    off = np.log(found.pmax) - np.log(wanted.pmax)
    assert np.sqrt((off**2).mean()) < 0.05
    np.testing.assert_allclose(found.log_likelihood, wanted.log_likelihood, rtol=1e-5, atol=0.05)


@every_engine
def test_pitfall_19_groups_of_all_kinds_make_the_same_map(engine: str) -> None:
    """Other boxes, pixels, microscopes, and images multiplied by their CTF: one object."""
    cameras = (
        Camera(24, 4.0),
        Camera(32, 3.0, Microscope(voltage_kV=200.0, cs_mm=1.2)),
        Camera(24, 4.5, Microscope(cs_mm=0.01)),
        Camera(24, 4.0, premultiplied=True),
    )
    case = posed(replace(VIEWS, n=320, with_ctf=True, cameras=cameras, offset_A=0.0), clean=True)
    maps = []
    for group in range(len(cameras)):
        rows = np.flatnonzero(case.data.optics_group == group)
        sums, _ = expect(engine, case, rows=rows)
        maps.append(mapped(sums.references[0][0]))
    truth = case.model.references[0].to(DOUBLE)
    for one in maps:
        curve = resolution.fsc(one, truth, 3)
        assert curve[1:9].min() > 0.985
        assert correlation(one, truth) > 0.99
        slope = float((one * truth).sum() / truth.square().sum())
        assert slope == pytest.approx(1, abs=0.05)


def test_pitfall_20_sums_of_many_slices_lose_nothing() -> None:
    """More unit slices than float32 holds between two flushes, against float64."""
    single, double = Accumulator(6, 1), Accumulator(6, 1, dtype=DOUBLE)
    values, weights = torch.ones(1000, 6, 4, dtype=torch.complex64), torch.ones(1000, 6, 4)
    n = Accumulator.flush_every // 1000 * 3 // 2
    for seed in range(n):
        poses = geometry.random_rotations(1000, torch.Generator().manual_seed(seed))
        single.add_(values, weights, poses)
        double.add_(values.to(torch.complex128), weights.to(DOUBLE), poses.to(DOUBLE))
    wanted, found = double.grid, single.grid.to(DOUBLE)
    assert ((found - wanted).abs() <= 1e-5 * (wanted.abs() + 1e-3 * wanted.max())).all()


@every_engine
def test_pitfall_20_views_along_one_axis_leave_no_spikes(engine: str) -> None:
    """Where hardly any slice passes the weights are lifted, and the map stays within bounds."""
    case = posed(replace(VIEWS, n=60, noise=1.0))
    angles = case.state.assignments.angles_deg.copy()
    angles[:, 1] = np.linspace(0, 3, 60)
    case = case.with_state(assignments=replace(case.state.assignments, angles_deg=angles))
    found = mapped(expect(engine, case)[0].references[0][0])
    assert torch.isfinite(found).all()
    assert found.abs().max() < 20 * case.model.references.abs().max()
