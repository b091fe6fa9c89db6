"""A large project: `vitreous status` against an empty one, and adding a job.

``python -m benchmarks.status [--jobs N]`` makes a project of 2,000 finished jobs with 20,000
nodes, each job with the files that its folder has, and an empty one; it times `vitreous status`
as a user starts it in both, in turns, and the adding of a job within one process. The result goes
to ``benchmarks/results/status.json``. Asked for: status at most 0.5 s more than on an empty
project, adding a job in less than 0.05 s of file work.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vitreous import Project
from vitreous.actions.planning import Request
from vitreous.running import record
from vitreous.running.record import ProcessRecord

RESULT = Path(__file__).parent / "results" / "status.json"
OUTPUTS = 10
PARTICLES = "ParticleGroupMetadata.star.relion"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    result = measure(options.jobs, options.rounds)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def measure(n_jobs: int, rounds: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        empty = make_project(Path(folder) / "empty", 0)
        large = make_project(Path(folder) / "large", n_jobs)
        command = [sys.executable, "-m", "vitreous", "status", "--project"]
        times: dict[str, list[float]] = {"empty": [], "large": []}
        for _ in range(rounds):
            for name, project in (("empty", empty), ("large", large)):
                times[name].append(timed([*command, str(project.root)]))
        adding = {name: add_jobs(p, rounds) for name, p in (("empty", empty), ("large", large))}
        size = large.folder.file.stat().st_size / 1e6
    middle = {name: statistics.median(seconds) for name, seconds in times.items()}
    return {
        "jobs": n_jobs,
        "nodes": n_jobs * OUTPUTS,
        "pipeline_MB": round(size, 2),
        "command": " ".join([*command, "DIR"]),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "status_s": {name: round(value, 3) for name, value in middle.items()},
        "status_all_s": {name: [round(s, 3) for s in every] for name, every in times.items()},
        "status_more_s": round(middle["large"] - middle["empty"], 3),
        "status_more_wanted_s": 0.5,
        "add_job_s": {
            name: {
                "median": round(statistics.median(found["wall"]), 4),
                "best": round(min(found["wall"]), 4),
                "cpu": round(statistics.median(found["cpu"]), 4),
            }
            for name, found in adding.items()
        },
        "add_job_wanted_s": 0.05,
    }


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def add_jobs(project: Project, rounds: int) -> dict[str, list[float]]:
    """Add scheduled jobs through the same door as everybody and return the seconds of each."""
    wall, cpu = [], []
    project.make(Request("external", {"fn_exe": "/bin/true"}, schedule=True))  # imports
    for _ in range(rounds):
        began, began_cpu = time.perf_counter(), time.process_time()
        project.make(Request("external", {"fn_exe": "/bin/true"}, schedule=True))
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    return {"wall": wall, "cpu": cpu}


def make_project(root: Path, n_jobs: int) -> Project:
    """Make a project whose jobs each read one file of the job before and have ten of their own."""
    project = Project.create(root)
    if not n_jobs:
        return project
    with project.folder.edit("making a large project") as pipeline:
        before = None
        for _ in range(n_jobs):
            process = pipeline.add_process("Class2D", "relion.class2d", "Succeeded")
            if before:
                pipeline.add_input(process.name, f"{before}out0.star", PARTICLES)
            for number in range(OUTPUTS):
                pipeline.add_output(process.name, f"{process.name}out{number}.star", PARTICLES)
            before = process.name
            fill_folder(root / process.name)
        pipeline.added.clear()  # no backups: each would be as large as the whole pipeline
    return project


def fill_folder(folder: Path) -> None:
    """Write what a finished job leaves, as far as the list of jobs looks at it."""
    folder.mkdir(parents=True)
    for number in range(OUTPUTS):
        (folder / f"out{number}.star").touch()
    (folder / "RELION_JOB_EXIT_SUCCESS").touch()
    (folder / "note.txt").touch()
    told = ProcessRecord(state="succeeded", host="here", started=record.now(), ended=record.now())
    (folder / record.PROCESS).write_text(json.dumps(dataclasses.asdict(told)))
    headline = {"name": "resolution", "label": "Resolution", "value": 3.21, "unit": "Å"}
    (folder / record.RESULTS).write_text(json.dumps({"headline": [headline], "warnings": []}))


if __name__ == "__main__":
    main()
