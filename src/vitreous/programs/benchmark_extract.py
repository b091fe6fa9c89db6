"""How fast particles are cut out of micrographs, beside RELION and beside the disk.

Both programs run as their users run them, on few and on many micrographs, in alternation. The
difference of the least times is the time per micrograph; the rest is the start. The clock stops
when everything is on the disk (``sync``): vitreous sees to that itself, RELION does not. The disk's
own rate is measured in the same run, with a file as large as the particles.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.errors import ComputeError, EnvironmentMissing
from vitreous.io import Star, Table, read_mrc, write_mrc, write_star

SIDE, PICKS, PIXEL_A = 4096, 300, 1.0
FEW, MANY, REPEATS = 2, 12, 3
# Box, scaled box, whether 16-bit floats are written.
CASES = ((256, 256, False), (256, 128, False), (256, 256, True))


def run(against: str | None = None) -> dict[str, Any]:
    """Measure; with ``against="relion"`` also RELION on the same files, in alternation."""
    if against and shutil.which("relion_preprocess") is None:
        raise EnvironmentMissing("RELION is not installed (apt-get install relion)")
    with tempfile.TemporaryDirectory(prefix="vitreous-benchmark-") as name:
        folder = Path(name)
        _write_micrographs(folder)
        rows = [row for case in CASES for row in _rows(folder, *case, against=against)]
    return {
        "unit": f"ms per micrograph of {SIDE} x {SIDE} pixels with {PICKS} particles",
        "folder": tempfile.gettempdir(),
        "rows": rows,
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Return the result as a table, then the commands."""
    yield result["unit"]
    yield (
        "box  scaled  bits  program     ms/micrograph  ratio  core ms  start s  written MB/s  "
        "disk MB/s  largest difference"
    )
    for row in result["rows"]:
        yield (
            f"{row['box']:3} {row['scaled']:7} {row['bits']:5}  {row['program']:10}"
            f" {row['ms']:14.0f} {row['ratio']:6.2f} {row['core_ms']:8.0f} {row['start_s']:8.1f}"
            f" {row['written_MB_per_s']:13.0f} {row['disk_MB_per_s']:10.0f}"
            f"  {row.get('largest_difference', '')}"
        )
    yield from dict.fromkeys(row["command"] for row in result["rows"])


def _rows(
    folder: Path, box: int, scaled: int, float16: bool, *, against: str | None
) -> list[dict[str, Any]]:
    names = ["vitreous"]
    if against and not float16:  # RELION 3.1 writes single precision only
        names += ["relion"]
        if len(os.sched_getaffinity(0)) > 1 and shutil.which("relion_preprocess_mpi"):
            names += ["relion_mpi"]
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    commands: dict[str, str] = {}
    rates = []
    n_bytes = MANY * PICKS * scaled**2 * (2 if float16 else 4)
    for _ in range(REPEATS):
        rates.append(_disk_rate(folder, n_bytes))
        for name in names:
            for amount in (FEW, MANY):
                words = _prepared(folder, name, amount, box, scaled, float16=float16)
                commands[name] = shlex.join(words)
                times.setdefault((name, amount), []).append(_seconds(words, folder))
    rows = [_row(name, times) for name in names]
    difference = _largest_difference(folder) if len(names) > 1 else None
    for row, name in zip(rows, names, strict=True):
        row |= {"box": box, "scaled": scaled, "bits": 16 if float16 else 32}
        row |= {"ratio": row["ms"] / rows[0]["ms"], "command": commands[name]}
        row |= {"disk_MB_per_s": max(rates) / 1e6}
        row |= {"written_MB_per_s": n_bytes / MANY / row["ms"] / 1e3}
        if name == "relion":
            row["largest_difference"] = difference
    return rows


def _row(name: str, times: dict[tuple[str, int], list[tuple[float, float]]]) -> dict[str, Any]:
    """Split least times into the part of each micrograph and the start."""
    row: dict[str, Any] = {"program": name}
    for kind, label in enumerate(("ms", "core_ms")):
        few, many = (min(spent[kind] for spent in times[name, n]) for n in (FEW, MANY))
        row[label] = 1e3 * (many - few) / (MANY - FEW)
        if label == "ms":
            row["start_s"] = few - FEW * row["ms"] / 1e3
    row["seconds"] = {str(n): times[name, n] for n in (FEW, MANY)}
    return row


def _seconds(words: list[str], folder: Path) -> tuple[float, float]:
    """Run a command until its files are on the disk; return wall and processor time."""
    os.sync()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    os.sync()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise ComputeError(f"{shlex.join(words)} failed: {done.stderr[-500:]}{done.stdout[-500:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _prepared(
    folder: Path, name: str, amount: int, box: int, scaled: int, *, float16: bool
) -> list[str]:
    """Clear what an earlier run left and return the command."""
    if name == "vitreous":
        return _vitreous(folder, amount, box, scaled, float16=float16)
    shutil.rmtree(folder / "relion", ignore_errors=True)
    (folder / "relion").mkdir()
    words = ["relion_preprocess"]
    if name == "relion_mpi":
        ranks = str(len(os.sched_getaffinity(0)))
        launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", ranks]
        words = [*launcher, "relion_preprocess_mpi"]
    words += ["--i", f"micrographs-{amount}.star", "--coord_dir", "Picks/"]
    words += ["--coord_suffix", "_pick.star", "--part_star", "relion/particles.star"]
    words += ["--part_dir", "relion/", "--extract", "--extract_size", str(box), "--norm"]
    words += ["--bg_radius", str(round(0.375 * scaled)), "--white_dust", "-1"]
    words += ["--black_dust", "-1", "--invert_contrast"]
    return words + (["--scale", str(scaled)] if scaled != box else [])


def _vitreous(folder: Path, amount: int, box: int, scaled: int, *, float16: bool) -> list[str]:
    """Make a job and return the command that runs it, as a queue script would."""
    module = [sys.executable, "-P", "-m", "vitreous"]
    if not (folder / "default_pipeline.star").exists():
        _quiet([*module, "init", "."], folder)
    shutil.rmtree(folder / "Extract", ignore_errors=True)
    values = [f"micrographs=micrographs-{amount}.star", "coordinates=Picks/coords_suffix_pick.star"]
    values += [f"box_px={box}", f"write_float16={'Yes' if float16 else 'No'}"]
    if scaled != box:
        values += ["scale_down=Yes", f"scaled_box_px={scaled}"]
    _quiet([*module, "run", "--schedule", "extract", *values], folder)
    (job,) = (folder / "Extract").glob("job*")
    return [*module, "exec", f"Extract/{job.name}/"]


def _quiet(words: list[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ComputeError(f"{shlex.join(words)} failed: {done.stderr[-500:]}")


def _disk_rate(folder: Path, n_bytes: int) -> float:
    """Return how many bytes a second the disk takes."""
    block = np.random.default_rng(0).bytes(1 << 24)
    path = folder / "block"
    start = time.perf_counter()
    with path.open("wb") as stream:
        for _ in range(max(1, n_bytes >> 24)):
            stream.write(block)
        stream.flush()
        os.fsync(stream.fileno())
    seconds = time.perf_counter() - start
    path.unlink()
    return max(1, n_bytes >> 24) * (1 << 24) / seconds


def _largest_difference(folder: Path) -> float:
    """Return the largest difference of any pixel of the two programs' particles."""
    (ours,) = (folder / "Extract").glob("job*")
    found = 0.0
    for stack in sorted((folder / "relion").rglob("*.mrcs")):
        mine = read_mrc(ours / stack.relative_to(folder / "relion"))[0].astype(np.float64)
        found = max(found, float(np.abs(mine - read_mrc(stack)[0].astype(np.float64)).max()))
    return found


def _write_micrographs(folder: Path) -> None:
    """Write two micrographs under many names, with picks: all fit into the memory of the system."""
    for name in ("Micrographs", "Picks/Micrographs"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(1)
    for number in (1, 2):
        image = rng.normal(100, 10, (SIDE, SIDE)).astype(np.float32)
        write_mrc(folder / f"image{number}.mrc", image, PIXEL_A)
    names = []
    for number in range(MANY):
        names.append(f"Micrographs/mic{number:03d}.mrc")
        (folder / names[-1]).symlink_to(folder / f"image{number % 2 + 1}.mrc")
        x, y = rng.uniform(150, SIDE - 150, (2, PICKS))
        merit = np.ones(PICKS)
        picks = {"rlnCoordinateX": x, "rlnCoordinateY": y, "rlnAutopickFigureOfMerit": merit}
        path = folder / f"Picks/Micrographs/mic{number:03d}_pick.star"
        write_star(path, Star([Table.from_columns("", picks)]))
    (folder / "Picks/coords_suffix_pick.star").write_text(f"micrographs-{MANY}.star\n")
    optics = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnMicrographOriginalPixelSize": [PIXEL_A],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnMicrographPixelSize": [PIXEL_A],
    }
    for amount in (FEW, MANY):
        rows = {"rlnMicrographName": names[:amount], "rlnOpticsGroup": [1] * amount}
        rows |= {"rlnDefocusU": [1e4] * amount, "rlnDefocusV": [1e4] * amount}
        rows |= {"rlnDefocusAngle": [0.0] * amount, "rlnCtfFigureOfMerit": [0.1] * amount}
        rows |= {"rlnCtfMaxResolution": [4.0] * amount}
        tables = [Table.from_columns("optics", optics), Table.from_columns("micrographs", rows)]
        write_star(folder / f"micrographs-{amount}.star", Star(tables))
