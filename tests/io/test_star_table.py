"""Tables: columns are typed by their labels, cannot be changed, and errors say what to do."""

from __future__ import annotations

import numpy as np
import pytest

from vitreous.errors import AbsentError, InputError
from vitreous.io import Table


@pytest.fixture
def table():
    return Table.from_columns(
        "particles",
        {
            "rlnImageName": ["1@a.mrcs", "2@a.mrcs", "3@b.mrcs"],
            "rlnDefocusU": [1, 2.5, 3],
            "rlnClassNumber": np.array([1, 1, 2], dtype=np.uint8),
            "rlnCtfDataArePhaseFlipped": True,
            "rlnOddZernike": [[1.0, 2.0], [], np.array([3])],
            "mine": [1, 2.5, "x"],
        },
    )


def test_labels_decide_types(table):
    assert table["rlnDefocusU"].dtype == np.float64
    assert table["rlnClassNumber"].dtype == np.int64
    assert table["rlnCtfDataArePhaseFlipped"].tolist() == [True, True, True]
    assert [v.tolist() for v in table["rlnOddZernike"]] == [[1, 2], [], [3]]
    assert table["mine"].tolist() == ["1", "2.500000", "x"]
    assert table.labels[0] == "rlnImageName"
    assert len(table) == 3
    assert "mine" in table
    assert "yours" not in table


def test_columns_cannot_be_changed(table):
    with pytest.raises(ValueError, match="read-only"):
        table["rlnDefocusU"][0] = 7
    with pytest.raises(ValueError, match="read-only"):
        table["rlnOddZernike"][0][0] = 7
    with pytest.raises(TypeError):
        table.columns["rlnDefocusU"] = np.zeros(3)


def test_the_caller_s_own_array_stays_writable():
    values = np.zeros(3)
    Table.from_columns("", {"rlnDefocusU": values})
    values[0] = 1


def test_one_value_fills_all_rows_and_new_columns_come_last(table):
    more = table.with_columns({"rlnVoltage": 300, "rlnDefocusU": [7, 8, 9]})
    assert more.labels == (*table.labels, "rlnVoltage")
    assert more["rlnVoltage"].tolist() == [300.0] * 3
    assert more["rlnDefocusU"].tolist() == [7.0, 8.0, 9.0]
    assert table["rlnDefocusU"].tolist() == [1.0, 2.5, 3.0]
    vector = table.with_columns({"rlnEvenZernike": [1.0, 2.0]})
    assert vector["rlnEvenZernike"][2].tolist() == [1.0, 2.0]


def test_without_and_rename(table):
    assert "mine" not in table.without("mine", "never")
    renamed = table.rename({"mine": "rlnMaskName", "rlnClassNumber": "rlnDefocusV"})
    assert renamed.labels[2] == "rlnDefocusV"
    assert renamed["rlnDefocusV"].dtype == np.float64
    with pytest.raises(InputError, match="column rlnDefocusU already"):
        table.rename({"rlnClassNumber": "rlnDefocusU"})


@pytest.mark.parametrize(
    "rows", [np.array([True, False, True]), [0, 2], np.array([0, 2]), slice(0, 3, 2)]
)
def test_rows_are_selected_by_mask_indices_or_slice(table, rows):
    chosen = table.select(rows)
    assert chosen["rlnImageName"].tolist() == ["1@a.mrcs", "3@b.mrcs"]
    assert chosen["rlnDefocusU"].flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        chosen["rlnDefocusU"][0] = 7


def test_selecting_nothing_keeps_the_types(table):
    for rows in ([], np.zeros(3, dtype=bool)):
        assert len(table.select(rows)) == 0
        assert table.select(rows)["rlnDefocusU"].dtype == np.float64
    with pytest.raises(InputError, match=r"3 rows, the mask has \(2,\)"):
        table.select(np.array([True, False]))


def test_values_and_rows_are_plain_python(table):
    assert type(table.value("rlnDefocusU")) is float
    assert type(table.value("rlnClassNumber")) is int
    assert type(table.value("rlnCtfDataArePhaseFlipped")) is bool
    assert table.value("none", "default") == "default"
    rows = list(table.rows())
    assert rows[1]["rlnImageName"] == "2@a.mrcs"
    assert type(rows[1]["rlnDefocusU"]) is float
    with pytest.raises(AbsentError, match="has no rows"):
        table.select([]).value("rlnDefocusU")


def test_a_missing_column_is_told_with_the_nearest(table):
    with pytest.raises(AbsentError, match="no column rlnDefocusV; did you mean rlnDefocusU"):
        table["rlnDefocusV"]
    with pytest.raises(AbsentError, match="no column zzz; it has rlnImageName, "):
        table.value("zzz")
    assert table.get("zzz") is None


def test_a_table_is_not_asked_for_rows_by_number(table):
    for asked in (lambda: table[0], lambda: list(table)):
        with pytest.raises(TypeError, match=r"by its label, not by 0; rows come from rows\(\)"):
            asked()


def test_tables_are_put_below_one_another(table):
    swapped = table.select([2]).without("mine").with_columns({"mine": "y"})
    joined = Table.concat([table, swapped])
    assert joined["mine"].tolist() == ["1", "2.500000", "x", "y"]
    with pytest.raises(InputError, match="not in all of them: mine, rlnVoltage"):
        Table.concat([table, table.without("mine").with_columns({"rlnVoltage": 1})])


def test_rows_in_any_form_make_a_table():
    table = Table.from_rows("a", ["rlnX", "rlnVoltage"], [("a", 1), {"rlnVoltage": 2, "rlnX": "b"}])
    assert table["rlnX"].tolist() == ["a", "b"]
    assert table["rlnVoltage"].tolist() == [1.0, 2.0]
    assert Table.from_rows("a", ["rlnVoltage"], [])["rlnVoltage"].dtype == np.float64
    with pytest.raises(InputError, match="row 1: 1 values for 2 labels"):
        Table.from_rows("a", ["rlnX", "rlnVoltage"], [("a", 1), ("b",)])


@pytest.mark.parametrize(
    ("label", "values", "message"),
    [
        ("rlnVoltage", ["x"], "rlnVoltage holds numbers"),
        ("rlnClassNumber", [1.5], "rlnClassNumber holds whole numbers: not all"),
        ("rlnOddZernike", ["[1,x]"], "rlnOddZernike holds vectors"),
        ("rlnVoltage", [1, 2], "rlnVoltage: 2 values for 3 rows"),
    ],
)
def test_values_that_do_not_fit_are_refused(table, label, values, message):
    with pytest.raises(InputError, match=message):
        table.with_columns({label: values if len(values) > 1 else values * 3})


def test_shapes_are_checked():
    with pytest.raises(InputError, match="2 values for 1 rows"):
        Table.from_columns("a", {"rlnVoltage": [1], "rlnDefocusU": [1, 2]})
    with pytest.raises(InputError, match="a list has one value per label"):
        Table.from_columns("a", {"rlnVoltage": [1, 2]}, is_list=True)


def test_text_becomes_numbers_under_a_numeric_label():
    table = Table.from_columns("a", {"rlnVoltage": ["300", "2e2"], "rlnClassNumber": ["1", "2.0"]})
    assert table["rlnVoltage"].tolist() == [300.0, 200.0]
    assert table["rlnClassNumber"].tolist() == [1, 2]


def test_equality_is_by_value_and_type(table):
    again = Table.from_columns("particles", dict(table.columns))
    assert again == table
    assert table.with_columns({"rlnDefocusU": [1, 2.5, np.nan]}) == table.with_columns(
        {"rlnDefocusU": [1, 2.5, np.nan]}
    )
    assert table != table.with_columns({"rlnDefocusU": [1, 2.5, 4]})
    assert table != table.without("mine")
    assert "3 rows x 6 columns" in repr(table)
