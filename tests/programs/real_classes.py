"""A real 2D classification of RELION 5 as a job of a project."""

from __future__ import annotations

from pathlib import Path

OPTIMISER = "Class2D/job002/run_it025_optimiser.star"


def put(project: Path, data: Path) -> None:
    """Copy the classification of the beta-galactosidase particles, its paths changed."""
    folder = project / "Class2D/job002"
    folder.mkdir(parents=True)
    for path in (data / "relion5_runs/class2d_em").glob("run_it025_*"):
        content = path.read_bytes()
        if path.suffix == ".star":
            content = content.replace(b"c2em/", b"Class2D/job002/")
        (folder / path.name).write_bytes(content)
