"""The options of a refinement job as settings, for a new job and for one that goes on.

What each option means on RELION's command line is in jobs.yaml; tests hold this file to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from vitreous.dataset.refinement import flags
from vitreous.dataset.refinement.flag_table import ABSENT, NONE, Given, put
from vitreous.dataset.refinement.machine import Machine
from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.engine.refinement.state import Sampling, State
from vitreous.jobs.class2d import Class2D
from vitreous.jobs.class3d import Class3D
from vitreous.jobs.common import SAMPLING
from vitreous.jobs.initialmodel import InitialModel
from vitreous.jobs.refine3d import Refine3D
from vitreous.jobs.shared import Compute, Helix3D, Running

RefineOptions: TypeAlias = Class2D | InitialModel | Class3D | Refine3D
Values: TypeAlias = Mapping[str, Any]

# Halves of an automatic refinement share what is coarser than this.
JOIN_HALVES_A = 40.0


def settings_of(options: RefineOptions) -> tuple[Settings, Machine]:
    """Return what a new job asks for, flags among its additional arguments included.

    Parameters
    ----------
    options
        Options of a Class2D, InitialModel, Class3D or Refine3D job.

    Raises
    ------
    InputError
        The additional arguments are not understood.
    """
    fixed, free = _values(options)
    given = _with(_of_machine(options, ABSENT), {**fixed, **free})
    settings = replace(given.settings, ndim=2 if isinstance(options, Class2D) else 3)
    given = flags.extend(_more(options), replace(given, settings=settings))
    return given.settings, given.machine


def continued_settings(options: RefineOptions, before: Settings) -> tuple[Settings, Machine]:
    """Return the settings of a job that goes on: those of before, but for what may change.

    Parameters
    ----------
    options
        Options of the job as they are now.
    before
        Settings read from the optimiser file.
    """
    free = _values(options)[1]
    given = _with(_of_machine(options, Given(before)), free)
    given = flags.extend(_more(options), given, may_only_change=True)
    return given.settings, given.machine


def continued_state(state: State, before: Settings, after: Settings) -> State:
    """Return a state whose steps and regularisation are those of changed settings.

    A refinement that chooses its own steps keeps those that it has reached.
    """
    schedule, models = state.schedule, state.models
    if after.tau_fudge != before.tau_fudge:
        schedule = replace(schedule, tau_fudge=after.tau_fudge)
        models = tuple(replace(model, tau_fudge=after.tau_fudge) for model in models)
    return replace(
        state, schedule=schedule, models=models, sampling=_sampling(state, before, after)
    )


def _sampling(state: State, before: Settings, after: Settings) -> Sampling:
    old, new, sampling = before.searching, after.searching, state.sampling
    pixel_A = state.models[0].pixel_size_A
    if after.auto_sampling or old == new:
        return sampling
    changed: dict[str, Any] = {
        "oversampling": new.oversampling,
        "perturbation_factor": new.perturbation,
        "sigma_rot_deg": new.sigma_rot_deg,
        "sigma_tilt_deg": new.sigma_tilt_deg,
        "sigma_psi_deg": new.sigma_psi_deg,
    }
    if (new.healpix_order, new.psi_step_deg) != (old.healpix_order, old.psi_step_deg):
        step = psi_step_deg(after)
        changed |= {"psi_step_deg": step, "original_psi_step_deg": step}
        if after.ndim == 3:
            order = new.healpix_order
            changed |= {"healpix_order": order, "original_healpix_order": order}
    if (new.shift_range_px, new.shift_step_px) != (old.shift_range_px, old.shift_step_px):
        reach, step = new.shift_range_px * pixel_A, new.shift_step_px * pixel_A
        changed |= {"shift_range_A": reach, "original_shift_range_A": reach}
        changed |= {"shift_step_A": step, "original_shift_step_A": step}
    return replace(sampling, **changed)


def psi_step_deg(settings: Settings) -> float:
    """Return the coarse in-plane step: as given, else 10 degrees in 2D, that of the directions."""
    if settings.searching.psi_step_deg > 0:
        return settings.searching.psi_step_deg
    return 10.0 if settings.ndim == 2 else 60.0 / 2**settings.searching.healpix_order


def _more(options: RefineOptions) -> str:
    return options.running.other_arguments


def _with(given: Given, values: Values) -> Given:
    for path, value in values.items():
        given = put(given, f"settings.{path}", value)
    return given


def _of_machine(options: RefineOptions, given: Given) -> Given:
    compute: Compute = options.compute
    running: Running = options.running
    machine = Machine(
        n_threads=running.n_threads,
        n_ranks=running.n_ranks,
        n_pooled=compute.n_pooled,
        use_gpu=compute.use_gpu,
        gpu_ids=compute.gpu_ids if compute.use_gpu else "",
        scratch_folder="" if compute.preread_images else compute.scratch_folder,
        preread=compute.preread_images,
        parallel_reads=compute.parallel_disk_reads,
        combine_through_disk=compute.combine_through_disk,
    )
    return replace(given, machine=machine)


def _values(options: RefineOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a new job alone says, and what a job that goes on says too, by path."""
    match options:
        case Class2D():
            return _class2d_fixed(options), _class2d_free(options)
        case InitialModel():
            return _initialmodel_fixed(options), _initialmodel_free(options)
        case Class3D():
            return _class3d_fixed(options), _class3d_free(options)
        case Refine3D():
            return _refine3d_fixed(options), _refine3d_free(options)


def _of_all(options: RefineOptions) -> dict[str, Any]:
    ctf = options.ctf
    return {
        "particles": options.particles,
        "image.correct_ctf": ctf.correct_ctf,
        "image.intact_first_peak": ctf.correct_ctf and ctf.ignore_ctf_before_first_peak,
    }


def _class2d_fixed(options: Class2D) -> dict[str, Any]:
    return _of_all(options) | {
        "n_classes": options.n_classes,
        "algorithm": Algorithm.EM if options.use_em else Algorithm.GRADIENT,
        "solvent.flatten": True,
        "solvent.zero_mask": options.mask_with_zeros,
        "searching.finest_A": _above_zero(options.resolution_limit_A),
        "image.correct_norm": True,
        "image.correct_scale": True,
    }


def _class2d_free(options: Class2D) -> dict[str, Any]:
    values = {
        "n_iterations": options.n_iterations,
        "tau_fudge": options.regularisation,
        "padding": 2.0,
        "solvent.diameter_A": options.mask_diameter_A,
        "centre_classes": options.center_classes,
        "searching.oversampling": 1,
        "searching.skip_align": not options.align,
    }
    if options.use_vdam:
        values |= {"gradient.inactivity_threshold": 0.1, "gradient.write_every": 10}
    if options.align:
        values |= {
            "searching.psi_step_deg": 2 * options.psi_step_deg,
            **_shifts(options),
            "searching.allow_coarser": options.allow_coarser,
        }
    if options.is_helix:
        values["helix.outer_diameter_A"] = options.tube_diameter_A
    if options.is_helix and options.align:
        values["searching.bimodal_psi"] = options.bimodal_psi
        values["searching.sigma_psi_deg"] = _third(options.search_psi_deg)
        if options.restrict_shift_to_rise:
            values |= {"helix.is_helix": True, "helix.rise_A": options.rise_A}
    return values


def _initialmodel_fixed(options: InitialModel) -> dict[str, Any]:
    return _of_all(options) | {
        "n_classes": options.n_classes,
        "algorithm": Algorithm.GRADIENT,
        "searching.point_group": "C1" if options.symmetrise_later else options.point_group,
        "solvent.flatten": options.flatten_solvent,
        "solvent.zero_mask": True,
    }


def _initialmodel_free(options: InitialModel) -> dict[str, Any]:
    return {
        "n_iterations": options.n_iterations,
        "tau_fudge": options.regularisation,
        "padding": 1.0,
        "solvent.diameter_A": options.mask_diameter_A,
        "auto_sampling": True,
        "searching.oversampling": 1,
        "searching.healpix_order": 1,
        "searching.shift_range_px": 6.0,
        "searching.shift_step_px": 2.0,
    }


def _of_maps(options: Class3D | Refine3D) -> dict[str, Any]:
    low_pass_A = options.reference.initial_low_pass_A
    return _of_all(options) | {
        "references": "" if options.map == NONE else options.map,
        "firstiter_cc": not options.reference.is_absolute_greyscale,
        "trust_reference_size": options.reference.resize_reference,
        "low_pass_A": _above_zero(low_pass_A),
        "searching.point_group": options.reference.point_group,
        "solvent.flatten": True,
        "solvent.zero_mask": options.mask_with_zeros,
        "image.correct_norm": True,
        "image.correct_scale": True,
        **_helix(options.helix),
    }


def _of_maps_free(options: Class3D | Refine3D) -> dict[str, Any]:
    values: dict[str, Any] = {
        "padding": 1.0 if options.compute.skip_padding else 2.0,
        "solvent.diameter_A": options.mask_diameter_A,
        "use_blush": options.use_blush,
        "solvent.mask": options.mask,
    }
    return values


def _class3d_fixed(options: Class3D) -> dict[str, Any]:
    values = _of_maps(options) | {
        "n_classes": options.n_classes,
        "fast_subsets": options.fast_subsets,
        "searching.finest_A": _above_zero(options.resolution_limit_A),
    }
    helix = options.helix
    if helix.is_helix and options.align and not options.search_locally:
        values |= _helix_searches(helix)
    return values


def _class3d_free(options: Class3D) -> dict[str, Any]:
    values = _of_maps_free(options) | {
        "n_iterations": options.n_iterations,
        "tau_fudge": options.regularisation,
        "searching.skip_align": not options.align,
    }
    if not options.align:
        return values
    values |= {
        "searching.oversampling": 1,
        "searching.healpix_order": _order(options.angular_sampling),
        **_shifts(options),
        "searching.allow_coarser": options.allow_coarser,
    }
    if options.search_locally:
        width = options.local_range_deg / 3
        values |= {f"searching.sigma_{name}_deg": width for name in ("rot", "tilt", "psi")}
        values["searching.relax_point_group"] = options.relax_point_group
    elif not options.helix.is_helix:
        values |= {f"searching.sigma_{name}_deg": 0.0 for name in ("rot", "tilt", "psi")}
    return values


def _refine3d_fixed(options: Refine3D) -> dict[str, Any]:
    values = _of_maps(options) | {
        "auto_refine": True,
        "split_halves": True,
        "join_halves_A": JOIN_HALVES_A,
        "searching.oversampling": 1,
        "searching.healpix_order": _order(options.angular_sampling),
        "searching.auto_local_order": _order(options.local_sampling),
        **_shifts(options),
    }
    helix = options.helix
    if helix.is_helix and options.angular_sampling != options.local_sampling:
        values |= _helix_searches(helix)
    elif helix.is_helix:
        values |= _helix_averaging(helix)
    return values


def _refine3d_free(options: Refine3D) -> dict[str, Any]:
    return _of_maps_free(options) | {
        "searching.ignore_angles": options.finer_sampling_sooner,
        "searching.angles_from_resolution": options.finer_sampling_sooner,
        "solvent.correct_fsc": bool(options.mask) and options.solvent_flattened_fsc,
        "searching.relax_point_group": options.relax_point_group,
    }


def _helix(helix: Helix3D) -> dict[str, Any]:
    if not helix.is_helix:
        return {}
    values: dict[str, Any] = {
        "helix.is_helix": True,
        "helix.outer_diameter_A": helix.outer_diameter_A,
        "helix.keep_tilt_prior": helix.keep_tilt_prior,
        "helix.ignore_symmetry": not helix.apply_helical_symmetry,
        "helix.inner_diameter_A": _above_zero(helix.inner_diameter_A),
    }
    if not helix.apply_helical_symmetry:
        return values
    values |= {
        "helix.n_units": helix.n_asymmetric_units,
        "helix.twist_deg": helix.twist_deg,
        "helix.rise_A": helix.rise_A,
        "helix.central_fraction": helix.central_z_percent / 100,
        "helix.search": helix.refine_helical_symmetry,
    }
    if helix.refine_helical_symmetry:
        twist = (helix.twist_min_deg, helix.twist_max_deg, max(helix.twist_step_deg, 0.0))
        rise = (helix.rise_min_A, helix.rise_max_A, max(helix.rise_step_A, 0.0))
        values |= {"helix.twist_range_deg": twist, "helix.rise_range_A": rise}
    return values


def _helix_searches(helix: Helix3D) -> dict[str, Any]:
    return {
        "searching.sigma_rot_deg": _third(helix.search_rot_deg),
        "searching.sigma_tilt_deg": _third(helix.search_tilt_deg),
        "searching.sigma_psi_deg": _third(helix.search_psi_deg),
        **_helix_averaging(helix),
    }


def _helix_averaging(helix: Helix3D) -> dict[str, Any]:
    if helix.local_averaging_range <= 0:
        return {}
    return {"helix.sigma_distance": helix.local_averaging_range / 3}


def _shifts(options: Class2D | Class3D | Refine3D) -> dict[str, Any]:
    """Return range and coarse step; the form's step is the one that is reached by halving."""
    return {
        "searching.shift_range_px": options.shift_range_px,
        "searching.shift_step_px": 2 * options.shift_step_px,
    }


def _order(step: str) -> int:
    """Return the coarse HEALPix order of a step that the form offers, which is halved once."""
    return SAMPLING.index(step)


def _third(range_deg: float) -> float:
    return min(max(range_deg, 0.0), 90.0) / 3


def _above_zero(value: float) -> float:
    return value if value > 0 else -1.0
