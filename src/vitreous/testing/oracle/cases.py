"""Small refinements whose truth is known: images of Gaussians, made without the engine's slices.

The images are evaluated from the closed form of the object's transform (`phantoms`) and the
simulator's own CTF, so that neither can repeat an error of what is tested with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import ctf, fourier, geometry, sampling
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.settings import Image, Searching, Settings, Solvent
from vitreous.engine.refinement.state import Assignments, Model, Sampling, Schedule, State
from vitreous.testing import phantoms
from vitreous.testing.oracle.pixels import DOUBLE, model_shell
from vitreous.testing.phantoms import Gaussians
from vitreous.testing.simulate.contrast import Microscope, transfer


@dataclass(frozen=True)
class Camera:
    """One optics group.

    Parameters
    ----------
    box_px, pixel_size_A, microscope
        What its images are.
    magnification
        Frequencies k of the image are those at ``M k`` of the object.
    """

    box_px: int = 24
    pixel_size_A: float = 4.0
    microscope: Microscope = field(default_factory=Microscope)
    magnification: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))
    premultiplied: bool = False


@dataclass(frozen=True)
class Recipe:
    """What a case is made of.

    Parameters
    ----------
    ndim, box_px, pixel_size_A
        Of the references.
    n
        Number of particles; they take cameras, classes and micrographs in turn.
    cameras
        Optics groups; by default one with the box and pixel size of the references.
    noise
        Deviation of the white noise of a pixel, relative to that of the brightest camera's
        noise-free images.
    offset_A
        Deviation of true origins; known ones are wrong by up to `offset_error_A`.
    scales
        Contrast of each micrograph.
    norms
        Factors of the whole image, in turn.
    on_grid
        True poses are fine points of the grid, shifts whole fine steps.
    phase_flipped
        Images are multiplied by the sign of their CTF.
    """

    ndim: int = 3
    box_px: int = 24
    pixel_size_A: float = 4.0
    n: int = 8
    n_classes: int = 1
    cameras: tuple[Camera, ...] = ()
    noise: float = 1.0
    offset_A: float = 6.0
    offset_error_A: float = 4.0
    scales: tuple[float, ...] = (1.0,)
    norms: tuple[float, ...] = (1.0,)
    healpix_order: int = 1
    oversampling: int = 1
    perturbation: float = 0.0
    shift_range_px: float = 2.0
    shift_step_px: float = 2.0
    current_size_px: int = 0
    coarse_size_px: int = 14
    on_grid: bool = False
    phase_flipped: bool = False
    with_ctf: bool = True
    point_group: str = "C1"
    seed: int = 1


@dataclass(frozen=True)
class Case:
    """A refinement at the start of an iteration, and the truth.

    Parameters
    ----------
    images
        Of each particle, ``y x``, as the data have them.
    clean
        Without noise, without norm; with CTF and scale.
    rotations, origin_A, class_
        True poses.
    """

    data: Data
    state: State
    settings: Settings
    objects: tuple[Gaussians, ...]
    images: list[Tensor]
    clean: list[Tensor]
    rotations: Tensor
    origin_A: NDArray[np.float64]
    class_: NDArray[np.int64]
    noise: float

    @property
    def model(self) -> Model:
        """The model of the first half."""
        return self.state.models[0]

    def with_model(self, **changes: object) -> Case:
        """Return the case with another model."""
        models = tuple(replace(one, **changes) for one in self.state.models)  # type: ignore[arg-type] # any field
        return replace(self, state=replace(self.state, models=models))

    def with_state(self, **changes: object) -> Case:
        """Return the case with another schedule, sampling or assignments."""
        return replace(self, state=replace(self.state, **changes))  # type: ignore[arg-type] # any field

    def with_settings(self, **changes: object) -> Case:
        """Return the case with other settings."""
        return replace(self, settings=replace(self.settings, **changes))  # type: ignore[arg-type] # any field


def make(recipe: Recipe | None = None) -> Case:
    """Make a case."""
    recipe = recipe or Recipe()
    if not recipe.cameras:
        recipe = replace(recipe, cameras=(Camera(recipe.box_px, recipe.pixel_size_A),))
    rng = np.random.default_rng(recipe.seed)
    n = recipe.n
    objects = _objects(recipe)
    rotations, origin_A = _poses(recipe, rng)
    class_ = np.arange(n) % recipe.n_classes
    group = np.arange(n) % len(recipe.cameras)
    microgram = np.arange(n) // len(recipe.cameras) % len(recipe.scales)
    defocus_A = np.stack(
        [rng.uniform(9000, 14000, n), rng.uniform(8000, 12000, n), rng.uniform(0, 180, n)], 1
    )
    parts = [
        _image(recipe, objects[class_[i]], rotations[i], origin_A[i], group[i], defocus_A[i])
        for i in range(n)
    ]
    clean = [
        part * recipe.scales[m] for (part, _), m in zip(parts, microgram.tolist(), strict=True)
    ]
    noise = recipe.noise * float(torch.stack([one.std() for one, _ in parts]).mean())
    noises = [torch.from_numpy(rng.standard_normal(tuple(one.shape))) * noise for one in clean]
    treated = [
        [_treat(recipe, recipe.cameras[g], one, factor) for one in (signal, grain)]
        for signal, grain, g, (_, factor) in zip(clean, noises, group, parts, strict=True)
    ]
    norms = np.array(recipe.norms)[np.arange(n) % len(recipe.norms)]
    images = [(signal + grain) * norm for (signal, grain), norm in zip(treated, norms, strict=True)]
    model = _model(recipe, objects, [grain for _, grain in treated], group, microgram)
    assignments = _assignments(recipe, rotations, origin_A, group, microgram, rng)
    data = Data(
        optics=_optics(recipe),
        defocus=ctf.Defocus.of(*(torch.from_numpy(column.copy()) for column in defocus_A.T)),
        optics_group=group,
        premultiplied=np.array([one.premultiplied for one in recipe.cameras]),
        identity=np.arange(n) + 101,
        read=lambda rows: torch.stack([images[row] for row in rows]).to(torch.float32),
    )
    state = State(_schedule(recipe), _sampling(recipe), (model,), assignments)
    settings = Settings(
        ndim=recipe.ndim,
        n_classes=recipe.n_classes,
        searching=Searching(point_group=recipe.point_group),
        image=Image(correct_ctf=recipe.with_ctf, phase_flipped=recipe.phase_flipped),
        solvent=Solvent(
            diameter_A=0.75 * recipe.box_px * recipe.pixel_size_A, edge_px=3, zero_mask=True
        ),
        seed=recipe.seed,
    )
    clean = [signal for signal, _ in treated]
    return Case(data, state, settings, objects, images, clean, rotations, origin_A, class_, noise)


def pose_errors(case: Case, found: Assignments) -> tuple[Tensor, NDArray[np.float64]]:
    """Return how far found poses are from the truth: degrees and angstrom."""
    if case.model.ndim == 3:
        poses = geometry.matrix_from_euler(torch.from_numpy(found.angles_deg))
        degrees = geometry.rotation_distance_deg(poses, case.rotations)
    else:
        true = torch.rad2deg(torch.atan2(case.rotations[:, 0, 1], case.rotations[:, 0, 0]))
        degrees = (torch.from_numpy(found.angles_deg[:, 2]) - true + 180) % 360 - 180
    return degrees.abs(), np.linalg.norm(found.origin_A - case.origin_A, axis=1)


def _objects(recipe: Recipe) -> tuple[Gaussians, ...]:
    """Return one cluster a class; its lengths are in pixels of the references."""
    made = []
    for k in range(recipe.n_classes):
        part = phantoms.cluster(
            7, radius_px=0.3 * recipe.box_px, width_px=1.4, seed=recipe.seed + 10 * k
        )
        if recipe.point_group != "C1":
            part = part.symmetrised(recipe.point_group)
        made.append(part)
    return tuple(made)


def _poses(recipe: Recipe, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.float64]]:
    n, order = recipe.n, recipe.healpix_order
    step_A = recipe.shift_step_px * recipe.pixel_size_A / 2**recipe.oversampling
    origin_A = rng.normal(0, 1, (n, 2)) * recipe.offset_A
    if recipe.on_grid:
        origin_A = np.round(origin_A / step_A) * step_A + step_A / 2 * (recipe.oversampling > 0)
    if recipe.ndim == 2:
        psi = torch.from_numpy(rng.uniform(0, 360, n))
        if recipe.on_grid:
            fine = 60 / 2**order / 2**recipe.oversampling
            psi = (psi / fine).floor() * fine + fine / 2 * (recipe.oversampling > 0)
        psi = torch.deg2rad(psi)
        rows = [torch.stack([psi.cos(), psi.sin()], -1), torch.stack([-psi.sin(), psi.cos()], -1)]
        return torch.stack(rows, -2), origin_A
    if not recipe.on_grid:
        generator = torch.Generator().manual_seed(recipe.seed)
        return geometry.random_rotations(n, generator, DOUBLE), origin_A
    pixels = torch.from_numpy(rng.integers(0, 12 * 4**order, n))
    psi = torch.from_numpy(rng.integers(0, 6 * 2**order, n) * (60.0 / 2**order))
    poses = sampling.child_poses(order, pixels, psi, 60 / 2**order, recipe.oversampling)
    chosen = rng.integers(0, poses.shape[1], n)
    return poses[torch.arange(n), torch.from_numpy(chosen)], origin_A


def _image(
    recipe: Recipe,
    thing: Gaussians,
    rotation: Tensor,
    origin_A: NDArray[np.float64],
    group: int,
    defocus_A: NDArray[np.float64],
) -> tuple[Tensor, Tensor]:
    """Return a noise-free image, and the CTF that it has (1 where there is none)."""
    camera = recipe.cameras[group]
    box, a = camera.box_px, recipe.pixel_size_A
    plain = fourier.frequencies(box, 2, DOUBLE) / camera.pixel_size_A
    k = plain @ torch.tensor(camera.magnification, dtype=DOUBLE).T
    centres = thing.centres_px[:, : recipe.ndim] @ rotation.T
    k2 = (k**2).sum(-1)[..., None]
    damping = torch.exp(-2 * torch.pi**2 * k2 * (thing.widths_px * a) ** 2)
    phases = torch.exp(-2j * torch.pi * (k @ (centres[:, :2] * a).T))
    waves = (thing.weights * damping * phases).sum(-1) * (a / (box * camera.pixel_size_A)) ** 2
    factor = torch.ones_like(waves)
    if recipe.with_ctf:
        kx, ky = (part.numpy() for part in k.unbind(-1))
        values = transfer(camera.microscope, kx, ky, defocus_A[None])[0]
        factor = torch.from_numpy(values).to(torch.complex128)
    shift_px = torch.from_numpy(-origin_A / camera.pixel_size_A)
    waves = fourier.shift(waves * factor, shift_px)
    return fourier.inverse(waves[None], 2, box)[0], factor


def _treat(recipe: Recipe, camera: Camera, image: Tensor, factor: Tensor) -> Tensor:
    """Multiply an image by the (real) CTF or by its sign, where the data are to be so."""
    if not (camera.premultiplied or recipe.phase_flipped):
        return image
    real = factor.abs() * torch.where(factor.real < 0, -1, 1)
    waves = fourier.forward(image[None], 2) * (real if camera.premultiplied else real.sign())
    return fourier.inverse(waves, 2, len(image))[0]


def _optics(recipe: Recipe) -> ctf.Optics:
    cameras = recipe.cameras

    def column(name: str) -> Tensor:
        return torch.tensor([float(getattr(one.microscope, name)) for one in cameras], dtype=DOUBLE)

    def rows(name: str) -> Tensor:
        values = [tuple(getattr(one.microscope, name)) for one in cameras]
        width = max(len(one) for one in values)
        return torch.tensor(
            [one + (0.0,) * (width - len(one)) for one in values], dtype=DOUBLE
        ).reshape(len(cameras), width)

    return ctf.Optics(
        pixel_size_A=torch.tensor([one.pixel_size_A for one in cameras], dtype=DOUBLE),
        box_px=torch.tensor([float(one.box_px) for one in cameras], dtype=DOUBLE),
        voltage_kV=column("voltage_kV"),
        cs_mm=column("cs_mm"),
        amplitude_contrast=column("amplitude_contrast"),
        beam_tilt_mrad=rows("beam_tilt_mrad"),
        odd_zernike=rows("odd_zernike"),
        even_zernike=rows("even_zernike"),
        magnification=torch.tensor([one.magnification for one in cameras], dtype=DOUBLE),
    )


def _model(
    recipe: Recipe,
    objects: tuple[Gaussians, ...],
    grains: list[Tensor],
    group: NDArray[np.int64],
    micrograph: NDArray[np.int64],
) -> Model:
    n_classes, box = recipe.n_classes, recipe.box_px
    shells, n_scales = box // 2 + 1, len(recipe.scales)
    if recipe.ndim == 3:
        references = torch.stack([one.volume(box) for one in objects])
        grid = sampling.Grid(recipe.healpix_order, point_group=recipe.point_group)
        n_directions = len(grid.pixels())
    else:
        flat = torch.eye(3, dtype=DOUBLE)[None]
        references = torch.cat([one.projections(flat, box) for one in objects])
        n_directions = 1

    def table(value: float, *shape: int) -> Tensor:
        return torch.full(shape, value, dtype=DOUBLE)

    ssnr = table(1.0, n_classes, shells)
    ssnr[:, : shells // 2] = 10
    sigma2 = [
        noise_power([one for one, g in zip(grains, group, strict=True) if g == row], camera, recipe)
        for row, camera in enumerate(recipe.cameras)
    ]
    return Model(
        references=references.to(torch.float32),
        pixel_size_A=recipe.pixel_size_A,
        current_size_px=recipe.current_size_px or box,
        resolution_per_A=0.05,
        tau2=table(1.0, n_classes, shells),
        sigma2_map=table(1.0, n_classes, shells),
        ssnr=ssnr,
        fsc=table(0.0, n_classes, shells),
        completeness=table(1.0, n_classes, shells),
        orientability=table(1.0, n_classes, shells),
        class_weight=table(1 / n_classes, n_classes),
        class_offset_A=table(0.0, n_classes, 2),
        direction_weight=table(1 / n_classes / n_directions, n_classes, n_directions),
        class_accuracy_deg=table(999.0, n_classes),
        class_accuracy_A=table(999.0, n_classes),
        class_resolution_A=table(20.0, n_classes),
        class_completeness=table(1.0, n_classes),
        sigma2_noise=torch.stack(sigma2),
        group_scale=torch.tensor(recipe.scales, dtype=DOUBLE),
        group_names=tuple(f"micrograph{m + 1}" for m in range(n_scales)),
        group_counts=tuple(int((micrograph == m).sum()) for m in range(n_scales)),
        sigma_offset_A=8.0,
    )


def noise_power(images: list[Tensor], camera: Camera, recipe: Recipe) -> Tensor:
    """Return the power per component on the shells of the reference; gaps from the one below."""
    rho = camera.box_px * camera.pixel_size_A / (recipe.box_px * recipe.pixel_size_A)
    if not images:
        return torch.ones(recipe.box_px // 2 + 1, dtype=DOUBLE)
    power = fourier.forward(torch.stack(images), 2).abs().square().mean(0)
    counted = fourier.half_plane_mask(camera.box_px, 2)
    shells = model_shell(fourier.shell_index(camera.box_px, 2)[counted], rho)
    total = torch.bincount(shells, power[counted], minlength=recipe.box_px // 2 + 1)
    sigma2 = total / (2 * torch.bincount(shells, minlength=len(total))).clamp(min=1)
    for shell in range(1, len(sigma2)):
        if sigma2[shell] == 0:
            sigma2[shell] = sigma2[shell - 1]
    floor = float(sigma2[sigma2 > 0].mean()) * 1e-3
    return sigma2[: recipe.box_px // 2 + 1].clamp(min=floor)


def _assignments(
    recipe: Recipe,
    rotations: Tensor,
    origin_A: NDArray[np.float64],
    group: NDArray[np.int64],
    micrograph: NDArray[np.int64],
    rng: np.random.Generator,
) -> Assignments:
    n = recipe.n
    if recipe.ndim == 3:
        angles = geometry.euler_from_matrix(rotations).numpy()
    else:
        psi = torch.rad2deg(torch.atan2(rotations[:, 0, 1], rotations[:, 0, 0])).numpy()
        angles = np.stack([0 * psi, 0 * psi, psi], 1)
    wrong = rng.uniform(-1, 1, (n, 2)) * recipe.offset_error_A
    if recipe.on_grid:
        wrong = np.zeros((n, 2))
    return Assignments(
        angles_deg=angles,
        origin_A=origin_A + wrong,
        prior_deg=np.full((n, 3), np.nan),
        prior_origin_A=np.full((n, 2), np.nan),
        class_=np.zeros(n, np.int64),
        half=np.arange(n) % 2,
        scale_group=micrograph,
        optics_group=group,
        norm=np.ones(n),
        pmax=np.zeros(n),
        n_significant=np.zeros(n, np.int64),
        log_likelihood=np.zeros(n),
    )


def _schedule(recipe: Recipe) -> Schedule:
    size = recipe.current_size_px or recipe.box_px
    return Schedule(iteration=2, current_size_px=size, coarse_size_px=recipe.coarse_size_px)


def _sampling(recipe: Recipe) -> Sampling:
    return Sampling(
        healpix_order=recipe.healpix_order if recipe.ndim == 3 else -1,
        psi_step_deg=60 / 2**recipe.healpix_order,
        shift_range_A=recipe.shift_range_px * recipe.pixel_size_A,
        shift_step_A=recipe.shift_step_px * recipe.pixel_size_A,
        oversampling=recipe.oversampling,
        perturbation=recipe.perturbation,
        point_group=recipe.point_group,
    )
