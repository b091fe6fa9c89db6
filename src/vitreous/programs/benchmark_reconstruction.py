"""How fast maps are made from particles, and particles from a map, per image and at the start.

Each program runs as its user runs it, with few and with many images, alternately, and its least
times count. The difference is the time per image; what remains of the short run, less the time
that ``--help`` takes, is the fixed cost. All cores are given to every program that can use them.
Wall time depends on what else the machine does; the seconds of processor time beside it hardly do.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.engine import fourier, geometry
from vitreous.errors import ComputeError, EnvironmentMissing
from vitreous.io import Star, Table, read_volume, write_star, write_volume

BOXES = ((64, 1000, 20000), (128, 250, 6000), (256, 60, 5000))  # box, few images, many images
REPEATS = 3
PIXEL_A = 1.5


def run(
    against: str | None = None, boxes: Sequence[tuple[int, int, int]] = BOXES
) -> dict[str, Any]:
    """Measure; with ``against="relion"`` also RELION on the same files, in alternation."""
    if against and shutil.which("relion_reconstruct") is None:
        message = "RELION is not installed (apt-get install relion)"
        raise EnvironmentMissing(message)
    rows: list[dict[str, Any]] = []
    for box, few, many in boxes:
        with tempfile.TemporaryDirectory(prefix="vitreous-benchmark-") as folder:
            rows += _measure(Path(folder), box, few, many, against)
    return {"unit": "ms per image; s of fixed cost", "rows": rows}


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Return the result as a table."""
    yield (
        "work         box  program    ms/image  ratio  fixed s  start s  "
        "core ms/image  core fixed s  least FSC"
    )
    for row in result["rows"]:
        yield (
            f"{row['work']:11} {row['box']:4}  {row['program']:9} {row['ms_per_image']:9.3f}"
            f" {row.get('ratio', 1):6.1f} {row['fixed_s']:8.2f} {row['start_s']:8.2f}"
            f" {row['core_ms_per_image']:14.3f} {row['core_fixed_s']:13.2f}"
            f"  {row.get('least_fsc', '')}"
        )


def _measure(
    folder: Path, box: int, few: int, many: int, against: str | None
) -> Iterator[dict[str, Any]]:
    _write_truth(folder, box, many)
    subprocess.run(_project("vitreous", "images"), cwd=folder, check=True, capture_output=True)
    star = (folder / "images.star").read_text().splitlines(keepends=True)
    rows = [i for i, line in enumerate(star) if "@images.mrcs" in line]
    (folder / "images-few.star").write_text("".join(star[: rows[few]]) + "\n")
    (folder / "images-many.star").write_text("".join(star))
    programs = ["vitreous", *([against] if against else [])]
    for work, command in (("reconstruct", _reconstruct), ("project", _project_star)):
        times: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(REPEATS):
            for program in programs:
                runs = {amount: command(program, amount) for amount in ("few", "many")}
                for amount, line in ({"help": [*_tool(program, work), "--help"]} | runs).items():
                    times.setdefault((program, amount), []).append(_seconds(line, folder))
        table = [_row(times, program, few, many) for program in programs]
        for row, program in zip(table, programs, strict=True):
            row |= {"work": work, "box": box, "command": " ".join(command(program, "many"))}
        if against:
            table[1]["ratio"] = table[1]["ms_per_image"] / table[0]["ms_per_image"]
            if work == "reconstruct":
                table[1]["least_fsc"] = _least_fsc(folder, box)
        yield from table


def _row(
    times: dict[tuple[str, str], list[tuple[float, float]]], program: str, few: int, many: int
) -> dict[str, Any]:
    """Split least times into the part of each image and the rest, wall and processor."""
    row: dict[str, Any] = {"program": program}
    for kind, name in enumerate(("", "core_")):
        start, short, long = (
            min(spent[kind] for spent in times[program, amount])
            for amount in ("help", "few", "many")
        )
        slope = (long - short) / (many - few)
        row[f"{name}ms_per_image"] = 1e3 * slope
        row[f"{name}start_s"] = start
        row[f"{name}fixed_s"] = short - few * slope - start
    row["seconds"] = {amount: times[program, amount] for amount in ("help", "few", "many")}
    return row


def _seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return its wall time and the processor time of all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode and "--help" not in command:
        message = f"{' '.join(command)} failed: {done.stderr[-500:]}"
        raise ComputeError(message)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _tool(program: str, tool: str) -> list[str]:
    if program == "vitreous":
        return [sys.executable, "-P", "-m", f"vitreous.programs.{tool}"]
    ranks = len(os.sched_getaffinity(0))
    if tool == "reconstruct" and ranks > 1 and shutil.which("relion_reconstruct_mpi"):
        # The first rank only collects, so that all cores work with one rank more.
        launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)]
        return [*launcher, "relion_reconstruct_mpi"]
    return [f"relion_{tool}"]


def _reconstruct(program: str, amount: str) -> list[str]:
    flags = ["--i", f"images-{amount}.star", "--o", f"{program}-{amount}.mrc", "--ctf"]
    return [*_tool(program, "reconstruct"), *flags, "--skip_gridding"]


def _project_star(program: str, amount: str) -> list[str]:
    flags = ["--i", "truth.mrc", "--o", f"{program}-{amount}", "--ang", f"images-{amount}.star"]
    return [*_tool(program, "project"), *flags, "--ctf"]


def _project(program: str, root: str) -> list[str]:
    flags = ["--i", "truth.mrc", "--o", root, "--ang", "poses.star", "--ctf"]
    return [*_tool(program, "project"), *flags, "--add_noise", "--white_noise", "1"]


def _write_truth(folder: Path, box: int, n: int) -> None:
    """Write a map with power at all frequencies, and poses with CTFs."""
    generator = torch.Generator().manual_seed(0)
    noise = fourier.forward(torch.randn(box, box, box, generator=generator), 3)
    shells = fourier.shell_index(box, 3).to(torch.float32)
    volume = fourier.inverse(noise * torch.exp(-shells / (0.2 * box)), 3, box)
    axis = torch.arange(box) - box // 2
    radius2 = axis**2 + axis[:, None] ** 2 + axis[:, None, None] ** 2
    volume = volume * torch.exp(-radius2 / (2 * (0.18 * box) ** 2))
    write_volume(folder / "truth.mrc", (volume / volume.std() / box).numpy(), PIXEL_A)
    angles = geometry.euler_from_matrix(geometry.random_rotations(n, generator, torch.float64))
    rng = np.random.default_rng(1)
    optics = {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnImagePixelSize": [PIXEL_A],
        "rlnImageSize": [box],
        "rlnImageDimensionality": [2],
    }
    particles = {
        "rlnOpticsGroup": np.ones(n, np.int64),
        "rlnAngleRot": angles[:, 0].numpy(),
        "rlnAngleTilt": angles[:, 1].numpy(),
        "rlnAnglePsi": angles[:, 2].numpy(),
        "rlnOriginXAngst": rng.normal(0, 3, n),
        "rlnOriginYAngst": rng.normal(0, 3, n),
        "rlnDefocusU": rng.uniform(8000, 20000, n),
        "rlnDefocusV": rng.uniform(8000, 20000, n),
        "rlnDefocusAngle": rng.uniform(0, 180, n),
    }
    tables = [Table.from_columns("optics", optics), Table.from_columns("particles", particles)]
    write_star(folder / "poses.star", Star(tables))


def _least_fsc(folder: Path, box: int) -> float:
    """Return the least correlation, to 0.9 Nyquist, of the two programs' maps."""
    a, b = (
        fourier.forward(torch.from_numpy(read_volume(folder / f"{p}-many.mrc").data.copy()), 3)
        for p in ("vitreous", "relion")
    )
    power = fourier.shell_sum(a.abs() ** 2, 3) * fourier.shell_sum(b.abs() ** 2, 3)
    fsc = fourier.shell_sum((a * b.conj()).real, 3) / power.sqrt()
    return round(float(fsc[1 : int(0.9 * box / 2) + 1].min()), 6)
