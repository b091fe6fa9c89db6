"""Transforms of maps plane by plane: the library's numbers, masks, sums, and memory used again."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine import fourier_volume


@pytest.fixture(params=[(9, 8, 10), (12, 12, 12)])
def maps(request: pytest.FixtureRequest) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(request.param, generator=generator) for _ in range(2))
    mask = torch.rand(request.param, generator=generator)
    mask[:2] = mask[-1:] = 0
    return first, second, mask


@pytest.fixture(params=["whole", "planes", "threads"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small maps go to the library as a whole unless they count as large."""
    if request.param != "whole":
        monkeypatch.setattr(fourier_volume, "_SMALL", 0)
    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2 if request.param == "threads" else 1)
    yield
    torch.set_num_threads(before)


def library(volume: torch.Tensor) -> torch.Tensor:
    return torch.fft.rfftn(volume, norm="forward")


def test_forward_is_as_the_library_has_it(maps) -> None:
    first, second, mask = maps
    near = {"rtol": 1e-5, "atol": 1e-6}
    out = torch.empty_like(library(first))
    for found, wanted in (
        (fourier_volume.forward(first), first),
        (fourier_volume.forward(first, mask), first * mask),
        (fourier_volume.forward(first, plus=second, out=out), first + second),
        (fourier_volume.forward(first, mask, plus=second), first * mask + second),
        (fourier_volume.forward(first.double()), first.double()),
    ):
        torch.testing.assert_close(found, library(wanted), **near)
    assert torch.equal(out, fourier_volume.forward(first, plus=second))


def test_back_is_where_it_came_from(maps) -> None:
    first, _, mask = maps
    transform = fourier_volume.forward(first)
    kept = transform.clone()
    torch.testing.assert_close(fourier_volume.inverse_(transform, first.shape[-1]), first)
    n_z, n_y, n_x = first.shape
    part = slice(1, n_z - 1), slice(0, n_y // 2), slice(2, n_x)
    seen = fourier_volume.through_mask_(kept, mask, part)
    torch.testing.assert_close(seen.to(first.dtype), first[part], rtol=0.01, atol=1e-3)
    torch.testing.assert_close(kept, library(first * mask), rtol=1e-5, atol=1e-6)
    fourier_volume.through_mask_(kept, torch.zeros_like(mask))
    assert not kept.any()


def test_what_is_out_of_reach_is_left_out_and_nothing_else(maps) -> None:
    first, _, mask = maps
    n_z, n_y, n_x = first.shape
    ky = torch.fft.fftfreq(n_y, 1 / n_y)[:, None]
    inside = (ky.square() + torch.arange(n_x // 2 + 1) ** 2 <= 9).expand(n_z, -1, -1)
    found = fourier_volume.forward(first, mask, reach=3)
    near = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(found[inside], library(first * mask)[inside], **near)
    through = library(first)
    fourier_volume.through_mask_(through, mask, reach=3)
    torch.testing.assert_close(through[inside], library(first * mask)[inside], **near)
    smooth = library(first) * inside
    wanted = torch.fft.irfftn(smooth, s=first.shape, norm="forward")
    torch.testing.assert_close(fourier_volume.inverse_(smooth, n_x, reach=3), wanted, **near)
