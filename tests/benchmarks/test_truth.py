"""Measures of the accuracy benchmark: they find what was moved, and see what was spoilt."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import _molecules, _tables
from vitreous.engine import boxing, geometry
from vitreous.io import Table
from vitreous.testing import phantoms
from vitreous.testing import truth as truths
from vitreous.testing.truth import Truth

BOX = 24


@pytest.fixture(scope="module")
def truth() -> Truth:
    thing = phantoms.cluster(8, radius_px=0.3 * BOX, width_px=1.3, seed=4)
    thing = thing.moved(-(thing.weights[:, None] * thing.centres_px).sum(0))
    return Truth(thing.volume(BOX).float(), 4.0, 84.0)


def _rotation(seed: int) -> Tensor:
    return geometry.random_rotations(1, torch.Generator().manual_seed(seed), torch.float64)[0]


def test_the_truth_is_like_itself_to_the_last_shell(truth: Truth) -> None:
    found = truths.map_quality(truth.volume, truth)
    assert found == {"resolution_A": 8.0, "shell": 12.0, "mean_fsc": 1.0}


def test_noise_lowers_what_is_measured(truth: Truth) -> None:
    drawn = torch.randn(truth.volume.shape, generator=torch.Generator().manual_seed(1))
    spoilt = truth.volume + 0.3 * truth.volume.std() * drawn
    found = truths.map_quality(spoilt, truth)
    assert 8.5 < found["resolution_A"] < 20
    assert found["mean_fsc"] < 0.9


def test_a_map_a_little_off_is_laid_on_the_truth(truth: Truth) -> None:
    turn = geometry.rotation_about(torch.tensor([[1.0, 2.0, -1.0]]).double(), torch.tensor([0.06]))
    moved = truths._moved(truth.volume, turn[0].double(), torch.tensor([0.6, -0.4, 0.3]).double())
    before = truths.map_quality(moved, truth)["mean_fsc"]
    after = truths.map_quality(truths.laid_on(moved, truth, 10.0, from_anywhere=False), truth)
    assert before < 0.9
    assert after["mean_fsc"] > 0.95


@pytest.mark.slow
def test_a_map_of_the_other_hand_is_found_in_any_orientation(truth: Truth) -> None:
    mirrored = boxing.invert_hand(truth.volume)
    moved = truths._moved(mirrored, _rotation(3), torch.tensor([1.0, -0.7, 0.4]).double())
    found = truths.laid_on(moved, truth, 12.0, from_anywhere=True)
    assert truths.map_quality(found, truth)["mean_fsc"] > 0.92


@pytest.mark.slow
def test_another_molecule_is_not_like_it(truth: Truth) -> None:
    other = phantoms.cluster(8, radius_px=0.3 * BOX, width_px=1.3, seed=9).volume(BOX).float()
    found = truths.laid_on(other, truth, 12.0, from_anywhere=True)
    assert truths.map_quality(found, truth)["mean_fsc"] < 0.7


@pytest.mark.parametrize(
    ("curve", "shell"),
    [
        ([1, 0.9, 0.7, 0.3, 0.1], 2.5),
        ([1, 0.9, 0.8, 0.7, 0.6], 4),
        ([1, 0.2, 0.1, 0.0, 0.0], 0),
        ([0, 0.9, 0.5, 0.4, 0.9], 2),
    ],
)
def test_a_crossing_lies_between_shells(curve: list[float], shell: float) -> None:
    assert truths.crossing(np.array(curve), 0.5) == pytest.approx(shell)


def _particles(rotations: Tensor, shifts_A: Tensor) -> Table:
    angles = geometry.euler_from_matrix(rotations).numpy()
    columns: dict[str, object] = {
        "rlnImageName": [f"{row + 1:06d}@stack.mrcs" for row in range(len(angles))]
    }
    columns |= dict(zip(truths.ANGLES, angles.T, strict=True))
    columns |= dict(zip(truths.ORIGINS, shifts_A.numpy().T, strict=True))
    return Table.from_columns("particles", columns)


def test_a_rotation_and_shift_of_the_object_are_no_errors_of_poses() -> None:
    drawn = torch.Generator().manual_seed(2)
    rotations = geometry.random_rotations(200, drawn, torch.float64)
    shifts = torch.randn(200, 2, generator=drawn, dtype=torch.float64)
    drift = geometry.rotation_about(torch.tensor([[1.0, 0, 1]]).double(), torch.tensor([0.1]))[0]
    moved = shifts + (rotations @ torch.tensor([1.0, 2.0, -3.0]).double())[:, :2]
    moved[:20] += 8.0  # and a tenth of them is wrong
    found = truths.pose_quality(
        _particles(rotations @ drift.double(), moved), _particles(rotations, shifts), "C1"
    )
    assert found["median_deg"] < 0.01
    assert found["median_A"] < 0.01
    assert found["within_5_deg_percent"] == 100


def test_mates_are_the_same_pose_and_other_poses_are_errors() -> None:
    rotations = geometry.random_rotations(90, torch.Generator().manual_seed(2), torch.float64)
    about = torch.tensor([[0.0, 0, 1]]).double().expand(90, 3)
    mates = rotations @ geometry.rotation_about(about, torch.full((90,), math.pi).double())
    shifts = torch.zeros(90, 2, dtype=torch.float64)
    mates[:30] = mates[:30] @ geometry.rotation_about(about[:30], torch.full((30,), 0.3).double())
    found = truths.pose_quality(_particles(mates, shifts), _particles(rotations, shifts), "D2")
    assert found["within_5_deg_percent"] == pytest.approx(66.7)
    assert found["median_deg"] < 0.01


def test_purity_counts_the_commonest_of_each_class() -> None:
    found, true = np.array([1, 1, 1, 2, 2, 4]), np.array([1, 1, 2, 2, 2, 1])
    assert truths.purity(found, true) == pytest.approx(5 / 6)


def test_a_projection_resolves_fully_and_noise_does_not(truth: Truth) -> None:
    from vitreous.engine import fourier, projection

    source = projection.projector(truth.volume, 2)
    view = _rotation(6).float()[None]
    image = fourier.inverse(projection.project(source, view), 2, BOX)[0]
    image = boxing.shift(image[None], (1.0, -2.0))[0]
    noise = torch.randn(BOX, BOX, generator=torch.Generator().manual_seed(1))
    members = np.array([50, 50, 3])
    sharp, lost = truths.well_resolved(torch.stack([image, noise, image]), members, [truth], 16.0)
    assert sharp < 10
    assert lost > 20


def _pdb(turn: np.ndarray, move: np.ndarray) -> str:
    drawn = np.random.default_rng(1).uniform(-30, 30, (214, 3)) @ turn.T + move
    return "\n".join(
        f"ATOM  {n:5d}  CA  ALA A{n:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
        for n, (x, y, z) in enumerate(drawn, 1)
    )


def test_a_model_comes_back_to_another_and_has_elements() -> None:
    turn = _rotation(1).numpy()
    fixed, moved = _pdb(np.eye(3), np.zeros(3)), _pdb(turn, np.array([5.0, -3.0, 2.0]))
    back, move = _molecules.superposed(_molecules.core(moved), _molecules.core(fixed))
    text = _molecules.rewritten(moved, back, move)
    assert np.abs(_molecules.core(text) - _molecules.core(fixed)).max() < 0.01
    assert {line[76:78] for line in text.splitlines() if line.startswith("ATOM")} == {" C"}


def test_the_page_has_a_table_for_each_comparison() -> None:
    rows = [
        {"comparison": "a/refine3d", "program": program, "seed": 1, "quality": quality}
        for program, quality in (("ours", {"shell": 30.5}), ("relion", {"shell": 30.0, "x": True}))
    ]
    text = _tables.markdown({"particles": {"a": "A molecule"}, "rows": rows})
    assert "| program | seed | shell | x |" in text
    assert "| ours | 1 | 30.5 |  |" in text
    assert "| relion | 1 | 30 | yes |" in text
