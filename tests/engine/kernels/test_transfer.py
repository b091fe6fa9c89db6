"""Transforms of images, centred and multiplied by their CTF, in one pass."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine import ctf, fourier
from vitreous.engine.kernels import transfer


def batch(size: int) -> tuple[ctf.Optics, ctf.Defocus, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(size)
    optics = ctf.Optics.of(pixel_size_A=1.2, box_px=size)
    u = 5e3 + 6e4 * torch.rand(7, generator=generator, dtype=torch.float64)
    angle = 360 * torch.rand(7, generator=generator, dtype=torch.float64)
    defocus = ctf.Defocus.of(u, u - 700, angle)
    defocus.scale.copy_(torch.linspace(0.5, 1.5, 7))
    images = torch.randn(7, size, size, generator=generator)
    return optics, defocus, images, 5 * torch.randn(7, 2, generator=generator)


@pytest.mark.parametrize("size", [2, 30, 64, 130])
@pytest.mark.parametrize("with_compiler", [True, False])
def test_one_pass_gives_what_separate_steps_give(
    monkeypatch: pytest.MonkeyPatch, size: int, with_compiler: bool
) -> None:
    if with_compiler and transfer.compiled() is None:
        pytest.skip("built without a compiler")
    if not with_compiler:
        monkeypatch.setattr(transfer, "compiled", lambda: None)
    optics, defocus, images, shift_px = batch(size)
    function = ctf.ctf(optics, defocus, size)
    expected = fourier.forward(images, 2) * fourier.shift_phases(shift_px, size) * function
    values = fourier.forward_from_corner(images)
    weights = transfer.weigh_(
        values,
        *fourier.centring_phases(shift_px, size),
        ctf.phase_terms(optics, 0, size),
        ctf.phase_coefficients(optics, 0, defocus),
        defocus.scale.float(),
        ctf.SMALLEST,
    )
    tolerance = 1e-6 * float(expected.abs().max())
    torch.testing.assert_close(values, expected, atol=tolerance, rtol=0)
    torch.testing.assert_close(weights, function**2, atol=2e-6, rtol=0)


def test_arrays_that_do_not_fit_are_refused() -> None:
    if transfer.compiled() is None:
        pytest.skip("built without a compiler")
    optics, defocus, images, shift_px = batch(8)
    along_x, along_y = fourier.centring_phases(shift_px, 8)
    with pytest.raises(ValueError, match="do not fit"):
        transfer.compiled().weigh(
            torch.view_as_real(fourier.forward_from_corner(images)),
            torch.view_as_real(along_x),
            torch.view_as_real(along_y),
            ctf.phase_terms(optics, 0, 6),
            ctf.phase_coefficients(optics, 0, defocus),
            defocus.scale.float(),
            ctf.SMALLEST,
            torch.empty(7, 8, 5),
            1,
        )


def test_the_centre_of_odd_sides_has_no_signs() -> None:
    with pytest.raises(ValueError, match="even sides"):
        fourier.centring_phases(torch.zeros(1, 2), 9)
