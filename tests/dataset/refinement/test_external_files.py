"""Maps that a program outside makes, through RELION's files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from vitreous.dataset.refinement.external_files import ExternalProgram
from vitreous.engine import fourier, geometry, reconstruction
from vitreous.engine.projection import Accumulator, project, projector
from vitreous.engine.refinement.external_regulariser import external
from vitreous.engine.refinement.regulariser import Request
from vitreous.engine.refinement.weights import weights_of
from vitreous.errors import ComputeError, EnvironmentMissing

PROGRAM = """
import sys
import numpy as np
from vitreous.io import read_star, read_volume, write_volume
star = read_star(sys.argv[1])
g = star["external_reconstruct_general"]
real, imag, weight = (read_volume(g.value(f"rlnExtRecons{x}")).data for x in
                      ("DataReal", "DataImag", "Weight"))
n, p = g.value("rlnOriginalImageSize"), g.value("rlnPaddingFactor")
side = real.shape[0]
solved = (real + 1j * imag) / np.maximum(weight, 1e-3 * weight.max())
volume = np.fft.fftshift(np.fft.irfftn(solved * side**3, (side,) * 3)) / (p**3 * n)
low = side // 2 - n // 2
write_volume(g.value("rlnExtReconsResult"), volume[low:low + n, low:low + n, low:low + n]
             .astype(np.float32), g.value("rlnPixelSize"))
"""


def request() -> tuple[torch.Tensor, Request]:
    size = 16
    axis = torch.arange(size) - size // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    volume = torch.exp(-((x - 1) ** 2 + (y + 2) ** 2 + z**2) / 8.0)
    rotations = geometry.random_rotations(300, torch.Generator().manual_seed(1)).float()
    sums = Accumulator(size, 2)
    slices = project(projector(volume, 2), rotations)
    sums.add_(slices, torch.ones(slices.shape), rotations)
    sums.finish_()
    tau2 = torch.ones(size // 2 + 1, dtype=torch.float64)
    return volume, Request(
        sums, weights_of(sums), tau2, torch.zeros_like(tau2), 2.0, 30.0, size, half=0, iteration=3
    )


def test_a_program_outside_makes_the_map(tmp_path: Path) -> None:
    (tmp_path / "make.py").write_text(PROGRAM)
    program = ExternalProgram(f"{sys.executable} make.py", "run", tmp_path)
    volume, asked = request()
    found = external(program)(asked).volume
    own = reconstruction.reconstruct(asked.sums)
    for map_ in (found, own):
        correlation = torch.corrcoef(torch.stack([map_.flatten(), volume.flatten()]))[0, 1]
        assert correlation > 0.95
    names = {path.name for path in tmp_path.glob("run_it003_half1_class001_external*")}
    assert "run_it003_half1_class001_external_reconstruct.star" in names
    assert fourier.forward(found, 3).shape[-1] == 9


def test_a_program_that_fails_is_told_with_its_words(tmp_path: Path) -> None:
    program = ExternalProgram(
        f"{sys.executable} -c 'raise SystemExit(\"no GPU\")'", "run", tmp_path
    )
    with pytest.raises(ComputeError, match="no GPU"):
        external(program)(request()[1])


def test_without_a_program_the_way_to_name_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMissing, match="RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE"):
        ExternalProgram("", "run", tmp_path)
