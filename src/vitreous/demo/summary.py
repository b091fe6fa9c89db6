"""What the demonstration found, beside the truth and beside the time that it was given."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitreous.actions.job import Job
from vitreous.actions.project import Project
from vitreous.demo.workflow import DIAMETER_A, POINT_GROUP, Size
from vitreous.errors import ComputeError
from vitreous.io.atomic import write_text
from vitreous.running import record

FILE = "demo.json"
_TRUTH = "truth.json"


@dataclass(frozen=True)
class Spent:
    """What one job took.

    Parameters
    ----------
    job, alias
        Its folder and its name.
    seconds, processor_s
        Of its last run: from start to end, and of all its processes together.
    share_s
        What it may take on two cores that do nothing else.
    peak_MiB
        Most memory that one of its processes held.
    """

    job: str
    alias: str
    seconds: float
    processor_s: float
    share_s: int
    peak_MiB: float


def spent(jobs: Mapping[str, Job], size: Size) -> list[Spent]:
    """Return what each job took, in the order of the steps."""
    rows = []
    for alias, job in jobs.items():
        known = record.read_process(job.path)
        if known is None:
            continue
        seconds = record.age_s(known.started) - record.age_s(known.ended)
        rows.append(
            Spent(
                job.name, alias, round(seconds, 1), known.processor_s, size.shares_s[alias],
                known.peak_memory_MiB,
            )
        )  # fmt: skip
    return rows


def compared(project: Project, jobs: Mapping[str, Job]) -> dict[str, Any]:
    """Return how far the results are from the truth, measured by a program of its own.

    What was measured of the same jobs before is not measured again.
    """
    kept = project.root / _TRUTH
    words = [
        "--truth", f"{jobs['microscope'].name}truth", "--motion", jobs["aligned"].name,
        "--ctf", str(jobs["ctf"].outputs["micrographs"]),
        "--picks", str(jobs["picks"].outputs["coordinates"]),
        "--map", str(jobs["refined"].outputs["map"]), "--mask", str(jobs["mask"].outputs["mask"]),
        "--diameter", str(DIAMETER_A), "--sym", POINT_GROUP,
    ]  # fmt: skip
    newest = max(job.path.joinpath(record.PROCESS).stat().st_mtime for job in jobs.values())
    if kept.exists() and kept.stat().st_mtime > newest:
        return dict(json.loads(kept.read_text()))
    command = [sys.executable, "-P", "-m", "vitreous.programs.simulation_truth", *words]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ComputeError(f"the comparison with the truth failed: {done.stderr.strip()[-500:]}")
    write_text(kept, done.stdout)
    return dict(json.loads(done.stdout))


def write(root: Path, name: str, rows: list[Spent], found: Mapping[str, Any]) -> None:
    """Keep the summary as JSON in the project."""
    what = {"size": name, **found, "jobs": [asdict(row) for row in rows]}
    write_text(root / FILE, json.dumps(what, indent=1) + "\n")


def findings(jobs: Mapping[str, Job], truth: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was found, and what is true of it, by name."""
    post, classes, chosen = (jobs[alias].results for alias in ("sharpened", "classes", "good"))
    return {
        "resolution_A": post["resolution"],
        "bfactor_A2": post.get("bfactor"),
        "class_average_A": classes["best_resolution"],
        "particles_kept": chosen["selected"],
        **truth,
    }


def sentences(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is told at the end: a heading and a sentence."""
    yield "Resolution", f"{found['resolution_A']:.1f} Å (two half-maps, FSC 0.143, in the mask)"
    against = found["resolution_against_truth_A"]
    yield "Against the truth", f"{against:.1f} Å (FSC 0.5 with the molecule that was simulated)"
    yield (
        "Picking",
        f"recall {found['recall']:.0%}, precision {found['precision']:.0%} "
        f"({found['picks']:,} picks, {found['particles']:,} particles away from the edges)",
    )
    yield "Motion", f"{found['motion_error_A']:.2f} Å off, over field and frames"
    yield (
        "Defocus",
        f"{found['defocus_error_A']:.0f} Å off on average, "
        f"{found['largest_defocus_error_A']:.0f} Å at most",
    )
    yield "2D classes", f"best at {found['class_average_A']:.0f} Å"
    yield "Particles kept", f"{found['particles_kept']:,.0f}, in the classes that the ranker chose"
