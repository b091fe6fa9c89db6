"""Compiled transforms of planes and columns against the library of torch."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine.kernels import planes

# All radices, rows and columns that fill no vector, sides that only the library takes.
SIDES = [(2, 2), (6, 8), (10, 14), (16, 16), (20, 50), (36, 42), (90, 84), (126, 100), (15, 26)]
RTOL, ATOL = 1e-5, 2e-6


def real(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def half(*shape: int) -> torch.Tensor:
    return torch.view_as_complex(real(*shape, 2))


@pytest.fixture(params=[True, False], ids=["compiled", "library"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(planes, "compiled", lambda: None)
        monkeypatch.setattr(planes, "_is_quick", lambda side: False)
    elif planes.compiled() is None:
        pytest.skip("the package was built without a compiler")


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(("ny", "nx"), SIDES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_planes_go_forth_and_back(ny: int, nx: int, dtype: torch.dtype) -> None:
    maps = real(3, ny, nx, dtype=dtype)
    maps[:, ny // 3 :] *= torch.arange(3)[:, None, None] > 0  # rows of zeros are left out
    out = torch.empty(3, ny, nx // 2 + 1, dtype=torch.promote_types(dtype, torch.complex64))
    planes.forward(maps, out)
    torch.testing.assert_close(out, torch.fft.rfft2(maps, norm="forward"), rtol=RTOL, atol=ATOL)
    again = torch.empty_like(maps)
    planes.back(out, again)
    torch.testing.assert_close(again, maps, rtol=RTOL, atol=ATOL)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(("ny", "nx"), SIDES)
def test_planes_that_no_real_ones_have_become_what_the_library_makes_of_them(
    ny: int, nx: int
) -> None:
    """Random phases break the symmetry of the first and the last column."""
    transform = half(2, ny, nx // 2 + 1)
    wanted = torch.fft.irfft2(transform, s=(ny, nx), norm="forward")
    found = torch.empty(2, ny, nx)
    planes.back(transform, found)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("nz", [2, 12, 35, 50, 64, 26])
@pytest.mark.parametrize("back", [False, True])
def test_columns_that_are_asked_for_change_and_no_others(nz: int, back: bool) -> None:
    transform = half(nz, 5, 21)
    wanted = transform.clone()
    step = torch.fft.ifft if back else torch.fft.fft
    wanted[:, 1:4, :19] = step(wanted[:, 1:4, :19], dim=0, norm="forward")
    planes.along_z_(transform, slice(1, 4), 19, back=back)
    torch.testing.assert_close(transform, wanted, rtol=1e-5, atol=1e-5)
    planes.along_z_(transform, slice(0, 5), 0, back=back)
    torch.testing.assert_close(transform, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(("side", "fold"), [(5, 1), (6, 2), (21, 4)])
def test_a_folded_product_has_every_nth_coefficient(side: int, fold: int) -> None:
    size = side * fold
    wide = real(size, size + 3)[:, 2:-1]  # part of a wider plane
    factor = real(2, size, size)[1]
    before = real(side, side)
    total = before.clone()
    planes.add_folded_(total, wide, factor)
    wanted = torch.fft.rfft2(wide * factor)[::fold, ::fold][:, : side // 2 + 1]
    torch.testing.assert_close(torch.fft.rfft2(total - before), wanted, rtol=1e-4, atol=1e-3)


def test_sides_with_large_prime_factors_are_left_to_the_library() -> None:
    module = planes.compiled()
    if module is None:
        pytest.skip("the package was built without a compiler")
    assert [side for side in range(1, 30) if not module.is_quick(side)] == [
        *(11, 13, 17, 19, 22, 23, 26, 29),
    ]
