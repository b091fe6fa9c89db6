"""The state before the first iteration (refinement.md sections 3.2, 3.7 and 8.1).

NumPy holds what is known of each particle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.refinement import schedule as schedules
from vitreous.engine.refinement import sizes
from vitreous.engine.refinement.initial_noise import FirstNoise
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Assignments, Model, State
from vitreous.errors import InputError

UNKNOWN = 999.0


def initial_state(
    settings: Settings,
    assignments: Assignments,
    noise: FirstNoise,
    references: Sequence[Float[Tensor, "*k_zyx"]],
    pixel_size_A: float,
    group_names: tuple[str, ...],
    *,
    tau2: Float[Tensor, "k s"] | None = None,
) -> State:
    """Put together what is known before the first iteration.

    Parameters
    ----------
    settings
        What was asked for.
    assignments
        Of all particles, with their halves.
    noise
        First noise spectra; the halves begin with the same.
    references
        One set for all, or one for each half.
    pixel_size_A
        Of the references.
    group_names
        Of the scale groups.
    tau2
        The user's spectrum of the signal, which then never changes.

    Raises
    ------
    InputError
        A half, or the whole, has no particles.
    """
    sampling = schedules.first_sampling(settings, pixel_size_A)
    halves: list[int | None] = [0, 1] if settings.split_halves else [None]
    models = []
    for number, half in enumerate(halves):
        mine = np.ones(len(assignments), np.bool_) if half is None else assignments.half == half
        if not mine.any():
            which = "The data set" if half is None else f"Half {number + 1} of the data"
            raise InputError(
                f"{which} has no particles. Check the particles file, and rlnRandomSubset in it."
            )
        models.append(
            _model(
                settings,
                references[min(number, len(references) - 1)],
                pixel_size_A,
                noise.sigma2,
                assignments,
                mine,
                group_names,
                tau2,
            )
        )
    return State(schedules.first_schedule(settings), sampling, tuple(models), assignments)


def _model(
    settings: Settings,
    references: Float[Tensor, "*k_zyx"],
    pixel_size_A: float,
    sigma2: Float[Tensor, "g s"],
    assignments: Assignments,
    mine: NDArray[np.bool_],
    group_names: tuple[str, ...],
    tau2: Float[Tensor, "k s"] | None,
) -> Model:
    """Return a model that knows nothing but its references and the noise."""
    n_classes, shells = len(references), sigma2.shape[1]
    if tau2 is None:
        tau2 = initial_tau2(references, settings)
    mean_noise = _mean_noise(sigma2, assignments.optics_group[mine])
    n_per_class = int(mine.sum()) / n_classes
    ssnr = n_per_class * tau2 / mean_noise / (2 * torch.arange(shells)).clamp(min=1)
    n_directions = schedules.count_directions(schedules.first_sampling(settings, pixel_size_A))
    nothing = torch.zeros(n_classes, shells, dtype=torch.float64)
    unknown = torch.full((n_classes,), UNKNOWN, dtype=torch.float64)
    counts = np.bincount(assignments.scale_group[mine], minlength=len(group_names))
    return Model(
        references=references,
        pixel_size_A=pixel_size_A,
        current_size_px=references.shape[-1],
        resolution_per_A=1 / settings.low_pass_A if settings.low_pass_A > 0 else 0.0,
        tau2=tau2,
        sigma2_map=nothing,
        ssnr=ssnr,
        fsc=nothing,
        completeness=nothing,
        orientability=nothing,
        class_weight=torch.full_like(unknown, 1 / n_classes),
        class_offset_A=torch.zeros(n_classes, 2, dtype=torch.float64),
        direction_weight=torch.full(
            (n_classes, n_directions), 1 / (n_classes * n_directions), dtype=torch.float64
        ),
        class_accuracy_deg=unknown,
        class_accuracy_A=unknown,
        class_resolution_A=sizes.class_resolutions_A(ssnr, references.shape[-1], pixel_size_A),
        class_completeness=torch.zeros_like(unknown),
        sigma2_noise=sigma2,
        group_scale=torch.ones(len(group_names), dtype=torch.float64),
        group_names=group_names,
        group_counts=tuple(int(n) for n in counts),
        sigma_offset_A=settings.image.sigma_offset_A,
        tau_fudge=settings.tau_fudge,
    )


def initial_tau2(references: Float[Tensor, "*k_zyx"], settings: Settings) -> Float[Tensor, "k s"]:
    """Return T times half the power of each reference on the scale of images (section 3.7)."""
    box, ndim = references.shape[-1], settings.ndim
    transforms = fourier.forward(references.to(torch.float64), ndim) * box ** (ndim - 2)
    power = fourier.shell_mean(transforms.abs().square(), ndim, stored=True)
    return settings.tau_fudge * power / 2


def _mean_noise(sigma2: Float[Tensor, "g s"], group: NDArray[np.int64]) -> Float[Tensor, " s"]:
    """Return the noise of the mean particle."""
    count = torch.from_numpy(np.bincount(group, minlength=len(sigma2))).to(sigma2)
    return (count[:, None] * sigma2).sum(0) / count.sum()
