"""Particle subtraction: what a part of a map adds to particles is taken off their images."""

from __future__ import annotations

import argparse
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.dataset.bodies import body_file, read_bodies
from vitreous.dataset.particles import Particles, read_particles
from vitreous.dataset.refinement import Iteration, data_of, read_iteration
from vitreous.dataset.subtraction import Subtracted, reverted, views_of
from vitreous.engine import bodies, subtraction
from vitreous.engine.boxing import centre_of_mass
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.state import Model
from vitreous.engine.subtraction import Subtrahend, Views
from vitreous.errors import (
    ComputeError,
    EnvironmentMissing,
    InputError,
    OptionError,
    Problem,
)
from vitreous.io import Star, parse_ref, read_image, write_star
from vitreous.io.image_refs import ImageRef
from vitreous.jobs.context import Run
from vitreous.jobs.subtract import Subtract
from vitreous.programs.extra_flags import Flags
from vitreous.programs.maps import PIXEL_TOLERANCE, read_cube, size_text, small
from vitreous.programs.micrograph_list import Outcome, Settings, process
from vitreous.programs.subtract_ssnr import write_ssnr
from vitreous.programs.subtract_work import (
    JOINT,
    Inputs,
    SubtractParticles,
    original_and_new,
    unit_bytes,
    units_of,
)

ORIGINAL = "original.star"
_SHOWN = 3
_WORK_ARRAYS = 12  # images of a batch that exist at the same time
_PLAUSIBLE = (0.5, 2.0)  # strength of the subtracted part in the images over that in the map


def run(options: Subtract, run: Run) -> None:
    """Subtract from particles, or go back to the original ones."""
    if options.revert:
        revert(options, run)
        return
    extra = _flags().read(options.running.other_arguments)
    body_list = body_file(options.optimiser, run.project)
    if body_list:
        _refuse_for_bodies(options, extra, body_list)
    if extra.ssnr:
        if run.rank == 0:
            whole = replace(options, mask="", center_on_mask=False)
            write_ssnr(run, read_inputs(whole, run, ignore_class=extra.ignore_class))
        return
    if body_list:
        inputs = read_body_inputs(options, run)
    else:
        inputs = read_inputs(options, run, ignore_class=extra.ignore_class)
    units = units_of(inputs.particles, run.folder)
    outcome = process(run, units, SubtractParticles(run, inputs), _settings(run, inputs, extra))
    if outcome.leads:
        _report(run, inputs, outcome)


def revert(options: Subtract, run: Run) -> None:
    """Make subtracted particles refer to their original images again."""
    if run.rank:
        return
    name = options.particles_to_revert
    if not name:
        raise OptionError([Problem("particles_to_revert", "no particles are given")])
    optics, rows = reverted(read_particles(run.project / name, run.project), name)
    write_star(run.path / ORIGINAL, Star([optics, rows]))
    run.headline("particles", len(rows), "", "Particles")
    run.say(f"{run.folder}{ORIGINAL}: {len(rows):,} particles with their original images")


def read_inputs(options: Subtract, run: Run, *, ignore_class: bool = False) -> Inputs:
    """Read everything; refuse what cannot work before anything is computed.

    Raises
    ------
    InputError
        A file cannot be used, or files do not belong together.
    OptionError
        The new box or centre cannot be.
    """
    found = read_iteration(options.optimiser, run.project)
    model = found.state.models[0]
    if model.ndim != 3:
        raise InputError(
            f"{options.optimiser} is of a 2D classification; what is subtracted is projected from "
            "a map. Give the optimiser file of a Refine3D or Class3D job."
        )
    particles, source = found.particles, options.optimiser
    if options.use_other_particles:
        source = options.particles
        particles = read_particles(run.project / source, run.project)
    keep = read_mask(run, options.mask, model) if options.mask else None
    point = _point(options, keep)
    _check_box(options, particles)
    if run.rank == 0:
        _tell(run, found, particles)
    views, n_strange = views_of(particles, found, source=source, ignore_class=ignore_class)
    if n_strange and run.rank == 0:
        run.warn(
            "Some particles are of micrographs that were not in the refinement: the scale of "
            "these is taken as 1.",
            f"{n_strange:,} of {len(particles):,} particles",
        )
    return Inputs(
        particles=particles,
        data=data_of(particles),
        views=views,
        terms=((subtraction.subtrahend(found.state.models, keep, found.settings), views),),
        image=found.settings.image,
        point_px=point,
        pixel_size_A=model.pixel_size_A,
        box_px=max(0, options.box_px),
        float16=options.write_float16,
        grey_corrected=found.settings.image.correct_norm,
    )


def read_mask(run: Run, name: str, model: Model) -> Tensor:
    """Read what is kept, on the grid of the map."""
    mask = read_cube(run.project, name)
    side, pixel_A = model.box_px, model.pixel_size_A
    if mask.data.shape[0] != side:
        raise InputError(
            f"{name} has {size_text(mask.data.shape)} voxels, the refined map "
            f"{size_text((side,) * 3)}. Make the mask from a map of this refinement."
        )
    if mask.pixel_size_A > 0 and not math.isclose(
        mask.pixel_size_A, pixel_A, rel_tol=PIXEL_TOLERANCE
    ):
        raise InputError(
            f"{name} has voxels of {mask.pixel_size_A:g} Å, the refined map of {pixel_A:g} Å. "
            "Make the mask from a map of this refinement."
        )
    keep = torch.from_numpy(np.ascontiguousarray(mask.data, np.float32))
    low, high = (float(value) for value in torch.aminmax(keep))
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(
            f"{name} has values from {low:.3g} to {high:.3g}; a mask goes from 0, where density is "
            "subtracted, to 1, where it stays. Is it a map? MaskCreate makes a mask of one."
        )
    if run.rank == 0 and high == 0:
        run.warn("The mask is empty: everything is subtracted.", name)
    if run.rank == 0 and low >= 1:
        run.warn("The mask is 1 everywhere: nothing is subtracted.", name)
    return keep


def read_body_inputs(options: Subtract, run: Run) -> Inputs:
    """Read a multi-body refinement: every body is subtracted at its own poses.

    The mask keeps density, as always; the body that it holds most of gives the poses that are
    written.
    """
    found = read_bodies(options.optimiser, run.project, run.path)
    iteration, masks = found.found, found.masks
    model, settings = iteration.state.models[0], iteration.settings
    keep = read_mask(run, options.mask, model)
    kept = bodies.most_inside(masks, keep)
    of_bodies = bodies.apart(masks, kept)
    own = found.seen(kept)
    _check_box(options, own)
    if run.rank == 0:
        _tell(run, iteration, iteration.particles)
        run.say(f"Body {kept + 1} of {len(masks)} is kept: the poses written are its own")
    seen = [
        views_of(found.seen(one), iteration, source=options.optimiser)[0]
        for one in range(len(masks))
    ]
    data = data_of(own)
    terms = [
        _body_term(iteration, keep, mask, bodies.centre(whole), views, data)
        for mask, whole, views in zip(of_bodies, masks, seen, strict=True)
    ]
    return Inputs(
        particles=own,
        data=data,
        views=seen[kept],
        terms=tuple(terms),
        image=settings.image,
        point_px=_point(options, keep) or (0.0, 0.0, 0.0),
        pixel_size_A=model.pixel_size_A,
        box_px=max(0, options.box_px),
        float16=options.write_float16,
        grey_corrected=settings.image.correct_norm,
    )


def _body_term(
    found: Iteration, keep: Tensor, mask: Tensor, centre: Tensor, views: Views, data: Data
) -> tuple[Subtrahend, Views]:
    """Return what is subtracted of a body, in the middle of its box, and how it is seen there.

    Off the middle, lines between the values of a transform are less near to it.
    """
    shift = [-int(value) for value in centre.flip(0).tolist()]
    models = [
        replace(one, references=(one.references * mask.to(one.references)).roll(shift, (1, 2, 3)))
        for one in found.state.models
    ]
    parts = subtraction.subtrahend(models, keep.roll(shift, (0, 1, 2)), found.settings)
    at = torch.zeros_like(views.shift_px)
    for group in range(len(data.optics.box_px)):
        here = data.optics_group == group
        ratio = found.state.models[0].pixel_size_A / float(data.optics.pixel_size_A[group])
        magnification = data.optics.magnification[group]
        at[here] = subtraction.place_of(views, centre * ratio, magnification)[here].to(at)
    return parts, replace(views, shift_px=views.shift_px - at)


def _refuse_for_bodies(options: Subtract, extra: argparse.Namespace, name: str) -> None:
    """Refuse what has no meaning, or no known form, for a multi-body refinement."""
    problems = []
    if not options.mask:
        problems.append(
            Problem("mask", f"is wanted: it tells which body of {name} is kept, and what of it")
        )
    if options.use_other_particles:
        problems.append(
            Problem(
                "use_other_particles",
                f"cannot be on: only the particles of the refinement have poses of the bodies in "
                f"{name}",
            )
        )
    if problems:
        raise OptionError(problems)
    for flag in ("ssnr", "ignore_class"):
        if getattr(extra, flag):
            raise InputError(
                f"--{flag} does not go with {options.optimiser}, a multi-body refinement (bodies "
                f"in {name}). Leave it out, or give the optimiser file of the Refine3D job that "
                "it began from."
            )


def _point(options: Subtract, keep: Tensor | None) -> tuple[float, float, float] | None:
    """Return what becomes the centre of images, from the centre of the map in voxels."""
    if options.center_on_mask:
        if keep is None or not bool((keep > 0).any()):
            what = "there is no mask" if keep is None else f"{options.mask} is empty"
            raise OptionError(
                [
                    Problem(
                        "center_on_mask",
                        f"{what}, so it has no centre of mass; give a mask, or switch this off",
                    )
                ]
            )
        x, y, z = centre_of_mass(keep)
        return x, y, z
    if options.center_on_point:
        return options.center_x_px, options.center_y_px, options.center_z_px
    return None


def _check_box(options: Subtract, particles: Particles) -> None:
    size = options.box_px
    if size <= 0:
        return
    least = min(particles.box_px(group) for group in range(len(particles.optics_table)))
    if size % 2 or size > least:
        raise OptionError(
            [Problem("box_px", f"is {size}; wanted an even number up to {least}, the present box")]
        )


def _tell(run: Run, found: Iteration, particles: Particles) -> None:
    """Tell what the user should know of the refinement."""
    for notice in found.notices:
        run.warn(notice)
    if found.settings.split_halves and len(found.state.models) == 1:
        run.warn(
            "The map of both halves together is subtracted, so the halves of the subtracted "
            "particles are no longer independent at high resolution. Give the last "
            "run_itNNN_optimiser.star to subtract from each half its own map."
        )
    if particles is not found.particles:
        run.say(f"{len(particles):,} particles, not those of the refinement")


def _flags() -> Flags:
    flags = Flags("Subtract")
    flags.add_argument("--ignore_class", action="store_true")
    flags.add_argument("--ssnr", action="store_true")
    flags.add_argument("--do_at_most", type=int, default=-1, metavar="N")
    return flags


def _settings(run: Run, inputs: Inputs, extra: argparse.Namespace) -> Settings:
    """Estimate memory and disk; refuse where the disk is too small."""
    particles = inputs.particles
    counts = np.bincount(particles.group, minlength=len(particles.optics_table)).tolist()
    boxes = [particles.box_px(group) for group in range(len(counts))]
    pixels = sum(
        count * (inputs.box_px or box) ** 2 for count, box in zip(counts, boxes, strict=True)
    )
    needed, free = pixels * (2 if inputs.float16 else 4), shutil.disk_usage(run.path).free
    if needed > free and not run.is_continue:
        raise EnvironmentMissing(
            f"{run.folder}: {len(particles):,} particles need {needed / 2**30:.1f} GiB, but the "
            f"disk has {free / 2**30:.1f} GiB left. Make room, take a smaller box, or write 16-bit "
            "floats."
        )
    return Settings(
        phase="Subtracting from particles",
        noun="stacks",
        unit_bytes=unit_bytes(units_of(particles, run.folder), particles),
        batch_bytes=8 * _WORK_ARRAYS * max(2**20, max(boxes) ** 2),
        do_at_most=extra.do_at_most,
    )


def _report(run: Run, inputs: Inputs, outcome: Outcome[Subtracted]) -> None:
    some = [result for result in outcome.done if len(result.rows)]
    if not some:
        raise ComputeError(
            f"None of the {len(inputs.particles):,} particles could be used; the warnings above "
            "say why."
        )
    n_done = sum(len(result.rows) for result in some)
    run.say(f"{run.folder}{JOINT}: {n_done:,} particles")
    run.headline("particles", n_done, "", "Particles")
    run.headline("box", inputs.box_px or inputs.particles.box_px(), "px", "Box")
    fit = torch.tensor([result.fit for result in some], dtype=torch.float64).sum(0)
    strength, spread = subtraction.strength(fit)
    if math.isfinite(spread):
        run.headline("strength", round(strength, 3), "", "Strength of the subtracted part")
        low, high = strength - 3 * spread, strength + 3 * spread
        if high < _PLAUSIBLE[0] or low > _PLAUSIBLE[1]:
            run.warn(
                f"The images have what is subtracted {strength:.2f} times as strongly as the map; "
                "1 was expected. Are they normalised as in the refinement, and are poses and "
                "optics those of these particles?"
            )
    _plot_examples(run, inputs, some[0])


def _plot_examples(run: Run, inputs: Inputs, result: Subtracted) -> None:
    """Hand in a few particles before and after."""
    panels = []
    for folder, before, after in original_and_new(inputs, result, _SHOWN):
        for title, root, name in (("before", folder, before), ("after", run.project, after)):
            ref = parse_ref(name)
            image = read_image(ImageRef(str(Path(root, ref.path)), ref.index0)).data
            shown = small(torch.from_numpy(np.ascontiguousarray(image, np.float32)))
            panels.append({"title": f"{before}, {title}", "image": shown.round(4).tolist()})
    run.plot(
        "examples",
        "image",
        "Particles before and after",
        {
            "axes": {"x": {"label": "x", "unit": "px"}, "y": {"label": "y", "unit": "px"}},
            "panels": panels,
        },
    )
