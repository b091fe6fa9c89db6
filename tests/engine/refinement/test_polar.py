"""A first pass whose slices are shared between in-plane angles, against true slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from refinement_engines import expect
from vitreous.engine import geometry
from vitreous.engine.refinement import coarse_polar, images, polar, preparation
from vitreous.engine.refinement import expectation as fast
from vitreous.engine.refinement.coarse import Cut
from vitreous.engine.refinement.coarse_dense import DenseSlices
from vitreous.engine.refinement.coarse_polar import SharedSlices
from vitreous.engine.refinement.disc import places_in, tight_index
from vitreous.engine.refinement.grid import pose_grid
from vitreous.engine.refinement.references import references
from vitreous.testing.oracle.cases import Case, Recipe, make

REAL = Recipe(box_px=32, n=40, noise=2.0, perturbation=0.2, coarse_size_px=14, seed=5)
ALL = Cut(1 - 1e-9, 0, False)


def parts(case: Case, group: int = 0):
    """Return what the first pass of a case works on."""
    model = case.model
    seen = images.view(case.data, case.state, case.settings, model, group)
    made = references(model, case.settings, r_max=model.box_px // 2)
    rows = np.flatnonzero(case.data.optics_group == group)
    args = (case.data, rows, seen, model, case.state.assignments, case.settings)
    prepared = preparation.prepare(*args)
    return prepared, made, pose_grid(case.state.sampling, case.settings), case.data.optics


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("size", [10, 20])
def test_products_with_shared_slices_are_those_with_true_ones(ndim: int, size: int) -> None:
    case = make(replace(REAL, ndim=ndim, n=4, coarse_size_px=size))
    prepared, made, grid, optics = parts(case)
    seen = prepared.view
    radius = seen.coarse_radius
    slices, squares = polar.harmonics(made, grid, seen, optics, (0,), torch.ones(radius + 2))
    true = made.tight(0, grid.rotations(torch.arange(grid.n_rotations)), seen, optics, radius)
    # White images, so that the error is that of the slices themselves.
    noise = torch.randn(64, len(tight_index(radius)), 2, generator=torch.Generator().manual_seed(1))
    noise[:, 0] = 0
    wanted = noise.flatten(1) @ true.flatten(1).T
    found = slices.cross(torch.view_as_complex(noise)).permute(1, 2, 0).reshape(64, -1)
    error = (found - wanted).square().mean(0).sqrt()
    length = wanted.square().mean(0).sqrt()
    assert (error / length).square().mean().sqrt() < 0.06
    assert float(torch.corrcoef(torch.stack([found.flatten(), wanted.flatten()]))[0, 1]) > 0.998
    # Powers, of images that a CTF weighs.
    powers = prepared.c[:, places_in(radius, seen.scored.radius)[tight_index(radius)]]
    powers[:, 0] = 0
    wanted = powers @ true.square().sum(-1).T
    found = squares.cross(torch.complex(powers, torch.zeros_like(powers))).permute(1, 2, 0)
    torch.testing.assert_close(found.reshape(4, -1), wanted, rtol=0.04, atol=0.0)
    assert float((found.reshape(4, -1) / wanted - 1).square().mean().sqrt()) < 0.01


def test_the_error_that_is_measured_is_the_error_that_is_made() -> None:
    """The margin widens the cut: more is kept than with true slices, and all that these keep."""
    prepared, made, grid, optics = parts(make(REAL))
    cut = Cut(0.999, 0, False)
    weight = coarse_polar.mean_weight(prepared, cut)
    shared = SharedSlices(made, grid, prepared.view, optics, (0,), weight)
    dense = DenseSlices(made, grid, prepared.view, optics, (0,))
    priors = torch.zeros(1, grid.n_rotations), torch.zeros(len(prepared), 1, len(grid.shifts))
    margin = shared.error_nat(prepared, cut)
    assert 0 < margin < 1.2
    kept = [shared.search(prepared, *priors, ALL), dense.search(prepared, *priors, ALL)]
    logs = [
        dict(zip(keys(one), (one.weight.double() + 1e-300).log().tolist(), strict=True))
        for one in kept
    ]
    common = [key for key in logs[1] if key in logs[0] and logs[1][key] > -6]
    difference = np.array([logs[0][key] - logs[1][key] for key in common])
    assert len(common) > 40
    assert np.sqrt((difference**2).mean()) < 2.5 * margin + 0.02

    shared.margin_nat = margin
    wide, exact = shared.search(prepared, *priors, cut), dense.search(prepared, *priors, cut)
    assert wide.counts.sum() >= exact.counts.sum()
    lost = set(keys(exact)) - set(keys(wide))
    assert len(lost) <= 0.02 * int(exact.counts.sum())


def keys(found) -> list[tuple[int, int, int]]:
    """Return image, rotation and shift of everything that is kept."""
    image = torch.repeat_interleave(torch.arange(len(found.counts)), found.counts)
    return list(zip(image.tolist(), found.rotation.tolist(), found.shift.tolist(), strict=True))


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_fine_pass_ends_where_it_does_with_true_slices_or_better(ndim: int) -> None:
    case = make(replace(REAL, ndim=ndim, n_classes=2))
    _, wanted = expect("fast", case)
    _, found = fast.expectation(case.data, case.state, case.settings, None)
    poses = (
        geometry.matrix_from_euler(torch.from_numpy(one.angles_deg)) for one in (found, wanted)
    )
    degrees = geometry.rotation_distance_deg(*poses).numpy()
    same = (degrees < 0.01) & (np.abs(found.origin_A - wanted.origin_A).max(1) < 1e-3)
    assert same.mean() > 0.85
    # Elsewhere the wider cut let a better pose through.
    difference = found.log_likelihood - wanted.log_likelihood
    assert difference.min() > -0.05
    assert (difference[~same] > 0.05).all()


def test_slices_are_shared_only_where_that_is_right() -> None:
    """Not where images are stretched, correlated, or where the user wants it exact."""
    case = make(replace(REAL, n=6))
    prepared, made, grid, optics = parts(case)
    cut = Cut(0.999, 0, False)

    def chosen(with_optics=optics, which=cut, *, exact: bool = False):
        return coarse_polar.slices_for(prepared, made, grid, with_optics, (0,), which, exact=exact)

    assert isinstance(chosen(), SharedSlices)
    assert isinstance(chosen(exact=True), DenseSlices)
    assert isinstance(chosen(which=Cut(0.999, 0, True)), DenseSlices)
    stretched = optics.magnification.clone()
    stretched[0, 0, 0] = 1.02
    assert not polar.is_possible(replace(optics, magnification=stretched), 0, grid)
    assert isinstance(chosen(replace(optics, magnification=stretched)), DenseSlices)
    strong = case.with_model(sigma2_noise=case.model.sigma2_noise * 1e-4)
    loud, made, grid, optics = parts(strong)
    assert isinstance(coarse_polar.slices_for(loud, made, grid, optics, (0,), cut), DenseSlices)
