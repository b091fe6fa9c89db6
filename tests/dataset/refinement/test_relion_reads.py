"""RELION 3.1.3 goes on from our files, and we from those of RELION 3.1.3 and 5.0.1."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch

import requirements
from dataset.refinement.conftest import differences
from vitreous.dataset.refinement import command_line, read_iteration, write_iteration
from vitreous.engine.refinement.settings import Algorithm
from vitreous.engine.refinement.state import Moments
from vitreous.engine.sampling import Grid
from vitreous.io import StackWriter, Table, read_mrc, read_star, write_star, write_volume

BOX, PIXEL_A, N = 24, 8.0, 24
COMMON = (
    "--i parts.star --particle_diameter 120 --zero_mask --flatten_solvent --ctf --norm --scale "
    "--oversampling 1 --offset_range 2 --offset_step 2 --pad 2 --j 1 --random_seed 7 "
)
MAPS = COMMON + "--ref ref.mrc --ini_high 50 --firstiter_cc --healpix_order 0 --sym C2 "
RUNS = {
    "class2d": COMMON + "--K 2 --psi_step 30 --tau2_fudge 2 --iter 3",
    "class3d": MAPS + "--K 2 --tau2_fudge 4 --iter 3",
    "refine3d": MAPS + "--auto_refine --split_random_halves --low_resol_join_halves 40 "
    "--auto_local_healpix_order 3 --auto_iter_max 3",
}
each_run = pytest.mark.parametrize("kind", RUNS)


def refine(kind, folder, *words):
    """Run RELION in `folder`; half-sets need three processes of it."""
    program = ["relion_refine"]
    if kind == "refine3d":
        launch = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3"]
        program = [*launch, "relion_refine_mpi"]
    done = subprocess.run(
        [*program, *words], cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project of particles and what RELION 3.1.3 made of them in two iterations."""
    requirements.need("relion")
    folder = tmp_path_factory.mktemp("project")
    chance = np.random.default_rng(4)
    middle = BOX // 2
    z, y, x = np.indices((BOX,) * 3) - middle
    density = np.exp(-(((x - 2) / 4) ** 2 + (y / 3) ** 2 + ((z + 2) / 6) ** 2))
    write_volume(folder / "ref.mrc", density.astype(np.float32), PIXEL_A)
    with StackWriter(folder / "parts.mrcs", (BOX, BOX), PIXEL_A) as stack:
        for _ in range(N):
            image = density.sum(int(chance.integers(3))) + chance.normal(size=(BOX, BOX)) * 2
            stack.write(((image - image.mean()) / image.std()).astype(np.float32))
    rows = np.arange(N)
    table = Table.from_columns(
        "particles",
        {
            "rlnImageName": [f"{row + 1:06d}@parts.mrcs" for row in rows],
            "rlnMicrographName": [f"mics/m{row % 3}.mrc" for row in rows],
            "rlnOpticsGroup": 1 + (rows % 3) // 2,
            "rlnDefocusU": 15000.0 + rows,
            "rlnDefocusV": 14000.0 + rows,
            "rlnDefocusAngle": 10.0,
            "somebodysColumn": [f"t{row}" for row in rows],
        },
    )
    optics = Table.from_columns(
        "optics",
        {
            "rlnOpticsGroupName": ["one", "two"], "rlnOpticsGroup": [1, 2], "rlnVoltage": 300.0,
            "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1,
            "rlnImagePixelSize": PIXEL_A, "rlnImageSize": BOX, "rlnImageDimensionality": 2,
        },
    )  # fmt: skip
    write_star(folder / "parts.star", [optics, table], version=30001)
    for kind, line in RUNS.items():
        (folder / kind).mkdir()
        refine(kind, folder, *line.split(), "--o", f"{kind}/run", "--dont_check_norm")
    return folder


@each_run
def test_their_iteration_is_read_whole(kind, project):
    found = read_iteration(f"{kind}/run_it002_optimiser.star", project)
    assert (found.form, found.exact, found.notices) == ("3.1", False, ())
    settings, state = found.settings, found.state
    assert settings.ndim == (2 if kind == "class2d" else 3)
    assert settings.algorithm is Algorithm.EM
    assert (settings.seed, state.schedule.iteration) == (7, 2)
    assert len(state.models) == (2 if kind == "refine3d" else 1)
    assert settings.auto_refine == (kind == "refine3d")
    assert command_line(settings).count("--ini_high 50") == (kind != "class2d")
    model = state.models[0]
    assert model.references.shape == (1 if kind == "refine3d" else 2, *(BOX,) * settings.ndim)
    assert model.sigma2_noise.shape == (2, BOX // 2 + 1)
    assert (model.sigma2_noise > 0).all()
    assert model.group_names == ("mics/m0.mrc", "mics/m1.mrc", "mics/m2.mrc")
    directions = model.direction_weight
    assert directions.sum(1) == pytest.approx(model.class_weight, abs=1e-4)
    if settings.ndim == 3:
        assert directions.shape[1] == len(Grid(0, point_group="C2").pixels())
    assert state.assignments.norm.std() > 0
    assert set(state.assignments.half) == ({0, 1} if kind == "refine3d" else {0})
    assert state.sampling.shift_step_A == 2 * PIXEL_A
    assert "somebodysColumn" in found.particles.table


def test_noise_of_scale_groups_becomes_that_of_optics_groups(project):
    star = read_star(project / "class3d/run_it002_model.star")
    model = read_iteration("class3d/run_it002_optimiser.star", project).state.models[0]
    theirs = [star[f"model_group_{row}"]["rlnSigma2Noise"] for row in (1, 2, 3)]
    # Micrographs 0 and 1 are all of the first optics group, 2 is the second.
    assert model.sigma2_noise[0].numpy() == pytest.approx((theirs[0] + theirs[1]) / 2)
    assert model.sigma2_noise[1].numpy() == pytest.approx(theirs[2])


@each_run
def test_relion_goes_on_from_our_files(kind, project):
    found = read_iteration(f"{kind}/run_it002_optimiser.star", project)
    root = f"{kind}/ours"
    write_iteration(root, found.state, found.settings, found.particles, folder=project, form="3.1")
    told = refine(kind, project, "--continue", f"{root}_it002_optimiser.star",
                  "--o", f"{kind}/theirs", "--iter", "3", "--auto_iter_max", "3")  # fmt: skip
    unknown = {line.split()[-1] for line in told.splitlines() if "unknown label" in line}
    assert unknown <= {"somebodysColumn"}
    after = read_iteration(f"{kind}/theirs_it003_optimiser.star", project)
    assert after.state.schedule.iteration == 3
    known = {"particles", "references", "from_nothing", "low_pass_A", "firstiter_cc"}
    lost = {path.strip(".") for path in differences(found.settings, after.settings, close=1e-5)}
    assert lost - {"image.check_norm", "max_auto_iterations"} <= known  # none of the iterations
    own = continued_with_our_noise(kind, project)
    assert differences(after.state.assignments, own.state.assignments) == []
    assert differences(after.state.models, own.state.models) == []


def continued_with_our_noise(kind, project):
    """Return what RELION makes of its own files, whose noise we average over optics groups."""
    for path in sorted((project / kind).glob("run_it002_*model.star")):
        star = read_star(path)
        ours = read_star(path.with_name(path.name.replace("run", "ours")))
        for name in star:
            if name.startswith("model_group_"):
                star = star.with_table(ours[name])
        write_star(path.with_name(path.name.replace("run", "mixed")), star)
    optimiser = (project / kind / "run_it002_optimiser.star").read_text()
    for half in ("", "half1_", "half2_"):
        name = f"{kind}/run_it002_{half}model.star"
        optimiser = optimiser.replace(name, name.replace("run", "mixed"))
    (project / kind / "mixed_it002_optimiser.star").write_text(optimiser)
    refine(kind, project, "--continue", f"{kind}/mixed_it002_optimiser.star",
           "--o", f"{kind}/own", "--iter", "3", "--auto_iter_max", "3")  # fmt: skip
    return read_iteration(f"{kind}/own_it003_optimiser.star", project)


def test_relion_goes_on_from_a_gradient_run_by_expectation_and_maximisation(project):
    found = read_iteration("class2d/run_it002_optimiser.star", project)
    moments = tuple(
        Moments(torch.zeros(2, 9, 5, dtype=torch.complex64), torch.ones(9, 5)) for _ in range(2)
    )
    model = replace(found.state.models[0], moments=moments)
    settings = replace(found.settings, algorithm=Algorithm.GRADIENT)
    state = replace(found.state, models=(model,))
    write_iteration("class2d/vdam", state, settings, found.particles, folder=project, form="3.1")
    refine("class2d", project, "--continue", "class2d/vdam_it002_optimiser.star",
           "--o", "class2d/em", "--iter", "3")  # fmt: skip
    assert read_mrc(project / "class2d/em_it003_classes.mrcs")[0].std() > 0
    again = read_iteration("class2d/vdam_it002_optimiser.star", project)
    assert again.settings.algorithm is Algorithm.GRADIENT


def test_their_angular_distribution_is_drawn_alike(project):
    found = read_iteration("class3d/run_it002_optimiser.star", project)
    write_iteration("class3d/drawn", found.state, found.settings, found.particles, folder=project)
    for class_ in (1, 2):
        ours, theirs = (
            (project / f"class3d/{root}_it002_class{class_:03d}_angdist.bild").read_text().split()
            for root in ("drawn", "run")
        )
        assert [float(w) for w in ours if w[0] != "."] == pytest.approx(
            [float(w) for w in theirs if w[0] != "."], rel=1e-3, abs=2e-3
        )


@pytest.fixture
def refine5(data, tmp_path):
    """Return a project with one iteration of RELION 5.0.1; its maps are not kept, so flat ones."""
    source = data / "relion5_runs/refine3d_d2"
    (tmp_path / "ref").mkdir()
    for name in ("data", "sampling", "optimiser", "half1_model", "half2_model"):
        shutil.copy(source / f"run_it001_{name}.star", tmp_path / "ref")
    for half in (1, 2):
        flat = np.full((64, 64, 64), half, np.float32)
        write_volume(tmp_path / f"ref/run_it001_half{half}_class001.mrc", flat, 3.54)
    return tmp_path


def test_an_iteration_of_relion_5_is_read(refine5):
    found = read_iteration("ref/run_it001_optimiser.star", refine5)
    settings, state = found.settings, found.state
    assert (found.form, found.exact, found.root) == ("5.0", False, "ref/run")
    assert (settings.auto_refine, settings.searching.point_group) == (True, "D2")
    assert (settings.low_pass_A, settings.join_halves_A, settings.seed) == (40, 40, 1795336542)
    assert settings.searching.shift_range_px == 5
    assert settings.solvent.diameter_A == 190
    assert state.schedule.size_increment == 10
    assert settings.size_increment == 10
    assert [float(model.references.mean()) for model in state.models] == [1, 2]
    assert state.models[0].direction_weight.shape == (1, 48)
    assert len(state.assignments) == 684
    assert np.bincount(state.assignments.half).tolist() == [
        sum(model.group_counts) for model in state.models
    ]


@pytest.mark.parametrize(("run", "iteration"), [("class2d_em", 25), ("class2d_vdam", 100)])
def test_class_averages_of_relion_5_are_read(run, iteration, data, tmp_path):
    source = data / "relion5_runs" / run
    root = {"class2d_em": "c2em", "class2d_vdam": "c2vdam"}[run]
    shutil.copytree(source, tmp_path / root)
    stem = f"{root}/run_it{iteration:03d}"
    sampling = Table.from_columns(
        "sampling_general",
        {
            "rlnIs3DSampling": False, "rlnIs3DTranslationalSampling": False, "rlnPsiStep": 12.0,
            "rlnOffsetRange": 17.7, "rlnOffsetStep": 7.08, "rlnHelicalOffsetStep": -1.0,
            "rlnSamplingPerturbInstance": 0.25, "rlnSamplingPerturbFactor": 0.5,
            "rlnHealpixOrderOriginal": 2, "rlnPsiStepOriginal": 12.0,
            "rlnOffsetRangeOriginal": 17.7, "rlnOffsetStepOriginal": 7.08,
        },
        is_list=True,
    )  # fmt: skip
    write_star(tmp_path / f"{stem}_sampling.star", [sampling])
    found = read_iteration(f"{stem}_optimiser.star", tmp_path)
    settings, model = found.settings, found.state.models[0]
    is_gradient = run == "class2d_vdam"
    assert (settings.algorithm is Algorithm.GRADIENT) == is_gradient
    assert (settings.ndim, settings.n_classes, settings.n_iterations) == (2, 10, iteration)
    assert (settings.tau_fudge, settings.searching.psi_step_deg) == (2, 12)
    assert settings.centre_classes
    assert model.references.shape == (10, 64, 64)
    assert float(model.class_offset_A.abs().max()) > 0.1
    assert model.class_weight.sum() == pytest.approx(1, abs=1e-4)
    assert found.state.sampling.perturbation == 0.25
    # Their moments are not in the data folder.
    assert len(found.notices) == int(is_gradient)
    if is_gradient:
        assert settings.gradient.inactivity_threshold == 0.1
        assert found.notices[0].startswith("Moments of the gradient begin anew: c2vdam/run_it100")


def test_an_iteration_of_relion_5_has_the_same_columns_as_ours(refine5):
    found = read_iteration("ref/run_it001_optimiser.star", refine5)
    write_iteration("ref/ours", found.state, found.settings, found.particles, folder=refine5)
    only_tomo = {"rlnTomoTomogramsFile", "rlnTomoTrajectoriesFile"}
    for name in ("data", "sampling", "optimiser", "half1_model", "half2_model"):
        ours = read_star(refine5 / f"ref/ours_it001_{name}.star")
        theirs = read_star(refine5 / f"ref/run_it001_{name}.star")
        assert list(ours) == list(theirs)
        for table in theirs:
            assert set(ours[table].labels) == set(theirs[table].labels) - only_tomo
            if name != "optimiser":
                assert ours[table].labels == theirs[table].labels
    again = read_iteration("ref/ours_it001_optimiser.star", refine5)
    assert differences(again.state, found.state) == []
