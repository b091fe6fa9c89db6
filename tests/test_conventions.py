"""The rules of `conventions.py`, and that each rule of the documentation has its test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous import conventions
from vitreous.engine import fourier

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "conventions.md"


@pytest.mark.parametrize("size", [2, 3, 8, 9])
def test_the_centre_is_where_the_transform_has_its_origin(size: int) -> None:
    delta = torch.zeros(1, size, dtype=torch.float64)
    delta[0, conventions.centre_index(size)] = size
    flat = fourier.forward(delta, 1)
    torch.testing.assert_close(flat, torch.ones_like(flat))


@pytest.mark.parametrize("size", [4, 5, 8, 9])
def test_signed_indices_are_those_of_the_transforms(size: int) -> None:
    found = [conventions.signed_index(index, size) for index in range(size)]
    assert found == fourier.indices(size, 2)[:, 0, 1].tolist()
    assert found[size // 2] == size // 2


def test_the_flip_of_axes_is_its_own_inverse() -> None:
    vectors = np.arange(6).reshape(2, 3)
    assert conventions.flip_axes(vectors).tolist() == [[2, 1, 0], [5, 4, 3]]
    assert conventions.flip_axes(conventions.flip_axes(vectors)).tolist() == vectors.tolist()
    tensor = torch.arange(4).reshape(2, 2)
    assert conventions.flip_axes(tensor).tolist() == [[1, 0], [3, 2]]


def test_a_vector_flipped_indexes_the_array() -> None:
    volume = np.random.default_rng(1).normal(size=(3, 4, 5))
    x, y, z = 4, 2, 1
    place = tuple(conventions.flip_axes(np.array([x, y, z])))
    assert volume[place] == volume[z, y, x]


def test_halves_round_away_from_zero() -> None:
    values = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999999999999994, 2.4, -2.6, 0.0, 1e15 + 0.5]
    found = conventions.round_half_away(values)
    assert found.tolist() == [1, 2, 3, -1, -2, -3, 0, 2, -3, 0, 1e15 + 1]
    assert conventions.round_half_away(np.zeros((2, 0))).shape == (2, 0)


@pytest.mark.parametrize("box_px", [8, 9])
def test_the_coordinate_lands_on_the_centre_of_its_box(box_px: int) -> None:
    micrograph = np.arange(100)
    for coordinate in (50.0, 50.9):
        first = int(conventions.box_corner(coordinate, box_px))
        box = micrograph[first : first + box_px]
        assert box[conventions.centre_index(box_px)] == 50


def test_coordinates_are_cut_off_towards_zero() -> None:
    assert conventions.box_corner([-0.5, 0.5, 7.99], 8).tolist() == [-4, -4, 3]


def test_recentring_moves_whole_pixels_and_keeps_the_particle_in_place() -> None:
    coordinates, origins = np.array([100.0, 50.0, 20.0]), np.array([2.5, -2.5, 0.4])
    moved, left = conventions.recentre(coordinates, origins)
    assert moved.tolist() == [97.0, 53.0, 20.0]
    np.testing.assert_allclose(left, [-0.5, 0.5, 0.4])
    np.testing.assert_allclose(moved - left, coordinates - origins)


def test_the_origin_is_the_shift_that_centres_the_particle() -> None:
    """A particle right of the centre needs a shift to the left, and lies at c - o."""
    micrograph = torch.zeros(1, 64, dtype=torch.float64)
    micrograph[0, 35] = 1.0
    corner = int(conventions.box_corner(32.0, 16))
    box = micrograph[:, corner : corner + 16]
    origin = torch.tensor([[-3.0]], dtype=torch.float64)
    centred = fourier.inverse(fourier.forward(box, 1) * fourier.shift_phases(origin, 16), 1)
    assert int(centred[0].argmax()) == conventions.centre_index(16)
    moved, left = conventions.recentre(32.0, -3.0)
    assert (float(moved), float(left)) == (35.0, 0.0)


def rules() -> list[tuple[str, str, str]]:
    """Each `path::test` that the page names, with the line it stands in."""
    found = []
    for line in PAGE.read_text().splitlines():
        found += [(path, name, line) for path, name in re.findall(r"`(\S+\.py)::(\w+)`", line)]
    return found


def test_every_rule_of_the_page_names_a_test_that_exists() -> None:
    named = rules()
    assert len(named) > 25
    for path, name, line in named:
        tree = ast.parse((ROOT / "tests" / path).read_text())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"docs/conventions.md names {path}::{name}: {line}"


def test_every_rule_of_the_page_has_a_test() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    told = [line for line in rows if not line.startswith(("| Rule |", "| --- |"))]
    assert len(told) > 25
    assert [line for line in told if "::" not in line] == []
