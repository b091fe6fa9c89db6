"""Beam-induced motion: a global drift, a smooth local field, and what each particle does alone.

The local field has the form that motion correction fits (formats.md section 7): for each axis

```
d(x, y, t) = sum over p in {1, x, x^2, y, y^2, xy} of p (c1 t + c2 t^2 + c3 t^3)
```

with x, y from -1/2 to 1/2 across the micrograph and t the number of the frame from 0. All motion is
nothing in the first frame, and all of it slows down as the dose grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MotionSize:
    """How much moves.

    Parameters
    ----------
    drift_A
        Length of the global drift in all.
    local_A
        Typical local displacement in the last frame, about the global one.
    particle_A
        Typical displacement of a particle by itself in the last frame.
    settling_e_per_A2
        Dose in which the motion falls to 1/e.
    """

    drift_A: float = 20.0
    local_A: float = 4.0
    particle_A: float = 0.0
    settling_e_per_A2: float = 8.0


@dataclass(frozen=True)
class Motion:
    """Displacement of the specimen in each frame, in pixels, x y.

    Parameters
    ----------
    drift_px
        ``(f, 2)``, of everything; zero in the first frame.
    coefficients_px
        ``(2, 18)``, the local field of x and y, in RELION's order c[3 p + power - 1].
    particle_px
        ``(f, n, 2)``, of each particle by itself.
    shape
        ``(y, x)`` of the micrograph.
    """

    drift_px: Array
    coefficients_px: Array
    particle_px: Array
    shape: tuple[int, int]

    def local_px(self, frame: int, x_px: Array, y_px: Array) -> tuple[Array, Array]:
        """Return the local displacement at places of the micrograph; shapes broadcast."""
        x, y = x_px / self.shape[1] - 0.5, y_px / self.shape[0] - 0.5
        times = np.array([frame, frame**2, frame**3], np.float64)
        along = self.coefficients_px.reshape(2, 6, 3) @ times
        dx, dy = (a[0] + a[1] * x + a[2] * x**2 + a[3] * y + a[4] * y**2 + a[5] * x * y
                  for a in along)  # fmt: skip
        return dx, dy

    def of_particles_px(self, frame: int, coordinates_px: Array) -> Array:
        """Return the whole displacement of particles ``(n, 2)`` in a frame."""
        local = np.stack(self.local_px(frame, *coordinates_px.T), 1)
        return np.asarray(self.drift_px[frame] + local + self.particle_px[frame])


def still(n_frames: int, n_particles: int, shape: tuple[int, int]) -> Motion:
    """Return no motion at all."""
    return Motion(
        np.zeros((n_frames, 2)), np.zeros((2, 18)), np.zeros((n_frames, n_particles, 2)), shape
    )


def random_motion(
    size: MotionSize,
    n_frames: int,
    dose_per_frame_e_per_A2: float,
    n_particles: int,
    shape: tuple[int, int],
    pixel_size_A: float,
    rng: np.random.Generator,
) -> Motion:
    """Draw the motion of one movie.

    Parameters
    ----------
    size
        How much moves.
    n_frames, dose_per_frame_e_per_A2
        Of the movie.
    n_particles
        In the micrograph.
    shape
        ``(y, x)`` of the micrograph.
    pixel_size_A
        Of the movie.
    rng
        Source of randomness.
    """
    dose = np.arange(n_frames) * dose_per_frame_e_per_A2
    settled = 1 - np.exp(-dose / size.settling_e_per_A2)
    course = settled / settled[-1] if n_frames > 1 else settled
    heading, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.6)
    angle = heading + bend * course
    steps = np.diff(course, prepend=0)
    drift = np.cumsum(steps[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), axis=0)
    drift *= size.drift_A / pixel_size_A
    coefficients = _local_field(size.local_A / pixel_size_A, course, rng)
    walk = (
        rng.normal(size=(n_frames, n_particles, 2))
        * np.sqrt(np.clip(steps, 0, None))[:, None, None]
    )
    particle = np.cumsum(walk, axis=0) * size.particle_A / pixel_size_A
    return Motion(drift - drift[0], coefficients, particle - particle[0], shape)


def _local_field(typical_px: float, course: Array, rng: np.random.Generator) -> Array:
    """Return coefficients ``(2, 18)`` whose field has a typical length in the last frame."""
    t = np.arange(len(course), dtype=np.float64)
    basis = np.stack([t, t**2, t**3], 1)
    in_time = np.linalg.lstsq(basis, course, rcond=None)[0] if len(t) > 1 else np.zeros(3)
    in_space = rng.normal(size=(2, 6)) * np.array([0, 1, 1, 1, 1, 1])
    x, y = np.meshgrid(*[np.linspace(-0.5, 0.5, 21)] * 2)
    powers = np.stack([np.ones_like(x), x, x**2, y, y**2, x * y])
    field = np.tensordot(in_space, powers, 1)
    in_space[:, 0] = -field.mean((1, 2))  # the mean motion is the drift's
    field -= field.mean((1, 2), keepdims=True)
    in_space *= typical_px / np.sqrt((field**2).sum(0).mean())
    return np.asarray((in_space[:, :, None] * in_time).reshape(2, 18))
