"""Frames of movies in plain torch: what the compiled versions must agree with, on any device."""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor

_CHUNK_BYTES = 64 << 20


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


def add_moved_(
    waves: Complex[Tensor, "f y xh"],
    along_y: Complex[Tensor, "f y"],
    along_x: Complex[Tensor, "f xh"],
    total: Complex[Tensor, "y xh"],
) -> None:
    """Add frames to `total`, each multiplied by a phase along y and one along x."""
    for wave, phase_y, phase_x in zip(waves, along_y, along_x, strict=True):
        total.add_((wave * phase_y[:, None]).mul_(phase_x))


def correlate(
    waves: Complex[Tensor, "f y xh"],
    reference: Complex[Tensor, "y xh"],
    rows: Complex[Tensor, "f w y"],
) -> Complex[Tensor, "f w xh"]:
    """Multiply frames with a reference and sum over y with the weights `rows`."""
    step = max(1, _CHUNK_BYTES // (8 * reference.numel()))
    starts = range(0, len(waves), step)
    return torch.cat([rows[s : s + step] @ (waves[s : s + step] * reference) for s in starts])


def correlate_own(
    waves: Complex[Tensor, "f y xh"],
    weight: Float[Tensor, "y xh"],
    rows: Complex[Tensor, "w y"],
) -> Complex[Tensor, "f w xh"]:
    """Sum the power of frames, times a weight, over y with the weights `rows`."""
    both = torch.cat([rows.real, rows.imag])
    step = max(1, _CHUNK_BYTES // (8 * weight.numel()))
    parts = []
    for start in range(0, len(waves), step):
        part = waves[start : start + step]
        power = (part.real.square() + part.imag.square()) * weight
        parts.append(torch.complex(*(both @ power).chunk(2, dim=-2)))
    return torch.cat(parts)


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
