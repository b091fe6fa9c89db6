"""A refinement with local searches, small enough to compare all its poses."""

from __future__ import annotations

from dataclasses import replace

from vitreous.testing.oracle.cases import Case, Recipe, make


def local_case(noise: float, n_classes: int = 1) -> Case:
    case = make(
        Recipe(
            box_px=64, n=6, n_classes=n_classes, noise=noise, healpix_order=3, coarse_size_px=64,
            offset_error_A=2.0, shift_step_px=1.0,
        )
    )  # fmt: skip
    sampling = replace(
        case.state.sampling, sigma_rot_deg=7.0, sigma_tilt_deg=7.0, sigma_psi_deg=7.0
    )
    return replace(case, state=replace(case.state, sampling=sampling))
