"""CTF estimation by CTFFIND 4.1, CTFFIND 5 or Gctf: their questions, their files, their answers.

CTFFIND reads its answers from standard input, in an order that belongs to its version: see
`questions`. The first ones of 4.1 take no flags and do not ask for a tilt (``ctffind4-old``, as
RELION 3.1.3 calls it). All write beside their input, so each works on a link in the job folder.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from vitreous.dataset.micrograph_ctf import (
    Estimate,
    Listed,
    Micrograph,
    Microscope,
    require_microscope,
)
from vitreous.errors import ComputeError, EnvironmentMissing, FormatError
from vitreous.io import read_header, write_mrc
from vitreous.jobs.context import Run
from vitreous.programs.ctffind_files import ice_ring_density, read_curves
from vitreous.programs.ctffind_frame import Estimation
from vitreous.programs.ctffind_own import Wanted, read_micrograph, source_of
from vitreous.programs.ctffind_settings import Kind

_LOOK_EVERY_S: Final = 0.1
_GRACE_S: Final = 0.5
_TAIL: Final = 400


@dataclass(frozen=True)
class Program:
    """The program and what it is told besides the options of the job.

    Parameters
    ----------
    path
        The executable, or its name in PATH.
    kind
        Which it is.
    extra_words
        Further arguments, of Gctf.
    gpu_ids
        The card of Gctf; empty for its own choice.
    """

    path: str
    kind: Kind
    extra_words: str = ""
    gpu_ids: str = ""


@dataclass(frozen=True)
class Task:
    """One image for the program: its link, and how it is sampled."""

    link: Path
    source: Path
    pixel_size_A: float
    box_px: int
    is_spectrum: bool
    microscope: Microscope


class ExternalEstimation(Estimation[Task, Estimate]):
    """Run a program on micrograph after micrograph.

    Parameters
    ----------
    run, listed, stems
        See `Estimation`.
    wanted
        What is asked for.
    program
        The program.
    """

    def __init__(
        self,
        run: Run,
        listed: Listed,
        stems: Mapping[str, str],
        wanted: Wanted,
        program: Program,
    ) -> None:
        super().__init__(run, listed, stems)
        self._wanted, self._program = wanted, program

    def load(self, unit: Micrograph) -> Task:
        """Find the image and put a link to it, or its centre, where the program may write."""
        microscope, files = require_microscope(unit), self.files(unit)
        is_spectrum = self._wanted.spectra and bool(unit.spectrum) and self._program.kind != "gctf"
        name = (
            unit.spectrum
            if is_spectrum
            else source_of(unit, needs_unweighted=self._wanted.needs_unweighted)
        )
        source = self.run.project / name
        header = read_header(source)
        pixel_size_A = header.pixel_size_A if is_spectrum else microscope.pixel_size_A
        if not pixel_size_A > 0:
            raise FormatError(f"{source}: the header tells no pixel size")
        files.make_folder()
        link = self.run.project / f"{files.stem}.mrc"
        link.unlink(missing_ok=True)
        if self._wanted.window_px > 0 and not is_spectrum:
            square = read_micrograph(source, pixel_size_A, self._wanted.window_px)
            write_mrc(link, square.data, pixel_size_A)
        else:
            link.symlink_to(os.path.relpath(source.absolute(), link.parent))
        box = header.shape[-1] if is_spectrum else self._wanted.box_px
        return Task(link, source, pixel_size_A, box, is_spectrum, microscope)

    def compute(
        self, units: Sequence[Micrograph], loaded: Sequence[Task], device: torch.device
    ) -> list[Estimate]:
        """Run the program on each micrograph and read its answer."""
        return [self._estimate(unit, task) for unit, task in zip(units, loaded, strict=True)]

    def save(self, unit: Micrograph, computed: Estimate) -> tuple[Micrograph, Estimate]:
        """Write the result; the program has written everything else."""
        self.files(unit).finish(computed)
        return unit, computed

    def _estimate(self, unit: Micrograph, task: Task) -> Estimate:
        files, kind = self.files(unit), self._program.kind
        log = self.run.project / f"{files.stem}_{kind}.log"
        command, answers = self._call(task, self.run.project / files.picture)
        try:
            _execute(command, answers, log, self.run.project, self.run.check_abort)
        finally:
            task.link.unlink(missing_ok=True)
        if kind == "gctf":
            numbers = gctf_answer(log, task.link.with_name(f"{task.link.stem}_gctf.log"))
        else:
            numbers = ctffind_answer(log, self.run.project)
        curves = read_curves(files.curves)
        phase = numbers.phase_shift_deg if self._wanted.search.fits_phase else None
        return Estimate(
            files.picture,
            numbers.defocus_u_A,
            numbers.defocus_v_A,
            numbers.angle_deg,
            numbers.figure_of_merit,
            numbers.resolution_A,
            phase,
            0.0 if curves is None else ice_ring_density(curves),
        )

    def _call(self, task: Task, picture: Path) -> tuple[list[str], str]:
        """Return the command and what it reads from standard input."""
        if self._program.kind == "gctf":
            return gctf_command(self._program, task, self._wanted), ""
        words = [self._program.path]
        if self._program.kind != "ctffind4-old":
            old_school = "" if self._program.kind == "ctffind5" else "-ctffind4"
            words += ["--omp-num-threads", str(max(1, self.run.n_threads))]
            words.append(f"--old-school-input{old_school}")
        if task.is_spectrum:
            words.append("--amplitude-spectrum-input")
        lines = questions(self._program.kind, task, picture, self._wanted)
        return words, "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Answer:
    """What a program printed of one micrograph."""

    defocus_u_A: float
    defocus_v_A: float
    angle_deg: float
    figure_of_merit: float
    resolution_A: float
    phase_shift_deg: float = 0.0


def questions(kind: Kind, task: Task, picture: Path, wanted: Wanted) -> list[str]:
    """Return the answers to the questions of CTFFIND, in the order of its version."""
    search, microscope = wanted.search, task.microscope
    lines = [
        str(task.link),
        str(picture),
        f"{task.pixel_size_A:g}",
        f"{microscope.voltage_kV:g}",
        f"{microscope.cs_mm:g}",
        f"{microscope.amplitude_contrast:g}",
        str(task.box_px),
        f"{wanted.coarsest_A:g}",
        f"{wanted.finest_A:g}",
        f"{search.min_defocus_A:g}",
        f"{search.max_defocus_A:g}",
        f"{search.step_A:g}",
        "no",  # no astigmatism is known
        "yes" if search.exhaustive else "no",
        "yes",  # astigmatism is restrained
        f"{search.astigmatism_A:g}",
    ]
    if search.fits_phase:
        lines += ["yes", *(f"{math.radians(one):g}" for one in search.phase_shifts_deg)]
    else:
        lines.append("no")
    if kind != "ctffind4-old":
        lines.append("no")  # the tilt is not determined
    if kind == "ctffind5":
        lines.append("no")  # nor is the thickness of the sample
    return [*lines, "no"]  # no options for experts


def gctf_command(program: Program, task: Task, wanted: Wanted) -> list[str]:
    """Return the command line of Gctf."""
    search, microscope = wanted.search, task.microscope
    flags: dict[str, object] = {
        "--apix": f"{task.pixel_size_A:g}",
        "--kv": f"{microscope.voltage_kV:g}",
        "--cs": f"{microscope.cs_mm:g}",
        "--ac": f"{microscope.amplitude_contrast:g}",
        "--boxsize": task.box_px,
        "--resL": f"{wanted.coarsest_A:g}",
        "--resH": f"{wanted.finest_A:g}",
        "--defL": f"{search.min_defocus_A:g}",
        "--defH": f"{search.max_defocus_A:g}",
        "--defS": f"{search.step_A:g}",
        "--astm": f"{search.astigmatism_A:g}",
        "--logsuffix": "_gctf.log",
        "--ctfstar": "NONE",
    }
    if search.fits_phase:
        low, high, step = search.phase_shifts_deg
        flags |= {"--phase_shift_L": low, "--phase_shift_H": high, "--phase_shift_S": step}
    if program.gpu_ids:
        flags["--gid"] = program.gpu_ids.split(":")[0]
    words = [word for flag, value in flags.items() for word in (flag, str(value))]
    return [program.path, *words, *shlex.split(program.extra_words), str(task.link)]


def ctffind_answer(log: Path, project: Path) -> Answer:
    """Read the summary that a log of CTFFIND points to.

    Raises
    ------
    ComputeError
        The log names no summary, or there are no numbers in it.
    """
    text = log.read_text(errors="replace")
    match = re.search(r"Summary of results\s*:\s*(\S.*)", text)
    if match is None:
        raise ComputeError(f"{log}: CTFFIND told of no summary of results. Its end: {_tail(text)}")
    summary = project / match.group(1).strip()
    try:
        lines = iter(summary.read_text(errors="replace").splitlines())
    except OSError as error:
        raise ComputeError(f"{log}: its summary {summary} cannot be read ({error})") from error
    numbers = _after_columns(lines)
    if len(numbers) < 7:
        raise ComputeError(f"{summary}: wanted 7 numbers below “Columns:”, found {len(numbers)}")
    u, v, angle, phase, correlation, resolution = numbers[1:7]
    return _answer(u, v, angle, correlation, resolution, math.degrees(phase))


def gctf_answer(log: Path, own_log: Path) -> Answer:
    """Read the line of final values that Gctf wrote to its log, or to standard output.

    Raises
    ------
    ComputeError
        There is no such line.
    """
    for path in (own_log, log):
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        for line in text.splitlines():
            words = line.split()
            if words[-2:] == ["Final", "Values"] and len(words) in (6, 7):
                numbers = [_number(word) for word in words[:-2]]
                u, v, angle = numbers[:3]
                phase = numbers[3] if len(words) == 7 else 0.0
                limit = re.search(r"RES_LIMIT\s+([\d.]+)", text)
                resolution = float(limit.group(1)) if limit else math.inf
                return _answer(u, v, angle, numbers[-1], resolution, phase)
    raise ComputeError(f"{log}: Gctf printed no “Final Values”. Its end: {_tail(log.read_text())}")


def _answer(
    u: float, v: float, angle: float, correlation: float, resolution: float, phase: float
) -> Answer:
    """Put U before V, the angle above -90 to 90, and numbers that are none out of the way."""
    if not (math.isfinite(u) and math.isfinite(v)):
        raise ComputeError(f"the program found a defocus of {u} and {v}")
    if u < v:
        u, v, angle = v, u, angle + 90
    angle = 90 - (90 - angle) % 180
    correlation = correlation if math.isfinite(correlation) else 0.0
    return Answer(u, v, angle, correlation, resolution if resolution > 0 else math.inf, phase)


def _after_columns(lines: Iterator[str]) -> list[float]:
    for line in lines:
        if "Columns:" in line:
            break
    for line in lines:
        if line.strip() and not line.startswith("#"):
            return [_number(word) for word in line.split()]
    return []


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _execute(
    command: Sequence[str], answers: str, log: Path, folder: Path, check_abort: Callable[[], None]
) -> None:
    """Run a command with its output in a file; end it where the job is stopped."""
    try:
        with log.open("w") as stream:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
    except FileNotFoundError as error:
        raise EnvironmentMissing(
            f"{command[0]}: there is no such program. Give the path of the executable, or leave "
            "“CTFFIND program” empty for the built-in estimation."
        ) from error
    except PermissionError as error:
        raise EnvironmentMissing(f"{command[0]}: it may not be executed ({error}).") from error
    try:
        assert process.stdin is not None
        try:
            process.stdin.write(answers)
            process.stdin.close()
        except BrokenPipeError:  # it ended without reading them: its exit code tells
            pass
        while process.poll() is None:
            check_abort()
            time.sleep(_LOOK_EVERY_S)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if process.returncode != 0:
        text = log.read_text(errors="replace")
        hint = ""
        if re.search(r"unknown.*option", text, re.IGNORECASE):
            hint = " An early CTFFIND 4.1 takes no such flags: add --ctffind_version 4-old."
        raise ComputeError(
            f"{Path(command[0]).name} ended with code {process.returncode}; see {log}.{hint} Its "
            f"end: {_tail(text)}"
        )


def _tail(text: str) -> str:
    return " ".join(text[-_TAIL:].split()) or "nothing was printed"
