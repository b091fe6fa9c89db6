"""Keep what the accuracies of one iteration were measured from: class3d_coarser, iteration 6.

Usage, after ``make.py WORK class3d_coarser``: ``python make_accuracy.py WORK/class3d_coarser``.
Writes accuracy.star (poses and CTFs of 200 particles, noise spectrum, what RELION found) and
accuracy_class002.mrc (the second reference, float16).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from vitreous.io.mrc import read_volume, write_volume
from vitreous.io.star import Star, read_star, write_star
from vitreous.io.star_table import Table

HERE = Path(__file__).resolve().parent
COLUMNS = "AngleRot AngleTilt AnglePsi DefocusU DefocusV DefocusAngle"
CLASS = 2


def main(folder: Path) -> None:
    """Collect the tables of iterations 5 (what was known) and 6 (what was found)."""
    particles = read_star(folder / "run_it005_data.star")["particles"]
    known = read_star(folder / "run_it005_model.star")
    found = read_star(folder / "run_it006_model.star")
    classes = found["model_classes"]
    chosen = np.sort(np.random.default_rng(0).permutation(len(particles))[:200])
    labels = [f"rln{name}" for name in COLUMNS.split()]
    noise = known["model_group_1"]["rlnSigma2Noise"]
    contribution = found[f"model_class_{CLASS}"]["rlnSpectralOrientabilityContribution"]
    tables = [
        Table.from_columns(
            "general",
            {
                "rlnPixelSize": found["model_general"]["rlnPixelSize"][0],
                "rlnCurrentImageSize": found["model_general"]["rlnCurrentImageSize"][0],
                "rlnAccuracyRotations": classes["rlnAccuracyRotations"][CLASS - 1],
                "rlnAccuracyTranslationsAngst": classes["rlnAccuracyTranslationsAngst"][CLASS - 1],
            },
            is_list=True,
        ),
        Table.from_columns(
            "shells",
            {"rlnSigma2Noise": noise, "rlnSpectralOrientabilityContribution": contribution},
        ),
        Table.from_columns("particles", {label: particles[label][chosen] for label in labels}),
    ]
    write_star(HERE / "accuracy.star", Star(tables), None)
    reference = read_volume(folder / f"run_it005_class{CLASS:03d}.mrc")
    write_volume(
        HERE / "accuracy_class002.mrc", reference.data, reference.pixel_size_A, float16=True
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
