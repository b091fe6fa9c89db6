"""Automatic selection of 2D classes: score them all, keep the best, write what a Select job has."""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.chosen_classes import (
    CLASS_NUMBER,
    Classification,
    chosen_averages,
    chosen_particles,
    read_classification,
    selection_table,
)
from vitreous.dataset.ranked_classes import OPTIMISER, Classes, count_particles, read_classes
from vitreous.errors import InputError
from vitreous.io import read_star, write_star
from vitreous.jobs.context import Run
from vitreous.jobs.select import Select
from vitreous.programs.class_ranker import NOT_JUDGED, judged, measure, score
from vitreous.programs.class_ranker_outside import rank_by_relion, score_outside

BACKUP = "backup_selection.star"
SCORE, PREDICTED = "rlnClassScore", "rlnPredictedClassScore"


def select_ranked(options: Select, extra: argparse.Namespace, run: Run) -> None:
    """Score all classes and keep those above the threshold."""
    if extra.ranker:
        rank_by_relion(extra.ranker, options, run)
        _report_relion(run)
        return
    classes = read_classes(options.optimiser, run.project)
    with run.phase("Measuring classes", len(classes.averages), "classes") as progress:
        measured = measure(classes)
        progress.advance(len(classes.averages))
    run.check_abort()
    scores = (
        score_outside(extra.scorer, classes, measured, run) if extra.scorer else score(measured)
    )
    scores = np.where(judged(classes), scores, NOT_JUDGED)
    selected = choose(scores, count_particles(classes.classification), options)
    if not selected.any():
        best = scores.max()
        raise InputError(
            f"No class has a score of {options.min_score:g} or more; the best has {best:.2f}. "
            "Lower the smallest score, ask for at least so many classes, or look at the averages: "
            "the picks may be poor."
            if best > NOT_JUDGED
            else "No class has more than 10 particles, so none is judged. Use fewer classes."
        )
    _write(options, classes, scores, selected, run)
    _report(classes.classification, scores, selected, run)


def choose(
    scores: NDArray[np.float64], counts: NDArray[np.int64], options: Select
) -> NDArray[np.bool_]:
    """Return which classes are kept.

    Parameters
    ----------
    scores
        ``k``; classes that were not judged have -999 and are never kept.
    counts
        ``k``, particles of each class.
    options
        All classes from ``min_score`` on are kept, and where ``min_particles``, or else
        ``min_classes``, asks for more, the next best until there are so many.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > NOT_JUDGED]
    n_kept = int((scores[order] >= options.min_score).sum())
    if options.min_particles > 0:
        enough = np.flatnonzero(np.cumsum(counts[order]) >= options.min_particles)
        n_kept = max(n_kept, int(enough[0]) + 1 if len(enough) else len(order))
    elif options.min_classes > 0:
        n_kept = max(n_kept, min(options.min_classes, len(order)))
    selected = np.zeros(len(scores), bool)
    selected[order[:n_kept]] = True
    return selected


def _write(
    options: Select,
    classes: Classes,
    scores: NDArray[np.float64],
    selected: NDArray[np.bool_],
    run: Run,
) -> None:
    """Write the ranked classification and what was selected of it."""
    classification = classes.classification
    ranked = classification.classes.with_columns({SCORE: scores, PREDICTED: scores})
    write_star(run.path / "rank_model.star", classification.model.with_table(ranked))
    write_star(run.path / "rank_data.star", classification.data)
    optimiser = read_star(run.project / options.optimiser)
    files = {"rlnModelStarFile": "rank_model.star", "rlnExperimentalDataStarFile": "rank_data.star"}
    table = optimiser[OPTIMISER].with_columns(
        {label: [run.folder + name] for label, name in files.items()}
    )
    write_star(run.path / "rank_optimiser.star", optimiser.with_table(table))

    kept = chosen_particles(classification, selected)
    rows = kept[classification.particles.name]
    rows = rows.with_columns({PREDICTED: scores[rows[CLASS_NUMBER] - 1]})
    write_star(run.path / "particles.star", kept.with_table(rows))
    averages = chosen_averages(classification, selected)
    averages = averages.with_columns({PREDICTED: scores[selected]})
    write_star(run.path / "class_averages.star", [averages])
    write_star(run.path / BACKUP, [selection_table(selected)])


def _report_relion(run: Run) -> None:
    """Tell what RELION's program selected."""
    ranked = read_classification(run.folder + "rank_optimiser.star", run.project)
    label = PREDICTED if PREDICTED in ranked.classes else SCORE
    kept = read_star(run.path / "particles.star")[ranked.particles.name][CLASS_NUMBER]
    selected = np.isin(np.arange(1, len(ranked.classes) + 1), kept)
    scores = ranked.classes.get(label, np.full(len(ranked.classes), np.nan))
    _report(ranked, scores.astype(np.float64), selected, run)


def _report(
    classification: Classification,
    scores: NDArray[np.float64],
    selected: NDArray[np.bool_],
    run: Run,
) -> None:
    counts = count_particles(classification)
    for number in np.argsort(-scores, kind="stable"):
        told = f"{scores[number]:.3f}" if scores[number] > NOT_JUDGED else "not judged"
        mark = "  selected" if selected[number] else ""
        run.say(f"Class {number + 1:3}: {told:10} {counts[number]:7,} particles{mark}")
    run.headline("selected", int(counts[selected].sum()), "", "Selected particles")
    run.headline("total", len(classification.particles), "", "Out of")
    run.headline("classes", int(selected.sum()), "", "Selected classes")
    known = scores > NOT_JUDGED
    series = [
        {"name": name, "x": counts[rows].tolist(), "y": scores[rows].tolist()}
        for name, rows in (("selected", selected), ("left out", ~selected & known))
    ]
    axes = {
        "x": {"label": "Particles of the class", "unit": ""},
        "y": {"label": "Predicted score", "unit": "", "low": 0.0, "high": 1.0},
    }
    run.plot("scores", "scatter", "Scores of the classes", {"axes": axes, "series": series})
