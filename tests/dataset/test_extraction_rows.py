"""Rows of picks become rows of particles."""

import numpy as np
import pytest
import torch

from vitreous.dataset import extraction_rows as er
from vitreous.engine.geometry import euler_from_matrix, matrix_from_euler, random_rotations
from vitreous.errors import InputError
from vitreous.io import Table

MICROGRAPH = {
    "rlnMicrographName": "Movies/m.mrc",
    "rlnOpticsGroup": 2,
    "rlnDefocusU": 9000.0,
    "rlnDefocusV": 8000.0,
    "rlnDefocusAngle": 10.0,
    "rlnCtfFigureOfMerit": 0.2,
}


def rows(n=3, **columns):
    base = {"rlnCoordinateX": np.arange(n) + 10.5, "rlnCoordinateY": np.arange(n) + 20.5}
    return Table.from_columns("", {**base, **columns})


def test_coordinates_are_truncated_not_rounded():
    table = rows(3).with_columns({"rlnCoordinateX": [9.99, -0.99, -1.5]})
    assert er.centre_pixels(table)[:, 0].tolist() == [9, 0, -1]


def test_a_figure_of_merit_must_be_above_the_limit():
    table = rows(3, rlnAutopickFigureOfMerit=[0.1, 0.2, 0.3])
    assert er.chosen(table, 0.2, None).tolist() == [False, False, True]
    with pytest.raises(InputError, match="rlnParticleSelectionType"):
        er.chosen(table, None, 1)


def test_after_centring_the_true_place_is_unchanged():
    """Coordinate less origin is where the particle is, before and after."""
    generator = np.random.default_rng(0)
    shifts = generator.uniform(-20, 20, (50, 2))
    table = rows(50, rlnOriginXAngst=shifts[:, 0], rlnOriginYAngst=shifts[:, 1])
    moved = er.recentred(table, (0, 0, 0), reference_pixel_A=-1, micrograph_pixel_A=1.3)
    for axis, label in ((0, er.X), (1, er.Y)):
        before = table[label] - shifts[:, axis] / 1.3
        after = moved[label] - moved[er.ORIGINS[axis]] / 1.3
        np.testing.assert_allclose(before, after, atol=1e-10)
        assert np.abs(moved[er.ORIGINS[axis]]).max() <= 0.65 + 1e-9
        np.testing.assert_allclose((moved[label] - table[label]) % 1, 0, atol=1e-9)


def test_a_new_centre_lands_where_the_poses_put_it():
    """The projection of the point is where the new box is centred, up to the origin left."""
    poses = random_rotations(20, torch.Generator().manual_seed(1)).double()
    angles = euler_from_matrix(poses).numpy()
    point = np.array([4.0, -7, 12])
    table = rows(20, **dict(zip(er.ANGLES, angles.T, strict=True)))
    moved = er.recentred(table, tuple(point), reference_pixel_A=2.0, micrograph_pixel_A=1.0)
    matrices = matrix_from_euler(torch.from_numpy(angles)).numpy()
    seen_A = (matrices @ (point * 2.0))[:, :2]
    for axis, label in ((0, er.X), (1, er.Y)):
        place = moved[label] - moved[er.ORIGINS[axis]]
        np.testing.assert_allclose(place, table[label] + seen_A[:, axis], atol=1e-6)


def test_a_new_centre_without_poses_is_refused():
    with pytest.raises(InputError, match="no rlnAngleRot"):
        er.recentred(rows(), (0, 0, 1), reference_pixel_A=1, micrograph_pixel_A=1)


def test_particles_get_the_ctf_of_their_micrograph_unless_they_keep_their_own():
    table = rows(2, rlnDefocusU=[1.0, 2.0], rlnOpticsGroup=[7, 7])
    taken = er.particle_rows(table, "m.mrcs", MICROGRAPH, keep_ctf=False, keep_group=False)
    assert taken["rlnDefocusU"].tolist() == [9000, 9000]
    assert taken["rlnOpticsGroup"].tolist() == [2, 2]
    assert taken["rlnCtfScalefactor"].tolist() == [1, 1]
    assert taken["rlnImageName"].tolist() == ["000001@m.mrcs", "000002@m.mrcs"]
    kept = er.particle_rows(table, "m.mrcs", MICROGRAPH, keep_ctf=True, keep_group=True)
    assert kept["rlnDefocusU"].tolist() == [1, 2]
    assert kept["rlnOpticsGroup"].tolist() == [7, 7]
    assert "rlnCtfFigureOfMerit" not in kept


def test_boxes_over_the_edge_are_not_whole():
    table = rows(6).with_columns(
        {er.X: [32, 31.99, 68, 68.5, 50, 50], er.Y: [40, 40, 40, 40, 48, 48.5]}
    )
    whole = er.whole_boxes(table, 64, (80, 100))
    assert whole.tolist() == [True, False, True, False, True, False]


def test_places_that_are_no_numbers_are_found():
    table = rows(4).with_columns({er.X: [1.0, np.nan, np.inf, 1e12]})
    assert er.placed(table).tolist() == [True, False, False, False]


def test_rows_with_other_columns_are_joined_and_filled():
    first = rows(2, rlnAutopickFigureOfMerit=[0.5, 0.6])
    second = rows(3, rlnMicrographName=["a", "b", "c"])
    table = er.joined([first, second])
    assert table.name == "particles"
    assert table["rlnAutopickFigureOfMerit"].tolist() == [0.5, 0.6, 0, 0, 0]
    assert table["rlnMicrographName"].tolist() == ["None", "None", "a", "b", "c"]
