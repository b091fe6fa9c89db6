"""Class averages of real beta-galactosidase particles, most of whose picks are known to be good.

The set has 1,157 picks of a blob picker on five micrographs of EMPIAR-10204. 684 of them lie on
particles of a published refinement, which took the rest for junk, or lost them: the share of a
class that was refined is a truth of sorts, from below.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tools.class_ranker.simulate import finished

import vitreous
from vitreous.dataset.ranked_classes import read_classes
from vitreous.engine.ranking.features import features
from vitreous.io import Table, read_star, write_star

_CTF = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")


def classify(data: Path, folder: Path, n_threads: int = 1) -> str:
    """Classify all picks in a project of their own; return the optimiser file."""
    if not (folder / "particles.star").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Extract").symlink_to(data / "Extract")
        write_star(folder / "particles.star", _particles(data))
        vitreous.Project.create(folder)
    project = vitreous.Project(folder)
    job = project.run(
        "class2d",
        particles="particles.star",
        n_classes=20,
        use_em=True,
        use_vdam=False,
        n_iterations_em=20,
        mask_diameter_A=200,
        psi_step_deg=8,
        shift_range_px=5,
        shift_step_px=2,
        n_threads=n_threads,
        other_arguments="--random_seed 1",
    )
    return str(finished(job).outputs["optimiser"])


def measure(data: Path, folder: Path, optimiser: str) -> list[dict[str, float]]:
    """Return the features of every class, with its share of refined particles as purity."""
    classes = read_classes(optimiser, folder)
    measured = features(
        classes.averages, classes.pixel_size_A, classes.diameter_A, classes.statistics
    )
    particles = classes.classification.particles
    refined = read_star(data / "particles_consensus.star")["particles"]["rlnImageName"]
    is_refined = np.isin(particles["rlnImageName"].astype(str), refined.astype(str))
    numbers = particles["rlnClassNumber"]
    rows = []
    for number in range(1, len(classes.averages) + 1):
        mine = numbers == number
        purity = float(is_refined[mine].mean()) if mine.any() else 0.0
        values = {name: float(np.float32(column[number - 1])) for name, column in measured.items()}
        row = {"class": number, "n": int(mine.sum()), "purity": round(purity, 4)}
        rows.append({**row, **values})
    return rows


def _particles(data: Path) -> list[Table]:
    """Return all picks, with the defocus of the refined ones; the others get their median."""
    star = read_star(data / "particles_as_extracted.star")
    known = read_star(data / "particles_consensus.star")["particles"]
    rows = star["particles"]
    names, at = (
        rows["rlnImageName"].astype(str),
        {n: i for i, n in enumerate(known["rlnImageName"])},
    )
    partner = np.array([at.get(name, -1) for name in names])
    columns = {label: rows[label].copy() for label in _CTF}
    stacks = np.array([name.partition("@")[2] for name in names])
    for stack in np.unique(stacks):
        mine = stacks == stack
        found = mine & (partner >= 0)
        for label in _CTF:
            columns[label][mine] = np.median(known[label][partner[found]])
            columns[label][found] = known[label][partner[found]]
    return [star["optics"].without("rlnMtfFileName"), rows.with_columns(columns)]
