"""The engine's functions follow their input to a CUDA device and give what they give on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import requirements
from vitreous.engine import ctf, fourier, geometry, healpix, sampling, symmetric_maps, symmetry
from vitreous.engine.ctf import Defocus, Optics, Treatment


@pytest.fixture(autouse=True)
def cuda() -> None:
    requirements.need("cuda")


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def same(found: Tensor, expected: Tensor, atol: float = 1e-9) -> None:
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), expected, atol=atol, rtol=0)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("size", [12, 13])
def test_fourier(size: int, ndim: int) -> None:
    real = noise(2, *[size] * ndim)
    half, other = fourier.forward(real, ndim), fourier.forward(real.cuda(), ndim)
    same(other, half)
    same(fourier.inverse(other, ndim, size), fourier.inverse(half, ndim, size))
    same(fourier.crop(other, 8, ndim), fourier.crop(half, 8, ndim))
    same(fourier.pad(other, 16, ndim), fourier.pad(half, 16, ndim))
    same(fourier.shell_mean(other.abs(), ndim), fourier.shell_mean(half.abs(), ndim))
    shifts = noise(2, ndim)
    same(fourier.shift(other, shifts.cuda()), fourier.shift(half, shifts))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_geometry_and_sampling(dtype: torch.dtype) -> None:
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    poses = geometry.random_rotations(20, torch.Generator().manual_seed(2), dtype)
    angles = geometry.euler_from_matrix(poses)
    same(geometry.matrix_from_euler(angles.cuda()), poses, tolerance)
    same(sampling.perturb_poses(poses.cuda(), 0.3, 15.0), sampling.perturb_poses(poses, 0.3, 15.0))
    operators = symmetry.operators("O", dtype)
    same(symmetry.mates(poses.cuda(), operators.cuda()), symmetry.mates(poses, operators), 1e-6)
    pixels = torch.arange(768)
    same(healpix.directions(3, pixels.cuda()), healpix.directions(3, pixels))
    grid = geometry.view_direction(healpix.directions(3, pixels)).to(dtype)
    prior = sampling.local_directions(poses[:, 2], grid, 5.0, "D2")
    same(sampling.local_directions(poses[:, 2].cuda(), grid.cuda(), 5.0, "D2"), prior, 1e-3)


@pytest.mark.parametrize("treatment", [Treatment(), Treatment(premultiplied=True, padded=True)])
def test_ctf(treatment: Treatment) -> None:
    optics = Optics.of(pixel_size_A=1.2, box_px=32)
    optics = replace(optics, beam_tilt_mrad=noise(1, 2), even_zernike=noise(1, 9))
    images = Defocus.of(torch.tensor([9000.0, 30000.0]), torch.tensor([9500.0, 29000.0]))
    found = ctf.ctf(optics.to("cuda"), images.to("cuda"), 32, treatment=treatment)
    same(found, ctf.ctf(optics, images, 32, treatment=treatment), 1e-5)
    same(ctf.odd_phase_plate(optics.to("cuda"), 32), ctf.odd_phase_plate(optics, 32), 1e-5)
    gamma = ctf.gamma_rad(optics.to("cuda"), images.to("cuda"), 32)
    same(gamma, ctf.gamma_rad(optics, images, 32))


def test_maps() -> None:
    volume = noise(16, 16, 16)
    same(symmetric_maps.symmetrise(volume.cuda(), "T"), symmetric_maps.symmetrise(volume, "T"))
    assert symmetric_maps.find_axes(volume.float().cuda(), "D3").rotation.device.type == "cuda"
