"""What a user asks of a refinement: every option that changes its numbers, in one record.

Names of RELION's flags and of the columns of ``_optimiser.star`` are in `dataset.refinement`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

NO_TILT_LIMIT = -91.0


class Algorithm(Enum):
    """How references are improved."""

    EM = "expectation-maximisation"
    GRADIENT = "variable-metric gradient descent with adaptive moments"


@dataclass(frozen=True)
class Searching:
    """Which poses are tried (refinement.md section 4). Steps are the coarse ones."""

    healpix_order: int = 2
    psi_step_deg: float = -1.0
    oversampling: int = 1
    shift_range_px: float = 6.0
    shift_step_px: float = 2.0
    perturbation: float = 0.5
    point_group: str = "C1"
    relax_point_group: str = ""
    tilt_limit_deg: float = NO_TILT_LIMIT
    sigma_rot_deg: float = 0.0
    sigma_tilt_deg: float = 0.0
    sigma_psi_deg: float = 0.0
    bimodal_psi: bool = False
    skip_align: bool = False
    skip_rotate: bool = False
    allow_coarser: bool = False
    auto_local_order: int = 4
    ignore_angles: bool = False
    angles_from_resolution: bool = False
    adaptive_fraction: float = 0.999
    max_significant: int = -1
    coarse_size_px: int = -1
    finest_A: float = -1.0
    coarsest_A: float = -1.0


@dataclass(frozen=True)
class Gradient:
    """The schedule of VDAM (section 11); -1 stands for the rule of the job type."""

    initial_fraction: float = 0.3
    final_fraction: float = 0.2
    initial_subset: int = -1
    final_subset: int = -1
    step: float = -1.0
    step_scheme: str = ""
    tau_fudge_scheme: str = ""
    momentum: float = 0.9
    em_iterations: int = 0
    write_every: int = 10
    inactivity_threshold: float = 0.0


@dataclass(frozen=True)
class Solvent:
    """Masks (sections 2.4, 7.7 and 8.3); paths are empty where there is none."""

    diameter_A: float = -1.0
    edge_px: float = 5.0
    zero_mask: bool = False
    flatten: bool = False
    non_negative: bool = False
    mask: str = ""
    second_mask: str = ""
    low_pass_mask: str = ""
    low_pass_A: float = 0.0
    correct_fsc: bool = False


@dataclass(frozen=True)
class Image:
    """How the CTF and the grey scale of images are modelled (sections 1.8, 1.9, 6)."""

    correct_ctf: bool = False
    padded_ctf: bool = False
    intact_first_peak: bool = False
    only_flip_phases: bool = False
    phase_flipped: bool = False
    ctf_corrected_references: bool = True
    correct_norm: bool = False
    correct_scale: bool = False
    check_norm: bool = True
    fix_sigma_noise: bool = False
    fix_sigma_offset: bool = False
    sigma_offset_A: float = 10.0
    n_noise_particles: int = 1000  # of each optics group, for the first noise spectra


@dataclass(frozen=True)
class Helix:
    """Filaments (jobs.yaml, tab Helix)."""

    is_helix: bool = False
    ignore_symmetry: bool = False
    n_units: int = 1
    twist_deg: float = 0.0
    rise_A: float = 0.0
    n_starts: int = 1
    central_fraction: float = 0.3
    inner_diameter_A: float = -1.0
    outer_diameter_A: float = -1.0
    search: bool = False
    twist_range_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rise_range_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift_step_A: float = -1.0
    sigma_distance: float = -1.0
    keep_tilt_prior: bool = False


@dataclass(frozen=True)
class Settings:
    """Everything that a refinement was asked for.

    Parameters
    ----------
    ndim
        2 for class averages, 3 for maps.
    references
        Path of the starting reference or references; empty for none.
    low_pass_A
        Low-pass of the starting references (``ini_high``).
    join_halves_A
        Halves are joined to this resolution; -1 for never.
    firstiter_cc, always_cc
        Score by cross-correlation in the first iteration, or in all.
    n_iterations
        Total, also when continued.
    """

    ndim: int = 3
    particles: str = ""
    references: str = ""
    from_nothing: bool = False
    n_classes: int = 1
    algorithm: Algorithm = Algorithm.EM
    n_iterations: int = 25
    auto_refine: bool = False
    auto_sampling: bool = False
    split_halves: bool = False
    join_halves_A: float = -1.0
    tau_fudge: float = 1.0
    tau_spectrum: str = ""
    padding: float = 2.0
    skip_gridding: bool = True
    low_pass_A: float = -1.0
    firstiter_cc: bool = False
    always_cc: bool = False
    trust_reference_size: bool = False
    reference_pixel_size_A: float = -1.0
    size_increment: int = 10
    fast_subsets: bool = False
    centre_classes: bool = False
    max_auto_iterations: int = 999
    external_reconstruction: bool = False
    use_blush: bool = False
    seed: int = 0
    searching: Searching = field(default_factory=Searching)
    gradient: Gradient = field(default_factory=Gradient)
    solvent: Solvent = field(default_factory=Solvent)
    image: Image = field(default_factory=Image)
    helix: Helix = field(default_factory=Helix)
