"""Picks in every form that a list of coordinates comes in."""

import pytest

from vitreous.errors import FormatError, MissingFileError
from vitreous.io.coordinates import place_of_picks, read_coordinates, read_picks

MICROGRAPHS = ("MotionCorr/job002/Movies/mic1.mrc", "MotionCorr/job002/Movies/mic2.mrc")
STAR_PICKS = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n10.5 20\n30 40\n"


def list_micrographs(project, names=MICROGRAPHS):
    folder = project / "CtfFind/job005"
    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{name} 1\n" for name in names)
    (folder / "micrographs_ctf.star").write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnMicrographPixelSize #2\n1 1.0\n\n"
        f"data_micrographs\n\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\n{rows}"
    )


def put(project, path, text):
    place = project / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return path


def values(pairs):
    return {
        name: list(zip(picks["rlnCoordinateX"], picks["rlnCoordinateY"], strict=True))
        for name, picks in pairs
    }


EXPECTED = {MICROGRAPHS[0]: [(10.5, 20.0), (30.0, 40.0)]}


def test_the_new_form_names_a_file_for_each_micrograph(tmp_path):
    put(tmp_path, "External/job006/Movies/mic1_topaz.star", STAR_PICKS)
    rows = "".join(
        f"{one} {place_of_picks('External/job006/', one, 'topaz')}\n" for one in MICROGRAPHS
    )
    node = put(
        tmp_path,
        "External/job006/picks.star",
        "data_coordinate_files\n\nloop_\n_rlnMicrographName #1\n_rlnMicrographCoordinates #2\n"
        + rows,
    )
    assert values(read_coordinates(node, tmp_path)) == EXPECTED
    assert read_coordinates(node, tmp_path, [MICROGRAPHS[1], "other.mrc"]) == []
    assert values(read_coordinates(node, tmp_path, MICROGRAPHS)) == EXPECTED


def test_the_old_form_names_the_micrographs_and_finds_picks_beside_it(tmp_path):
    list_micrographs(tmp_path)
    put(tmp_path, "External/job006/Movies/mic1_topaz.star", STAR_PICKS)
    put(tmp_path, "External/job006/Movies/mic2_other.star", STAR_PICKS)
    node = put(
        tmp_path,
        "External/job006/coords_suffix_topaz.star",
        "CtfFind/job005/micrographs_ctf.star\n",
    )
    assert values(read_coordinates(node, tmp_path)) == EXPECTED
    assert values(read_coordinates(node, tmp_path, MICROGRAPHS)) == EXPECTED


def test_the_old_form_takes_box_files_too(tmp_path):
    list_micrographs(tmp_path)
    put(tmp_path, "External/job006/Movies/mic1_eman.box", "10\t20\t7\t8\t-3\n")
    node = put(
        tmp_path,
        "External/job006/coords_suffix_eman.star",
        "CtfFind/job005/micrographs_ctf.star\n",
    )
    assert values(read_coordinates(node, tmp_path)) == {MICROGRAPHS[0]: [(13.0, 24.0)]}


def test_an_imported_list_names_a_pattern_of_micrographs(tmp_path):
    put(tmp_path, "Movies/a.mrc", "")
    put(tmp_path, "Movies/b.mrc", "")
    put(tmp_path, "Import/job001/Movies/a.box", "0 0 10 10\n")
    node = put(tmp_path, "Import/job001/coords_suffix.box", "Movies/*.mrc\n")
    assert values(read_coordinates(node, tmp_path)) == {"Movies/a.mrc": [(5.0, 5.0)]}


@pytest.mark.parametrize(
    ("micrograph", "place"),
    [
        ("MotionCorr/job002/Movies/mic001.mrc", "External/job006/Movies/mic001_topaz.star"),
        ("Movies/mic001.tif", "External/job006/Movies/mic001_topaz.star"),
        ("mic.v2.001.mrc", "External/job006/mic.v2.001_topaz.star"),
        ("Import/job1234/a/job3/m.mrc", "External/job006/a/job3/m_topaz.star"),
    ],
)
def test_picks_lie_at_the_path_of_the_micrograph_below_the_job(micrograph, place):
    assert place_of_picks("External/job006/", micrograph, "topaz") == place


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "10 20\n30.5 40 0.9\n", [(10.0, 20.0), (30.5, 40.0)]),
        ("a.txt", "x y score\n10 20 1\n", [(10.0, 20.0)]),
        ("a.csv", "# picks\n10,20\n\n", [(10.0, 20.0)]),
        ("a.txt", "", []),
        ("a.box", "10 20 64 64\n-5 7 63 65\n", [(42.0, 52.0), (26.0, 39.0)]),
        ("a.star", "data_\n", []),
    ],
)
def test_picks_are_read_from_text_boxes_and_star(tmp_path, name, text, expected):
    put(tmp_path, name, text)
    picks = read_picks(tmp_path / name)
    assert list(zip(picks["rlnCoordinateX"], picks["rlnCoordinateY"], strict=True)) == expected


def test_other_columns_of_picks_are_kept(tmp_path):
    text = STAR_PICKS.replace("loop_", "loop_\n_rlnAutopickFigureOfMerit #0")
    put(tmp_path, "a.star", text.replace("10.5 20", "0.7 10.5 20").replace("30 40", "0.6 30 40"))
    picks = read_picks(tmp_path / "a.star")
    assert picks["rlnAutopickFigureOfMerit"].tolist() == [0.7, 0.6]


@pytest.mark.parametrize(
    ("path", "text", "error", "message"),
    [
        ("a.txt", "1 2\n3 four\n", FormatError, r"a\.txt, line 2: found '3 four', wanted x y"),
        ("a.box", "1 2 3 4\n5 6\n", FormatError, r"a\.box, line 2: .*wanted x y width height"),
        (
            "a.star",
            "data_\nloop_\n_rlnAnglePsi #1\n1\n",
            FormatError,
            "no table has rlnCoordinateX",
        ),
    ],
)
def test_files_of_picks_that_are_none_say_where(tmp_path, path, text, error, message):
    put(tmp_path, path, text)
    with pytest.raises(error, match=message):
        read_picks(tmp_path / path)


def test_lists_that_are_none_say_what_is_wanted(tmp_path):
    with pytest.raises(MissingFileError, match="there is no such list of coordinates"):
        read_coordinates("nowhere.star", tmp_path)
    put(tmp_path, "a.star", STAR_PICKS)
    with pytest.raises(FormatError, match="has no table coordinate_files"):
        read_coordinates("a.star", tmp_path)
    put(tmp_path, "coords_suffix_a.star", "nowhere.star\n")
    with pytest.raises(MissingFileError, match=r"must name the micrographs STAR file; found 'no"):
        read_coordinates("coords_suffix_a.star", tmp_path)


def test_real_picks_of_another_program_are_read(data):
    picks = read_picks(data / "micrographs/cleaner/Ucsf_stack_1142_DW_autopick.star")
    assert len(picks) == 45
    assert picks["rlnCoordinateX"].max() < 959
    assert picks["rlnCoordinateY"].max() < 959
