"""Single images of particles: noise-free, with noise of a given SNR, or counted electrons."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from vitreous.io import StackWriter, Table, write_volume
from vitreous.testing.simulate.contrast import transfer
from vitreous.testing.simulate.density import density_map, to_image, to_waves
from vitreous.testing.simulate.detector import Transfer
from vitreous.testing.simulate.ice import Surroundings, blur_power
from vitreous.testing.simulate.images import (
    Imaging,
    Poses,
    damage_left,
    particle_waves,
    random_defocus_A,
    random_poses,
)
from vitreous.testing.simulate.projection import Camera
from vitreous.testing.simulate.scattering import ice_phase_power_A2
from vitreous.testing.simulate.specimens import State
from vitreous.testing.simulate.tables import optics_table, pose_columns, write_record, write_tables
from vitreous.testing.simulate.workers import in_order, stream

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

BATCH = 64


@dataclass(frozen=True)
class ParticleSet:
    """What is to be made.

    Parameters
    ----------
    n
        Number of images.
    camera
        Box and pixel size.
    imaging
        Optics and orientations.
    padding
        The CTF acts in a box this many times larger; 1 lets its rings wrap around, as the
        transforms that programs work with do.
    snr
        Variance of the signal over variance of the noise; 0 for none of this kind.
    coloured
        Noise that is stronger at low frequencies instead of white.
    dose_e_per_A2
        Electrons that are counted; 0 for none of this kind.
    surroundings, detector
        Ice and sharpness, used with a dose.
    mtf
        STAR file of the MTF, named in the optics table; may be empty.
    offset_A
        Deviation of the origins.
    seed
        Of everything.
    """

    n: int
    camera: Camera
    imaging: Imaging
    padding: int = 2
    snr: float = 0.0
    coloured: bool = False
    dose_e_per_A2: float = 0.0
    surroundings: Surroundings = field(default_factory=Surroundings)
    detector: Transfer = field(default_factory=Transfer)
    mtf: str = ""
    offset_A: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class _Batch:
    poses: Poses
    group: npt.NDArray[np.int64]
    clean: Floats
    noisy: Floats | None


def write_particles(
    wanted: ParticleSet, states: tuple[State, ...], folder: Path, n_workers: int = 1
) -> dict[str, float]:
    """Make the images and write them with their STAR file and the truth.

    Returns
    -------
    dict
        What was measured: variance of the signal, of the noise, and their ratio.
    """
    truth = folder / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    box, pixel_size_A = wanted.camera.size, wanted.camera.pixel_size_A
    for number, state in enumerate(states, start=1):
        volume = density_map(state.scatterers, box, pixel_size_A)
        write_volume(truth / f"map_class{number:03d}.mrc", volume, pixel_size_A)
    signal, noise = _Variance(), _Variance()
    rows: list[tuple[Poses, npt.NDArray[np.int64]]] = []
    stack = folder / "particles.mrcs"
    scale = 1.0
    with (
        tempfile.TemporaryFile(dir=truth) as spool,
        StackWriter(truth / "clean.mrcs", (box, box), pixel_size_A) as clean,
        StackWriter(stack, (box, box), pixel_size_A) as images,
    ):
        for batch in _batches(wanted, states, n_workers):
            rows.append((batch.poses, batch.group))
            signal.add(batch.clean)
            if batch.noisy is None:
                spool.write(batch.clean.tobytes())
            else:
                noise.add(batch.noisy - batch.clean)
                clean.write(batch.clean)
                images.write(batch.noisy)
        if wanted.dose_e_per_A2 <= 0:
            if wanted.snr > 0:  # the noise has unit deviation, as normalised particles have
                scale = float(np.sqrt(wanted.snr / signal.value))
            _with_noise(wanted, spool, scale, clean, images, noise)
    _write_star(wanted, rows, stack, folder)
    measured = {"signal_variance": signal.value * scale**2, "noise_variance": noise.value}
    if noise.value > 0:
        measured["snr"] = signal.value * scale**2 / noise.value
    if wanted.dose_e_per_A2 > 0:
        scale = float(np.sqrt(wanted.dose_e_per_A2) * pixel_size_A)
    measured["scale"] = scale
    write_record(truth / "simulation.json", {"wanted": asdict(wanted), **measured})
    return measured


def noise_power(k_per_A: Array, *, coloured: bool) -> Array:
    """Return the power of the noise relative to its mean, at frequencies of the half plane.

    Coloured noise is four times as strong at low frequencies as at high ones, and halfway at
    1/20 Å: what ice, damage and inelastic scattering leave in normalised particles.
    """
    if not coloured:
        return np.ones_like(k_per_A)
    power = 1 + 3 / (1 + (20 * k_per_A) ** 2)
    twice = np.full(k_per_A.shape[1], 2.0)  # columns that stand for two
    twice[0] = twice[-1] = 1
    return np.asarray(power / np.average(power, weights=np.broadcast_to(twice, power.shape)))


def _batches(wanted: ParticleSet, states: tuple[State, ...], n_workers: int) -> Iterator[_Batch]:
    starts = range(0, wanted.n, BATCH)
    return in_order(partial(_make, wanted, states), starts, n_workers)


def _make(wanted: ParticleSet, states: tuple[State, ...], start: int) -> _Batch:
    """Make the images of one batch."""
    rng = stream(wanted.seed, f"particles/{start}")
    n = min(BATCH, wanted.n - start)
    defocus = random_defocus_A(n, wanted.imaging, rng)
    poses = random_poses(n, states, wanted.imaging, defocus, wanted.offset_A, rng)
    group = (start + np.arange(n)) % len(wanted.imaging.optics_groups)
    camera = Camera(wanted.camera.size * wanted.padding, wanted.camera.pixel_size_A)
    k = np.hypot(*camera.frequencies())
    left = damage_left(k, wanted.imaging, 0, wanted.dose_e_per_A2)
    images = np.empty((n, camera.size, camera.size), np.float32)
    for number in range(len(wanted.imaging.optics_groups)):
        mine = np.flatnonzero(group == number)
        waves = particle_waves(states, poses.part(mine), camera, wanted.imaging, number)
        images[mine] = to_image(waves * left)
    edge = (camera.size - wanted.camera.size) // 2
    inside = slice(edge, edge + wanted.camera.size)
    if wanted.dose_e_per_A2 <= 0:
        return _Batch(poses, group, images[:, inside, inside], None)
    noisy, scale = _counted(wanted, images, poses, group, camera, rng)
    return _Batch(poses, group, images[:, inside, inside] * scale, noisy[:, inside, inside])


def _counted(
    wanted: ParticleSet,
    images: Floats,
    poses: Poses,
    group: npt.NDArray[np.int64],
    camera: Camera,
    rng: np.random.Generator,
) -> tuple[Floats, float]:
    """Return images as counted, white, noise of about unit deviation; and the scale of contrast."""
    kx, ky = camera.frequencies()
    k = np.hypot(kx, ky)
    area = camera.pixel_size_A**2
    power = ice_phase_power_A2(k, wanted.surroundings.thickness_A, wanted.imaging.voltage_kV)
    amplitude = 2 * np.sqrt(power * blur_power(k, wanted.dose_e_per_A2) / area)
    sharpness = wanted.detector.root_dqe(k * camera.pixel_size_A)
    counts = wanted.dose_e_per_A2 * area
    noisy = np.empty_like(images)
    for row in range(len(poses)):
        optics = wanted.imaging.optics_groups[group[row]]
        ctf = transfer(optics, kx, ky, poses.defocus_A[row : row + 1])[0]
        ice = to_waves(rng.standard_normal(images[row].shape, np.float32)) * amplitude * ctf
        contrast = to_image((to_waves(images[row]) + ice) * sharpness)
        noisy[row] = counts - rng.poisson(np.clip(counts * (1 - contrast), 0, None))
    scale = 1 / np.sqrt(counts)  # the noise of counting becomes 1
    return noisy * np.float32(scale), float(counts * scale)


def _with_noise(
    wanted: ParticleSet,
    spool: IO[bytes],
    scale: float,
    clean: StackWriter,
    images: StackWriter,
    noise: _Variance,
) -> None:
    """Write the spooled clean images times a scale, and the same with the noise wanted."""
    box = wanted.camera.size
    power = noise_power(np.hypot(*wanted.camera.frequencies()), coloured=wanted.coloured)
    amplitude = np.sqrt(power).astype(np.float32)
    spool.seek(0)
    for start in range(0, wanted.n, BATCH):
        n = min(BATCH, wanted.n - start)
        data = np.frombuffer(spool.read(4 * n * box * box), np.float32)
        batch = data.reshape(n, box, box) * np.float32(scale)
        clean.write(batch)
        if wanted.snr > 0:
            white = stream(wanted.seed, f"noise/{start}").standard_normal(batch.shape, np.float32)
            added = to_image(to_waves(white) * amplitude) if wanted.coloured else white
            noise.add(added)
            batch = batch + added
        images.write(batch)


def _write_star(
    wanted: ParticleSet,
    rows: list[tuple[Poses, npt.NDArray[np.int64]]],
    stack: Path,
    folder: Path,
) -> None:
    poses = Poses(*(np.concatenate(parts) for parts in zip(
        *((p.angles_deg, p.origin_A, p.state, p.height_A, p.defocus_A) for p, _ in rows),
        strict=True,
    )))  # fmt: skip
    group = np.concatenate([group for _, group in rows])
    columns = {
        "rlnImageName": [f"{i + 1:06d}@{stack}" for i in range(wanted.n)],
        "rlnMicrographName": [f"{folder}/batch{i // BATCH + 1:05d}.mrc" for i in range(wanted.n)],
        **pose_columns(poses, wanted.imaging, group),
        "rlnRandomSubset": stream(wanted.seed, "halves").permutation(wanted.n) % 2 + 1,
    }
    camera = wanted.camera
    optics = optics_table(wanted.imaging, camera.pixel_size_A, camera.size, wanted.mtf)
    write_tables(folder / "particles.star", [optics, Table.from_columns("particles", columns)])


class _Variance:
    """Mean variance within images, over all images so far."""

    def __init__(self) -> None:
        self._sum, self._n = 0.0, 0

    def add(self, images: Floats) -> None:
        """Add images ``(n, y, x)``."""
        self._sum += float(images.var(axis=(1, 2), dtype=np.float64).sum())
        self._n += len(images)

    @property
    def value(self) -> float:
        """The mean so far, 0 before the first image."""
        return self._sum / self._n if self._n else 0.0
