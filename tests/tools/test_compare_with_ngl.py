"""Our map of real beta-galactosidase and the given baseline against an independent map."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

import requirements
from vitreous.engine import fourier
from vitreous.io import Table, read_volume, write_star, write_volume
from vitreous.programs import reconstruct


def load():
    path = requirements.ROOT / "tools" / "compare_with_ngl.py"
    spec = importlib.util.spec_from_file_location("compare_with_ngl", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_our_map_agrees_with_an_independent_one_better_than_the_baseline(data, tmp_path):
    torch.set_num_threads(1)
    folder = data / "betagal_10204"
    given = [read_volume(folder / f"baseline_half{h}.mrc") for h in (1, 2)]
    baseline = tmp_path / "baseline.mrc"
    write_volume(baseline, (given[0].data + given[1].data) / 2, given[0].pixel_size_A)
    flags = ["--i", str(folder / "particles_consensus.star"), "--img", str(folder), "--sym", "d2"]
    flags += ["--ctf", "--skip_gridding"]
    assert reconstruct.main([*flags, "--halves", "--o", str(tmp_path / "plain.mrc")]) == 0
    halves = [
        fourier.forward(torch.from_numpy(read_volume(tmp_path / f"plain_half{h}.mrc").data), 3)
        for h in (1, 2)
    ]
    power = [fourier.shell_sum(half.abs() ** 2, 3) for half in halves]
    fsc = fourier.shell_sum((halves[0] * halves[1].conj()).real, 3) / (power[0] * power[1]).sqrt()
    curve = {
        "rlnSpectralIndex": np.arange(len(fsc)),
        "rlnFourierShellCorrelation": fsc.double().numpy(),
    }
    write_star(tmp_path / "fsc.star", [Table.from_columns("fsc", curve)])
    ours = tmp_path / "ours.mrc"
    weighted = ["--fsc", str(tmp_path / "fsc.star"), "--o", str(ours)]
    assert reconstruct.main([*flags, *weighted]) == 0
    independent = str(data / "maps" / "ngl_betaGal_3.54A.mrc")
    compare = load()
    reached = compare.correlation(independent, str(baseline))
    assert reached == pytest.approx(0.876, abs=0.005)
    assert compare.correlation(independent, str(ours)) > reached + 0.02
