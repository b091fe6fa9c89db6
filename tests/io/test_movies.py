"""Movies of every format show the same frames, row 0 at the bottom."""

from __future__ import annotations

import bz2
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.io import FormatWarning, open_movie, write_mrc
from vitreous.io.eer_writer import write_eer
from vitreous.io.tiff import read_tiff, write_tiff

SHAPE = (12, 10)


def frames(dtype: str, n: int = 5, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rng = np.random.default_rng(3)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=(n, *shape)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (n, *shape), endpoint=True).astype(dtype)


@pytest.mark.parametrize("name", ["a.mrc", "a.mrcs"])
def test_mrc_movies_keep_their_type(tmp_path: Path, name: str):
    made = frames("i2")
    write_mrc(tmp_path / name, made, 0.9, mode=1)
    with open_movie(tmp_path / name) as movie:
        assert (movie.n_frames, movie.shape, movie.pixel_size_A) == (5, SHAPE, 0.9)
        np.testing.assert_array_equal(movie.frames(), made)
        np.testing.assert_array_equal(movie.frame(3), made[3])
        assert movie.frame(3).dtype == np.int16
        assert movie.frames(2, 2).shape == (0, *SHAPE)


def test_packed_movie(tmp_path: Path):
    made = frames("u1") & 15
    write_mrc(tmp_path / "a.mrcs", made, 0.9, mode=101)
    (tmp_path / "a.mrcs.bz2").write_bytes(bz2.compress((tmp_path / "a.mrcs").read_bytes()))
    with open_movie(tmp_path / "a.mrcs.bz2") as movie:
        np.testing.assert_array_equal(movie.frames(1, 4), made[1:4])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "f4"])
@pytest.mark.parametrize("compression", ["lzw", "deflate", "none"])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_tiff_pages_come_upside_down(tmp_path: Path, dtype: str, compression, n_threads: int):
    made = frames(dtype)
    codec = {"lzw": "lzw", "deflate": "adobe_deflate", "none": None}[compression]
    tifffile.imwrite(
        tmp_path / "a.tif", made, compression=codec, photometric="minisblack", metadata=None
    )
    with open_movie(tmp_path / "a.tif", n_threads=n_threads) as movie:
        assert (movie.n_frames, movie.shape) == (5, SHAPE)
        np.testing.assert_array_equal(movie.frames(), made[:, ::-1])
        assert movie.frame(0).dtype == made.dtype


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("rows", [1, 4, 100])
@pytest.mark.parametrize(("dtype", "predictor"), [("u1", 1), ("u2", 2), ("f4", 3)])
def test_strips_of_any_kind_are_decoded(
    tmp_path: Path, dtype: str, predictor: int, rows: int, byteorder
):
    made = frames(dtype)
    tifffile.imwrite(
        tmp_path / "a.tif", made, compression="lzw", predictor=predictor, rowsperstrip=rows,
        byteorder=byteorder, photometric="minisblack", metadata=None,
    )  # fmt: skip
    with open_movie(tmp_path / "a.tif", n_threads=2) as movie:
        first = movie.frame(0)
        np.testing.assert_array_equal(movie.frames(), made[:, ::-1])
        np.testing.assert_array_equal(first, made[0, ::-1])  # not what was decoded after it


@pytest.mark.parametrize("kept", [0, 0.5, 0.9])
def test_a_page_that_ends_too_early_is_named(tmp_path: Path, kept: float):
    """What was left out of a copy has no end, and what follows it in the file is something else."""
    made = frames("u2", shape=(64, 64))
    tifffile.imwrite(tmp_path / "a.tif", made, compression="lzw", photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages[2]
        begin, size = page.dataoffsets[0], page.databytecounts[0]
    whole = bytearray((tmp_path / "a.tif").read_bytes())
    lost = slice(begin + int(kept * size), begin + size)
    whole[lost] = bytes(lost.stop - lost.start)
    (tmp_path / "a.tif").write_bytes(whole)
    with (
        open_movie(tmp_path / "a.tif") as movie,
        pytest.raises(FormatError, match=r"a\.tif, page 3: cannot be read"),
    ):
        movie.frames()


@pytest.mark.parametrize("compression", ["lzw", "deflate", "none"])
def test_tiff_and_mrc_of_one_movie_agree(tmp_path: Path, compression):
    made = frames("u1")
    assert write_tiff(tmp_path / "a.tiff", made, compression=compression) == 5
    write_mrc(tmp_path / "a.mrcs", made, 1, mode=6)
    with open_movie(tmp_path / "a.tiff") as tiff, open_movie(tmp_path / "a.mrcs") as mrc:
        np.testing.assert_array_equal(tiff.frames(), mrc.frames())
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tiff"), made[0])
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tiff", flip=False), made[0, ::-1])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tiff", key=2), made[2, ::-1])


def test_relion_turns_tiff_upside_down_as_we_do(tmp_path: Path, relion: None):
    """RELION subtracts our TIFF from our MRC file of the same frame and finds nothing left."""
    made = frames("u1", n=1, shape=(32, 24))
    write_tiff(tmp_path / "a.tif", made)
    write_mrc(tmp_path / "a.mrc", made, 1)
    command = ["relion_image_handler", "--i", "a.mrc", "--o", "b.mrc", "--subtract", "a.tif"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    with open_movie(tmp_path / "b.mrc") as difference:
        np.testing.assert_array_equal(difference.frames(), 0)


def test_four_bit_pages_of_a_detector_are_taken_apart(tmp_path: Path):
    packed = frames("u1", n=1, shape=(7420, 3838))
    tifffile.imwrite(tmp_path / "a.tif", packed, compression="lzw", photometric="minisblack")
    with open_movie(tmp_path / "a.tif") as movie:
        assert movie.shape == (7420, 7676)
        frame = movie.frame(0)
    page = packed[0, ::-1]
    np.testing.assert_array_equal(frame[:, 0::2], page & 15)
    np.testing.assert_array_equal(frame[:, 1::2], page >> 4)


def test_pages_that_differ_and_colours_are_refused(tmp_path: Path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.zeros((4, 4), "u1"), photometric="minisblack")
        writer.write(np.zeros((4, 5), "u1"), photometric="minisblack")
    with pytest.raises(FormatError, match=r"a\.tif, page 2: 5 x 4 .* first page is 4 x 4"):
        open_movie(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((4, 4, 3), "u1"), photometric="rgb")
    with pytest.raises(FormatError, match="colour"):
        open_movie(tmp_path / "b.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.eer", "a.mrc"])
def test_absent_and_foreign_movies(tmp_path: Path, name: str):
    with pytest.raises(MissingFileError, match="no such file"):
        open_movie(tmp_path / name)
    (tmp_path / name).write_text("nothing of the kind " * 100)
    with pytest.raises(FormatError, match=name):
        open_movie(tmp_path / name)


def test_unknown_formats_and_frames_beyond_the_end(tmp_path: Path):
    with pytest.raises(FormatError, match=r"'dm4' is not a movie format.*a\.dm4:mrcs"):
        open_movie(tmp_path / "a.dm4")
    write_mrc(tmp_path / "a.mrcs", frames("u1"), 1, mode=6)
    with (
        open_movie(tmp_path / "a.mrcs") as movie,
        pytest.raises(FormatError, match="frames 5 to 6 are wanted, the movie has 5"),
    ):
        movie.frames(4, 6)


def test_truncated_tiff_is_refused(tmp_path: Path):
    write_tiff(tmp_path / "a.tif", frames("u2", shape=(64, 64)))
    raw = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(raw[: len(raw) // 2])

    def read() -> None:
        with open_movie(tmp_path / "b.tif") as movie:
            movie.frames()

    with pytest.raises(FormatError, match=r"b\.tif"):
        read()


# ---- EER ------------------------------------------------------------------------------------


def electrons(n_frames: int, shape: tuple[int, int] = (32, 64), n: int = 200) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [
        np.stack([rng.integers(0, 4 * shape[1], n), rng.integers(0, 4 * shape[0], n)], axis=1)
        for _ in range(n_frames)
    ]


def rendered(raw: list[np.ndarray], shape: tuple[int, int], upsampling: int) -> np.ndarray:
    """Sum raw frames on a grid by counting, one electron a detector pixel and frame."""
    counts = np.zeros((shape[0] * upsampling, shape[1] * upsampling))
    for frame in raw:
        seen = set()
        for x, y in frame.tolist():
            if (x // 4, y // 4) not in seen:
                seen.add((x // 4, y // 4))
                counts[y * upsampling // 4, x * upsampling // 4] += 1
    return counts


@pytest.mark.parametrize("upsampling", [1, 2])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_eer_fractions_are_sums_of_raw_frames(tmp_path: Path, upsampling: int, n_threads: int):
    raw = electrons(11)
    raw[4] = raw[4][:0]
    write_eer(tmp_path / "a.eer", raw, (32, 64), pixel_size_A=0.74)
    with open_movie(
        tmp_path / "a.eer", eer_grouping=4, eer_upsampling=upsampling, n_threads=n_threads
    ) as movie:
        assert (movie.n_frames, movie.shape) == (2, (32 * upsampling, 64 * upsampling))
        assert movie.pixel_size_A == 0.74 / upsampling
        found = movie.frames()
    for number in range(2):
        wanted = rendered(raw[4 * number : 4 * number + 4], (32, 64), upsampling)
        np.testing.assert_array_equal(found[number], wanted)


def test_fractions_of_more_than_255_frames_do_not_overflow(tmp_path: Path):
    raw = [np.array([[20, 40]])] * 300
    write_eer(tmp_path / "a.eer", raw, (32, 64))
    with open_movie(tmp_path / "a.eer", eer_grouping=300) as movie:
        frame = movie.frame(0)
    assert (frame[10, 5], frame.sum(), movie.pixel_size_A) == (300, 300, 0)


@pytest.mark.parametrize(("compression", "run_bits"), [(65000, 8), (65001, 7), (65002, 9)])
def test_eer_symbols_of_every_compression(tmp_path: Path, compression: int, run_bits: int):
    """A file made by hand: two electrons, the second after a longest run."""
    longest = (1 << run_bits) - 1
    symbols = [(3, run_bits), (0b0110, 4), (longest, run_bits), (10, run_bits), (0b1010, 4)]
    tail = 32 * 64 - (4 + longest + 10 + 1)
    symbols += [(longest, run_bits)] * (tail // longest) + [(tail % longest, run_bits)]
    code, n_bits = 0, 0
    for value, width in symbols:
        code, n_bits = code | value << n_bits, n_bits + width
    segment = code.to_bytes((n_bits + 7) // 8, "little")
    write_eer(tmp_path / "a.eer", [np.zeros((0, 2), int)], (32, 64))
    raw = (tmp_path / "a.eer").read_bytes()
    at = len(raw)
    tags = {256: 64, 257: 32, 258: 8, 259: compression, 262: 1, 273: at, 277: 1, 278: 32}
    tags[279] = len(segment)
    if compression == 65002:
        tags |= {65007: 9, 65008: 2, 65009: 2}
    body = b"".join(
        tag.to_bytes(2, "little")
        + b"\4\0"
        + (1).to_bytes(8, "little")
        + value.to_bytes(8, "little")
        for tag, value in tags.items()
    )
    start = at + len(segment)
    raw = raw[:8] + start.to_bytes(8, "little") + raw[16:] + segment
    raw += len(tags).to_bytes(8, "little") + body + bytes(8)
    (tmp_path / "a.eer").write_bytes(raw)
    pixel = 4 + longest + 10
    with open_movie(tmp_path / "a.eer", eer_grouping=1, eer_upsampling=2) as movie:
        found = np.argwhere(movie.frame(0)).tolist()
    # 0110 xor 1010 = 1100: y 3, x 0 quarters; 1010 xor 1010: y 0, x 0
    assert found == [[1, 6], [2 * (pixel // 64), 2 * (pixel % 64)]]


def test_eer_options_are_checked(tmp_path: Path):
    write_eer(tmp_path / "a.eer", electrons(4), (32, 64))
    with pytest.raises(FormatError, match="4 raw frames, but 5 are to be summed"):
        open_movie(tmp_path / "a.eer", eer_grouping=5)
    with pytest.raises(InputError, match="upsampling is 3; wanted 1 or 2"):
        open_movie(tmp_path / "a.eer", eer_upsampling=3)
    with pytest.raises(InputError, match="at least 1 raw frame"):
        open_movie(tmp_path / "a.eer", eer_grouping=0)
    write_tiff(tmp_path / "b.eer", frames("u1"))
    with pytest.raises(FormatError, match=r"without EER frames .*b\.eer:tif"):
        open_movie(tmp_path / "b.eer")
    (tmp_path / "c.eer").write_bytes(bytes(100) + b"ThermoFisherECComprOK000")
    with pytest.raises(FormatError, match="first, non-TIFF kind"):
        open_movie(tmp_path / "c.eer")


def test_damaged_raw_frames_are_refused_or_left_out(tmp_path: Path):
    raw = electrons(6)
    write_eer(tmp_path / "a.eer", raw, (32, 64))
    data = bytearray((tmp_path / "a.eer").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.eer") as file:
        page = file.pages[2]
        at, n = page.dataoffsets[0], page.databytecounts[0]
    data[at : at + n] = b"\xff" * n  # runs far beyond the end of the frame
    (tmp_path / "a.eer").write_bytes(data)
    with (
        open_movie(tmp_path / "a.eer", eer_grouping=3) as movie,
        pytest.raises(FormatError, match=r"a\.eer, raw frame 3: cannot be read"),
    ):
        movie.frames()
    with (
        open_movie(tmp_path / "a.eer", eer_grouping=3, permissive=True, n_threads=1) as movie,
        pytest.warns(FormatWarning, match="raw frame 3 is damaged and is left out"),
    ):
        found = movie.frames()
    np.testing.assert_array_equal(found[0], rendered(raw[:2], (32, 64), 1))
    np.testing.assert_array_equal(found[1], rendered(raw[3:], (32, 64), 1))


def test_tags_of_a_foreign_type_are_refused(tmp_path: Path):
    write_eer(tmp_path / "a.eer", electrons(2), (32, 64))
    data = bytearray((tmp_path / "a.eer").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.eer") as file:
        where = file.pages[1].tags[279].offset
    data[where + 2] = 2  # a text where the number of bytes should be
    data[where + 4] = 5
    data[where + 12 : where + 20] = b"text\0\0\0\0"
    (tmp_path / "a.eer").write_bytes(data)
    with pytest.raises(FormatError, match=r"a\.eer"):
        open_movie(tmp_path / "a.eer", eer_grouping=1)


def test_raw_frames_that_end_too_early_are_noticed(tmp_path: Path):
    raw = electrons(4)
    write_eer(tmp_path / "a.eer", raw, (32, 64))
    data = bytearray((tmp_path / "a.eer").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.eer") as file:
        tag = file.pages[1].tags[279]
        where, n_bytes = tag.valueoffset, tag.value
        n_bytes = n_bytes if isinstance(n_bytes, int) else n_bytes[0]
    data[where : where + 8] = (n_bytes // 2).to_bytes(8, "little")
    (tmp_path / "a.eer").write_bytes(data)
    with (
        open_movie(tmp_path / "a.eer", eer_grouping=2) as movie,
        pytest.raises(FormatError, match=r"a\.eer, raw frame 2"),
    ):
        movie.frames()
    with open_movie(tmp_path / "a.eer", eer_grouping=2, permissive=True, n_threads=1) as movie:
        with pytest.warns(FormatWarning, match="raw frame 2 is damaged"):
            found = movie.frame(0)
        np.testing.assert_array_equal(found, rendered(raw[:1], (32, 64), 1))
        np.testing.assert_array_equal(movie.frame(1), rendered(raw[2:], (32, 64), 1))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(["tif", "eer"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_movies_never_crash(tmp_path: Path, kind: str, changes):
    path = tmp_path / f"a.{kind}"
    if kind == "tif":
        write_tiff(path, frames("u1", n=2))
    else:
        write_eer(path, electrons(2), (32, 64))
    data = bytearray(path.read_bytes())
    for where, value in changes:
        data[int(where * (len(data) - 1))] = value
    path.write_bytes(data)
    refusal, found = "", None
    try:
        with open_movie(path, eer_grouping=1, n_threads=1) as movie:
            if movie.shape[0] * movie.shape[1] < 1_000_000:
                found = movie.frames()
    except FormatError as error:
        refusal = str(error)
    assert str(path) in refusal or found is None or found.ndim == 3
