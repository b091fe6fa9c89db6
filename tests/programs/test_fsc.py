"""`vitreous fsc` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous.engine import filtering, masking, resolution
from vitreous.io import read_star, write_volume
from vitreous.programs.fsc import main, other_half


@pytest.fixture
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(0)
    signal, *noise = torch.randn((3, 24, 24, 24), generator=generator)
    signal = 5 * filtering.low_pass(signal, 8, 1.5, 3)
    for number, part in enumerate(noise, start=1):
        write_volume(tmp_path / f"run_half{number}_class001.mrc", (signal + part).numpy(), 1.5)
    write_volume(tmp_path / "mask.mrc", masking.sphere(24, 3, 6, 3).numpy(), 1.5)
    return tmp_path


def test_table_json_and_star_agree(halves: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--i", "run_half1_class001.mrc", "--i2", "run_half2_class001.mrc"]
    assert main([*arguments, "--o", "fsc.star", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    table = read_star("fsc.star")["fsc"]
    np.testing.assert_allclose(table["rlnFourierShellCorrelation"], result["fsc"]["unmasked"])
    np.testing.assert_allclose(table["rlnAngstromResolution"][1:], 36 / np.arange(1, 13))
    np.testing.assert_allclose(table["rlnResolution"], np.arange(13) / 36)
    final = read_star("fsc.star")["general"].value("rlnFinalResolution")
    assert final == pytest.approx(result["resolution_A"])
    assert 36 / 6 <= result["resolution_A"] <= 36 / 3
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert f"Resolution at FSC 0.143: {result['resolution_A']:.2f} A" in text
    assert len(text.splitlines()) == 15


def test_the_other_half_is_found_by_its_name(halves: Path, capsys: pytest.CaptureFixture[str]):
    assert other_half("a_half1/run_half2_class001.mrc") == "a_half1/run_half1_class001.mrc"
    assert main(["--i", "run_half1_class001.mrc", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert main(["--i", "run_half2_class001.mrc", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fsc"] == one["fsc"]
    assert main(["--i", "mask.mrc"]) == 2
    assert "no half1 or half2 in the name" in capsys.readouterr().err


def test_a_mask_gives_four_curves(halves: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--i", "run_half1_class001.mrc", "--mask", "mask.mrc", "--seed", "3"]
    assert main([*arguments, "--json", "--o", "fsc.star"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["fsc"]) == {"unmasked", "masked", "randomised", "corrected"}
    curves = {name: torch.tensor(values) for name, values in result["fsc"].items()}
    again = resolution.correct(curves["masked"], curves["randomised"], result["randomised_from"])
    torch.testing.assert_close(again, curves["corrected"])
    table = read_star("fsc.star")["fsc"]
    np.testing.assert_allclose(table["rlnFourierShellCorrelationCorrected"], again, atol=1e-6)
    assert read_star("fsc.star")["general"].value("rlnMaskName") == "mask.mrc"
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert main([*arguments, "--json", "--randomise_at", "9"]) == 0
    assert json.loads(capsys.readouterr().out)["randomised_from"] == 4
    assert main(arguments) == 0
    assert "corrected" in capsys.readouterr().out.splitlines()[0]


def test_images_are_correlated_by_ring(halves: Path, capsys: pytest.CaptureFixture[str]):
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn((2, 16, 16), generator=generator)
    write_volume("a.mrc", first.numpy(), 2)
    write_volume("b.mrc", second.numpy(), 2)
    assert main(["--i", "a.mrc", "--i2", "b.mrc", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["fsc"]["unmasked"]
    np.testing.assert_allclose(found, resolution.fsc(first, second, 2), atol=1e-6)


def test_what_cannot_work_is_said_in_one_line(halves: Path, capsys: pytest.CaptureFixture[str]):
    write_volume("small.mrc", np.zeros((8, 8, 8)), 1.5)
    write_volume("flat.mrc", np.zeros((8, 16, 16)), 1.5)
    write_volume("two.mrc", np.full((24, 24, 24), 2.0), 1.5)
    write_volume("zero.mrc", np.zeros((24, 24, 24)), 1.5)
    write_volume("wide.mrc", np.random.default_rng(0).normal(size=(24, 24, 24)), 3.0)
    half = "run_half1_class001.mrc"
    for arguments, message in (
        (["--i", half, "--i2", half], "hold the same map"),
        (["--i", half, "--i2", "small.mrc"], "24 x 24 x 24 and small.mrc is 8 x 8 x 8"),
        (["--i", "flat.mrc", "--i2", "flat.mrc"], "16 x 16 x 8 pixels; wanted a cube"),
        (["--i", half, "--i2", "absent.mrc"], "absent.mrc: no such file"),
        (["--i", half, "--i2", "wide.mrc"], "has pixels of 1.5 A and wide.mrc of 3 A"),
        (["--i", half, "--mask", "small.mrc"], "a mask of 8 x 8 x 8 pixels"),
        (["--i", half, "--mask", "wide.mrc"], "a mask with pixels of 3 A, the maps have 1.5 A"),
        (["--i", half, "--mask", "two.mrc"], "values from 2 to 2; a mask runs from 0 to 1"),
        (["--i", half, "--mask", "zero.mrc"], "0 everywhere"),
        (["--i", half, "--mask", "mask.mrc", "--randomise_at", "1"], "Nyquist"),
        (["--i", "zero.mrc", "--i2", half], "zero.mrc: all pixels are 0"),
        (["--i", half, "--mask", "mask.mrc", "--n_random", "0"], "wanted at least 1"),
    ):
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert message in error
        assert error.startswith("vitreous fsc: ")
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--angpix", "-1", "wanted a number above 0"),
        ("--angpix", "nan", "wanted a number"),
        ("--threshold", "inf", "wanted a number"),
        ("--randomise_at", "ten", "wanted a number"),
        ("--o", "map.mrc", "wanted a name that ends in .star"),
    ],
)
def test_values_that_are_none_are_refused(
    halves: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str, message: str
):
    with pytest.raises(SystemExit, match="2"):
        main(["--i", "run_half1_class001.mrc", flag, value])
    assert message in capsys.readouterr().err
    assert not (halves / "map.mrc").exists()


def test_a_folder_that_is_not_there_is_named(halves: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--i", "run_half1_class001.mrc", "--o", "new/fsc.star"]) == 1
    assert capsys.readouterr().err == (
        "vitreous fsc: new/fsc.star: there is no folder new. Make it first.\n"
    )


def test_mask_at_the_edge_of_the_box_warns(halves: Path, capsys: pytest.CaptureFixture[str]):
    write_volume("all.mrc", np.ones((24, 24, 24)), 1.5)
    assert main(["--i", "run_half1_class001.mrc", "--mask", "all.mrc", "--json"]) == 0
    captured = capsys.readouterr()
    assert "touches the edge" in captured.err
    fsc = json.loads(captured.out)["fsc"]
    np.testing.assert_allclose(fsc["masked"], fsc["unmasked"], atol=1e-6)


def test_it_is_a_command(halves: Path):
    command = [sys.executable, "-m", "vitreous", "fsc", "--i", "run_half1_class001.mrc", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["box_px"] == 24


def test_real_half_maps_give_their_published_curve(data: Path, capsys: pytest.CaptureFixture[str]):
    """The file's curve was made with another counting of shells, hence the tolerance."""
    folder = data / "betagal_10204"
    assert main(["--i", str(folder / "baseline_half1.mrc"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["fsc"]["unmasked"]
    published = np.loadtxt(folder / "baseline_fsc.txt")[:, 2]
    np.testing.assert_allclose(found[1 : len(published) + 1], published, atol=0.02)
