"""The list of imported movies."""

import pytest

from vitreous.dataset.import_tables import (
    MICROGRAPHS,
    MOVIES,
    Microscope,
    add_exposures,
    repeated_base_names,
)
from vitreous.errors import InputError
from vitreous.io import format_star, parse_star

ONE = Microscope("opticsGroup1", 0.9, 300.0, 2.7, 0.1, mtf="mtf.star")
TWO = Microscope("og2", 0.8, 200.0, 2.7, 0.1, (0.1, 0.2))


def test_movies_are_listed_with_their_optics():
    star, new = add_exposures(["m0.tif", "m1.tif"], ONE, MOVIES)
    assert new == ["m0.tif", "m1.tif"]
    assert list(star) == ["optics", "movies"]
    assert star["optics"].labels == (
        "rlnOpticsGroupName",
        "rlnOpticsGroup",
        "rlnMtfFileName",
        "rlnMicrographOriginalPixelSize",
        "rlnVoltage",
        "rlnSphericalAberration",
        "rlnAmplitudeContrast",
    )
    assert star["movies"].labels == ("rlnMicrographMovieName", "rlnOpticsGroup")


def test_micrographs_have_their_own_pixel_size_too():
    star, _ = add_exposures(["m0.mrc"], ONE, MICROGRAPHS)
    assert star["optics"].value("rlnMicrographPixelSize") == 0.9
    assert star["optics"].value("rlnMicrographOriginalPixelSize") == 0.9
    assert star["micrographs"].value("rlnMicrographName") == "m0.mrc"


def test_beam_tilt_is_written_only_where_there_is_some():
    tiny = Microscope("a", 1.0, 300.0, 2.7, 0.1, (0.0005, -0.0005))
    assert "rlnBeamTiltX" not in add_exposures(["m"], tiny, MOVIES)[0]["optics"]
    star, _ = add_exposures(["m"], TWO, MOVIES)
    assert star["optics"].value("rlnBeamTiltY") == 0.2


def test_a_new_group_is_appended_and_old_groups_get_no_beam_tilt():
    star, _ = add_exposures(["m0", "m1"], ONE, MOVIES)
    star, new = add_exposures(["m2"], TWO, MOVIES, star)
    assert new == ["m2"]
    assert star["optics"]["rlnOpticsGroup"].tolist() == [1, 2]
    assert star["optics"]["rlnBeamTiltX"].tolist() == [0.0, 0.1]
    assert star["optics"]["rlnMtfFileName"].tolist() == ["mtf.star", ""]
    assert star["movies"]["rlnOpticsGroup"].tolist() == [1, 1, 2]


def test_importing_again_adds_only_what_is_new():
    star, _ = add_exposures(["m0", "m1"], ONE, MOVIES)
    again, new = add_exposures(["m0", "m1"], ONE, MOVIES, star)
    assert new == []
    assert format_star(again) == format_star(star)
    more, new = add_exposures(["m0", "m1", "m2", "m2"], ONE, MOVIES, star)
    assert new == ["m2"]
    assert len(more["movies"]) == 3


def test_a_file_in_another_group_is_refused():
    star, _ = add_exposures(["m0", "m1"], ONE, MOVIES)
    with pytest.raises(
        InputError, match=r"m0 was imported before in optics group opticsGroup1.*og2"
    ):
        add_exposures(["m0", "m2"], TWO, MOVIES, star)


def test_the_same_group_with_other_values_is_refused():
    star, _ = add_exposures(["m0"], ONE, MOVIES)
    other = Microscope("opticsGroup1", 0.9, 200.0, 2.7, 0.1, mtf="mtf.star")
    with pytest.raises(InputError, match=r"rlnVoltage is 300 and 200 kV"):
        add_exposures(["m1"], other, MOVIES, star)


def test_foreign_columns_and_tables_of_the_list_stay():
    text = format_star(add_exposures(["m0"], ONE, MOVIES)[0])
    star = parse_star(text + "\ndata_mine\n\nloop_\n_rlnNote #1\nhello\n\n")
    table = star["movies"].with_columns({"rlnMyNote": ["seen"], "rlnMicrographPreExposure": [2.0]})
    star, _ = add_exposures(["m0", "m1"], ONE, MOVIES, star.with_table(table))
    assert star["mine"].value("rlnNote") == "hello"
    assert star["movies"]["rlnMyNote"].tolist() == ["seen", "None"]
    assert star["movies"]["rlnMicrographPreExposure"].tolist() == [2.0, 0.0]


def test_repeated_base_names_are_found():
    files = ["A/x.tif", "B/x.tif", "A/y.tif", "A/y.mrc", "A/z.tif"]
    assert repeated_base_names(files) == [["A/x.tif", "B/x.tif"], ["A/y.tif", "A/y.mrc"]]
