"""Gain references and defect lists."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.io import write_mrc
from vitreous.io.gain import read_defects, read_eer_gain, read_gain, turn
from vitreous.io.tiff import write_tiff

GAIN = np.arange(1, 13, dtype=np.float32).reshape(3, 4)


def test_one_quarter_turn_is_the_rule_of_the_specification():
    """out[x][ny - 1 - y] = in[y][x]: formats.md section 5."""
    turned = turn(GAIN, 1, 0)
    assert turned.shape == (4, 3)
    for y in range(3):
        for x in range(4):
            assert turned[x, 3 - 1 - y] == GAIN[y, x]


@pytest.mark.parametrize("rotation", [0, 1, 2, 3])
@pytest.mark.parametrize("flip", [0, 1, 2])
def test_rotation_comes_before_the_flip(rotation: int, flip: int):
    wanted = GAIN
    for _ in range(rotation):
        wanted = turn(wanted, 1, 0)
    wanted = {0: wanted, 1: wanted[::-1], 2: wanted[:, ::-1]}[flip]
    np.testing.assert_array_equal(turn(GAIN, rotation, flip), wanted)


def test_relion_turns_and_flips_alike(tmp_path: Path, relion: None):
    """RELION's own motion correction writes the gain that it used."""
    rng = np.random.default_rng(0)
    gain = rng.uniform(0.8, 1.2, (96, 128)).astype(np.float32)
    write_mrc(tmp_path / "movie.mrcs", rng.poisson(5, (4, 128, 96)).astype(np.float32), 1.0)
    write_mrc(tmp_path / "ref.mrc", gain, 1.0)
    (tmp_path / "movies.star").write_text(
        "\n# version 30001\n\ndata_optics\n\nloop_\n_rlnOpticsGroupName #1\n_rlnOpticsGroup #2\n"
        "_rlnMicrographOriginalPixelSize #3\n_rlnVoltage #4\n_rlnSphericalAberration #5\n"
        "_rlnAmplitudeContrast #6\nog1 1 1.0 300 2.7 0.1\n\n\n# version 30001\n\ndata_movies\n\n"
        "loop_\n_rlnMicrographMovieName #1\n_rlnOpticsGroup #2\nmovie.mrcs 1\n\n"
    )
    for rotation, flip in ((1, 0), (1, 1), (3, 2)):
        command = (
            f"relion_run_motioncorr --i movies.star --o MC{rotation}{flip}/ --use_own --j 1 "
            f"--gainref ref.mrc --gain_rot {rotation} --gain_flip {flip} --dose_per_frame 1 "
            "--patch_x 1 --patch_y 1 --bin_factor 1 --bfactor 150 --first_frame_sum 1 "
            "--last_frame_sum -1"
        )
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
        theirs = read_gain(tmp_path / f"MC{rotation}{flip}" / "gain.mrc", (128, 96))
        ours = read_gain(tmp_path / "ref.mrc", (128, 96), rotation=rotation, flip=flip)
        np.testing.assert_array_equal(ours, theirs)


def test_gain_from_tiff_and_mrc_agree(tmp_path: Path):
    write_mrc(tmp_path / "g.mrc", GAIN, 1)
    write_tiff(tmp_path / "g.tif", [GAIN])
    np.testing.assert_array_equal(read_gain(tmp_path / "g.mrc", (3, 4)), GAIN)
    np.testing.assert_array_equal(read_gain(tmp_path / "g.tif", (3, 4)), GAIN)


def test_sizes_that_do_not_fit_are_both_told(tmp_path: Path):
    write_mrc(tmp_path / "g.mrc", GAIN, 1)
    with pytest.raises(FormatError, match=r"4 x 3 pixels after 0 .* the frames have 3 x 4"):
        read_gain(tmp_path / "g.mrc", (4, 3))
    assert read_gain(tmp_path / "g.mrc", (4, 3), rotation=3).shape == (4, 3)
    with pytest.raises(InputError, match="Gain rotation 4 and flip 0"):
        read_gain(tmp_path / "g.mrc", (4, 3), rotation=4)
    with pytest.raises(FormatError, match="Digital Micrograph"):
        read_gain(tmp_path / "g.dm4", (4, 3))
    with pytest.raises(MissingFileError):
        read_gain(tmp_path / "absent.mrc", (4, 3))


def test_eer_gain_file_multiplies_and_is_not_turned_upside_down(tmp_path: Path):
    write_tiff(tmp_path / "g.tif", [GAIN])
    (tmp_path / "g.tif").rename(tmp_path / "g.gain")
    np.testing.assert_array_equal(read_eer_gain(tmp_path / "g.gain", (3, 4)), GAIN[::-1])


def test_eer_counts_are_inverted_and_zeros_stay(tmp_path: Path):
    counts = GAIN.copy()
    counts[1, 2] = 0
    write_mrc(tmp_path / "g.mrc", counts, 1)
    gain = read_eer_gain(tmp_path / "g.mrc", (3, 4))
    assert gain[1, 2] == 0
    np.testing.assert_allclose(gain[0], counts.mean() / counts[0], rtol=1e-6)
    assert gain.dtype == np.float32


def test_eer_gain_is_repeated_or_binned_to_the_grid(tmp_path: Path):
    counts = np.arange(1, 17, dtype=np.float32).reshape(4, 4)
    write_mrc(tmp_path / "g.mrc", counts, 1)
    fine = read_eer_gain(tmp_path / "g.mrc", (8, 8))
    np.testing.assert_allclose(fine[::2, 1::2], counts.mean() / counts, rtol=1e-6)
    coarse = read_eer_gain(tmp_path / "g.mrc", (2, 2))
    sums = np.array([[14, 22], [46, 54]])
    np.testing.assert_allclose(coarse, sums.mean() / sums, rtol=1e-6)
    with pytest.raises(FormatError, match=r"4 x 4 pixels, .* 6 x 6; wanted that size, half or"):
        read_eer_gain(tmp_path / "g.mrc", (6, 6))


def test_defects_from_text_and_from_maps(tmp_path: Path):
    (tmp_path / "d.txt").write_text("# x y w h\n1 0 2 3\n\n5 4 10 10\n")
    bad = read_defects(tmp_path / "d.txt", (6, 8))
    wanted = np.zeros((6, 8), bool)
    wanted[0:3, 1:3] = True
    wanted[4:, 5:] = True
    np.testing.assert_array_equal(bad, wanted)
    write_mrc(tmp_path / "d.mrc", wanted, 1, mode=0)
    write_tiff(tmp_path / "d.tif", [wanted.astype(np.uint8)])
    np.testing.assert_array_equal(read_defects(tmp_path / "d.mrc", (6, 8)), wanted)
    np.testing.assert_array_equal(read_defects(tmp_path / "d.tif", (6, 8)), wanted)
    with pytest.raises(FormatError, match="8 x 6 pixels, but the frames have 8 x 8"):
        read_defects(tmp_path / "d.mrc", (8, 8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n", r"line 1: '1 2 3'; wanted four whole numbers"),
        ("1 2 3 4\n1.5 2 3 4\n", "line 2"),
        ("1 -2 3 4\n", "none may be negative"),
        ("CameraSizeX 3838\nBadColumns 7\n", "SerialEM"),
    ],
)
def test_wrong_defect_lists_are_named(tmp_path: Path, text: str, message: str):
    (tmp_path / "d.txt").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_defects(tmp_path / "d.txt", (8, 8))
