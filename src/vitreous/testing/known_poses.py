"""Sums of an expectation in which every pose was known: what a maximisation is held to.

Images are the closed-form projections of a phantom (`phantoms`) plus white noise, without CTF;
nobody had to search. Sums are made by `projection.Accumulator` from weights of 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import fourier, geometry
from vitreous.engine.projection import Accumulator, project, projector
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Assignments, Model, Sampling, Schedule, State
from vitreous.engine.refinement.statistics import Statistics, Sums
from vitreous.testing.phantoms import Gaussians

PIXEL_SIZE_A = 4.0


@dataclass(frozen=True)
class Experiment:
    """Images of one object in known orientations.

    Parameters
    ----------
    transforms
        ``n y xh``
    poses
        ``n 3 3``, or ``n 2 2`` of rotations in the plane.
    sigma2
        Power of their noise per component.
    """

    transforms: Complex[Tensor, "n y xh"]
    poses: Float[Tensor, "n c c"]
    sigma2: float

    @property
    def box_px(self) -> int:
        """Return the side of the images."""
        return int(self.transforms.shape[-2])

    @property
    def ndim(self) -> int:
        """Return 3 for an object, 2 for an average."""
        return int(self.poses.shape[-1])

    def some(self, which: slice) -> Experiment:
        """Return some of the images."""
        return replace(self, transforms=self.transforms[which], poses=self.poses[which])


def experiment(
    thing: Gaussians | None,
    n: int,
    box_px: int,
    *,
    noise: float = 1.0,
    ndim: int = 3,
    seed: int = 0,
) -> Experiment:
    """Take images.

    Parameters
    ----------
    thing
        What is seen; None for noise alone.
    n, box_px
        Number and side of the images.
    noise
        Deviation of a pixel.
    ndim
        3 for random views, 2 for one view turned in its plane.
    seed
        Of poses and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    if ndim == 3:
        poses = geometry.random_rotations(n, generator, torch.float64)
    else:
        angles = torch.zeros(n, 3, dtype=torch.float64)
        angles[:, 2] = 360 * torch.rand(n, generator=generator, dtype=torch.float64)
        poses = geometry.matrix_from_euler(angles)
    pixels = torch.randn(n, box_px, box_px, generator=generator, dtype=torch.float64)
    transforms = fourier.forward(noise * pixels, 2)
    if thing is not None:
        transforms = transforms + thing.projection_transforms(poses, box_px)
    sigma2 = max(noise, 1e-3) ** 2 / (2 * box_px**2)
    return Experiment(transforms, poses[:, :ndim, :ndim], sigma2)


def sums_of(
    seen: Experiment,
    settings: Settings,
    *,
    size_px: int | None = None,
    reference: Float[Tensor, "*zyx"] | None = None,
) -> Sums:
    """Return what an expectation counts that gives each image its pose with weight 1.

    Parameters
    ----------
    seen
        The images.
    settings
        Classes (all images go to the first) and padding.
    size_px
        Side that is used; the whole box by default.
    reference
        Gradient runs: images less its projections are summed, even and odd ones apart.
    """
    size = seen.box_px if size_px is None else size_px
    images = fourier.crop(seen.transforms, size, 2)
    parts = [slice(None)]
    if reference is not None:
        source = projector(reference.to(torch.float64), settings.padding, size // 2)
        images = images - project(source, seen.poses, size)
        parts = [slice(0, None, 2), slice(1, None, 2)]
    inverse = torch.full(images.shape, 1 / seen.sigma2, dtype=torch.float32)

    def accumulator(part: slice | None) -> Accumulator:
        made = Accumulator(seen.box_px, settings.padding, size // 2, ndim=seen.ndim)
        if part is not None:
            values = (images[part] / seen.sigma2).to(torch.complex64)
            made.add_(values, inverse[part], seen.poses[part].to(torch.float32))
        return made

    others = [tuple(accumulator(None) for _ in parts) for _ in range(settings.n_classes - 1)]
    first = tuple(accumulator(part) for part in parts)
    return Sums(statistics_of(seen, settings.n_classes), (first, *others))


def statistics_of(seen: Experiment, n_classes: int = 1) -> Statistics:
    """Return the statistics of images that all belong to the first class and have no signal left.

    Their residual is all of their power.
    """
    n, shells = len(seen.transforms), seen.box_px // 2 + 1
    power = fourier.shell_sum(seen.transforms.abs().square().sum(0), 2)
    weights = torch.zeros(n_classes, 1, dtype=torch.float64)
    weights[0] = n

    def number(value: float) -> Tensor:
        return torch.tensor(float(value), dtype=torch.float64)

    empty = torch.zeros(n_classes, shells, dtype=torch.float64)
    return Statistics(
        residual=power.to(torch.float64)[None],
        group_weight=number(n)[None],
        scale_cross=number(n)[None],
        scale_power=number(n)[None],
        direction_weight=weights,
        class_offset=torch.zeros(n_classes, 2, dtype=torch.float64),
        offset2=number(2 * n * 9.0),
        total_weight=number(n),
        log_likelihood=number(-n),
        pmax=number(n / 2),
        n_particles=number(n),
        ctf2=empty,
        ctf2_weight=empty,
    )


def model_of(references: Float[Tensor, "*k_zyx"], sigma2: float, *, n_directions: int = 1) -> Model:
    """Return a model with these references and white noise."""
    n_classes, shells = len(references), references.shape[-1] // 2 + 1
    table = torch.zeros(n_classes, shells, dtype=torch.float64)
    row = torch.full((n_classes,), 1 / n_classes, dtype=torch.float64)
    return Model(
        references=references,
        pixel_size_A=PIXEL_SIZE_A,
        current_size_px=references.shape[-1],
        resolution_per_A=0.0,
        tau2=table,
        sigma2_map=table,
        ssnr=table,
        fsc=table,
        completeness=table,
        orientability=table,
        class_weight=row,
        class_offset_A=torch.zeros(n_classes, 2, dtype=torch.float64),
        direction_weight=row[:, None].expand(-1, n_directions) / n_directions,
        class_accuracy_deg=row,
        class_accuracy_A=row,
        class_resolution_A=row,
        class_completeness=row,
        sigma2_noise=torch.full((1, shells), sigma2, dtype=torch.float64),
        group_scale=torch.ones(1, dtype=torch.float64),
        group_names=("all",),
        group_counts=(100,),
    )


def state_of(
    models: tuple[Model, ...], *, iteration: int = 2, size_px: int | None = None, **schedule: float
) -> State:
    """Return the state of an iteration with these models and no particles."""
    size = models[0].box_px if size_px is None else size_px
    none = np.zeros(0)
    whole = none.astype(np.int64)
    nobody = Assignments(
        angles_deg=none.reshape(0, 3),
        origin_A=none.reshape(0, 2),
        prior_deg=none.reshape(0, 3),
        prior_origin_A=none.reshape(0, 2),
        class_=whole,
        half=whole,
        scale_group=whole,
        optics_group=whole,
        norm=none,
        pmax=none,
        n_significant=whole,
        log_likelihood=none,
    )
    now = replace(
        Schedule(iteration=iteration, current_size_px=size),
        **schedule,  # type: ignore[arg-type] # any number of the schedule
    )
    sampling = Sampling(2, 15.0, shift_range_A=5 * PIXEL_SIZE_A, shift_step_A=PIXEL_SIZE_A)
    return State(now, sampling, models, nobody)
