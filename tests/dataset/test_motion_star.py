"""The STAR file of a movie's motion: ours, RELION's, and what is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from vitreous.dataset.motion_star import MovieMotion, read_motion, write_motion
from vitreous.dataset.motion_table import Corrected, micrograph_list, read_movies
from vitreous.errors import FormatError
from vitreous.io import Table, read_star, write_star


@pytest.fixture
def motion():
    rng = np.random.default_rng(0)
    shift = rng.normal(size=(6, 2))
    shift[0] = np.nan
    shift[1] = 0
    return MovieMotion(
        movie="Movies/a.tiff", shape=(300, 400), shift_px=shift, pixel_size_A=0.8, binning=2.0,
        dose_per_frame_e_per_A2=1.2, pre_exposure_e_per_A2=0.5, voltage_kV=200.0, first_frame=2,
        coefficients_px=rng.normal(size=(2, 18)), hot_px=np.array([[3.0, 4.0], [5.0, 6.0]]),
        local_frame=np.array([2, 3]), local_place_px=rng.normal(size=(2, 2)),
        local_shift_px=rng.normal(size=(2, 2)), gain="gain.mrc", defects="bad.txt",
        eer_upsampling=2, eer_grouping=32,
    )  # fmt: skip


def same(one, two):
    for name in one.__dataclass_fields__:
        a, b = getattr(one, name), getattr(two, name)
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, atol=1e-5)
        else:
            assert a == b, name


@pytest.mark.parametrize("has_model", [True, False])
def test_what_is_written_is_read(tmp_path, motion, has_model):
    wanted = motion if has_model else replace(motion, coefficients_px=None, local_frame=
        motion.local_frame[:0], local_place_px=motion.local_place_px[:0],
        local_shift_px=motion.local_shift_px[:0], hot_px=motion.hot_px[:0])  # fmt: skip
    write_motion(tmp_path / "m.star", wanted)
    same(wanted, read_motion(tmp_path / "m.star"))
    general = next(read_star(tmp_path / "m.star")["general"].rows())
    assert general["rlnMotionModelVersion"] == int(has_model)


def test_coefficients_of_relion_are_brought_to_pixels_of_the_movie(tmp_path, motion):
    write_motion(tmp_path / "m.star", motion)
    star = read_star(tmp_path / "m.star")
    theirs = replace(star["local_motion_model"], comment="")
    write_star(tmp_path / "relion.star", star.with_table(theirs))
    found = read_motion(tmp_path / "relion.star").coefficients_px
    np.testing.assert_allclose(found, 2 * motion.coefficients_px, atol=1e-5)


def test_early_and_late_motion_add_up(motion):
    steps = np.hypot(*np.diff(motion.shift_px[1:], axis=0).T)
    early, late = motion.travelled_px(4.2)
    assert early == pytest.approx(steps[:2].sum())  # from frame 2 to 3 and to 4
    assert late == pytest.approx(steps[2:].sum())


def test_files_that_are_something_else_are_refused(tmp_path, motion):
    write_star(tmp_path / "a.star", [Table.from_columns("optics", {"rlnVoltage": [300.0]})])
    with pytest.raises(FormatError, match="data_global_shift"):
        read_motion(tmp_path / "a.star")
    with pytest.raises(FormatError, match="no row with rlnMicrographMovieName"):
        read_movies(tmp_path / "a.star")
    write_motion(tmp_path / "m.star", motion)
    star = read_star(tmp_path / "m.star")
    short = star["local_motion_model"].select(slice(0, 30))
    write_star(tmp_path / "m.star", star.with_table(short))
    with pytest.raises(FormatError, match="30 coefficients; wanted 36"):
        read_motion(tmp_path / "m.star")


def test_the_list_of_micrographs_has_only_what_was_made(tmp_path):
    optics = Table.from_columns("optics", {
        "rlnOpticsGroup": [1], "rlnOpticsGroupName": ["a"], "rlnVoltage": [300.0],
        "rlnMicrographOriginalPixelSize": [0.5]})  # fmt: skip
    rows = Table.from_columns("movies", {
        "rlnMicrographMovieName": ["a.tiff", "b.tiff"], "rlnOpticsGroup": [1, 1],
        "rlnMicrographPreExposure": [1.0, 2.0]})  # fmt: skip
    write_star(tmp_path / "movies.star", [optics, rows])
    movies = read_movies(tmp_path / "movies.star")
    assert [row.pre_exposure_e_per_A2 for row in movies.rows] == [1, 2]
    done = [Corrected(1, "M/b.mrc", "M/b.star", 2.0, 3.0, 0.5, spectrum="M/b_PS.mrc")]
    star = micrograph_list(movies, done, 2.0)
    assert star["micrographs"].labels == (
        "rlnCtfPowerSpectrum", "rlnMicrographName", "rlnMicrographMetadata", "rlnOpticsGroup",
        "rlnAccumMotionTotal", "rlnAccumMotionEarly", "rlnAccumMotionLate",
        "rlnMicrographPreExposure",
    )  # fmt: skip
    assert star["micrographs"]["rlnMicrographPreExposure"].tolist() == [2]
    assert star["optics"]["rlnMicrographPixelSize"].tolist() == [1.0]
    assert done[0].total_A == 2.5
