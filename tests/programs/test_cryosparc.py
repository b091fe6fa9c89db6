"""`vitreous cryosparc`: the same map from a STAR file and from what went to `.cs` and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vitreous
from vitreous.io import read_star, read_volume
from vitreous.programs import cryosparc, reconstruct, simulate

MODEL = Path(vitreous.__file__).parent / "data/5a1a_chain_a.cif.gz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tilted particles of a molecule without symmetry, off centre, in two optics groups."""
    root = tmp_path_factory.mktemp("cryosparc")
    command = f"particles --o {root}/s --i {MODEL} --n 240 --angpix 5 --box_size 32 --offset 8"
    extra = "--optics_groups 2 --beamtilt_x 1 --snr 0.5 --defocus 6000 9000 --random_seed 3"
    assert simulate.main(f"{command} {extra}".split()) == 0
    return root / "s"


def map_of(folder, star):
    """Reconstruct both halves apart and return their mean and their correlation."""
    maps = []
    for subset in (1, 2):
        out = folder / f"half{subset}.mrc"
        command = f"--i {folder / star} --o {out} --ctf --subset {subset}"
        assert reconstruct.main(command.split()) == 0
        maps.append(read_volume(out).data.ravel())
    return sum(maps) / 2, float(np.corrcoef(*maps)[0, 1])


def test_the_same_map_comes_from_both_forms(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    rows = read_star("particles.star")["particles"]
    assert "rlnRandomSubset" in rows
    for source, target in (("particles.star", "p.cs"), ("p.cs", "again.star")):
        assert cryosparc.main(["--i", source, "--o", target]) == 0
    assert "240 particles in 2 optics groups" in capsys.readouterr().out
    before, agree = map_of(folder, "particles.star")
    after, _ = map_of(folder, "again.star")
    assert agree > 0.6
    assert np.abs(after - before).max() < 1e-3 * np.abs(before).max()
    # The other sense of poses or of shifts makes another map: the check sees both.
    records = np.load("p.cs")
    for field in ("alignments3D/pose", "alignments3D/shift"):
        wrong = records.copy()
        wrong[field] *= -1
        with Path("wrong.cs").open("wb") as stream:
            np.save(stream, wrong)
        assert cryosparc.main(["--i", "wrong.cs", "--o", "wrong.star"]) == 0
        _, worse = map_of(folder, "wrong.star")
        assert worse < agree - 0.1


def test_names_that_do_not_say_the_direction_are_refused(tmp_path, capsys):
    for arguments in (
        ["--i", "a.star", "--o", "b.star"],
        ["--i", "a.cs", "--o", "b.cs"],
        ["--i", "a.cs", "--o", "b.txt"],
    ):
        assert cryosparc.main(arguments) == 2
        assert "one name that ends in .cs and one in .star" in capsys.readouterr().err
    assert cryosparc.main(["--i", str(tmp_path / "no.cs"), "--o", "b.star"]) != 0
