"""A small project with every state a page can show: simulated data, real jobs.

``python tools/sample_project.py FOLDER`` takes a few minutes on two cores. The screenshots of the
documentation are made of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from vitreous import Project

BROKEN = """#!/bin/sh
echo "Reading the gain reference"
echo "gain.mrc has 3838 x 3710 pixels, the movies have 4096 x 4096: another detector?" >&2
exit 3
"""
TALKER = """#!/bin/sh
# Stands for a program that goes on for an hour.
i=0
while [ $i -lt 3600 ]; do
  i=$((i + 1)); echo "tomogram $i of 3600"; sleep 1
  [ -e "${2}RELION_JOB_ABORT_NOW" ] && { touch "${2}RELION_JOB_EXIT_ABORTED"; exit 1; }
done
"""


def make(root: Path) -> Project:
    """Make the project; its last job is left running."""
    project = Project.create(root)
    _simulate(root)
    for name, text in (("check_gain.sh", BROKEN), ("denoise.sh", TALKER)):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    _from_micrographs(project)
    refined = _from_particles(project)
    _states(project, refined)
    return project


def _simulate(root: Path) -> None:
    vitreous = [sys.executable, "-m", "vitreous", "simulate"]
    common = ["--angpix", "4", "--random_seed", "3", "--j", "2"]
    size = ["--size", "512", "512", "--particles", "26", "--defocus", "12000", "22000"]
    words = ["micrographs", "--o", "sim", "--n", "6", *size]
    subprocess.run([*vitreous, *words, *common], cwd=root, check=True)
    words = ["particles", "--o", "views", "--n", "300", "--box_size", "64", "--snr", "0.15"]
    subprocess.run([*vitreous, *words, *common], cwd=root, check=True)


def _from_micrographs(project: Project) -> None:
    project.run(
        "import",
        images="sim/Micrographs/*.mrc",
        are_movies=False,
        pixel_size_A=4.0,
        alias="session_1",
    )
    fits: dict[str, Any] = {
        "box_px": 256,
        "max_resolution_A": 9,
        "min_defocus_A": 8000,
        "max_defocus_A": 30000,
    }
    project.run("ctffind", micrographs="Import/job001/micrographs.star", **fits)
    log: dict[str, Any] = {"log_min_diameter_A": 120, "log_max_diameter_A": 190}
    micrographs = "CtfFind/job002/micrographs_ctf.star"
    project.run("autopick", micrographs=micrographs, use_log=True, alias="LoG", **log)
    picks = "AutoPick/job003/autopick.star"
    boxes: dict[str, Any] = {"box_px": 64, "alias": "first_look"}
    project.run("extract", micrographs=micrographs, coordinates=picks, **boxes)
    em: dict[str, Any] = {"use_em": True, "use_vdam": False, "n_iterations_em": 8, "n_classes": 8}
    project.run("class2d", particles="Extract/job004/particles.star", n_threads=2, **em)


def _from_particles(project: Project) -> str:
    kinds: dict[str, Any] = {"import_images": False, "import_other": True}
    stars = "Particles STAR file (.star)"
    project.run("import", other_file="views/particles.star", other_kind=stars, **kinds)
    truth = next(
        path for path in sorted((project.root / "views").rglob("*.mrc")) if "mask" not in path.name
    )
    refined = project.run(
        "refine3d",
        particles="Import/job006/particles.star",
        map=str(truth.relative_to(project.root)),
        initial_low_pass_A=40,
        point_group="D2",
        mask_diameter_A=200,
        n_threads=2,
        alias="consensus_D2",
    )
    mask = project.run("maskcreate", map=f"{refined.name}run_class001.mrc", threshold=0.05)
    halves = f"{refined.name}run_half1_class001_unfil.mrc"
    project.run("postprocess", half_map=halves, mask=f"{mask.name}mask.mrc", alias="sharpened")
    return refined.name


def _picking(project: Project) -> None:
    """Begin to pick by hand, from the automatic picks."""
    automatic = next(job for job in project.jobs if job.name.startswith("AutoPick/"))
    micrographs = str(automatic.options["micrographs"])
    manual = project.run("manualpick", micrographs=micrographs, diameter_A=180)
    for picks in automatic.path.rglob("*_autopick.star"):
        place = manual.path / picks.relative_to(automatic.path)
        place = place.with_name(place.name.replace("_autopick", "_manualpick"))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picks, place)


def _states(project: Project, refined: str) -> None:
    project.run(
        "external", executable="./check_gain.sh", background=True, alias="gain_check"
    ).wait()
    project.run("select", optimiser="Class2D/job005/run_it008_optimiser.star", background=True)
    post: dict[str, Any] = {
        "half_map": f"{refined}run_half1_class001_unfil.mrc",
        "mask": "MaskCreate/job008/mask.mrc",
    }
    built_in: dict[str, Any] = {"use_resmap": False, "built_in": True}
    project.run("localres", schedule=True, alias="locres_D2", **built_in, **post)
    project.note("Class2D/job005", "Views of the D2 molecule are clear; classes 2 and 5 are ice.")
    project.note(None, "Beta-galactosidase, simulated. Wanted: 8 Å or better.")
    _picking(project)
    project.run("external", executable="./denoise.sh", background=True, alias="denoise")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
