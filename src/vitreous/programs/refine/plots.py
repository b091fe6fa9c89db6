"""Plots of a refinement, as the data that `Run.plot` keeps.

Layouts are those of `vitreous.programs.pdf_log`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch

from vitreous.engine import geometry, symmetry
from vitreous.engine.refinement.state import Assignments, Model
from vitreous.programs.refine.history import Iteration

Plot = dict[str, object]
Reader = Callable[[Iteration], float | None]

_ITERATION: Final = {"label": "Iteration", "unit": ""}
_EARLIER: Final = 8  # curves of earlier iterations drawn pale
_MOST_CLASSES: Final = 40
_MOST_PARTICLES: Final = 200_000
_GRIDS: Final = ((6, 12), (12, 24), (18, 36), (36, 72))  # tilt and rot
_FEWEST_IN_A_BIN: Final = 8
_THRESHOLD: Final = {"axis": "y", "value": 0.143, "label": "0.143"}


def resolution(history: Sequence[Iteration]) -> Plot:
    """Return resolution and image size by iteration."""
    return {
        "axes": {"x": _ITERATION},
        "panels": [
            _panel(history, "Resolution", "Å", {"": lambda one: one.resolution_A}),
            _panel(
                history,
                "Image size",
                "px",
                {
                    "fine pass": lambda one: one.size_px,
                    "coarse pass": lambda one: one.coarse_size_px,
                },
            ),
        ],
    }


def changes(history: Sequence[Iteration]) -> Plot:
    """Return how much poses and classes changed, and how certain poses are."""
    panels = [
        _panel(history, "Mean change of orientations", "°", {"": lambda one: one.change_deg}),
        _panel(history, "Change of shifts, rms", "Å", {"": lambda one: one.change_A}),
        _panel(history, "Mean Pmax", "", {"": lambda one: one.mean_pmax}),
    ]
    if len(history[-1].particles) > 1:
        moved: dict[str, Reader] = {"": lambda one: 100 * one.change_class}
        panels.insert(0, _panel(history, "Particles that changed class", "%", moved))
    return {"axes": {"x": _ITERATION}, "panels": panels}


def accuracies(history: Sequence[Iteration]) -> Plot:
    """Return how well poses can be told apart, beside the steps that were searched."""
    angles: dict[str, Reader] = {
        "accuracy": lambda one: one.accuracy_deg,
        "step": lambda one: one.step_deg,
    }
    shifts: dict[str, Reader] = {
        "accuracy": lambda one: one.accuracy_A,
        "step": lambda one: one.shift_step_A,
        "range": lambda one: one.shift_range_A,
    }
    return {
        "axes": {"x": _ITERATION},
        "panels": [
            _panel(history, "Orientations", "°", angles),
            _panel(history, "Shifts", "Å", shifts),
        ],
        "note": _about_local(history),
    }


def times(history: Sequence[Iteration]) -> Plot:
    """Return time, speed and arithmetic of every phase by iteration."""
    phases = list(dict.fromkeys(name for one in history for name in one.seconds))
    working = list(dict.fromkeys(name for one in history for name in one.gflop))
    x = [one.number for one in history]
    seconds = [_series(name, x, [one.seconds.get(name) for one in history]) for name in phases]
    speeds = [_series(name, x, [_rate(one, name) for one in history]) for name in working]
    panels: list[Plot] = [
        {"title": "Time", "axes": {"x": _ITERATION, "y": _axis("Time", "s")}, "series": seconds},
        _panel(
            history,
            "Speed",
            "particles/s",
            {"": lambda one: one.n_particles / one.total_s if one.total_s else None},
        ),
    ]
    if speeds:
        axes = {"x": _ITERATION, "y": _axis("Scores", "GFLOP/s")}
        panels.append({"title": "Arithmetic", "axes": axes, "series": speeds})
    note = "Operations are those of the scores that the search asks for, however they are made."
    return {"axes": {"x": _ITERATION}, "panels": panels, "note": note}


def table(history: Sequence[Iteration]) -> Plot:
    """Return all iterations in numbers."""
    columns = [
        ("No.", ""),
        ("Resolution", "Å"),
        ("Size", "px"),
        ("Step", "°"),
        ("Accuracy", "°"),
        ("Accuracy", "Å"),
        ("Change", "°"),
        ("Change", "Å"),
        ("Classes", "%"),
        ("Pmax", ""),
        ("Time", "s"),
    ]
    rows = [
        [
            f"{one.number}{' final' if one.is_final else ''}",
            _rounded(one.resolution_A, 2),
            one.size_px,
            f"{one.step_deg:.3g}{' local' if one.is_local else ''}",
            _rounded(one.accuracy_deg, 2),
            _rounded(one.accuracy_A, 2),
            _rounded(one.change_deg, 2),
            _rounded(one.change_A, 2),
            _rounded(100 * one.change_class, 2),
            _rounded(one.mean_pmax, 3),
            _rounded(one.total_s, 1),
        ]
        for one in history
    ]
    return {"columns": [{"name": name, "unit": unit} for name, unit in columns], "rows": rows}


def fsc(history: Sequence[Iteration], box_A: float) -> Plot | None:
    """Return the correlation of the halves, earlier iterations pale; None without halves."""
    curves = [one for one in history if one.fsc]
    if not curves:
        return None
    places = np.unique(np.linspace(0, len(curves) - 1, min(len(curves), _EARLIER + 1)).astype(int))
    series: list[Plot] = []
    for place in places.tolist():
        one, is_last = curves[place], place == len(curves) - 1
        curve = list(one.fsc[: one.size_px // 2 + 1])
        x = [shell / box_A for shell in range(len(curve))]
        line: Plot = {"name": f"iteration {one.number}", "x": x, "y": curve}
        series.insert(0, line if is_last else {**line, "style": "pale"})
    return {
        "axes": {
            "x": {"label": "Resolution", "unit": "1/Å"},
            "y": {"label": "Fourier shell correlation", "unit": "", "low": -0.1, "high": 1.05},
        },
        "series": series,
        "thresholds": [_THRESHOLD],
    }


def signal(model: Model) -> Plot:
    """Return the signal over the noise of every class by shell."""
    box_A = model.box_px * model.pixel_size_A
    shown = _largest(model.class_weight.tolist())
    x = [shell / box_A for shell in range(1, model.ssnr.shape[1])]
    series = [
        {
            "name": f"class {k + 1}",
            "x": x,
            "y": [value if value > 0 else None for value in model.ssnr[k, 1:].tolist()],
        }
        for k in shown
    ]
    return {
        "axes": {
            "x": {"label": "Resolution", "unit": "1/Å"},
            "y": {
                "label": "Data over prior",
                "unit": "",
                "scale": "log",
                "low": 0.01,
                "high": 1000,
            },
        },
        "series": series,
        "thresholds": [{"axis": "y", "value": 1.0, "label": "1"}],
        "note": _about_rest(len(shown), model.n_classes),
    }


def members(history: Sequence[Iteration]) -> Plot:
    """Return the particles of each class now, the largest class first."""
    last = history[-1]
    shown = sorted(_largest(last.particles), key=lambda k: -last.particles[k])
    return {
        "axes": {"x": _axis("Class", ""), "y": _axis("Particles", "")},
        "series": [
            {
                "name": "particles",
                "labels": [str(k + 1) for k in shown],
                "values": [last.particles[k] for k in shown],
            }
        ],
        "note": _about_rest(len(shown), len(last.particles)),
    }


def class_sizes(history: Sequence[Iteration]) -> Plot:
    """Return the share of every class by iteration."""
    shown = _largest(history[-1].class_weight)
    x = [one.number for one in history]
    series = [
        _series(f"class {k + 1}", x, [100 * one.class_weight[k] for one in history]) for k in shown
    ]
    return {
        "axes": {"x": _ITERATION, "y": _axis("Share of the particles", "%")},
        "series": series,
        "note": _about_rest(len(shown), len(history[-1].class_weight)),
    }


def certainty(assignments: Assignments) -> Plot:
    """Return how certain the best pose of each particle is."""
    counts, edges = np.histogram(assignments.pmax, bins=40, range=(0, 1))
    return {
        "axes": {"x": _axis("Probability of the best pose", ""), "y": _axis("Particles", "")},
        "series": [{"name": "particles", "edges": edges.tolist(), "counts": counts.tolist()}],
    }


def directions(assignments: Assignments, point_group: str) -> Plot:
    """Return how often each direction of view occurs, over what even coverage would give.

    Every particle counts in all directions that the symmetry makes equal. The map is one of equal
    areas: the height is the cosine of tilt.
    """
    step = max(1, len(assignments) // _MOST_PARTICLES)
    angles = torch.from_numpy(assignments.angles_deg[::step, :2].copy())
    operators = symmetry.view_rotations(symmetry.operators(point_group))
    views = (geometry.view_direction(angles)[:, None, None] @ operators)[:, :, 0].reshape(-1, 3)
    rot = torch.rad2deg(torch.atan2(views[:, 1], views[:, 0])).numpy()
    fitting = [grid for grid in _GRIDS if len(views) >= _FEWEST_IN_A_BIN * grid[0] * grid[1]]
    counts, _, _ = np.histogram2d(
        views[:, 2].numpy(),
        rot,
        bins=fitting[-1] if fitting else _GRIDS[0],
        range=((-1.000001, 1.000001), (-180.000001, 180.000001)),
    )
    even = max(counts.sum(), 1) / counts.size
    return {
        "axes": {
            "x": {"label": "Rot + 180", "unit": "°"},
            "y": {"label": "90 (1 + cos tilt)", "unit": ""},
            "c": {"label": "Particles over even coverage", "unit": ""},
        },
        "image": np.round(counts / even, 3).tolist(),
        "origin": "bottom",
        "colour": "ramp",
        "low": 0.0,
        "bar": True,
        "width": 360,
        "height": 180,
        "note": f"Equal areas of the sphere, in all equal directions of {point_group}.",
    }


def _panel(
    history: Sequence[Iteration], label: str, unit: str, series: Mapping[str, Reader]
) -> Plot:
    x = [one.number for one in history]
    drawn = [
        _series(name, x, [_finite(read(one)) for one in history]) for name, read in series.items()
    ]
    return {"title": label, "axes": {"x": _ITERATION, "y": _axis(label, unit)}, "series": drawn}


def _series(name: str, x: Sequence[float], y: Sequence[float | None]) -> Plot:
    line: Plot = {"name": name, "x": list(x), "y": list(y)}
    return line if len(x) > 1 else {**line, "style": "points"}


def _axis(label: str, unit: str) -> dict[str, str]:
    return {"label": label, "unit": unit}


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _rounded(value: float | None, digits: int) -> float | str:
    found = _finite(value)
    return "" if found is None else round(found, digits)


def _rate(one: Iteration, name: str) -> float | None:
    seconds = one.seconds.get(name, 0.0)
    return one.gflop[name] / seconds if name in one.gflop and seconds > 0 else None


def _largest(sizes: Sequence[float]) -> list[int]:
    """Return the places of the largest, in their own order."""
    order = sorted(range(len(sizes)), key=lambda k: -sizes[k])
    return sorted(order[:_MOST_CLASSES])


def _about_rest(shown: int, total: int) -> str:
    return f"The {shown} largest of {total} classes." if shown < total else ""


def _about_local(history: Sequence[Iteration]) -> str:
    local = [one.number for one in history if one.is_local]
    return f"Orientations are searched locally from iteration {local[0]}." if local else ""
