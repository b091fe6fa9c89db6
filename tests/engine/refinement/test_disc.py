"""Packed half planes: every pixel of the circle once, and back."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine import fourier
from vitreous.engine.refinement.disc import PAD, disc, places_in, tight_index

radii = pytest.mark.parametrize("radius", [1, 4, 7, 20])


def transforms(size: int, n: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size)
    values = torch.randn((n, size, size // 2 + 1, 2), generator=generator, dtype=torch.float64)
    return torch.view_as_complex(values)


def counted(size: int) -> torch.Tensor:
    """Return the half plane inside the circle, without twins."""
    inside = fourier.squared_radius(size, 2) <= (size // 2) ** 2
    return inside & fourier.half_plane_mask(size, 2)


@radii
def test_packing_keeps_each_pixel_of_the_circle_once(radius: int) -> None:
    size = 2 * radius
    values = transforms(size)
    real, imaginary = disc(radius).pack(values)
    wanted = values.abs().square()[:, counted(size)].sum(1)
    torch.testing.assert_close((real**2 + imaginary**2).sum(1), wanted)
    assert len(tight_index(radius)) == int(counted(size).sum())


@radii
def test_unpacking_undoes_packing(radius: int) -> None:
    size = 2 * radius
    values = transforms(size)
    packed = torch.complex(*disc(radius).pack(values))
    torch.testing.assert_close(disc(radius).unpack(packed), values * counted(size))


@radii
def test_larger_transforms_are_cropped_on_the_way(radius: int) -> None:
    values = transforms(2 * radius + 6)
    cropped = fourier.crop(values, 2 * radius, 2)
    for one, other in zip(disc(radius).pack(values), disc(radius).pack(cropped), strict=True):
        torch.testing.assert_close(one, other)


@radii
def test_real_values_are_packed_alike(radius: int) -> None:
    values = transforms(2 * radius)
    torch.testing.assert_close(disc(radius).pack_real(values.real), disc(radius).pack(values)[0])


@radii
def test_numbers_know_their_frequency_and_shell(radius: int) -> None:
    packing = disc(radius)
    index = fourier.indices(2 * radius, 2).to(torch.float64)
    kx, ky = (packing.pack_real(index[None, ..., c])[0] for c in (0, 1))
    true = packing.shell >= 0
    torch.testing.assert_close(kx[true], packing.kx[true].to(torch.float64))
    torch.testing.assert_close(ky[true], packing.ky[true].to(torch.float64))
    shells = fourier.shell_index(2 * radius, 2).to(torch.float64)
    torch.testing.assert_close(
        packing.pack_real(shells[None])[0][true], packing.shell[true].to(torch.float64)
    )


@radii
def test_rows_are_whole_vectors(radius: int) -> None:
    packing = disc(radius)
    _, lengths = torch.unique_consecutive(packing.ky, return_counts=True)
    assert (lengths % PAD == 0).all()
    assert int(lengths.max()) == packing.width
    assert len(lengths) == len(packing.row_ky) == 2 * radius


def test_phases_move_images() -> None:
    radius, box = 6, 20
    packing = disc(radius)
    shifts = torch.tensor([-2.5, 0.0, 1.25], dtype=torch.float64)
    along_x, along_y = (torch.complex(*part) for part in packing.phases(shifts, box))
    wanted = fourier.shift_phases(
        torch.tensor([[1.25, -2.5]], dtype=torch.float64), 2 * radius, box=box
    )
    rows = {int(ky): row for row, ky in enumerate(packing.row_ky)}
    y = torch.tensor([rows[int(ky)] for ky in packing.ky])
    found = along_x[2][packing.kx] * along_y[0][y]
    true = packing.shell >= 0
    packed = torch.complex(*packing.pack(wanted))[0]
    torch.testing.assert_close(found[true], packed[true].to(found.dtype), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("inner", "outer"), [(1, 1), (3, 7), (16, 20)])
def test_a_smaller_disc_is_found_in_a_larger_one(inner: int, outer: int) -> None:
    values = transforms(2 * outer)
    large = disc(outer).pack(values)[0]
    small = disc(inner).pack(fourier.crop(values, 2 * inner, 2))[0]
    torch.testing.assert_close(large[:, places_in(inner, outer)], small)
