"""What a refinement knows after an iteration: frozen records that are replaced whole.

A half-set refinement has two `Model` of one `Schedule`. Angles stay in degrees here and offsets in
angstrom, because this is what is kept between iterations and in files (refinement.md section 14).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """The grid of poses of one iteration and what it began with (section 4).

    Parameters
    ----------
    healpix_order
        Of the directions; -1 where references are 2D.
    psi_step_deg, shift_range_A, shift_step_A
        Coarse steps.
    oversampling
        Halvings of all steps in the fine pass.
    perturbation
        Current perturbation in units of the coarse steps, within plus or minus the factor.
    sigma_rot_deg, sigma_tilt_deg, sigma_psi_deg
        Widths of local searches; 0 where all angles are searched.
    """

    healpix_order: int
    psi_step_deg: float
    shift_range_A: float
    shift_step_A: float
    oversampling: int = 1
    perturbation: float = 0.0
    perturbation_factor: float = 0.5
    sigma_rot_deg: float = 0.0
    sigma_tilt_deg: float = 0.0
    sigma_psi_deg: float = 0.0
    point_group: str = "C1"
    tilt_limit_deg: float = -91.0
    original_healpix_order: int = 2
    original_psi_step_deg: float = 15.0
    original_shift_range_A: float = 0.0
    original_shift_step_A: float = 0.0

    @property
    def is_local(self) -> bool:
        """Tell whether only angles near the present ones are searched."""
        return max(self.sigma_rot_deg, self.sigma_tilt_deg, self.sigma_psi_deg) > 0

    @property
    def fine_step_deg(self) -> float:
        """Return the angular step of the fine pass."""
        return self.psi_step_deg * 0.5**self.oversampling

    @property
    def fine_shift_step_A(self) -> float:
        """Return the step of shifts in the fine pass."""
        return self.shift_step_A * 0.5**self.oversampling


@dataclass(frozen=True)
class Schedule:
    """Counters and sizes that decide what the next iteration does (sections 8 to 11).

    Shells are those of the reference's box. `best_resolution_per_A` and the smallest changes are
    what RELION keeps in ``_optimiser.star``. The previous steps are those before the sampling was
    last made finer, of angles in the fine pass and of shifts in the coarse one; 0 until then.
    """

    iteration: int = 0
    current_size_px: int = 0
    coarse_size_px: int = 0
    resolution_per_A: float = 0.0
    best_resolution_per_A: float = 0.0
    resolution_no_gain: int = 0
    changes_no_gain: int = 0
    changes_angle_deg: float = 999.0
    changes_shift_A: float = 999.0
    changes_class: float = 9999999.0
    smallest_angle_deg: float = 999.0
    smallest_shift_A: float = 999.0
    smallest_class: float = 9999999.0
    accuracy_angle_deg: float = 999.0
    accuracy_shift_A: float = 999.0
    size_increment: int = 10
    high_fsc_at_limit: bool = False
    large_increase_ago: int = 0
    mean_pmax: float = 0.0
    fine_enough: bool = False
    converged: bool = False
    previous_step_deg: float = 0.0
    previous_shift_step_A: float = 0.0
    # VDAM
    gradient_converged: bool = False
    step: float = 0.0
    tau_fudge: float = 1.0
    subset_size: int = -1
    subset_order: int = 0
    suspend_finer_until: int = -1
    suspend_local_until: int = -1


@dataclass(frozen=True)
class Moments:
    """Running means of the gradient of one class (section 11); Fourier grids as in `grids`."""

    first: Tensor  # "2 *grid" complex: one for each pseudo-half
    second: Tensor  # "*grid" real


@dataclass(frozen=True)
class Model:
    """References and what is known about the data, for one half or for all (section 3).

    Parameters
    ----------
    references
        ``k z y x`` or ``k y x``.
    pixel_size_A
        Of the references.
    current_size_px
        Size that the last iteration used.
    tau2, sigma2_map, ssnr, completeness, orientability
        ``k s``: power of the signal, of the noise in the map, data versus prior, covered part of
        Fourier space, share of each shell in the accuracy of angles.
    fsc
        ``k s``; zero where halves are not split.
    class_weight, class_offset_A
        ``k`` (sums to 1) and ``k 2`` (2D only).
    direction_weight
        ``k r``, sums to the class weight over r; r is 1 in 2D.
    class_accuracy_deg, class_accuracy_A, class_resolution_A, class_completeness
        ``k``
    sigma2_noise
        ``g s``, of each optics group, on the shells of the reference's box.
    group_scale
        ``m``, of each scale group (micrograph).
    mean_norm, sigma_offset_A
        Mean of the norm corrections; width of the prior of shifts.
    moments
        One a class in gradient runs.
    """

    references: Float[Tensor, "*k_zyx"]
    pixel_size_A: float
    current_size_px: int
    resolution_per_A: float
    tau2: Float[Tensor, "k s"]
    sigma2_map: Float[Tensor, "k s"]
    ssnr: Float[Tensor, "k s"]
    fsc: Float[Tensor, "k s"]
    completeness: Float[Tensor, "k s"]
    orientability: Float[Tensor, "k s"]
    class_weight: Float[Tensor, " k"]
    class_offset_A: Float[Tensor, "k 2"]
    direction_weight: Float[Tensor, "k r"]
    class_accuracy_deg: Float[Tensor, " k"]
    class_accuracy_A: Float[Tensor, " k"]
    class_resolution_A: Float[Tensor, " k"]
    class_completeness: Float[Tensor, " k"]
    sigma2_noise: Float[Tensor, "g s"]
    group_scale: Float[Tensor, " m"]
    group_names: tuple[str, ...]
    group_counts: tuple[int, ...]
    mean_norm: float = 1.0
    sigma_offset_A: float = 10.0
    log_likelihood: float = 0.0
    mean_pmax: float = 0.0
    tau_fudge: float = 1.0
    helical_twist_deg: Float[Tensor, " k"] | None = None
    helical_rise_A: Float[Tensor, " k"] | None = None
    moments: tuple[Moments, ...] = ()

    @property
    def n_classes(self) -> int:
        """Return the number of references."""
        return len(self.references)

    @property
    def box_px(self) -> int:
        """Return the side of the references."""
        return int(self.references.shape[-1])

    @property
    def ndim(self) -> int:
        """Return 2 for averages, 3 for maps."""
        return self.references.ndim - 1


@dataclass(frozen=True)
class Assignments:
    """What is known of every particle; arrays of length n in the order of the particle table.

    Parameters
    ----------
    angles_deg
        ``n 3``: rot, tilt, psi.
    origin_A
        ``n 2``: the shift that brings the image onto the reference.
    prior_deg, prior_origin_A
        ``n 3`` and ``n 2``; centres of priors, NaN where there is none.
    class_
        From 0.
    half
        0 or 1, of split halves (`rlnRandomSubset` minus 1).
    scale_group, optics_group
        Rows of `Model.group_scale` and of the optics table.
    """

    angles_deg: NDArray[np.float64]
    origin_A: NDArray[np.float64]
    prior_deg: NDArray[np.float64]
    prior_origin_A: NDArray[np.float64]
    class_: NDArray[np.int64]
    half: NDArray[np.int64]
    scale_group: NDArray[np.int64]
    optics_group: NDArray[np.int64]
    norm: NDArray[np.float64]
    pmax: NDArray[np.float64]
    n_significant: NDArray[np.int64]
    log_likelihood: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of particles."""
        return len(self.class_)


@dataclass(frozen=True)
class State:
    """All that one iteration hands to the next.

    Parameters
    ----------
    models
        One, or one of each half.
    """

    schedule: Schedule
    sampling: Sampling
    models: tuple[Model, ...]
    assignments: Assignments = field(repr=False)
