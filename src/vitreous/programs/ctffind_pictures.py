"""What a CtfFind job shows: numbers of all micrographs, and Thon rings beside the fit of some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.micrograph_ctf import Estimate, Micrograph
from vitreous.errors import VitreousError
from vitreous.io import read_volume
from vitreous.jobs.context import Run
from vitreous.programs.ctffind_files import Files, read_curves

N_CURVES, N_PICTURES = 24, 12
_PICTURE_PX = 256
_Results = Sequence[tuple[Micrograph, Estimate]]
# name, title, label and unit of the axis, value
_COLUMNS: tuple[tuple[str, str, str, str, Callable[[Estimate], float | None]], ...] = (
    (
        "defocus", "Defocus of every micrograph", "Mean defocus", "µm",
        lambda one: (one.defocus_u_A + one.defocus_v_A) / 2e4,
    ),
    (
        "astigmatism", "Astigmatism of every micrograph", "U - V", "Å",
        lambda one: one.defocus_u_A - one.defocus_v_A,
    ),
    ("angle", "Astigmatism direction", "Angle of U", "°", lambda one: one.angle_deg),
    (
        "max_resolution", "Resolution of the fit of every micrograph", "Resolution", "Å",
        lambda one: min(one.resolution_A, 25.0),
    ),
    (
        "figure_of_merit", "Figure of merit of every micrograph", "Figure of merit", "",
        lambda one: one.figure_of_merit,
    ),
    (
        "phase_shift", "Phase shift of every micrograph", "Phase shift", "°",
        lambda one: one.phase_shift_deg,
    ),
    (
        "ice_ring", "Density of the ice ring, 0.25 to 0.28 1/Å", "Density", "",
        lambda one: one.ice_ring_density or None,
    ),
)  # fmt: skip


def show(run: Run, results: _Results, stems: Mapping[str, str]) -> None:
    """Hand in all plots."""
    for name, title, label, unit, value in _COLUMNS:
        values = [value(estimate) for _, estimate in results]
        known = np.array([one for one in values if one is not None], np.float64)
        if known.size:
            _by_number(run, name, title, {"label": label, "unit": unit}, values)
            _by_value(run, name, title, {"label": label, "unit": unit}, known)
    for draw, most in ((_rings, N_CURVES), (_pictures, N_PICTURES)):
        some = chosen(results, most)
        is_all = len(some) == len(results)
        part = "" if is_all else f", {len(some)} of {len(results):,}: the worst first"
        draw(run, some, stems, part)


def chosen(results: _Results, most: int) -> list[tuple[Micrograph, Estimate]]:
    """Return the micrographs that are drawn: a third are the worst, the others evenly spread."""
    if len(results) <= most:
        return list(results)
    merit = np.array([estimate.figure_of_merit for _, estimate in results])
    worst = np.argsort(merit, kind="stable")[: most // 3].tolist()
    rest = [i for i in range(len(results)) if i not in set(worst)]
    places = np.linspace(0, len(rest) - 1, most - len(worst)).round().astype(int)
    return [results[i] for i in [*worst, *(rest[place] for place in places)]]


def _by_number(
    run: Run, name: str, title: str, axis: Mapping[str, str], values: Sequence[float | None]
) -> None:
    run.plot(
        name,
        "scatter",
        title,
        {
            "axes": {"x": {"label": "Micrograph", "unit": ""}, "y": axis},
            "series": [{"name": "", "x": list(range(1, len(values) + 1)), "y": list(values)}],
        },
    )


def _by_value(
    run: Run, name: str, title: str, axis: Mapping[str, str], values: NDArray[np.float64]
) -> None:
    n_bins = int(np.clip(np.sqrt(values.size) * 2, 5, 50))
    counts, edges = np.histogram(values, bins=n_bins)
    run.plot(
        f"{name}_histogram",
        "histogram",
        f"{title.removesuffix(' of every micrograph')}, distribution",
        {
            "axes": {"x": axis, "y": {"label": "Micrographs", "unit": ""}},
            "series": [{"name": "", "edges": edges.tolist(), "counts": counts.tolist()}],
        },
    )


def _rings(run: Run, results: _Results, stems: Mapping[str, str], part: str) -> None:
    panels = []
    for micrograph, estimate in results:
        curves = read_curves(Files(run.project, stems[micrograph.name]).curves)
        if curves is not None:
            panels.append(_panel(micrograph, estimate, curves))
    if panels:
        run.plot(
            "rings",
            "line",
            f"Thon rings along lines of equal phase, and the fit{part}",
            {
                "axes": {
                    "x": {"label": "Spatial frequency", "unit": "1/Å"},
                    "y": {"label": "Spectrum without background", "unit": ""},
                },
                "panels": panels,
            },
        )


def _panel(
    micrograph: Micrograph, estimate: Estimate, curves: Sequence[NDArray[np.float64]]
) -> dict[str, object]:
    frequency, along, ctf = curves[0], curves[2], curves[3]
    inside = (along != 0) & (frequency > 0)
    # Rings at low resolution are the strongest by far: the curves are drawn on their own scale.
    high = float(np.quantile(np.abs(along[inside]), 0.9)) if inside.any() else 1.0
    scale = 0.5 / high if high > 0 else 1.0
    seen = np.clip(along[inside] * scale + 0.5, -0.5, 1.5)
    limit = [{"axis": "x", "value": 1 / estimate.resolution_A, "label": "fit"}]
    return {
        "title": _title(micrograph, estimate),
        "series": [
            {"name": "spectrum", "x": frequency[inside], "y": seen},
            {"name": "|CTF|", "x": frequency[inside], "y": ctf[inside], "style": "pale"},
        ],
        "thresholds": limit if estimate.has_rings and estimate.resolution_A < 999 else [],
    }


def _pictures(run: Run, results: _Results, stems: Mapping[str, str], part: str) -> None:
    panels = []
    for micrograph, estimate in results:
        path = run.project / Files(run.project, stems[micrograph.name]).picture
        image = small_picture(path)
        if image is not None:
            panels.append({"title": _title(micrograph, estimate), "image": image})
    if panels:
        run.plot(
            "spectra",
            "image",
            f"Spectra (left) beside the fitted CTF (right){part}",
            {"axes": {}, "origin": "bottom", "low": 0, "high": 255, "panels": panels},
        )


def small_picture(path: Path) -> NDArray[np.int64] | None:
    """Return a diagnostic image as greys 0 to 255, small enough for a page; None if unreadable."""
    try:
        data = read_volume(path).data
    except (VitreousError, OSError):
        return None
    image = data.reshape(-1, data.shape[-1])[: data.shape[-2]].astype(np.float64)
    image = _smoother_left(image)
    middle, half = image.shape[-1] // 2, _PICTURE_PX // 2
    if image.shape[-1] > _PICTURE_PX:
        image = image[middle - half : middle + half, middle - half : middle + half]
    return np.clip(image * 255, 0, 255).round().astype(np.int64)


def _smoother_left(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average the data over 3 x 3 pixels, so that rings show through the noise."""
    result = image.copy()
    middle = image.shape[1] // 2
    left = image[:, :middle]
    steps = range(-1, 2)
    around = [np.roll(left, (dy, dx), (0, 1)) for dy in steps for dx in steps]
    result[:, :middle] = 0.5 + (np.mean(around, 0) - 0.5) * 2
    return result


def _title(micrograph: Micrograph, estimate: Estimate) -> str:
    mean = (estimate.defocus_u_A + estimate.defocus_v_A) / 2e4
    told = f"{mean:.2f} µm" if estimate.has_rings else "no rings"
    return f"{Path(micrograph.name).name}, {told}"
