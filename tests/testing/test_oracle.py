"""The oracle against closed forms: images of Gaussians, white noise, sums that can be counted."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from vitreous.engine import fourier
from vitreous.engine.refinement import randomness
from vitreous.engine.refinement.settings import Algorithm
from vitreous.testing.oracle import expectation
from vitreous.testing.oracle.cases import Camera, Case, Recipe, make, pose_errors
from vitreous.testing.oracle.expectation import projectors, search
from vitreous.testing.oracle.images import noise_fill, prepare, rounded, translated
from vitreous.testing.oracle.pixels import DOUBLE, groups, model_shell
from vitreous.testing.oracle.scores import constant, moved, posterior, slices
from vitreous.testing.oracle.sums import Counting
from vitreous.testing.oracle.variants import SMALL, VARIANTS

RHO = pytest.mark.parametrize("camera", [(16, 5.0), (20, 4.0), (20, 5.0), (16, 4.5)])


def counting(case: Case) -> Counting:
    made = projectors(case.state, case.settings, case.model)
    return Counting(case.state, case.settings, case.model, made)


def prepared(case: Case, row: int):
    group = groups(case.data, case.state, case.settings, case.model)
    which = group[int(case.data.optics_group[row])]
    return prepare(case.data, row, case.state, case.settings, case.model, which)


def with_images(case: Case, images: list[torch.Tensor]) -> Case:
    def read(rows):
        return torch.stack([images[row] for row in rows]).to(torch.float32)

    return replace(case, images=images, data=replace(case.data, read=read))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("oversampling", [0, 1])
def test_poses_of_the_grid_come_back(ndim: int, oversampling: int) -> None:
    case = make(Recipe(ndim=ndim, n=4, noise=0.7, on_grid=True, oversampling=oversampling))
    if oversampling:  # so that the coarse pass, which is half a step off, lets the truth through
        case = case.with_model(sigma2_noise=16 * case.model.sigma2_noise)
    _, found = expectation(case.data, case.state, case.settings, None)
    degrees, angstrom = pose_errors(case, found)
    assert degrees.max() < 1e-3
    assert angstrom.max() < 1e-6


@pytest.mark.parametrize(
    "name",
    ["3D", "2D", "mixed boxes and pixels", "anisotropic magnification", "aberrations",
     "premultiplied", "phase-flipped", "without CTF", "2D, classes with weights and offsets"],
)  # fmt: skip
def test_the_model_of_an_image_is_the_image(name: str) -> None:
    """Closed-form images of every kind of optics are what a slice at the true pose predicts."""
    case = VARIANTS[name]().case
    case = with_images(case, case.clean)
    made = projectors(case.state, case.settings, case.model)
    for row in range(len(case.data)):
        particle = prepared(case, row)
        group = particle.group
        rest_A = torch.from_numpy(case.origin_A[row]) - particle.moved_px * group.pixel_size_A
        seen = moved(particle.unmasked, particle, rest_A[None])[0]
        source = made[case.class_[row]]
        predicted = slices(particle, source, case.rotations[row : row + 1], group.size_px)[0]
        predicted = predicted * particle.forward * particle.scale
        inside = fourier.shell_index(group.size_px, 2) <= 0.4 * group.size_px
        assert ((seen - predicted) * inside).norm() < 0.1 * (predicted * inside).norm()


def test_half_the_squared_distance_is_that_of_real_space() -> None:
    """For white noise of deviation s, diff2 is the sum of squared pixel differences over 2 s^2."""
    case = make(replace(SMALL, ndim=2, with_ctf=False, n=1))
    box, deviation = 16, 0.3
    flat = torch.full((1, box // 2 + 1), deviation**2 / (2 * box**2), dtype=DOUBLE)
    case = case.with_model(sigma2_noise=flat)
    particle, sums = prepared(case, 0), counting(case)
    found = search(particle, sums)
    block = found.blocks[0]
    inside = fourier.shell_index(box, 2) <= box // 2 - 1
    inside = inside & (fourier.shell_index(box, 2) > 0)
    image = fourier.inverse((particle.masked * inside)[None], 2, box)[0]
    shifted = moved(fourier.forward(image[None], 2)[0], particle, block.shifts_A)
    predicted = slices(particle, sums.projectors[0], block.rotations, box) * inside
    # The Nyquist shell is left out: its Friedel mates share pixels of an even box.
    wanted = torch.stack(
        [
            fourier.inverse(shifted - one, 2, box).square().sum((-2, -1)) / (2 * deviation**2)
            for one in predicted
        ]
    )
    counts = particle.group.likely(box) * inside
    found_distance = torch.stack(
        [((shifted - one).abs().square() * counts).sum((-2, -1)) / 2 for one in predicted]
    )
    torch.testing.assert_close(found_distance, wanted, rtol=1e-9, atol=1e-9)


def test_the_norm_is_the_deviation_of_what_the_reference_leaves() -> None:
    case = make(replace(SMALL, ndim=2, n=3))
    case = case.with_model(references=torch.zeros_like(case.model.references))
    images = [fourier.inverse(_without_edges(one), 2, 16) for one in case.images]
    wide = replace(case.settings.solvent, diameter_A=1e4)
    case = with_images(case, images).with_settings(
        solvent=wide, image=replace(case.settings.image, correct_norm=True)
    )
    case = case.with_state(assignments=replace(case.state.assignments, origin_A=np.zeros((3, 2))))
    _, found = expectation(case.data, case.state, case.settings, None)
    deviations = [float(one.std(correction=0)) for one in images]
    np.testing.assert_allclose(found.norm / found.pmax.clip(1, 1), deviations, rtol=2e-3)


def _without_edges(image: torch.Tensor) -> torch.Tensor:
    """Return the transform without zero frequency, Nyquist and corners."""
    shells = fourier.shell_index(len(image), 2)
    return fourier.forward(image, 2) * ((shells > 0) & (shells < len(image) // 2))


def test_two_sets_of_particles_give_what_both_give() -> None:
    case = VARIANTS["norm and scale"]().case
    parts = [
        expectation(case.data, case.state, case.settings, None, rows=np.array(rows))
        for rows in ([0, 3], [1, 2])
    ]
    sums, found = expectation(case.data, case.state, case.settings, None)
    together = parts[0][0].statistics + parts[1][0].statistics
    for field in fields(together):
        wanted = getattr(sums.statistics, field.name)
        torch.testing.assert_close(getattr(together, field.name), wanted, rtol=1e-9, atol=1e-12)
    first, second = (part[0].references[0][0] for part in parts)
    first.merge_(second)
    torch.testing.assert_close(first.grid, sums.references[0][0].grid, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(parts[0][1].pmax[[0, 3]], found.pmax[[0, 3]])
    assert (parts[0][1].pmax[[1, 2]] == 0).all()


def test_all_hypotheses_one_by_one_give_the_same_posterior() -> None:
    """A single pass against loops over classes, orientations and shifts, with scalars."""
    case = make(replace(SMALL, ndim=2, n_classes=2, n=2, oversampling=0, noise=3.0))
    weight = torch.tensor([0.7, 0.3], dtype=DOUBLE)
    offset_A = torch.tensor([[1.0, 2.0], [-3.0, 0.0]], dtype=DOUBLE)
    case = case.with_model(
        class_weight=weight, direction_weight=weight[:, None], class_offset_A=offset_A
    )
    particle, sums = prepared(case, 1), counting(case)
    found = search(particle, sums)
    inverse = particle.group.likely(16)
    sigma2 = case.model.sigma_offset_A**2
    joint, offsets = [], []
    for k in range(2):
        for rotation in found.blocks[k].rotations:
            predicted = slices(particle, sums.projectors[k], rotation[None], 16)[0]
            predicted = predicted * particle.forward
            for shift_A in found.blocks[k].shifts_A:
                image = moved(particle.masked, particle, shift_A[None])[0]
                distance = ((image - predicted).abs().square() * inverse).sum() / 2
                plain_A = shift_A - 0.23 * case.state.sampling.shift_step_A
                away = particle.moved_px * 5.0 + plain_A - offset_A[k]
                offsets.append(float(torch.exp(-away.square().sum() / (2 * sigma2))))
                joint.append(float(torch.log(weight[k] * 2) - distance))
    prior = np.array(offsets)
    # Every offset occurs once with each of the orientations: the mean over both is the same.
    joint = np.array(joint) + np.log(prior / prior.mean())
    top = joint.max()
    evidence = top + np.log(np.exp(joint - top).sum()) - constant(particle, 16)
    assert found.outcome.log_evidence == pytest.approx(evidence, abs=1e-9)
    weights = np.exp(joint - top) / np.exp(joint - top).sum()
    kept = torch.cat([one.flatten() for one in found.outcome.weights]).numpy()
    np.testing.assert_allclose(kept[kept > 0], weights[kept > 0], rtol=1e-9)
    ordered = np.sort(weights)[::-1]
    n = int((ordered.cumsum() <= 0.999).sum()) + 1
    assert (kept > 0).sum() == found.n_significant == n
    assert weights[kept == 0].max() < kept[kept > 0].min()


def test_ties_with_the_last_significant_weight_are_kept() -> None:
    case = make(replace(SMALL, n=1))
    block = search(prepared(case, 0), counting(case)).blocks[0]
    block = replace(block, log_prior=torch.zeros(1, 6, dtype=DOUBLE))
    shares = torch.tensor([[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]], dtype=DOUBLE).log()
    assert posterior([block], [shares], 0.55).n_significant == 6
    assert posterior([block], [shares], 0.45).n_significant == 1
    assert posterior([block], [shares], 0.999, most=2).n_significant == 6
    assert posterior([block], [shares], 0.999, most=1).n_significant == 1


@RHO
def test_shells_of_other_boxes_are_at_the_same_resolution(camera: tuple[int, float]) -> None:
    box, pixel = camera
    rho = box * pixel / (16 * 5.0)
    shells = torch.arange(box // 2 + 1)
    mapped = model_shell(shells, rho).to(DOUBLE)
    difference = (mapped / (16 * 5.0) - shells / (box * pixel)).abs()
    assert difference.max() <= 0.5 / (16 * 5.0) + 1e-12
    assert (mapped.diff() >= 0).all()


def test_half_way_shells_go_up() -> None:
    assert model_shell(torch.tensor([1, 3, 5]), 2.0).tolist() == [1, 2, 3]


def test_half_pixels_are_rounded_away_from_zero() -> None:
    values = torch.tensor([-2.5, -0.5, 0.49, 0.5, 1.5])
    assert rounded(values).tolist() == [-3, -1, 0, 1, 2]


def test_an_image_moved_by_whole_pixels_does_not_wrap() -> None:
    image = torch.arange(1.0, 17.0).reshape(4, 4)
    there = translated(image, 1, -2)
    assert there[0].tolist() == [0, 9, 10, 11]
    assert there[2:].abs().sum() == 0
    assert translated(there, -1, 2)[2].tolist() == [9, 10, 11, 0]
    assert translated(image, 5, 0).abs().sum() == 0


@RHO
def test_noise_fill_has_the_power_of_the_noise(camera: tuple[int, float]) -> None:
    case = make(replace(SMALL, cameras=(Camera(*camera),)))
    spectrum = torch.linspace(3.0, 1.0, 9, dtype=DOUBLE)[None]
    case = case.with_model(sigma2_noise=spectrum)
    group = groups(case.data, case.state, case.settings, case.model)[0]
    fills = torch.stack([noise_fill(3, identity, group) for identity in range(600)])
    power = fourier.forward(fills, 2).abs().square().mean(0) / 2
    counted = fourier.half_plane_mask(group.box_px, 2)
    shells = group.model_shell(group.box_px)[counted].clamp(max=8)
    mean = torch.bincount(shells, power[counted]) / torch.bincount(shells).clamp(min=1)
    seen = torch.bincount(shells) > 0
    pixels = torch.bincount(shells)[seen]
    ratio = mean[seen] / spectrum[0, : len(mean)][seen]
    assert ((ratio - 1).abs() < 5 / (600 * pixels).sqrt()).all()


def test_random_numbers_belong_to_their_particle() -> None:
    first = randomness.white_noise(3, 7, 8)
    assert torch.equal(first, randomness.white_noise(3, 7, 8))
    others = [randomness.white_noise(3, 8, 8), randomness.white_noise(4, 7, 8)]
    assert all(not torch.equal(first, other) for other in others)
    classes = [randomness.seed_class(3, identity, 4) for identity in range(400)]
    assert np.bincount(classes, minlength=4).min() > 70


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_gradient_is_what_the_references_lack(ndim: int) -> None:
    """Where they predict the images nothing is left to insert, whichever pseudo-half it is."""
    case = make(replace(SMALL, ndim=ndim, offset_error_A=0.0, n=4))
    case = with_images(case, case.clean)
    case = case.with_settings(
        searching=replace(case.settings.searching, skip_align=True),
        solvent=replace(case.settings.solvent, diameter_A=1e3),
    )
    sums, _ = expectation(case.data, case.state, case.settings, None)
    whole = sums.references[0][0]
    case = case.with_settings(algorithm=Algorithm.GRADIENT)
    sums, _ = expectation(case.data, case.state, case.settings, None)
    even, odd = sums.references[0]
    torch.testing.assert_close(even.weight + odd.weight, whole.weight)
    assert even.weight.sum() > 0
    assert odd.weight.sum() > 0
    assert (even.data + odd.data).norm() < 0.05 * whole.data.norm()
