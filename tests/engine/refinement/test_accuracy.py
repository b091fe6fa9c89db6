"""Accuracies of poses, held to RELION's and to what can be calculated."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import refinement_replay as replays
import requirements
from vitreous.engine import fourier
from vitreous.engine.ctf import Defocus, Optics
from vitreous.engine.projection import Projector, projector
from vitreous.engine.refinement import accuracy
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.settings import Image, Settings
from vitreous.engine.refinement.state import Sampling, Schedule, State
from vitreous.io.mrc import read_volume
from vitreous.io.star import read_star

SETTINGS = Settings(image=Image(correct_ctf=True))
PIXEL_A = 5.0


def _unread(rows: np.ndarray) -> torch.Tensor:
    message = "accuracies must not read images"
    raise AssertionError(message)


def _data(n: int, box_px: int, defocus: Defocus | None = None, pixel_A: float = PIXEL_A) -> Data:
    if defocus is None:
        defocus = Defocus.of(torch.full((n,), 15_000.0))
    optics = Optics.of(pixel_size_A=pixel_A, box_px=box_px, voltage_kV=300, cs_mm=2.7)
    groups = np.zeros(n, np.int64)
    return Data(optics, defocus, groups, np.zeros(1, bool), np.arange(n), _unread)


def _state(
    angles_deg: np.ndarray,
    box_px: int,
    size_px: int,
    sigma2: torch.Tensor,
    *,
    ndim: int = 3,
    n_classes: int = 1,
) -> State:
    model = replays.model_of(box_px, PIXEL_A, n_classes, ndim)
    model = replace(model, sigma2_noise=sigma2[None])
    assignments = replace(replays.assignments_of(len(angles_deg)), angles_deg=angles_deg)
    schedule = Schedule(iteration=3, current_size_px=size_px)
    return State(schedule, Sampling(2, 15, 10, 5), (model,), assignments)


def _random_angles(n: int) -> np.ndarray:
    generator = np.random.default_rng(1)
    tilt = np.rad2deg(np.arccos(generator.uniform(-1, 1, n)))
    return np.stack([generator.uniform(0, 360, n), tilt, generator.uniform(0, 360, n)], 1)


def _blobs(box_px: int, ndim: int = 3) -> torch.Tensor:
    """Return a few Gaussians off the centre."""
    axis = torch.arange(box_px, dtype=torch.float64) - box_px // 2
    grid = torch.stack(torch.meshgrid([axis] * ndim, indexing="ij"), -1)
    places = torch.randn(6, ndim, generator=torch.Generator().manual_seed(2)) * box_px / 10
    squares = ((grid[..., None, :] - places) ** 2).sum(-1)
    return torch.exp(-squares / (2 * (box_px / 24) ** 2)).sum(-1).float()


def _measure(state: State, data: Data, sources: list[Projector], settings: Settings = SETTINGS):
    return accuracy.measure(data, state, settings, sources, np.arange(len(data)))


def test_agrees_with_relion(monkeypatch: pytest.MonkeyPatch) -> None:
    """RELION drew 100 of 400 particles; 200 of ours give the same to its sampling error."""
    monkeypatch.setitem(accuracy.N_PARTICLES, 3, 200)
    star = read_star(replays.GOLDEN / "accuracy.star")
    reference = read_volume(replays.GOLDEN / "accuracy_class002.mrc").data
    general, shells, particles = star["general"], star["shells"], star["particles"]
    columns = {label: torch.from_numpy(particles[label].copy()) for label in particles.labels}
    defocus = Defocus.of(*(columns[f"rlnDefocus{name}"] for name in ("U", "V", "Angle")))
    angles = np.stack([particles[f"rlnAngle{name}"] for name in ("Rot", "Tilt", "Psi")], 1)
    size = int(general["rlnCurrentImageSize"][0])
    sigma2 = torch.from_numpy(shells["rlnSigma2Noise"].copy())
    source = projector(torch.from_numpy(np.array(reference, np.float32)), 2, size // 2)
    state = _state(angles, 48, size, sigma2)
    found = _measure(state, _data(len(angles), 48, defocus), [source])
    assert found.best_angle_deg == pytest.approx(general["rlnAccuracyRotations"][0], rel=0.06)
    assert found.best_shift_A == pytest.approx(general["rlnAccuracyTranslationsAngst"][0], rel=0.06)
    theirs = torch.from_numpy(shells["rlnSpectralOrientabilityContribution"].copy())
    assert float(found.orientability.sum()) == pytest.approx(1)
    torch.testing.assert_close(found.orientability[0], theirs, atol=0.02, rtol=0)


def test_increments_are_the_sums_that_relion_makes() -> None:
    angles, shifts = accuracy.angle_increments_deg(), accuracy.shift_increments_px()
    assert angles[:5].tolist() == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.3])
    assert angles[11:15].tolist() == pytest.approx([1.0, 1.1, 1.3, 1.5])
    assert (float(angles[-1]), float(shifts[-1])) == pytest.approx((30.1, 10.1))
    assert bool((angles.diff() > 0).all())


def test_halving_finds_what_trying_all_finds() -> None:
    n, box = 24, 32
    state = _state(_random_angles(n), box, 24, torch.full((17,), 3e-4, dtype=torch.float64))
    data, source = _data(n, box), projector(_blobs(box), 2, 12)
    slices = accuracy._prepare(data, state, SETTINGS, source, np.arange(n))
    turn, _ = accuracy._directions(SETTINGS, data, state, np.arange(n))
    plain = slices.at(slices.angles_deg)
    found, _ = accuracy._smallest_turn(slices, plain, turn)
    increments = accuracy.angle_increments_deg()
    tried = torch.stack(
        [
            accuracy._difference(slices, plain, size.expand(n), turn).sum((1, 2))
            for size in increments
        ],
        1,
    )
    enough = tried > accuracy.THRESHOLD
    enough[:, -1] = True
    expected = increments[enough.to(torch.uint8).argmax(1)]
    assert (found == expected).float().mean() > 0.9  # where more turn is never less different
    assert 0.2 < float(found.mean()) < 30


def test_shifts_are_those_of_the_formula() -> None:
    """|F (1 - exp(2 pi i k e / n))|^2 over twice the noise, tried shift by shift."""
    n, box, size = 8, 32, 24
    sigma2 = torch.linspace(1e-4, 4e-4, 17, dtype=torch.float64)
    state, data = _state(_random_angles(n), box, size, sigma2), _data(n, box)
    source = projector(_blobs(box), 2, size // 2)
    slices = accuracy._prepare(data, state, SETTINGS, source, np.arange(n))
    plain = slices.at(slices.angles_deg)
    power = plain.abs().square().double() * slices.weight
    along = torch.arange(n) % 2
    found = accuracy._smallest_shift(power, along, box)
    for row in range(n):
        for size_px in accuracy.shift_increments_px():
            shift = torch.zeros(1, 2)
            shift[0, along[row]] = size_px
            moved = plain[row] * fourier.shift_phases(shift, size, box=box)[0]
            total = ((moved - plain[row]).abs().square().double() * slices.weight[row]).sum()
            if total > accuracy.THRESHOLD:
                break
        assert float(found[row]) == pytest.approx(float(size_px))


def test_more_noise_and_fewer_shells_make_poses_less_certain() -> None:
    n, box = 40, 32
    angles, source = _random_angles(n), [projector(_blobs(box), 2, 16)]
    sigma2 = torch.full((17,), 1e-4, dtype=torch.float64)
    clear = _measure(_state(angles, box, 32, sigma2), _data(n, box), source)
    noisy = _measure(_state(angles, box, 32, sigma2 * 9), _data(n, box), source)
    coarse = _measure(_state(angles, box, 8, sigma2), _data(n, box), source)
    assert clear.best_angle_deg < noisy.best_angle_deg
    assert clear.best_shift_A < noisy.best_shift_A
    assert clear.best_angle_deg < coarse.best_angle_deg
    # Far below saturation the difference grows with the square of the change.
    assert noisy.best_shift_A / clear.best_shift_A == pytest.approx(3, rel=0.25)


def test_a_ball_has_no_orientation() -> None:
    box, n = 32, 10
    axis = torch.arange(box) - box // 2
    squares = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    ball = torch.exp(-squares / 18.0)
    state = _state(_random_angles(n), box, 20, torch.full((17,), 1e-3, dtype=torch.float64))
    found = _measure(state, _data(n, box), [projector(ball, 2, 10)])
    assert found.best_angle_deg == pytest.approx(30.1)
    assert found.best_shift_A < 2 * PIXEL_A


def test_small_classes_are_left_out() -> None:
    n, box = 10, 32
    sigma2 = torch.full((17,), 1e-4, dtype=torch.float64)
    state = _state(_random_angles(n), box, 24, sigma2, n_classes=2)
    weights = torch.tensor([0.995, 0.005], dtype=torch.float64)
    state = replace(state, models=(replace(state.models[0], class_weight=weights),))
    sources = [projector(_blobs(box), 2, 12)] * 2
    found = _measure(state, _data(n, box), sources)
    assert float(found.angle_deg[1]) == float(found.shift_A[1]) == 999
    assert found.best_angle_deg == float(found.angle_deg[0]) < 999


def test_averages_turn_about_the_beam_only() -> None:
    n, box = 10, 32
    angles = np.zeros((n, 3))
    angles[:, 2] = np.linspace(0, 350, n)
    sigma2 = torch.full((17,), 1e-4, dtype=torch.float64)
    state = _state(angles, box, 24, sigma2, ndim=2)
    settings = replace(SETTINGS, ndim=2)
    found = _measure(state, _data(n, box), [projector(_blobs(box, 2), 2, 12)], settings)
    assert 0.05 < found.best_angle_deg < 30
    noisy = _state(angles, box, 24, sigma2 * 4, ndim=2)
    more = _measure(noisy, _data(n, box), [projector(_blobs(box, 2), 2, 12)], settings)
    assert more.best_angle_deg > found.best_angle_deg


def test_a_finer_pixel_of_the_images_changes_nothing_in_angstrom() -> None:
    """Images of half the pixel in twice the box hold the same frequencies."""
    n, box = 30, 32
    angles, source = _random_angles(n), [projector(_blobs(box), 2, 12)]
    sigma2 = torch.full((17,), 1e-4, dtype=torch.float64)
    state = _state(angles, box, 24, sigma2)
    plain = _measure(state, _data(n, box), source)
    fine = _measure(state, _data(n, 2 * box, pixel_A=PIXEL_A / 2), source)
    assert fine.best_angle_deg == pytest.approx(plain.best_angle_deg, rel=1e-6)
    assert fine.best_shift_A == pytest.approx(plain.best_shift_A, rel=0.1)  # other increments


def test_a_hundred_particles_of_128_pixels_take_little_time() -> None:
    n, box = 100, 128
    state = _state(_random_angles(n), box, box, torch.full((65,), 1e-5, dtype=torch.float64))
    data, source = _data(n, box), projector(_blobs(box), 2)
    seconds = []
    for _ in range(2):
        start = time.process_time()
        _measure(state, data, [source])
        seconds.append(time.process_time() - start)
    assert min(seconds) < 3  # 0.3 s of a quiet machine, ten times that of a busy one


def test_a_projector_on_a_card_gives_the_same() -> None:
    requirements.need("cuda")
    n, box = 40, 32
    sigma2 = torch.full((17,), 1e-4, dtype=torch.float64)
    state, data = _state(_random_angles(n), box, 24, sigma2), _data(n, box)
    source = projector(_blobs(box), 2, 12)
    plain = _measure(state, data, [source])
    there = _measure(state, data, [replace(source, grid=source.grid.cuda())])
    torch.testing.assert_close(there.angle_deg, plain.angle_deg, rtol=0.02, atol=0)
    torch.testing.assert_close(there.shift_A, plain.shift_A, rtol=0.02, atol=0)
