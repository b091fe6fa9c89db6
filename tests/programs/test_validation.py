"""What post-processing tells beyond its FSC: figures, pictures, warnings that name the cause."""

import math

import numpy as np
import pytest
import torch

from programs.fake_run import FakeRun
from programs.jobs_made import run_job
from vitreous.engine import filtering, fourier, masking, resolution
from vitreous.errors import InputError, MissingFileError
from vitreous.io import Table, write_star, write_volume
from vitreous.jobs import registry
from vitreous.programs import validation
from vitreous.programs.half_maps import read_halves, read_mask
from vitreous.programs.validation import Wanted

A, N = 2.0, 64
FOLDER = "Refine3D/job001"
HALF1 = f"{FOLDER}/run_half1_class001_unfil.mrc"


def noise(seed):
    return torch.randn((N,) * 3, generator=torch.Generator().manual_seed(seed))


def particle(stretch=1.0):
    """Signal in a ball that fades with resolution, `stretch` times faster along z."""
    k = fourier.frequencies((N,) * 3, 3)
    square = k[..., 0] ** 2 + k[..., 1] ** 2 + (stretch * k[..., 2]) ** 2
    shape = masking.sphere(N, 3, 15, 4)
    fading = fourier.forward(noise(0) * shape, 3) * torch.exp(-30 * square)
    return 10 * fourier.inverse(fading, 3, N)


def write_halves(project, signal, shared=0.0, change=lambda half: half):
    (project / FOLDER).mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        own = shared**0.5 * noise(9) + (1 - shared) ** 0.5 * noise(number)
        half = change(signal + 0.7 * own)
        write_volume(project / HALF1.replace("half1", f"half{number}"), half.numpy(), A)


@pytest.fixture
def project(tmp_path):
    write_halves(tmp_path, particle())
    write_volume(tmp_path / "mask.mrc", masking.sphere(N, 3, 18, 6).numpy(), A)
    return tmp_path


def process(project, other="", **values):
    values = {"half_map": HALF1, "mask": "mask.mrc", "fit_from_A": 15} | values
    return run_job(project, "postprocess", other_arguments=other, **values)


def examine(project, randomise_from=None, **wanted):
    """What post-processing calls, without the rest of it."""
    run = FakeRun(project, "PostProcess/job001/")
    halves = read_halves(run, HALF1, "", -1)
    mask = read_mask(run, "mask.mrc", halves)
    generator = torch.Generator().manual_seed(0)
    seen = validation.watch(mask)
    curves = resolution.fsc_curves(
        halves.first,
        halves.second,
        mask,
        generator,
        randomise=resolution.Randomising(randomise_from),
        watch=seen,
    )
    validation.report(run, halves, mask, seen, curves, Wanted(**wanted))
    return run


def write_particles(project, tilts_deg, extra=None, name="run_data.star", optics=None):
    rng = np.random.default_rng(0)
    columns = {
        "rlnAngleRot": rng.uniform(-180, 180, len(tilts_deg)),
        "rlnAngleTilt": tilts_deg,
        "rlnRandomSubset": rng.integers(1, 3, len(tilts_deg)),
    } | (extra or {})
    tables = [Table.from_columns("particles", {k: v for k, v in columns.items() if v is not None})]
    if optics:
        tables.insert(0, Table.from_columns("optics", optics))
    write_star(project / FOLDER / name, tables)


def even_tilts(n=4000):
    return np.degrees(np.arccos(np.random.default_rng(1).uniform(-1, 1, n)))


def declared(kind):
    results = registry.find("postprocess").new({}, {}).results()
    return {one.name for one in results if one.kind == kind}


def test_a_good_map_gets_figures_and_no_warning(project):
    write_particles(project, even_tilts())
    run = process(project)
    assert run.warnings == []
    found = run.headlines
    assert found["best_direction"] <= found["resolution"] * 1.05
    assert found["worst_direction"] >= found["resolution"] * 0.95
    assert 1 <= found["anisotropy"] < 1.15
    assert found["anisotropy"] == pytest.approx(found["anisotropy_by_chance"], abs=0.08)
    assert found["sphericity"] > 0.95
    assert 0 < found["resolution_error"] < 0.1 * found["resolution"]
    assert abs(found["mask_correlation"]) < 0.05
    assert found["mask_gain"] == pytest.approx(1, abs=0.05)
    assert abs(found["shared_noise"]) < 0.03
    assert found["scf"] > 0.95
    assert found["unsampled"] == 0
    plots = {"mask", "spread", "directional_fsc", "occupancy", "directions", "views"}
    assert plots <= set(run.plots)
    assert set(run.plots) <= declared("plot")
    assert set(found) <= declared("headline")


def test_it_can_be_left_out(project):
    run = process(project, "--skip_validation")
    assert "anisotropy" not in run.headlines
    assert set(run.plots) == {"fsc", "guinier", "slices"}


def test_a_map_that_is_smeared_along_z_is_told_with_its_axis(project):
    write_halves(project, particle(stretch=1.7))
    run = examine(project)
    assert "Resolution depends on direction" in run.told
    words = run.told.split("around (")[1].split(")")[0]
    assert abs(float(words.split(", ")[2])) > 0.85
    assert run.headlines["anisotropy"] > 1.3
    assert run.headlines["sphericity"] < run.headlines["sphericity_by_chance"]
    panel = run.plots["directions"]["panels"][0]["image"]
    middle, side = panel[60][60], panel[60][8]
    assert middle > 1.3 * side  # in Å: worse along z than along x
    assert panel[0][0] is None


def test_halves_that_share_noise_are_told(project):
    write_halves(project, particle(), shared=0.08)
    run = examine(project)
    assert "They share noise" in run.told
    assert run.headlines["shared_noise"] == pytest.approx(0.08, abs=0.03)


def test_halves_that_were_masked_or_filtered_are_told(project):
    write_halves(project, particle(), change=lambda half: half * masking.sphere(N, 3, 18, 4))
    assert "The half-maps were masked" in examine(project).told
    write_halves(project, particle(), change=lambda half: filtering.low_pass(half, 6, A, 3))
    assert "The half-maps were filtered: beyond" in examine(project).told


def test_a_mask_that_makes_the_resolution_is_told(project):
    """Only coarse features: beyond them a hard, small mask spreads what there is."""
    write_halves(project, 60 * filtering.low_pass(noise(5), 32, A, 3))
    write_volume(project / "mask.mrc", masking.sphere(N, 3, 7, 0).numpy(), A)
    run = examine(project, randomise_from=20)
    assert "The resolution depends on the mask" in run.told
    assert run.headlines["mask_gain"] > 1.05


def test_a_mask_that_cuts_the_particle_is_told(project):
    write_volume(project / "mask.mrc", masking.sphere(N, 3, 7, 4).numpy(), A)
    run = examine(project)
    assert "The mask leaves out part" in run.told
    assert run.headlines["mask_gain"] < 0.95


def test_missing_views_are_told(project):
    write_particles(project, np.full(4000, 30.0))
    run = examine(project)
    assert "are seen by no particle" in run.told
    # Slices are as thick as the resolution over the particle, which fills a little of the cone.
    assert 35 < run.headlines["unsampled"] < 50
    assert len(run.plots["views"]["panels"]) == 3


def test_uneven_views_are_told(project):
    tilts = even_tilts(4000)
    tilts[:3900] = 90
    extra = {"rlnAngleRot": np.where(np.arange(4000) < 3900, 10.0, np.linspace(-180, 180, 4000))}
    write_particles(project, tilts, extra)
    run = examine(project)
    assert "Views are uneven" in run.told or "are seen by no particle" in run.told
    assert run.headlines["scf"] < 0.5


def test_the_symmetry_of_the_refinement_counts(project):
    """Side views around one axis of an octahedron are side views of three."""
    write_particles(project, np.full(4000, 90.0))
    alone = examine(project).headlines["scf"]
    assert alone == pytest.approx(8 / math.pi**2, abs=0.03)
    general = Table.from_columns("sampling_general", {"rlnSymmetryGroup": ["O"]}, is_list=True)
    write_star(project / FOLDER / "run_it012_sampling.star", [general])
    run = examine(project)
    assert "symmetry O" in "\n".join(run.lines)
    assert run.headlines["scf"] > alone + 0.05
    assert examine(project, point_group="C1").headlines["scf"] == alone


def test_refinements_without_independent_halves_are_told(project):
    general = {"rlnDoSplitRandomHalves": [0]}
    table = Table.from_columns("optimiser_general", general, is_list=True)
    write_star(project / FOLDER / "run_optimiser.star", [table])
    assert "not the gold standard" in examine(project).told


def test_the_last_iteration_of_auto_refine_joins_halves_that_were_independent(project):
    def optimiser(name, split, comment=""):
        general = {"rlnDoSplitRandomHalves": [split]}
        path = project / FOLDER / name
        write_star(path, [Table.from_columns("optimiser_general", general, is_list=True)])
        path.write_text(f"# {comment}\n{path.read_text()}")

    optimiser("run_optimiser.star", 0)
    optimiser("run_it011_optimiser.star", 1)
    assert "not the gold standard" not in examine(project).told
    (project / FOLDER / "run_it011_optimiser.star").unlink()  # cleaned
    assert "not the gold standard" in examine(project).told
    optimiser("run_optimiser.star", 0, "--auto_refine --split_random_halves")
    assert "not the gold standard" not in examine(project).told


def test_half_sets_that_are_not_apart_are_told(project):
    tilts = even_tilts(400)
    write_particles(project, tilts, {"rlnRandomSubset": None})
    assert "name no half set" in examine(project).told
    names = [f"{n // 2}@stack.mrcs" for n in range(400)]
    halves = {"rlnImageName": names, "rlnRandomSubset": np.tile([1, 2], 200)}
    write_particles(project, tilts, halves)
    assert "200 images stand in both half sets" in examine(project).told
    places = {
        "rlnRandomSubset": np.tile([1, 2], 200),
        "rlnMicrographName": ["a.mrc"] * 400,
        "rlnCoordinateX": 100.0 * (np.arange(400) // 2),
        "rlnCoordinateY": np.zeros(400),
        "rlnOpticsGroup": np.ones(400, int),
    }
    optics = {"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [1.0]}
    write_particles(project, tilts, places, optics=optics)
    assert "200 particles of half 1 lie nearer" in examine(project).told


def test_what_cannot_be_validated_is_refused_before(project):
    with pytest.raises(MissingFileError, match=r"--particles no\.star: there is no such file"):
        process(project, "--particles no.star")
    with pytest.raises(InputError, match="--n_splits needs the particles with their images"):
        process(project, "--n_splits 3")
    with pytest.raises(InputError, match=r"--n_splits is -1; wanted 0 or more"):
        process(project, "--n_splits -1")
    with pytest.raises(InputError, match="Q7"):
        process(project, "--sym Q7")


def test_particles_without_angles_or_rows_are_passed_over(project):
    write_particles(project, even_tilts(50), {"rlnAngleTilt": None})
    assert "views" not in examine(project).plots


def test_curves_that_never_fall_and_maps_without_anything_pass(project):
    write_halves(project, 50 * noise(3) * masking.sphere(N, 3, 15, 4))
    run = examine(project)
    assert run.headlines["anisotropy"] == 1
    write_halves(project, 0 * particle())
    assert "anisotropy" not in examine(project).headlines
