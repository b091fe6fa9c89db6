"""Cylinders of an angular distribution."""

from __future__ import annotations

import pytest
import torch

from vitreous.dataset.refinement.angular_distribution import bild

DIRECTIONS = torch.tensor([[0.0, 0.0], [0.0, 90.0], [90.0, 90.0], [0.0, 180.0]])


def parsed(text):
    lines = [line.split() for line in text.splitlines()]
    colours = [[float(word) for word in line[1:]] for line in lines if line[0] == ".color"]
    return colours, [[float(word) for word in line[1:]] for line in lines if line[0] == ".cylinder"]


def test_cylinders_stand_on_a_sphere_around_the_map():
    weights = torch.tensor([4.0, 2.0, 1.0, 0.0])
    colours, cylinders = parsed(bild(DIRECTIONS, weights, box_A=100.0, step_deg=30.0))
    assert len(cylinders) == 3  # the direction without weight is left out
    assert cylinders[0][:6] == pytest.approx([50, 50, 100, 50, 50, 115], abs=1e-3)
    assert cylinders[1][:6] == pytest.approx([100, 50, 50, 107.5, 50, 50], abs=1e-3)
    assert cylinders[2][:6] == pytest.approx([50, 100, 50, 50, 103.75, 50], abs=1e-3)
    assert cylinders[0][6] == pytest.approx(6.54498, abs=1e-4)
    assert all(red + blue == pytest.approx(1, abs=1e-5) for red, _, blue in colours)
    assert colours[0][0] > colours[1][0] > colours[2][0]


def test_equal_weights_have_one_colour():
    colours, _ = parsed(bild(DIRECTIONS, torch.ones(4), box_A=64.0, step_deg=15.0))
    assert {tuple(colour) for colour in colours} == {(0.166667, 0.0, 0.833333)}


def test_no_weights_no_cylinders():
    assert bild(DIRECTIONS, torch.zeros(4), box_A=64.0, step_deg=15.0) == ""
