"""What a class average is worth, from the poses and places that the simulation knows.

Two things make an average good: its particles are particles, and it shows what the molecule looks
like in some view. `Truth.score` is their product, 0 to 1:

* *purity*, the share of its particles whose aligned centre lies on a whole molecule;
* *clarity*, from the ring correlation (FRC) with the best of the true projections in the viewing
  directions of its particles, over in-plane angle and shift: the number of elements, of the size
  that is resolved at FRC 0.5, that fit across the molecule; 1.5 give 0, 3.5 and more give 1. Of
  molecules larger than 240 Å, an element must be as small as it is in one of 240 Å.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from tools.class_ranker.simulate import Recipe, true_centres_px

from vitreous.dataset.chosen_classes import read_classification
from vitreous.engine.masking import sphere
from vitreous.io import Table, read_images, read_star
from vitreous.testing.simulate.density import to_image
from vitreous.testing.simulate.projection import Camera, project
from vitreous.testing.simulate.rotations import matrices
from vitreous.testing.simulate.specimens import State

ELEMENTS_NONE, ELEMENTS_ALL = 1.5, 3.5
LARGE_A = 240.0
FRC_LIMIT = 0.5
_MOST_VIEWS = 40
_COARSE_DEG, _FINE_DEG = 6.0, 1.5


@dataclass(frozen=True)
class Truth:
    """What is true of a class average.

    Parameters
    ----------
    n_particles
        Assigned to it.
    purity
        Share of them that are whole, centred molecules.
    resolved_A
        Where its FRC with the best true projection falls below 0.5; infinite for never above.
    elements
        Diameter of the molecule (that of a ball of its radius of gyration, at most 240 Å) over
        `resolved_A`.
    """

    n_particles: int
    purity: float
    resolved_A: float
    elements: float

    @property
    def clarity(self) -> float:
        """From 0, a blob, to 1, its shape with details."""
        share = (self.elements - ELEMENTS_NONE) / (ELEMENTS_ALL - ELEMENTS_NONE)
        return float(np.clip(share, 0, 1))

    @property
    def score(self) -> float:
        """What the ranker is to predict."""
        return self.purity * self.clarity


def judge(recipe: Recipe, states: tuple[State, ...], folder: Path, model: str) -> list[Truth]:
    """Judge every class of a model file, whose path starts from the folder."""
    classification = read_classification(model, folder)
    truth = read_star(folder / "truth.star")["particles"]
    truth = truth.select(truth["rlnClassNumber"] == 1)
    particles = classification.particles
    partner = partners(particles, truth, recipe)
    names = classification.classes["rlnReferenceImage"].tolist()
    at = (str(name).partition("@") for name in names)
    averages = read_images([f"{n}@{folder / file}" for n, _, file in at]).astype(np.float64)
    return [
        _judge(recipe, states[0], average, truth, partner[particles["rlnClassNumber"] == number])
        for number, average in enumerate(averages, start=1)
    ]


def _judge(
    recipe: Recipe, state: State, average: np.ndarray, truth: Table, partner: np.ndarray
) -> Truth:
    members = partner[partner >= 0]
    purity = len(members) / len(partner) if len(partner) else 0.0
    resolved = np.inf
    if len(members) and average.std() > 0:
        seen = truth.select(members[:_MOST_VIEWS])
        angles = np.stack([seen["rlnAngleRot"], seen["rlnAngleTilt"]], axis=1)
        resolved = best_resolution_A(recipe, state, average, angles)
    return Truth(len(partner), purity, resolved, min(recipe.blob_A, LARGE_A) / resolved)


def partners(particles: Table, truth: Table, recipe: Recipe) -> np.ndarray:
    """Return the row of the molecule that each particle is, or -1."""
    here = true_centres_px(particles, recipe.pixel_A)
    partner = np.full(len(particles), -1)
    for name in np.unique(truth["rlnMicrographName"].astype(str)):
        mine = np.flatnonzero(particles["rlnMicrographName"].astype(str) == name)
        rows = np.flatnonzero(truth["rlnMicrographName"].astype(str) == name)
        if not len(mine):
            continue
        tree = cKDTree(true_centres_px(truth.select(rows), recipe.pixel_A))
        distance, nearest = tree.query(here[mine])
        close = distance * recipe.pixel_A < 0.35 * recipe.blob_A
        partner[mine[close]] = rows[nearest[close]]
    return partner


def best_resolution_A(
    recipe: Recipe, state: State, average: np.ndarray, angles_deg: np.ndarray
) -> float:
    """Return to what resolution an average agrees with the true projection that fits best.

    Parameters
    ----------
    average
        ``(y, x)``.
    angles_deg
        ``(n, 2 or more)``, rot and tilt of the views that are compared.
    """
    camera = Camera(recipe.box_px, recipe.pixel_A)
    angles = angles_deg[:, :2]
    turns = matrices(np.column_stack([angles, np.zeros(len(angles))]))
    waves = project(state.scatterers, turns, np.zeros((len(angles), 2)), camera)
    views = to_image(waves).astype(np.float64)
    mask = _mask(recipe)
    views = (views - views.mean((1, 2), keepdims=True)) * mask
    coarse = np.arange(0, 360, _COARSE_DEG)
    _, view, turn = max(
        (*_best_view(_turned(average, float(angle)), views), float(angle)) for angle in coarse
    )
    near = turn + np.arange(-_COARSE_DEG, _COARSE_DEG + 0.1, _FINE_DEG)
    turn = max((_best_view(_turned(average, a), views[[view]])[0], float(a)) for a in near)[1]
    return _resolved_A(_aligned_frc(_turned(average, turn), views[view], mask), recipe)


def _turned(image: np.ndarray, angle_deg: float) -> np.ndarray:
    """Turn about pixel size // 2."""
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    matrix = np.array([[c, -s], [s, c]])
    middle = np.array(image.shape) // 2
    return np.asarray(
        ndimage.affine_transform(image, matrix, offset=middle - matrix @ middle, order=3)
    )


def _best_view(image: np.ndarray, views: np.ndarray) -> tuple[float, int]:
    """Return the largest correlation coefficient over views and shifts, and the view."""
    a = np.fft.rfft2(image - image.mean())
    b = np.fft.rfft2(views)
    scores = np.fft.irfft2(a[None] * b.conj(), s=image.shape).max((1, 2))
    scores /= np.linalg.norm(views, axis=(1, 2)) * np.linalg.norm(image - image.mean()) + 1e-12
    return float(scores.max()), int(scores.argmax())


def _aligned_frc(image: np.ndarray, view: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the FRC after the best shift, in quarters of pixels."""
    size = len(image)
    a, b = np.fft.rfft2((image - image.mean()) * mask), np.fft.rfft2(view)
    lags = np.fft.irfft2(a * b.conj(), s=image.shape)
    y, x = np.unravel_index(lags.argmax(), lags.shape)
    ky, kx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    shell = np.round(np.hypot(ky, kx) * size).astype(int)
    power = np.sqrt(_sum(np.abs(a) ** 2, shell) * _sum(np.abs(b) ** 2, shell)) + 1e-12
    best = np.zeros(size // 2 + 1)
    for dy in np.arange(-0.5, 0.51, 0.25):
        for dx in np.arange(-0.5, 0.51, 0.25):
            moved = a * np.exp(2j * np.pi * (ky * (y + dy) + kx * (x + dx)))
            frc = _sum((moved * b.conj()).real, shell) / power
            best = frc if frc[1:].sum() > best[1:].sum() else best
    return best


def _sum(values: np.ndarray, shell: np.ndarray) -> np.ndarray:
    n = shell.shape[0] // 2 + 1
    return np.bincount(shell.ravel(), values.ravel(), minlength=n)[:n]


def _resolved_A(frc: np.ndarray, recipe: Recipe) -> float:
    """Return where the curve first falls below the limit, between shells."""
    below = np.flatnonzero(frc[1:] < FRC_LIMIT) + 1
    if not len(below):
        return 2 * recipe.pixel_A
    k = int(below[0])
    if k == 1:
        return np.inf
    at = k - 1 + (frc[k - 1] - FRC_LIMIT) / (frc[k - 1] - frc[k])
    return float(recipe.box_px * recipe.pixel_A / at)


def _mask(recipe: Recipe) -> np.ndarray:
    radius = recipe.mask_A / 2 / recipe.pixel_A
    return sphere(recipe.box_px, 2, radius - 2.5, 5.0).double().numpy()
