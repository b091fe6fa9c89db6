"""Rows of several files below one another."""

import pytest

from dataset.tables import optics, particles, star
from vitreous.dataset.columns import codes
from vitreous.dataset.joining import join, repeated
from vitreous.errors import FormatError
from vitreous.io import Star

IMAGE = "rlnImageName"


def test_rows_keep_their_order_and_follow_their_groups():
    a = star(optics(["gA", "gB"]), particles(["1@a", "2@a"], rlnOpticsGroup=[2, 1]))
    b = star(optics(["gC", "gB"]), particles(["1@b", "2@b"], rlnOpticsGroup=[1, 2]))
    joined = join([a, b], ["a.star", "b.star"], IMAGE, force=False)
    assert joined.table[IMAGE].tolist() == ["1@a", "2@a", "1@b", "2@b"]
    assert joined.table["rlnOpticsGroup"].tolist() == [2, 1, 3, 2]
    assert joined.star["optics"]["rlnOpticsGroupName"].tolist() == ["gA", "gB", "gC"]


def test_all_columns_stay_and_gaps_are_listed():
    a = star(optics(), particles(rlnMyText=["x", "y"]))
    b = star(optics(["gB"]), particles(rlnAutopickFigureOfMerit=[0.5, 0.6]))
    joined = join([a, b], ["a.star", "b.star"], IMAGE, force=False)
    assert joined.table["rlnAutopickFigureOfMerit"].tolist() == [0, 0, 0.5, 0.6]
    assert joined.table["rlnMyText"].tolist() == ["x", "y", "None", "None"]
    told = {(x.what.split(" ")[0], x.unit) for x in joined.findings}
    assert {("rlnMyText", "b.star"), ("rlnAutopickFigureOfMerit", "a.star")} <= told


def test_columns_in_another_order_are_the_same_columns():
    b = particles(["3@b"])
    turned = type(b)(b.name, dict(reversed(b.columns.items())))
    joined = join(
        [star(optics(), particles()), star(optics(["gB"]), turned)], ["a", "b"], IMAGE, force=False
    )
    assert joined.table.labels == particles().labels
    assert joined.table[IMAGE].tolist()[-1] == "3@b"


def test_scale_groups_of_later_files_get_a_prefix_and_numbers_go():
    both = {"rlnGroupName": ["grp1", "grp2"], "rlnGroupNumber": [1, 2]}
    a = star(optics(), particles(**both))
    b = star(optics(["gB"]), particles(**both))
    table = join([a, b], ["a", "b"], IMAGE, force=False).table
    assert table["rlnGroupName"].tolist() == ["grp1", "grp2", "optics2_grp1", "optics2_grp2"]
    assert "rlnGroupNumber" not in table


def test_half_sets_are_all_or_none():
    a = star(optics(), particles(rlnRandomSubset=[1, 2]))
    joined = join([a, star(optics(["gB"]), particles())], ["a", "b"], IMAGE, force=False)
    assert "rlnRandomSubset" not in joined.table
    assert any("left out" in finding.what for finding in joined.findings)


def test_files_of_another_kind_are_refused():
    a = star(optics(), particles())
    with pytest.raises(FormatError, match=r"b.star: it has data_optics, data_particles"):
        join(
            [a, star(optics(), particles().without(IMAGE))],
            ["a.star", "b.star"],
            IMAGE,
            force=False,
        )
    with pytest.raises(FormatError, match="no data_optics"):
        join([a, Star([particles()])], ["a.star", "b.star"], IMAGE, force=False)


def test_equal_values_have_equal_codes():
    assert codes(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]
    assert codes([]).dtype == "int64"


def test_repeated_entries_are_found():
    assert repeated(particles(["1@a", "2@a", "1@a"]), IMAGE) == ["1@a"]
    assert repeated(particles(["1@a", "2@a"]), IMAGE) == []
