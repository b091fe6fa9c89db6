"""One expectation step beside RELION 3.1.3's, from the same files: the same poses and weights.

RELION 3.1.3 keeps one noise spectrum for each micrograph, later versions and this engine one for
each optics group, so all particles come from one micrograph here. It also scales offsets with
the pixel size where it compares them with their prior, so pixels are 1 Å.
"""

from __future__ import annotations

import subprocess
from contextlib import chdir
from dataclasses import replace

import numpy as np
import pytest
import torch

from refinement_engines import ENGINES
from vitreous.dataset.refinement import data_of, read_iteration
from vitreous.engine import geometry
from vitreous.engine.refinement import schedule, updates
from vitreous.io import StackWriter, Table, write_star, write_volume
from vitreous.testing.oracle.cases import Case, Recipe, make

BOX, N = 32, 60
COMMAND = (
    "relion_refine --i p.star --o relion/run --ref ref.mrc --ini_high 5 --ctf --ctf_corrected_ref "
    "--iter 2 --tau2_fudge 2 --particle_diameter 24 --K 1 --zero_mask --healpix_order 1 "
    "--offset_range 3 --offset_step 2 --sym C1 --j 1 --random_seed 5 --pad 2 --dont_check_norm "
    "--oversampling 1 --norm --scale --flatten_solvent"
)


def _write(case: Case) -> None:
    scale = 1 / case.noise
    with StackWriter("p.mrcs", (BOX, BOX), 1.0) as stack:
        stack.write(torch.stack(case.images).numpy().astype(np.float32) * scale)
    write_volume("ref.mrc", (case.model.references[0] * scale).numpy().astype(np.float32), 1.0)
    defocus = case.data.defocus
    optics = {
        "rlnOpticsGroup": [1], "rlnOpticsGroupName": ["one"], "rlnImagePixelSize": [1.0],
        "rlnImageSize": [BOX], "rlnImageDimensionality": [2], "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1],
    }  # fmt: skip
    particles = {
        "rlnImageName": [f"{row + 1:06d}@p.mrcs" for row in range(N)],
        "rlnMicrographName": ["one.mrc"] * N,
        "rlnOpticsGroup": [1] * N,
        "rlnDefocusU": defocus.defocus_u_A.numpy(),
        "rlnDefocusV": defocus.defocus_v_A.numpy(),
        "rlnDefocusAngle": defocus.astigmatism_deg.numpy(),
    }
    tables = [Table.from_columns("optics", optics), Table.from_columns("particles", particles)]
    write_star("p.star", tables)


@pytest.mark.parametrize("engine", ["fast", pytest.param("oracle", marks=pytest.mark.slow)])
def test_a_step_gives_the_poses_and_weights_of_relion(engine, relion, tmp_path):
    recipe = Recipe(ndim=3, box_px=BOX, pixel_size_A=1.0, n=N, noise=2.0, offset_A=1.5, seed=3)
    with chdir(tmp_path):
        _write(make(recipe))
        (tmp_path / "relion").mkdir()
        subprocess.run(COMMAND.split(), check=True, capture_output=True)
        before, after = (read_iteration(f"relion/run_it00{n}_optimiser.star") for n in (1, 2))
        state, model = before.state, after.state.models[0]
        now = replace(state.schedule, iteration=2, current_size_px=model.current_size_px)
        coarse = schedule._coarse_size_px(
            now, after.state.sampling, state.models[0], before.settings
        )
        now = replace(now, coarse_size_px=coarse)
        state = replace(state, schedule=now, sampling=after.state.sampling)
        sums, found = ENGINES[engine](data_of(before.particles), state, before.settings, None)
    wanted = after.state.assignments
    poses = [
        geometry.matrix_from_euler(torch.from_numpy(one.angles_deg)) for one in (found, wanted)
    ]
    assert geometry.rotation_distance_deg(*poses).max() < 0.01
    assert np.abs(found.origin_A - wanted.origin_A).max() < 0.001
    assert np.abs(found.pmax - wanted.pmax).max() < 0.002
    assert np.array_equal(found.n_significant, wanted.n_significant)
    assert np.abs(found.log_likelihood - wanted.log_likelihood).max() < 0.05
    assert found.norm == pytest.approx(wanted.norm, rel=1e-4)
    updated = updates.updated(
        state.models[0], sums.statistics, before.settings, mean_norm=float(found.norm.mean())
    )
    assert updated.sigma2_noise[0, :-1] == pytest.approx(model.sigma2_noise[0, :-1], rel=2e-3)
    assert updated.sigma_offset_A == pytest.approx(model.sigma_offset_A, rel=1e-3)
