"""Iterations that never ran: every field filled, most with more digits than RELION writes."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement import assignments_of, scale_groups
from vitreous.engine.refinement.settings import Algorithm, Searching, Settings, Solvent
from vitreous.engine.refinement.state import Model, Moments, Sampling, Schedule, State
from vitreous.engine.sampling import Grid
from vitreous.io import StackWriter, Table

BOX, PIXEL_A, N = 16, 3.7, 24


@dataclass(frozen=True)
class Example:
    settings: Settings
    state: State
    particles: Particles


def fabricate(folder, *, ndim=3, n_classes=2, n_models=1, moments=False, dtype=torch.float32):
    """Return an iteration; its images are noise in `folder`."""
    chance = torch.Generator().manual_seed(5)
    particles = particles_in(folder)
    settings = Settings(
        ndim=ndim,
        particles="parts.star",
        references="ref.mrc" if ndim == 3 else "",
        from_nothing=ndim == 2,
        n_classes=n_classes,
        n_iterations=6,
        split_halves=n_models == 2,
        algorithm=Algorithm.GRADIENT if moments else Algorithm.EM,
        seed=11,
        tau_fudge=1 / 3,
        searching=Searching(healpix_order=1, point_group="C2", psi_step_deg=100 / 7),
        solvent=Solvent(diameter_A=40.1, zero_mask=True),
    )
    if ndim == 2:
        settings = replace(settings, searching=Searching(psi_step_deg=100 / 7))
    groups = scale_groups(particles)
    assigned = assignments_of(
        particles, groups=groups, n_classes=n_classes, split_halves=n_models == 2, seed=3
    )
    assigned = replace(assigned, norm=assigned.norm + np.pi / 100, pmax=assigned.pmax + 1 / 3)
    models = tuple(
        model(chance, groups, assigned, ndim, n_classes, moments, dtype) for _ in range(n_models)
    )
    reach, step = 6 * PIXEL_A, 2 * PIXEL_A
    sampling = Sampling(
        1 if ndim == 3 else -1, 100 / 7, reach, step, perturbation=1 / 7, point_group="C2",
        original_healpix_order=1 if ndim == 3 else 2, original_psi_step_deg=100 / 7,
        original_shift_range_A=reach, original_shift_step_A=step,
    )  # fmt: skip
    if ndim == 2:
        sampling = replace(sampling, point_group="C1")
    schedule = Schedule(iteration=3, current_size_px=12, resolution_per_A=1 / 9.9,
                        best_resolution_per_A=1 / 9.7, changes_angle_deg=20 / 3,
                        accuracy_angle_deg=np.e, mean_pmax=1 / 3, tau_fudge=1 / 3)  # fmt: skip
    return Example(settings, State(schedule, sampling, models, assigned), particles)


def particles_in(folder):
    folder.joinpath("stacks").mkdir(exist_ok=True)
    chance = np.random.default_rng(2)
    with StackWriter(folder / "stacks/a.mrcs", (BOX, BOX), PIXEL_A) as stack:
        stack.write(chance.normal(size=(N, BOX, BOX)).astype(np.float32))
    rows = np.arange(N)
    table = Table.from_columns(
        "particles",
        {
            "rlnImageName": [f"{row + 1:06d}@stacks/a.mrcs" for row in rows],
            "rlnMicrographName": [f"MotionCorr/job002/m{row % 3}.mrc" for row in rows],
            "rlnOpticsGroup": 1 + rows % 2,
            "rlnDefocusU": 11000.123456789 + rows,
            "rlnDefocusV": 10500.0 + rows,
            "rlnDefocusAngle": 10.0 + rows,
            "rlnAngleRot": chance.uniform(-180, 180, N),
            "rlnAngleTilt": chance.uniform(0, 180, N),
            "rlnAnglePsi": chance.uniform(-180, 180, N),
            "rlnOriginXAngst": chance.normal(size=N),
            "rlnOriginYAngst": chance.normal(size=N),
            "rlnClassNumber": 1 + rows % 2,
            "somebodysColumn": [f"text {row}" for row in rows],
        },
    )
    optics = Table.from_columns(
        "optics",
        {
            "rlnOpticsGroupName": ["one", "two"],
            "rlnOpticsGroup": [1, 2],
            "rlnVoltage": 300.0,
            "rlnSphericalAberration": 2.7,
            "rlnAmplitudeContrast": 0.1,
            "rlnImagePixelSize": PIXEL_A,
            "rlnImageSize": BOX,
            "rlnImageDimensionality": 2,
        },
    )
    return Particles.from_tables(table, optics, folder)


def model(chance, groups, assigned, ndim, k, moments, dtype):
    def rand(*shape, dtype=torch.float64):
        return torch.rand(shape, generator=chance, dtype=dtype)

    s, m = BOX // 2 + 1, len(groups.names)
    weight = rand(k)
    weight /= weight.sum()
    n_directions = len(Grid(1, point_group="C2").pixels()) if ndim == 3 else 1
    directions = rand(k, n_directions)
    directions *= (weight / directions.sum(1))[:, None]
    grid = (7, 7, 4)[3 - ndim :]
    kept = ()
    if moments:
        kept = tuple(
            Moments(torch.complex(rand(2, *grid, dtype=dtype), rand(2, *grid, dtype=dtype)),
                    rand(*grid, dtype=dtype)) for _ in range(k)
        )  # fmt: skip
    return Model(
        references=rand(k, *(BOX,) * ndim, dtype=dtype),
        pixel_size_A=PIXEL_A,
        current_size_px=12,
        resolution_per_A=1 / 9.9,
        **{name: rand(k, s) for name in
           ("tau2", "sigma2_map", "ssnr", "fsc", "completeness", "orientability")},
        class_weight=weight,
        class_offset_A=rand(k, 2) if ndim == 2 else torch.zeros(k, 2, dtype=torch.float64),
        direction_weight=directions if ndim == 3 else weight[:, None],
        class_accuracy_deg=rand(k),
        class_accuracy_A=rand(k),
        class_resolution_A=10 + rand(k),
        class_completeness=rand(k),
        sigma2_noise=rand(2, s) * 1e-4,
        group_scale=1 + rand(m) / 10,
        group_names=groups.names,
        group_counts=groups.counts(),
        mean_norm=np.pi / 4,
        sigma_offset_A=np.pi,
        log_likelihood=1e6 / 3,
        mean_pmax=1 / 3,
        tau_fudge=1 / 3,
        moments=kept,
    )  # fmt: skip


@pytest.fixture
def state3d(tmp_path):
    return fabricate(tmp_path)


@pytest.fixture
def state2d(tmp_path):
    return fabricate(tmp_path, ndim=2, n_classes=3)


@pytest.fixture
def halves(tmp_path):
    return fabricate(tmp_path, n_classes=1, n_models=2)


def differences(one: Any, other: Any, close: float | None = None, where: str = "") -> list[str]:
    """Return the paths of fields that differ in a bit, or by more than `close`."""
    if is_dataclass(one):
        names = [item.name for item in fields(one)]
        parts = [(getattr(one, n), getattr(other, n), f"{where}.{n}") for n in names]
        return [path for a, b, name in parts for path in differences(a, b, close, name)]
    if isinstance(one, tuple) and any(is_dataclass(part) for part in one):
        if len(one) != len(other):
            return [where]
        pairs = enumerate(zip(one, other, strict=True))
        return [p for i, (a, b) in pairs for p in differences(a, b, close, f"{where}.{i}")]
    if isinstance(one, torch.Tensor):
        if other is None or one.shape != other.shape:
            return [where]
        if close is None and one.dtype != other.dtype:
            return [where]
        one, other = one.numpy(), other.numpy()
    if isinstance(one, (np.ndarray, float)):
        same = (
            np.array_equal(one, other, equal_nan=True)
            if close is None
            else np.allclose(one, other, rtol=close, atol=1e-12, equal_nan=True)
        )
        return [] if same else [where]
    return [] if one == other else [where]
