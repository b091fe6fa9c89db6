"""``postprocess.star`` and the curve as EMDB takes it, in RELION's names and order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from vitreous.engine import resolution
from vitreous.engine.sharpening import Line
from vitreous.io import Table, write_star
from vitreous.io.atomic import write_text

_NOWHERE = 999.0  # RELION's resolution of shell 0


@dataclass(frozen=True)
class Measured:
    """Curves of two half-maps, and what is read off them.

    Parameters
    ----------
    halves, mask
        Files; `mask` may be empty.
    curves
        By shell.
    box_px, pixel_size_A
        Of the maps.
    inside
        Share of the box where the mask is above one half.
    weight_kDa
        Ordered mass, 0 where unknown.
    """

    halves: tuple[str, str]
    mask: str
    curves: resolution.FscCurves
    box_px: int
    pixel_size_A: float
    inside: float
    weight_kDa: float = 0.0

    @property
    def resolution_A(self) -> float:
        """At 0.143, infinity where the curve falls at once."""
        return resolution.resolution_A(self.curves.best, self.box_px, self.pixel_size_A)

    @property
    def resolution_text(self) -> str:
        """The resolution in words."""
        found = self.resolution_A
        return f"{found:.2f} Å" if math.isfinite(found) else "no resolution"

    @property
    def fractions(self) -> dict[str, float]:
        """Volume of the sphere in the box over that of the particle: by the mask, by the weight."""
        found = {"mask": resolution.SPHERE_IN_BOX / self.inside}
        if self.weight_kDa > 0:
            found["weight"] = resolution.sphere_over_particle(
                self.box_px, self.pixel_size_A, 1000 * self.weight_kDa
            )
        return found

    def frequencies_per_A(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return 1/d of each shell; shell 0 is at 1/999 Å."""
        found = np.arange(len(self.curves.unmasked)) / (self.box_px * self.pixel_size_A)
        found[0] = 1 / _NOWHERE
        return np.asarray(found, np.float64)


@dataclass(frozen=True)
class Guinier:
    """Logarithms of mean amplitudes by shell, after each step that was done.

    Parameters
    ----------
    inverse_d2
        1/d² in 1/Å².
    original, without_mtf, weighted, sharpened
        ``s`` each; None where the step was left out.
    line
        Through the plot before sharpening.
    """

    inverse_d2: Tensor
    original: Tensor
    without_mtf: Tensor | None = None
    weighted: Tensor | None = None
    sharpened: Tensor | None = None
    line: Line | None = None

    @property
    def last_amplitudes(self) -> Tensor:
        """What the line is fitted to."""
        if self.weighted is not None:
            return self.weighted
        return self.original if self.without_mtf is None else self.without_mtf


def write_report(
    path: Path, root: str, measured: Measured, guinier: Guinier, b_factor_A2: float | None
) -> None:
    """Write ``postprocess.star``: blocks general, fsc and guinier; `root` is that of the maps."""
    general = _general(root, measured, guinier, b_factor_A2)
    write_star(path, [general, _fsc(measured), _guinier(guinier)])


def _general(root: str, measured: Measured, guinier: Guinier, b_factor_A2: float | None) -> Table:
    found_A, curves = measured.resolution_A, measured.curves
    values: dict[str, list[object]] = {
        "rlnFinalResolution": [found_A if math.isfinite(found_A) else _NOWHERE]
    }
    if b_factor_A2:
        values["rlnBfactorUsedForSharpening"] = [b_factor_A2]
    values["rlnUnfilteredMapHalf1"] = [measured.halves[0]]
    values["rlnUnfilteredMapHalf2"] = [measured.halves[1]]
    values["rlnPostprocessedMap"] = [f"{root}.mrc"]
    fractions = measured.fractions
    if "weight" in fractions:
        values["rlnMolecularWeight"] = [measured.weight_kDa]
        values["rlnParticleBoxFractionMolecularWeight"] = [fractions["weight"]]
    if measured.mask:
        values["rlnParticleBoxFractionSolventMask"] = [fractions["mask"]]
        values["rlnMaskName"] = [measured.mask]
        values["rlnPostprocessedMapMasked"] = [f"{root}_masked.mrc"]
        box_A = measured.box_px * measured.pixel_size_A
        values["rlnRandomiseFrom"] = [box_A / curves.randomised_from]
    if guinier.line:
        values["rlnFittedSlopeGuinierPlot"] = [guinier.line.slope]
        values["rlnFittedInterceptGuinierPlot"] = [guinier.line.intercept]
        values["rlnCorrelationFitGuinierPlot"] = [guinier.line.correlation]
    return Table.from_columns("general", values, is_list=True)


def _fsc(measured: Measured) -> Table:
    curves = measured.curves
    frequency = measured.frequencies_per_A()
    columns: dict[str, object] = {
        "rlnSpectralIndex": np.arange(len(frequency)),
        "rlnResolution": frequency,
        "rlnAngstromResolution": 1 / frequency,
    }
    shares = {
        "mask": "rlnFourierShellCorrelationParticleMaskFraction",
        "weight": "rlnFourierShellCorrelationParticleMolWeight",
    }
    if curves.masked is not None and curves.randomised is not None:
        columns["rlnFourierShellCorrelationCorrected"] = curves.best.numpy()
        for name, fraction in measured.fractions.items():
            columns[shares[name]] = resolution.particle_fsc(curves.unmasked, fraction).numpy()
    columns["rlnFourierShellCorrelationUnmaskedMaps"] = curves.unmasked.numpy()
    if curves.masked is not None and curves.randomised is not None:
        columns["rlnFourierShellCorrelationMaskedMaps"] = curves.masked.numpy()
        label = "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"
        columns[label] = curves.randomised.numpy()
    return Table.from_columns("fsc", columns)


def _guinier(guinier: Guinier) -> Table:
    columns: dict[str, object] = {
        "rlnResolutionSquared": guinier.inverse_d2.numpy(),
        "rlnLogAmplitudesOriginal": guinier.original.numpy(),
    }
    for label, values in (
        ("rlnLogAmplitudesMTFCorrected", guinier.without_mtf),
        ("rlnLogAmplitudesWeighted", guinier.weighted),
        ("rlnLogAmplitudesSharpened", guinier.sharpened),
    ):
        if values is not None:
            columns[label] = values.numpy()
    if guinier.line:
        n = len(guinier.inverse_d2)
        columns["rlnLogAmplitudesIntercept"] = np.full(n, guinier.line.intercept)
    return Table.from_columns("guinier", columns)


def write_fsc_text(path: Path, measured: Measured) -> None:
    """Write the curve that counts as two columns: 1/Å and correlation."""
    pairs = zip(measured.frequencies_per_A().tolist(), measured.curves.best.tolist(), strict=True)
    write_text(path, "".join(f"{x:12.6g} {y:12.6g}\n" for x, y in pairs))


def write_fsc_xml(path: Path, measured: Measured) -> None:
    """Write the curve that counts as EMDB takes it for a deposition."""
    masked = "masked-corrected" if measured.curves.corrected is not None else "unmasked"
    points = "".join(
        f"  <coordinate>\n    <x>{x:.6g}</x>\n    <y>{y:.6g}</y>\n  </coordinate>\n"
        for x, y in zip(
            measured.frequencies_per_A().tolist(), measured.curves.best.tolist(), strict=True
        )
    )
    head = (
        f'<fsc title="vitreous {masked} FSC" xaxis="Resolution (A-1)" '
        'yaxis="Correlation Coefficient">\n'
    )
    write_text(path, f"{head}{points}</fsc>\n")
