"""``_sampling.star``: steps, ranges and directions of an iteration."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from vitreous.engine.refinement.state import Sampling
from vitreous.engine.sampling import Grid
from vitreous.io import Star, Table

GENERAL = "sampling_general"
DIRECTIONS = "sampling_directions"


def sampling_tables(sampling: Sampling, ndim: int, helical_step_A: float) -> list[Table]:
    """Return the tables of the file; directions stand in the order of the model's weights."""
    angular: dict[str, object] = {}
    if ndim == 3:
        angular = {
            "rlnHealpixOrder": sampling.healpix_order,
            "rlnSymmetryGroup": sampling.point_group,
            "rlnTiltAngleLimit": sampling.tilt_limit_deg,
        }
    general = {
        "rlnIs3DSampling": ndim == 3,
        "rlnIs3DTranslationalSampling": False,
        **angular,
        "rlnPsiStep": sampling.psi_step_deg,
        "rlnOffsetRange": sampling.shift_range_A,
        "rlnOffsetStep": sampling.shift_step_A,
        "rlnHelicalOffsetStep": helical_step_A,
        "rlnSamplingPerturbInstance": sampling.perturbation,
        "rlnSamplingPerturbFactor": sampling.perturbation_factor,
        "rlnHealpixOrderOriginal": sampling.original_healpix_order,
        "rlnPsiStepOriginal": sampling.original_psi_step_deg,
        "rlnOffsetRangeOriginal": sampling.original_shift_range_A,
        "rlnOffsetStepOriginal": sampling.original_shift_step_A,
    }
    tables = [Table.from_columns(GENERAL, general, is_list=True)]
    return tables if ndim == 2 else [*tables, _directions(sampling)]


def _directions(sampling: Sampling) -> Table:
    angles = directions_of(sampling).numpy()
    columns = {"rlnAngleRot": angles[:, 0], "rlnAngleTilt": angles[:, 1]}
    return Table.from_columns(DIRECTIONS, columns)


def directions_of(sampling: Sampling) -> Float[Tensor, "r 2"]:
    """Return rot and tilt of the coarse directions, in the order of RELION and of the weights."""
    return Grid(
        sampling.healpix_order,
        point_group=sampling.point_group,
        tilt_limit_deg=sampling.tilt_limit_deg,
    ).directions()


def sampling_from(
    star: Star, oversampling: int, sigmas_deg: tuple[float, float, float]
) -> Sampling:
    """Read the file.

    Parameters
    ----------
    star
        The file.
    oversampling
        From the optimiser file.
    sigmas_deg
        Widths of local searches, from the model file.
    """
    general = star[GENERAL]
    is_3d = bool(general.value("rlnIs3DSampling"))
    step = float(general.value("rlnPsiStep"))
    reach = float(general.value("rlnOffsetRange"))
    shift = float(general.value("rlnOffsetStep"))
    order = int(general.value("rlnHealpixOrder")) if is_3d else -1
    return Sampling(
        healpix_order=order,
        psi_step_deg=step,
        shift_range_A=reach,
        shift_step_A=shift,
        oversampling=oversampling,
        perturbation=float(general.value("rlnSamplingPerturbInstance", 0.0)),
        perturbation_factor=float(general.value("rlnSamplingPerturbFactor", 0.5)),
        sigma_rot_deg=sigmas_deg[0],
        sigma_tilt_deg=sigmas_deg[1],
        sigma_psi_deg=sigmas_deg[2],
        point_group=str(general.value("rlnSymmetryGroup", "C1")),
        tilt_limit_deg=float(general.value("rlnTiltAngleLimit", -91.0)),
        original_healpix_order=int(general.value("rlnHealpixOrderOriginal", max(order, 0))),
        original_psi_step_deg=float(general.value("rlnPsiStepOriginal", step)),
        original_shift_range_A=float(general.value("rlnOffsetRangeOriginal", reach)),
        original_shift_step_A=float(general.value("rlnOffsetStepOriginal", shift)),
    )
