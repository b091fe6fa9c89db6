"""How far results are from what was put in: maps, poses, classes.

Maps are first laid on the truth by rotation, shift and, where asked for, hand, since a refinement
fixes none of them. What remains is compared shell by shell. Poses lose the one rotation and shift
of the object that they have in common for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from torch import Tensor

from vitreous.engine import boxing, fourier, geometry, masking, projection, resolution, symmetry
from vitreous.io import Table

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
N_VIEWS = 9
N_TRIED = 4000
N_KEPT = 6
AT_ONCE = 200
FINER = 3
NEAR_DEG = 30.0
EDGE_PX = 5


@dataclass(frozen=True)
class Truth:
    """What was put in: a map ``z y x``, its pixel, the sphere that it fills, its symmetry."""

    volume: Tensor
    pixel_size_A: float
    diameter_A: float
    point_group: str = "C1"

    @property
    def box_px(self) -> int:
        """Side of the map."""
        return int(self.volume.shape[-1])

    @property
    def sphere(self) -> Tensor:
        """The sphere, with a soft edge, ``z y x``."""
        radius_px = self.diameter_A / 2 / self.pixel_size_A
        return masking.sphere(self.box_px, 3, radius_px, EDGE_PX)

    def shell(self, resolution_A: float) -> int:
        """Return the shell of a resolution."""
        return min(self.box_px // 2, int(self.box_px * self.pixel_size_A / resolution_A))


# ---------------------------------------------------------------------------------------- maps


def laid_on(volume: Tensor, truth: Truth, limit_A: float, *, from_anywhere: bool) -> Tensor:
    """Return a map rotated and shifted onto the truth; from anywhere: of the hand that fits."""
    if not from_anywhere:
        return _moved(volume, *_refined(volume, truth, np.zeros(6), limit_A)[1:])
    mirrored = boxing.invert_hand(volume)
    found = [(*_searched(one, truth, limit_A), one) for one in (volume, mirrored)]
    _, turn, shift_px, best = max(found, key=lambda one: one[0])
    return _moved(best, turn, shift_px)


def map_quality(volume: Tensor, truth: Truth) -> dict[str, float]:
    """Compare a map with the truth, both inside the sphere, by shells.

    Returns
    -------
    dict
        Resolution where the FSC falls below 0.5 (Å), the shell of it with its fraction, and the
        mean of the FSC over all shells.
    """
    mask = truth.sphere
    curve = resolution.fsc(truth.volume * mask, volume * mask, 3)
    shell = crossing(curve.numpy(), 0.5)
    return {
        "resolution_A": round(truth.box_px * truth.pixel_size_A / max(shell, 1e-6), 2),
        "shell": round(shell, 2),
        "mean_fsc": round(float(curve[1:].mean()), 4),
    }


def crossing(curve: NDArray[np.float64], level: float) -> float:
    """Return the shell where a curve first falls below a level, between shells; the last if never.

    Shell 0 does not count.
    """
    below = np.flatnonzero(curve[1:] < level)
    if not below.size:
        return float(len(curve) - 1)
    after = int(below[0]) + 1
    before, here = float(curve[after - 1]), float(curve[after])
    if after == 1 or before <= level:
        return float(after - 1)
    return after - 1 + (before - level) / (before - here)


def _searched(volume: Tensor, truth: Truth, limit_A: float) -> tuple[float, Tensor, Tensor]:
    """Return likeness, rotation and shift of the best fit among all rotations."""
    middle = torch.tensor(boxing.centre_of_mass(volume * truth.sphere), dtype=torch.float64)
    goal = torch.tensor(boxing.centre_of_mass(truth.volume), dtype=torch.float64)
    coarse_A = 2 * limit_A
    score = _likeness(volume, truth, coarse_A)
    drawn = geometry.random_rotations(N_TRIED, torch.Generator().manual_seed(1), torch.float64)
    shifts = goal - (drawn @ middle)
    parts = zip(torch.split(drawn, AT_ONCE), torch.split(shifts, AT_ONCE), strict=True)
    scores = torch.cat([score(*part) for part in parts])
    best = None
    for row in scores.argsort(descending=True)[:N_KEPT].tolist():
        vector = Rotation.from_matrix(drawn[row].numpy()).as_rotvec()
        start = np.concatenate([vector, shifts[row].numpy()])
        found = _refined(volume, truth, start, coarse_A)
        best = found if best is None or found[0] > best[0] else best
    assert best is not None
    vector = Rotation.from_matrix(best[1].numpy()).as_rotvec()
    return _refined(volume, truth, np.concatenate([vector, best[2].numpy()]), limit_A)


def _refined(
    volume: Tensor, truth: Truth, start: NDArray[np.float64], limit_A: float
) -> tuple[float, Tensor, Tensor]:
    """Return likeness, rotation and shift near a start: a rotation vector, then pixels."""
    score = _likeness(volume, truth, limit_A)
    first = Rotation.from_rotvec(start[:3])

    def loss(change: NDArray[np.float64]) -> float:
        turn = Rotation.from_rotvec(np.deg2rad(10) * change[:3]) * first
        move = torch.from_numpy(change[3:] + start[3:])
        return -float(score(torch.from_numpy(turn.as_matrix())[None], move[None])[0])

    done = minimize(loss, np.zeros(6), method="Powell", options={"xtol": 1e-3, "ftol": 1e-6})
    turn = Rotation.from_rotvec(np.deg2rad(10) * done.x[:3]) * first
    shift_px = torch.from_numpy(done.x[3:] + start[3:])
    return -float(done.fun), torch.from_numpy(turn.as_matrix()), shift_px


def _likeness(volume: Tensor, truth: Truth, limit_A: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what gives the mean FSC of turned and shifted maps with the truth on a few slices.

    It takes rotations ``n 3 3`` and shifts ``n 3`` in pixels and returns ``n`` numbers.
    """
    r_max = max(3, truth.shell(limit_A))
    views = geometry.random_rotations(N_VIEWS, torch.Generator().manual_seed(2), torch.float64)
    size = 2 * r_max
    source = projection.projector(volume.float() * truth.sphere, 2, r_max)
    goal = projection.projector(truth.volume.float(), 2, r_max)
    wanted = projection.project(goal, views.float(), size)
    shells = fourier.shell_index(size, 2).flatten()
    inside = (shells > 0) & (shells <= r_max)
    sorts = torch.nn.functional.one_hot(shells[inside] - 1, r_max).float()

    def by_shell(values: Tensor) -> Tensor:
        return values.flatten(-2)[..., inside].sum(-2) @ sorts

    power = by_shell(wanted.abs().square())

    def score(turns: Tensor, shifts_px: Tensor) -> Tensor:
        n = len(turns)
        planes = (views @ turns[:, None]).reshape(-1, 3, 3).float()
        found = projection.project(source, planes, size).reshape(n, *wanted.shape)
        along = torch.einsum("vij,nj->nvi", views, shifts_px)[..., :2].float()
        found = found * fourier.shift_phases(along, size, box=truth.box_px)
        cross = by_shell((found * wanted.conj()).real)
        own = by_shell(found.abs().square())
        return (cross / (own * power).sqrt().clamp(min=1e-30)).mean(1)

    return score


def _moved(volume: Tensor, turn: Tensor, shift_px: Tensor) -> Tensor:
    """Return ``V(R^-1 (x - t))``; read from a finer grid for linear interpolation."""
    box = volume.shape[-1]
    fine = boxing.rescale(volume.double(), FINER * box, 3)
    line = torch.arange(box, dtype=torch.float64) - box // 2
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    places = torch.stack([x, y, z], -1).reshape(-1, 3) - shift_px
    read = boxing.sample(fine, FINER * (places @ turn))  # the transpose from the right
    return read.reshape(box, box, box).float()


# --------------------------------------------------------------------------------------- poses


def pose_quality(found: Table, true: Table, point_group: str) -> dict[str, float]:
    """Return errors of poses, modulo symmetry and one rotation and shift of the whole object."""
    place = {name: row for row, name in enumerate(true["rlnImageName"].tolist())}
    rows = np.array([place[name] for name in found["rlnImageName"].tolist()])
    own, wanted = matrices(found), matrices(true)[rows]
    shifts = _columns(found, ORIGINS) - _columns(true, ORIGINS)[rows]
    degrees, turned = without_drift(own, wanted, point_group)
    distances = _without_offset(turned, torch.from_numpy(shifts), degrees)
    return {
        "median_deg": round(float(degrees.median()), 2),
        "within_5_deg_percent": round(100 * float((degrees < 5).double().mean()), 1),
        "median_A": round(float(distances.median()), 2),
    }


def matrices(table: Table) -> Tensor:
    """Return the pose matrices of particles, ``n 3 3``."""
    return geometry.matrix_from_euler(torch.from_numpy(_columns(table, ANGLES)))


def without_drift(own: Tensor, wanted: Tensor, point_group: str) -> tuple[Tensor, Tensor]:
    """Return the errors in degrees and the poses in the frame of the truth.

    The rotation that most poses have in common is the mean of those within 30 degrees, twice. With
    more than one mate the axes hold the frame.
    """
    mates = symmetry.rotations(point_group)
    every = torch.stack([own @ mate for mate in mates])
    degrees = torch.stack([geometry.rotation_distance_deg(one, wanted) for one in every])
    nearest = every[degrees.argmin(0), torch.arange(len(own))]
    if len(mates) == 1:
        for _ in range(2):
            near = geometry.rotation_distance_deg(nearest, wanted) < NEAR_DEG
            if not near.any():
                break
            sums = (nearest[near].transpose(1, 2) @ wanted[near]).sum(0)
            u, _, v = torch.linalg.svd(sums)
            upright = torch.diag(torch.tensor([1.0, 1.0, float(torch.det(u @ v))]).double())
            nearest = nearest @ (u @ upright @ v)
    return geometry.rotation_distance_deg(nearest, wanted), nearest


def _without_offset(turned: Tensor, shifts_A: Tensor, degrees: Tensor) -> Tensor:
    """Return the lengths of differences of shifts, without what one shift of the map explains."""
    rows = turned[:, :2]
    near = degrees < 10
    rest: Tensor = shifts_A.norm(dim=1)
    for _ in range(3):
        if int(near.sum()) < 10:
            break
        whole = torch.linalg.lstsq(rows[near].reshape(-1, 3), shifts_A[near].reshape(-1, 1))
        rest = (shifts_A - (rows @ whole.solution)[..., 0]).norm(dim=1)
        near = (degrees < 10) & (rest < 3 * rest[near].median())
    return rest


def _columns(table: Table, labels: tuple[str, ...]) -> NDArray[np.float64]:
    return np.stack([np.asarray(table[label], np.float64) for label in labels], 1)


# ------------------------------------------------------------------------------------- classes


def purity(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """Return the share of particles that are of the commonest kind of their class."""
    counts = np.zeros((found.max() + 1, true.max() + 1))
    np.add.at(counts, (found, true), 1)
    return float(counts.max(1).sum() / len(found))


def well_resolved(
    averages: Tensor, members: NDArray[np.int64], truths: list[Truth], limit_A: float
) -> list[float]:
    """Return the resolution (Å) of each used class average against the projection most like it.

    Parameters
    ----------
    averages
        ``k y x``.
    members
        Particles in each class; classes of fewer than 10 are left out.
    truths
        Molecules that may be seen.
    limit_A
        Likeness is judged up to here.
    """
    size, pixel = averages.shape[-1], truths[0].pixel_size_A
    found = []
    for average in averages[members >= 10]:
        curves = [_ring_correlation(average, truth, limit_A) for truth in truths]
        best = max(curves, key=lambda curve: float(curve[1 : truths[0].shell(limit_A)].mean()))
        found.append(round(size * pixel / max(crossing(best.numpy(), 0.5), 1e-6), 1))
    return found


def _ring_correlation(average: Tensor, truth: Truth, limit_A: float) -> Tensor:
    """Return the FRC with the most similar projection, from a search over views and shifts."""
    r_max, box = truth.shell(limit_A), truth.box_px
    size = 2 * r_max
    source = projection.projector(truth.volume.float(), 2, box // 2)
    radius_px = truth.diameter_A / 2 / truth.pixel_size_A
    image = average * masking.sphere(box, 2, radius_px, EDGE_PX)
    whole = fourier.forward(image[None].float(), 2)
    step = torch.arange(-4.0, 5.0)
    shifts = torch.stack(torch.meshgrid(step, step, indexing="ij"), -1).reshape(-1, 2)
    views = geometry.random_rotations(N_TRIED, torch.Generator().manual_seed(3), torch.float32)
    small = fourier.crop(whole, size, 2) * fourier.shift_phases(shifts, size, box=box)
    slices = projection.project(source, views, size)
    inside = (fourier.shell_index(size, 2) <= r_max) & (fourier.shell_index(size, 2) > 0)
    a, b = (torch.view_as_real(one[:, inside]).flatten(1) for one in (small, slices))
    scores = (b / b.norm(dim=1, keepdim=True)) @ (a / a.norm(dim=1, keepdim=True)).T
    best = int(scores.argmax())
    view, shift_px = views[best // len(shifts)], shifts[best % len(shifts)]

    def curve(change: NDArray[np.float64]) -> Tensor:
        turn = Rotation.from_rotvec(np.deg2rad(10) * change[:3]).as_matrix()
        slice_ = projection.project(source, (torch.from_numpy(turn).float() @ view)[None], box)
        move = shift_px + torch.from_numpy(change[3:]).float()
        there = whole * fourier.shift_phases(move[None], box)
        return resolution.fsc_of_transforms(there, slice_, 2)[0]

    def loss(change: NDArray[np.float64]) -> float:
        return -float(curve(change)[1 : r_max + 1].mean())

    done = minimize(loss, np.zeros(5), method="Powell", options={"xtol": 1e-2, "ftol": 1e-4})
    return curve(done.x)
