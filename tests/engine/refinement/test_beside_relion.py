"""A global search beside `relion_refine` 3.1.3, from the files of the iteration before.

Sums and maps of known poses are compared in `test_against_relion`. Here most particles go where
RELION sends them; the others had several places that explain them nearly as well.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from refinement_engines import ENGINES
from vitreous.dataset.refinement import data_of, read_iteration
from vitreous.dataset.refinement.reading import Iteration
from vitreous.engine import geometry
from vitreous.engine.refinement import sizes
from vitreous.engine.refinement.state import State
from vitreous.io import StackWriter, Table, write_volume
from vitreous.io.star import Star, write_star
from vitreous.testing.oracle.cases import Recipe, make

pytestmark = pytest.mark.usefixtures("relion")
N, BOX = 60, 32
COMMON = "--ini_high 5 --ctf --ctf_corrected_ref --iter 2 --tau2_fudge 2 --K 1 --zero_mask --pad 2"
ONLY = "--particle_diameter 24 --sym C1 --dont_check_norm --random_seed 5 --j 1"


def run_relion(folder: Path, options: str) -> None:
    """Write a small data set of 1 A pixels, and refine it twice."""
    case = make(
        Recipe(box_px=BOX, pixel_size_A=1.0, n=N, noise=2.0, offset_A=1.5, scales=(0.8, 1.2, 1.0))
    )
    unit = 1 / case.noise
    with StackWriter(folder / "images.mrcs", (BOX, BOX), 1.0) as stack:
        stack.write((torch.stack(case.images) * unit).numpy().astype(np.float32))
    write_volume(folder / "start.mrc", (case.model.references[0] * unit).numpy(), 1.0)
    defocus = case.data.defocus
    optics = {
        "rlnOpticsGroup": [1], "rlnOpticsGroupName": ["one"], "rlnImagePixelSize": [1.0],
        "rlnImageSize": [BOX], "rlnImageDimensionality": [2], "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1],
    }  # fmt: skip
    particles = {
        "rlnImageName": [f"{row + 1:06d}@images.mrcs" for row in range(N)],
        "rlnMicrographName": [f"m{row % 3}.mrc" for row in range(N)],
        "rlnOpticsGroup": [1] * N,
        "rlnDefocusU": defocus.defocus_u_A.numpy(),
        "rlnDefocusV": defocus.defocus_v_A.numpy(),
        "rlnDefocusAngle": defocus.astigmatism_deg.numpy(),
    }
    tables = [Table.from_columns("optics", optics), Table.from_columns("particles", particles)]
    write_star(folder / "particles.star", Star(tables))
    (folder / "x").mkdir()
    command = (
        f"relion_refine --i particles.star --o x/run --ref start.mrc {COMMON} {ONLY} {options}"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, timeout=120)


def second_iteration(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> tuple[State, Iteration, Iteration]:
    """Return the state that iteration 2 began with, and the files before and after it."""
    monkeypatch.chdir(folder)
    before, after = (read_iteration(f"x/run_it{number:03d}_optimiser.star") for number in (1, 2))
    size = after.state.models[0].current_size_px
    state = replace(before.state, sampling=after.state.sampling)
    now = replace(state.schedule, iteration=2, current_size_px=size)
    coarse = sizes.coarse_size_px(30.0, 24.0, BOX, 1.0, 3)
    return replace(state, schedule=replace(now, coarse_size_px=coarse)), before, after


def test_a_global_search_finds_the_poses_of_relion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_relion(tmp_path, "--healpix_order 1 --offset_range 3 --offset_step 2 --norm --scale")
    state, before, after = second_iteration(monkeypatch, tmp_path)
    _, found = ENGINES["fast"](data_of(before.particles), state, before.settings, None)
    theirs = after.state.assignments
    poses = (
        geometry.matrix_from_euler(torch.from_numpy(one.angles_deg)) for one in (found, theirs)
    )
    degrees = geometry.rotation_distance_deg(*poses).numpy()
    angstrom = np.linalg.norm(found.origin_A - theirs.origin_A, axis=1)
    same = (degrees < 0.01) & (angstrom < 1e-3)
    assert same.mean() > 0.85
    assert np.corrcoef(found.pmax[same], theirs.pmax[same])[0, 1] > 0.85
    np.testing.assert_allclose(found.norm[same], theirs.norm[same], rtol=0.01)
