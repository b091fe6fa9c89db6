"""One field of view: its particles, its ice, its motion, and what electrons see of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import fft

from vitreous.testing.simulate.contrast import transfer
from vitreous.testing.simulate.density import Waves, frequency_grid
from vitreous.testing.simulate.ice import Background, Surroundings, background, ice_frames, moved
from vitreous.testing.simulate.images import (
    Imaging,
    Poses,
    damage_left,
    particle_waves,
    random_defocus_A,
    random_poses,
)
from vitreous.testing.simulate.layout import Crowd, place
from vitreous.testing.simulate.motion import Motion
from vitreous.testing.simulate.projection import Camera
from vitreous.testing.simulate.scattering import wavelength_A
from vitreous.testing.simulate.specimens import State

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_CHUNK = 16
_LARGEST_BOX = 1024


@dataclass(frozen=True)
class View:
    """What all fields of view of a data set share.

    Parameters
    ----------
    shape
        ``(y, x)`` in pixels, even.
    pixel_size_A
        Sampling.
    imaging, crowd, surroundings
        Optics, particles, ice.
    states
        The specimen.
    """

    shape: tuple[int, int]
    pixel_size_A: float
    imaging: Imaging
    crowd: Crowd
    surroundings: Surroundings
    states: tuple[State, ...]


@dataclass(frozen=True)
class Scene:
    """One field of view with all that is random about it drawn.

    Parameters
    ----------
    view
        What it shares with the others.
    group
        Index of its optics group from 0.
    defocus_A
        ``(3,)`` U, V, angle at the middle of the ice.
    coordinates_px
        ``(n, 2)`` whole pixels; a particle lies at its coordinate minus its origin.
    poses
        Of the particles.
    camera
        The box that particles are made in.
    waves
        ``(n, y, xh)``, transforms of their images.
    background
        Film, crystals, gradient of the ice.
    """

    view: View
    group: int
    defocus_A: Array
    coordinates_px: npt.NDArray[np.int64]
    poses: Poses
    camera: Camera
    waves: Waves
    background: Background

    def particles(self, displacement_px: Array, left: Floats | None = None) -> Floats:
        """Return the contrast of all particles on the whole field, ``(y, x)``.

        Parameters
        ----------
        displacement_px
            ``(n, 2)``, how far each has moved.
        left
            ``(y, xh)`` of the box: what radiation has left of each wave.
        """
        canvas = np.zeros(self.view.shape, np.float32)
        kx, ky = (part * self.camera.pixel_size_A for part in self.camera.frequencies())
        whole = np.round(displacement_px)
        corners = self.coordinates_px + whole.astype(np.int64) - self.camera.size // 2
        rest = displacement_px - whole
        for start in range(0, len(self.poses), _CHUNK):
            rows = slice(start, start + _CHUNK)
            # The origin of the box is its corner for irfft2, so that the centre is put there too.
            centre = rest[rows] + self.camera.size // 2
            ramps = np.exp((-2j * np.pi) * kx * centre[:, :1, None]).astype(np.complex64)
            ramps = ramps * np.exp((-2j * np.pi) * ky * centre[:, 1:, None]).astype(np.complex64)
            ramps *= self.waves[rows]
            if left is not None:
                ramps *= left
            images = fft.irfft2(ramps, (self.camera.size,) * 2)
            for image, (x, y) in zip(images, corners[rows], strict=True):
                _add(canvas, image, int(x), int(y))
        return canvas

    def contrast(
        self, motion: Motion, doses_e_per_A2: Array, rng: np.random.Generator
    ) -> Iterator[tuple[Floats, Floats]]:
        """Yield white contrast and transmission ``(y, x)`` of frame after frame.

        Parameters
        ----------
        motion
            Of ice and particles.
        doses_e_per_A2
            ``(f,)``, of each frame.
        rng
            Source of randomness of the ice.
        """
        view, k_box = self.view, np.hypot(*self.camera.frequencies())
        ky, kx = (
            frequency_grid(view.shape[0], view.pixel_size_A)[0],
            fft.rfftfreq(view.shape[1], view.pixel_size_A)[None],
        )
        microscope = view.imaging.optics_groups[self.group]
        ctf = transfer(
            microscope, kx, ky, self.defocus_A[None], bfactor_A2=view.imaging.bfactor_A2
        )[0]
        grain = self.background.grain
        grain_waves = None if grain is None else fft.rfft2(grain) * ctf
        y, x = np.arange(float(view.shape[0]))[:, None], np.arange(float(view.shape[1]))[None]
        start = 0.0
        ice = ice_frames(
            view.surroundings, view.shape, np.hypot(kx, ky), view.pixel_size_A,
            view.imaging.voltage_kV, doses_e_per_A2, rng,
        )  # fmt: skip
        for frame, (waves, dose) in enumerate(zip(ice, doses_e_per_A2, strict=True)):
            left = damage_left(k_box, view.imaging, start, start + dose)
            start += float(dose)
            seen = self.particles(motion.of_particles_px(frame, self.positions_px), left)
            around = waves * ctf if grain_waves is None else waves * ctf + grain_waves
            drift = motion.drift_px[frame] * view.pixel_size_A
            if drift.any():
                around = around * np.exp(-2j * np.pi * (kx * drift[0] + ky * drift[1])).astype(
                    np.complex64
                )
            texture = np.asarray(fft.irfft2(around, view.shape), np.float32)
            transmission = self.background.transmission
            if motion.coefficients_px.any():
                dx, dy = motion.local_px(frame, x, y)
                texture = moved(texture, dx, dy)
            if grain is not None and drift.any():
                transmission = moved(
                    transmission, *(np.full((1, 1), d) for d in motion.drift_px[frame])
                )
            yield seen + texture, transmission

    @property
    def positions_px(self) -> Array:
        """Where the particles lie in the first frame, ``(n, 2)``."""
        return np.asarray(self.coordinates_px - self.poses.origin_A / self.view.pixel_size_A)

    def clean(self) -> Floats:
        """Return the contrast of the particles alone, unmoved and undamaged."""
        return self.particles(np.zeros((len(self.poses), 2)))


def make_scene(view: View, group: int, rng: np.random.Generator) -> Scene:
    """Draw one field of view."""
    centres = place(view.crowd, view.shape, view.pixel_size_A, rng)
    coordinates = np.round(centres).astype(np.int64)
    defocus = random_defocus_A(1, view.imaging, rng)
    n = len(centres)
    poses = random_poses(n, view.states, view.imaging, np.repeat(defocus, n, 0), 0.0, rng)
    poses = replace(poses, origin_A=(coordinates - centres) * view.pixel_size_A)
    camera = Camera(box_for(view), view.pixel_size_A)
    waves = particle_waves(view.states, poses, camera, view.imaging, group)
    film = background(
        view.surroundings, view.shape, view.pixel_size_A, view.imaging.voltage_kV, rng
    )
    return Scene(view, group, defocus[0], coordinates, poses, camera, waves, film)


def box_for(view: View) -> int:
    """Return a box that holds a particle and the rings that defocus makes around it."""
    radius_A = max(state.scatterers.radius_A for state in view.states)
    k = min(0.5 / view.pixel_size_A, 0.25)
    spread_A = wavelength_A(view.imaging.voltage_kV) * view.imaging.defocus_A[1] * k
    wanted = int(2 * (radius_A + spread_A) / view.pixel_size_A) + 4
    size = fft.next_fast_len(min(wanted, _LARGEST_BOX), real=True)
    while size % 2:
        size = fft.next_fast_len(size + 1, real=True)
    return int(size)


def _add(canvas: Floats, image: Floats, x: int, y: int) -> None:
    """Add an image whose corner lies at x, y; what is outside is left out."""
    rows, columns = canvas.shape
    size = len(image)
    y0, y1 = max(y, 0), min(y + size, rows)
    x0, x1 = max(x, 0), min(x + size, columns)
    if y0 < y1 and x0 < x1:
        canvas[y0:y1, x0:x1] += image[y0 - y : y1 - y, x0 - x : x1 - x]
