"""Settings that an optimiser file leaves open: the files of model and sampling know them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vitreous.dataset.refinement.job_settings import psi_step_deg
from vitreous.dataset.refinement.optimiser_star import Optimiser
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model, Sampling
from vitreous.io import Table

_WIDTHS = ("sigma_rot_deg", "sigma_tilt_deg", "sigma_psi_deg")


def completed(found: Optimiser, general: Table, sampling: Sampling, model: Model) -> Settings:
    """Return settings with what the files of model and sampling know of them.

    Parameters
    ----------
    found
        What the optimiser file says.
    general
        ``model_general``.
    sampling, model
        As read.
    """
    settings, pixel_A = found.settings, model.pixel_size_A
    searching = settings.searching
    changed: dict[str, Any] = {
        "perturbation": sampling.perturbation_factor,
        "point_group": sampling.point_group,
        "tilt_limit_deg": sampling.tilt_limit_deg,
        "shift_range_px": sampling.original_shift_range_A / pixel_A,
        "shift_step_px": sampling.original_shift_step_A / pixel_A,
    }
    if model.ndim == 3:
        changed["healpix_order"] = sampling.original_healpix_order
    for name, value in changed.items():
        if _differ(getattr(searching, name), value):
            searching = replace(searching, **{name: value})
    settings = replace(settings, searching=searching, ndim=model.ndim, n_classes=model.n_classes)
    if _differ(psi_step_deg(settings), sampling.original_psi_step_deg):
        step = sampling.original_psi_step_deg
        settings = replace(settings, searching=replace(searching, psi_step_deg=step))
    if not found.has_command:
        settings = replace(settings, tau_fudge=model.tau_fudge)
        if not settings.auto_sampling:
            local = {name: getattr(sampling, name) for name in _WIDTHS}
            settings = replace(settings, searching=replace(settings.searching, **local))
    helix = settings.helix
    if helix.is_helix:
        helix = replace(
            helix,
            n_units=int(general.value("rlnNrHelicalAsymUnits", 1)),
            twist_range_deg=_range(general, "rlnHelicalTwist", helix.twist_range_deg),
            rise_range_A=_range(general, "rlnHelicalRise", helix.rise_range_A),
        )
    return replace(
        settings,
        helix=helix,
        padding=float(general.value("rlnPaddingFactor", 2.0)),
    )


def _range(
    general: Table, label: str, known: tuple[float, float, float]
) -> tuple[float, float, float]:
    values = [float(general.value(label + end, 0.0)) for end in ("Min", "Max", "InitialStep")]
    if not any(_differ(a, b) for a, b in zip(values, known, strict=True)):
        return known
    return values[0], values[1], values[2]


def _differ(known: object, value: object) -> bool:
    if isinstance(known, float) and isinstance(value, float):
        return not np.isclose(known, value, rtol=2e-5, atol=1e-6)
    return known != value
