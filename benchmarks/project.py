"""A project of 2,000 jobs and 20,000 nodes: reading the pipeline, adding a job.

    python -m benchmarks.project [--jobs 2000] [--nodes 20000] [--folder DIR]

Writes benchmarks/results/project.json. `add_job` is all file work of one `edit`: lock, look
at the file, write it with fsync, backup in the job folder, unlock; `fsync` is what the disk takes
for the same bytes alone. Medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from vitreous.io.atomic import write_bytes
from vitreous.project.folder import ProjectFolder
from vitreous.project.node_types import PARTICLES
from vitreous.project.pipeline import Status

RESULTS = Path(__file__).parent / "results" / "project.json"
TARGETS_MS = {"read": 200, "add_job": 50}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=20000)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as root:
        folder = make_project(Path(root), options.jobs, options.nodes)
        result = {"jobs": options.jobs, "nodes": options.nodes, "targets_ms": TARGETS_MS}
        result |= measure(folder, options.repeats)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


def make_project(root: Path, n_jobs: int, n_nodes: int) -> ProjectFolder:
    """Make a project where each job reads two outputs of the one before; the folders exist."""
    folder = ProjectFolder.create(root)
    per_job = n_nodes // n_jobs
    with folder.edit("benchmark") as pipeline:
        last = None
        for number in range(1, n_jobs + 1):
            job = pipeline.add_process("Extract", "relion.extract", Status.SUCCEEDED, number=number)
            for output in range(per_job):
                pipeline.add_output(job.name, f"{job.name}particles_split{output}.star", PARTICLES)
            for output in range(min(2, per_job) if last else 0):
                pipeline.add_input(job.name, f"{last}particles_split{output}.star", PARTICLES)
            last = job.name
            folder.job_dir(job.name).mkdir(parents=True, exist_ok=True)
        pipeline.counter = n_jobs + 1
        pipeline.added.clear()  # no 2,000 backups of the finished project
    return folder


def measure(folder: ProjectFolder, repeats: int) -> dict[str, object]:
    data = folder.file.read_bytes()
    return {
        "file_MB": round(len(data) / 1e6, 2),
        "read": median_ms(lambda: ProjectFolder(folder.root).read(), repeats),
        "read_unchanged": median_ms(folder.read, repeats),
        "add_job": median_ms(lambda: add_job(folder), repeats),
        "add_job_in_a_new_process": median_ms(lambda: add_job(ProjectFolder(folder.root)), repeats),
        "fsync_of_the_same_bytes": median_ms(
            lambda: write_bytes(folder.root / "same_size", data), repeats
        ),
        "load": os.getloadavg()[0],
    }


def add_job(folder: ProjectFolder) -> None:
    with folder.edit("adding a job") as pipeline:
        job = pipeline.add_process("Select", "relion.select", Status.RUNNING)
        pipeline.add_input(job.name, next(iter(pipeline.nodes)), PARTICLES)
        pipeline.add_output(job.name, f"{job.name}particles.star", PARTICLES)


def median_ms(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Return wall and processor time; on a busy machine the second says more."""
    wall, cpu = [], []
    for _ in range(repeats):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - begin_cpu)
    return {
        "wall_ms": round(1000 * statistics.median(wall), 2),
        "best_ms": round(1000 * min(wall), 2),
        "cpu_ms": round(1000 * statistics.median(cpu), 2),
    }


if __name__ == "__main__":
    main()
