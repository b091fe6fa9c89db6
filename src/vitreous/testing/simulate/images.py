"""Poses and defocus of particles, and their noise-free images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitreous.testing.simulate.contrast import Microscope, transfer
from vitreous.testing.simulate.density import Waves
from vitreous.testing.simulate.dose import amplitude_left
from vitreous.testing.simulate.projection import Camera, project, project_layers
from vitreous.testing.simulate.rotations import Preference, matrices, random_angles
from vitreous.testing.simulate.specimens import State

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Imaging:
    """How molecules lie and how they are imaged.

    Parameters
    ----------
    optics_groups
        Microscopes, one for each group.
    defocus_A
        Smallest and largest mean defocus.
    astigmatism_A
        Largest U - V.
    preferences
        Common directions of view.
    bfactor_A2
        Envelope of all that blurs.
    layer_A
        Thickness of layers for the curvature of the Ewald sphere; 0 for flat projections.
    damage
        Whether the dose destroys the fine detail.
    height_A
        Deviation of the height of particles in the ice.
    """

    optics_groups: tuple[Microscope, ...] = (Microscope(),)
    defocus_A: tuple[float, float] = (8000.0, 20000.0)
    astigmatism_A: float = 400.0
    preferences: tuple[Preference, ...] = ()
    bfactor_A2: float = 0.0
    layer_A: float = 0.0
    damage: bool = True
    height_A: float = 0.0

    @property
    def voltage_kV(self) -> float:
        """The voltage, which all groups share."""
        return self.optics_groups[0].voltage_kV


@dataclass(frozen=True)
class Poses:
    """What is true of each particle.

    Parameters
    ----------
    angles_deg
        ``(n, 3)`` rot, tilt, psi.
    origin_A
        ``(n, 2)``, the shift that brings the image to the centre (minus the displacement).
    state
        ``(n,)``, index of the state from 0.
    height_A
        ``(n,)``, above the middle of the ice, towards the source of the electrons.
    defocus_A
        ``(n, 3)`` U, V (Å, the height taken into account) and angle of U (degrees).
    """

    angles_deg: Array
    origin_A: Array
    state: npt.NDArray[np.int64]
    height_A: Array
    defocus_A: Array

    def __len__(self) -> int:
        return len(self.state)

    def part(self, rows: slice | npt.NDArray[np.int64]) -> Poses:
        """Return some of the particles."""
        return Poses(
            self.angles_deg[rows], self.origin_A[rows], self.state[rows], self.height_A[rows],
            self.defocus_A[rows],
        )  # fmt: skip


def random_defocus_A(n: int, imaging: Imaging, rng: np.random.Generator) -> Array:
    """Draw U, V and the angle of U for micrographs, ``(n, 3)``."""
    mean = rng.uniform(*imaging.defocus_A, n)
    half = rng.uniform(0, imaging.astigmatism_A / 2, n)
    return np.stack([mean + half, mean - half, rng.uniform(0, 180, n)], 1)


def random_poses(
    n: int,
    states: tuple[State, ...],
    imaging: Imaging,
    defocus_A: Array,
    offset_A: float,
    rng: np.random.Generator,
) -> Poses:
    """Draw particles.

    Parameters
    ----------
    n
        How many.
    states
        With their shares.
    imaging
        Preferred views, heights.
    defocus_A
        ``(n, 3)`` of the micrograph of each.
    offset_A
        Deviation of the origins, x and y each.
    rng
        Source of randomness.
    """
    angles = random_angles(n, rng, imaging.preferences)
    origins = rng.normal(0, 1, (n, 2)) * offset_A
    state = rng.choice(len(states), n, p=[one.share for one in states])
    height = rng.normal(0, 1, n) * imaging.height_A
    lifted = defocus_A - height[:, None] * np.array([1.0, 1.0, 0.0])
    return Poses(angles, origins, state, height, lifted)


def particle_waves(
    states: tuple[State, ...],
    poses: Poses,
    camera: Camera,
    imaging: Imaging,
    group: int,
    *,
    with_ctf: bool = True,
) -> Waves:
    """Return the transforms of noise-free images, white, without radiation damage.

    Parameters
    ----------
    states
        The specimen in its conformations.
    poses
        Of ``n`` particles; each lies where its origin says.
    camera
        Box and pixel size.
    imaging
        Optics, envelope and Ewald curvature.
    group
        Index of the optics group from 0.
    with_ctf
        Else the bare projections.

    Returns
    -------
    ndarray
        ``(n, size, size // 2 + 1)``.
    """
    kx, ky = camera.frequencies()
    microscope = imaging.optics_groups[group]
    turns = matrices(poses.angles_deg)
    result = np.empty((len(poses), camera.size, camera.size // 2 + 1), np.complex64)
    for number, state in enumerate(states):
        rows = np.flatnonzero(poses.state == number)
        if with_ctf and imaging.layer_A > 0:
            for row in rows:
                result[row] = _curved(state, poses, int(row), turns[row], camera, imaging, group)
            continue
        result[rows] = project(state.scatterers, turns[rows], -poses.origin_A[rows], camera)
    if with_ctf and imaging.layer_A <= 0:
        result *= transfer(microscope, kx, ky, poses.defocus_A, bfactor_A2=imaging.bfactor_A2)
    return result


def damage_left(
    k_per_A: Array, imaging: Imaging, start_e_per_A2: float, end_e_per_A2: float
) -> npt.NDArray[np.float32]:
    """Return the amplitude that the dose leaves; ones without damage or dose."""
    if not imaging.damage or end_e_per_A2 <= 0:
        return np.ones(k_per_A.shape, np.float32)
    left = amplitude_left(k_per_A, start_e_per_A2, end_e_per_A2, imaging.voltage_kV)
    return left.astype(np.float32)


def _curved(
    state: State,
    poses: Poses,
    row: int,
    turn: Array,
    camera: Camera,
    imaging: Imaging,
    group: int,
) -> Waves:
    """Image a specimen layer by layer: each has the defocus of its own height."""
    layers, heights = project_layers(
        state.scatterers, turn, -poses.origin_A[row], camera, imaging.layer_A
    )
    kx, ky = camera.frequencies()
    defocus = poses.defocus_A[row] - heights[:, None] * np.array([1.0, 1.0, 0.0])
    ctf = transfer(imaging.optics_groups[group], kx, ky, defocus, bfactor_A2=imaging.bfactor_A2)
    return np.asarray((layers * ctf).sum(0), np.complex64)
