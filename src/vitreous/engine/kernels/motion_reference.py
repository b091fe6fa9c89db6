"""Frames of movies in plain torch: what the compiled versions must agree with, on any device."""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def warp(
    frame: Float[Tensor, "y x"], field_px: Float[Tensor, "2 6"], *, cubic: bool
) -> Float[Tensor, "y x"]:
    """Sample a frame at X - s(X), s being a shift that is quadratic in the place.

    Parameters
    ----------
    frame
        ``(y, x)``.
    field_px
        ``(2, 6)``: coefficients of 1, x, x², y, y², xy of the shift along x and along y, with x
        and y from -1/2 to 1/2 across the frame. A positive shift moves the content to larger
        indices; outside of the frame its nearest pixel counts.
    cubic
        Weigh 4 x 4 pixels with cubic B-splines (which blur by a known envelope), not 2 x 2
        linearly.
    """
    ny, nx = frame.shape
    y = torch.arange(ny, device=frame.device)
    x = torch.arange(nx, device=frame.device)
    at_y, at_x = (y / ny - 0.5)[:, None], (x / nx - 0.5)[None]
    powers = (torch.ones_like(at_x), at_x, at_x**2, at_y, at_y**2, at_x * at_y)
    dx, dy = (
        -sum(c * p for c, p in zip(row, powers, strict=True)).expand(ny, nx)
        for row in field_px.to(frame.dtype)
    )
    whole_y, whole_x = dy.floor(), dx.floor()
    weights_y, weights_x = _weights(dy - whole_y, cubic=cubic), _weights(dx - whole_x, cubic=cubic)
    rows, columns = y[:, None] + whole_y.to(torch.int64), x + whole_x.to(torch.int64)
    taps = range(-1, 3) if cubic else range(2)
    moved = torch.zeros_like(frame)
    for j, weight_y in zip(taps, weights_y, strict=True):
        row = (rows + j).clamp(0, ny - 1)
        for i, weight_x in zip(taps, weights_x, strict=True):
            moved += weight_y * weight_x * frame[row, (columns + i).clamp(0, nx - 1)]
    return moved


def add_(
    wave: Complex[Tensor, "y xh"],
    decay: Float[Tensor, "y xh"] | None,
    dose: float,
    weighted: Complex[Tensor, "y xh"] | None,
    plain: Complex[Tensor, "y xh"] | None,
    group: Complex[Tensor, "y xh"] | None,
) -> None:
    """Add the transform of a frame to sums.

    Parameters
    ----------
    wave
        The transform.
    decay
        Logarithm of the weight for each unit of dose, 0 or less; needed for `weighted`.
    dose
        Of the frame.
    weighted
        Gets ``exp(dose decay) wave`` added.
    plain, group
        Get ``wave`` added.
    """
    if weighted is not None and decay is not None:
        weighted.add_(wave * torch.exp(dose * decay))
    for total in (plain, group):
        if total is not None:
            total.add_(wave)


def add_modulus_(wave: Complex[Tensor, "y xh"], total: Float[Tensor, "y xh"]) -> None:
    """Add the modulus of `wave` to `total` and set `wave` to zero."""
    total += wave.abs()
    wave.zero_()


def _weights(t: Tensor, *, cubic: bool) -> tuple[Tensor, ...]:
    if not cubic:
        return 1 - t, t
    s = 1 - t
    return (
        s**3 / 6,
        (4 + t * t * (3 * t - 6)) / 6,
        (4 + s * s * (3 * s - 6)) / 6,
        t**3 / 6,
    )
