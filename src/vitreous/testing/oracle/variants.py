"""Every way in which an expectation step can be asked for, as small cases.

An engine is right if it gives on each of them what the oracle gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.engine import fourier
from vitreous.engine.refinement.settings import Algorithm
from vitreous.testing.oracle.cases import Camera, Case, Recipe, make
from vitreous.testing.oracle.hypotheses import Grid
from vitreous.testing.oracle.pixels import DOUBLE
from vitreous.testing.simulate.contrast import Microscope

SMALL = Recipe(box_px=16, pixel_size_A=5.0, n=4, noise=1.2, coarse_size_px=12, perturbation=0.23)
FLAT = replace(SMALL, ndim=2, n=6)
TURNED = ((1.03, 0.015), (0.015, 0.96))


@dataclass(frozen=True)
class Variant:
    """A case and how to ask for its expectation.

    Parameters
    ----------
    case
        Data, state and settings.
    half, seeding
        As for `oracle.expectation`.
    """

    case: Case
    half: int | None = None
    seeding: bool = False


def _searching(case: Case, **changes: object) -> Case:
    searching = replace(case.settings.searching, **changes)  # type: ignore[arg-type] # any field
    return case.with_settings(searching=searching)


def _image(case: Case, **changes: object) -> Case:
    return case.with_settings(image=replace(case.settings.image, **changes))  # type: ignore[arg-type] # any field


def _sampling(case: Case, **changes: object) -> Case:
    return case.with_state(sampling=replace(case.state.sampling, **changes))  # type: ignore[arg-type] # any field


def _schedule(case: Case, **changes: object) -> Case:
    return case.with_state(schedule=replace(case.state.schedule, **changes))  # type: ignore[arg-type] # any field


def _assignments(case: Case, **changes: object) -> Case:
    return case.with_state(assignments=replace(case.state.assignments, **changes))  # type: ignore[arg-type] # any field


def _plain(**changes: object) -> Case:
    return make(replace(SMALL, **changes))  # type: ignore[arg-type] # any field


def _flat(**changes: object) -> Case:
    return make(replace(FLAT, **changes))  # type: ignore[arg-type] # any field


def _noise_filled() -> Case:
    case = _plain()
    return case.with_settings(solvent=replace(case.settings.solvent, zero_mask=False))


def _mixed(**changes: object) -> Case:
    cameras = (
        Camera(16, 5.0),
        Camera(20, 4.0),
        Camera(20, 5.0, Microscope(voltage_kV=200.0, cs_mm=2.0)),
        Camera(16, 4.5),
    )
    return _plain(cameras=cameras, n=8, **changes)


def _aberrated() -> Case:
    scope = Microscope(
        beam_tilt_mrad=(3.0, -2.0),
        odd_zernike=(0.0, 0.0, 400.0, 0.0, 0.0, -300.0),
        even_zernike=(0.1, 20.0, -15.0, 10.0),
    )
    return _plain(cameras=(Camera(16, 5.0, scope), Camera(16, 5.0)))


def _detector() -> Case:
    case = _plain()
    k = fourier.frequencies(16, 2, DOUBLE).norm(dim=-1)
    return replace(case, data=replace(case.data, mtf=(torch.sinc(k),)))


def _norm_and_scale() -> Case:
    case = _plain(scales=(0.8, 1.2), norms=(1.0, 1.3, 0.7))
    case = _assignments(case, norm=np.array([1.0, 1.2, 0.8, 1.1]))
    case = case.with_model(mean_norm=1.05)
    return _image(case, correct_norm=True, correct_scale=True)


def _directional() -> Case:
    case = _plain(n_classes=2)
    weight = torch.rand(
        case.model.direction_weight.shape,
        generator=torch.Generator().manual_seed(3),
        dtype=DOUBLE,
    )
    weight[1, ::3] = 0
    weight = weight / weight.sum()
    return case.with_model(direction_weight=weight, class_weight=weight.sum(1))


def _flat_classes() -> Case:
    case = _flat(n_classes=3)
    weight = torch.tensor([0.5, 0.5, 0.0], dtype=DOUBLE)
    offset_A = torch.tensor([[2.0, -3.0], [-4.0, 1.0], [0.0, 0.0]], dtype=DOUBLE)
    return case.with_model(
        class_weight=weight, direction_weight=weight[:, None], class_offset_A=offset_A
    )


def _local(**changes: object) -> Case:
    case = _plain(**changes)
    return _sampling(case, sigma_rot_deg=12.0, sigma_tilt_deg=15.0, sigma_psi_deg=10.0)


def _local_finely() -> Case:
    case = _plain(healpix_order=3, shift_step_px=1.0)
    return _sampling(case, sigma_rot_deg=7.0, sigma_tilt_deg=7.0, sigma_psi_deg=7.0)


def _local_with_priors() -> Case:
    case = _local()
    prior = np.full((4, 3), np.nan)
    prior[::2] = np.add(case.state.assignments.angles_deg[::2], (10.0, -8.0, 12.0))
    prior[1, 1] = 80.0
    return _assignments(case, prior_deg=prior)


def _filament() -> Case:
    case = _sampling(_plain(), sigma_tilt_deg=12.0, sigma_psi_deg=12.0)
    return _searching(case, bimodal_psi=True)


def _offset_priors() -> Case:
    case = _plain(shift_range_px=4.0)
    prior = case.state.assignments.prior_origin_A.copy()
    prior[1:3] = np.add(case.state.assignments.origin_A[1:3], (5.0, -4.0))
    return _assignments(case, prior_origin_A=prior).with_model(sigma_offset_A=3.0)


def _relaxed() -> Case:
    case = _sampling(_plain(), sigma_rot_deg=0.0033, sigma_tilt_deg=0.0033, sigma_psi_deg=10.0)
    return _searching(case, relax_point_group="C2")


def _gradient(case: Case) -> Case:
    return case.with_settings(algorithm=Algorithm.GRADIENT)


def _correlating(case: Case) -> Case:
    return _schedule(case, iteration=1).with_settings(firstiter_cc=True)


def _tested_settings(**changes: object) -> Callable[[], Variant]:
    return lambda: Variant(_plain().with_settings(**changes))


VARIANTS: dict[str, Callable[[], Variant]] = {
    "3D": lambda: Variant(_plain()),
    "2D": lambda: Variant(_flat()),
    "3D, three classes": lambda: Variant(_plain(n_classes=3, n=3)),
    "2D, classes with weights and offsets": lambda: Variant(_flat_classes()),
    "without perturbation": lambda: Variant(_plain(perturbation=0.0)),
    "second half": lambda: Variant(_plain(), half=1),
    "small images": lambda: Variant(_plain(current_size_px=12, coarse_size_px=8)),
    "no oversampling": lambda: Variant(_plain(oversampling=0)),
    "2D, two levels of oversampling": lambda: Variant(_flat(oversampling=2)),
    "padding 1": _tested_settings(padding=1.0),
    "noise fill": lambda: Variant(_noise_filled()),
    "mixed boxes and pixels": lambda: Variant(_mixed()),
    "mixed boxes, small images": lambda: Variant(_mixed(current_size_px=12, coarse_size_px=8)),
    "anisotropic magnification": lambda: Variant(
        _plain(cameras=(Camera(16, 5.0, magnification=TURNED),))
    ),
    "aberrations": lambda: Variant(_aberrated()),
    "detector": lambda: Variant(_detector()),
    "premultiplied": lambda: Variant(
        _plain(cameras=(Camera(16, 5.0, premultiplied=True), Camera(16, 5.0)))
    ),
    "phase-flipped": lambda: Variant(_plain(phase_flipped=True)),
    "without CTF": lambda: Variant(_plain(with_ctf=False, noise=0.5)),
    "intact first peak": lambda: Variant(_image(_plain(), intact_first_peak=True)),
    "only phases flipped": lambda: Variant(_image(_plain(), only_flip_phases=True)),
    "padded CTF": lambda: Variant(_image(_plain(), padded_ctf=True)),
    "references not corrected": lambda: Variant(
        _schedule(_image(_plain(), ctf_corrected_references=False), iteration=1)
    ),
    "norm and scale": lambda: Variant(_norm_and_scale()),
    "directional prior": lambda: Variant(_directional()),
    "offset prior": lambda: Variant(_offset_priors()),
    "local": lambda: Variant(_local()),
    "local around priors": lambda: Variant(_local_with_priors()),
    "local in auto-refine": lambda: Variant(_local_with_priors().with_settings(auto_refine=True)),
    "local, D2": lambda: Variant(_local(point_group="D2")),
    "tilt and bimodal psi": lambda: Variant(_filament()),
    "relaxed symmetry": lambda: Variant(_relaxed()),
    "D2": lambda: Variant(_plain(point_group="D2")),
    "side views only": lambda: Variant(_sampling_limited()),
    "cross-correlation": lambda: Variant(_correlating(_plain())),
    "2D, cross-correlation": lambda: Variant(_correlating(_flat(n_classes=2))),
    "seeds": lambda: Variant(_flat(n_classes=2), seeding=True),
    "cross-correlation of seeds": lambda: Variant(_correlating(_flat(n_classes=2)), seeding=True),
    "local, order 3": lambda: Variant(_local_finely()),
    "local, two classes, mixed boxes": lambda: Variant(
        _sampling(_mixed(n_classes=2), sigma_rot_deg=9.0, sigma_tilt_deg=9.0, sigma_psi_deg=9.0)
    ),
    "many shifts": lambda: Variant(_plain(n=2, shift_range_px=3.0, shift_step_px=1.0)),
    "two levels of oversampling": lambda: Variant(_plain(n=2, oversampling=2)),
    "strong signal": lambda: Variant(_plain(noise=0.1)),
    "no alignment": lambda: Variant(_searching(_plain(n_classes=2), skip_align=True)),
    "no rotation": lambda: Variant(_searching(_plain(n_classes=2), skip_rotate=True)),
    "2D, no rotation": lambda: Variant(_searching(_flat(n_classes=2), skip_rotate=True)),
    "few significant": lambda: Variant(_searching(_plain(noise=4.0), max_significant=3)),
    "gradient": lambda: Variant(_gradient(_plain(noise=2.0))),
    "2D, gradient": lambda: Variant(_gradient(_flat(n_classes=2, noise=4.0))),
    "gradient, premultiplied": lambda: Variant(
        _gradient(_plain(cameras=(Camera(16, 5.0, premultiplied=True),)))
    ),
    "finest resolution": lambda: Variant(_searching(_plain(coarse_size_px=8), finest_A=14.0)),
    "coarsest resolution": lambda: Variant(_searching(_plain(), coarsest_A=40.0)),
}


def _sampling_limited() -> Case:
    case = _sampling(_plain(), tilt_limit_deg=40.0)
    kept = case.model.direction_weight.new_ones(1, _directions_within(case))
    return case.with_model(direction_weight=kept / kept.sum())


def _directions_within(case: Case) -> int:
    return len(Grid(case.state, case.settings, 3).directions()[0])
