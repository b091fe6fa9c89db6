"""`vitreous mask`: algebra of masks, in the order of the command line, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest

from vitreous.engine import masking
from vitreous.io import read_volume, write_volume
from vitreous.programs import mask

N, A = 32, 2.0
MIDDLE = {"one": (-4.0, 0.0, 0.0), "two": (4.0, 0.0, 0.0), "far": (11.0, 0.0, 0.0)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, centre in MIDDLE.items():
        radius = 3 if name == "far" else 6
        ball = masking.sphere(N, 3, radius, 3, centre_px=centre)
        write_volume(f"{name}.mrc", ball.numpy(), A)
    write_volume("map.mrc", (5 * read_volume("one.mrc").data - 1), A)
    return tmp_path


def make(words, code=0):
    assert mask.main([*words.split(), "--o", "out.mrc"]) == code
    return read_volume("out.mrc") if code == 0 else None


def data(name):
    return read_volume(f"{name}.mrc").data


def test_masks_are_combined_with_their_soft_edges():
    one, two = data("one"), data("two")
    assert np.array_equal(make("--i one.mrc --union two.mrc").data, np.maximum(one, two))
    assert np.array_equal(make("--i one.mrc --intersect two.mrc").data, np.minimum(one, two))
    assert np.array_equal(make("--i one.mrc --subtract two.mrc").data, np.minimum(one, 1 - two))
    found = make("--i one.mrc --invert")
    assert np.array_equal(found.data, 1 - one)
    assert found.pixel_size_A == A


def test_laws_of_sets_hold():
    left = make("--i one.mrc --union two.mrc --invert").data
    write_volume("not_two.mrc", make("--i two.mrc --invert").data, A)
    right = make("--i one.mrc --invert --intersect not_two.mrc").data
    np.testing.assert_allclose(left, right, atol=1e-6)
    np.testing.assert_allclose(make("--i one.mrc --invert --invert").data, data("one"), atol=1e-6)


def test_steps_act_in_the_order_written():
    first = make("--i one.mrc --dilate 3 --invert").data
    other = make("--i one.mrc --invert --dilate 3").data
    assert first.sum() < other.sum()


def test_growing_and_shrinking_are_by_pixels():
    radius = np.asarray(masking.radius(N, 3, MIDDLE["one"]))
    inside = data("one") > 0.5
    grown = make("--i one.mrc --dilate 2.5").data
    shrunk = make("--i one.mrc --erode 2.5").data
    assert set(np.unique(grown)) == {0, 1}
    edge = radius[inside].max()
    assert radius[grown == 1].max() == pytest.approx(edge + 2.5, abs=0.6)
    assert radius[shrunk == 1].max() == pytest.approx(edge - 2.5, abs=0.9)
    assert ((shrunk == 1) <= inside).all()
    soft = make("--i one.mrc --soften 4").data
    assert (soft[inside] == 1).all()
    assert radius[soft > 0].max() == pytest.approx(edge + 4, abs=0.6)


def test_the_largest_part_stays_with_its_edge():
    found = make("--i one.mrc --union far.mrc --largest").data
    far = data("far")
    assert found[far == 1].max() == 0
    near = data("one") > 0
    assert np.array_equal(found[near & (far == 0)], data("one")[near & (far == 0)])


def test_holes_are_filled():
    hollow = make("--sphere 40 --inner 16 --box 32 --angpix 2").data
    assert hollow[16, 16, 16] == 0
    write_volume("hollow.mrc", hollow, A)
    filled = make("--i hollow.mrc --fill").data
    assert filled[16, 16, 16] == 1
    assert np.array_equal(filled, make("--sphere 40 --box 32 --angpix 2").data)


def test_a_ball_is_where_and_as_large_as_asked(capsys):
    found = make("--sphere 24 --centre 8 0 -8 --box 32 --angpix 2 --json")
    facts = json.loads(capsys.readouterr().out)
    assert facts["volume_A3"] == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.06)
    assert facts["parts"] == 1
    assert not facts["is_soft"]
    assert not facts["reaches_edge"]
    z, y, x = (axis[found.data > 0.5].mean() - 16 for axis in np.mgrid[:N, :N, :N])
    assert (x, y, z) == pytest.approx((4, 0, -4), abs=0.05)


def test_what_makes_a_mask_unfit_is_told(capsys):
    make("--i one.mrc --dilate 9")
    told = capsys.readouterr().out
    assert "reaches the edge of the box" in told
    assert "hard edge (--soften 6 makes it soft)" in told
    assert "kDa" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--i map.mrc --soften 3", "begin with --threshold LEVEL"),
        ("--i one.mrc --union map.mrc", "map.mrc: values run from -1 to 4"),
        ("--i one.mrc --union small.mrc", "wanted two masks of one size"),
        ("--i one.mrc --union fine.mrc", "pixels of 1 Å and the mask of 2 Å"),
        ("--i one.mrc --erode 20", "Nothing is left of the mask"),
        ("--i one.mrc --threshold 3", "nothing reaches it, the highest value is 1"),
        ("--i one.mrc --sphere 10", "either --i, a mask or map to begin with, or --sphere"),
        ("--sphere 10", "also needs --box"),
        ("--sphere 100 --box 32 --angpix 2", "does not fit a box of 64 Å"),
        ("--i no.mrc", "no.mrc"),
    ],
)
def test_what_cannot_work_is_said_and_nothing_written(words, told, capsys, tmp_path):
    write_volume("small.mrc", np.zeros((16, 16, 16), np.float32), A)
    write_volume("fine.mrc", data("one"), 1.0)
    make(words, code=2)
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out.mrc").exists()


def test_a_map_becomes_a_mask():
    found = make("--i map.mrc --threshold 1.5 --soften 3").data
    assert np.array_equal(found == 1, data("one") >= 0.5)


def test_it_is_a_command():
    command = [sys.executable, "-m", "vitreous", "mask", "--i", "one.mrc", "--o", "c.mrc"]
    done = subprocess.run([*command, "--dilate", "2"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("c.mrc: ")
