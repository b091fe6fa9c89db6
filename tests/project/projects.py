"""Small projects for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

from vitreous.project import markers
from vitreous.project import node_types as types
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Form, Status

DONE = Status.SUCCEEDED


def write(root: Path, names: list[str], text: str = "x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def chain(root: Path, form: Form = "5.0") -> ProjectFolder:
    """Import 1 -> MotionCorr 2 -> CtfFind 3 -> Extract 4; Select 5 reads Import only."""
    folder = ProjectFolder.create(root, form)
    steps = [
        ("Import", "relion.import.movies", "movies.star", types.MOVIES, None),
        ("MotionCorr", "relion.motioncorr.own", "m.star", types.MICROGRAPHS, 1),
        ("CtfFind", "relion.ctffind.ctffind4", "ctf.star", types.MICROGRAPHS, 2),
        ("Extract", "relion.extract", "particles.star", types.PARTICLES, 3),
        ("Select", "relion.select.split", "half.star", types.MOVIES, 1),
    ]
    outputs: dict[int, str] = {}
    for number, (type_folder, label, output, node_type, parent) in enumerate(steps, 1):
        with folder.edit("adding") as pipeline:
            job = pipeline.add_process(type_folder, label, Status.RUNNING)
            outputs[number] = job.name + output
            pipeline.add_output(job.name, outputs[number], node_type)
            if parent:
                pipeline.add_input(job.name, outputs[parent], node_type)
        write(root, [outputs[number], f"{job.name}note.txt"], text=f"made by {job.name}\n")
        markers.write_marker(folder.job_dir(job.name), DONE)
        with folder.edit("finishing") as pipeline:
            pipeline.set_status(job.name, DONE)
    return folder


def files(root: Path, *, below: str = "") -> list[str]:
    """Return all files and links below a folder, relative to the project."""
    return sorted(
        str(path.relative_to(root))
        for path in (root / below).rglob("*")
        if path.is_symlink() or path.is_file()
    )
