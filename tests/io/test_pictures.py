"""Pictures: row order, depth, and what is no picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.io.pictures import read_picture, write_picture


def test_the_top_row_of_a_picture_is_the_last_row_of_the_array(tmp_path: Path):
    top_left_white = np.zeros((3, 5), np.uint8)
    top_left_white[0, 0] = 255
    Image.fromarray(top_left_white).save(tmp_path / "a.png")
    image = read_picture(tmp_path / "a.png")
    assert image.shape == (3, 5)
    assert np.argwhere(image).tolist() == [[2, 0]]
    write_picture(tmp_path / "b.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), top_left_white)


@pytest.mark.parametrize(("dtype", "most"), [(np.uint8, 255), (np.uint16, 65535)])
def test_grey_values_are_kept(tmp_path: Path, dtype: type, most: int):
    pixels = np.array([[0, 1, 2], [most - 1, most, 7]], dtype)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), pixels[::-1])


def test_colour_becomes_luminance(tmp_path: Path):
    pixels = np.zeros((1, 3, 3), np.uint8)
    pixels[0, 0] = 255, 0, 0
    pixels[0, 1] = 255, 255, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_picture(tmp_path / "a.png"), [[76, 255, 0]])


def test_black_and_white_are_values_of_the_image(tmp_path: Path):
    image = np.array([[-10.0, 0.0, 5.0, 10.0, 20.0]])
    write_picture(tmp_path / "a.png", image, black=0, white=10)
    assert np.asarray(Image.open(tmp_path / "a.png")).tolist() == [[0, 0, 128, 255, 255]]
    write_picture(tmp_path / "flat.png", np.ones((2, 2)))
    assert np.asarray(Image.open(tmp_path / "flat.png")).max() == 0


def test_jpeg_there_and_back(tmp_path: Path):
    image = np.outer(np.linspace(0, 255, 32), np.ones(32)).astype(np.float32)
    write_picture(tmp_path / "a.jpg", image, black=0, white=255)
    assert np.abs(read_picture(tmp_path / "a.jpg") - image).max() < 4


def test_what_is_no_picture_is_refused(tmp_path: Path):
    with pytest.raises(MissingFileError):
        read_picture(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"garbage" * 10)
    with pytest.raises(FormatError, match=r"a\.png: cannot be read as PNG or JPEG"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"ends in \.png"):
        write_picture(tmp_path / "a.gif", np.zeros((2, 2)))
    with pytest.raises(InputError, match="NaN"):
        write_picture(tmp_path / "b.png", np.full((2, 2), np.nan))
    with pytest.raises(InputError, match="no picture"):
        write_picture(tmp_path / "b.png", np.zeros((2, 2, 2)))
    assert not (tmp_path / "b.png").exists()


def test_real_micrographs_are_read(data: Path):
    picture = next((data / "micrographs" / "apoferritin_10146").glob("*avg.png"))
    image = read_picture(picture)
    assert image.shape in ((1200, 1240), (1240, 1200))
    assert image.max() > 255
