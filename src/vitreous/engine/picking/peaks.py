"""Peaks of figures of merit, and which of them are kept (preprocessing.md section 6).

NumPy and SciPy hold the lists of peaks: a few thousand points, visited one by one or grouped by a
tree of neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine.picking.matching import Background, Merits, best_angles
from vitreous.engine.picking.preparation import Coarse
from vitreous.engine.picking.templates import Basis

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Points = NDArray[np.float64]


@dataclass(frozen=True)
class PeakSearch:
    """Which peaks are particles.

    Parameters
    ----------
    threshold
        Smallest figure of merit.
    min_distance_px
        Particles are at least so far apart, in pixels of the micrograph.
    border_px
        Nothing nearer than this to an edge of the micrograph.
    max_sigma, min_mean
        Of the background; None for no limit.
    drop_close_pairs
        Where two peaks are too close after the first choice, leave both out, as RELION does; by
        default the better one is kept.
    cluster_radius_px
        Peaks are grouped at this distance first; only with `drop_close_pairs`.
    """

    threshold: float
    min_distance_px: float
    border_px: int
    max_sigma: float | None = None
    min_mean: float | None = None
    drop_close_pairs: bool = False
    cluster_radius_px: float = 0.0


@dataclass(frozen=True)
class Peaks:
    """Particles found, best first.

    Parameters
    ----------
    places_px
        ``n 2``, x y in pixels of the micrograph.
    merit, psi_deg
        ``n``
    reference
        ``n``; number of the reference from 0.
    """

    places_px: Points
    merit: Points
    psi_deg: Points
    reference: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.merit)

    def select(self, rows: NDArray[np.int64]) -> Peaks:
        """Return some of them, in the order asked."""
        return Peaks(
            self.places_px[rows], self.merit[rows], self.psi_deg[rows], self.reference[rows]
        )

    @staticmethod
    def join(parts: list[Peaks]) -> Peaks:
        """Put lists behind one another."""
        return Peaks(
            np.concatenate([part.places_px for part in parts]),
            np.concatenate([part.merit for part in parts]),
            np.concatenate([part.psi_deg for part in parts]),
            np.concatenate([part.reference for part in parts]),
        )


def find_peaks(found: Merits, waves: Basis, at: Coarse, search: PeakSearch) -> Peaks:
    """Find the particles of a micrograph."""
    allowed = where_allowed(found.background, at, search)
    parts = []
    for number, merit in enumerate(found.merit):
        peak = allowed & (merit >= search.threshold) & _is_highest(merit)
        if at.work == at.full:
            peak &= _neighbours_above(merit, search.threshold)
        pixels = torch.nonzero(peak.flatten())[:, 0]
        turn = best_angles(found.maps, waves.weights[number], pixels)
        parts.append(_peaks(pixels, merit, waves.psi_deg[turn.cpu()], number, at))
        if search.drop_close_pairs:
            parts[-1] = _thinned_in_clusters(parts[-1], search)
    return choose(Peaks.join(parts), search)


def where_allowed(around: Background, at: Coarse, search: PeakSearch) -> Bool[Tensor, "v u"]:
    """Tell where particles may lie: off the edge, and where the background is as it should be."""
    sides = []
    for scale, side in zip(at.scale[::-1], at.work, strict=True):
        index = torch.arange(side, device=around.mean.device)
        border = int(search.border_px * scale + 0.5)
        sides.append((index >= border) & (index < side - border))
    allowed = sides[0][:, None] & sides[1]
    if search.max_sigma is not None:
        allowed = allowed & (around.sigma <= search.max_sigma)
    if search.min_mean is not None:
        allowed = allowed & (around.mean >= search.min_mean)
    return allowed


def choose(peaks: Peaks, search: PeakSearch) -> Peaks:
    """Keep peaks that are far enough apart."""
    if not search.drop_close_pairs:
        return peaks.select(thin(peaks.places_px, peaks.merit, search.min_distance_px))
    rest = _thinned_in_clusters(peaks, search)
    if len(rest) > 1:
        pairs = _tree(rest.places_px).query_pairs(search.min_distance_px, output_type="ndarray")
        alone = np.setdiff1d(np.arange(len(rest)), pairs.ravel())
        rest = rest.select(alone)
    return rest.select(np.argsort(-rest.merit, kind="stable"))


def thin(places: Points, merit: Points, distance: float) -> NDArray[np.int64]:
    """Return the rows that are left, best first, where the better of close neighbours stays."""
    order = np.argsort(-merit, kind="stable").astype(np.int64)
    if len(order) < 2 or distance <= 0:
        return order
    across = np.argsort(places[:, 0], kind="stable")
    x, y = places[across].T
    first, stop = np.searchsorted(x, x - distance), np.searchsorted(x, x + distance, "right")
    at = np.empty_like(across)
    at[across] = np.arange(len(across))
    free, kept = np.ones(len(merit), bool), []
    for row in order:
        this = at[row]
        if free[this]:
            kept.append(row)
            near = slice(first[this], stop[this])
            apart = np.square(x[near] - x[this]) + np.square(y[near] - y[this])
            free[near] &= apart >= distance**2
    return np.array(kept, np.int64)


def _thinned_in_clusters(peaks: Peaks, search: PeakSearch) -> Peaks:
    """Thin each group of peaks that hang together by itself, as RELION does."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if len(peaks) < 2:
        return peaks
    tree = _tree(peaks.places_px)
    pairs = tree.query_pairs(search.cluster_radius_px, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(peaks), len(peaks)))
    _, group = connected_components(links, directed=False)
    kept = []
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        inside = thin(peaks.places_px[rows], peaks.merit[rows], search.min_distance_px)
        kept.append(rows[inside])
    return peaks.select(np.concatenate(kept))


def _tree(places: Points) -> cKDTree:
    from scipy import spatial  # slow to import, and only RELION's way of choosing needs it

    return spatial.cKDTree(places)


def _peaks(pixels: Tensor, merit: Tensor, psi_deg: Tensor, number: int, at: Coarse) -> Peaks:
    width = at.work[1]
    row = torch.div(pixels, width, rounding_mode="floor")
    places = torch.stack([pixels - row * width, row], -1).to(torch.float64).cpu()
    return Peaks(
        at.to_micrograph(places).numpy(),
        merit.flatten()[pixels].to(torch.float64).cpu().numpy(),
        psi_deg.to(torch.float64).numpy(),
        np.full(len(pixels), number, np.int64),
    )


def _is_highest(merit: Float[Tensor, "v u"]) -> Bool[Tensor, "v u"]:
    """Tell which pixels are not lower than any of their four neighbours; never those of the rim."""
    highest = torch.zeros(merit.shape, dtype=torch.bool, device=merit.device)
    middle = merit[1:-1, 1:-1]
    highest[1:-1, 1:-1] = (
        (middle >= merit[:-2, 1:-1])
        & (middle >= merit[2:, 1:-1])
        & (middle >= merit[1:-1, :-2])
        & (middle >= merit[1:-1, 2:])
    )
    return highest


def _neighbours_above(merit: Float[Tensor, "v u"], threshold: float) -> Bool[Tensor, "v u"]:
    """Tell which pixels have four neighbours above the threshold: no peak of one hot pixel."""
    above = torch.zeros(merit.shape, dtype=torch.bool, device=merit.device)
    high = merit >= threshold
    above[1:-1, 1:-1] = high[:-2, 1:-1] & high[2:, 1:-1] & high[1:-1, :-2] & high[1:-1, 2:]
    return above
