"""Random half splits of particles: as good as the halves where poses are true, better where not."""

import numpy as np
import pytest
import torch

from programs.fake_run import FakeRun
from vitreous.engine import fourier, geometry, masking, reconstruction, resolution
from vitreous.engine.projection import Accumulator
from vitreous.errors import InputError
from vitreous.io import Table, write_mrc, write_star, write_volume
from vitreous.programs import validation_particles, validation_splits
from vitreous.programs.half_maps import HalfMaps
from vitreous.testing import phantoms

N, A, COUNT = 32, 3.0, 240
FOLDER = "Refine3D/job001"


def generator(seed):
    return torch.Generator().manual_seed(seed)


def made(project, own=0.0, noise=0.6):
    """Particles with true poses; each half also has something that the other has not."""
    (project / FOLDER).mkdir(parents=True, exist_ok=True)
    poses = geometry.random_rotations(COUNT, generator(1), torch.float64)
    half = torch.arange(COUNT) % 2
    common = phantoms.cluster(20, radius_px=9, width_px=1.0, seed=1).projections(poses, N)
    extra = [
        phantoms.cluster(20, radius_px=9, width_px=1.0, seed=seed).projections(poses, N)
        for seed in (5, 6)
    ]
    images = common + own * torch.where(half[:, None, None] == 0, extra[0], extra[1])
    images += noise * images.std() * torch.randn(images.shape, generator=generator(2)).double()
    images = images.float()
    write_mrc(project / "stack.mrcs", images.numpy(), A)
    angles = geometry.euler_from_matrix(poses).numpy()
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [A], "rlnImageSize": [N]}
    optics |= {"rlnVoltage": [300.0], "rlnSphericalAberration": [2.7]}
    optics |= {"rlnAmplitudeContrast": [0.1], "rlnImageDimensionality": [2]}
    rows = {
        "rlnImageName": [f"{number + 1:06d}@stack.mrcs" for number in range(COUNT)],
        "rlnAngleRot": angles[:, 0],
        "rlnAngleTilt": angles[:, 1],
        "rlnAnglePsi": angles[:, 2],
        "rlnOriginXAngst": np.zeros(COUNT),
        "rlnOriginYAngst": np.zeros(COUNT),
        "rlnRandomSubset": half.numpy() + 1,
        "rlnOpticsGroup": np.ones(COUNT, int),
    }
    tables = [Table.from_columns("optics", optics), Table.from_columns("particles", rows)]
    write_star(project / FOLDER / "run_data.star", tables)
    maps = []
    for number in (0, 1):
        sums = Accumulator(N, 1)
        values = fourier.forward(images[half == number], 2)
        sums.add_(values, torch.ones(values.shape), poses[half == number].float())
        sums.finish_()
        maps.append(reconstruction.reconstruct(sums))
        name = f"{FOLDER}/run_half{number + 1}_class001_unfil.mrc"
        write_volume(project / name, maps[-1].numpy(), A)
    return maps


def split(project, maps, n_splits=6):
    run = FakeRun(project, "PostProcess/job001/")
    names = tuple(f"{FOLDER}/run_half{n}_class001_unfil.mrc" for n in (1, 2))
    halves = HalfMaps(names, *maps, A)
    mask = masking.sphere(N, 3, 12, 3)
    curves = resolution.fsc_curves(*maps, mask, generator(0))
    origin = validation_particles.find(run, names[0], "", "")
    validation_splits.report(run, origin, halves, mask, curves, n_splits, 0)
    return run


def curve_of(run, name):
    found = next(one for one in run.plots["splits"]["series"] if one["name"] == name)
    return np.array(found["y"])


def test_with_true_poses_all_splits_are_alike(tmp_path):
    run = split(tmp_path, made(tmp_path))
    assert run.warnings == []
    mean, gold = (curve_of(run, name) for name in ("mean", "halves of the refinement"))
    assert np.abs(mean - gold)[1:].max() < 0.12
    lowest, highest = curve_of(run, "lowest"), curve_of(run, "highest")
    assert (lowest <= mean + 1e-9).all()
    assert (mean <= highest + 1e-9).all()
    # Beyond the resolution a shell of radius 14 inside the mask holds a few hundred coefficients.
    assert 0.005 < (highest - lowest)[-4:].mean() < 0.2
    assert 0 < run.headlines["split_deviation"] < 0.1 * run.headlines["split_resolution"]


def test_the_halves_of_the_refinement_are_rebuilt(tmp_path):
    """The dashed curve is that of the half-maps themselves, made of the same particles."""
    maps = made(tmp_path)
    run = split(tmp_path, maps)
    mask = masking.sphere(N, 3, 12, 3)
    wanted = resolution.fsc_curves(*maps, mask, generator(0)).best.numpy()
    gold = curve_of(run, "halves of the refinement")
    np.testing.assert_allclose(gold, wanted[: len(gold)], atol=2e-3)


def test_halves_that_each_follow_something_of_their_own_are_told(tmp_path):
    """Noise that a half was fitted to is in its own map only; a new split has it in both."""
    run = split(tmp_path, made(tmp_path, own=0.8))
    assert "poses follow noise of their own half's reference" in run.told
    mean, gold = (curve_of(run, name) for name in ("mean", "halves of the refinement"))
    assert (mean - gold)[3:10].mean() > 0.05


def test_what_cannot_be_split_is_refused(tmp_path):
    maps = made(tmp_path)
    star = tmp_path / FOLDER / "run_data.star"
    text = star.read_text().splitlines()
    star.write_text("\n".join(line for line in text if not line.startswith("0002")) + "\n")
    kept = [line for line in text if "@" not in line or line.split("@")[0] <= "000010"]
    star.write_text("\n".join(kept) + "\n")
    with pytest.raises(InputError, match="has 10 particles, too few to be split"):
        split(tmp_path, maps)
