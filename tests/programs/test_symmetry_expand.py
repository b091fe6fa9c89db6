"""`vitreous symmetry-expand` against RELION's program, and on bad input."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous.engine import geometry
from vitreous.io import Star, read_star, write_star
from vitreous.programs.symmetry_expand import ANGLES, ORIGINS_A, main

STAR = """
# version 30001

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
_rlnImageDimensionality #8
1 og1 300 2.7 0.1 2.0 64 2

# version 30001

data_particles

loop_
_rlnImageName #1
_rlnAngleRot #2
_rlnAngleTilt #3
_rlnAnglePsi #4
_rlnOriginXAngst #5
_rlnOriginYAngst #6
_rlnOpticsGroup #7
_rlnRandomSubset #8
000001@x.mrcs 10 20 30 1 2 1 1
000002@x.mrcs 40 120 -30 -1 0.5 1 2
000003@x.mrcs 40 0 -30 -1 0.5 1 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "in.star").write_text(STAR)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def poses(star: Star, n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    table = star["particles"]
    angles = torch.from_numpy(np.stack([table[label] for label in ANGLES], 1))
    origins = torch.from_numpy(np.stack([table[label] for label in ORIGINS_A], 1))
    matrices = geometry.matrix_from_euler(angles)
    return matrices.reshape(n, -1, 3, 3), origins.reshape(n, -1, 2)


@pytest.mark.usefixtures("relion", "folder")
@pytest.mark.parametrize(
    "flags",
    [
        "--sym C3",
        "--sym D2",
        "--sym T",
        "--sym O",
        "--sym I1",
        "--sym I3",
        "--helix --twist 25 --rise 4.5 --asu 4",
        "--helix --twist -25 --rise 4.5 --asu 3",
        "--helix --twist 25 --rise 4.5 --frac_sampling 3",
        "--helix --twist 25 --rise 4.5 --frac_sampling 4 --frac_range 0.25",
    ],
)
def test_relion_makes_the_same_particles(flags: str) -> None:
    assert main(f"--i in.star --o ours.star {flags}".split()) == 0
    command = f"relion_particle_symmetry_expand --i in.star --o theirs.star --angpix 2 {flags}"
    subprocess.run(command.split(), check=True, capture_output=True)
    ours, our_origins = poses(read_star("ours.star"))
    theirs, their_origins = poses(read_star("theirs.star"))
    assert ours.shape == theirs.shape
    for particle in range(3):
        turn = (ours[particle][:, None] - theirs[particle][None]).abs().amax((2, 3))
        move = (our_origins[particle][:, None] - their_origins[particle][None]).abs().amax(2)
        distance = turn + move
        assert float(distance.min(0).values.max()) < 1e-5
        assert float(distance.min(1).values.max()) < 1e-5


def test_the_original_comes_first_and_other_columns_are_kept(folder: Path) -> None:
    assert main(["--i", "in.star", "--o", "out.star", "--sym", "d3"]) == 0
    before, after = read_star(folder / "in.star"), read_star(folder / "out.star")
    assert list(after) == ["optics", "particles"]
    for label in before["particles"].labels:
        assert after["particles"][label][::6].tolist() == before["particles"][label].tolist()
    assert after["particles"]["rlnRandomSubset"].tolist() == [1] * 6 + [2] * 6 + [1] * 6
    assert after["particles"]["rlnOriginXAngst"].tolist() == [1.0] * 6 + [-1.0] * 12


@pytest.mark.usefixtures("folder")
def test_the_user_is_warned_of_half_sets(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--i", "in.star", "--o", "out.star", "--sym", "C2"])
    told = capsys.readouterr()
    assert "3 particles became 6" in told.out
    assert "Never split it into half-sets" in told.out
    assert told.err == ""


@pytest.mark.usefixtures("folder")
def test_old_files_have_origins_in_pixels() -> None:
    star = read_star("in.star")
    table = star["particles"].rename(
        {"rlnOriginXAngst": "rlnOriginX", "rlnOriginYAngst": "rlnOriginY"}
    )
    halved = {label: table[label] / 2 for label in ("rlnOriginX", "rlnOriginY")}
    write_star("old.star", star.with_table(table.with_columns(halved)))
    flags = "--helix --twist 25 --rise 4.5 --asu 2"
    assert main(f"--i in.star --o new_out.star {flags}".split()) == 0
    assert main(f"--i old.star --o old_out.star {flags} --angpix 2".split()) == 0
    new, old = (read_star(f"{age}_out.star")["particles"] for age in ("new", "old"))
    np.testing.assert_allclose(new["rlnOriginXAngst"], old["rlnOriginX"] * 2, atol=3e-6)


def test_a_file_of_symmetry_elements_names_a_group(folder: Path) -> None:
    (folder / "d2.sym").write_text("rot_axis 2 0 0 1\nrot_axis 2 1 0 0\n")
    for name in ("d2.sym", "D2"):
        assert main(["--i", "in.star", "--o", f"{name}.star", "--sym", name]) == 0
    one, other = (poses(read_star(f"{name}.star"))[0] for name in ("d2.sym", "D2"))
    distance = (one[:, :, None] - other[:, None]).abs().amax((3, 4))
    assert float(distance.min(1).values.max()) < 1e-6


def test_mirrors_give_other_views_that_look_the_same(folder: Path) -> None:
    assert main(["--i", "in.star", "--o", "out.star", "--sym", "C3V"]) == 0
    rotations, _ = poses(read_star(folder / "out.star"))
    assert rotations.shape[:2] == (3, 6)
    sides = rotations[:, :, 2, 2].sign()
    assert sorted(sides[0].tolist()) == [-1, -1, -1, 1, 1, 1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--i in.star --sym C1", "nothing to expand"),
        ("--i in.star --sym Q7", "Did you mean D7"),
        ("--i in.star --helix", "--asu N"),
        ("--i in.star --helix --asu 2 --frac_sampling 2", "not both"),
        ("--i in.star --helix --frac_sampling 2 --frac_range 0.7", "at most 0.5"),
        ("--i none.star --sym C2", "none.star"),
        ("--i flat.star --sym C2", "no column rlnAngleRot, rlnAngleTilt, rlnAnglePsi"),
        ("--i empty.star --sym C2", "no particles"),
        ("--i nan.star --sym C2", "row 2: an angle or origin is not a number"),
        ("--i origin.star --sym C2", "row 1: an angle or origin is not a number"),
        ("--i in.star --helix --asu 3", "needs --twist or --rise"),
        ("--i far.star --sym C2", "cannot be an angle in degrees"),
        ("--i alone.star --sym C2", "but data_optics has none"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: str, message: str
) -> None:
    star = read_star("in.star")
    table = star["particles"]
    write_star("flat.star", star.with_table(table.without(*ANGLES)))
    write_star("empty.star", star.with_table(table.select(np.zeros(0, np.int64))))
    write_star("origin.star", star.with_table(table.with_columns({"rlnOriginXAngst": np.nan})))
    write_star("far.star", star.with_table(table.with_columns({"rlnAngleTilt": 1e7})))
    write_star("alone.star", [table.with_columns({"rlnOpticsGroup": [1] * len(table)})])
    (folder / "nan.star").write_text(STAR.replace("mrcs 40 120", "mrcs nan 120"))
    assert main([*flags.split(), "--o", "out.star"]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""
    assert not (folder / "out.star").exists()
