"""Hypothesis strategies for what the engine takes: rotations, optics, boxes, point groups.

Needs the package ``hypothesis``, which is not installed with vitreous itself.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import strategies as st
from torch import Tensor

from vitreous.engine import geometry
from vitreous.engine.ctf import Defocus, Optics

DTYPES = (torch.float32, torch.float64)
POINT_GROUPS = (
    "C1", "C2", "C3", "C4", "C7", "D1", "D2", "D3", "D5", "T", "O", "I1", "I2", "I3", "I4", "I5",
)  # fmt: skip
MIRROR_GROUPS = ("CI", "CS", "C2V", "C3H", "S4", "S6", "D2V", "D3H", "TD", "TH", "OH", "IH")


def dtypes() -> st.SearchStrategy[torch.dtype]:
    """Single and double precision."""
    return st.sampled_from(DTYPES)


def boxes(low: int = 4, high: int = 24, *, odd: bool = True) -> st.SearchStrategy[int]:
    """Sides of small boxes; even ones only where `odd` is false."""
    sides = st.integers(low, high)
    return sides if odd else sides.map(lambda side: side + side % 2)


def point_groups(*, mirrors: bool = False) -> st.SearchStrategy[str]:
    """Names of point groups, those with mirrors only on request."""
    return st.sampled_from(POINT_GROUPS + (MIRROR_GROUPS if mirrors else ()))


def euler_angles(max_n: int = 6) -> st.SearchStrategy[Tensor]:
    """``n 3`` rot, tilt, psi in degrees, the poles and round numbers among them; n from 0 on."""
    angle = st.one_of(st.floats(-720, 720), st.sampled_from([0.0, 90.0, 180.0, -180.0, 360.0]))
    rows = st.lists(st.tuples(angle, angle, angle), max_size=max_n)
    return rows.map(lambda some: torch.tensor(some, dtype=torch.float64).reshape(-1, 3))


def rotations(max_n: int = 6) -> st.SearchStrategy[Tensor]:
    """``n 3 3`` poses in double precision."""
    return euler_angles(max_n).map(geometry.matrix_from_euler)


def shifts_px(ndim: int = 2, reach: float = 5.0) -> st.SearchStrategy[Tensor]:
    """One shift as a vector of `ndim` components."""
    component = st.floats(-reach, reach)
    vector = st.lists(component, min_size=ndim, max_size=ndim)
    return vector.map(lambda values: torch.tensor(values, dtype=torch.float64))


@st.composite
def optics(draw: st.DrawFn, box_px: int = 16, *, aberrated: bool = False) -> Optics:
    """One optics group of a real microscope; with all aberrations on request."""
    plain = Optics.of(
        pixel_size_A=draw(st.floats(0.5, 5.0)),
        box_px=box_px,
        voltage_kV=draw(st.sampled_from([100.0, 200.0, 300.0])),
        cs_mm=draw(st.floats(0.001, 2.7)),
        amplitude_contrast=draw(st.floats(0.0, 0.2)),
    )
    if not aberrated:
        return plain
    small = st.floats(-0.05, 0.05)
    stretch = [[1 + draw(small), draw(small)], [draw(small), 1 + draw(small)]]

    def numbers(n: int, reach: float) -> Tensor:
        some = draw(st.lists(st.floats(-reach, reach), min_size=n, max_size=n))
        return torch.tensor([some], dtype=torch.float64)

    return replace(
        plain,
        beam_tilt_mrad=numbers(2, 1.0),
        odd_zernike=numbers(6, 2.0),
        even_zernike=numbers(9, 2.0),
        magnification=torch.tensor([stretch], dtype=torch.float64),
    )


@st.composite
def defoci(draw: st.DrawFn, max_n: int = 4) -> Defocus:
    """Images of all kinds, from none on."""
    n = draw(st.integers(0, max_n))

    def numbers(low: float, high: float) -> Tensor:
        some = draw(st.lists(st.floats(low, high), min_size=n, max_size=n))
        return torch.tensor(some, dtype=torch.float64)

    u = numbers(2000, 50000)
    return Defocus(
        defocus_u_A=u,
        defocus_v_A=u + numbers(-2000, 2000),
        astigmatism_deg=numbers(-180, 180),
        phase_shift_deg=numbers(0, 180),
        bfactor_A2=numbers(0, 200),
        scale=numbers(0.2, 2.0),
    )
