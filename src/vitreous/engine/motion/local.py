"""Motion that differs over the field of view, as a polynomial of place and time.

For each axis the shift at x, y (-1/2 to 1/2 across the frame) and frame z (from 0) is
``sum over p in {1, x, x^2, y, y^2, xy} of p (c1 z + c2 z^2 + c3 z^3)``, with the 18 coefficients
in the order c[3 p + power - 1] (preprocessing.md section 3, formats.md section 7).

It is fitted to the shifts of patches that were aligned one by one, and then refined on all patches
together: the coefficients climb the sum of all correlations by Newton's method. Patches too faint
to be aligned by themselves still count there, in the measure of what they show.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.motion.align import FINE
from vitreous.engine.motion.patches import Patches
from vitreous.engine.motion.stacks import Stacks, Window

N_COEFFICIENTS = 18
ROUGH = (2.0, 1.0, 0.5, 0.5, 0.5, 0.5)
FINAL = (0.5, 0.5, 0.5, 0.5)
_REFINED_PX = 0.01


@dataclass(frozen=True)
class LocalModel:
    """The polynomial.

    Parameters
    ----------
    coefficients_px
        ``(2, 18)``, of the shift along x and y.
    rms_px
        ``(2,)``, deviation from it of the patches that were aligned one by one.
    """

    coefficients_px: Float[Tensor, "2 18"]
    rms_px: Float[Tensor, " 2"]


def fit(
    place_px: Float[Tensor, "p 2"],
    time: Float[Tensor, " g"],
    shift_px: Float[Tensor, "p g 2"],
    shape: tuple[int, int],
    *,
    relion_compat: bool = False,
) -> LocalModel | None:
    """Fit the polynomial by least squares; None where there are too few observations.

    The shift of each patch in the first frame is unknown and is fitted with the polynomial:
    otherwise the error of the first frame alone would enter the motion of all others.

    Parameters
    ----------
    place_px
        Centres of the patches, x y.
    time
        Middle of each group of frames, in frames from 0.
    shift_px
        Shifts of the patches.
    shape
        ``(y, x)`` of the frames.
    relion_compat
        Take the shift that a patch has at z = 0, by interpolation, as exact, and put the time of
        a group half a frame late.
    """
    n_patches, n_groups = shift_px.shape[:2]
    if n_patches * n_groups <= N_COEFFICIENTS or n_groups < 3:
        return None
    time, shift = time.to(torch.float64), shift_px.to(torch.float64)
    if relion_compat:
        time = time + 0.5
        shift = shift - _at_start(time, shift)
    basis = _basis(place_px, time, shape)
    if not relion_compat:
        shift, basis = _centred(shift), _centred(basis)
    solved = torch.linalg.lstsq(
        basis.flatten(0, 1).cpu(), shift.flatten(0, 1).cpu(), driver="gelsd"
    ).solution.to(shift.device)
    rms = (basis @ solved - shift).square().mean((0, 1)).sqrt()
    return LocalModel(solved.T.to(torch.float32), rms.to(torch.float32))


def refine(
    patches: Patches,
    stacks: Stacks,
    coefficients_px: Float[Tensor, "2 18"] | None,
    steps: tuple[float, ...] = ROUGH,
) -> Float[Tensor, "2 18"]:
    """Refine the polynomial on all patches together.

    Parameters
    ----------
    patches
        Where they are.
    stacks
        Their images.
    coefficients_px
        To begin with; no motion is tried too, and the better is taken.
    steps
        Distance of the points at which slopes are measured, in pixels of the correlation map.
    """
    basis = _basis(patches.centre_px, patches.time.to(torch.float64), patches.shape)
    still = torch.zeros(2, N_COEFFICIENTS, dtype=torch.float64, device=basis.device)
    found = still
    if coefficients_px is not None:
        given = coefficients_px.to(torch.float64)
        if _total(stacks, basis, given) > _total(stacks, basis, still):
            found = given
    best, highest_yet = found, -torch.inf
    for step in steps:
        window = Window(step, (1, 1))
        maps = stacks.maps(basis @ found.T, window)
        value = float(maps[..., 2, 2].sum())
        if step == FINE.step and value > highest_yet:
            best, highest_yet = found, value
        change = _newton(maps, stacks.scale() * step, basis)
        found = found + change
        if step == FINE.step and float((basis @ change.T).abs().max()) < _REFINED_PX:
            break
    return (found if _total(stacks, basis, found) >= highest_yet else best).to(torch.float32)


def deviation(
    coefficients_px: Float[Tensor, "2 18"], patches: Patches, shift_px: Float[Tensor, "p g 2"]
) -> Float[Tensor, "p 2"]:
    """Return the mean square difference between shifts of patches and the model, in px².

    What is the same in all frames of a patch does not count.
    """
    model = shifts_at(coefficients_px, patches.centre_px, patches.time, patches.shape)
    return _centred(shift_px - model).square().mean(1)


def without_mean(
    coefficients_px: Float[Tensor, "2 18"], frame: Float[Tensor, " f"]
) -> tuple[Float[Tensor, "f 2"], Float[Tensor, "2 18"]]:
    """Split a model into its mean over the field of view in each frame, and a model without mean.

    x and y run from -1/2 to 1/2, so that the mean of x² and of y² is 1/12 and of the rest 0.
    """
    model = coefficients_px.to(torch.float64).reshape(2, 6, 3)
    in_time = model[:, 0] + (model[:, 2] + model[:, 4]) / 12
    mean = torch.stack([frame, frame**2, frame**3], 1) @ in_time.T
    rest = model.clone()
    rest[:, 0] -= in_time
    dtype = coefficients_px.dtype
    return mean.to(dtype), rest.reshape(2, -1).to(dtype)


def field(coefficients_px: Float[Tensor, "2 18"], frame: float) -> Float[Tensor, "2 6"]:
    """Return the coefficients over the field of view of one frame (from 0): those of `in_space`."""
    time = torch.tensor([frame, frame**2, frame**3], dtype=coefficients_px.dtype)
    return coefficients_px.reshape(2, 6, 3) @ time.to(coefficients_px.device)


def shifts_at(
    coefficients_px: Float[Tensor, "2 18"],
    place_px: Float[Tensor, "p 2"],
    time: Float[Tensor, " g"],
    shape: tuple[int, int],
) -> Float[Tensor, "p g 2"]:
    """Return the local shift of places.

    Parameters
    ----------
    coefficients_px
        Of the model.
    place_px
        x y in the frame.
    time
        In frames from 0.
    shape
        ``(y, x)`` of the frame.
    """
    return _basis(place_px, time, shape).to(coefficients_px.dtype) @ coefficients_px.T


def in_space(place_px: Float[Tensor, "p 2"], shape: tuple[int, int]) -> Float[Tensor, "p 6"]:
    """Return 1, x, x², y, y², xy of places."""
    x = place_px[:, 0] / shape[1] - 0.5
    y = place_px[:, 1] / shape[0] - 0.5
    return torch.stack([torch.ones_like(x), x, x**2, y, y**2, x * y], 1)


def _basis(place_px: Tensor, time: Tensor, shape: tuple[int, int]) -> Float[Tensor, "p g 18"]:
    time = time.to(torch.float64)
    powers = torch.stack([time, time**2, time**3], 1)
    space = in_space(place_px.to(torch.float64), shape)
    return (space[:, None, :, None] * powers[None, :, None, :]).flatten(-2)


def _centred(values: Tensor) -> Tensor:
    """Take out what does not change with time."""
    return values - values.mean(1, keepdim=True)


def _at_start(time: Tensor, shift: Tensor) -> Tensor:
    """Return the shift at time 0, continued from the first two groups by a straight line."""
    slope = (shift[:, 1:2] - shift[:, :1]) / (time[1] - time[0])
    return shift[:, :1] - slope * time[0]


def _total(stacks: Stacks, basis: Tensor, coefficients: Tensor) -> float:
    return float(stacks.maps(basis @ coefficients.T, FINE)[..., 2, 2].sum())


def _newton(maps: Float[Tensor, "p g 5 5"], spacing_px: Tensor, basis: Tensor) -> Tensor:
    """Return the change of coefficients that the slopes and curvatures in the middle ask for.

    The curvature of a patch is averaged over its frames, which all show the same.
    """
    maps = maps.to(torch.float64)
    change = []
    for axis, line in enumerate((maps[..., 2, 1:4], maps[..., 1:4, 2])):
        slope = (line[..., 2] - line[..., 0]) / (2 * spacing_px[axis])
        curve = (2 * line[..., 1] - line[..., 0] - line[..., 2]) / spacing_px[axis] ** 2
        curve = curve.mean(1).clamp(min=0)
        centred = _centred(basis)
        normal = torch.einsum("p,pgi,pgj->ij", curve, centred, centred)
        right = torch.einsum("pg,pgi->i", _centred(slope), centred)
        change.append(torch.linalg.pinv(normal, rtol=1e-9, hermitian=True) @ right)
    return torch.stack(change)
