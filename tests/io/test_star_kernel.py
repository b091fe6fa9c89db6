"""The compiled rows of a STAR file are the plain ones, faster."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vitreous.io import star_kernel, star_values

PLAIN = star_kernel.Plain()


@pytest.fixture(scope="module")
def compiled():
    kernel = star_kernel.compiled()
    if kernel is None:
        pytest.skip("needs the compiled kernel (make kernels)")
    return kernel


def alike(left, right):
    """Compare what two kernels read, number by number and bit by bit."""
    assert left[1:] == right[1:]
    for a, b in zip(left.columns, right.columns, strict=True):
        assert a.dtype == b.dtype
        if a.dtype != object:
            assert a.tobytes() == b.tobytes()
            continue
        for x, y in zip(a, b, strict=True):
            assert type(x) is type(y)
            assert (
                x == y if isinstance(x, str) else (x.dtype, x.tobytes()) == (y.dtype, y.tobytes())
            )


WORDS = st.sampled_from(
    [
        "1",
        "0",
        "-7",
        "+3",
        "1.5",
        "-0.0",
        "1e5",
        "1e-400",
        "1e400",
        "-1e999",
        "nan",
        "-nan",
        "+nan",
        "inf",
        "-inf",
        "INF",
        "nan(1)",
        "++1",
        "+-1",
        "-",
        ".",
        "5.",
        ".5",
        "1e",
        "1_0",
        "0x1",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "1e18",
        "1e19",
        "2.0",
        "[]",
        "[1]",
        "[1,2.5]",
        "[1,]",
        "[,]",
        "[",
        "]",
        "[1",
        "abc",
        "a#b",
        "#c",
        '"',
        "'",
        '"a',
        '"a"',
        "'b'",
        '"a\x07""',
        '"\x07"',
        '"c',
        'd"',
        '\x07"',
        ";",
        "_a",
        "data_",
        "data_x",
        "loop_",
        "é",
        "�",
        "ı",
        "１",
        "4.9e-324",
        "2.2250738585072011e-308",
    ]
)
CELLS = st.one_of(
    WORDS,
    st.floats().map(repr),
    st.integers().map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=5),
)
GAPS = st.sampled_from([" ", "  ", "\t", " \t "])
LINES = st.lists(st.tuples(GAPS, CELLS), max_size=4).map(
    lambda cells: "".join(gap + cell for gap, cell in cells)
)
TEXTS = st.lists(st.one_of(LINES, LINES.map(str.lstrip)), max_size=8).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n"]).map(lambda end: end.join(lines))
)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.text("dibsDI", min_size=1, max_size=4), st.booleans())
@example("1 2\n3 4\ndata_x\n\nloop_\n_a\n", "di", False)
@example("1\ndata_x\n\n# hm\n_a 1\n", "s", False)
@example("loop_\n_rlnX\n", "s", False)
@example("loop_\nloop_\n_x\n", "s", True)
@example("data_a\nloop_\n_x\n", "s", True)
@example('"a b\a" c\a"" "d\n', "s", False)
def test_any_text_is_read_alike(compiled, text, kinds, permissive):
    content = text.encode(errors="surrogateescape")
    alike(
        PLAIN.parse_rows(content, 0, kinds, permissive),
        compiled.parse_rows(content, 0, kinds, permissive),
    )


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.text("dibsDI", min_size=1, max_size=3), st.booleans())
def test_random_bytes_are_read_alike(compiled, content, kinds, permissive):
    alike(
        PLAIN.parse_rows(content, 0, kinds, permissive),
        compiled.parse_rows(content, 0, kinds, permissive),
    )


BITS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
SHORT = st.tuples(st.integers(-(10**12), 10**12), st.integers(0, 9)).map(
    lambda p: p[0] / 10 ** p[1]
)
FLOATS = st.one_of(BITS, SHORT, st.floats(), st.floats(-1e6, 1e6).map(lambda v: round(v, 6)))


@settings(max_examples=500, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=20))
@example([0.0, -0.0, math.nan, -math.nan, math.inf, -math.inf, 5e-324, 1e16, 1e15, 9.999e22])
@example([0.001, -0.001, 100000.0, -100000.0, 100000.00000000001, 0.0009999999, 99999.9999995])
@example([1e22, 123456789.0, 1e-5, 123456.7, 0.1 + 0.2, 1 / 3, -2 / 3, 12345.678901])
def test_numbers_are_written_alike_and_read_back(compiled, values):
    columns = [np.array(values)]
    text = PLAIN.format_rows(columns, "d", None, 0, len(values))
    assert compiled.format_rows(columns, "d", None, 0, len(values)) == text
    again = compiled.parse_rows(text, 0, "d", False).columns[0]
    np.testing.assert_array_equal(again, columns[0])
    assert np.array_equal(np.signbit(again), np.signbit(columns[0]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5, "    1.500000"),
        (-1.5, "    -1.50000"),
        (0.0, "    0.000000"),
        (-7e-4, "-7.00000e-04"),
        (123456.8, "1.234568e+05"),
        (0.0005, "5.000000e-04"),
        (100000.0, "100000.000000"),
        (0.1234567, "   0.1234567"),
        (1e300, "1.000000e+300"),
        (1 / 3, "0.3333333333333333"),
    ],
)
def test_numbers_have_relion_s_form_where_that_is_exact(value, text):
    assert star_values.float_text(value) == text


VECTORS = st.lists(FLOATS, max_size=4).map(np.array)
STRINGS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0\a"), max_size=8),
    st.text("\"' \t#_;a", max_size=6),
    st.sampled_from(["data_", "data_x", "loop_", "_rlnX", "a\udcffb"]),
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_rows_are_written_alike_and_read_back(compiled, data):
    n_rows = data.draw(st.integers(1, 5))
    kinds = data.draw(st.text("dibsDI", min_size=1, max_size=4))
    draws = {
        "d": FLOATS,
        "i": st.integers(-(2**63), 2**63 - 1),
        "b": st.booleans(),
        "s": STRINGS,
        "D": VECTORS,
        "I": st.lists(st.integers(-9, 9), max_size=3).map(lambda v: np.array(v, dtype=np.int64)),
    }
    dtypes = {"d": np.float64, "i": np.int64, "b": np.bool_}
    columns = []
    for kind in kinds:
        column = np.empty(n_rows, dtype=dtypes.get(kind, object))
        for row in range(n_rows):
            column[row] = data.draw(draws[kind])
        columns.append(column)
    remarks = np.array(
        [data.draw(st.sampled_from(["", "x", " b # c "])) for _ in range(n_rows)], object
    )
    comments = data.draw(st.sampled_from([None, remarks]))
    text = PLAIN.format_rows(columns, kinds, comments, 0, n_rows)
    assert compiled.format_rows(columns, kinds, comments, 0, n_rows) == text
    for kernel in (PLAIN, compiled):
        rows = kernel.parse_rows(text, 0, kinds, False)
        assert rows.end == len(text)
        assert [text for _, text in rows.comments] == (
            [] if comments is None else [c for c in comments if c]
        )
        for kind, column, again in zip(kinds, columns, rows.columns, strict=True):
            for value, read in zip(column, again, strict=True):
                np.testing.assert_array_equal(read, value, err_msg=kind)


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "a \ab"])
def test_texts_that_cannot_be_written_are_refused(compiled, bad):
    column = np.array(["fine", bad], dtype=object)
    for kernel in (PLAIN, compiled):
        with pytest.raises(ValueError, match="written"):
            kernel.format_rows([column], "s", None, 0, 2)
        assert kernel.format_rows([column], "s", None, 0, 1) == b"      fine \n"


def test_many_rows_are_one_table_in_order(compiled):
    n = 70_001  # more than one batch of chunks
    text = "".join(f"{i} mic{i // 100}.mrc {i / 7} [{i},2] # {i}\n" for i in range(n)).encode()
    rows = compiled.parse_rows(text, 0, "isdD", False)
    np.testing.assert_array_equal(rows.columns[0], np.arange(n))
    np.testing.assert_array_equal(rows.columns[2], np.arange(n) / 7)
    assert rows.columns[1].tolist() == [f"mic{i // 100}.mrc" for i in range(n)]
    assert rows.columns[1][0] is rows.columns[1][99]
    assert [v[0] for v in rows.columns[3]] == list(range(n))
    assert rows.comments == [(i, str(i)) for i in range(n)]
    assert (rows.n_lines, rows.end) == (n, len(text))


def test_the_first_trouble_is_told_whatever_the_threads_do(compiled):
    lines = [b"1 2 3"] * 50_000
    lines[30_000] = b"1 x 3"
    lines[41_000] = b"1 2"
    rows = compiled.parse_rows(b"\n".join(lines), 0, "ddd", False)
    assert [tuple(t) for t in rows.troubles] == [("number", 30_000, 30_000, 1, "x", 1)]
