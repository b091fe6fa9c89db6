"""The columns of a file, from its head."""

from __future__ import annotations

import pytest

from vitreous.io import Star, Table, read_star, write_star
from vitreous.io.star_labels import main_labels


def test_the_columns_are_those_of_the_main_table(tmp_path):
    optics = Table.from_columns("optics", {"rlnOpticsGroup": [1], "rlnVoltage": [300.0]})
    rows = {"rlnImageName": ["1@a.mrcs"], "rlnOpticsGroup": [1], "rlnDefocusU": [1e4]}
    write_star(tmp_path / "a.star", Star([optics, Table.from_columns("particles", rows)]))
    assert main_labels(tmp_path / "a.star") == tuple(rows)


@pytest.mark.parametrize(
    "text", ["", "data_\n", "data_optics\nloop_\n_rlnVoltage #1\n300\n", "\0\1"]
)
def test_where_there_is_no_main_table_there_are_no_columns(tmp_path, text):
    (tmp_path / "a.star").write_text(text)
    assert main_labels(tmp_path / "a.star") == ()


def test_a_file_that_is_not_there_has_no_columns(tmp_path):
    assert main_labels(tmp_path / "a.star") == ()


def test_real_particle_files_are_read_alike(data):
    for path in sorted((data / "betagal_10204").glob("particles*.star")):
        assert main_labels(path) == read_star(path)["particles"].labels
