"""MRC files against mrcfile, an independent reader, and against broken files."""

from __future__ import annotations

import bz2
import lzma
import struct
import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitreous.errors import FormatError, InputError, MissingFileError, VitreousError
from vitreous.io import (
    FormatWarning,
    ImageStack,
    map_images,
    read_header,
    read_image,
    read_mrc,
    read_volume,
    write_mrc,
    write_volume,
)

TYPES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}


def some_pixels(mode: int, shape: tuple[int, ...] = (3, 4, 6)) -> np.ndarray:
    rng = np.random.default_rng(mode)
    if mode == 101:
        return rng.integers(0, 16, shape).astype(np.uint8)
    if TYPES[mode]().dtype.kind == "f":
        return rng.normal(size=shape).astype(TYPES[mode])
    limits = np.iinfo(TYPES[mode])
    return rng.integers(limits.min, limits.max, shape, endpoint=True).astype(TYPES[mode])


@pytest.mark.parametrize("mode", [0, 1, 2, 6, 12, 101])
@pytest.mark.parametrize("name", ["a.mrc", "a.mrcs"])
def test_every_mode_comes_back(tmp_path: Path, mode: int, name: str):
    pixels = some_pixels(mode)
    write_mrc(tmp_path / name, pixels, 1.234, mode=mode)
    found, header = read_mrc(tmp_path / name)
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == pixels.dtype
    assert (header.mode, header.shape, header.pixel_size_A) == (mode, (3, 4, 6), 1.234)
    assert header.is_stack == name.endswith("s")


@pytest.mark.parametrize("mode", [0, 1, 2, 6, 12])
def test_mrcfile_reads_what_we_write_and_finds_it_valid(tmp_path: Path, mode: int):
    pixels = some_pixels(mode)
    write_mrc(tmp_path / "a.mrc", pixels, 2.5, mode=mode)
    assert mrcfile.validate(tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as witness:
        np.testing.assert_array_equal(witness.data, pixels)
        assert witness.voxel_size.z == pytest.approx(2.5)
        assert witness.header.dmean == pytest.approx(pixels.astype(np.float64).mean(), rel=1e-6)
        assert witness.header.rms == pytest.approx(pixels.astype(np.float64).std(), rel=1e-6)


@pytest.mark.parametrize("mode", [0, 1, 2, 6, 12])
def test_we_read_what_mrcfile_writes_in_both_byte_orders(tmp_path: Path, mode: int):
    pixels = some_pixels(mode)
    for order in "<>":
        with mrcfile.new(tmp_path / "a.mrc", overwrite=True) as witness:
            witness.set_data(pixels.astype(pixels.dtype.newbyteorder(order)))
            witness.voxel_size = 3.1
        found, header = read_mrc(tmp_path / "a.mrc")
        np.testing.assert_array_equal(found, pixels)
        assert header.byte_order == (order if mode else "<")  # mrcfile: bytes have no order
        assert header.pixel_size_A == 3.1


def test_bytes_are_signed(tmp_path: Path):
    write_mrc(tmp_path / "a.mrc", np.full((2, 2), -1), 1, mode=0)
    assert (read_mrc(tmp_path / "a.mrc")[0] == -1).all()


def test_four_bits_hold_two_pixels_a_byte_low_half_first(tmp_path: Path):
    write_mrc(tmp_path / "a.mrc", np.array([[1, 2], [3, 15]]), 1, mode=101)
    assert (tmp_path / "a.mrc").read_bytes()[1024:] == bytes([0x21, 0xF3])


def test_extended_header_is_skipped(tmp_path: Path):
    with mrcfile.new(tmp_path / "a.mrc") as witness:
        witness.set_data(some_pixels(2))
        witness.set_extended_header(np.zeros(100, dtype="V17"))
        witness.header.exttyp = b"SERI"
    found, header = read_mrc(tmp_path / "a.mrc")
    np.testing.assert_array_equal(found, some_pixels(2))
    assert (header.offset, header.extended_type) == (1024 + 1700, "SERI")


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstandard.compress)],
)
def test_packed_files_are_read_and_damaged_ones_refused(tmp_path: Path, suffix: str, pack):
    pixels = some_pixels(1)
    write_mrc(tmp_path / "a.mrcs", pixels, 1.5, mode=1)
    packed = pack((tmp_path / "a.mrcs").read_bytes())
    path = tmp_path / f"a.mrcs{suffix}"
    path.write_bytes(packed)
    found, header = read_mrc(path)
    np.testing.assert_array_equal(found, pixels)
    assert header.is_stack
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(FormatError, match=r"a\.mrcs.*truncated"):
        read_mrc(path)


def test_format_after_a_colon_overrides_the_extension(tmp_path: Path):
    write_mrc(tmp_path / "x.ctf", some_pixels(2), 1)
    assert read_header(f"{tmp_path}/x.ctf:mrcs").is_stack
    assert not read_header(f"{tmp_path}/x.ctf:mrc").is_stack
    assert read_volume(f"{tmp_path}/x.ctf:mrc").data.shape == (3, 4, 6)


def test_header_is_in_the_form_of_relion(tmp_path: Path):
    write_volume(tmp_path / "a.mrc", np.zeros((2, 4, 6)), 2.0)
    raw = (tmp_path / "a.mrc").read_bytes()
    words = struct.unpack("<10i6f3i", raw[:76])
    assert words[:10] == (6, 4, 2, 2, 0, 0, 0, 6, 4, 2)
    assert words[10:] == (12.0, 8.0, 4.0, 90.0, 90.0, 90.0, 1, 2, 3)
    assert raw[208:216] == b"MAP \x44\x41\x00\x00"
    assert struct.unpack("<i", raw[220:224]) == (1,)
    assert raw[224:304].startswith(b"vitreous ")
    write_mrc(tmp_path / "a.mrcs", np.zeros((2, 4, 6)), 2.0)
    assert struct.unpack("<3f", (tmp_path / "a.mrcs").read_bytes()[40:52]) == (12.0, 8.0, 0.0)


def test_one_image_is_a_stack_of_one(tmp_path: Path):
    image = some_pixels(2, (4, 6))
    write_volume(tmp_path / "a.mrc", image, 1)
    assert read_header(tmp_path / "a.mrc").shape == (1, 4, 6)
    np.testing.assert_array_equal(read_image(tmp_path / "a.mrc").data, image)


def test_memory_map_is_the_file(tmp_path: Path):
    write_mrc(tmp_path / "a.mrcs", some_pixels(2), 1)
    mapped = map_images(tmp_path / "a.mrcs")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, some_pixels(2))
    write_mrc(tmp_path / "b.mrcs", some_pixels(101), 1, mode=101)
    with pytest.raises(FormatError, match="4-bit"):
        map_images(tmp_path / "b.mrcs")


# ---- what does not fit ----------------------------------------------------------------------


@pytest.mark.parametrize("bad", [65520.0, -1e6, np.nan, np.inf])
def test_float16_refuses_overflow_and_nan_and_leaves_the_old_file(tmp_path: Path, bad: float):
    path = tmp_path / "a.mrc"
    write_volume(path, np.ones((2, 2, 2)), 1)
    before = path.read_bytes()
    data = np.ones((2, 2, 2))
    data[1, 1, 1] = bad
    with pytest.raises(InputError, match=r"a\.mrc: (1 pixels are NaN|values run).*float16"):
        write_volume(path, data, 1, float16=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_largest_float16_fits(tmp_path: Path):
    write_volume(tmp_path / "a.mrc", np.full((2, 2), 65504.0), 1, float16=True)
    assert (read_volume(tmp_path / "a.mrc").data == 65504).all()


@pytest.mark.parametrize("shape", [(4,), (2, 2, 2, 2), (0, 4, 4)])
def test_arrays_that_are_no_images_are_refused(tmp_path: Path, shape: tuple[int, ...]):
    with pytest.raises(InputError, match="cannot be written"):
        write_volume(tmp_path / "a.mrc", np.zeros(shape), 1)
    assert not list(tmp_path.iterdir())


def test_integer_modes_refuse_what_they_cannot_hold(tmp_path: Path):
    for mode, value in ((0, 128), (1, -32769), (6, -1), (101, 16)):
        with pytest.raises(InputError, match="holds"):
            write_mrc(tmp_path / "a.mrc", np.full((2, 2), value), 1, mode=mode)


def test_statistics_leave_out_what_is_not_finite(tmp_path: Path):
    data = np.array([[[1.0, np.nan], [np.inf, -np.inf]], [[2.0, 3.0], [4.0, 5.0]]])
    write_volume(tmp_path / "a.mrc", data, 1)
    statistics = read_header(tmp_path / "a.mrc").statistics
    assert (statistics.minimum, statistics.maximum, statistics.mean) == (1, 5, 3)
    assert statistics.rms == pytest.approx(2**0.5)
    write_volume(tmp_path / "b.mrc", np.full((2, 2), np.nan), 1)
    assert read_header(tmp_path / "b.mrc").statistics.maximum == 0


# ---- broken files ---------------------------------------------------------------------------


def header_with(tmp_path: Path, offset: int, value: int, n_data: int = 4 * 72) -> Path:
    write_mrc(tmp_path / "whole.mrc", some_pixels(2), 1)
    raw = bytearray((tmp_path / "whole.mrc").read_bytes())
    raw[offset : offset + 4] = struct.pack("<i", value)
    path = tmp_path / "broken.mrc"
    path.write_bytes(raw[: 1024 + n_data])
    return path


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (12, 3, "mode 3 .complex 16-bit. holds a transform"),
        (12, 4, "mode 4 .complex float32. holds a transform"),
        (12, 7, "mode 7 is unknown; wanted one of 0"),
        (12, -1, "mode -1 is unknown"),
        (0, 0, r"0 x 4 x 3 pixels, all three must be positive"),
        (8, -5, "must be positive"),
        (8, 9, r"says 9 images of 6 x 4 \(float32\), the file ends after 3"),
        (92, 10_000, "extended header of 10000 bytes"),
        (92, -4, "extended header of -4 bytes"),
    ],
)
def test_wrong_headers_are_named(tmp_path: Path, offset: int, value: int, message: str):
    path = header_with(tmp_path, offset, value)
    with pytest.raises(FormatError, match=message) as caught:
        read_volume(path)
    assert str(caught.value).startswith(str(path))


def test_odd_number_of_four_bit_pixels_is_refused(tmp_path: Path):
    write_mrc(tmp_path / "a.mrc", np.zeros((3, 5)), 1, mode=0)
    raw = bytearray((tmp_path / "a.mrc").read_bytes())
    raw[12] = 101
    (tmp_path / "a.mrc").write_bytes(raw)
    with pytest.raises(FormatError, match="must be even"):
        read_header(tmp_path / "a.mrc")


def test_truncated_file_is_refused_or_read_as_far_as_it_goes(tmp_path: Path):
    path = header_with(tmp_path, 8, 3, n_data=2 * 96 + 5)
    with pytest.raises(FormatError, match=r"says 3 images.*ends after 2.*truncated"):
        read_mrc(path)
    with pytest.warns(FormatWarning, match="ends after 2"):
        found, header = read_mrc(path, permissive=True)
    np.testing.assert_array_equal(found, some_pixels(2)[:2])
    assert (header.n_present, header.shape[0]) == (2, 3)
    with pytest.warns(FormatWarning):
        stack = ImageStack(path, permissive=True)
    with stack:
        np.testing.assert_array_equal(stack.read([1]), some_pixels(2)[1:2])
        with pytest.raises(FormatError, match=r"image 3 is wanted .* the stack has 2"):
            stack.read([2])


def test_nan_is_refused_unless_permissive(tmp_path: Path):
    data = some_pixels(2)
    data[1, 2, 3] = np.nan
    write_volume(tmp_path / "a.mrc", data, 1)
    with pytest.raises(FormatError, match=r"1 of 72 pixels are NaN or infinite.*\(1, 2, 3\)"):
        read_volume(tmp_path / "a.mrc")
    assert np.isnan(read_volume(tmp_path / "a.mrc", permissive=True).data[1, 2, 3])


def test_absent_short_and_foreign_files(tmp_path: Path):
    with pytest.raises(MissingFileError, match=r"nowhere\.mrc: no such file"):
        read_volume(tmp_path / "nowhere.mrc")
    with pytest.raises(FormatError, match="is not a file but a folder"):
        read_volume(tmp_path)
    (tmp_path / "short.mrc").write_bytes(b"x" * 100)
    with pytest.raises(FormatError, match="100 bytes, but an MRC file starts with a header"):
        read_volume(tmp_path / "short.mrc")
    (tmp_path / "text.mrc").write_text("data_\n\nloop_\n" * 200)
    with pytest.raises(FormatError, match=r"text\.mrc"):
        read_volume(tmp_path / "text.mrc")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(st.tuples(st.integers(0, 255), st.integers(-(2**31), 2**31 - 1)), max_size=6),
    small=st.booleans(),
    length=st.integers(0, 1024 + 288),
)
def test_damaged_headers_never_crash(tmp_path: Path, changes, small: bool, length: int):
    write_mrc(tmp_path / "whole.mrc", some_pixels(2), 1)
    raw = bytearray((tmp_path / "whole.mrc").read_bytes())
    for word, value in changes:
        raw[4 * word : 4 * word + 4] = struct.pack("<i", value % 13 if small else value)
    path = tmp_path / "fuzz.mrc"
    path.write_bytes(raw[:length] if length % 3 == 0 else raw)
    for permissive in (False, True):
        refusal, volume = "", None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FormatWarning)
                volume = read_volume(path, permissive=permissive)
        except FormatError as error:
            refusal = str(error)
        if volume is None:
            assert str(path) in refusal
        else:
            assert volume.data.ndim == 3
            assert volume.pixel_size_A >= 0


def test_big_endian_bytes_are_told_by_the_width(tmp_path: Path):
    write_mrc(tmp_path / "a.mrc", some_pixels(0), 1, mode=0)
    raw = (tmp_path / "a.mrc").read_bytes()
    swapped = np.frombuffer(raw[:224], "<i4").astype(">i4").tobytes()
    (tmp_path / "a.mrc").write_bytes(swapped + raw[224:])
    found, header = read_mrc(tmp_path / "a.mrc")
    np.testing.assert_array_equal(found, some_pixels(0))
    assert header.byte_order == ">"


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(raw=st.binary(max_size=3000))
def test_random_bytes_never_crash(tmp_path: Path, raw: bytes):
    (tmp_path / "fuzz.mrc").write_bytes(raw)
    with pytest.raises(VitreousError):
        read_volume(tmp_path / "fuzz.mrc")


# ---- real files -----------------------------------------------------------------------------


def test_real_files_read_as_mrcfile_reads_them(data: Path):
    paths = sorted(data.glob("**/*.mrc*"))
    assert len(paths) >= 15
    modes = set()
    for path in paths:
        found, header = read_mrc(path)
        modes.add(header.mode)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            with mrcfile.open(path, permissive=True) as witness:
                np.testing.assert_array_equal(found, witness.data.reshape(found.shape))
                assert header.pixel_size_A == pytest.approx(float(witness.voxel_size.x), rel=1e-6)
    assert modes == {2, 12}
