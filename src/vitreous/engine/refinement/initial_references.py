"""References for a start: made from nothing, or given by the user (refinement.md 3.4 and 3.5).

From nothing, particles are put together in random orientations, which gives a blob of the right
size; that is then replaced by a cloud of smaller blobs, so that no two classes begin alike. NumPy
is here for the random numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import boxing, ctf, filtering, fourier, geometry, masking, reconstruction
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement import sizes
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.initial_noise import Batch
from vitreous.engine.refinement.randomness import Stream, of_particle, of_run
from vitreous.engine.refinement.settings import Settings
from vitreous.errors import InputError

N_BLOBS = 40
BLOB_SHARPNESS = 10.0
BLOB_SPREAD = {2: 7.0, 3: 6.0}
START_SHARE = 0.07
PIXEL_TOLERANCE_A = 1e-3
_MOST_MARGIN = 64


def first_shell(settings: Settings, box_px: int, pixel_size_A: float) -> int:
    """Return the shell to which references from nothing are limited: ``ini_high``, or 0.07 N."""
    if settings.low_pass_A > 0:
        return max(1, sizes.shell(settings.low_pass_A, box_px, pixel_size_A))
    return max(1, sizes.round_half_away(START_SHARE * box_px))


class FirstReferences:
    """References that grow out of particles in random orientations.

    Parameters
    ----------
    data, settings
        Particles, and how many classes of which dimension.
    box_px, pixel_size_A
        Of the references.
    """

    def __init__(self, data: Data, settings: Settings, box_px: int, pixel_size_A: float) -> None:
        self._data, self._settings = data, settings
        self._box_px, self._pixel_size_A = box_px, pixel_size_A
        self.shell = first_shell(settings, box_px, pixel_size_A)
        self._sums = [
            Accumulator(box_px, settings.padding, self.shell, ndim=settings.ndim)
            for _ in range(settings.n_classes)
        ]

    @property
    def low_pass_A(self) -> float:
        """Return the resolution of the references, which is ``ini_high`` from now on."""
        return self._box_px * self._pixel_size_A / self.shell

    def add_(self, batch: Batch) -> None:
        """Put particles into their classes, in orientations that belong to their numbers."""
        optics, group = self._data.optics, batch.group
        box, pixel_A = int(optics.box_px[group]), float(optics.pixel_size_A[group])
        rho = box * pixel_A / (self._box_px * self._pixel_size_A)
        size = sizes.group_size_px(2 * self.shell, box, pixel_A, self._box_px * self._pixel_size_A)
        images = fourier.crop(batch.transforms, size, 2)
        transfer = self._transfer(batch.rows, group, size) / rho**2
        premultiplied = bool(self._data.premultiplied[group])
        weights = transfer / rho**2 if premultiplied else transfer.square()
        values = images / rho**2 if premultiplied else images * transfer
        rotations = self._random_poses(batch.rows)
        classes = batch.places % self._settings.n_classes
        for class_ in np.unique(classes):
            mine = torch.from_numpy(np.flatnonzero(classes == class_))
            self._sums[class_].add_(
                values[mine],
                weights[mine],
                rotations[mine],
                scale=rho,
                magnification=optics.magnification[group].to(torch.float32),
            )

    def references(self, *, blobs: bool = True) -> Float[Tensor, "*k_zyx"]:
        """Return the references of all classes.

        Parameters
        ----------
        blobs
            Replace each by random blobs of its density.
        """
        made = []
        for class_, sums in enumerate(self._sums):
            sums.finish_()
            volume = self._low_passed(reconstruction.reconstruct(sums))
            if blobs:
                volume = self._low_passed(self._as_blobs(volume, class_))
            made.append(volume * self._mask(volume))
        return torch.stack(made)

    def _transfer(self, rows: NDArray[np.int64], group: int, size: int) -> Tensor:
        """Return the CTF, squared where images were multiplied by it."""
        if not self._settings.image.correct_ctf:
            return torch.ones(len(rows), size, size // 2 + 1)
        image = self._settings.image
        treatment = ctf.Treatment(
            phase_flipped=image.phase_flipped,
            only_flip_phases=image.only_flip_phases,
            intact_first_peak=image.intact_first_peak,
            premultiplied=bool(self._data.premultiplied[group]),
        )
        groups = torch.full((len(rows),), group, dtype=torch.int64)
        defocus = self._data.defocus.select(torch.from_numpy(rows))
        return ctf.ctf(self._data.optics, defocus, size, group=groups, treatment=treatment)

    def _random_poses(self, rows: NDArray[np.int64]) -> Float[Tensor, "n c c"]:
        """Return random poses: tilts not uniform on the sphere, as RELION has them (17, Q10)."""
        drawn = np.stack(
            [
                of_particle(
                    self._settings.seed, int(self._data.identity[row]), Stream.FIRST_POSE
                ).random(3)
                for row in rows
            ]
        )
        angles = torch.from_numpy(drawn) * torch.tensor([360.0, 180.0, 360.0]).double()
        if self._settings.ndim == 2:
            angles[:, :2] = 0
        matrices = geometry.matrix_from_euler(angles)
        return (matrices[:, :2, :2] if self._settings.ndim == 2 else matrices).float()

    def _diameter_px(self) -> float:
        diameter_A = self._settings.solvent.diameter_A
        return diameter_A / self._pixel_size_A if diameter_A > 0 else float(self._box_px)

    def _low_passed(self, volume: Tensor) -> Tensor:
        return initial_low_pass(volume, self.low_pass_A, self._pixel_size_A, volume.ndim)

    def _mask(self, like: Tensor) -> Tensor:
        edge = self._settings.solvent.edge_px
        return masking.sphere(like.shape[-1], like.ndim, self._diameter_px() / 2, edge).to(like)

    def _as_blobs(self, volume: Tensor, class_: int) -> Tensor:
        generator = of_run(self._settings.seed, Stream.FIRST_BLOBS, class_)
        return as_blobs(volume, self._diameter_px(), generator)


def as_blobs(
    volume: Float[Tensor, "*zyx"], diameter_px: float, generator: np.random.Generator
) -> Float[Tensor, "*zyx"]:
    """Return random blobs with the density and deviation of a map: ``B+ - B- / 2``.

    Parameters
    ----------
    volume
        ``z y x`` or ``y x``.
    diameter_px
        Of the particle.
    generator
        Draws 40 places for each sign.
    """
    spread = diameter_px / BLOB_SPREAD[volume.ndim]
    drawn = generator.standard_normal((2, N_BLOBS, volume.ndim)) * spread
    positive, negative = (_blobs(volume, torch.from_numpy(p), diameter_px) for p in drawn)
    made = positive - negative / 2
    return made * (volume.std() / made.std().clamp(min=1e-30))


def _blobs(volume: Tensor, places_px: Float[Tensor, "m c"], diameter_px: float) -> Tensor:
    """Add up Gaussians at places x y (z), each as high as the map is there."""
    size, ndim = volume.shape[-1], volume.ndim
    nearest = (places_px.round().to(torch.int64) + size // 2).clamp(0, size - 1)
    heights = volume[tuple(nearest[:, c] for c in reversed(range(ndim)))].abs().double()
    line = torch.arange(size, dtype=torch.float64) - size // 2
    along = [
        torch.exp(-(((BLOB_SHARPNESS / diameter_px) * (line - places_px[:, c, None])) ** 2))
        for c in range(ndim)
    ]
    letters = "zyx"[-ndim:]
    terms = ",".join(f"m{letter}" for letter in letters)
    total = torch.einsum(f"m,{terms}->{letters}", heights, *reversed(along))
    return total.to(volume.dtype)


def initial_low_pass(
    references: Float[Tensor, "*k_zyx"], resolution_A: float, pixel_size_A: float, ndim: int
) -> Float[Tensor, "*k_zyx"]:
    """Low-pass references to ``ini_high``: half a cosine of two shells.

    Centred on the resolution as it is, unlike `filtering.low_pass`, which rounds it to a shell.
    """
    size = references.shape[-1]
    start = size * pixel_size_A / resolution_A - filtering.EDGE_SHELLS / 2

    def curve(k: Tensor) -> Tensor:
        return masking.raised_cosine(k * size, start, filtering.EDGE_SHELLS)

    return filtering.apply(references, curve, ndim)


def given_references(
    references: Float[Tensor, "*m_zyx"],
    found_pixel_size_A: float,
    settings: Settings,
    box_px: int,
    pixel_size_A: float,
    *,
    name: str = "the reference",
) -> Float[Tensor, "*k_zyx"]:
    """Check the user's references and make them fit: one of each class, low-passed.

    Parameters
    ----------
    references
        ``m z y x`` or ``m y x``; one for all classes, or one for each.
    found_pixel_size_A
        Of the file; `Settings.reference_pixel_size_A` overrules it.
    settings
        Classes, low-pass, and whether references may be resampled.
    box_px, pixel_size_A
        Of the first optics group, which references must have.
    name
        Of the file, for messages.

    Raises
    ------
    InputError
        References are empty, not finite, of another number than 1 or K, or do not fit.
    """
    given = settings.reference_pixel_size_A
    found_pixel_size_A = given if given > 0 else found_pixel_size_A
    _check_content(references, settings, name)
    fits = references.shape[-1] == box_px
    fits &= abs(found_pixel_size_A - pixel_size_A) <= PIXEL_TOLERANCE_A
    if not fits and not settings.trust_reference_size:
        raise InputError(
            f"{name} has a box of {references.shape[-1]} pixels of {found_pixel_size_A:g} A; the "
            f"first optics group of the particles has {box_px} pixels of {pixel_size_A:g} A. Let "
            "the job resize the reference (--trust_ref_size), or rescale it with the image tool."
        )
    if not fits:
        references = resized(references, found_pixel_size_A, box_px, pixel_size_A, settings.ndim)
    if len(references) < settings.n_classes:
        references = references.expand(settings.n_classes, *references.shape[1:]).clone()
    if settings.low_pass_A > 0:
        references = initial_low_pass(references, settings.low_pass_A, pixel_size_A, settings.ndim)
    return references


def resized(
    references: Float[Tensor, "*m_zyx"],
    found_pixel_size_A: float,
    box_px: int,
    pixel_size_A: float,
    ndim: int,
) -> Float[Tensor, "*k_zyx"]:
    """Resample references to another pixel size and box.

    They are padded (with zeros) to the side, a little larger than their own, that gives the new
    pixel size most exactly.
    """
    ratio = found_pixel_size_A / pixel_size_A
    side = references.shape[-1]
    sides = range(side, side + _MOST_MARGIN + 1)
    if abs(ratio - 1) * pixel_size_A > PIXEL_TOLERANCE_A:
        best = min(sides, key=lambda s: (round(abs(s * ratio - _even(s * ratio)) / s, 5), s))
        padded = boxing.new_box(references, best, ndim)
        references = boxing.rescale(padded, _even(best * ratio), ndim)
    return boxing.new_box(references, box_px, ndim)


def _even(side: float) -> int:
    return max(2, 2 * round(side / 2))


def _check_content(references: Tensor, settings: Settings, name: str) -> None:
    shape = tuple(references.shape)
    if len(shape) != settings.ndim + 1 or len(set(shape[1:])) != 1:
        wanted = "cubes" if settings.ndim == 3 else "squares"
        found = " x ".join(map(str, shape[1:]))
        raise InputError(f"{name} is {found} pixels; wanted {wanted} for this job.")
    if shape[0] not in (1, settings.n_classes):
        raise InputError(
            f"{name} holds {shape[0]} references for {settings.n_classes} classes; wanted 1 or "
            f"{settings.n_classes}. Change the number of classes, or list other references."
        )
    for number, one in enumerate(references, start=1):
        if not bool(torch.isfinite(one).all()):
            raise InputError(f"{name} (reference {number}) holds NaN or infinity.")
        if float(one.std()) == 0:
            raise InputError(
                f"{name} (reference {number}) is empty: all its pixels are {float(one.min()):g}."
            )
