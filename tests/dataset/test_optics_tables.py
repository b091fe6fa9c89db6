"""Optics groups of several files become one table."""

import numpy as np
import pytest

from dataset.tables import optics, particles
from vitreous.dataset.optics_tables import (
    image_rows,
    main_table,
    merge_optics,
    pixel_size_A,
    renumber,
    require_known_groups,
    without_unused,
)
from vitreous.errors import FormatError, InputError
from vitreous.io import Star, Table


def test_groups_of_one_name_become_one_and_new_ones_are_appended():
    merged = merge_optics([optics(["gA", "gB"]), optics(["gC", "gA"])], ["a.star", "b.star"])
    assert merged.optics["rlnOpticsGroupName"].tolist() == ["gA", "gB", "gC"]
    assert merged.optics["rlnOpticsGroup"].tolist() == [1, 2, 3]
    assert [dict(numbers) for numbers in merged.numbers] == [{1: 1, 2: 2}, {1: 3, 2: 1}]
    assert any("same name" in x.what and "a.star and b.star" in x.unit for x in merged.findings)


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("rlnVoltage", 200.0),
        ("rlnSphericalAberration", 1.4),
        ("rlnAmplitudeContrast", 0.07),
        ("rlnImagePixelSize", 1.51),
        ("rlnImageSize", 128),
    ],
)
def test_groups_of_one_name_that_differ_are_refused_unless_forced(label, value):
    tables = [optics(), optics(**{label: [value]})]
    with pytest.raises(InputError, match=rf"(?s)gA \(a.star and b.star\): {label} is .*--force"):
        merge_optics(tables, ["a.star", "b.star"])
    merged = merge_optics(tables, ["a.star", "b.star"], force=True)
    assert merged.optics[label].tolist() == tables[0][label].tolist()
    assert any(label in x.unit for x in merged.findings)


def test_rounding_of_a_pixel_size_is_no_difference():
    merge_optics([optics(), optics(rlnImagePixelSize=[1.500001])], ["a.star", "b.star"])


def test_columns_that_a_file_lacks_get_what_their_absence_meant():
    rich = optics(
        ["gB"],
        rlnBeamTiltX=[0.1],
        rlnMagMat00=[1.01],
        rlnOddZernike=[[1.0, 2, 3, 4, 5, 6]],
        rlnEvenZernike=[[1.0] * 9],
        rlnCtfDataAreCtfPremultiplied=[True],
        rlnMtfFileName=["mtf.star"],
        rlnMicrographOriginalPixelSize=[0.75],
        rlnMyOwn=["x"],
    )
    table = merge_optics([optics(), rich], ["a", "b"]).optics
    first = next(table.rows())
    assert first["rlnBeamTiltX"] == 0
    assert first["rlnMagMat00"] == 1
    assert first["rlnOddZernike"].tolist() == [0] * 6
    assert first["rlnEvenZernike"].tolist() == [0] * 9
    assert first["rlnCtfDataAreCtfPremultiplied"] is False
    assert first["rlnMtfFileName"] == ""
    assert first["rlnMicrographOriginalPixelSize"] == 1.5
    assert first["rlnMyOwn"] == "None"
    assert table["rlnOddZernike"][1].tolist() == [1, 2, 3, 4, 5, 6]


def test_different_aberrations_under_one_name_are_told():
    findings = merge_optics(
        [optics(rlnBeamTiltX=[0.0]), optics(rlnBeamTiltX=[0.3])], ["a", "b"]
    ).findings
    assert any("rlnBeamTiltX" in x.what and "lost" in x.what for x in findings)


def test_rows_follow_their_group():
    assert renumber(np.array([2, 1, 2]), {1: 5, 2: 3}).tolist() == [3, 5, 3]
    assert renumber(np.array([], np.int64), {}).tolist() == []


def test_unused_groups_go_and_the_others_are_numbered_anew():
    rows = particles(["1@a", "2@a", "3@a"], rlnOpticsGroup=[3, 1, 3])
    table, kept = without_unused(optics(["gA", "gB", "gC"]), rows)
    assert table["rlnOpticsGroupName"].tolist() == ["gA", "gC"]
    assert table["rlnOpticsGroup"].tolist() == [1, 2]
    assert kept["rlnOpticsGroup"].tolist() == [2, 1, 2]


def test_unknown_groups_are_refused_with_their_row():
    rows = particles(rlnOpticsGroup=[1, 3])
    with pytest.raises(FormatError, match=r"p.star, data_particles row 2: rlnOpticsGroup is 3"):
        require_known_groups(rows, optics(), "p.star")
    with pytest.raises(FormatError, match="no column rlnOpticsGroup"):
        require_known_groups(rows.without("rlnOpticsGroup"), optics(), "p.star")


def test_the_pixel_size_of_the_images_comes_first():
    row = {"rlnMicrographOriginalPixelSize": 0.7, "rlnMicrographPixelSize": 1.4}
    assert pixel_size_A(row) == 1.4
    assert pixel_size_A({**row, "rlnImagePixelSize": 2.8}) == 2.8
    assert pixel_size_A({"rlnVoltage": 300.0}) is None


def test_the_table_with_the_rows_is_found_by_its_column():
    star = Star([optics(), particles()])
    assert main_table(star, "rlnImageName", "p.star").name == "particles"
    with pytest.raises(FormatError, match="data_optics, data_particles, but none"):
        main_table(star, "rlnMicrographMovieName", "p.star")
    unnamed = Table.from_columns("", {"rlnMicrographName": ["m.mrc"]})
    assert image_rows(Star([unnamed]), "m.star") is unnamed
    with pytest.raises(FormatError, match="neither particles nor micrographs"):
        image_rows(Star([optics()]), "o.star")
