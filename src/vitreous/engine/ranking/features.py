"""What is measured on class averages for their score: numbers that do not care how they lie.

The families are those of RELION's class ranker (Kimanius et al. 2021, Biochem. J. 478, 4169, and
postprocessing.md section 1): accuracies and resolution of the classification, grey values of
ring, protein and solvent, signal outside of the protein and at the border, the low-passed image,
granulometry, and how a class compares with the others of its job. Radial profiles, powers of
angular harmonics and the detail of each size (`bands`) are added. All are the same for an average
that is turned or mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from vitreous.engine.ranking import bands
from vitreous.engine.ranking.islands import protein_masks
from vitreous.engine.ranking.preparation import RADIUS_PX, Prepared, disc, distance, prepare

_RINGS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_DISCS = (1, 2, 3, 4, 5, 6)
LEAST_PARTICLES = 10  # classes of so many or fewer are not judged
_UNKNOWN_ACCURACY = 60.0
_SPREAD_FLOOR = 1e-3
_FINEST_A, _MOST_ELEMENTS = 15.0, 14.0  # better is not better still: it is how finely one sampled


@dataclass(frozen=True)
class Statistics:
    """What the classification says about its classes, each ``(n,)``.

    Parameters
    ----------
    n_particles
        Assigned to the class.
    resolution_A
        Estimated resolution; infinite for none.
    accuracy_deg, accuracy_A
        Of rotations and of shifts; 999 where they are not known.
    """

    n_particles: Float[Tensor, " n"]
    resolution_A: Float[Tensor, " n"]
    accuracy_deg: Float[Tensor, " n"]
    accuracy_A: Float[Tensor, " n"]


def features(
    averages: Float[Tensor, "n y x"],
    pixel_size_A: float,
    diameter_A: float,
    statistics: Statistics,
) -> dict[str, Float[Tensor, " n"]]:
    """Measure all classes of a job.

    Parameters
    ----------
    averages
        All class averages, white, in the order of the classes.
    pixel_size_A
        Of the averages.
    diameter_A
        Of the mask of the classification.
    statistics
        Of all classes. Classes without particles do not enter the comparisons within the job.

    Returns
    -------
    dict
        A number for each class under each name, always in the same order.
    """
    images = prepare(averages, pixel_size_A, diameter_A)
    masks = protein_masks(images.low_passed)
    each = [_of_image(images, masks, i) for i in range(len(averages))]
    measured = {
        name: torch.tensor([row[name] for row in each], dtype=torch.float64) for name in each[0]
    }
    box_A = averages.shape[-1] * pixel_size_A
    measured |= _of_statistics(statistics, diameter_A, box_A)
    return measured | _within_job(measured, images.amplitudes, statistics.n_particles > 0)


def _of_statistics(
    of: Statistics, diameter_A: float, box_A: float
) -> dict[str, Float[Tensor, " n"]]:
    resolution = of.resolution_A.to(torch.float64).clamp(max=box_A)
    n = of.n_particles.to(torch.float64)
    accuracy = of.accuracy_deg.to(torch.float64).clamp(max=_UNKNOWN_ACCURACY)
    shift = of.accuracy_A.to(torch.float64).clamp(max=_UNKNOWN_ACCURACY)
    return {
        "accuracy_rotation": accuracy,
        "accuracy_translation": (shift / diameter_A).clamp(max=0.5),
        "weighted_resolution": 100 / (resolution**2 * (n + 1.7).log()),
        "relative_resolution": resolution / box_A,
        "mask_elements": (diameter_A / resolution).clamp(max=_MOST_ELEMENTS),
        "resolution": resolution.clamp(min=_FINEST_A).log(),
        "log_particles": (n + 1).log(),
    }


def _within_job(
    measured: dict[str, Tensor], amplitudes: Tensor, filled: Tensor
) -> dict[str, Float[Tensor, " n"]]:
    """Compare the classes of a job: in deviations from their mean, or with the best."""
    strength = amplitudes.clamp(min=1e-12).log()
    rows = {
        "job_protein_sum": measured["protein_area"] * measured["protein_mean"],
        "job_solvent_sum": measured["solvent_mean"],
        "job_relative_signal": measured["protein_mean"] - measured["solvent_mean"],
        "job_amplitude": strength,
        "job_particles": measured["log_particles"],
        "job_resolution": measured["resolution"],
    }
    best = measured["resolution"][filled].min() if filled.any() else 0.0
    compared = {name: _standardised(values, filled) for name, values in rows.items()}
    return compared | {"behind_best": measured["resolution"] - best}


def _standardised(values: Tensor, filled: Tensor) -> Float[Tensor, " n"]:
    known = values[filled]
    if len(known) < 2:
        return torch.zeros_like(values)
    return (values - known.mean()) / known.std().clamp(min=_SPREAD_FLOOR)


def _of_image(images: Prepared, masks: Bool[Tensor, "n y x"], index: int) -> dict[str, float]:
    image, smooth, mask = images.images[index], images.low_passed[index], masks[index]
    inside = disc(1.0)
    values = image[inside]
    return {
        **_grey_values(image, mask, inside),
        **_outside_protein(smooth, mask, inside),
        "low_pass_mean": float(smooth[inside].mean()),
        "low_pass_sigma": float(smooth[inside].std()),
        "low_pass_min": float(smooth[inside].min()),
        "low_pass_max": float(smooth[inside].max()),
        "skewness": float(((values - values.mean()) ** 3).mean()),
        "kurtosis": float(((values - values.mean()) ** 4).mean().clamp(max=50)),
        **_profile(image),
        **_harmonics(smooth),
        **_granulometry(smooth, inside),
        **bands.of_image(image, mask),
    }


def _grey_values(image: Tensor, mask: Tensor, inside: Tensor) -> dict[str, float]:
    ring, solvent = image[disc(0.95, 0.8)], image[inside & ~mask]
    protein = image[mask]
    has_protein, has_solvent = protein.numel() > 1, solvent.numel() > 1
    area = float(mask.sum() / inside.sum())
    return {
        "ring_mean": float(ring.mean()),
        "ring_sigma": float(ring.std()),
        "protein_mean": float(protein.mean()) if has_protein else 0.0,
        "protein_sigma": float(protein.std()) if has_protein else 0.0,
        "solvent_mean": float(solvent.mean()) if has_solvent else 0.0,
        "solvent_sigma": float(solvent.std()) if has_solvent else 0.0,
        "protein_area": area,
    }


def _outside_protein(smooth: Tensor, mask: Tensor, inside: Tensor) -> dict[str, float]:
    """Return the share of bright signal that lies apart from protein, and at the border."""
    bright = smooth.clamp(min=0) * inside
    total = max(float(bright.sum()), 1e-9)
    positive = smooth.clamp(min=0)[inside]
    y, x = (torch.arange(size, dtype=torch.float64) - size // 2 for size in smooth.shape)
    centre = torch.stack([(bright.sum(0) * x).sum(), (bright.sum(1) * y).sum()]) / total
    return {
        "scattered": float((bright * ~mask).sum()) / total,
        "edge": float((bright * disc(1.0, 0.85)).sum()) / total,
        "spread": float(((bright * distance() ** 2).sum() / total).sqrt()),
        "off_centre": float(centre.norm()) / RADIUS_PX,
        "negative": float((-smooth.clamp(max=0))[inside].sum() / positive.sum().clamp(min=1e-9)),
    }


def _profile(image: Tensor) -> dict[str, float]:
    found = {}
    for number, (low, high) in enumerate(pairwise(_RINGS), start=1):
        ring = image[disc(high, low)]
        found[f"profile_mean_{number}"] = float(ring.mean())
        found[f"profile_sigma_{number}"] = float(ring.std())
    return found


def _harmonics(smooth: Tensor) -> dict[str, float]:
    """Return the shares of power in angular harmonics 0, 1, 2, 3 to 5, of the low-passed image."""
    angles = torch.arange(96, dtype=torch.float64) * (2 * torch.pi / 96)
    radii = torch.arange(1, int(RADIUS_PX), dtype=torch.float64)
    y = radii[:, None] * torch.sin(angles) + smooth.shape[0] // 2
    x = radii[:, None] * torch.cos(angles) + smooth.shape[1] // 2
    polar = ndimage.map_coordinates(smooth.numpy(), np.stack([y.numpy(), x.numpy()]), order=1)
    weights = radii.numpy()[:, None]
    orders = np.arange(6)
    waves = polar @ np.exp(-1j * np.outer(angles.numpy(), orders)) / len(angles)
    power = (np.abs(waves) ** 2 * weights).sum(axis=0) * np.where(orders, 2, 1)
    total = max(float((polar**2 * weights).mean(axis=1).sum()), 1e-12)
    parts = {"0": slice(0, 1), "1": slice(1, 2), "2": slice(2, 3), "3_to_5": slice(3, 6)}
    return {f"harmonic_{name}": float(power[m].sum()) / total for name, m in parts.items()}


def _granulometry(smooth: Tensor, inside: Tensor) -> dict[str, float]:
    """Return what is left of the bright part after openings with discs of growing radius."""
    bright = (smooth.clamp(min=0) * inside).numpy()
    total = max(float(bright.sum()), 1e-9)
    found = {}
    for size in _DISCS:
        y, x = np.ogrid[-2 * size : 2 * size + 1, -2 * size : 2 * size + 1]
        opened = ndimage.grey_opening(bright, footprint=x**2 + y**2 <= (2 * size) ** 2)
        found[f"granulometry_{size}"] = float(opened.sum()) / total
    return found
