"""Helical symmetry: of sums, of maps, and found again."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vitreous.engine import fourier, geometry, helix, masking
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement import helical
from vitreous.engine.refinement.helical import Parameters
from vitreous.engine.refinement.maximisation import maximise
from vitreous.engine.refinement.settings import Helix, Settings, Solvent
from vitreous.io import read_volume, write_volume
from vitreous.testing import known_poses, phantoms
from vitreous.testing.phantoms import Gaussians

BOX, PIXEL_A = 32, known_poses.PIXEL_SIZE_A
TWIST_DEG, RISE_PX = 37.0, 3.0
TRUE = Parameters(TWIST_DEG, RISE_PX * PIXEL_A)
PART = phantoms.cluster(6, radius_px=3, width_px=1.4, seed=2).moved(
    torch.tensor([5.0, 0, 0]).double()
)
SETTINGS = Helix(
    is_helix=True, n_units=3, twist_deg=TWIST_DEG, rise_A=RISE_PX * PIXEL_A, central_fraction=0.5
)


def filament(n_units: int = 25, twist_deg: float = TWIST_DEG) -> Gaussians:
    """Return a filament longer than the box."""
    rotations, shifts = helix.operators(twist_deg, RISE_PX, n_units)
    centres = (rotations[:, None] @ PART.centres_px[None, :, :, None])[..., 0] + shifts[:, None]
    return Gaussians(
        centres.reshape(-1, 3), PART.widths_px.repeat(n_units), PART.weights.repeat(n_units)
    )


VOLUME = filament().volume(BOX).float()


def correlation(first: Tensor, second: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])


def test_a_helical_map_stays_as_it_is() -> None:
    found = helical.imposed(VOLUME, TRUE, PIXEL_A, central_fraction=0.5)
    inside = masking.radius(BOX, 2) < 12
    assert correlation(found[:, inside], VOLUME[:, inside]) > 0.995
    wrong = helical.imposed(
        VOLUME, Parameters(-TWIST_DEG, TRUE.rise_A), PIXEL_A, central_fraction=0.5
    )
    assert correlation(wrong[:, inside], VOLUME[:, inside]) < 0.9


def test_only_the_central_part_is_used() -> None:
    spoilt = VOLUME.clone()
    spoilt[:7] = 5
    spoilt[-7:] = -5
    found = helical.imposed(spoilt, TRUE, PIXEL_A, central_fraction=0.5)
    inside = masking.radius(BOX, 2) < 12
    assert correlation(found[:, inside], VOLUME[:, inside]) > 0.995
    assert float(found[:, masking.radius(BOX, 2) > 16].abs().max()) == 0


@pytest.mark.parametrize("padding", [1, 2])
def test_units_of_a_filament_are_added_up_in_the_sums(padding: int) -> None:
    """One view with its mates gives what all mates inserted one by one give."""
    poses = geometry.random_rotations(40, torch.Generator().manual_seed(1), torch.float64)
    images = filament().projection_transforms(poses, BOX).to(torch.complex64)
    ones = torch.ones(images.shape)
    symmetrised = Accumulator(BOX, padding, 12)
    symmetrised.add_(images, ones, poses.float())
    symmetrised.finish_()
    helical.symmetrise_(symmetrised, TRUE, 3, PIXEL_A)
    rotations, shifts = helix.operators(TWIST_DEG, RISE_PX, 3)
    turned, moved = helix.mates(poses, torch.zeros(40, 2).double(), rotations, shifts)
    singly = Accumulator(BOX, padding, 12)
    for unit in range(3):
        moved_images = fourier.shift(images, moved[:, unit].float())
        singly.add_(moved_images, ones, turned[:, unit].float())
    singly.finish_()
    # Interpolated once more, so compare what both are good at: low frequencies, by correlation.
    assert float(symmetrised.weight.sum()) == pytest.approx(float(singly.weight.sum()), rel=0.02)
    first, second = symmetrised.data.flatten(), singly.data.flatten()
    overlap = (first * second.conj()).sum() / (first.norm() * second.norm())
    assert float(overlap.real) > (0.97 if padding == 2 else 0.93)


def test_twist_and_rise_are_found_again() -> None:
    noisy = VOLUME + 0.1 * VOLUME.std() * torch.randn(
        VOLUME.shape, generator=torch.Generator().manual_seed(0)
    )
    settings = replace(
        SETTINGS,
        twist_range_deg=(33.0, 41.0, 0.0),
        rise_range_A=(10.5, 13.5, 0.5),
        outer_diameter_A=80.0,
    )
    found = helical.searched(noisy, Parameters(35.0, 11.0), settings, PIXEL_A)
    assert found.parameters.twist_deg == pytest.approx(TWIST_DEG, abs=0.15)
    assert found.parameters.rise_A == pytest.approx(TRUE.rise_A, abs=0.1)
    assert not found.at_limit
    narrow = replace(settings, twist_range_deg=(33.0, 36.0, 1.0))
    assert helical.searched(noisy, Parameters(35.0, 11.0), narrow, PIXEL_A).at_limit


def test_without_ranges_nothing_is_searched() -> None:
    found = helical.searched(VOLUME, Parameters(30.0, 10.0), SETTINGS, PIXEL_A)
    assert found.parameters == Parameters(30.0, 10.0)
    assert not found.at_limit


def test_maximisation_of_a_filament() -> None:
    seen = known_poses.experiment(filament(), 60, BOX, noise=0.02)
    helix_settings = replace(
        SETTINGS, search=True, twist_range_deg=(35.0, 39.0, 1.0), rise_range_A=(11.0, 13.0, 0.5),
        outer_diameter_A=80.0,
    )  # fmt: skip
    solvent = Solvent(flatten=True, diameter_A=BOX * PIXEL_A)
    found = []
    for one in (Helix(), helix_settings, replace(helix_settings, ignore_symmetry=True)):
        settings = Settings(helix=one, solvent=solvent)
        state = known_poses.state_of((known_poses.model_of(VOLUME[None], seen.sigma2),))
        (model,), outcome = maximise(state, (known_poses.sums_of(seen, settings),), settings)
        found.append(model)
        assert outcome.at_limit == ()
    inside = masking.radius(BOX, 3) < 12
    values = [correlation(model.references[0][inside], VOLUME[inside]) for model in found]
    assert values[1] > values[0]
    assert found[1].helical_twist_deg is not None
    assert float(found[1].helical_twist_deg[0]) == pytest.approx(TWIST_DEG, abs=0.3)
    assert found[2].helical_twist_deg is None
    # The tube of the solvent mask.
    outside = masking.radius(BOX, 2) > 16
    assert float(found[1].references[0][:, outside].abs().max()) == 0
    assert float(found[1].sigma2_map[0, 6]) < 0.5 * float(found[0].sigma2_map[0, 6])


def test_relions_toolbox_imposes_the_same_symmetry(tmp_path: Path, relion: None) -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = VOLUME + VOLUME.std() * torch.randn(VOLUME.shape, generator=generator)
    write_volume(tmp_path / "in.mrc", noisy.numpy(), PIXEL_A)
    command = (
        "relion_helix_toolbox --impose --i in.mrc --o out.mrc --cyl_outer_diameter 80 --angpix 4 "
        "--rise 12 --twist 37 --z_percentage 0.4 --sphere_percentage 0.85 --width 3"
    )
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (tmp_path / "out.mrc").is_file(), done.stdout[-500:]
    theirs = torch.from_numpy(np.array(read_volume(tmp_path / "out.mrc").data))
    ours = helical.imposed(noisy, TRUE, PIXEL_A, central_fraction=0.4)
    # Inside of RELION's masks.
    inside = (slice(BOX // 2 - 8, BOX // 2 + 8), masking.radius(BOX, 2) < 8)
    assert torch.allclose(ours[inside], theirs[inside], atol=1e-5 * float(theirs.abs().max()))
