"""A project whose refinement is known: two parts of a molecule, seen at known poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement import assignments_of, scale_groups, write_final, write_iteration
from vitreous.engine import ctf, fourier
from vitreous.engine.refinement.settings import Image, Searching, Settings, Solvent
from vitreous.engine.refinement.state import Model, Sampling, Schedule, State
from vitreous.engine.sampling import Grid
from vitreous.io import StackWriter, Table, write_volume
from vitreous.testing.phantoms import Gaussians, cluster

BOX, PIXEL_A = 32, 3.0
OPTIMISER = "Refine3D/job001/run_it003_optimiser.star"
MASK = "mask.mrc"
SCALES = (1.1, 0.9)  # of the two micrographs
SPECTRA = ("tau2", "sigma2_map", "ssnr", "fsc", "completeness", "orientability")


@dataclass(frozen=True)
class Wanted:
    """What differs between sets."""

    n: int = 12
    n_classes: int = 1
    split_halves: bool = False
    premultiplied: bool = False
    beam_tilt_mrad: float = 0.0
    noise: float = 0.0
    current_size_px: int = BOX
    correct_norm: bool = True
    correct_scale: bool = True
    flip_phases: bool = False
    image_box_px: int = BOX


@dataclass(frozen=True)
class Known:
    """The parts, where they are, and the images of each part alone, with its share of CTF."""

    kept: Gaussians
    removed: Gaussians
    particles: Particles
    kept_images: torch.Tensor
    images: torch.Tensor


def parts() -> tuple[Gaussians, Gaussians]:
    """Return the part that is kept and the one that is subtracted, at two ends of the box."""
    kept = cluster(5, radius_px=2.0, width_px=1.4, seed=1)
    removed = cluster(7, radius_px=2.0, width_px=1.4, seed=2)
    kept, removed = (replace(part, weights=100 * part.weights) for part in (kept, removed))
    return (
        kept.moved(torch.tensor([6.0, 1.0, -2.0]).double()),
        removed.moved(torch.tensor([-5.0, -1.0, 2.0]).double()),
    )


def make(folder: Path, wanted: Wanted = Wanted()) -> Known:
    """Write particles, a refinement of them, and a mask of one part."""
    kept, removed = parts()
    bare = _particles(folder, wanted)
    images = [images_of(bare, part, wanted) for part in (kept, removed)]
    norm = np.asarray(bare.table["rlnNormCorrection"])
    chance = torch.Generator().manual_seed(9)
    whole = images[0] + images[1]
    whole = whole + wanted.noise * torch.randn(whole.shape, generator=chance)
    # The refinement divides by the norm of an image, so these are multiplied by it.
    seen = whole * torch.from_numpy(norm / norm.mean()).float()[:, None, None]
    folder.joinpath("stacks").mkdir()
    with StackWriter(folder / "stacks/a.mrcs", (wanted.image_box_px,) * 2, PIXEL_A) as stack:
        stack.write(seen.numpy())
    _write_mask(folder, kept)
    _write_refinement(folder, wanted, bare, kept, removed)
    return Known(kept, removed, bare, images[0], seen)


def _particles(folder: Path, wanted: Wanted) -> Particles:
    chance = np.random.default_rng(3)
    rows = np.arange(wanted.n)
    table = {
        "rlnImageName": [f"{row + 1:06d}@stacks/a.mrcs" for row in rows],
        "rlnMicrographName": [f"m{row % 2}.mrc" for row in rows],
        "rlnOpticsGroup": 1 + rows % 2,
        "rlnDefocusU": 9000.0 + 300 * rows,
        "rlnDefocusV": 8600.0 + 300 * rows,
        "rlnDefocusAngle": 10.0 + rows,
        "rlnAngleRot": chance.uniform(-180, 180, wanted.n),
        "rlnAngleTilt": np.rad2deg(np.arccos(chance.uniform(-1, 1, wanted.n))),
        "rlnAnglePsi": chance.uniform(-180, 180, wanted.n),
        "rlnOriginXAngst": chance.normal(size=wanted.n) * 4,
        "rlnOriginYAngst": chance.normal(size=wanted.n) * 4,
        "rlnClassNumber": 1 + rows % wanted.n_classes,
        "rlnNormCorrection": 0.9 + 0.2 * chance.random(wanted.n),
    }
    if wanted.split_halves:
        table["rlnRandomSubset"] = 1 + (rows // 2) % 2
    optics = {
        "rlnOpticsGroupName": ["one", "two"],
        "rlnOpticsGroup": [1, 2],
        "rlnVoltage": 300.0,
        "rlnSphericalAberration": 2.7,
        "rlnAmplitudeContrast": 0.1,
        "rlnImagePixelSize": PIXEL_A,
        "rlnImageSize": wanted.image_box_px,
        "rlnImageDimensionality": 2,
        "rlnMicrographOriginalPixelSize": PIXEL_A,
    }
    if wanted.beam_tilt_mrad:
        optics["rlnBeamTiltX"] = [0.0, wanted.beam_tilt_mrad]
        optics["rlnBeamTiltY"] = [0.0, -wanted.beam_tilt_mrad]
    if wanted.premultiplied:
        optics["rlnCtfDataAreCtfPremultiplied"] = 1
    return Particles.from_tables(
        Table.from_columns("particles", table), Table.from_columns("optics", optics), folder
    )


def images_of(particles: Particles, part: Gaussians, wanted: Wanted) -> torch.Tensor:
    """Return images of one part; no line of the program under test is used."""
    rows, box = np.arange(len(particles)), wanted.image_box_px
    transforms = part.projection_transforms(particles.rotations(rows), box)
    group = torch.from_numpy(particles.group)
    treatment = ctf.Treatment(premultiplied=wanted.premultiplied, phase_flipped=wanted.flip_phases)
    seen = ctf.ctf(particles.optics, particles.defocus(rows), box, group=group,
                   treatment=treatment, dtype=torch.float64)  # fmt: skip
    transforms = transforms * seen * fourier.shift_phases(-particles.shift_px(rows), box)
    if wanted.beam_tilt_mrad:
        transforms = transforms * ctf.odd_phase_plate(particles.optics, box)[group]
    scale = torch.tensor(SCALES)[rows % 2] if wanted.correct_scale else torch.ones(len(rows))
    return fourier.inverse(transforms, 2, box).float() * scale.float()[:, None, None]


def _write_mask(folder: Path, kept: Gaussians) -> None:
    """Write a mask that is 1 on the kept part's side, with a soft edge that no part reaches."""
    centre = (kept.weights[:, None] * kept.centres_px).sum(0) / kept.weights.sum()
    axis = torch.arange(BOX, dtype=torch.float64) - BOX // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    # Everything on the kept part's side of the plane between the parts.
    height = torch.stack([x, y, z], -1) @ (centre / centre.norm())
    write_volume(folder / MASK, (height + 0.5).clamp(0, 1).float().numpy(), PIXEL_A)


def _write_refinement(
    folder: Path, wanted: Wanted, particles: Particles, kept: Gaussians, removed: Gaussians
) -> None:
    groups = scale_groups(particles)
    settings = Settings(
        ndim=3,
        particles="parts.star",
        references="ref.mrc",
        n_classes=wanted.n_classes,
        n_iterations=6,
        split_halves=wanted.split_halves,
        auto_refine=wanted.split_halves,
        seed=1,
        searching=Searching(healpix_order=1),
        solvent=Solvent(diameter_A=84.0, zero_mask=True),
        image=Image(correct_ctf=True, correct_norm=wanted.correct_norm,
                    correct_scale=wanted.correct_scale, phase_flipped=wanted.flip_phases),
    )  # fmt: skip
    assigned = assignments_of(
        particles, groups=groups, n_classes=wanted.n_classes, split_halves=wanted.split_halves
    )
    volume = kept.volume(BOX) + removed.volume(BOX)
    volumes = torch.stack([volume] * wanted.n_classes).float()
    s, k = BOX // 2 + 1, wanted.n_classes
    weight = torch.full((k,), 1 / k, dtype=torch.float64)
    n_directions = len(Grid(1, point_group="C1").pixels())
    spectrum = torch.ones(k, s, dtype=torch.float64)
    model = Model(
        references=volumes,
        pixel_size_A=PIXEL_A,
        current_size_px=wanted.current_size_px,
        resolution_per_A=1 / 8,
        **dict.fromkeys(SPECTRA, spectrum),
        class_weight=weight,
        class_offset_A=torch.zeros(k, 2, dtype=torch.float64),
        direction_weight=(weight / n_directions)[:, None].expand(-1, n_directions).clone(),
        class_accuracy_deg=torch.ones(k).double(),
        class_accuracy_A=torch.ones(k).double(),
        class_resolution_A=8 * torch.ones(k).double(),
        class_completeness=torch.ones(k).double(),
        sigma2_noise=torch.full((2, s), 1e-3).double(),
        group_scale=torch.tensor(SCALES if wanted.correct_scale else (1.0, 1.0)).double(),
        group_names=groups.names,
        group_counts=groups.counts(),
        mean_norm=float(np.mean(assigned.norm)),
        sigma_offset_A=5.0,
        mean_pmax=0.9,
    )  # fmt: skip
    sampling = Sampling(1, 30.0, 18.0, 6.0, point_group="C1", original_healpix_order=1,
                        original_psi_step_deg=30.0, original_shift_range_A=18.0,
                        original_shift_step_A=6.0)  # fmt: skip
    schedule = Schedule(iteration=3, current_size_px=wanted.current_size_px,
                        resolution_per_A=1 / 8, best_resolution_per_A=1 / 8, mean_pmax=0.9,
                        )  # fmt: skip
    models = (model,)
    if wanted.split_halves:  # the halves differ: the second is twice as dense
        models = (model, replace(model, references=2 * model.references))
    folder.joinpath("Refine3D/job001").mkdir(parents=True)
    state = State(schedule, sampling, models, assigned)
    write_iteration("Refine3D/job001/run", state, settings, particles, folder=folder, form="3.1")
    if wanted.split_halves:
        joined = State(schedule, sampling, (model,), assigned)
        write_final("Refine3D/job001/run", joined, settings, particles, folder=folder, form="3.1",
                    unfiltered=tuple(half.references[0] for half in models))  # fmt: skip
