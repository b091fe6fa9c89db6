"""Rankers of somebody else's: a scorer that reads images and features, or RELION's whole program.

A scorer is called with one argument, a folder. In it are

``images.npy``
    ``(n, 64, 64)``, float32: the averages, the mask of the classification 60 pixels across, in
    units of their root mean square.
``features.npy``
    ``(n, 24)``, float32: the features of RELION's ranker in its order, as vitreous measures them.
``features.star``
    All features by name, with the number of each class.

It writes `n` numbers, one a line, into ``scores.txt`` in that folder.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.dataset.ranked_classes import Classes
from vitreous.engine.ranking.preparation import prepare
from vitreous.errors import FormatError, MissingFileError
from vitreous.io import Table, write_star
from vitreous.jobs.context import Run
from vitreous.jobs.select import Select
from vitreous.programs.outside import Outside

RELION_FEATURES = (
    "accuracy_rotation", "accuracy_translation", "weighted_resolution", "relative_resolution",
    "ring_mean", "ring_sigma", "protein_sigma", "solvent_mean", "solvent_sigma", "scattered",
    "edge", "low_pass_mean", "low_pass_sigma", "low_pass_min", "low_pass_max",
    *(f"granulometry_{size}" for size in range(1, 7)),
    "job_protein_sum", "job_solvent_sum", "job_relative_signal",
)  # fmt: skip
SCORES = "scores.txt"


def score_outside(
    command: str, classes: Classes, measured: dict[str, torch.Tensor], run: Run
) -> NDArray[np.float64]:
    """Return the scores of a scorer.

    Raises
    ------
    FormatError
        It left another number of scores than there are classes, or text.
    """
    folder = run.path / "ranker"
    folder.mkdir(exist_ok=True)
    (folder / SCORES).unlink(missing_ok=True)
    _write_inputs(folder, classes, measured)
    scorer = Outside("The class scorer", "Give its command with --scorer.", folder / "scorer.log")
    scorer.call([*shlex.split(command), str(folder)], "Scoring classes", "calls", run)
    return _read_scores(folder / SCORES, len(classes.averages))


def rank_by_relion(command: str, options: Select, run: Run) -> None:
    """Let RELION's own program rank and select; it writes the files of the job itself.

    Raises
    ------
    MissingFileError
        It ended well but left a file out.
    """
    words = [
        *shlex.split(command),
        *("--opt", options.optimiser, "--o", run.folder),
        *("--fn_sel_parts", "particles.star", "--fn_sel_classavgs", "class_averages.star"),
        *_selection_flags(options),
        *("--fn_root", "rank", "--do_granularity_features", "--auto_select"),
        *("--min_score", f"{options.min_score:g}"),
    ]
    ranker = Outside(
        "The class ranker",
        "Install RELION 4 or newer with its ranker, and give its command with --ranker.",
        run.path / "ranker.log",
    )
    ranker.call(words, "Ranking classes", "calls", run)
    wanted = ("rank_model.star", "rank_optimiser.star", "particles.star", "class_averages.star")
    if missing := [name for name in wanted if not (run.path / name).exists()]:
        raise MissingFileError(
            f"{words[0]} ended without an error but wrote no {', '.join(missing)} into "
            f"{run.folder}. What it said is in {run.folder}ranker.log."
        )


def _selection_flags(options: Select) -> tuple[str, ...]:
    if options.min_particles > 0:
        return ("--select_min_nr_particles", str(options.min_particles))
    if options.min_classes > 0:
        return ("--select_min_nr_classes", str(options.min_classes))
    return ()


def _write_inputs(folder: Path, classes: Classes, measured: dict[str, torch.Tensor]) -> None:
    images = prepare(classes.averages, classes.pixel_size_A, classes.diameter_A).images
    np.save(folder / "images.npy", images.numpy().astype(np.float32))
    columns = {name: values.numpy() for name, values in measured.items()}
    chosen = np.stack([columns[name] for name in RELION_FEATURES], axis=1)
    np.save(folder / "features.npy", chosen.astype(np.float32))
    numbers = {"rlnClassNumber": np.arange(1, len(images) + 1)}
    write_star(folder / "features.star", [Table.from_columns("features", numbers | columns)])


def _read_scores(path: Path, n: int) -> NDArray[np.float64]:
    if not path.is_file():
        raise MissingFileError(
            f"{path}: the scorer wrote no scores. Wanted: a text file with one number for each of "
            f"the {n} classes, in their order."
        )
    words = path.read_text().split()
    try:
        scores = np.array([float(word) for word in words])
    except ValueError as error:
        raise FormatError(f"{path}: wanted one number a line ({error}).") from None
    if len(scores) != n or not np.isfinite(scores).all():
        raise FormatError(
            f"{path}: {len(scores)} scores, {int(np.isfinite(scores).sum())} of them finite; "
            f"wanted a finite number for each of the {n} classes."
        )
    return scores
