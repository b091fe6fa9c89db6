"""One iteration of RELION 3.1.3 and ours, from the same files: first state, sums, new model."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import requirements
from vitreous.dataset.particles import read_particles
from vitreous.dataset.refinement import assignments_of, data_of, scale_groups
from vitreous.engine import grids
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement import halves, schedule, spectra, updates, wiener
from vitreous.engine.refinement.external_regulariser import Exchange, external
from vitreous.engine.refinement.initial import initial_state
from vitreous.engine.refinement.initial_noise import first_noise
from vitreous.engine.refinement.initial_references import given_references
from vitreous.engine.refinement.maximisation import Known, maximise
from vitreous.engine.refinement.regulariser import Regularised, Request
from vitreous.engine.refinement.settings import Image, Searching, Settings, Solvent
from vitreous.engine.refinement.state import State
from vitreous.engine.refinement.weights import reached, weights_of
from vitreous.io import (
    StackWriter,
    Table,
    read_star,
    read_volume,
    write_mrc,
    write_star,
    write_volume,
)
from vitreous.testing.oracle import cases, expectation

BOX, PIXEL_A, DIAMETER_A = 24, 4.0, 72.0
LOW_PASS_A = 13.0
COMMON = (
    f"--i p.star --ref ref.mrc --ini_high {LOW_PASS_A} --ctf --particle_diameter {DIAMETER_A} "
    "--zero_mask --skip_align --pad 2 --norm --scale --flatten_solvent --j 1 --random_seed 1 "
    "--skip_gridding --ctf_corrected_ref "
)
CLASS = f"relion_refine --o x/run --K 1 --iter 1 --tau2_fudge 2 {COMMON}"
HALVES = (
    "mpirun --allow-run-as-root --oversubscribe -n 3 relion_refine_mpi --o x/halves --auto_refine "
    f"--split_random_halves --low_resol_join_halves 30 --auto_iter_max 1 --iter 1 {COMMON}"
)


@dataclass(frozen=True)
class Theirs:
    """A folder in which RELION refined, and the case it was given."""

    folder: Path
    case: cases.Case

    def curves(self, root: str) -> Table:
        return read_star(self.folder / "x" / f"{root}_model.star")["model_class_1"]

    def volume(self, name: str) -> Tensor:
        return torch.from_numpy(np.array(read_volume(self.folder / "x" / name).data))

    def sums(self, root: str, radius: int) -> Accumulator:
        """Read the sums that RELION wrote for an external program."""
        real, imaginary, weight = (
            self.volume(f"{root}_external_reconstruct_{part}.mrc")
            for part in ("data_real", "data_imag", "weight")
        )
        made = Accumulator(BOX, 2, radius)
        made.grid[..., :2] = torch.view_as_real(
            grids.centred(torch.complex(real, imaginary), 2 * radius)
        )
        made.grid[..., 2] = grids.centred(weight + 0j, 2 * radius).real
        return made


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Theirs:
    requirements.need("relion")
    folder = tmp_path_factory.mktemp("relion")
    case = cases.make(
        cases.Recipe(
            n=60, box_px=BOX, pixel_size_A=PIXEL_A, noise=0.7, offset_A=0, offset_error_A=0
        )
    )
    with StackWriter(folder / "p.mrcs", (BOX, BOX), PIXEL_A) as stack:
        stack.write(torch.stack(case.images).float().numpy())
    n, optics, defocus = len(case.images), case.data.optics, case.data.defocus
    write_star(
        folder / "p.star",
        [
            Table.from_columns(
                "optics",
                {
                    "rlnOpticsGroupName": ["one"],
                    "rlnOpticsGroup": [1],
                    "rlnVoltage": [float(optics.voltage_kV[0])],
                    "rlnSphericalAberration": [float(optics.cs_mm[0])],
                    "rlnAmplitudeContrast": [float(optics.amplitude_contrast[0])],
                    "rlnImagePixelSize": [PIXEL_A],
                    "rlnImageSize": [BOX],
                    "rlnImageDimensionality": [2],
                },
            ),
            Table.from_columns(
                "particles",
                {
                    "rlnImageName": [f"{i + 1:06d}@p.mrcs" for i in range(n)],
                    "rlnMicrographName": ["one.mrc"] * n,
                    "rlnOpticsGroup": [1] * n,
                    "rlnDefocusU": defocus.defocus_u_A.tolist(),
                    "rlnDefocusV": defocus.defocus_v_A.tolist(),
                    "rlnDefocusAngle": defocus.astigmatism_deg.tolist(),
                    "rlnAngleRot": case.state.assignments.angles_deg[:, 0].tolist(),
                    "rlnAngleTilt": case.state.assignments.angles_deg[:, 1].tolist(),
                    "rlnAnglePsi": case.state.assignments.angles_deg[:, 2].tolist(),
                    "rlnOriginXAngst": [0.0] * n,
                    "rlnOriginYAngst": [0.0] * n,
                    "rlnRandomSubset": [1 + i % 2 for i in range(n)],
                },
            ),
        ],
        30001,
    )
    write_volume(folder / "ref.mrc", case.objects[0].volume(BOX).float().numpy(), PIXEL_A)
    (folder / "x").mkdir()
    for command in (
        CLASS,
        CLASS.replace("--o x/run", "--o x/ext --external_reconstruct"),
        HALVES + "--external_reconstruct",
    ):
        done = subprocess.run(
            command.split(), cwd=folder, capture_output=True, timeout=120, text=True
        )
        assert done.returncode == 0, done.stderr
    return Theirs(folder, case)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(
        tau_fudge=2.0,
        low_pass_A=LOW_PASS_A,
        searching=Searching(skip_align=True),
        image=Image(correct_ctf=True, correct_norm=True, correct_scale=True),
        solvent=Solvent(diameter_A=DIAMETER_A, zero_mask=True, flatten=True),
        seed=1,
    )


@pytest.fixture(scope="module")
def start(theirs: Theirs, settings: Settings) -> State:
    particles = read_particles(theirs.folder / "p.star", theirs.folder)
    data, groups = data_of(particles), scale_groups(particles)
    assignments = assignments_of(particles, groups=groups)
    noise = first_noise(data, assignments, settings, BOX, PIXEL_A)
    reference = theirs.case.objects[0].volume(BOX).float()[None]
    given = given_references(reference, PIXEL_A, settings, BOX, PIXEL_A)
    return initial_state(settings, assignments, noise, [given], PIXEL_A, groups.names)


def ratio(ours: Tensor, theirs: object, shells: slice) -> Tensor:
    return ours[shells] / torch.from_numpy(np.array(theirs, np.float64))[shells]


def near_one(values: Tensor, tolerance: float) -> None:
    assert torch.allclose(values, torch.ones_like(values), rtol=0, atol=tolerance), values


def test_the_start_is_relions(theirs: Theirs, start: State) -> None:
    """Low-passed reference, its power, expected signal to noise, first noise spectrum."""
    (model,), known = start.models, theirs.curves("run_it000")
    reference = theirs.volume("run_it000_class001.mrc")
    assert torch.allclose(model.references[0], reference, atol=1e-6 * float(reference.abs().max()))
    low = slice(0, 7)
    near_one(ratio(model.tau2[0], known["rlnReferenceTau2"], low), 2e-4)
    near_one(ratio(model.ssnr[0], known["rlnSsnrMap"], low), 2e-4)
    noise = read_star(theirs.folder / "x" / "run_it000_model.star")["model_group_1"]
    near_one(ratio(model.sigma2_noise[0], noise["rlnSigma2Noise"], slice(None)), 2e-4)


def test_an_iteration_of_ours_is_relions(theirs: Theirs, start: State, settings: Settings) -> None:
    """Expectation with fixed poses, then maximisation: noise, powers, map, offsets, norm."""
    particles = read_particles(theirs.folder / "p.star", theirs.folder)
    data = data_of(particles)
    state = schedule.begin_iteration(start, settings, len(data))
    state = schedule.update_sampling(state, settings)
    sums, assignments = expectation(data, state, settings, None)
    known = Known(
        mean_norms=(float(assignments.norm.mean()),),
        pixel_counts=updates.pixel_counts(data.optics, BOX, PIXEL_A),
    )
    (model,), _ = maximise(state, (sums,), settings, known=known)
    radius = state.schedule.current_size_px // 2
    general = read_star(theirs.folder / "x" / "run_it001_model.star")["model_general"]
    assert general.value("rlnCurrentImageSize") == 2 * radius
    curves, shells = theirs.curves("run_it001"), slice(1, radius)
    near_one(ratio(model.sigma2_map[0], curves["rlnReferenceSigma2"], shells), 5e-4)
    near_one(ratio(model.tau2[0], curves["rlnReferenceTau2"], shells), 5e-4)
    near_one(ratio(model.ssnr[0], curves["rlnSsnrMap"], shells), 5e-4)
    assert np.allclose(
        model.completeness[0, shells], curves["rlnFourierCompleteness"][shells], atol=0.01
    )
    noise = read_star(theirs.folder / "x" / "run_it001_model.star")["model_group_1"]
    near_one(ratio(model.sigma2_noise[0], noise["rlnSigma2Noise"], slice(1, None)), 5e-4)
    assert model.mean_norm == pytest.approx(general.value("rlnNormCorrectionAverage"), rel=1e-4)
    classes = read_star(theirs.folder / "x" / "run_it001_model.star")["model_classes"]
    overall = classes["rlnOverallFourierCompleteness"][0]
    assert float(model.class_completeness[0]) == pytest.approx(overall, abs=0.015)
    assert model.log_likelihood == pytest.approx(general.value("rlnLogLikelihood"), rel=1e-4)
    found, expected = model.references[0], theirs.volume("run_it001_class001.mrc")
    assert float((found - expected).norm() / expected.norm()) < 1e-3


def test_powers_and_map_from_relions_own_sums(theirs: Theirs) -> None:
    curves = theirs.curves("ext_it001")
    tau2 = torch.from_numpy(np.array(curves["rlnReferenceTau2"], np.float64))
    radius = int((tau2 > 0).sum()) - 1
    sums = theirs.sums("ext_it001_class001", radius)
    weights = weights_of(sums)
    found = spectra.from_power(tau2, weights, 2.0)
    shells = slice(0, radius)
    near_one(ratio(found.sigma2_map, curves["rlnReferenceSigma2"], shells), 1e-4)
    near_one(ratio(found.ssnr, curves["rlnSsnrMap"], shells), 2e-4)
    coverage = weights.coverage(reached(sums.grid, weights, 2 * tau2))
    assert np.allclose(coverage[shells], curves["rlnFourierCompleteness"][shells], atol=2e-3)
    # Without flattening: compare inside of the mask.
    volume = wiener.solve(sums, weights, 2 * tau2).volume
    expected = theirs.volume("run_it001_class001.mrc")
    inside = (expected != 0) & (expected.abs() > 0.1 * expected.abs().max())
    assert float((volume - expected)[inside].norm() / expected[inside].norm()) < 0.02


def test_halves_are_joined_and_compared_as_relion_does(theirs: Theirs) -> None:
    curves = theirs.curves("halves_it001_half1")
    fsc = np.array(curves["rlnGoldStandardFsc"])
    radius = int(np.flatnonzero(fsc)[-1])
    first, second = (theirs.sums(f"halves_it001_half{half}_class001", radius) for half in (1, 2))
    shell = halves.join_shell(BOX, PIXEL_A, 30.0, 1 / LOW_PASS_A)
    distance = grids.radius_of(first.weight)
    same = (first.grid == second.grid).all(-1)
    assert bool(same[distance <= 2 * shell].all())
    beyond = (distance > 2 * shell) & (distance < 2 * shell + 1) & (first.weight > 0)
    assert not bool(same[beyond].any())
    # Interpolation reaches beyond the last shell, which RELION counts and does not write.
    found = halves.correlation(first, second, BOX // 2 + 1)
    assert np.allclose(found[:radius], fsc[:radius], atol=1e-5)
    whole = spectra.from_fsc(found, weights_of(first), 1.0)
    shells = slice(shell + 1, radius)
    near_one(ratio(whole.tau2, curves["rlnReferenceTau2"], shells), 1e-3)
    near_one(ratio(whole.ssnr, curves["rlnSsnrMap"], shells), 1e-3)


def test_relions_external_program_solves_for_our_map(theirs: Theirs, tmp_path: Path) -> None:
    """Files made from `Exchange` are what ``relion_external_reconstruct`` reads."""
    curves = theirs.curves("ext_it001")
    tau2 = torch.from_numpy(np.array(curves["rlnReferenceTau2"], np.float64))
    radius = int((tau2 > 0).sum()) - 1
    sums = theirs.sums("ext_it001_class001", radius)
    zero = torch.zeros_like(tau2)
    request = Request(
        sums,
        weights_of(sums),
        tau2,
        zero,
        PIXEL_A,
        DIAMETER_A,
        2 * radius,
        2.0,
        gridding_iterations=10,
    )

    def exchange(given: Exchange) -> Regularised:
        parts = {"data_real": given.data.real, "data_imag": given.data.imag, "weight": given.weight}
        for name, values in parts.items():
            write_mrc(tmp_path / f"x_{name}.mrc", values.contiguous().numpy(), PIXEL_A)
        general = {
            "rlnExtReconsDataReal": "x_data_real.mrc",
            "rlnExtReconsDataImag": "x_data_imag.mrc",
            "rlnExtReconsWeight": "x_weight.mrc",
            "rlnExtReconsResult": "map.mrc",
            "rlnExtReconsResultStarfile": "out.star",
            "rlnTau2FudgeFactor": given.request.tau_fudge,
            "rlnPaddingFactor": given.request.sums.padding,
            "rlnReferenceDimensionality": 3,
            "rlnOriginalImageSize": BOX,
            "rlnCurrentImageSize": given.request.current_size_px,
        }
        table = {
            "rlnSpectralIndex": list(range(len(given.tau2))),
            "rlnReferenceTau2": given.tau2.tolist(),
            "rlnGoldStandardFsc": given.fsc.tolist(),
        }
        write_star(
            tmp_path / "in.star",
            [
                Table.from_columns("external_reconstruct_general", general, is_list=True),
                Table.from_columns("external_reconstruct_tau2", table),
            ],
            30001,
        )
        command = ["relion_external_reconstruct", "in.star"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, text=True)
        assert done.returncode == 0, done.stderr
        return Regularised(torch.from_numpy(np.array(read_volume(tmp_path / "map.mrc").data)))

    found = external(exchange)(request).volume
    expected = theirs.volume("ext_it001_class001_external_reconstruct.mrc")
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))
