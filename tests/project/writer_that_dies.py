"""Helper of test_nothing_lost: forks writers that add and finish jobs until they are killed.

Run as a script, because killing wants a process of its own that has loaded everything once.
Prints one line: kills, jobs acknowledged, stale locks removed, and the first violation.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from vitreous.errors import LockedError
from vitreous.project.folder import ProjectFolder
from vitreous.project.lock import LockPolicy, break_stale_lock
from vitreous.project.node_types import PARTICLES
from vitreous.project.pipeline import Status
from vitreous.project.pipeline_file import read_pipeline

POLICY = LockPolicy(timeout_s=5, retry_s=0.002, nameless_s=0.05)


def write_until_killed(root: Path, acknowledged: int) -> None:
    """Add jobs and finish them; say so only when the change is on disk."""
    folder = ProjectFolder(root, policy=POLICY)
    while True:
        with folder.edit("adding") as pipeline:
            job = pipeline.add_process("Select", "relion.select", Status.RUNNING)
            pipeline.add_output(job.name, f"{job.name}particles.star", PARTICLES)
        with folder.edit("finishing") as pipeline:
            pipeline.set_status(job.name, Status.SUCCEEDED)
        os.write(acknowledged, f"{job.name}\n".encode())


def unlock(root: Path) -> int:
    """Remove what a killed writer left; a lock that it had not signed yet goes by its age."""
    if not (root / ".relion_lock").exists():
        return 0
    while True:
        try:
            return int(break_stale_lock(root) is not None)
        except LockedError:
            os.utime(root / ".relion_lock", (0, 0))


def check(root: Path, finished: set[str]) -> str | None:
    """Return what is wrong with the file, None where it is whole and complete."""
    pipeline = read_pipeline(root / "default_pipeline.star")
    if pipeline.problems:
        return str(pipeline.problems)
    lost = [n for n in finished if n not in pipeline.processes]
    wrong = [n for n in finished - set(lost) if pipeline.processes[n].status != "Succeeded"]
    return f"lost {lost}, not finished {wrong}" if lost or wrong else None


def main(root: Path, kills: int) -> None:
    """Kill `kills` writers at random moments and check the file after each."""
    ProjectFolder.create(root)
    finished: set[str] = set()
    locks = 0
    chance = random.Random(1)
    for _ in range(kills):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            write_until_killed(root, writing)
        os.close(writing)
        time.sleep(chance.uniform(0.0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reading) as stream:
            finished |= set(stream.read().split())
        locks += unlock(root)
        wrong = check(root, finished)
        if wrong:
            break
    told = {"kills": kills, "finished": len(finished), "locks": locks, "wrong": wrong}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
