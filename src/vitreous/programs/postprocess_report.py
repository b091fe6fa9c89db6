"""What a post-processing job tells and shows: numbers, curves, Guinier plot, slices."""

from __future__ import annotations

import math

from vitreous.engine import resolution
from vitreous.engine.sharpening import EMPTY_SHELL
from vitreous.jobs.context import Run
from vitreous.programs.eps_plot import write_eps
from vitreous.programs.postprocess_files import Guinier, Measured


def tell(
    run: Run,
    measured: Measured,
    guinier: Guinier,
    b_factor_A2: float,
    slices: list[dict[str, object]],
) -> None:
    """Hand in headline numbers and plots.

    Parameters
    ----------
    run
        The job.
    measured, guinier, b_factor_A2
        What was found.
    slices
        Panels of the sharpened map.
    """
    _headlines(run, measured, guinier, b_factor_A2)
    plots = {
        "fsc": ("Fourier shell correlation", _fsc_plot(measured)),
        "guinier": ("Guinier plot", _guinier_plot(guinier)),
    }
    for name, (title, data) in plots.items():
        run.plot(name, "line", title, data)
        write_eps(run.path / f"postprocess_{name}.eps", title, data)
    parts = _fractions_plot(measured)
    write_eps(run.path / "postprocess_fsc_part.eps", "FSC by the particle's part of the box", parts)
    run.plot(
        "slices",
        "image",
        "Central slices of the sharpened map",
        {"colour": "grey", "panels": slices},
    )


def _headlines(run: Run, measured: Measured, guinier: Guinier, b_factor_A2: float) -> None:
    found_A = measured.resolution_A
    shell = resolution.resolution_shell(measured.curves.best)
    if not math.isfinite(found_A):
        run.warn(
            "The FSC is below 0.143 from the first shell on: the half-maps have nothing in "
            "common. Do both come from one refinement, in one orientation?"
        )
        run.headline("resolution", "none", "", "Final resolution")
    else:
        run.headline("resolution", found_A, "Å", "Final resolution")
    if shell == measured.box_px // 2:
        run.warn(
            "The FSC never falls below 0.143, so the resolution given is only the limit that the "
            f"pixels set ({found_A:.2f} Å). Extract the particles with finer pixels to see more; "
            "if they are fine enough, the half-maps are not independent."
        )
    run.headline("bfactor", b_factor_A2, "Å²", "B-factor")
    run.headline("mask_volume", 100 * measured.inside, "%", "Part of the box inside the mask")
    run.say(f"Resolution at FSC 0.143: {measured.resolution_text}")
    fractions = measured.fractions
    run.say("Box over particle: " + ", ".join(f"{v:.2f} by {k}" for k, v in fractions.items()))
    if guinier.line:
        run.say(
            f"Guinier line over {guinier.line.n_points} shells: B-factor {b_factor_A2:.1f} Å², "
            f"squared correlation {guinier.line.correlation:.3f}"
        )


def _fsc_plot(measured: Measured) -> dict[str, object]:
    curves = measured.curves
    x = measured.frequencies_per_A().tolist()
    x[0] = 0.0
    drawn = {
        "corrected": curves.corrected,
        "unmasked": curves.unmasked,
        "masked": curves.masked,
        "phases randomised": curves.randomised,
    }
    return {
        "axes": {
            "x": {"label": "Resolution", "unit": "1/Å"},
            "y": {"label": "Correlation", "unit": "", "low": -0.1, "high": 1.05},
        },
        "series": [
            {"name": name, "x": x, "y": curve.tolist()}
            for name, curve in drawn.items()
            if curve is not None
        ],
        "thresholds": [{"axis": "y", "value": resolution.THRESHOLD, "label": "0.143"}],
        "note": f"{measured.resolution_text} at 0.143. The curve with randomised phases is what "
        "the mask alone makes.",
    }


def _fractions_plot(measured: Measured) -> dict[str, object]:
    """Return the unmasked curve scaled to the particle's part of the box (cisTEM's rule)."""
    x = measured.frequencies_per_A().tolist()
    unmasked = measured.curves.unmasked
    curves = {"unmasked": unmasked} | {
        f"part by {name}": resolution.particle_fsc(unmasked, fraction)
        for name, fraction in measured.fractions.items()
    }
    axes = {
        "x": {"label": "Resolution", "unit": "1/Å"},
        "y": {"label": "Correlation", "unit": "", "low": -0.1, "high": 1.05},
    }
    series = [{"name": name, "x": x, "y": curve.tolist()} for name, curve in curves.items()]
    return {"axes": axes, "series": series}


def _guinier_plot(guinier: Guinier) -> dict[str, object]:
    x = guinier.inverse_d2.tolist()
    drawn = {
        "original": guinier.original,
        "MTF divided out": guinier.without_mtf,
        "weighted by FSC": guinier.weighted,
        "sharpened": guinier.sharpened,
    }
    series: list[dict[str, object]] = [
        {"name": name, "x": x, "y": [v if v > EMPTY_SHELL else None for v in curve.tolist()]}
        for name, curve in drawn.items()
        if curve is not None
    ]
    if guinier.line:
        line = guinier.line
        ends = [0.0, x[-1]]
        y = [line.intercept + line.slope * end for end in ends]
        series.append({"name": "fitted line", "x": ends, "y": y, "style": "dashed"})
    return {
        "axes": {
            "x": {"label": "1/d²", "unit": "1/Å²"},
            "y": {"label": "Logarithm of the mean amplitude", "unit": ""},
        },
        "series": series,
    }
