"""Runs of RELION as tables: what each iteration decided and what it decided from.

A run becomes one STAR file with two tables: `iterations`, one row each with the scalars of its
optimiser, model and sampling files; and `curves`, the shells of its first half's classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vitreous.engine.refinement import schedule
from vitreous.engine.refinement.changes import Changes
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Assignments, Model, State
from vitreous.io.star import Star, read_star
from vitreous.io.star_table import Table

GOLDEN = Path(__file__).parent / "golden" / "refinement_schedule"

OPTIMISER = [
    "CurrentIteration",
    "IncrementImageSize",
    "NumberOfIterWithoutResolutionGain",
    "BestResolutionThusFar",
    "NumberOfIterWithoutChangingAssignments",
    "OverallAccuracyRotations",
    "OverallAccuracyTranslationsAngst",
    "ChangesOptimalOrientations",
    "ChangesOptimalOffsets",
    "ChangesOptimalClasses",
    "SmallestChangesOrientations",
    "SmallestChangesOffsets",
    "HasConverged",
    "HasHighFscAtResolLimit",
    "SgdSubsetSize",
    "GradCurrentStepsize",
]
MODEL = [
    "CurrentResolution",
    "CurrentImageSize",
    "AveragePmax",
    "SigmaPriorRotAngle",
    "Tau2FudgeFactor",
    "OriginalImageSize",
    "PixelSize",
]
SAMPLING = [
    "HealpixOrder",
    "PsiStep",
    "OffsetRange",
    "OffsetStep",
    "SamplingPerturbInstance",
    "SamplingPerturbFactor",
]
UNKNOWN = -99  # what a file of that iteration does not tell


@dataclass(frozen=True)
class Run:
    """A run of RELION, iteration by iteration.

    Parameters
    ----------
    iterations
        One row an iteration, from 0; the final one of an auto-refinement is the last row.
    curves
        Rows of shells of classes, of every iteration from 1.
    """

    iterations: Table
    curves: Table

    def value(self, row: int, label: str) -> float:
        """Return one scalar; NaN where the files do not have it."""
        if f"rln{label}" not in self.iterations.labels:
            return float("nan")
        found = float(self.iterations[f"rln{label}"][row])
        return float("nan") if found == UNKNOWN else found

    def curve(self, row: int, label: str) -> torch.Tensor:
        """Return ``k s`` of an iteration."""
        chosen = self.curves.select(self.curves["rlnCurrentIteration"] == row)
        n_classes = int(chosen["rlnClassNumber"].max())
        return torch.from_numpy(chosen[f"rln{label}"].copy()).reshape(n_classes, -1)

    def __len__(self) -> int:
        """Return the number of rows, iteration 0 included."""
        return len(self.iterations)


def collect(folder: Path) -> Star:
    """Read the files that RELION wrote into a folder, as run_it000_optimiser.star and so on."""
    roots = sorted(
        p.name.removesuffix("_optimiser.star") for p in folder.glob("*_it???_optimiser.star")
    )
    if (folder / "run_model.star").exists():
        roots.append("run")
    rows, shells = [], []
    for number, root in enumerate(roots):
        row, curves = _iteration(folder, root, number)
        rows.append(row)
        shells += curves
    labels = list(dict.fromkeys(label for row in rows for label in row))
    iterations = Table.from_columns(
        "iterations", {label: [row.get(label, UNKNOWN) for row in rows] for label in labels}
    )
    return Star([iterations, Table.concat(shells)])


def load(path: Path) -> Run:
    """Read a run from its folder or from the file that was made of it."""
    star = collect(path) if path.is_dir() else read_star(path)
    return Run(star["iterations"], star["curves"])


def _iteration(folder: Path, root: str, number: int) -> tuple[dict[str, object], list[Table]]:
    row: dict[str, object] = {}
    halves = (folder / f"{root}_half1_model.star").exists()
    model = read_star(folder / f"{root}_{'half1_' if halves else ''}model.star")
    _take(row, model["model_general"], MODEL)
    if (folder / f"{root}_optimiser.star").exists():
        _take(row, read_star(folder / f"{root}_optimiser.star")["optimiser_general"], OPTIMISER)
    else:
        classes = model["model_classes"]
        row["rlnOverallAccuracyRotations"] = classes["rlnAccuracyRotations"].min()
        row["rlnOverallAccuracyTranslationsAngst"] = classes["rlnAccuracyTranslationsAngst"].min()
    if (folder / f"{root}_sampling.star").exists():
        _take(row, read_star(folder / f"{root}_sampling.star")["sampling_general"], SAMPLING)
    row["rlnCurrentIteration"] = number
    if number == 0:
        return row, []
    curves = []
    for k in range(1, len(model["model_classes"]) + 1):
        table = model[f"model_class_{k}"]
        fsc = table.get("rlnGoldStandardFsc")
        curves.append(
            Table.from_columns(
                "curves",
                {
                    "rlnCurrentIteration": [number] * len(table),
                    "rlnClassNumber": [k] * len(table),
                    "rlnSsnrMap": table["rlnSsnrMap"],
                    "rlnGoldStandardFsc": np.zeros(len(table)) if fsc is None else fsc,
                },
            )
        )
    return row, curves


def _take(row: dict[str, object], table: Table, labels: list[str]) -> None:
    for label in labels:
        if f"rln{label}" in table.labels:
            row[f"rln{label}"] = table[f"rln{label}"][0]


@dataclass(frozen=True)
class Step:
    """One iteration as it was replayed.

    Parameters
    ----------
    row
        Of the run.
    begun
        What the schedule decided, before the expectation step.
    ended
        What it counted after the maximisation.
    """

    row: int
    begun: State
    ended: State


def replay(run: Run, settings: Settings, n_particles: int) -> list[Step]:
    """Drive the schedule through a run: it is told only what was measured, never what was decided.

    Measured are accuracies, changes, the data versus prior, the FSC and the mean Pmax.
    """
    state = _first_state(run, settings)
    steps = []
    for row in range(1, len(run)):
        state = schedule.begin_iteration(state, settings, n_particles)
        angle_deg = run.value(row, "OverallAccuracyRotations")
        shift_A = run.value(row, "OverallAccuracyTranslationsAngst")
        now = replace(state.schedule, accuracy_angle_deg=angle_deg, accuracy_shift_A=shift_A)
        state = schedule.update_sampling(replace(state, schedule=now), settings)
        begun = state
        moved = Changes(
            run.value(row, "ChangesOptimalOrientations"),
            run.value(row, "ChangesOptimalOffsets"),
            run.value(row, "ChangesOptimalClasses"),
        )
        model = replace(
            state.models[0],
            ssnr=run.curve(row, "SsnrMap"),
            fsc=run.curve(row, "GoldStandardFsc"),
            mean_pmax=run.value(row, "AveragePmax"),
        )
        state = schedule.end_iteration(replace(state, models=(model,)), settings, moved)
        steps.append(Step(row, begun, state))
    return steps


def model_of(box_px: int, pixel_size_A: float, n_classes: int, ndim: int) -> Model:
    """Return a model of empty references."""
    n_shells = box_px // 2 + 1
    shells = torch.zeros(n_classes, n_shells, dtype=torch.float64)
    per_class = torch.full((n_classes,), 1 / n_classes, dtype=torch.float64)
    return Model(
        references=torch.zeros([n_classes] + [box_px] * ndim),
        pixel_size_A=pixel_size_A,
        current_size_px=0,
        resolution_per_A=0.0,
        tau2=shells,
        sigma2_map=shells,
        ssnr=shells,
        fsc=shells,
        completeness=shells,
        orientability=shells,
        class_weight=per_class,
        class_offset_A=torch.zeros(n_classes, 2),
        direction_weight=per_class[:, None],
        class_accuracy_deg=per_class,
        class_accuracy_A=per_class,
        class_resolution_A=per_class,
        class_completeness=per_class,
        sigma2_noise=torch.ones(1, n_shells, dtype=torch.float64),
        group_scale=torch.ones(1),
        group_names=("one",),
        group_counts=(1,),
    )


def assignments_of(n: int) -> Assignments:
    """Return particles at zero poses, in two halves by turns."""
    zeros, counts = np.zeros(n), np.zeros(n, np.int64)
    return Assignments(
        angles_deg=np.zeros((n, 3)),
        origin_A=np.zeros((n, 2)),
        prior_deg=np.full((n, 3), np.nan),
        prior_origin_A=np.full((n, 2), np.nan),
        class_=counts,
        half=np.arange(n) % 2,
        scale_group=counts,
        optics_group=counts,
        norm=zeros + 1,
        pmax=zeros,
        n_significant=counts,
        log_likelihood=zeros,
    )


def _first_state(run: Run, settings: Settings) -> State:
    box_px, pixel_A = int(run.value(0, "OriginalImageSize")), run.value(0, "PixelSize")
    model = model_of(box_px, pixel_A, settings.n_classes, settings.ndim)
    sampling = schedule.first_sampling(settings, pixel_A)
    return State(schedule.first_schedule(settings), sampling, (model,), assignments_of(1))
