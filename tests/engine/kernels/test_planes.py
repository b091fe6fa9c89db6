"""Compiled transforms of planes and columns against the library of torch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vitreous.engine import extraction, fourier
from vitreous.engine.kernels import planes

# All radices, rows and columns that fill no vector, sides that only the library takes.
SIDES = [
    *((2, 2), (6, 8), (10, 14), (16, 16), (20, 50), (36, 42), (90, 84), (126, 100), (15, 26)),
    *((11, 22), (26, 13 * 11 * 2), (17, 38), (23 * 3, 58), (62, 31 * 4), (37, 82), (43, 86)),
    *((47, 94), (21, 33)),
]
RTOL, ATOL = 1e-5, 2e-6
OF_DOUBLES = {"rtol": 1e-13, "atol": 1e-14}


def real(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def half(*shape: int) -> torch.Tensor:
    return torch.view_as_complex(real(*shape, 2))


@pytest.fixture(params=[True, False], ids=["compiled", "library"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(planes, "compiled", lambda: None)
        monkeypatch.setattr(planes, "_is_quick", lambda side, n_bytes: False)
    elif planes.compiled() is None:
        pytest.skip("the package was built without a compiler")


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(("ny", "nx"), SIDES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_planes_go_forth_and_back(ny: int, nx: int, dtype: torch.dtype) -> None:
    maps = real(3, ny, nx, dtype=dtype)
    maps[:, ny // 3 :] *= torch.arange(3)[:, None, None] > 0  # rows of zeros are left out
    out = torch.empty(3, ny, nx // 2 + 1, dtype=torch.promote_types(dtype, torch.complex64))
    close = OF_DOUBLES if dtype == torch.float64 else {"rtol": RTOL, "atol": ATOL}
    planes.forward(maps, out)
    torch.testing.assert_close(out, torch.fft.rfft2(maps, norm="forward"), **close)
    again = torch.empty_like(maps)
    planes.back(out, again)
    torch.testing.assert_close(again, maps, **close)


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


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def is_compiled() -> bool:
    module = planes.compiled()
    return module is not None and bool(module.is_wide(4))


needs_loops = pytest.mark.skipif(not is_compiled(), reason="no compiled loops, or no wide vectors")


@needs_loops
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", [(1, 250, 300), (1, 1080, 1024), (3, 64, 600), (9, 90, 84)])
def test_the_number_of_threads_changes_no_bit(shape: tuple[int, int, int]) -> None:
    images, found = real(*shape), []
    for n_threads in (1, 2, 5):
        torch.set_num_threads(n_threads)
        transform = planes.of_images(images)
        rows = planes.of_rows(images, 20)
        some = planes.of_columns_(rows.clone())
        columns = transform.clone()
        planes.along_z_(columns, slice(1, 40), 37, back=False)
        re, im = torch.empty_like(images), torch.empty_like(images)
        planes.products_back(images, torch.complex(images[0], images[-1]), re, im)
        back = planes.images_of(transform, shape[1:])
        found.append([transform, back, rows, some, columns, re, im])
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.usefixtures("loops", "threads")
@pytest.mark.parametrize("n_threads", [1, 3])
def test_calls_from_several_threads_do_not_meet(n_threads: int) -> None:
    """Lengths that were not yet asked for, so that their tables are made meanwhile."""
    torch.set_num_threads(n_threads)
    sides = [(2 * n, 4 * n) for n in range(101, 145)]
    images = [real(1, *one) for one in sides]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(planes.of_images, images * 2))
        again = list(pool.map(planes.images_of, found, sides * 2))
    for image, transform, back in zip(images * 2, found, again, strict=True):
        wanted = torch.fft.rfft2(image, norm="forward")
        torch.testing.assert_close(transform, wanted, rtol=RTOL, atol=ATOL)
        torch.testing.assert_close(back, image, rtol=RTOL, atol=5 * ATOL)


@pytest.mark.parametrize("side", [64, 408, 1024, 1023, 62 * 6, 47 * 4])
def test_errors_are_no_larger_than_those_of_the_library(side: int) -> None:
    """In single precision; in double that is told by what goes forth and back."""
    exact = real(2, side, side + side % 2, dtype=torch.float64)
    wanted = torch.fft.rfft2(exact, norm="forward")
    images = exact.float()

    def error(found: torch.Tensor, true: torch.Tensor) -> float:
        return float((found - true).abs().square().mean().sqrt())

    library = torch.fft.rfft2(images, norm="forward")
    assert error(planes.of_images(images), wanted) <= 1.3 * error(library, wanted)
    sizes = (images.shape[1], images.shape[2])
    back = torch.fft.irfft2(wanted.to(torch.complex64), s=sizes, norm="forward")
    found = planes.images_of(wanted.to(torch.complex64), sizes)
    assert error(found, exact) <= 1.3 * error(back, exact)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_of_any_number(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    images = real(*batch, 12, 20, dtype=dtype)
    kind = torch.promote_types(dtype, torch.complex64)
    transform = planes.of_images(images)
    assert transform.shape == (*batch, 12, 11)
    assert transform.dtype == kind
    exact = torch.fft.rfft2(images, norm="forward")
    close = OF_DOUBLES if dtype == torch.float64 else {"rtol": RTOL, "atol": ATOL}
    torch.testing.assert_close(transform, exact, **close)
    out = torch.empty(*batch, 12, 11, dtype=kind)
    assert planes.of_images(images, out) is out
    torch.testing.assert_close(out, transform)
    kept = transform.clone()
    torch.testing.assert_close(planes.images_of(transform, (12, 20)), images, **close)
    assert torch.equal(transform, kept)
    rows = planes.of_rows(images, 5)
    torch.testing.assert_close(planes.of_columns_(rows), exact[..., :5], **close)


@pytest.mark.usefixtures("loops")
def test_images_lie_in_memory_as_they_like() -> None:
    large = real(2, 30, 44)
    for images in (
        large[:, 5:21, 4:],
        large[:, ::3, ::2],
        large.mT[:, :40],
        large[:1].expand(3, -1, -1),
    ):
        sizes = (images.shape[1], images.shape[2])
        exact = torch.fft.rfft2(images, norm="forward")
        torch.testing.assert_close(planes.of_images(images), exact, rtol=RTOL, atol=ATOL)
        rows = torch.fft.rfft(images, norm="forward")[..., :7]
        torch.testing.assert_close(planes.of_rows(images, 7), rows, rtol=RTOL, atol=ATOL)
        strided = torch.empty(exact.mT.shape, dtype=exact.dtype).mT
        torch.testing.assert_close(planes.of_images(images, strided), exact, rtol=RTOL, atol=ATOL)
        torch.testing.assert_close(
            planes.images_of(strided, sizes), images, rtol=RTOL, atol=5 * ATOL
        )
        wanted = torch.fft.irfft2(exact.conj().resolve_conj(), s=sizes, norm="forward")
        torch.testing.assert_close(
            planes.images_of(exact.conj(), sizes), wanted, rtol=RTOL, atol=5 * ATOL
        )


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(("ny", "nx"), [(12, 20), (15, 21), (1, 7), (34, 41), (47, 8), (9, 94)])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_products_of_whole_planes_go_back(ny: int, nx: int, dtype: torch.dtype) -> None:
    factors = real(37, ny, nx, dtype=dtype.to_real())
    plane = torch.view_as_complex(real(ny, nx, 2, dtype=dtype.to_real()))
    wanted = torch.fft.ifft2(factors * plane, norm="forward")
    close = {"rtol": 1e-12, "atol": 1e-12} if dtype.itemsize == 16 else {"rtol": 1e-5, "atol": 1e-4}
    for n_re, n_im in ((37, 37), (37, 20), (37, 0), (3, 37)):
        re, im = (torch.full((n, ny, nx), 9.0, dtype=factors.dtype) for n in (n_re, n_im))
        planes.products_back(factors, plane, re, im)
        torch.testing.assert_close(re, wanted.real[:n_re], **close)
        torch.testing.assert_close(im, wanted.imag[:n_im], **close)


@pytest.mark.usefixtures("loops")
def test_part_of_a_transform_is_filled_up_as_the_library_does() -> None:
    part = half(2, 12, 6)
    wanted = torch.fft.irfft2(part, s=(12, 20), norm="forward")
    torch.testing.assert_close(planes.images_of(part, (12, 20)), wanted, rtol=1e-5, atol=1e-4)


def test_what_wants_a_gradient_gets_one() -> None:
    images = real(1, 8, 8).requires_grad_()
    planes.images_of(planes.of_images(images), (8, 8)).square().sum().backward()
    assert images.grad is not None
    torch.testing.assert_close(images.grad, 2 * images.detach(), rtol=1e-4, atol=1e-5)


def test_narrow_machines_take_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    class Narrow:
        @staticmethod
        def is_wide(n_bytes: int) -> bool:
            return n_bytes < 4

    monkeypatch.setattr(planes, "compiled", Narrow)
    planes._is_quick.cache_clear()
    try:
        images = real(2, 16, 16)
        assert torch.equal(planes.of_images(images), torch.fft.rfft2(images, norm="forward"))
    finally:
        planes._is_quick.cache_clear()


def test_sides_with_large_prime_factors_are_left_to_the_library() -> None:
    module = planes.compiled()
    if module is None:
        pytest.skip("the package was built without a compiler")
    few = [side for side in range(1, 125) if not module.is_quick(side)]
    assert few == [47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 94, 97, 101, 103, 106, 107, 109, 113,
                   118, 122]  # fmt: skip
    assert not module.is_quick(0)


@pytest.mark.parametrize(("box", "size"), [(64, 32), (90, 46), (50, 50), (24, 2), (60, 44)])
def test_boxes_are_cut_out_and_resampled(box: int, size: int) -> None:
    image = real(150, 131)
    first = torch.tensor([[3, 5], [60, 70], [-20, 100], [-300, -300], [120, 140]])
    found = planes.rescaled_boxes(image, first, box, size)
    if found is None:
        pytest.skip("this machine has no wide vectors of doubles, or no compiler was there")
    boxes = extraction.cut(image, first + box // 2, box)
    cropped = fourier.crop(torch.fft.rfft2(boxes, norm="forward"), size, 2)
    wanted = torch.fft.irfft2(cropped, s=(size, size), norm="forward")
    torch.testing.assert_close(found, wanted, **OF_DOUBLES)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert torch.equal(planes.rescaled_boxes(image, first, box, size), found)
    finally:
        torch.set_num_threads(before)


def test_boxes_that_the_loops_cannot_resample_are_left_to_others() -> None:
    first = torch.zeros(1, 2, dtype=torch.int64)
    assert planes.rescaled_boxes(real(50, 50), first, 47 * 2, 32) is None
    assert planes.rescaled_boxes(real(50, 50, dtype=torch.float64), first, 40, 20) is None
