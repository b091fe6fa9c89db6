"""How fast half-maps become a sharpened map and a map of local resolution, and in how much memory.

Programs run as their users run them, in alternation, and the medians of their times count: wall
time, and processor time of all their processes, which depends little on what else the machine
does; the worst turn is told too.
Memory is the largest resident set of a process, for vitreous less that of the program with nothing
to do, in copies of the map in single precision. Local resolution is timed for few places and for
more; the difference is the time per place. Every program has one thread, as RELION's has.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vitreous.engine import fourier_volume, masking, sharpening
from vitreous.engine.kernels import shells
from vitreous.engine.local_resolution import Probe
from vitreous.errors import ComputeError, EnvironmentMissing
from vitreous.io import read_star, write_volume

POST_BOXES = (256, 400)
LOCAL_BOX = 256
REPEATS = 3
PIXEL_A = 1.2
_SAMPLING_A = 120.0, 90.0  # few places, and more
_WINDOWS_A = 30.0  # of windows many more are needed to be seen
_SPHERE = "--locres_maskrad 12.5 --locres_edgwidth 25 --locres_randomize_at 10"
_HALF = "half1_class001_unfil.mrc"
_TIMED = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
wall = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
spent = [wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]
print(json.dumps([*spent, done.returncode, (done.stderr or done.stdout)[-500:]]))
"""
_IDLE = "import vitreous.programs.postprocess, vitreous.programs.localres"


class Command(NamedTuple):
    """What is timed, and all that a reader needs to do it again."""

    words: list[str]
    shown: str


def run(
    against: str | None = None,
    post_boxes: Sequence[int] = POST_BOXES,
    local_box: int = LOCAL_BOX,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Measure; with ``against="relion"`` also RELION on the same files, in alternation."""
    if against and shutil.which("relion_postprocess") is None:
        message = "RELION is not installed (apt-get install relion)"
        raise EnvironmentMissing(message)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="vitreous-benchmark-") as folder:
        for box in post_boxes:
            rows += _post(_maps(Path(folder) / f"p{box}", box), box, against, repeats)
        if local_box:
            maps = Path(folder) / f"p{local_box}"
            maps = maps if maps.exists() else _maps(maps, local_box)
            rows += _local(maps, local_box, against)
    return {"unit": "s; copies of the map", "rows": rows}


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Return the result as a table, and the command of each row."""
    yield "work                 box  program     wall s   core s  copies  times faster (wall, core)"
    for row in result["rows"]:
        ratio = row.get("ratio")
        yield (
            f"{row['work']:19} {row['box']:4}  {row['program']:9} {row['wall_s']:9.3f}"
            f" {row['core_s']:8.3f} {row['copies']:7.2f}"
            + (f"  {ratio['wall']:8.1f} {ratio['core']:5.1f}" if ratio else "")
            + (
                f" (worst turn {ratio['core_worst']:.1f})"
                if ratio and "core_worst" in ratio
                else ""
            )
            + (f"  {row['agrees']}" if "agrees" in row else "")
        )
    for row in result["rows"]:
        yield f"$ {row['command']}"


def _maps(folder: Path, box: int) -> Path:
    """Write half-maps of a blurred ball of structure, and a soft mask."""
    folder.mkdir()
    (folder / "theirs").mkdir()
    generator = torch.Generator().manual_seed(0)
    noise = fourier_volume.forward(torch.randn(box, box, box, generator=generator))
    blurred = shells.multiply_(noise, sharpening.b_factor_curve(box, 80.0, PIXEL_A))
    ball = masking.sphere(box, 3, 0.3 * box, 0.05 * box)
    signal = fourier_volume.inverse_(blurred, box) * ball
    signal /= signal.std()
    for number in (1, 2):
        generator = torch.Generator().manual_seed(number)
        half = signal + torch.randn(box, box, box, generator=generator)
        write_volume(folder / _HALF.replace("half1", f"half{number}"), half.numpy(), PIXEL_A)
    mask = masking.sphere(box, 3, 0.33 * box, 0.04 * box)
    write_volume(folder / "mask.mrc", mask.numpy(), PIXEL_A)
    return folder


def _post(folder: Path, box: int, against: str | None, repeats: int) -> list[dict[str, Any]]:
    """Time post-processing: what RELION does, and with our validation of the map as well."""
    kinds: dict[str, Callable[[], Command]] = {
        "vitreous": lambda: _job(folder, "postprocess", "--skip_validation"),
        **({"relion": lambda: _relion("--auto_bfac --autob_lowres 10")} if against else {}),
        "validated": lambda: _job(folder, "postprocess"),
    }
    commands = {}
    idle = _spent(Command([sys.executable, "-c", _IDLE], ""), folder)["memory"]
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for _ in range(repeats):
        for name, make in kinds.items():
            commands[name] = make()
            taken[name].append(_spent(commands[name], folder))
    rows: list[dict[str, Any]] = []
    for name, spent in taken.items():
        row = {
            "work": "post and validation" if name == "validated" else "post-processing",
            "box": box,
            "program": "relion" if name == "relion" else "vitreous",
            "wall_s": statistics.median(one["wall"] for one in spent),
            "core_s": statistics.median(one["core"] for one in spent),
            "copies": (max(one["memory"] for one in spent) - idle * (name != "relion"))
            / (4 * box**3),
            "turns": spent,
            "command": commands[name].shown,
        }
        rows.append(row)
    if against:
        ours, theirs, validated = rows
        for one in (ours, validated):
            _compare(one, theirs)
            pairs = zip(one["turns"], theirs["turns"], strict=True)
            one["ratio"]["core_worst"] = min(b["core"] / a["core"] for a, b in pairs)
        ours["agrees"] = _resolutions(folder)
    return rows


def _local(folder: Path, box: int, against: str | None) -> list[dict[str, Any]]:
    """Time local resolution per place: by windows, by whole maps, and RELION's."""
    rows = []
    idle = _spent(Command([sys.executable, "-c", _IDLE], ""), folder)["memory"]
    programs = ["windows", "whole", *(["relion"] if against else [])]
    for name in programs:
        spent, n_places = [], []
        for sampling in (_SAMPLING_A[0], _WINDOWS_A if name == "windows" else _SAMPLING_A[1]):
            flags = f"--locres_sampling {sampling:g} {_SPHERE}"
            if name == "relion":
                command = _relion(f"--locres --adhoc_bfac -60 {flags}")
            else:
                flags += " --whole_maps" if name == "whole" else ""
                command = _job(folder, "localres", flags)
            spent.append(_spent(command, folder))
            n_places.append(_n_places(box, sampling))
        more = n_places[1] - n_places[0]
        rows.append(
            {
                "work": f"place, {name}" if name != "relion" else "place, whole",
                "box": box,
                "program": "relion" if name == "relion" else "vitreous",
                "wall_s": (spent[1]["wall"] - spent[0]["wall"]) / more,
                "core_s": (spent[1]["core"] - spent[0]["core"]) / more,
                "copies": (spent[1]["memory"] - idle * (name != "relion")) / (4 * box**3),
                "places": n_places,
                "seconds": spent,
                "command": command.shown,
            }
        )
    if against:
        for row in rows[:-1]:
            _compare(row, rows[-1])
    return rows


def _compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    ours["ratio"] = {kind: theirs[f"{kind}_s"] / ours[f"{kind}_s"] for kind in ("wall", "core")}


def _n_places(box: int, sampling_A: float) -> int:
    return len(Probe(int(sampling_A / PIXEL_A + 0.5), int(12.5 / PIXEL_A + 0.5), 1, 1).places(box))


def _job(folder: Path, word: str, flags: str = "") -> Command:
    """Make a job, and return what runs it: the words that local jobs are started with."""
    vitreous = [sys.executable, "-P", "-m", "vitreous"]
    options = [f"half_map={_HALF}", "mask=mask.mrc", f"pixel_size_A={PIXEL_A}"]
    if word == "localres":
        options += ["use_resmap=No", "built_in=Yes", "bfactor_A2=-60"]
    options += [f"other_arguments={flags}"] if flags else []
    steps = [["run", word, "--schedule", *options]]
    if not (folder / "default_pipeline.star").exists():
        steps.insert(0, ["init"])
    for step in steps:
        subprocess.run([*vitreous, *step], cwd=folder, check=True, capture_output=True)
    made = max(folder.glob("*/job*"), key=lambda path: path.name)
    command = [sys.executable, "-P", "-m", "vitreous.running", f"{made.parent.name}/{made.name}/"]
    return Command(command, f"{shlex.join([*vitreous, *steps[-1]])}; {shlex.join(command)}")


def _relion(flags: str) -> Command:
    command = f"relion_postprocess --i {_HALF} --mask mask.mrc --o theirs/post --angpix {PIXEL_A}"
    return Command([*command.split(), *flags.split()], f"{command} {flags}")


def _spent(command: Command, folder: Path) -> dict[str, float]:
    """Run a command; return wall time, processor time and the largest resident set of a process."""
    told = subprocess.run(
        [sys.executable, "-c", _TIMED, *command.words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    wall, core, memory, status, words = json.loads(told.stdout)
    if status:
        message = f"{command.shown} failed: {words}"
        raise ComputeError(message)
    return {"wall": wall, "core": core, "memory": memory}


def _resolutions(folder: Path) -> str:
    """Return what both programs found."""
    ours = min(folder.glob("PostProcess/job*/postprocess.star"))
    found = (read_star(path)["general"] for path in (ours, folder / "theirs/post.star"))
    label, b_factor = "rlnFinalResolution", "rlnBfactorUsedForSharpening"
    return "; ".join(f"{one.value(label):.3f} A, B {one.value(b_factor):.1f} A2" for one in found)
