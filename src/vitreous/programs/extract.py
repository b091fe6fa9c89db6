"""Particle extraction: every micrograph's particles as one stack, and all of them as one list."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator

import numpy as np
import torch

from vitreous.dataset.findings import name_a_few
from vitreous.dataset.particle_sample import read_batches, sample_rows
from vitreous.engine import fourier
from vitreous.engine.background import Dust
from vitreous.engine.ctf import Treatment
from vitreous.engine.extraction import Recipe
from vitreous.errors import ComputeError, EnvironmentMissing, InputError, OptionError, Problem
from vitreous.io import Table, read_header
from vitreous.io.coordinates import read_picks
from vitreous.jobs.context import Run
from vitreous.jobs.extract import Extract
from vitreous.programs.extra_flags import Flags
from vitreous.programs.extract_inputs import Inputs, picked, refined, with_images
from vitreous.programs.extract_work import Extracted, ExtractParticles, Plan
from vitreous.programs.micrograph_list import Outcome, Settings, process

_WORK_ARRAYS = 12  # of a few boxes in double precision, at the same time
_IN_CACHE = 2**18
_WRITERS = 2  # one waits for the disk while the other fills the memory of the system
_SAMPLED = 16  # particles of each micrograph in the mean image


def run(options: Extract, run: Run) -> None:
    """Extract the particles of all micrographs."""
    extra = _flags().read(options.running.other_arguments)
    plan = _plan(options, extra, run)
    if options.reextract:
        inputs = refined(
            run,
            options.micrographs,
            options.refined_particles,
            keep_micrograph_ctf=extra.keep_ctfs_micrographs,
        )
    else:
        inputs = picked(run, options.micrographs, options.coordinates)
    binning = plan.recipe.box_px / plan.recipe.scaled_px
    is_multiplied = plan.treatment is not None and not plan.treatment.only_flip_phases
    size = plan.recipe.window_px
    optics = with_images(inputs, size, binning, premultiplied=is_multiplied)
    if "rlnDefocusU" not in optics and not _have_ctf(inputs):
        run.warn("No defocus is known, so the particles get none: run a CtfFind job first.")
    work = ExtractParticles(run, inputs, plan, optics)
    outcome = process(run, inputs.micrographs, work, _settings(run, inputs, plan, extra))
    if outcome.leads:
        _report(options, run, outcome, optics)


def _flags() -> Flags:
    flags = Flags("Extract")
    add = flags.add_argument
    add("--premultiply_ctf", action="store_true")
    add("--phase_flip", action="store_true")
    add("--premultiply_extract_size", type=int, default=-1, metavar="PX")
    add("--ctf_intact_first_peak", action="store_true")
    add("--keep_ctfs_micrographs", action="store_true")
    add("--ref_angpix", type=float, default=-1, metavar="A")
    add("--window", type=int, default=-1, metavar="PX")
    add("--no_ramp", action="store_true")
    add("--extract_bias_x", type=int, default=0, metavar="PX")
    add("--extract_bias_y", type=int, default=0, metavar="PX")
    add("--minimum_pick_fom", type=float, metavar="F")
    add("--selection_type", type=int, metavar="N")
    add("--do_at_most", type=int, default=-1, metavar="N")
    add("--random_seed", type=int, default=0, metavar="N")
    return flags


def _plan(options: Extract, extra: argparse.Namespace, run: Run) -> Plan:
    """Say what is done, in the words of the engine; refuse what cannot work."""
    box = options.box_px
    scaled = options.scaled_box_px if options.scale_down else box
    window = extra.window if extra.window > 0 else scaled
    for what, size in (("Scaled", scaled), ("Windowed", window)):
        if size % 2 and box % 2 == 0:
            run.warn(f"{what} boxes must be even: {size + 1} pixels are taken, not {size}.")
    scaled, window = scaled + scaled % 2, window + window % 2
    ctf_box = max(box, extra.premultiply_extract_size)
    problems = list(_problems(options, extra, window))
    if problems:
        raise OptionError(problems)
    dust = Dust(options.white_dust_sigma, options.black_dust_sigma)
    recipe = Recipe(
        box_px=box,
        scaled_px=scaled,
        window_px=window,
        normalise=options.normalise,
        radius_px=options.background_radius_px,
        ramp=not extra.no_ramp,
        dust=dust,
        invert=options.invert,
    )
    step_A = options.n_asymmetric_units * options.rise_A if options.cut_segments else 0.0
    treatment = None
    if extra.premultiply_ctf or extra.phase_flip:
        treatment = Treatment(
            only_flip_phases=not extra.premultiply_ctf,
            intact_first_peak=extra.ctf_intact_first_peak,
        )
    least = options.min_fom if options.use_fom_threshold else extra.minimum_pick_fom
    return Plan(
        recipe=recipe,
        float16=options.write_float16,
        min_fom=least,
        selection_type=extra.selection_type,
        segments_A=step_A if options.is_start_end and not options.reextract else -1.0,
        tube_diameter_A=options.tube_diameter_A if options.is_helix else 0.0,
        bimodal=options.bimodal_priors,
        reset_origins=options.reextract and options.reset_shifts,
        recentre=options.reextract and options.recenter,
        centre_px=(options.center_x_px, options.center_y_px, options.center_z_px),
        reference_pixel_A=extra.ref_angpix,
        treatment=treatment,
        ctf_box_px=ctf_box,
        bias_px=(extra.extract_bias_x, extra.extract_bias_y),
        seed=extra.random_seed,
    )


def _problems(options: Extract, extra: argparse.Namespace, window: int) -> Iterator[Problem]:
    """Yield what RELION's form lets through and no program can do."""
    if options.box_px % 2:
        yield Problem("box_px", f"is {options.box_px}, but boxes must be even")
    wide = extra.premultiply_extract_size
    if 0 < wide < options.box_px or (wide > 0 and wide % 2):
        yield Problem(
            "other_arguments",
            f"--premultiply_extract_size is {wide}, but must be even and at least the box of "
            f"{options.box_px}",
        )
    diameter = 2 * options.background_radius_px
    if options.normalise and not options.is_helix and diameter > window:
        yield Problem(
            "background_diameter_px",
            f"the circle is {diameter} pixels wide, more than the box of {window}, so nothing is "
            "background; -1 takes 75 % of the box",
        )
    if options.is_helix and not options.tube_diameter_A > 0:
        yield Problem(
            "tube_diameter_A", f"is {options.tube_diameter_A:g}, but a filament has a width above 0"
        )
    if options.is_start_end and options.cut_segments and not options.rise_A > 0:
        yield Problem("rise_A", f"is {options.rise_A:g}, but the distance of boxes must be above 0")


def _have_ctf(inputs: Inputs) -> bool:
    if inputs.keep_ctf and inputs.particles is not None and "rlnDefocusU" in inputs.particles:
        return True
    return any("rlnDefocusU" in unit.row for unit in inputs.micrographs[:1])


def _settings(run: Run, inputs: Inputs, plan: Plan, extra: argparse.Namespace) -> Settings:
    """Estimate memory and disk; refuse where the disk is too small."""
    most, total = _numbers_of_picks(run, inputs, plan)
    pixels = plan.recipe.window_px**2
    on_disk = total * pixels * (2 if plan.float16 else 4)
    free = shutil.disk_usage(run.path).free
    if on_disk > free:
        raise EnvironmentMissing(
            f"{run.folder}: about {total:,} particles need {on_disk / 2**30:.1f} GiB, but the disk "
            f"has {free / 2**30:.1f} GiB left. Make room, scale down, or write 16-bit floats."
        )
    box = max(plan.recipe.box_px, plan.ctf_box_px if plan.treatment else 0)
    return Settings(
        phase="Extracting particles",
        noun="micrographs",
        unit_bytes=4 * (_micrograph_pixels(run, inputs) + most * pixels),
        batch_bytes=8 * _WORK_ARRAYS * max(_IN_CACHE, box**2),
        n_writers=_WRITERS,
        do_at_most=extra.do_at_most,
    )


def _numbers_of_picks(run: Run, inputs: Inputs, plan: Plan) -> tuple[int, int]:
    """Return the most particles of a micrograph and about how many there are in all.

    Files of picks are not all read beforehand: the largest tells how long a row is.
    """
    if inputs.particles is not None:
        counts = [len(unit.particles) for unit in inputs.micrographs]
        return max(counts), sum(counts)
    files = [unit.picks for unit in inputs.micrographs if unit.picks is not None]
    sizes = [path.stat().st_size for path in files]
    largest = int(np.argmax(sizes))
    unit = inputs.micrographs[largest]
    try:
        picks = read_picks(files[largest])
        work = ExtractParticles(run, inputs, plan, inputs.optics)
        most = max(1, len(picks), len(work.segmented(unit, picks)))
    except InputError:  # told when its turn comes
        most = max(1, sizes[largest] // 20)
    return most, most * sum(sizes) // max(1, sizes[largest])


def _micrograph_pixels(run: Run, inputs: Inputs) -> int:
    """Return the pixels of the first micrograph that can be read."""
    for unit in inputs.micrographs:
        try:
            shape = read_header(run.project / unit.name).shape
        except (InputError, OSError):
            continue
        return int(shape[-1] * shape[-2])
    names = [unit.name for unit in inputs.micrographs]
    raise InputError(
        f"None of the {len(names):,} micrographs can be read: {name_a_few(names)}. Have they been "
        "moved, or cleaned away?"
    )


def _report(options: Extract, run: Run, outcome: Outcome[Extracted], optics: Table) -> None:
    some = [result for result in outcome.done if len(result.rows)]
    if not some:
        raise ComputeError(
            "No particles are left: the files of picks are empty, or no pick passes the limits."
        )
    if options.reextract:
        _copy(run, "reextract.star")
    elif options.is_start_end:
        _copy(run, "helix_segments.star")
    n_particles = sum(len(result.rows) for result in some)
    n_empty = len(outcome.done) - len(some)
    if n_empty:
        run.say(f"{n_empty:,} micrographs have no particles")
    sizes = dict.fromkeys(optics["rlnImagePixelSize"].tolist())
    run.headline("particles", n_particles, "", "Particles")
    run.headline("micrographs", len(some), "", "Micrographs")
    run.headline("pixel_size", next(iter(sizes)), "Å", "Pixel size")
    run.headline("box", int(optics["rlnImageSize"][0]), "px", "Box")
    _plot_counts(run, some)
    _plot_mean(run, some, next(iter(sizes)))


def _copy(run: Run, name: str) -> None:
    """Leave the coordinates under the name that the pipeline knows too."""
    shutil.copyfile(run.path / "extractpick.star", run.path / name)


def _plot_counts(run: Run, results: list[Extracted]) -> None:
    run.plot(
        "per_micrograph",
        "line",
        "Particles of every micrograph",
        {
            "axes": {
                "x": {"label": "Micrograph", "unit": ""},
                "y": {"label": "Particles", "unit": ""},
            },
            "series": [
                {
                    "name": "particles",
                    "x": list(range(1, len(results) + 1)),
                    "y": [len(result.rows) for result in results],
                }
            ],
            "names": [result.micrograph for result in results],
        },
    )


def _plot_mean(run: Run, results: list[Extracted], pixel_size_A: float) -> None:
    """Hand in the mean image and the mean power spectrum of a sample of the particles."""
    names = Table.from_columns(
        "particles", {"rlnImageName": [x for one in results for x in one.rows["rlnImageName"]]}
    )
    sums, powers, n = [], [], 0
    for batch in read_batches(names, [rows[:_SAMPLED] for rows in sample_rows(names)], []):
        run.check_abort()
        images = torch.from_numpy(batch.images)
        sums.append(images.sum(0, dtype=torch.float64))
        powers.append((fourier.forward(images, 2).abs() ** 2).sum(0, dtype=torch.float64))
        n += len(images)
    mean = torch.stack(sums).sum(0) / n
    power = fourier.shell_mean(torch.stack(powers).sum(0) / n, 2)
    box = mean.shape[-1]
    run.plot(
        "mean_image",
        "image",
        f"Mean of {n:,} particles",
        {
            "axes": {"x": {"label": "x", "unit": "px"}, "y": {"label": "y", "unit": "px"}},
            "image": mean.numpy().round(5).tolist(),
        },
    )
    shells = torch.arange(1, box // 2 + 1, dtype=torch.float64)
    run.plot(
        "power_spectrum",
        "line",
        f"Mean power spectrum of {n:,} particles",
        {
            "axes": {
                "x": {"label": "Spatial frequency", "unit": "1/Å"},
                "y": {"label": "Power", "unit": "", "scale": "log"},
            },
            "series": [
                {
                    "name": "particles",
                    "x": (shells / (box * pixel_size_A)).tolist(),
                    "y": power[1 : box // 2 + 1].tolist(),
                }
            ],
        },
    )
