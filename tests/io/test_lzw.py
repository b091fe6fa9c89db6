"""Our LZW gives what imagecodecs gives, and survives whatever it is fed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.io import lzw

imagecodecs = pytest.importorskip("imagecodecs")
pytestmark = pytest.mark.skipif(lzw._kernel() is None, reason="vitreous.io._lzw is not built")


def unpacked(data: bytes, size: int) -> tuple[bytes, int]:
    out = np.full(size, 255, np.uint8)
    count = lzw.decode(data, out)
    return out[:count].tobytes(), count


@pytest.mark.parametrize("highest", [0, 1, 3, 24, 255])
@pytest.mark.parametrize("size", [1, 17, 5000, 300_000])
def test_what_was_packed_comes_back(highest: int, size: int):
    pixels = np.random.default_rng(size).poisson(highest / 4, size).clip(0, 255).astype(np.uint8)
    assert unpacked(imagecodecs.lzw_encode(pixels.tobytes()), size) == (pixels.tobytes(), size)


@given(st.binary(min_size=1, max_size=400).map(lambda one: one * 5))
def test_repetitions_come_back(content: bytes):
    assert unpacked(imagecodecs.lzw_encode(content), len(content))[0] == content


def test_room_for_less_is_filled_and_room_for_more_is_told():
    content = bytes(range(200)) * 20
    packed = imagecodecs.lzw_encode(content)
    assert unpacked(packed, 1234) == (content[:1234], 1234)
    assert unpacked(packed, 9999) == (content, len(content))


@given(st.binary(max_size=300), st.integers(1, 500))
def test_nonsense_ends_early_and_harms_nothing(content: bytes, size: int):
    guarded = np.full(size + 32, 77, np.uint8)
    count = lzw.decode(b"\x80" + content, guarded[:size])
    assert 0 <= count <= size
    assert (guarded[size:] == 77).all()


def test_codes_with_the_lowest_bit_first_are_left_to_others():
    assert unpacked(b"\x00\x01\x02\x03", 10) == (b"", 0)
