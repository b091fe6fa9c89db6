"""Every flag of RELION's refinement programs: the field that it sets, and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any

from vitreous.dataset.refinement.machine import Machine
from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.errors import InputError

NONE = "None"


class Kind(Enum):
    """What stands behind a flag."""

    SWITCH = "nothing"
    WHOLE = "a whole number"
    NUMBER = "a number"
    TEXT = "a text"
    PERHAPS = "a text or nothing"


@dataclass(frozen=True)
class Given:
    """Settings and machine together: what flags are about."""

    settings: Settings = field(default_factory=Settings)
    machine: Machine = field(default_factory=Machine)


# What the programs do where a flag is absent, as far as it is not the default of the records.
ABSENT = Given(
    Settings(n_iterations=50, seed=-1, from_nothing=True),
    Machine(n_pooled=1, combine_through_disk=True),
)


@dataclass(frozen=True)
class Flag:
    """One flag.

    Parameters
    ----------
    name
        Without dashes.
    field
        Where its value goes: ``settings.searching.healpix_order``, ``machine.n_threads``,
        ``settings.helix.twist_range_deg.0`` for the first of a tuple.
    kind
        What stands behind it.
    on
        Value that a switch gives.
    may_change
        Whether it may be given anew when a refinement goes on.
    is_written
        Whether `command_line` writes it; of two flags for one field one is.
    read, write
        Turn the value of the command line into that of the field and back.
    """

    name: str
    field: str
    kind: Kind = Kind.SWITCH
    on: object = True
    may_change: bool = False
    is_written: bool = True
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value

    def value(self, text: str) -> object:
        """Return what the field becomes; refuse what is no number."""
        try:
            if self.kind is Kind.WHOLE:
                return self.read(int(text))
            return self.read(float(text) if self.kind is Kind.NUMBER else text)
        except ValueError:
            raise InputError(f"--{self.name} is {text!r}; {self.kind.value} is wanted") from None

    def text(self, value: object) -> str:
        """Return the value as it stands on a command line, with every digit."""
        written = self.write(value)
        return repr(written).removesuffix(".0") if isinstance(written, float) else str(written)


def get(record: object, path: str) -> Any:  # noqa: ANN401 - whatever the field holds
    """Return the value at a path such as ``settings.searching.healpix_order``."""
    for name in path.split("."):
        record = record[int(name)] if isinstance(record, tuple) else getattr(record, name)
    return record


def put(record: Any, path: str, value: object) -> Any:  # noqa: ANN401 - any of the records
    """Return a record with another value at a path."""
    name, _, rest = path.partition(".")
    if isinstance(record, tuple):
        return (*record[: int(name)], value, *record[int(name) + 1 :])
    inner = put(getattr(record, name), rest, value) if rest else value
    return replace(record, **{name: inner})


def _path(text: str) -> str:
    return "" if text == NONE else text


def _none(text: str) -> str:
    return text or NONE


def _width(value: float) -> float:
    return max(value, 0.0)


def _in_mebibytes(value: float) -> float:
    return value * 1024


def _in_gibibytes(value: float) -> float:
    return value / 1024


# How most flags are declared: name and field, and what else differs.
_switch = Flag
_whole = partial(Flag, kind=Kind.WHOLE)
_number = partial(Flag, kind=Kind.NUMBER)
_file = partial(Flag, kind=Kind.TEXT, read=_path, write=_none)
_text = partial(Flag, kind=Kind.TEXT)


_S = "settings"
_P = "settings.searching"
_G = "settings.gradient"
_M = "settings.solvent"
_I = "settings.image"
_H = "settings.helix"

_GENERAL = (
    _file("i", f"{_S}.particles"),
    _whole("iter", f"{_S}.n_iterations", may_change=True),
    _number("tau2_fudge", f"{_S}.tau_fudge", may_change=True),
    _whole("K", f"{_S}.n_classes"),
    _number("particle_diameter", f"{_M}.diameter_A", may_change=True),
    _switch("zero_mask", f"{_M}.zero_mask"),
    _switch("flatten_solvent", f"{_M}.flatten"),
    _file("solvent_mask", f"{_M}.mask", may_change=True),
    _file("solvent_mask2", f"{_M}.second_mask", may_change=True),
    _file("lowpass_mask", f"{_M}.low_pass_mask", may_change=True),
    _number("lowpass", f"{_M}.low_pass_A", may_change=True),
    _number("maskedge", f"{_M}.edge_px", may_change=True),
    _switch("solvent_correct_fsc", f"{_M}.correct_fsc", may_change=True),
    _file("tau", f"{_S}.tau_spectrum"),
    _switch("split_random_halves", f"{_S}.split_halves"),
    _number("low_resol_join_halves", f"{_S}.join_halves_A", may_change=True),
    _file("ref", f"{_S}.references"),
    _switch("firstiter_cc", f"{_S}.firstiter_cc"),
    _switch("always_cc", f"{_S}.always_cc"),
    _number("ini_high", f"{_S}.low_pass_A"),
    _number("ref_angpix", f"{_S}.reference_pixel_size_A"),
    _switch("trust_ref_size", f"{_S}.trust_reference_size"),
    _switch("auto_refine", f"{_S}.auto_refine"),
    _switch("auto_sampling", f"{_S}.auto_sampling", may_change=True),
    _whole("auto_iter_max", f"{_S}.max_auto_iterations", may_change=True),
    _switch("fast_subsets", f"{_S}.fast_subsets"),
    _switch("center_classes", f"{_S}.centre_classes", may_change=True),
    _number("pad", f"{_S}.padding", may_change=True),
    _switch("skip_gridding", f"{_S}.skip_gridding", may_change=True, is_written=False),
    _switch("dont_skip_gridding", f"{_S}.skip_gridding", on=False, may_change=True),
    _whole("incr_size", f"{_S}.size_increment"),
    _switch("external_reconstruct", f"{_S}.external_reconstruction", may_change=True),
    _switch("blush", f"{_S}.use_blush", may_change=True),
    _whole("random_seed", f"{_S}.seed"),
)
_SEARCHING = (
    _whole("oversampling", f"{_P}.oversampling", may_change=True),
    _whole("healpix_order", f"{_P}.healpix_order", may_change=True),
    _number("psi_step", f"{_P}.psi_step_deg", may_change=True),
    _number("limit_tilt", f"{_P}.tilt_limit_deg"),
    _text("sym", f"{_P}.point_group"),
    _text("relax_sym", f"{_P}.relax_point_group", may_change=True),
    _number("offset_range", f"{_P}.shift_range_px", may_change=True),
    _number("offset_step", f"{_P}.shift_step_px", may_change=True),
    _number("perturb", f"{_P}.perturbation", may_change=True),
    _whole("auto_local_healpix_order", f"{_P}.auto_local_order", may_change=True),
    _number("sigma_rot", f"{_P}.sigma_rot_deg", read=_width, may_change=True),
    _number("sigma_tilt", f"{_P}.sigma_tilt_deg", read=_width, may_change=True),
    _number("sigma_psi", f"{_P}.sigma_psi_deg", read=_width, may_change=True),
    _switch("bimodal_psi", f"{_P}.bimodal_psi", may_change=True),
    _switch("skip_align", f"{_P}.skip_align", may_change=True),
    _switch("skip_rotate", f"{_P}.skip_rotate", may_change=True),
    _switch("allow_coarser_sampling", f"{_P}.allow_coarser", may_change=True),
    _switch("auto_ignore_angles", f"{_P}.ignore_angles", may_change=True),
    _switch("auto_resol_angles", f"{_P}.angles_from_resolution", may_change=True),
    _number("adaptive_fraction", f"{_P}.adaptive_fraction", may_change=True),
    _whole("maxsig", f"{_P}.max_significant", may_change=True),
    _whole("coarse_size", f"{_P}.coarse_size_px", may_change=True),
    _number("strict_highres_exp", f"{_P}.finest_A", may_change=True),
    _number("strict_lowres_exp", f"{_P}.coarsest_A", may_change=True),
)
_GRADIENT = (
    Flag("grad", f"{_S}.algorithm", on=Algorithm.GRADIENT),
    _number("grad_ini_frac", f"{_G}.initial_fraction", may_change=True),
    _number("grad_fin_frac", f"{_G}.final_fraction", may_change=True),
    _whole("grad_ini_subset", f"{_G}.initial_subset", may_change=True),
    _whole("grad_fin_subset", f"{_G}.final_subset", may_change=True),
    _number("grad_stepsize", f"{_G}.step", may_change=True),
    _text("grad_stepsize_scheme", f"{_G}.step_scheme", may_change=True),
    _text("tau2_fudge_scheme", f"{_G}.tau_fudge_scheme", may_change=True),
    _number("mu", f"{_G}.momentum", may_change=True),
    _whole("grad_em_iters", f"{_G}.em_iterations", may_change=True),
    _whole("grad_write_iter", f"{_G}.write_every", may_change=True),
    _number("class_inactivity_threshold", f"{_G}.inactivity_threshold", may_change=True),
)
_IMAGE = (
    _switch("ctf", f"{_I}.correct_ctf"),
    _switch("pad_ctf", f"{_I}.padded_ctf"),
    _switch("ctf_intact_first_peak", f"{_I}.intact_first_peak"),
    _switch("ctf_phase_flipped", f"{_I}.phase_flipped"),
    _switch("only_flip_phases", f"{_I}.only_flip_phases"),
    _switch("ctf_corrected_ref", f"{_I}.ctf_corrected_references", is_written=False),
    _switch("ctf_uncorrected_ref", f"{_I}.ctf_corrected_references", on=False),
    _switch("norm", f"{_I}.correct_norm"),
    _switch("scale", f"{_I}.correct_scale"),
    _switch("no_norm", f"{_I}.correct_norm", on=False, is_written=False),
    _switch("no_scale", f"{_I}.correct_scale", on=False, is_written=False),
    _switch("dont_check_norm", f"{_I}.check_norm", on=False, may_change=True),
    _switch("fix_sigma_noise", f"{_I}.fix_sigma_noise", may_change=True),
    _switch("fix_sigma_offset", f"{_I}.fix_sigma_offset", may_change=True),
    _number("offset", f"{_I}.sigma_offset_A"),
    _whole("nr_parts_sigma2noise", f"{_I}.n_noise_particles"),
)
_HELIX = (
    _switch("helix", f"{_H}.is_helix", may_change=True),
    _switch("ignore_helical_symmetry", f"{_H}.ignore_symmetry"),
    _whole("helical_nr_asu", f"{_H}.n_units"),
    _number("helical_twist_initial", f"{_H}.twist_deg"),
    _number("helical_twist_min", f"{_H}.twist_range_deg.0"),
    _number("helical_twist_max", f"{_H}.twist_range_deg.1"),
    _number("helical_twist_inistep", f"{_H}.twist_range_deg.2"),
    _number("helical_rise_initial", f"{_H}.rise_A", may_change=True),
    _number("helical_rise_min", f"{_H}.rise_range_A.0"),
    _number("helical_rise_max", f"{_H}.rise_range_A.1"),
    _number("helical_rise_inistep", f"{_H}.rise_range_A.2"),
    _whole("helical_nstart", f"{_H}.n_starts"),
    _number("helical_z_percentage", f"{_H}.central_fraction"),
    _number("helical_inner_diameter", f"{_H}.inner_diameter_A"),
    _number("helical_outer_diameter", f"{_H}.outer_diameter_A", may_change=True),
    _switch("helical_symmetry_search", f"{_H}.search"),
    _number("helical_sigma_distance", f"{_H}.sigma_distance"),
    _switch("helical_keep_tilt_prior_fixed", f"{_H}.keep_tilt_prior"),
    _number("helical_offset_step", f"{_H}.shift_step_A", may_change=True),
)
_MACHINE = (
    _whole("j", "machine.n_threads", may_change=True),
    _whole("pool", "machine.n_pooled", may_change=True),
    _text("scratch_dir", "machine.scratch_folder", may_change=True),
    _switch("keep_scratch", "machine.keep_scratch", may_change=True),
    _switch("reuse_scratch", "machine.reuse_scratch", may_change=True),
    _number(
        "keep_free_scratch",
        "machine.keep_free_MiB",
        read=_in_mebibytes,
        write=_in_gibibytes,
        may_change=True,
    ),
    _switch("preread_images", "machine.preread", may_change=True),
    _switch("no_parallel_disc_io", "machine.parallel_reads", on=False, may_change=True),
    _switch(
        "dont_combine_weights_via_disc", "machine.combine_through_disk", on=False, may_change=True
    ),
    _number("free_gpu_memory", "machine.free_gpu_memory_MiB", may_change=True),
    Flag("gpu", "machine.gpu_ids", Kind.PERHAPS, may_change=True),
)
FLAGS: dict[str, Flag] = {
    flag.name: flag for flag in (*_GENERAL, *_SEARCHING, *_GRADIENT, *_IMAGE, *_HELIX, *_MACHINE)
}

# Flags that set more than one field: those they stand for.
SEVERAL = {"sigma_ang": ("sigma_rot", "sigma_tilt", "sigma_psi")}

# Flags that change nothing here, with the number of words behind each.
WITHOUT_EFFECT = {
    "o": 1, "continue": 1, "denovo_3dref": 0, "verb": 1, "onthefly_shifts": 0,
    "failsafe_threshold": 1, "cpu": 0, "pipeline_control": 1, "r_min_nn": 1,
}  # fmt: skip

# Flags of RELION that we do not have, and why.
REFUSED = {
    **dict.fromkeys(
        ("sgd", "stochastic_em", "sgd_ini_iter", "sgd_fin_iter", "sgd_inbetween_iter",
         "sgd_ini_resol", "sgd_fin_resol", "sgd_ini_subset", "sgd_fin_subset", "sgd_stepsize",
         "sgd_sigma2fudge_initial", "sgd_sigma2fudge_halflife", "sgd_skip_anneal",
         "sgd_write_iter"),
        "belongs to the gradient algorithm of RELION 3.1; use --grad and its flags",
    ),
    **dict.fromkeys(
        ("grad_min_resol", "grad_ini_resol", "grad_fin_resol"),
        "is not supported: gradient runs find their own resolution",
    ),
    "NN": "is not supported: slices are interpolated linearly",
    "skip_maximize": "is not supported: every iteration makes its references",
    "helical_exclude_resols": "is not supported: layer lines are not excluded",
    "local_symmetry": "is not supported: no local symmetry here",
    "fourier_mask": "is not supported: use --strict_highres_exp and --strict_lowres_exp",
    "multibody_masks": "belongs to a MultiBody job",
    "blush_skip_spectral_trailing": "is not supported: trailing keeps the halves independent",
    "print_metadata_labels": "is not an option of a job; `vitreous describe` lists labels",
    "print_symmetry_ops": "is not an option of a job",
    "version": "is not an option of a job; use `vitreous --version`",
}  # fmt: skip
