"""`vitreous align-symmetry`: as a user runs it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous.engine import boxing, geometry, symmetric_maps
from vitreous.io import read_volume, write_volume
from vitreous.programs.align_symmetry import main
from vitreous.testing import phantoms

MODEL = """
data_model_classes

loop_
_rlnReferenceImage #1
_rlnClassDistribution #2
_rlnEstimatedResolution #3
other.mrc 0.3 12.0
in.mrc 0.7 15.0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    phantom = phantoms.symmetric_cluster("D3", radius_px=9, width_px=1.8, seed=3)
    turn = geometry.random_rotations(1, torch.Generator().manual_seed(8), torch.float64)[0]
    shift = torch.tensor([2.0, -3.0, 1.0], dtype=torch.float64)
    write_volume("in.mrc", phantom.turned(turn).moved(shift).volume(40).float().numpy(), 3.5)
    Path("model.star").write_text(MODEL)
    write_volume("flat.mrc", np.ones((8, 8, 8), np.float32), 1.0)
    write_volume("box.mrc", np.random.default_rng(0).normal(size=(8, 8, 6)).astype("f4"), 1.0)
    bad = np.random.default_rng(0).normal(size=(8, 8, 8)).astype("f4")
    bad[1, 2, 3] = np.nan
    write_volume("nan.mrc", bad, 1.0)
    return tmp_path


@pytest.mark.parametrize("source", ["--i in.mrc", "--i model.star --select_largest_class"])
def test_a_map_comes_out_centred_and_aligned(
    folder: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    assert main([*source.split(), "--sym", "D3", "--o", "out.mrc", "--box_size", "32"]) == 0
    out = read_volume(folder / "out.mrc")
    assert out.pixel_size_A == pytest.approx(3.5)
    volume = torch.from_numpy(out.data.copy())
    assert symmetric_maps.score(volume, "D3") > 0.99
    assert max(abs(c) for c in boxing.centre_of_mass(volume)) < 0.05
    told = capsys.readouterr().out
    assert "in.mrc: turned by rot" in told
    explained = re.search(r"D3 explains ([0-9.]+) % of its variance now, ([0-9.]+) % before", told)
    assert explained is not None
    assert float(explained[1]) > 99 > float(explained[2])


def test_symmetry_can_be_imposed(folder: Path) -> None:
    flags = ["--i", "in.mrc", "--sym", "D3", "--o", "out.mrc"]
    assert main([*flags, "--box_size", "32", "--apply_sym"]) == 0
    volume = torch.from_numpy(read_volume(folder / "out.mrc").data.copy())
    assert symmetric_maps.score(volume, "D3") > 0.999


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--i in.mrc --sym C1", "nothing to align"),
        ("--i in.mrc --sym X3", "not a point group"),
        ("--i none.mrc --sym C2", "none.mrc"),
        ("--i box.mrc --sym C2", "wanted a cube"),
        ("--i flat.mrc --sym C2", "all voxels are 1"),
        ("--i nan.mrc --sym C2", "1 of 512 pixels are NaN"),
        ("--i in.mrc --sym C2 --box_size 0", "wanted at least 16"),
        ("--i model.star --sym C2", "2 classes: add --select_largest_class"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: str, message: str
) -> None:
    assert main([*flags.split(), "--o", "out.mrc"]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""
    assert not (folder / "out.mrc").exists()
