"""Small movies with known motion, made without the simulator, and jobs on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from programs.fake_run import FakeRun
from vitreous.io import Table, write_star
from vitreous.io.tiff import write_tiff
from vitreous.jobs.motioncorr import MotionCorr
from vitreous.jobs.shared import Running
from vitreous.programs import motioncorr

OPTICS = {
    "rlnOpticsGroupName": ["opticsGroup1"],
    "rlnOpticsGroup": [1],
    "rlnMicrographOriginalPixelSize": [1.5],
    "rlnVoltage": [300.0],
    "rlnSphericalAberration": [2.7],
    "rlnAmplitudeContrast": [0.1],
}


def drifting(shape=(128, 160), n_frames=8, length_px=5.0, counts=2.0, seed=0):
    """Counted frames (f, y, x) as uint8, and their displacement (f, 2), x y."""
    rng = np.random.default_rng(seed)
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    wave = np.fft.rfft2(rng.normal(size=shape)) * np.exp(-(np.hypot(kx, ky) ** 2) / 0.12**2)
    course = 1 - np.exp(-np.arange(n_frames) / 3)
    path = np.stack([course, 0.5 * course], 1) * length_px / course[-1]
    frames = []
    for x, y in path:
        image = np.fft.irfft2(wave * np.exp(-2j * np.pi * (kx * x + ky * y)), shape)
        expected = counts * (1 + 0.3 * image / image.std())
        frames.append(np.minimum(rng.poisson(np.clip(expected, 0, None)), 255).astype(np.uint8))
    return np.stack(frames), path


def listed(names, optics=OPTICS, groups=None, file="movies.star"):
    """Write the list of an Import job in the working directory."""
    columns = {"rlnMicrographMovieName": names, "rlnOpticsGroup": groups or [1] * len(names)}
    tables = [Table.from_columns("optics", optics), Table.from_columns("movies", columns)]
    write_star(file, tables)
    return file


def tiff(name, frames):
    """Write frames as a TIFF movie."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    write_tiff(name, list(frames))
    return name


def options(movies="movies.star", flags="", n_threads=1, **values):
    """Options of a job, 32-bit by default so that RELION can read what it writes."""
    values = {"write_float16": False, **values}
    running = Running(other_arguments=flags, n_threads=n_threads)
    return MotionCorr(movies=movies, running=running, **values)


def job(chosen, folder="MotionCorr/job002/", **values):
    """Run a job in the working directory."""
    run = FakeRun(Path.cwd(), folder, **values)
    motioncorr.run(chosen, run)
    return run
