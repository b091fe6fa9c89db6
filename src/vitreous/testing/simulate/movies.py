"""Movies: frames as a microscope writes them, with motion, damage, gain, and counted electrons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vitreous.io import StackWriter, Table, write_mrc, write_star
from vitreous.io.atomic import write_text
from vitreous.io.eer_writer import write_eer
from vitreous.io.tiff import write_tiff
from vitreous.testing.simulate.detector import Detector, Transfer, ideal_detector, random_detector
from vitreous.testing.simulate.micrographs import (
    Made,
    view_record,
    without_waves,
    write_truth_lists,
)
from vitreous.testing.simulate.motion import Motion, MotionSize, random_motion
from vitreous.testing.simulate.scene import Scene, View, make_scene
from vitreous.testing.simulate.tables import (
    motion_star,
    optics_table,
    tracks_star,
    write_record,
    write_tables,
)
from vitreous.testing.simulate.workers import in_order, stream

Counts = npt.NDArray[np.uint16]

_LARGEST_8_BIT = 255


@dataclass(frozen=True)
class MovieSet:
    """What is to be made.

    Parameters
    ----------
    n
        Number of movies.
    view
        Optics, particles, ice, size.
    n_frames, dose_per_frame_e_per_A2
        Of each movie.
    motion
        How much moves.
    transfer
        Sharpness of the detector.
    flawed
        Whether it has a gain, defects and hot pixels; else every pixel is alike.
    format
        ``tiff``, ``mrc`` or ``eer``.
    raw_per_frame
        Raw frames of an EER file for each frame.
    metadata
        Write a text file beside each movie, as SerialEM does.
    mtf
        STAR file of the MTF, named in the list of movies; may be empty.
    seed
        Of everything.
    """

    n: int
    view: View
    n_frames: int = 24
    dose_per_frame_e_per_A2: float = 1.5
    motion: MotionSize = field(default_factory=MotionSize)
    transfer: Transfer = field(default_factory=Transfer)
    flawed: bool = True
    format: str = "tiff"
    raw_per_frame: int = 8
    metadata: bool = False
    mtf: str = ""
    seed: int = 0

    @property
    def counts_per_frame(self) -> float:
        """Mean number of electrons in a pixel of a frame."""
        return self.dose_per_frame_e_per_A2 * self.view.pixel_size_A**2


def write_movies(wanted: MovieSet, folder: Path, n_workers: int = 1) -> list[Made]:
    """Make the movies and write them with gain, lists and the truth."""
    (folder / "Movies").mkdir(parents=True, exist_ok=True)
    (folder / "truth").mkdir(exist_ok=True)
    detector = detector_of(wanted)
    if wanted.flawed:
        write_mrc(folder / "gain.mrc", detector.gain, wanted.view.pixel_size_A)
        rows = "".join(f"{x} {y} {w} {h}\n" for x, y, w, h in detector.defects)
        write_text(folder / "defects.txt", rows)
        hot = {"rlnCoordinateX": detector.hot_px[:, 0].astype(float),
               "rlnCoordinateY": detector.hot_px[:, 1].astype(float)}  # fmt: skip
        write_tables(folder / "truth" / "hot_pixels.star", [Table.from_columns("hot_pixels", hot)])
    work = partial(_make, wanted, folder)
    made = list(in_order(work, range(wanted.n), n_workers))
    optics = optics_table(wanted.view.imaging, wanted.view.pixel_size_A, mtf=wanted.mtf)
    optics = optics.without("rlnMicrographPixelSize")  # movies have the original one only
    write_truth_lists(folder, made, wanted.view)
    columns = {
        "rlnMicrographMovieName": [one.name for one in made],
        "rlnOpticsGroup": [one.group + 1 for one in made],
    }
    write_tables(folder / "movies.star", [optics, Table.from_columns("movies", columns)])
    record = _record(wanted)
    write_record(folder / "truth" / "simulation.json", {"wanted": record})
    return made


def detector_of(wanted: MovieSet) -> Detector:
    """Return the detector that all movies of a set share."""
    if not wanted.flawed:
        return ideal_detector(wanted.view.shape)
    rng = stream(wanted.seed, "detector")
    return random_detector(wanted.view.shape, wanted.counts_per_frame, rng)


def frames(
    wanted: MovieSet, scene: Scene, motion: Motion, detector: Detector, rng: np.random.Generator
) -> Iterator[Counts]:
    """Yield what the detector writes, frame by frame."""
    doses = np.full(wanted.n_frames, wanted.dose_per_frame_e_per_A2)
    for contrast, transmission in scene.contrast(motion, doses, rng):
        expected = (transmission * (1 - contrast) * wanted.counts_per_frame).astype(np.float32)
        yield detector.expose(expected, wanted.transfer, rng)


def motion_of(wanted: MovieSet, n_particles: int, rng: np.random.Generator) -> Motion:
    """Draw the motion of one movie."""
    return random_motion(
        wanted.motion, wanted.n_frames, wanted.dose_per_frame_e_per_A2, n_particles,
        wanted.view.shape, wanted.view.pixel_size_A, rng,
    )  # fmt: skip


def _make(wanted: MovieSet, folder: Path, index: int) -> Made:
    """Make and write one movie with its truth."""
    stem = f"movie{index + 1:05d}"
    rng = stream(wanted.seed, f"movie/{stem}")
    view = wanted.view
    group = index % len(view.imaging.optics_groups)
    scene = make_scene(view, group, rng)
    motion = motion_of(wanted, len(scene.poses), rng)
    name = folder / "Movies" / f"{stem}.{wanted.format}"
    truth = folder / "truth"
    gain = str(folder / "gain.mrc") if wanted.flawed else ""
    facts = (str(name), gain, view.pixel_size_A, wanted.dose_per_frame_e_per_A2)
    write_star(truth / f"{stem}_motion.star", motion_star(motion, *facts, view.imaging.voltage_kV))
    write_star(truth / f"{stem}_tracks.star", tracks_star(_tracks_A(scene, motion)))
    write_mrc(truth / f"{stem}_clean.mrc", scene.clean(), view.pixel_size_A)
    if wanted.metadata:
        write_text(f"{name}.mdoc", _metadata(wanted, name, scene))
    movie = frames(wanted, scene, motion, detector_of(wanted), rng)
    _write(wanted, name, movie, stream(wanted.seed, f"electrons/{stem}"))
    return Made(str(name), group, without_waves(scene))


def _record(wanted: MovieSet) -> dict[str, object]:
    """Return what a set was made with, without the atoms."""
    light = replace(wanted, view=replace(wanted.view, states=()))
    return asdict(light) | {"view": view_record(wanted.view)}


def _tracks_A(scene: Scene, motion: Motion) -> npt.NDArray[np.float64]:
    where = scene.positions_px
    steps = [motion.of_particles_px(frame, where) for frame in range(len(motion.drift_px))]
    return np.swapaxes(np.array(steps), 0, 1) * scene.view.pixel_size_A


def _write(wanted: MovieSet, path: Path, movie: Iterator[Counts], rng: np.random.Generator) -> None:
    """Write a movie in its format, one frame in memory at a time."""
    shape, pixel_size_A = wanted.view.shape, wanted.view.pixel_size_A
    if wanted.format == "mrc":
        with StackWriter(path, shape, pixel_size_A) as stack:
            for frame in movie:
                stack.write(frame.astype(np.float32))
    elif wanted.format == "eer":
        raw = (part for frame in movie for part in _electrons(frame, wanted.raw_per_frame, rng))
        write_eer(path, raw, shape, pixel_size_A=pixel_size_A)
    else:
        narrow = wanted.counts_per_frame < 100
        write_tiff(path, (_narrow(frame) if narrow else frame for frame in movie))


def _narrow(frame: Counts) -> npt.NDArray[np.uint8]:
    return np.minimum(frame, _LARGEST_8_BIT).astype(np.uint8)


def _electrons(
    frame: Counts, n_raw: int, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """Deal the electrons of a frame out to raw frames, each at a random place in its pixel."""
    y, x = np.nonzero(frame)
    times = frame[y, x]
    x, y = np.repeat(x, times), np.repeat(y, times)
    inside = rng.integers(0, 4, (len(x), 2))
    places = np.stack([4 * x, 4 * y], 1) + inside
    when = rng.integers(0, n_raw, len(x))
    for number in range(n_raw):
        yield places[when == number]


def _metadata(wanted: MovieSet, name: Path, scene: Scene) -> str:
    """Return what SerialEM writes beside a movie, as far as it is known here."""
    rows, columns = wanted.view.shape
    microscope = wanted.view.imaging.optics_groups[scene.group]
    defocus_um = -(scene.defocus_A[0] + scene.defocus_A[1]) / 2e4
    gain = "GainReference = gain.mrc\n" if wanted.flawed else ""
    return (
        f"PixelSpacing = {wanted.view.pixel_size_A:g}\n"
        f"Voltage = {microscope.voltage_kV:g}\n"
        f"ImageFile = {name.name}\nImageSize = {columns} {rows}\nDataMode = 0\n\n"
        "[FrameSet = 0]\n"
        f"TargetDefocus = {defocus_um:.3f}\nDefocus = {defocus_um:.3f}\n"
        f"ExposureDose = {wanted.n_frames * wanted.dose_per_frame_e_per_A2:g}\n"
        f"FrameDosesAndNumber = {wanted.dose_per_frame_e_per_A2:g} {wanted.n_frames}\n"
        f"NumSubFrames = {wanted.n_frames}\nSubFramePath = {name.name}\n{gain}"
    )
