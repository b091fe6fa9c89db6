"""`vitreous image` as a user meets it, with RELION's image handler beside it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from PIL import Image

from vitreous.io import (
    ImageRef,
    Table,
    read_header,
    read_images,
    read_mrc,
    read_star,
    write_mrc,
    write_star,
    write_volume,
)
from vitreous.io.tiff import write_tiff
from vitreous.programs.image import main
from vitreous.programs.image_options import _HELP
from vitreous.programs.image_steps import STEPS, WITH_NAME, WITHOUT_VALUE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_volume("map.mrc", rng.normal(size=(16, 16, 16)).astype(np.float32), 1.5)
    write_volume("other.mrc", rng.normal(size=(16, 16, 16)).astype(np.float32), 1.5)
    write_mrc("stack.mrcs", rng.normal(size=(7, 16, 16)).astype(np.float32), 1.5)
    write_volume("image.mrc", rng.normal(size=(16, 16)).astype(np.float32), 1.5)
    return tmp_path


def image(arguments: str) -> int:
    return main(arguments.split())


def load(path: str) -> np.ndarray:
    return read_mrc(path)[0]


# ---- beside RELION --------------------------------------------------------------------------

SAME = [
    "map.mrc --multiply_constant 2.5",
    "map.mrc --divide_constant 4",
    "map.mrc --add_constant 1.5",
    "map.mrc --subtract_constant 0.5",
    "map.mrc --threshold_above 0.5 --threshold_below -0.25",
    "map.mrc --multiply other.mrc",
    "map.mrc --divide other.mrc",
    "map.mrc --add other.mrc",
    "map.mrc --subtract other.mrc",
    "map.mrc --subtract other.mrc --optimise_scale_subtract",
    "map.mrc --adjust_power other.mrc",
    "map.mrc --lowpass 6",
    "map.mrc --highpass 8 --filter_edge_width 4",
    "map.mrc --LoG 8",
    "map.mrc --bfactor 25",
    "map.mrc --flipX",
    "map.mrc --flipZ",
    "map.mrc --invert_hand",
    "map.mrc --shift_x 2.5 --shift_z -3",
    "map.mrc --new_box 20",
    "map.mrc --rescale_angpix 2.1",
    "map.mrc --sym D2",
    "map.mrc --force_header_angpix 3",
    "image.mrc --flipXY",
    "image.mrc --flipmXY",
    "image.mrc --lowpass 6",
    "image.mrc --shift_com",
    "stack.mrcs --lowpass 6",
    "stack.mrcs --average",
    "stack.mrcs --avg_bin 3",
    "stack.mrcs --avg_ampl",
    "stack.mrcs --avg_ampl2",
    "stack.mrcs --add_edge --edge_x0 2 --edge_xF 12 --edge_y0 3 --edge_yF 13",
]


@pytest.mark.parametrize("arguments", SAME)
def test_the_same_as_relions_image_handler(folder: Path, relion: None, arguments: str):
    source, flags = arguments.split(" ", 1)
    suffix = Path(source).suffix
    for program, output in (("relion_image_handler", f"theirs{suffix}"), ("", f"ours{suffix}")):
        line = f"--i {source} --o {output} --angpix 1.5 {flags}"
        if program:
            subprocess.run([program, *line.split()], check=True, capture_output=True, timeout=60)
        else:
            assert image(line) == 0
    ours, theirs = load(f"ours{suffix}"), load(f"theirs{suffix}")
    np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, atol=1e-5, rtol=1e-5)
    if flags.split()[0] not in (
        "--average",
        "--avg_ampl",
        "--avg_ampl2",
        "--avg_bin",
        "--flipXY",
        "--flipmXY",
    ):
        pixel_size_A = read_header(f"theirs{suffix}").pixel_size_A
        assert read_header(f"ours{suffix}").pixel_size_A == pytest.approx(pixel_size_A, rel=1e-6)


def test_power_of_aligned_images_as_in_relion(folder: Path, relion: None):
    rows = [
        f"{i + 1}@stack.mrcs {angle}" for i, angle in enumerate((0, 17.5, -60, 90, 133, 180, 5))
    ]
    head = "\ndata_\n\nloop_\n_rlnImageName #1\n_rlnAnglePsi #2\n"
    Path("turned.star").write_text(head + "\n".join(rows) + "\n")
    line = "--i turned.star --angpix 1.5 --avg_ampl2_ali --o"
    command = ["relion_image_handler", *line.split(), "theirs.mrc"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert image(f"{line} ours.mrc") == 0
    wanted = load("theirs.mrc")
    np.testing.assert_allclose(load("ours.mrc"), wanted, rtol=0, atol=1e-5 * wanted.max())


@pytest.mark.parametrize(
    ("source", "message"), [("stack.mrcs", "give a STAR file"), ("bare.star", "no rlnAnglePsi")]
)
def test_images_without_angles_cannot_be_aligned(folder, capsys, source, message):
    Path("bare.star").write_text("\ndata_\n\nloop_\n_rlnImageName #1\n1@stack.mrcs\n")
    assert image(f"--i {source} --avg_ampl2_ali --o out.mrc") == 2
    assert message in capsys.readouterr().err
    assert not Path("out.mrc").exists()


def test_frames_of_all_movies_are_averaged_as_in_relion(folder: Path, relion: None):
    write_mrc("second.mrcs", np.random.default_rng(2).normal(size=(7, 16, 16)), 1.5)
    Path("m.star").write_text(
        "\ndata_\n\nloop_\n_rlnMicrographMovieName #1\nstack.mrcs\nsecond.mrcs\n"
    )
    command = "relion_image_handler --i m.star --o theirs.mrc --average_all_movie_frames"
    subprocess.run(command.split(), check=True, capture_output=True, timeout=60)
    assert image("--i m.star --o ours.mrc --average_all_movie_frames") == 0
    np.testing.assert_allclose(load("ours.mrc"), load("theirs.mrc"), atol=1e-6)
    write_mrc("second.mrcs", np.ones((3, 16, 16)), 1.5)  # RELION reads past the end of this one
    assert image("--i m.star --o ours.mrc --average_all_movie_frames") == 0
    frames = np.concatenate([load("stack.mrcs"), load("second.mrcs")])
    np.testing.assert_allclose(load("ours.mrc")[0], frames.mean(0), atol=1e-6)


def test_images_of_a_star_file_go_to_one_stack_as_in_relion(folder: Path, relion: None):
    Path("other.mrcs").write_bytes(Path("stack.mrcs").read_bytes())
    rows = "3@other.mrcs\n5@stack.mrcs\n4@stack.mrcs\n1@other.mrcs\n"
    Path("p.star").write_text("\ndata_\n\nloop_\n_rlnImageName #1\n" + rows)
    command = "relion_image_handler --i p.star --o theirs.mrcs --multiply_constant 2"
    subprocess.run(command.split(), check=True, capture_output=True, timeout=60)
    assert image("--i p.star --o ours.mrcs --multiply_constant 2") == 0
    np.testing.assert_allclose(load("ours.mrcs"), load("theirs.mrcs"), atol=1e-6)
    assert list(read_star("ours.star").first["rlnImageName"]) == [
        f"{number:06d}@ours.mrcs" for number in (1, 2, 3, 4)
    ]


def test_mean_amplitudes_are_levelled_as_in_relion(folder: Path, relion: None):
    assert image("--i stack.mrcs --avg_ampl --o amplitudes.mrc") == 0
    for radius in (0, 5):
        flags = f"--correct_avg_ampl amplitudes.mrc --minr_ampl_corr {radius}"
        command = f"relion_image_handler --i stack.mrcs --o theirs.mrcs {flags}"
        subprocess.run(command.split(), check=True, capture_output=True, timeout=60)
        assert image(f"--i stack.mrcs --o ours.mrcs {flags}") == 0
        np.testing.assert_allclose(load("ours.mrcs"), load("theirs.mrcs"), atol=1e-5)


def test_statistics_are_relions(folder: Path, relion: None, capsys: pytest.CaptureFixture[str]):
    command = ["relion_image_handler", "--i", "map.mrc", "--stats"]
    theirs = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    words = theirs.replace(";", " ").split()
    assert image("--i map.mrc --stats --json") == 0
    ours = json.loads(capsys.readouterr().out)["stats"][0]
    for label, name in (("avg=", "mean"), ("stddev=", "stddev"), ("minval=", "min")):
        assert ours[name] == pytest.approx(float(words[words.index(label) + 1]), rel=1e-5)


# ---- order, units, formats ------------------------------------------------------------------


def test_operations_act_in_the_order_of_the_command_line(folder: Path):
    start = load("map.mrc")
    assert image("--i map.mrc --o a.mrc --add_constant 1 --multiply_constant 2") == 0
    assert image("--i map.mrc --o b.mrc --multiply_constant 2 --add_constant 1") == 0
    np.testing.assert_allclose(load("a.mrc"), (start + 1) * 2, rtol=1e-6)
    np.testing.assert_allclose(load("b.mrc"), start * 2 + 1, rtol=1e-6)
    assert image("--i map.mrc --o c.mrc --add_constant 1 --flipX --add_constant 1") == 0
    np.testing.assert_allclose(load("c.mrc"), start[..., ::-1] + 2, rtol=1e-6)


def test_pictures_become_mrc_and_come_back(folder: Path):
    pixels = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
    Image.fromarray(pixels).save("x.png")
    assert image("--i x.png --o x.mrc --angpix 1.5") == 0
    with mrcfile.open("x.mrc") as witness:
        np.testing.assert_array_equal(witness.data, pixels[::-1])
        assert float(witness.voxel_size.x) == 1.5
    assert image("--i x.mrc --o y.png --black 0 --white 255") == 0
    np.testing.assert_array_equal(np.asarray(Image.open("y.png")), np.minimum(pixels, 255))
    assert image("--i stack.mrcs --o s.png --sigma_contrast 2") == 0
    assert sorted(path.name for path in folder.glob("s_*.png")) == [
        f"s_{number:06d}.png" for number in range(1, 8)
    ]


def test_every_picture_written_is_named(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert image("--i stack.mrcs --o s.png") == 0
    assert capsys.readouterr().out == "s_000001.png to s_000007.png: 7 images\n"
    assert image("--i 2@stack.mrcs --o one.png") == 0
    assert capsys.readouterr().out == "one.png: 1 image\n"
    rows = "2@stack.mrcs\nimage.mrc\n3@stack.mrcs\n"
    Path("p.star").write_text("\ndata_\n\nloop_\n_rlnImageName #1\n" + rows)
    assert image("--i p.star --o p.png --json") == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert written == [f"p_{number:06d}.png" for number in (1, 2, 3)]
    assert written == sorted(path.name for path in folder.glob("p*.png"))
    assert Path("p_000001.png").read_bytes() == Path("one.png").read_bytes()
    assert np.asarray(Image.open("p_000001.png")).ndim == 2  # grey
    assert image("--i map.mrc --o m.png --json") == 0
    assert len(json.loads(capsys.readouterr().out)["written"]) == 16


@pytest.mark.parametrize(
    ("scheme", "ends"),
    [
        ("fire", [(0, 0, 0), (255, 0, 0)]),
        ("ice", [(0, 0, 255), (255, 255, 255)]),
        ("fire-n-ice", [(0, 0, 255), (255, 0, 0)]),
        ("rainbow", [(0, 255, 255), (255, 255, 0)]),
        ("difference", [(0, 0, 0), (255, 255, 0)]),
    ],
)
def test_pictures_have_the_colours_asked_for(
    folder: Path, scheme: str, ends: list[tuple[int, int, int]]
):
    write_mrc("ramp.mrc", np.tile(np.arange(256, dtype=np.float32), (4, 1)), 1.0)
    assert image(f"--i ramp.mrc --o ramp.png --colour_{scheme}") == 0
    picture = np.asarray(Image.open("ramp.png"))[0].astype(int)
    assert [tuple(picture[0]), tuple(picture[255])] == ends
    assert np.abs(np.diff(picture, axis=0)).max() <= 5  # no jumps


def test_no_difference_is_black(folder: Path):
    write_mrc("d.mrc", np.array([[-1, 0, 3], [0, 0, 0]], np.float32), 1.0)
    assert image("--i d.mrc --o d.png --colour_difference") == 0
    picture = np.asarray(Image.open("d.png")).astype(int)[1]
    assert picture[1].max() <= 3
    assert picture[2].tolist() == [255, 255, 0]
    assert picture[0][2] > 100
    assert picture[0][0] == 0


def test_stacks_maps_and_single_images_keep_their_kind(folder: Path):
    assert image("--i stack.mrcs --o a.mrcs --multiply_constant 2") == 0
    np.testing.assert_allclose(load("a.mrcs"), load("stack.mrcs") * 2)
    assert image("--i 3@stack.mrcs --o b.mrc --multiply_constant 2") == 0
    np.testing.assert_allclose(load("b.mrc")[0], load("stack.mrcs")[2] * 2)
    assert image("--i map.mrc:mrcs --o c.mrcs --lowpass 6") == 0
    assert image("--i map.mrc --o d.mrc --lowpass 6") == 0
    assert not np.allclose(load("c.mrcs"), load("d.mrc"))
    assert image("--i stack.mrcs --o stack.mrcs --multiply_constant 0") == 0
    assert not load("stack.mrcs").any()


def test_half_precision_and_its_limit(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert image("--i stack.mrcs --o a.mrcs --float16") == 0
    assert read_header("a.mrcs").mode == 12
    assert image("--i stack.mrcs --o b.mrcs --float16 --multiply_constant 1e6") == 2
    assert "float16 holds -65504 to 65504" in capsys.readouterr().err
    assert not Path("b.mrcs").exists()


def test_movies_of_any_kind_are_summed(folder: Path):
    frames = np.random.default_rng(1).poisson(3, (7, 8, 12)).astype(np.uint8)
    write_tiff("movie.tif", frames)
    assert image("--i movie.tif --o a.mrcs --avg_bin 2 --avg_first 2") == 0
    np.testing.assert_array_equal(load("a.mrcs")[1], frames[3:5].sum(0))
    assert load("a.mrcs").shape[0] == 3
    assert image("--i movie.tif --o b.mrc --average --multiply_constant 7") == 0
    np.testing.assert_allclose(load("b.mrc")[0], frames.sum(0), rtol=1e-5)


def test_star_files_are_followed(folder: Path, capsys: pytest.CaptureFixture[str]):
    write_mrc("second.mrcs", np.random.default_rng(2).normal(size=(3, 16, 16)), 1.5)
    names = ["000005@stack.mrcs", "000001@second.mrcs", "000002@stack.mrcs", "000003@second.mrcs"]
    optics = Table.from_columns(
        "optics",
        {"rlnOpticsGroup": [1], "rlnImagePixelSize": [1.5], "rlnImageSize": [16]},
    )
    particles = Table.from_columns(
        "particles", {"rlnImageName": np.array(names, object), "rlnAnglePsi": [1.0, 2.0, 3.0, 4.0]}
    )
    write_star("p.star", [optics, particles])
    assert image("--i p.star --o small --rescale_angpix 3 --multiply_constant 2") == 0
    assert "p_small.star" in capsys.readouterr().out
    star = read_star("p_small.star")
    assert list(star["particles"]["rlnImageName"]) == [
        "000001@stack_small.mrcs",
        "000001@second_small.mrcs",
        "000002@stack_small.mrcs",
        "000002@second_small.mrcs",
    ]
    assert list(star["particles"]["rlnAnglePsi"]) == [1, 2, 3, 4]
    assert (star["optics"].value("rlnImagePixelSize"), star["optics"].value("rlnImageSize")) == (
        3,
        8,
    )
    assert image("--i stack.mrcs --o all.mrcs --rescale_angpix 3 --multiply_constant 2") == 0
    ours = read_images(list(star["particles"]["rlnImageName"]))
    np.testing.assert_array_equal(
        ours[[0, 2]], read_images([ImageRef("all.mrcs", i) for i in (4, 1)])
    )
    capsys.readouterr()
    assert image("--i p.star --stats --json") == 0
    assert len(json.loads(capsys.readouterr().out)["stats"]) == 4


def test_each_optics_group_gets_the_box_of_its_own_images(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    """A group without images keeps what it has; boxes that differ within one are refused."""
    write_mrc("large.mrcs", np.random.default_rng(2).normal(size=(3, 24, 24)), 2.0)
    names = ["000002@large.mrcs", "000005@stack.mrcs", "000001@large.mrcs", "000001@stack.mrcs"]
    optics = {
        "rlnOpticsGroup": [1, 2, 3],
        "rlnImagePixelSize": [1.5, 2.0, 7.0],
        "rlnImageSize": [16, 24, 50],
    }
    rows = {"rlnImageName": np.array(names, object), "rlnOpticsGroup": [2, 1, 2, 1]}
    tables = [Table.from_columns("optics", optics), Table.from_columns("particles", rows)]
    write_star("p.star", tables)
    assert image("--i p.star --o small --rescale_angpix 3") == 0
    after = read_star("p_small.star")["optics"]
    assert list(after["rlnImagePixelSize"]) == pytest.approx([3, 3, 7])
    assert list(after["rlnImageSize"]) == [8, 16, 50]
    for name, side in (("stack_small.mrcs", 8), ("large_small.mrcs", 16)):
        assert load(name).shape[1:] == (side, side)
    write_star("p.star", [tables[0], tables[1].with_columns({"rlnOpticsGroup": [1, 1, 2, 1]})])
    capsys.readouterr()
    assert image("--i p.star --o mixed --rescale_angpix 3") != 0
    assert "images of optics group 1 now have boxes of 8 pixels" in capsys.readouterr().err
    assert not Path("p_mixed.star").exists()


def test_oblong_micrographs_are_filtered_and_scaled(folder: Path):
    micrograph = np.random.default_rng(3).normal(5, 1, (32, 48)).astype(np.float32)
    write_volume("m.mrc", micrograph, 1.0)
    assert image("--i m.mrc --o a.mrc --lowpass 8") == 0
    filtered = load("a.mrc")[0]
    assert filtered.shape == (32, 48)
    assert filtered.std() < 0.5
    assert filtered.mean() == pytest.approx(5, abs=0.1)
    assert image("--i m.mrc --o b.mrc --rescale_angpix 2") == 0
    assert load("b.mrc").shape == (1, 16, 24)
    assert read_header("b.mrc").pixel_size_A == 2


def test_reports(folder: Path, capsys: pytest.CaptureFixture[str]):
    blob = np.zeros((16, 16, 16), np.float32)
    blob[10, 9, 6] = 2
    write_volume("blob.mrc", blob, 1.5)
    assert image("--i blob.mrc --com") == 0
    assert "x -2.000 px, y 1.000 px, z 2.000 px" in capsys.readouterr().out
    assert image("--i map.mrc --power --guinier --fsc map.mrc --json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["rlnFourierShellCorrelation"] for row in result["fsc"]] == pytest.approx([1] * 9)
    power = [row["rlnReferenceSpectralPower"] for row in result["power"]]
    assert np.mean(power[3:]) == pytest.approx(1 / 16**3, rel=0.1)
    guinier = result["guinier"]
    assert guinier[8]["rlnResolutionSquared"] == pytest.approx(1 / 9)
    assert guinier[8]["rlnLogAmplitudesOriginal"] == pytest.approx(np.log(power[8]) / 2, abs=0.15)
    assert image("--i map.mrc --stats --lowpass 6 --o l.mrc") == 0
    deviation = float(load("l.mrc").std())
    assert f"stddev {deviation:.6g}" in capsys.readouterr().out


def test_nan_is_told_and_replaced(folder: Path, capsys: pytest.CaptureFixture[str]):
    bad = load("map.mrc").copy()
    bad[1, 2, 3] = np.nan
    write_volume("bad.mrc", bad, 1.5)
    assert image("--i bad.mrc --o a.mrc --lowpass 6") == 2
    assert "--remove_nan" in capsys.readouterr().err
    assert image("--i bad.mrc --stats") == 0
    assert "1 pixels NaN or infinite" in capsys.readouterr().out
    assert image("--i bad.mrc --o a.mrc --remove_nan --replace_nan 7") == 0
    assert load("a.mrc")[1, 2, 3] == 7


def test_random_phases_keep_amplitudes_and_repeat(folder: Path):
    for name in ("a", "b"):
        assert image(f"--i map.mrc --o {name}.mrc --phase_randomise 6 --seed 4") == 0
    np.testing.assert_array_equal(load("a.mrc"), load("b.mrc"))
    f, g = (np.fft.rfftn(load(name))[:, :, 1:8] for name in ("map.mrc", "a.mrc"))
    np.testing.assert_allclose(abs(f), abs(g), rtol=1e-3, atol=1e-3)
    assert not np.allclose(f, g)


def test_b_factor_search_finds_the_blur(folder: Path):
    assert image("--i map.mrc --o blurred.mrc --bfactor 40 --multiply_constant 3") == 0
    flags = "--optimise_scale_subtract --optimise_bfactor_subtract 60"
    assert image(f"--i blurred.mrc --o rest.mrc --subtract map.mrc {flags}") == 0
    assert np.abs(load("rest.mrc")).max() < 1e-4 * np.abs(load("blurred.mrc")).max()


def test_a_transform_is_multiplied_by_a_centred_image(folder: Path):
    keep = np.zeros((16, 16, 16), np.float32)
    keep[8, 8, 8] = 1
    write_volume("dc.mrc", keep, 1.5)
    assert image("--i map.mrc --o a.mrc --fourier_filter dc.mrc") == 0
    np.testing.assert_allclose(load("a.mrc"), load("map.mrc").mean(), atol=1e-6)


def test_what_cannot_work_is_said_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]):
    write_star("empty.star", [Table.from_columns("particles", {"rlnAnglePsi": [1.0]})])
    write_mrc("unknown.mrc", np.ones((4, 4, 4)), 0)
    write_volume("wide.mrc", load("map.mrc"), 3.0)
    raw = bytearray(Path("unknown.mrc").read_bytes())
    raw[40:52] = bytes(12)
    Path("unknown.mrc").write_bytes(raw)
    for name, label, row in (
        ("p", "rlnImageName", "1@stack.mrcs"),
        ("m", "rlnMicrographMovieName", "stack.mrcs"),
    ):
        Path(f"{name}.star").write_text(f"\ndata_\n\nloop_\n_{label} #1\n{row}\n")
    before = {path.name for path in folder.iterdir()}
    for arguments, message in (
        ("--i map.mrc", "Nothing to do"),
        ("--i map.mrc --lowpass 5", "no --o to write them to"),
        ("--i map.mrc --lowpass five --o x.mrc", "--lowpass five: wanted a number"),
        ("--i map.mrc --lowpass -5 --o x.mrc", "above 0"),
        ("--i map.mrc --lowpass 5 --angpix 0 --o x.mrc", "--angpix is 0"),
        ("--i absent.mrc --stats", "absent.mrc: no such file"),
        ("--i map.mrc --add image.mrc --o x.mrc", "image.mrc: 16 x 16 x 1 pixels, but the input"),
        ("--i map.mrc --add wide.mrc --o x.mrc", "wide.mrc has pixels of 3 A, the input of 1.5 A"),
        ("--i map.mrc --lowpass 5 --angpix nan --o x.mrc", "--angpix is nan"),
        ("--i map.mrc --new_box 7.5 --o x.mrc", "whole number of pixels"),
        ("--i map.mrc --divide_constant 0 --o x.mrc", "cannot divide by zero"),
        ("--i stack.mrcs --sym D2 --o x.mrcs", "--sym needs a map"),
        ("--i map.mrc --sym Q7 --o x.mrc", "Q7"),
        ("--i stack.mrcs --flipZ --o x.mrcs", "--flipZ needs a map"),
        ("--i map.mrc --flipX --o x.tif", "can write .mrc, .mrcs, .png and .jpg"),
        ("--i empty.star --stats", "no column of images"),
        ("--i p.star --o a/b --flipX", "put into the names of its files"),
        ("--i p.star --o p.mrcs --flipX", "would replace the input"),
        ("--i p.star --o q.mrc --flipX", "name it .mrcs"),
        ("--i m.star --o q.mrcs --flipX", "stack.mrcs is a map or a movie"),
        ("--i p.star --o mean --average", "a name that ends in .mrc"),
        ("--i stack.mrcs --o x.mrcs --add_edge --edge_xF 16", "--edge_x0 0 --edge_xF 16: wanted"),
        ("--i map.mrc --o x.mrc --add_edge", "--add_edge needs images"),
        ("--i stack.mrcs --average --avg_bin 2 --o x.mrcs", "at a time"),
        ("--i stack.mrcs --avg_bin 9 --o x.mrcs", "7 frames from 1 to 7, fewer than --avg_bin 9"),
        ("--i 9@stack.mrcs --stats", "image 9 is wanted"),
        ("--i unknown.mrc --lowpass 5 --o x.mrc", "give --angpix"),
        ("--i stack.mrcs --correct_avg_ampl map.mrc --o x.mrcs", "Make it with --avg_ampl"),
    ):
        assert image(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert message in error
        assert error.startswith("vitreous image: ")
        assert error.count("\n") == 1
    assert {path.name for path in folder.iterdir()} == before


def test_a_pixel_size_that_was_given_holds_for_both_maps(folder: Path):
    write_volume("wide.mrc", load("map.mrc"), 3.0)
    assert image("--i map.mrc --add wide.mrc --angpix 1.5 --o x.mrc") == 0
    np.testing.assert_allclose(load("x.mrc"), 2 * load("map.mrc"), rtol=1e-6)


def test_mirrors_of_a_point_group_count(folder: Path):
    assert image("--i map.mrc --sym CS --o x.mrc") == 0
    inside = load("x.mrc")[1:]  # without the plane that has no mirror image in the box
    np.testing.assert_allclose(inside, inside[::-1], atol=1e-6)


def test_every_operation_is_an_option_with_help():
    assert set(STEPS) == set(_HELP)
    assert set(WITHOUT_VALUE) | set(WITH_NAME) < set(STEPS)
    assert all((metavar == "") == (name in WITHOUT_VALUE) for name, (metavar, _) in _HELP.items())
