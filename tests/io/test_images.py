"""Batched reads: the same pixels as one by one, and far fewer reads."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.errors import FormatError, MissingFileError
from vitreous.io import ImageRef, ImageStack, format_ref, parse_ref, read_image, read_images
from vitreous.io import write_mrc as write
from vitreous.io.image_refs import is_stack_name, split_format
from vitreous.io.sources import FileSource


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("000012@a/b.mrcs", ImageRef("a/b.mrcs", 11)),
        ("1@x", ImageRef("x", 0)),
        ("1234567@s.mrcs", ImageRef("s.mrcs", 1234566)),
        ("a/b.mrc", ImageRef("a/b.mrc")),
        ("user@host/b.mrc", ImageRef("user@host/b.mrc")),
    ],
)
def test_references_are_taken_apart(text: str, ref: ImageRef):
    assert parse_ref(text) == ref
    assert parse_ref(format_ref(ref)) == ref


@given(st.integers(0, 10**8), st.text(min_size=1))
def test_references_come_back(index0: int, path: str):
    ref = ImageRef(path, index0)
    assert parse_ref(str(ref)) == ref


def test_references_are_written_with_six_digits():
    assert str(ImageRef("a.mrcs", 11)) == "000012@a.mrcs"


@pytest.mark.parametrize("text", ["", "0@a.mrcs", "000000@a.mrcs", "12@"])
def test_wrong_references_are_refused(text: str):
    with pytest.raises(FormatError):
        parse_ref(text)


@pytest.mark.parametrize(
    ("name", "file", "kind", "stack"),
    [
        ("a/x.ctf:mrc", "a/x.ctf", "mrc", False),
        ("map.mrc:mrcs", "map.mrc", "mrcs", True),
        ("m.mrcs.bz2", "m.mrcs.bz2", "mrcs", True),
        ("m.MRC", "m.MRC", "mrc", False),
        ("C:thing", "C:thing", "", False),
        ("a.b/movie", "a.b/movie", "", False),
        ("x.bz2", "x.bz2", "bz2", False),
    ],
)
def test_format_is_told_by_the_name(name: str, file: str, kind: str, stack: bool):
    assert split_format(name) == (Path(file), kind)
    assert is_stack_name(name) == stack


@pytest.fixture
def stacks(tmp_path: Path) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for name, n, mode in (("a", 50, 2), ("b", 20, 12), ("c", 7, 1), ("d", 9, 101)):
        pixels = rng.integers(0, 16, (n, 8, 6)).astype(np.float32)
        write(tmp_path / f"{name}.mrcs", pixels, 1.5, mode=mode)
        made[str(tmp_path / f"{name}.mrcs")] = pixels
    return made


def test_images_come_in_the_order_asked(stacks: dict[str, np.ndarray]):
    rng = np.random.default_rng(1)
    refs = [ImageRef(path, i) for path, pixels in stacks.items() for i in range(len(pixels))]
    refs = [refs[i] for i in rng.integers(0, len(refs), 200)]
    images = read_images(refs)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, np.stack([stacks[r.path][r.index0] for r in refs]))
    np.testing.assert_array_equal(read_images([str(ref) for ref in refs]), images)


def test_nothing_asked_nothing_read():
    assert read_images([]).shape == (0, 0, 0)


def test_neighbours_are_read_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "a.mrcs", np.zeros((100, 64, 64), np.float32), 1)
    reads = []
    scatter = FileSource.scatter

    def counting(self: FileSource, offset: int, targets: list[memoryview]) -> int:
        reads.append((offset, sum(len(target) for target in targets)))
        return scatter(self, offset, targets)

    monkeypatch.setattr(FileSource, "scatter", counting)
    with ImageStack(tmp_path / "a.mrcs") as stack:
        stack.read([70, 5, 3, 4, 2, 71, 6])
    image = 64 * 64 * 4
    assert reads == [(1024 + 2 * image, 5 * image), (1024 + 70 * image, 2 * image)]


def test_thousands_of_small_images(tmp_path: Path):
    pixels = np.arange(3000, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    write(tmp_path / "a.mrcs", pixels, 1)
    with ImageStack(tmp_path / "a.mrcs") as stack:
        order = np.random.default_rng(0).permutation(3000)
        np.testing.assert_array_equal(stack.read(order.tolist()), pixels[order])
        every_third = list(range(0, 3000, 3))
        np.testing.assert_array_equal(stack.read(every_third), pixels[::3])


def test_sizes_that_differ_are_named(tmp_path: Path):
    write(tmp_path / "a.mrcs", np.zeros((2, 4, 4)), 1)
    write(tmp_path / "b.mrcs", np.zeros((2, 8, 4)), 1)
    with pytest.raises(FormatError, match=r"b\.mrcs: images of 4 x 8 pixels, but .*a\.mrcs has 4"):
        read_images([f"1@{tmp_path}/a.mrcs", f"1@{tmp_path}/b.mrcs"])


def test_image_beyond_the_stack_is_named(tmp_path: Path):
    write(tmp_path / "a.mrcs", np.zeros((2, 4, 4)), 1)
    with pytest.raises(FormatError, match=r"a\.mrcs: image 3 is wanted \(1 such\), but .* has 2"):
        read_images([f"3@{tmp_path}/a.mrcs"])
    with pytest.raises(MissingFileError, match="no such file"):
        read_images([f"3@{tmp_path}/b.mrcs"])


def test_nan_is_named_by_image_and_let_through_if_permissive(tmp_path: Path):
    pixels = np.zeros((3, 4, 4))
    pixels[1, 2, 3] = np.nan
    write(tmp_path / "a.mrcs", pixels, 1)
    with pytest.raises(FormatError, match=re.escape(f"000002@{tmp_path}/a.mrcs: 1 of 16 pixels")):
        read_images([f"{n}@{tmp_path}/a.mrcs" for n in (1, 2, 3)])
    assert read_images([f"1@{tmp_path}/a.mrcs"]).max() == 0
    found = read_images([f"2@{tmp_path}/a.mrcs"], permissive=True)
    assert np.isnan(found[0, 2, 3])


def test_one_image_with_its_pixel_size(tmp_path: Path):
    write(tmp_path / "a.mrcs", np.arange(32).reshape(2, 4, 4), 1.25)
    image = read_image(f"2@{tmp_path}/a.mrcs")
    assert (image.data[0, 0], image.pixel_size_A) == (16, 1.25)
    with pytest.raises(FormatError, match="2 images or sections where one image was wanted"):
        read_image(tmp_path / "a.mrcs")


def test_an_extended_header_shifts_all_images(tmp_path: Path):
    import mrcfile

    pixels = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    with mrcfile.new(tmp_path / "a.mrcs") as witness:
        witness.set_data(pixels)
        witness.set_extended_header(np.zeros(10, dtype="V8"))
    np.testing.assert_array_equal(read_images([f"3@{tmp_path}/a.mrcs"])[0], pixels[2])
