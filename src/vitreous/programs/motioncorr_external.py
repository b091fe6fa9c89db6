"""Motion correction by UCSF MotionCor2 (or 3): its command, its files, its log."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vitreous.dataset.motion_star import MovieMotion, write_motion
from vitreous.dataset.motion_table import Corrected, MovieRow
from vitreous.distributed import devices
from vitreous.errors import ComputeError, FormatError, InputError
from vitreous.io.atomic import write_text
from vitreous.io.image_refs import split_format
from vitreous.programs.motioncorr_files import corrected
from vitreous.programs.motioncorr_frame import Correction, Task, refuse_problem
from vitreous.programs.motioncorr_inputs import is_eer

_LOOK_EVERY_S = 0.1
_TAIL = 400
_OURS = {"-RotGain": "gain_rotation", "-FlipGain": "gain_flip"}
_DEFECT_MAPS = ("mrc", "mrcs", "tif", "tiff")


@dataclass(frozen=True)
class Known:
    """What the header of a movie tells."""

    n_frames: int
    shape: tuple[int, int]


class MotionCor2Work(Correction[Known, MovieMotion]):
    """Run MotionCor2 on movie after movie.

    Parameters
    ----------
    task
        What is asked for.
    cards
        Numbers of the graphics cards of this rank; may be empty.
    """

    def __init__(self, task: Task, cards: tuple[int, ...]) -> None:
        super().__init__(task)
        self._cards = cards
        self._user_words = user_arguments(task.options.motioncor2_arguments)

    def load(self, unit: MovieRow) -> Known:
        """Read the header of the movie."""
        refuse_problem(unit)
        with self.task.detector.open(unit.name) as movie:
            known = Known(movie.n_frames, movie.shape)
        if not is_eer(unit.name):  # a turned gain is written before it is needed
            self.task.detector.gain(unit.name, known.shape, torch.device("cpu"))
        return known

    def compute(
        self, units: Sequence[MovieRow], loaded: Sequence[Known], device: torch.device
    ) -> list[MovieMotion]:
        """Run the program on each movie."""
        return [self._correct(unit, one) for unit, one in zip(units, loaded, strict=True)]

    def save(self, unit: MovieRow, computed: MovieMotion) -> Corrected:
        """Give the images their names and write the motion."""
        stem = self.task.files.stem(unit)
        renamed = {"": "_noDW", "_DW": ""} if self.task.options.dose_weighting else {"": ""}
        renamed |= {"_EVN": "_EVN", "_ODD": "_ODD"}
        for theirs, ours in renamed.items():
            made = Path(f"{_raw_stem(stem)}{theirs}.mrc")
            if ours in self.task.files.endings:
                if not made.is_file():
                    raise ComputeError(
                        f"{unit.name}: MotionCor2 ended well but wrote no {made.name}; see "
                        f"{stem}.out. Its version may name files in another way."
                    )
                made.replace(f"{stem}{ours}.mrc")
            made.unlink(missing_ok=True)
        write_motion(f"{stem}.star", computed)
        return corrected(unit, computed, self.task.files)

    def command(self, unit: MovieRow, known: Known) -> list[str]:
        """Return the command line for a movie."""
        options, stem = self.task.options, self.task.files.stem(unit)
        kind = split_format(unit.name)[1]
        flag = "-InEer" if is_eer(unit.name) else "-InTiff" if kind in ("tif", "tiff") else "-InMrc"
        words: list[object] = [options.motioncor2_program, flag, unit.name]
        words += ["-OutMrc", f"{_raw_stem(stem)}.mrc", "-LogFile", f"{stem}"]
        words += ["-Bft", f"{options.bfactor_A2:g}", "-PixSize", f"{unit.pixel_size_A:g}"]
        words += ["-Patch", options.patches_x, options.patches_y]
        if options.group_frames > 1:
            words += ["-Group", options.group_frames]
        if self.task.detector.gain_name:
            words += ["-Gain", self.task.detector.gain_name]
        words += ["-FmRef", 0]
        if options.first_frame > 1:
            words += ["-Throw", options.first_frame - 1]
        if 0 < options.last_frame < known.n_frames:
            words += ["-Trunc", known.n_frames - options.last_frame]
        if options.binning != 1:
            words += ["-FtBin", f"{options.binning:g}"]
        if options.dose_weighting:
            before = options.pre_exposure_e_per_A2 + unit.pre_exposure_e_per_A2
            words += ["-Kv", f"{unit.voltage_kV:g}"]
            words += ["-FmDose", f"{options.dose_per_frame_e_per_A2:g}", "-InitDose", f"{before:g}"]
        if options.defects:
            is_map = split_format(options.defects)[1] in _DEFECT_MAPS
            words += ["-DefectMap" if is_map else "-DefectFile", options.defects]
        if self.task.extra.halves:
            words += ["-SplitSum", 1]
        if self._cards:
            words += ["-Gpu", *self._cards]
        return [str(word) for word in words] + self._user_words

    def _correct(self, unit: MovieRow, known: Known) -> MovieMotion:
        stem = self.task.files.stem(unit)
        Path(stem).parent.mkdir(parents=True, exist_ok=True)
        command = self.command(unit, known)
        write_text(f"{stem}.com", shlex.join(command) + "\n")
        with open(f"{stem}.out", "wb") as told, open(f"{stem}.err", "wb") as complaints:
            code = self._run_command(command, told.fileno(), complaints.fileno())
        if code != 0:
            raise ComputeError(
                f"{unit.name}: MotionCor2 failed with code {code}: {_tail(f'{stem}.err')} "
                f"(command in {stem}.com, its words in {stem}.out)"
            )
        shifts = np.full((known.n_frames, 2), np.nan)
        first = self.task.options.first_frame - 1
        found = read_log(stem)
        stop = min(first + len(found), known.n_frames)
        shifts[first:stop] = found[: stop - first] - found[0]
        options = self.task.options
        return MovieMotion(
            movie=unit.name,
            shape=known.shape,
            shift_px=shifts,
            pixel_size_A=unit.pixel_size_A,
            binning=options.binning,
            dose_per_frame_e_per_A2=options.dose_per_frame_e_per_A2,
            pre_exposure_e_per_A2=options.pre_exposure_e_per_A2 + unit.pre_exposure_e_per_A2,
            voltage_kV=unit.voltage_kV,
            first_frame=options.first_frame,
            coefficients_px=None,
            hot_px=np.zeros((0, 2)),
            local_frame=np.zeros(0, np.int64),
            local_place_px=np.zeros((0, 2)),
            local_shift_px=np.zeros((0, 2)),
            gain=self.task.detector.gain_name,
            defects=options.defects,
            eer_upsampling=self.task.extra.eer_upsampling if is_eer(unit.name) else 0,
            eer_grouping=options.eer_grouping if is_eer(unit.name) else 0,
        )

    def _run_command(self, command: list[str], told: int, complaints: int) -> int:
        """Run a command to its end; end it where the job is stopped."""
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=told, stderr=complaints
            )
        except OSError as error:
            raise InputError(
                f"{command[0]}: cannot be run ({error.strerror}). Check motioncor2_program."
            ) from error
        try:
            while (code := process.poll()) is None:
                self.task.run.check_abort()
                time.sleep(_LOOK_EVERY_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return code


def user_arguments(text: str) -> list[str]:
    """Split the user's own arguments; refuse those that the form has.

    Raises
    ------
    InputError
        Gain rotation or flip is among them, which would be applied twice.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"Other MotionCor2 arguments {text!r}: {error}.") from None
    for word in words:
        if word in _OURS:
            raise InputError(
                f"Other MotionCor2 arguments: {word} is not taken here, for polishing must know of "
                f"it too. Use the option {_OURS[word]}."
            )
    return words


def read_log(stem: str) -> npt.NDArray[np.float64]:
    """Return the shift of each frame ``(f, 2)`` as the log of whole-frame alignment tells it.

    Raises
    ------
    FormatError
        There is no log, or none that can be read.
    """
    folder, name = Path(stem).parent, Path(stem).name
    logs = sorted(folder.glob(f"{name}*-Full.log"))
    if not logs:
        raise FormatError(
            f"{stem}*-Full.log: no such file; MotionCor2 should have written the shifts of the "
            "frames there. See the .out file beside it."
        )
    rows = []
    for line in logs[0].read_text(errors="replace").splitlines():
        words = line.split("#")[0].split()
        if len(words) >= 3:
            try:
                rows.append([float(word) for word in words[1:3]])
            except ValueError:
                continue
    if not rows:
        raise FormatError(f"{logs[0]}: no rows with frame, x and y; is it of MotionCor2?")
    return np.array(rows)


def gpu_of_rank(gpu_ids: str, rank: int) -> tuple[int, ...]:
    """Return the numbers of the cards that a rank hands to MotionCor2."""
    fields = devices.parse(gpu_ids)
    return fields[rank % len(fields)] if fields else ()


def _raw_stem(stem: str) -> str:
    """Return the stem under which the program writes, until it has ended well."""
    return f"{stem}_motioncor2"


def _tail(path: str) -> str:
    text = " ".join(Path(path).read_text(errors="replace").split())
    return text[-_TAIL:] or "it said nothing"
