"""Check particles that were made elsewhere, before days are spent on them.

Columns, then a sample of the images: size, pixel size, values that are not numbers,
normalisation, contrast, filtering, and whether the images show the CTF of their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from vitreous.dataset.defocus_check import DefocusFit, Lens, fit_defocus
from vitreous.dataset.findings import Finding, name_a_few
from vitreous.dataset.optics_tables import GROUP, GROUP_NAME, pixel_size_A
from vitreous.dataset.particle_columns import column_findings
from vitreous.dataset.particle_images import Measures, judge, measure, usable
from vitreous.dataset.particle_sample import Batch, read_batches, sample_rows
from vitreous.io import Table

FEWEST_FOR_DEFOCUS = 12
MULTIPLIED_ABOVE = 2.7
MULTIPLIED_BELOW = 1.5
_SAME_PIXEL = 0.01
_UNSET_PIXEL_SIZES = (0.0, 1.0)


@dataclass
class Report:
    """What was found.

    Parameters
    ----------
    findings
        Warnings.
    n_checked
        Images that were read.
    spectra
        Optics group name -> mean power by shell, and the length of the box in Å.
    fits
        Micrograph or stack -> how the stated defocus explains its particles.
    """

    findings: list[Finding] = field(default_factory=list)
    n_checked: int = 0
    spectra: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)
    fits: dict[str, DefocusFit] = field(default_factory=dict)


def check_particles(
    particles: Table, optics: Table, each: Callable[[int], None] = lambda _: None
) -> Report:
    """Check rows and a sample of the images.

    Parameters
    ----------
    particles, optics
        The tables of the file; image names are relative to the working directory.
    each
        Called with the number of images after each part of the sample.
    """
    report = Report(list(column_findings(particles, optics)))
    rows_of = {int(row[GROUP]): row for row in optics.rows()}
    groups = particles[GROUP] if GROUP in particles else np.ones(len(particles), np.int64)
    unreadable: list[tuple[int, str]] = []
    measured: dict[int, list[Measures]] = {}
    for batch in read_batches(particles, sample_rows(particles), unreadable):
        each(len(batch.rows))
        report.n_checked += len(batch.rows)
        group = int(groups[batch.rows[0]])
        report.findings += _geometry(batch, rows_of.get(group, {}))
        finite, varied = usable(batch.images)
        report.findings += _unusable(batch, finite, varied)
        good = replace(batch, rows=batch.rows[varied], images=batch.images[varied])
        if len(good.rows) and good.images.shape[1] == good.images.shape[2]:
            measures = measure(good.images)
            measured.setdefault(group, []).append(measures)
            _fit(report, good, measures, particles, rows_of.get(group, {}))
    report.findings += _unread(unreadable, report.n_checked)
    for group, parts in measured.items():
        _judge(report, parts, rows_of.get(group, {}), str(group))
    report.findings += _contradictions(report.fits)
    report.findings += _multiplied(report.fits, optics)
    return report


def _geometry(batch: Batch, optics: Mapping[str, object]) -> Iterator[Finding]:
    unit = f"optics group {_name(optics)}"
    _, height, width = batch.images.shape
    if height != width or height % 2:
        yield Finding(
            f"The images have {width} x {height} pixels; a square, even box is needed by every "
            "refinement. Extract the particles again.",
            unit,
        )
    stated = optics.get("rlnImageSize")
    if isinstance(stated, int) and stated not in (0, width):
        yield Finding(
            f"The images have {width} pixels, rlnImageSize says {stated}; jobs will stop or "
            "measure wrong resolutions. Correct data_optics.",
            unit,
        )
    pixel, told = pixel_size_A(optics), batch.pixel_size_A
    if pixel and told not in _UNSET_PIXEL_SIZES and abs(told / pixel - 1) > _SAME_PIXEL:
        yield Finding(
            f"The headers of the images say {told:.4g} Å per pixel, data_optics says {pixel:.4g} "
            "Å. A wrong one spoils the CTF and scales the map.",
            unit,
        )


def _unusable(batch: Batch, finite: np.ndarray, varied: np.ndarray) -> Iterator[Finding]:
    for wrong, what in (
        (~finite, "Some images hold values that are not numbers; one such image ruins a map."),
        (finite & ~varied, "Some images are empty: all their pixels are equal."),
    ):
        rows = batch.rows[wrong]
        for row in rows.tolist():
            yield Finding(f"{what} Remove them with a Select job.", f"row {row + 1}")


def _unread(unreadable: list[tuple[int, str]], n_read: int) -> Iterator[Finding]:
    if not unreadable:
        return
    reasons: dict[str, list[int]] = {}
    for row, reason in unreadable:
        reasons.setdefault(reason, []).append(row + 1)
    n_tried = n_read + len(unreadable)
    share = (
        f"None of the {n_tried:,} images that were tried could be read"
        if n_read == 0
        else f"{len(unreadable):,} of {n_tried:,} images that were tried could not be read"
    )
    for reason, rows in reasons.items():
        yield Finding(
            f"{share}; jobs that need them will stop. Image names count from the project folder.",
            f"{reason.rstrip('.')} (rows {name_a_few(rows)})",
        )


def _fit(
    report: Report,
    batch: Batch,
    measures: Measures,
    particles: Table,
    optics: Mapping[str, object],
) -> None:
    """Compare the spectrum of a micrograph's particles with the CTF of their rows."""
    if len(batch.rows) < FEWEST_FOR_DEFOCUS or not {"rlnDefocusU", "rlnDefocusV"} <= set(
        particles.labels
    ):
        return
    pixel = pixel_size_A(optics)
    u, v = (particles[label][batch.rows] for label in ("rlnDefocusU", "rlnDefocusV"))
    lens = _lens(particles, batch, optics)
    if pixel is None or lens is None or not (np.isfinite(u) & np.isfinite(v)).all():
        return
    mean, astigmatism = float(np.mean(u + v) / 2), float(np.mean(np.abs(u - v)))
    if np.ptp(u + v) / 2 > max(1500.0, 0.1 * abs(mean)):
        return
    fit = fit_defocus(measures.power, batch.images.shape[1], pixel, lens, mean, astigmatism)
    if fit is not None:
        report.fits[_source(particles, int(batch.rows[0]))] = fit


def _lens(particles: Table, batch: Batch, optics: Mapping[str, object]) -> Lens | None:
    """Return the microscope of a batch: the row's own values come before the group's."""
    values: list[float] = []
    labels = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnPhaseShift")
    for label in labels:
        own = particles.get(label)
        value = optics.get(label) if own is None else float(np.mean(own[batch.rows]))
        if label == "rlnPhaseShift" and value is None:
            value = 0.0
        if not isinstance(value, float) or not np.isfinite(value):
            return None
        values.append(value)
    voltage_kV, cs_mm, contrast, phase_deg = values
    if voltage_kV <= 0 or not -1 < contrast < 1:
        return None
    return Lens(voltage_kV, cs_mm, contrast, float(np.deg2rad(phase_deg)))


def _judge(report: Report, parts: list[Measures], optics: Mapping[str, object], group: str) -> None:
    """Pool the measures of an optics group and judge them."""
    length = max(len(part.power) for part in parts)
    same = [part for part in parts if len(part.power) == length]
    weights = [len(part.contrast) for part in same]
    pooled = Measures(
        np.concatenate([part.background_mean for part in same]),
        np.concatenate([part.background_sd for part in same]),
        np.concatenate([part.contrast for part in same]),
        np.average([part.power for part in same], axis=0, weights=weights),
    )
    pixel = pixel_size_A(optics) or 1.0
    name = str(optics.get(GROUP_NAME, group))
    report.findings += judge(pooled, pixel, name)
    report.spectra[name] = (pooled.power, 2 * round((length - 1) / np.sqrt(2)) * pixel)


def _contradictions(fits: Mapping[str, DefocusFit]) -> Iterator[Finding]:
    """Warn where most of what can be told speaks against the stated defocus."""
    sure = {name: fit for name, fit in fits.items() if fit.is_sure}
    wrong = {name: fit for name, fit in sure.items() if fit.contradicts}
    if not wrong or 2 * len(wrong) < len(sure):
        return
    told = [
        f"{name} (rows say {fit.stated_A / 1e4:.2f} µm, its images fit {fit.best_A / 1e4:.2f} µm)"
        for name, fit in wrong.items()
    ]
    yield Finding(
        f"In {len(wrong)} of {len(sure)} micrographs that can be judged, the particles do not show "
        "the CTF of their rows: their spectrum swings with another defocus, or pixel size, voltage "
        "or aberration are wrong. With a wrong CTF the resolution ends near its first zero. "
        "Estimate the CTF again before refining.",
        name_a_few(told),
    )


def _multiplied(fits: Mapping[str, DefocusFit], optics: Table) -> Iterator[Finding]:
    """Compare the depth of the CTF's zeros with what the optics table says was done."""
    label = "rlnCtfDataAreCtfPremultiplied"
    stated = optics.get(label, np.zeros(len(optics), bool))
    strengths = [fit.strength for fit in fits.values() if fit.is_sure]
    if not strengths or stated.any() != stated.all():
        return
    strength = float(np.median(strengths))
    if strength > MULTIPLIED_ABOVE and not stated.any():
        yield Finding(
            "The images are empty at the zeros of their CTF, noise included: they were multiplied "
            f"by it, but {label} does not say so. The CTF would be applied twice. Set the column "
            "to 1 in data_optics, or import particles as they were extracted."
        )
    elif strength < MULTIPLIED_BELOW and stated.any():
        yield Finding(
            f"{label} is 1, but noise fills the zeros of the CTF: the images were not multiplied "
            "by it. Set the column to 0 in data_optics."
        )


def _source(particles: Table, row: int) -> str:
    label = "rlnMicrographName" if "rlnMicrographName" in particles else "rlnImageName"
    return str(particles[label][row]).rpartition("@")[2]


def _name(optics: Mapping[str, object]) -> str:
    return str(optics.get(GROUP_NAME, optics.get(GROUP, "?")))
