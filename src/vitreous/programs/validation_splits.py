"""FSC curves of many random half splits of the particles (`engine.validation.halves`)."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor

from vitreous.dataset.half_sets import HALF
from vitreous.dataset.particles import Particles, read_particles
from vitreous.distributed.memory import available_bytes
from vitreous.engine import resolution, symmetry
from vitreous.engine.projection import Accumulator
from vitreous.engine.validation import halves as random_halves
from vitreous.engine.validation.directional import crossing
from vitreous.engine.validation.tightness import masked_fsc
from vitreous.errors import EnvironmentMissing, InputError
from vitreous.jobs.context import Run
from vitreous.programs import reconstruct
from vitreous.programs import validation_plots as plots
from vitreous.programs.half_maps import HalfMaps
from vitreous.programs.reconstruct_terms import terms
from vitreous.programs.validation_particles import Origin, refuse_without_images

_BEYOND = 1.25
_FEWEST = 20
_MATTERS = 0.03


def report(
    run: Run,
    origin: Origin,
    maps: HalfMaps,
    mask: Tensor,
    curves: resolution.FscCurves,
    n_splits: int,
    seed: int,
) -> None:
    """Reconstruct random halves of the particles at the poses they have, and show their curves.

    Parameters
    ----------
    run
        The job.
    origin
        The particles.
    maps, mask, curves
        The half-maps, the mask, and their correlation, which tells what the mask alone makes.
    n_splits, seed
        How many splits, and of which draw.
    """
    refuse_without_images(origin, "--n_splits")
    particles = read_particles(run.project / origin.particles, run.project)
    if len(particles) < _FEWEST:
        raise InputError(
            f"{origin.particles} has {len(particles)} particles, too few to be split at random; "
            f"leave --n_splits out (it wants {_FEWEST} or more)."
        )
    generator = torch.Generator().manual_seed(seed)
    known = HALF in particles.table
    blocks = _blocks(run, particles, maps, curves, generator)
    operators = symmetry.rotations(origin.point_group, torch.float32)
    half = len(blocks) // 2
    chosen = random_halves.splits(n_splits, len(blocks), generator)
    chosen = [list(range(half)), *chosen] if known else chosen
    found = []
    for first in chosen:
        run.check_abort()
        second = [number for number in range(len(blocks)) if number not in first]
        one, other = (
            random_halves.map_of((blocks[number] for number in side), operators)
            for side in (first, second)
        )
        curve = masked_fsc(one, other, mask)[: blocks[0].r_max + 1]
        if curves.randomised is not None:
            by_mask = curves.randomised[: len(curve)]
            curve = resolution.correct(curve, by_mask, curves.randomised_from)
        found.append(curve)
    every = torch.stack(found[1:] if known else found)
    _tell(run, every, found[0] if known else None, maps)


def _blocks(
    run: Run,
    particles: Particles,
    maps: HalfMaps,
    curves: resolution.FscCurves,
    generator: torch.Generator,
) -> list[Accumulator]:
    """Insert every particle once, in its block."""
    n = len(particles)
    halves = torch.randint(2, (n,), generator=generator)
    if HALF in particles.table:
        halves = torch.from_numpy(np.asarray(particles.table[HALF], np.int64) - 1).clamp(0, 1)
    number = random_halves.deal(halves, generator)
    shell = resolution.resolution_shell(curves.best)
    r_max = min(round(_BEYOND * shell) + 4, maps.box_px // 2)
    n_blocks = 2 * random_halves.BLOCKS_OF_A_HALF
    _require_memory(r_max, n_blocks, maps.box_px)
    blocks = [Accumulator(maps.box_px, 1, r_max) for _ in range(n_blocks)]
    box_A = maps.box_px * particles.pixel_size_A()
    with run.phase("Splitting particles at random", n, "particles") as progress:
        for part in terms(particles, _options(particles), box_A):
            run.check_abort()
            of_part = number[torch.from_numpy(part.rows)]
            for block, sums in enumerate(blocks):
                rows = of_part == block
                if bool(rows.any()):
                    reconstruct.add_(sums, part, rows)
            progress.advance(len(part.rows))
    return blocks


def _options(particles: Particles) -> argparse.Namespace:
    words = ["--i", "-"]
    if "rlnDefocusU" in particles.table:
        words.append("--ctf")
    return reconstruct.parser().parse_args(words)


def _require_memory(r_max: int, n_blocks: int, box_px: int) -> None:
    points = (2 * r_max + 3) ** 2 * (r_max + 2)
    needed = 16 * points * (n_blocks + 3) + 24 * box_px**3
    free = available_bytes()
    if needed > free:
        message = (
            f"--n_splits needs {needed / 2**30:.1f} GiB of memory for {n_blocks} parts of the "
            f"data, but {free / 2**30:.1f} GiB are free. Leave it out, or give particles in a "
            "smaller box."
        )
        raise EnvironmentMissing(message)


def _excess(every: Tensor, gold: Tensor) -> tuple[float, float]:
    """Return by how much splits correlate better than halves, up to the resolution, and scatter."""
    up_to = max(2, int(crossing(every.mean(0))) + 1)
    by_split = (every - gold)[:, 1:up_to].mean(1)
    return float(by_split.mean()), float(by_split.std())


def _tell(run: Run, every: Tensor, gold: Tensor | None, maps: HalfMaps) -> None:
    side_A = maps.box_px * maps.pixel_size_A
    shells = [crossing(curve) for curve in every]
    in_A = torch.tensor([side_A / shell for shell in shells if shell > 0], dtype=torch.float64)
    if len(in_A) < 2:
        run.warn("Random half splits of the particles have no resolution: nothing to compare.")
        return
    mean_A, deviation_A = float(in_A.mean()), float(in_A.std())
    run.headline("split_resolution", mean_A, "Å", "Resolution of random half splits, mean")
    run.headline("split_deviation", deviation_A, "Å", "Resolution of random half splits, deviation")
    curves = {
        "mean": (every.mean(0), ""),
        "lowest": (every.amin(0), "pale"),
        "highest": (every.amax(0), "pale"),
    }
    note = (
        f"{len(every)} random splits at fixed poses: {mean_A:.2f} Å, deviation {deviation_A:.2f}."
    )
    if gold is not None:
        curves["halves of the refinement"] = (gold, "dashed")
        shell = crossing(gold)
        if shell > 0:
            gold_A = side_A / shell
            note += f" Halves of the refinement, likewise: {gold_A:.2f} Å."
            excess, deviation = _excess(every, gold)
            if excess > max(_MATTERS, 3 * deviation):
                run.warn(
                    f"Particles split anew correlate better ({mean_A:.2f} Å) than the halves that "
                    f"were refined apart ({gold_A:.2f} Å), by {excess:.2f} on average: "
                    "poses follow noise of their own half's reference. Trust the worse figure; a "
                    "better mask or stronger regularisation reduces it."
                )
    plot = plots.line(curves, side_A, note)
    run.plot("splits", "line", "FSC of random half splits of the particles", plot)
