"""Kill a tiny demonstration at random moments; what it ends with must be as without the kills.

``python -m tools.kill_demo FOLDER --kills 30`` runs the demonstration undisturbed, then again while
random processes (of a job, of the browser's server, of the shell's command) get SIGKILL. After
each kill only that is done which a user would do: the same command again. Nothing is repaired by
hand. The two projects are compared at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous import Project
from vitreous.engine import geometry, symmetry
from vitreous.io import Table, read_star
from vitreous.running import process_table, record
from vitreous.testing.truth import ORIGINS, matrices

VITREOUS = [sys.executable, "-P", "-m", "vitreous"]
KINDS = ("job", "job", "browser", "shell")
POINT_GROUP = "D2"


@dataclass
class Kill:
    """One kill: when, what kind of process, and which jobs were running."""

    after_s: float
    kind: str
    process: str
    running: list[str]


@dataclass
class Run:
    """A demonstration with its shell and its browser's server.

    Parameters
    ----------
    folder
        The project.
    rng
        Decides when and whom to kill.
    mean_s
        Mean time between two kills.
    per_job
        Most kills while the same job runs, so that all jobs get some.
    """

    folder: Path
    rng: random.Random
    mean_s: float
    per_job: int = 4
    kills: list[Kill] = field(default_factory=list)
    commands: int = 0
    shell: subprocess.Popen[bytes] | None = None
    browser: subprocess.Popen[bytes] | None = None

    def until_done(self, at_most: int, patience_s: float = 3600) -> None:
        """Run the demonstration to its end with so many kills at the most."""
        began = time.monotonic()
        next_kill = began + 2 + self._pause()
        try:
            while True:
                self._keep_up()
                assert self.shell is not None
                if self.shell.poll() == 0:
                    return
                now = time.monotonic()
                if now - began > patience_s:
                    raise TimeoutError(f"{self.folder} is not done after {patience_s:g} s")
                if now >= next_kill and len(self.kills) < at_most:
                    self._kill(now - began)
                    next_kill = time.monotonic() + self._pause()
                time.sleep(0.05)
        finally:
            self._stop()

    def _pause(self) -> float:
        return self.rng.uniform(0.1, 2 * self.mean_s)

    def _keep_up(self) -> None:
        """Do what a user does: start again what is not there."""
        if self.shell is None or self.shell.poll() not in (None, 0):
            self.shell = self._start("demo", str(self.folder), "--size", "tiny", log="shell.log")
            self.commands += 1
        is_project = (self.folder / "default_pipeline.star").exists()
        if is_project and (self.browser is None or self.browser.poll() is not None):
            self.browser = self._start(
                "gui", "--project", str(self.folder), "--no-browser", log="browser.log"
            )

    def _start(self, *words: str, log: str) -> subprocess.Popen[bytes]:
        with self.folder.with_suffix(f".{log}").open("ab") as out:
            return subprocess.Popen(
                [*VITREOUS, *words], stdout=out, stderr=out, start_new_session=True
            )

    def _kill(self, after_s: float) -> None:
        jobs = _running(self.folder)
        if sum(one.running == sorted(jobs) for one in self.kills) >= self.per_job:
            return
        kind = self.rng.choice(KINDS)
        pids = {
            "job": [pid for job in jobs for pid in jobs[job]],
            "browser": [self.browser.pid] if self.browser else [],
            "shell": [self.shell.pid] if self.shell else [],
        }[kind]
        if not pids:
            return
        victim = self.rng.choice(pids)
        what = _command(victim)
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills.append(Kill(round(after_s, 2), kind, what, sorted(jobs)))

    def _stop(self) -> None:
        for one in (self.shell, self.browser):
            if one is not None and one.poll() is None:
                one.terminate()
                one.wait(30)


def _running(folder: Path) -> dict[str, list[int]]:
    """Return the processes of each running job."""
    found = {}
    for path in folder.glob("*/job*/process.json"):
        known = record.read_process(path.parent)
        if known is None or known.is_over or not known.pid:
            continue
        if process_table.is_alive(known.pid, known.start_ticks):
            job = path.parent.relative_to(folder).as_posix()
            found[job] = [known.pid, *process_table.descendants(known.pid)]
    return found


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return " ".join(word.decode(errors="replace") for word in words[1:6]).strip()


def compared(reference: Path, disturbed: Path) -> dict[str, Any]:
    """Return how the end of a disturbed demonstration differs from that of an undisturbed one."""
    ours, theirs = Project(disturbed, read_only=True), Project(reference, read_only=True)
    first, second = (_particles(one) for one in (theirs, ours))
    same = _names(first) == _names(second)
    degrees, distances_A = _pose_differences(first, second) if same else (np.ones(1), np.ones(1))
    curves = [_fsc(one) for one in (theirs, ours)]
    near = (degrees <= 0.5) & (distances_A <= 0.5)
    return {
        "jobs": [job.name for job in theirs.jobs] == [job.name for job in ours.jobs],
        "all_succeeded": all(job.status == "Succeeded" for job in ours.jobs),
        "same_particles": same,
        "particles": len(first),
        "poses_alike_percent": round(100 * float(near.mean()), 2),
        "largest_fsc_difference": round(float(np.abs(curves[0] - curves[1]).max()), 5),
    }


def is_equal(found: dict[str, Any]) -> bool:
    """Tell whether the two ends count as equal."""
    return bool(
        found["jobs"]
        and found["all_succeeded"]
        and found["same_particles"]
        and found["poses_alike_percent"] >= 99
        and found["largest_fsc_difference"] <= 0.01
    )


def _particles(project: Project) -> Table:
    return read_star(project.job("refined").outputs["particles"])["particles"]


def _names(particles: Table) -> list[str]:
    return [str(name) for name in particles["rlnImageName"].tolist()]


def _pose_differences(first: Table, second: Table) -> tuple[Any, Any]:
    own, other = matrices(first), matrices(second)
    mates = [own @ mate for mate in symmetry.rotations(POINT_GROUP)]
    degrees = torch.stack([geometry.rotation_distance_deg(mate, other) for mate in mates])
    shifts = [np.stack([one[label] for label in ORIGINS], 1).astype(float)
              for one in (first, second)]  # fmt: skip
    return degrees.min(0).values.numpy(), np.linalg.norm(shifts[0] - shifts[1], axis=1)


def _fsc(project: Project) -> Any:  # noqa: ANN401 - an array of a table
    star = read_star(project.job("sharpened").path / "postprocess.star")
    return np.asarray(star["fsc"]["rlnFourierShellCorrelationCorrected"], float)


def main() -> int:
    """Run, kill, compare, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, help="where the demonstrations run")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--mean", type=float, default=4.0, help="seconds between kills, on average")
    parser.add_argument("--per-job", type=int, default=4, help="most kills while one job runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--o", type=Path, help="JSON file for the record")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    reference = options.folder / "undisturbed"
    subprocess.run([*VITREOUS, "demo", str(reference), "--size", "tiny"], check=True)
    rng = random.Random(options.seed)
    runs: list[dict[str, Any]] = []
    left = options.kills
    while left > 0:
        run = Run(_new_folder(options.folder), rng, options.mean, options.per_job)
        run.until_done(left)
        left -= len(run.kills)
        found = compared(reference, run.folder)
        runs.append({
            "kills": [asdict(one) for one in run.kills],
            "commands": run.commands,
            **found,
            "equal": is_equal(found),
        })  # fmt: skip
        print(f"{run.folder}: {len(run.kills)} kills, {run.commands} times started: {found}")
        result = _result(runs)
        if options.o:
            options.o.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if all(run["equal"] for run in runs) else 1


def _result(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of the runs so far."""
    return {
        "benchmark": "kills",
        "command": " ".join(["python -m tools.kill_demo", *sys.argv[1:]]),
        "kills": sum(len(run["kills"]) for run in runs),
        "equal": all(run["equal"] for run in runs),
        "runs": runs,
    }


def _new_folder(parent: Path) -> Path:
    """Return the first of disturbed1, disturbed2, ... that is not there."""
    number = 1
    while (parent / f"disturbed{number}").exists():
        number += 1
    return parent / f"disturbed{number}"


if __name__ == "__main__":
    raise SystemExit(main())
