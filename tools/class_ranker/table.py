"""Features and truth of all data sets, kept as small tables: training needs no images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tools.class_ranker import molecules
from tools.class_ranker.simulate import Recipe, draw, optimiser_of, true_states
from tools.class_ranker.truth import Truth, judge
from torch import Tensor

from vitreous.dataset.ranked_classes import Classes, read_classes
from vitreous.engine.masking import sphere
from vitreous.engine.ranking.features import features
from vitreous.testing.simulate.specimens import State

ITERATION_SHARES = (0.25, 0.5, 1.0)
MASKS = (1.0, 0.82)  # diameters, of that of the classification
EDGE_PX = 5.0


def tabulate(name: str, seed: int, archives: Path, work: Path) -> Path:
    """Judge and measure the classes of one data set; return the table, made once.

    Averages of training molecules are taken from earlier iterations too, when they are worse, and
    once more in a tight mask; those of held-out molecules only from the last, which is what a
    Select job sees.
    """
    table = work / "tables" / f"{name}-{seed}.json"
    if table.exists():
        return table
    model = molecules.prepare(molecules.ALL[name], archives, work / "molecules")
    recipe = draw(name, seed, model)
    folder = work / "runs" / f"{name}-{seed}"
    states = true_states(recipe, model, folder)
    held_out = name in {one.name for one in molecules.HELD_OUT}
    rows: list[dict[str, float]] = []
    for optimiser in _optimisers(folder, last_only=held_out):
        rows += _rows(recipe, states, folder, optimiser, held_out=held_out)
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(json.dumps({"molecule": name, "seed": seed, "rows": rows}))
    return table


def _optimisers(folder: Path, *, last_only: bool) -> list[str]:
    last = optimiser_of(folder)
    if last_only:
        return [last]
    there = sorted((folder / last).parent.glob("run_it*_optimiser.star"))
    n = len(there) - 1
    chosen = sorted({there[round(share * n)] for share in ITERATION_SHARES})
    return [str(path.relative_to(folder)) for path in chosen]


def _rows(
    recipe: Recipe, states: tuple[State, ...], folder: Path, optimiser: str, *, held_out: bool
) -> list[dict[str, float]]:
    truths = judge(recipe, states, folder, optimiser)
    classes = read_classes(optimiser, folder)
    iteration = int(Path(optimiser).name[6:9])
    return rows_of(classes, truths, iteration, MASKS[:1] if held_out else MASKS)


def rows_of(
    classes: Classes, truths: Sequence[Truth], iteration: int, masks: Sequence[float]
) -> list[dict[str, float]]:
    """Measure classes, as they are and in masks that are tighter by some factors."""
    rows = []
    for share in masks:
        diameter_A = share * classes.diameter_A
        averages = classes.averages
        if share < 1:
            averages = _masked(averages, diameter_A / 2 / classes.pixel_size_A)
        measured = features(averages, classes.pixel_size_A, diameter_A, classes.statistics)
        rows += [
            {
                "iteration": iteration,
                "class": number + 1,
                "mask": share,
                "n": truth.n_particles,
                "purity": round(truth.purity, 4),
                "elements": round(truth.elements, 4),
                "score": round(truth.score, 4),
                **{name: float(np.float32(values[number])) for name, values in measured.items()},
            }
            for number, truth in enumerate(truths)
        ]
    return rows


def _masked(averages: Tensor, radius_px: float) -> Tensor:
    mask = sphere(averages.shape[-1], 2, radius_px - EDGE_PX, EDGE_PX)
    return averages * mask.to(averages.dtype)
