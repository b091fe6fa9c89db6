"""Features and truth of all data sets, kept as small tables: training needs no images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tools.class_ranker import molecules
from tools.class_ranker.simulate import Recipe, draw, optimiser_of, true_states
from tools.class_ranker.truth import judge

from vitreous.dataset.ranked_classes import read_classes
from vitreous.engine.ranking.features import features
from vitreous.testing.simulate.specimens import State

ITERATION_SHARES = (0.25, 0.5, 1.0)


def tabulate(name: str, seed: int, archives: Path, work: Path) -> Path:
    """Judge and measure the classes of one data set; return the table, made once.

    Averages of training molecules are taken from earlier iterations too, when they are worse;
    those of held-out molecules only from the last, which is what a Select job sees.
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
        rows += _rows(recipe, states, folder, optimiser)
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
    recipe: Recipe, states: tuple[State, ...], folder: Path, optimiser: str
) -> list[dict[str, float]]:
    truths = judge(recipe, states, folder, optimiser)
    classes = read_classes(optimiser, folder)
    measured = features(
        classes.averages, classes.pixel_size_A, classes.diameter_A, classes.statistics
    )
    iteration = int(Path(optimiser).name[6:9])
    return [
        {
            "iteration": iteration,
            "class": number + 1,
            "n": truth.n_particles,
            "purity": round(truth.purity, 4),
            "elements": round(truth.elements, 4),
            "score": round(truth.score, 4),
            **{name: float(np.float32(values[number])) for name, values in measured.items()},
        }
        for number, truth in enumerate(truths)
    ]
