"""Motion correction of one movie with the built-in engine: read, align, add up, write."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Complex
from torch import Tensor

from vitreous.dataset.motion_frames import Frames, Loaded, load, seed_of
from vitreous.dataset.motion_star import MovieMotion, write_motion
from vitreous.dataset.motion_table import Corrected, MovieRow
from vitreous.engine import dose, fourier
from vitreous.engine.motion import measure, repair, spectrum
from vitreous.engine.motion.relion_sums import RelionSums
from vitreous.engine.motion.sums import FrameSums, Sums, Wanted
from vitreous.errors import InputError
from vitreous.io import write_mrc
from vitreous.io.atomic import write_text
from vitreous.programs.motioncorr_files import corrected
from vitreous.programs.motioncorr_frame import Correction, Task, refuse_problem
from vitreous.programs.motioncorr_inputs import is_eer
from vitreous.programs.motioncorr_settings import (
    binned_size,
    measuring,
    spectrum_group,
)

_NEIGHBOURS_PX = {False: 2, True: 4}  # EER


@dataclass
class Read:
    """A movie in memory, or ready to be read again."""

    loaded: Loaded
    n_frames: int


@dataclass
class Aligned:
    """What was computed of a movie."""

    sums: dict[str, npt.NDArray[np.float32]]
    pixel_size_A: float
    spectrum: npt.NDArray[np.float32] | None
    spectrum_pixel_A: float
    motion: MovieMotion
    log: list[str] = field(default_factory=list)


class OwnWork(Correction[Read, Aligned]):
    """Align the frames of movies and add them up.

    Parameters
    ----------
    task
        What is asked for.
    keep
        Hold raw frames in memory.
    """

    def __init__(self, task: Task, *, keep: bool = True) -> None:
        super().__init__(task)
        self._keep = keep

    def load(self, unit: MovieRow) -> Read:
        """Read the frames that are used."""
        refuse_problem(unit)
        if self.task.options.dose_weighting:
            dose.relative_dose(unit.voltage_kV)
        with self.task.detector.open(unit.name) as movie:
            n_frames, shape = movie.n_frames, movie.shape
        binned_size(shape, self.task.options.binning, unit.name)
        self.task.detector.gain(unit.name, shape, torch.device("cpu"))
        self.task.detector.defects(shape)
        first, stop = self._range(unit, n_frames)
        loaded = load(lambda: self.task.detector.open(unit.name), first, stop, keep=self._keep)
        if loaded.empty:
            names = ", ".join(str(number + 1) for number in loaded.empty)
            self.task.run.warn(
                "Frames without any counts are left out.", f"{unit.name}: frame {names}"
            )
        return Read(loaded, n_frames)

    def compute(
        self, units: Sequence[MovieRow], loaded: Sequence[Read], device: torch.device
    ) -> list[Aligned]:
        """Align movies and add up their frames."""
        return [self._correct(unit, one, device) for unit, one in zip(units, loaded, strict=True)]

    def save(self, unit: MovieRow, computed: Aligned) -> Corrected:
        """Write images, log, and last the motion, by which a movie counts as done."""
        files = self.task.files
        stem = files.stem(unit)
        Path(stem).parent.mkdir(parents=True, exist_ok=True)
        mode = 12 if self.task.options.write_float16 else 2
        for ending, image in computed.sums.items():
            write_mrc(f"{stem}{ending}.mrc", image, computed.pixel_size_A, mode=mode)
        if computed.spectrum is not None:
            write_mrc(f"{stem}_PS.mrc", computed.spectrum, computed.spectrum_pixel_A)
        write_text(f"{stem}.log", "".join(f"{line}\n" for line in computed.log))
        write_motion(f"{stem}.star", computed.motion)
        return corrected(unit, computed.motion, files)

    def _range(self, unit: MovieRow, n_frames: int) -> tuple[int, int]:
        """Return the first frame (from 0) and the one after the last."""
        first, last = self.task.options.first_frame - 1, self.task.options.last_frame
        if last > n_frames:
            self.task.run.warn(
                "Some movies have fewer frames than the last one wanted; all that they have are "
                "used.",
                f"{unit.name}: {n_frames} frames",
            )
        stop = min(last, n_frames) if last > 0 else n_frames
        if stop <= first:
            raise InputError(
                f"{unit.name}: it has {n_frames} frames; frames {first + 1} to {last} are wanted."
            )
        return first, stop

    def _correct(self, unit: MovieRow, read: Read, device: torch.device) -> Aligned:
        shape, numbers = read.loaded.shape, read.loaded.numbers
        size = binned_size(shape, self.task.options.binning, unit.name)
        frames = Frames(read.loaded, self.task.detector.gain(unit.name, shape, device), device)
        hot, log = self._find_bad(frames, unit, read)
        spectra = self._low_frequencies(frames, len(numbers), size)
        self.task.run.check_abort()
        motion = measure.measure(spectra, shape, measuring(self.task.options, self.task.extra))
        del spectra
        self._tell(unit, motion, log)
        wanted = self._wanted(unit, shape, size, motion, numbers)
        sums = self._add_up(frames, motion, wanted, device)
        picture, picture_pixel_A = None, 0.0
        if sums.spectrum is not None:
            found, picture_pixel_A = spectrum.picture(
                sums.spectrum, size, wanted.pixel_size_A, self.task.extra.spectrum_px
            )
            picture = found.cpu().numpy()
            log.append(f"Power spectrum for CTF estimation: pixel size {picture_pixel_A:.5f} A")
        return Aligned(
            self._images(sums), wanted.pixel_size_A, picture, picture_pixel_A,
            self._record(unit, read, motion, hot), log,
        )  # fmt: skip

    def _find_bad(
        self, frames: Frames, unit: MovieRow, read: Read
    ) -> tuple[npt.NDArray[np.float64], list[str]]:
        """Prepare the repair of bad pixels; return the hot ones ``(n, 2)`` as x y."""
        total = frames.total()
        shape, n_frames = read.loaded.shape, len(read.loaded.numbers)
        hot, mean, deviation = repair.hot_pixels(total)
        bad = torch.zeros_like(hot)
        gain = self.task.detector.gain(unit.name, shape, total.device)
        defects = self.task.detector.defects(shape)
        if gain is not None:
            bad |= gain == 0
        if defects is not None:
            bad |= defects.to(bad.device)
        if self.task.extra.skip_hot:
            hot = torch.zeros_like(hot)
        hot = hot & ~bad
        frames.how = repair.plan(
            bad | hot, n_frames, mean, deviation,
            reach=_NEIGHBOURS_PX[is_eer(unit.name)], seed=seed_of(unit.name),
        )  # fmt: skip
        place = torch.nonzero(hot).flip(1).to(torch.float64).cpu().numpy()
        used = f"{read.loaded.numbers[0] + 1} to {read.loaded.numbers[-1] + 1}"
        n_bad = int(torch.count_nonzero(bad))
        log = [
            f"{unit.name}: {shape[1]} x {shape[0]} pixels, {read.n_frames} frames, used {used}",
            f"Unaligned sum: mean {mean:.4f}, deviation {deviation:.4f}; {len(place)} hot pixels "
            f"above {mean + repair.HOT_DEVIATIONS * deviation:.4f}; {n_bad} pixels are "
            "bad by gain or defect file",
        ]
        return place, log

    def _low_frequencies(
        self, frames: Frames, n_frames: int, size: tuple[int, int]
    ) -> Complex[Tensor, "f y xh"]:
        """Return what of each frame is compared with the others."""
        bfactor = self.task.options.bfactor_A2 / self.task.options.binning**2
        how = measuring(self.task.options, self.task.extra)
        small = measure.correlation_size(size, bfactor, how, self.task.extra.downsampling)
        spectra = torch.empty(
            n_frames, small[0], small[1] // 2 + 1, dtype=torch.complex64, device=frames.device
        )
        for number, frame in enumerate(frames):
            self.task.run.check_abort()
            spectra[number] = fourier.forward_from_corner(frame, small)
        return spectra

    def _tell(self, unit: MovieRow, motion: measure.Motion, log: list[str]) -> None:
        """Put into the log, and warn of, how alignment went."""
        steps = motion.whole.rms_px[0].tolist()
        log.extend(
            f"Global alignment, iteration {number}: RMS shift {step:.4f} px"
            for number, step in enumerate(steps, start=1)
            if not math.isnan(step)
        )
        if not bool(motion.whole.converged[0]):
            self.task.run.warn(
                "The alignment of some movies did not converge; look at their frames.", unit.name
            )
            log.append("Global alignment did not converge")
        if motion.patch_place_px is not None:
            log.append(
                f"Local alignment: {len(motion.patch_place_px)} of {motion.n_patches} patches "
                "could be aligned by themselves"
            )
        if motion.local_rms_px is not None:
            x, y = motion.local_rms_px.tolist()
            log.append(f"They deviate from the local model by {x:.4f} px in x, {y:.4f} px in y")
        if motion.problem:
            self.task.run.warn(
                "Some movies have no model of local motion and are aligned as a whole only.",
                f"{unit.name}: {motion.problem}",
            )
            log.append(f"No local model: {motion.problem}")

    def _wanted(
        self,
        unit: MovieRow,
        shape: tuple[int, int],
        size: tuple[int, int],
        motion: measure.Motion,
        numbers: tuple[int, ...],
    ) -> Wanted:
        options = self.task.options
        before = options.pre_exposure_e_per_A2 + unit.pre_exposure_e_per_A2
        doses = tuple(before + options.dose_per_frame_e_per_A2 * (n + 1) for n in numbers)
        group = spectrum_group(options)
        return Wanted(
            shape=shape,
            size=size,
            pixel_size_A=unit.pixel_size_A * options.binning,
            voltage_kV=unit.voltage_kV,
            dose_e_per_A2=doses if options.dose_weighting else (),
            plain=options.save_unweighted or not options.dose_weighting,
            halves=self.task.extra.halves,
            spectrum_groups=_spectrum_groups(len(numbers), group),
            local=motion.coefficients_px is not None,
        )

    def _add_up(
        self, frames: Frames, motion: measure.Motion, wanted: Wanted, device: torch.device
    ) -> Sums:
        sums = (RelionSums if self.task.extra.relion_compat else FrameSums)(wanted, device)
        for number, frame in enumerate(frames):
            self.task.run.check_abort()
            sums.add(frame, motion.field_px(number))
        return sums.finish()

    def _images(self, sums: Sums) -> dict[str, npt.NDArray[np.float32]]:
        """Return the images to be written, by what follows the stem of their name."""
        weighted, plain = sums.weighted, sums.plain
        found = {"": plain if weighted is None else weighted, "_EVN": sums.even, "_ODD": sums.odd}
        if weighted is not None and self.task.options.save_unweighted:
            found["_noDW"] = plain
        return {end: image.cpu().numpy() for end, image in found.items() if image is not None}

    def _record(
        self,
        unit: MovieRow,
        read: Read,
        motion: measure.Motion,
        hot: npt.NDArray[np.float64],
    ) -> MovieMotion:
        """Return the motion as it is written."""
        options, numbers = self.task.options, np.array(read.loaded.numbers)
        shifts = np.full((read.n_frames, 2), np.nan)
        every = np.arange(numbers[0], numbers[-1] + 1)  # an empty frame moves with its neighbours
        for axis, course in enumerate(motion.shift_px.cpu().numpy().T):
            shifts[every, axis] = np.interp(every, numbers, course)
        frame, place, shift = _observations(motion, numbers)
        found = motion.coefficients_px
        eer = is_eer(unit.name)
        return MovieMotion(
            movie=unit.name,
            shape=read.loaded.shape,
            shift_px=shifts,
            pixel_size_A=unit.pixel_size_A,
            binning=options.binning,
            dose_per_frame_e_per_A2=options.dose_per_frame_e_per_A2,
            pre_exposure_e_per_A2=options.pre_exposure_e_per_A2 + unit.pre_exposure_e_per_A2,
            voltage_kV=unit.voltage_kV,
            first_frame=int(numbers[0]) + 1,
            coefficients_px=None if found is None else found.cpu().numpy().astype(np.float64),
            hot_px=hot,
            local_frame=frame,
            local_place_px=place,
            local_shift_px=shift,
            gain=self.task.detector.gain_name,
            defects=options.defects,
            eer_upsampling=self.task.extra.eer_upsampling if eer else 0,
            eer_grouping=options.eer_grouping if eer else 0,
        )


def _spectrum_groups(n_frames: int, size: int) -> tuple[range, ...]:
    """Return the frames of each power spectrum; the last one may have fewer."""
    if not size:
        return ()
    return tuple(range(s, min(s + size, n_frames)) for s in range(0, n_frames, size))


def _observations(
    motion: measure.Motion, numbers: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return frame (from 1), place and shift of all that was measured in patches."""
    if motion.patch_place_px is None or motion.patch_time is None or motion.patch_shift_px is None:
        return np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 2))
    n_patches, n_groups = motion.patch_shift_px.shape[:2]
    first_of_group = np.floor(motion.patch_time.cpu().numpy()).astype(np.int64)
    frame = np.tile(numbers[first_of_group] + 1, n_patches)
    place = np.repeat(motion.patch_place_px.cpu().numpy(), n_groups, axis=0)
    shift = motion.patch_shift_px.cpu().numpy().reshape(-1, 2)
    return frame, place.astype(np.float64), shift.astype(np.float64)
