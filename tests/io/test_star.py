"""STAR files are read as written, written as read, and refused with a useful sentence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import requirements
from vitreous.errors import AbsentError, FormatError, InputError, MissingFileError
from vitreous.io import Star, Table, format_star, parse_star, read_star, star_kernel, write_star
from vitreous.io.labels import Kind, kind_of


@pytest.fixture(params=["plain", "compiled"])
def kernel(request, monkeypatch):
    chosen = star_kernel.Plain() if request.param == "plain" else star_kernel.compiled()
    if chosen is None:
        pytest.skip("needs the compiled kernel (make kernels)")
    monkeypatch.setattr(star_kernel, "active", chosen)
    return chosen


def corpus():
    return sorted(requirements.DATA.rglob("*.star"))


BROKEN = {"no_input.star"}  # its edge table has rows of two values under three labels


# ------------------------------------------------------------------ real files


def test_every_real_file_survives(data, kernel):
    n_files = 0
    for path in corpus():
        if path.name in BROKEN:
            continue
        star = read_star(path)
        text = format_star(star, keep_empty=True)
        again = parse_star(text)
        assert again == star, path
        assert format_star(again, keep_empty=True) == text, path
        n_files += 1
    assert n_files >= 202


def test_both_kernels_read_every_real_file_alike(data, monkeypatch):
    if star_kernel.compiled() is None:
        pytest.skip("needs the compiled kernel (make kernels)")
    for path in corpus():
        if path.name in BROKEN:
            continue
        monkeypatch.setattr(star_kernel, "active", star_kernel.compiled())
        compiled = read_star(path)
        monkeypatch.setattr(star_kernel, "active", star_kernel.Plain())
        assert read_star(path) == compiled, path


def test_what_relion_wrote_is_written_again_byte_for_byte(data, kernel):
    """Every file of whole RELION 5 runs: numbers, padding, blanks, quotes, header comments."""
    paths = sorted((data / "relion5_runs").rglob("*.star"))
    paths.append(data / "star_corpus" / "starfile_BSD3" / "run_it024_optimiser_2D.star")
    checked = 0
    for path in filter(Path.exists, paths):
        if not path.read_bytes().startswith(b"# Created by the starfile"):
            assert format_star(read_star(path)).encode() == path.read_bytes(), path
            checked += 1
    assert checked > 40


def test_the_broken_real_file_is_refused_by_name_block_and_line(data, kernel):
    (path,) = [path for path in corpus() if path.name in BROKEN]
    with pytest.raises(FormatError, match=r"no_input\.star, data_pipeline_nodes line 28.*2 values"):
        read_star(path)


# ------------------------------------------------------------------ what a file may say

SMALL = """
# version 30001

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnOddZernike #3
_rlnVoltage #4
1 001 [1,-2.5e-3,3] 300
2 "with blank" [] 2e2

data_particles
loop_
_rlnImageName
_rlnCtfDataArePhaseFlipped
_rlnClassNumber
_myOwn
000001@a.mrcs 1 1.000000 007 # first
'it''s' 0 -3 1e0
"""


def test_types_come_from_labels_and_unknown_columns_are_text(kernel):
    star = parse_star(SMALL)
    assert list(star) == ["optics", "particles"]
    assert star.version == 30001
    optics, particles = star["optics"], star["particles"]
    assert optics["rlnOpticsGroup"].dtype == np.int64
    assert optics["rlnVoltage"].tolist() == [300.0, 200.0]
    assert optics["rlnOpticsGroupName"].tolist() == ["001", "with blank"]
    assert [v.tolist() for v in optics["rlnOddZernike"]] == [[1.0, -0.0025, 3.0], []]
    assert particles["rlnCtfDataArePhaseFlipped"].tolist() == [True, False]
    assert particles["rlnClassNumber"].tolist() == [1, -3]
    assert particles["myOwn"].tolist() == ["007", "1e0"]
    assert particles["rlnImageName"].tolist() == ["000001@a.mrcs", "it''s"]
    assert particles["rlnComment"].tolist() == ["first", ""]
    assert parse_star(format_star(star)) == star


def test_the_text_is_in_relion_s_form(kernel):
    table = Table.from_columns(
        "optics",
        {"rlnOpticsGroup": [1], "rlnOpticsGroupName": ["a b"], "rlnVoltage": [300.0]},
    )
    general = Table.from_columns(
        "general", {"rlnMaskName": "", "rlnBfactorUsedForSharpening": -61.5}, is_list=True
    )
    assert format_star([table, general]) == (
        "\n# version 50001\n\ndata_optics\n\nloop_ \n_rlnOpticsGroup #1 \n"
        '_rlnOpticsGroupName #2 \n_rlnVoltage #3 \n           1      "a b"   300.000000 \n \n'
        "\n# version 50001\n\ndata_general\n\n"
        '_rlnMaskName                            ""\n'
        "_rlnBfactorUsedForSharpening               -61.50000\n \n"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("blank", ["\n", "", " \t\n"])
def test_line_ends_and_missing_blank_lines_do_not_matter(kernel, end, blank):
    text = f"data_a\n{blank}loop_\n_rlnVoltage #1\n_rlnX #2\n1 2\n3 4\n{blank}data_b\n\n_rlnX 1\n"
    star = parse_star(text.replace("\n", end))
    assert star["a"]["rlnVoltage"].tolist() == [1.0, 3.0]
    assert star["a"]["rlnX"].tolist() == ["2", "4"]
    assert star["b"].is_list
    assert star["b"].value("rlnX") == "1"


def test_a_loop_may_follow_a_list_in_one_block(kernel):
    star = parse_star("data_x\n_rlnVoltage 300\nloop_\n# why\n_rlnMaskName\na\nb\n")
    assert [(t.name, t.is_list, len(t)) for t in star.tables] == [("x", True, 1), ("x", False, 2)]
    assert list(star) == ["x", "x#2"]
    assert star["x#2"].comment == "why"
    assert format_star(star).count("data_x") == 1
    assert parse_star(format_star(star)) == star


def test_empty_numbered_and_repeated_names_are_kept(kernel):
    text = "data_\n_rlnX 1\ndata_0\n_rlnX 2\ndata_1\n_rlnX 3\ndata_1\n_rlnX 4\n"
    star = parse_star(text)
    assert list(star) == ["", "0", "1", "1#2"]
    assert [t.name for t in star.tables] == ["", "0", "1", "1"]
    assert star["1"].value("rlnX") == "3"
    assert parse_star(format_star(star)) == star


def test_comments_are_kept_where_they_belong(kernel):
    text = (
        "# RELION optimiser\n# --i x.star --o y \n\n# version 50001\n\ndata_a\n# of the block\n\n"
        "loop_\n_rlnX #1\n1 # of the row\n# of no row\n2\n\n# version 50001\n\ndata_b\n\n_rlnX 1\n"
    )
    star = parse_star(text)
    assert star.comments == ("RELION optimiser", "--i x.star --o y ")
    assert star["a"].comment == "of the block\nof no row"
    assert star["a"]["rlnComment"].tolist() == ["of the row", ""]
    written = format_star(star)
    assert written.startswith("# RELION optimiser\n# --i x.star --o y \n\n# version 50001\n")
    assert parse_star(written) == star


@pytest.mark.parametrize(
    "labels", ["_rlnComment\n", "_rlnComment\n_rlnX\n", "_rlnX\n_rlnComment\n"]
)
def test_a_column_of_comments_stays_a_column(kernel, labels):
    n_columns = labels.count("\n")
    rows = "a b\nc d # e\n" if n_columns == 2 else "a\nc # e\n"
    star = parse_star(f"data_p\nloop_\n{labels}{rows}")
    assert star.first.labels == tuple(labels.replace("_rln", "rln").split())
    assert star.first.comment == "e"
    assert parse_star(format_star(star)) == star


def test_a_file_without_version_line_stays_one(kernel):
    star = parse_star("data_\n\nloop_\n_rlnVoltage\n300\n")
    assert star.version is None
    assert "version" not in format_star(star)


def test_tables_without_rows_are_left_out_unless_asked(kernel):
    star = parse_star("data_a\n\nloop_\n_rlnX #1\n \n\n# version 50001\n\ndata_b\n\n_rlnX 1\n")
    assert len(star["a"]) == 0
    assert star["a"].labels == ("rlnX",)
    assert list(parse_star(format_star(star))) == ["b"]
    assert parse_star(format_star(star, keep_empty=True)) == star
    assert parse_star("") == Star(version=None)


def test_the_old_spelling_of_a_label_is_read(kernel):
    table = parse_star("data_\nloop_\n_rlnKullbackLeibnerDivergence #1\n0.5\n").first
    assert table["rlnKullbackLeiblerDivergence"].tolist() == [0.5]


def test_columns_that_programs_of_others_leave_short(kernel):
    table = parse_star('data_\nloop_\n_rlnX #1\n_rlnVoltage #2\na 1\nb\n"" 2\n').first
    assert table["rlnX"].tolist() == ["a", "b", ""]
    assert table["rlnVoltage"].tolist() == [1.0, 0.0, 2.0]


def test_repeated_texts_share_one_object(kernel):
    rows = "".join(f"{i}@m.mrcs MotionCorr/job002/m{i % 3}.mrc\n" for i in range(9))
    names = parse_star(f"data_\nloop_\n_rlnImageName\n_rlnMicrographName\n{rows}").first[
        "rlnMicrographName"
    ]
    assert len({id(name) for name in names}) == 3


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loop_\n1 2\n1 x\n", r"f\.star, data_p line 7 \(row 1\): rlnVoltage is 'x', a number is"),
        ("loop_\n1 2\n1 2 3\n", r"f\.star, data_p line 7 \(row 1\): 3 values for 2 columns"),
        ("_rlnVoltage 300kV\n", r"f\.star, data_p line 3: rlnVoltage is '300kV', a number is"),
        ("_rlnVoltage\n", r"rlnVoltage is without a value"),
        ("_rlnMaskName a b c\n", r"line 3: one label and one value .* double quotes"),
        ("_rlnMaskName a\n_rlnMaskName b\n", r"line 4: the label rlnMaskName stands twice"),
        ("loop_\n1 2\n\n1 3\n", r"line 8: .*RELION would not read it\): '1 3'"),
        ('loop_\n"1 2\n', r"line 6 \(row 0\): a quote is opened and never closed: '\"1 2'"),
    ],
)
def test_damage_is_told_with_file_block_line_and_label(kernel, text, message):
    labels = "loop_\n_rlnClassNumber #1\n_rlnVoltage #2\n"
    with pytest.raises(FormatError, match=message):
        parse_star("\ndata_p\n" + text.replace("loop_\n", labels), "f.star")


def test_too_few_values_are_refused_in_wide_tables(kernel):
    labels = "".join(f"_rlnX{i} #{i}\n" for i in range(3))
    with pytest.raises(FormatError, match=r"line 6 \(row 0\): 2 values for 3 columns; .*cut off"):
        parse_star(f"data_p\nloop_\n{labels}1 2\n")


def test_a_repeated_label_in_a_loop_is_refused(kernel):
    with pytest.raises(FormatError, match="line 4: the label rlnX stands twice"):
        parse_star("data_p\nloop_\n_rlnX #1\n_rlnX #2\n1 2\n")


def test_permissive_reads_as_relion_and_says_so(kernel):
    text = "data_p\nloop_\n_rlnVoltage #1\n_rlnClassNumber #2\n_rlnX #3\nx 1.5 a\n2 3 b\n7y 4 c\n"
    star = parse_star(text, "f.star", permissive=True)
    assert star.first["rlnVoltage"].tolist() == [0.0, 2.0, 7.0]
    assert star.first["rlnClassNumber"].tolist() == [1, 3, 4]
    assert star.notes == (
        "f.star, data_p line 6 (row 0): rlnVoltage is 'x', a number is wanted; read as 0.0, "
        "and 1 more of this column alike",
        "f.star, data_p line 6 (row 0): rlnClassNumber is '1.5', a whole number is wanted; "
        "read as 1",
    )
    listed = parse_star("data_p\n_rlnVoltage 300kV\n_rlnOddZernike x\n", permissive=True)
    assert listed.first.value("rlnVoltage") == 300.0
    assert listed.first.value("rlnOddZernike").tolist() == []


def test_a_byte_order_mark_is_passed_over(kernel):
    assert parse_star(b"\xef\xbb\xbfdata_p\n_rlnX 1\n").first.value("rlnX") == "1"


def test_other_files_are_refused_as_such(tmp_path, kernel):
    (tmp_path / "a.mrc").write_bytes(bytes(2048))
    with pytest.raises(FormatError, match=r"a\.mrc is a binary file"):
        read_star(tmp_path / "a.mrc")
    (tmp_path / "a.txt").write_text("hello\n")
    with pytest.raises(FormatError, match="text before the first data_ line; is it a STAR file"):
        read_star(tmp_path / "a.txt")
    with pytest.raises(MissingFileError, match=r"none\.star: no such file"):
        read_star(tmp_path / "none.star")
    with pytest.raises(InputError, match="is a folder"):
        read_star(tmp_path)


def test_a_missing_table_is_told_with_the_nearest():
    star = parse_star("data_particles\n_rlnX 1\n")
    with pytest.raises(AbsentError, match="no table data_particle; did you mean data_particles"):
        star["particle"]
    with pytest.raises(AbsentError, match="no table data_q; there is data_particles"):
        star["q"]
    assert star.get("q") is None


def test_what_cannot_be_written_is_told_and_leaves_the_file(tmp_path, kernel):
    path = tmp_path / "a.star"
    write_star(path, [Table.from_columns("p", {"rlnMaskName": ["a"]})])
    before = path.read_bytes()
    bad = Table.from_columns("p", {"rlnVoltage": [1, 2], "rlnMaskName": ["a", "b\nc"]})
    with pytest.raises(InputError, match=r"data_p row 1, rlnMaskName is 'b\\nc': a line end"):
        write_star(path, [bad])
    with pytest.raises(InputError, match="table name"):
        write_star(path, [Table.from_columns("p\nq", {"rlnMaskName": ["a"]})])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.star"]


def test_a_large_file_is_read_through_private_memory(tmp_path, kernel, monkeypatch):
    import vitreous.io.star as star_module

    n = 20_000
    table = Table.from_columns(
        "p", {"rlnMicrographName": [f"m{i // 7}.mrc" for i in range(n)], "rlnVoltage": np.arange(n)}
    )
    tail = Table.from_columns("q", {"rlnMaskName": ["x"]})
    write_star(tmp_path / "a.star", [table, tail])
    monkeypatch.setattr(star_module, "_LARGE", 1)
    assert read_star(tmp_path / "a.star").tables == (table, tail)
    with (tmp_path / "a.star").open("a") as stream:
        stream.write("stray\n")
    n_lines = (tmp_path / "a.star").read_text().count("\n")
    with pytest.raises(FormatError, match=rf"line {n_lines}: text that is neither"):
        read_star(tmp_path / "a.star")


# ------------------------------------------------------------------ laws

NAMES = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), max_size=6)
TEXT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0\a"), max_size=8),
    st.text("\"' \t#_;a", max_size=6),
    st.sampled_from(["data_", "data_x", "loop_", "_rlnX", "a\udcffb", "001"]),
)
VALUES = {
    Kind.FLOAT: st.floats(),
    Kind.INT: st.integers(-(2**63), 2**63 - 1),
    Kind.BOOL: st.booleans(),
    Kind.TEXT: TEXT,
    Kind.FLOAT_VECTOR: st.lists(st.floats(), max_size=3).map(np.array),
    Kind.INT_VECTOR: st.lists(st.integers(-99, 99), max_size=3),
}
LABELS = st.sampled_from(
    [
        "rlnVoltage",
        "rlnDefocusU",
        "rlnClassNumber",
        "rlnImageName",
        "rlnOddZernike",
        "rlnMyOwn",
        "rlnCtfDataArePhaseFlipped",
        "rlnComment",
        "rlnBeamTiltX",
        "other",
    ]
)


@st.composite
def tables(draw):
    is_list = draw(st.booleans())
    labels = draw(st.lists(LABELS, min_size=1, max_size=5, unique=True))
    n_rows = 1 if is_list else draw(st.integers(1, 4))
    columns = {
        label: draw(st.lists(VALUES[kind_of(label)], min_size=n_rows, max_size=n_rows))
        for label in labels
    }
    return Table.from_columns(draw(NAMES), columns, is_list=is_list)


@settings(max_examples=200, deadline=None)
@given(st.lists(tables(), max_size=3), st.sampled_from([None, 30001, 50001]))
@example([Table.from_columns("", {"rlnVoltage": [1.0]})], None)
def test_reading_what_was_written_gives_the_same(written, version):
    star = Star(written, version=version if written else None)
    for kernel in filter(None, (star_kernel.Plain(), star_kernel.compiled())):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(star_kernel, "active", kernel)
            text = format_star(star)
            again = parse_star(text)
            assert again == star
            assert format_star(again) == text


PIECES = st.sampled_from(
    ["data_", "data_a", "loop_", "_rlnVoltage", "_rlnX", "#", "# version 3", "1", "x", '"', "'a b'",
     "\n", "\n\n", "\r\n", " ", "\t", ";", "[1,2]", "_rlnOddZernike", "\a", "\xe9"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=30).map("".join)))
def test_nothing_but_a_format_error_comes_of_any_bytes(content):
    for permissive in (False, True):
        try:
            star = parse_star(content, permissive=permissive)
        except FormatError:
            continue
        try:
            text = format_star(star, keep_empty=True)
        except InputError:
            continue
        assert format_star(parse_star(text), keep_empty=True) == text
