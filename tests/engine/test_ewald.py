"""Images on a curved Ewald sphere, against closed-form density, and their reconstruction."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine import ctf, ewald, fourier, geometry, reconstruction
from vitreous.engine.projection import Accumulator, project, projector
from vitreous.testing.phantoms import cluster

BOX = 32


def poses(n: int):
    return geometry.random_rotations(n, torch.Generator().manual_seed(1), torch.float64)


def on_paraboloid(phantom, rotations, curvature_px):
    """Transforms of the density at the points of a paraboloid, from their closed form."""
    k = fourier.indices(BOX, 2).to(torch.float64).reshape(-1, 2)
    height = curvature_px * (k**2).sum(-1, keepdim=True)
    points = torch.cat([k, height], -1) / BOX
    values = [phantom.at(points @ rotation) for rotation in rotations]  # A^-1 k, rows
    return torch.stack(values).reshape(len(rotations), BOX, BOX // 2 + 1) / BOX**2


@pytest.mark.parametrize("curvature_px", [0.0, 0.02, -0.02])
def test_curved_slices_are_those_of_the_density(curvature_px):
    phantom = cluster(width_px=1.5, radius_px=5)
    source = projector(phantom.volume(BOX), 3)
    found = project(source, poses(6), curvature_px=curvature_px)
    wanted = on_paraboloid(phantom, poses(6), curvature_px)
    inside = fourier.shell_index(BOX, 2) < 12
    error = (found - wanted)[:, inside].norm() / wanted[:, inside].norm()
    assert error < 0.02


def test_without_curvature_the_two_sides_make_the_ctf():
    optics = ctf.Optics.of(pixel_size_A=2.0, box_px=BOX)
    defocus = ctf.Defocus.of(torch.tensor([9000.0, 15000.0]))
    sine, cosine = ewald.quadratures(optics, defocus, BOX)
    slices = torch.randn(2, BOX, BOX // 2 + 1, dtype=torch.complex64)
    torch.testing.assert_close(ewald.image_of(slices, slices, sine, cosine), slices * sine)
    near, far = ewald.sides_of(slices, sine, cosine)
    torch.testing.assert_close(near + far, slices * sine)
    torch.testing.assert_close(2 * ewald.weights(sine, cosine, 1.0), sine**2)


def test_insertion_of_the_sides_is_the_adjoint_of_imaging():
    optics = ctf.Optics.of(pixel_size_A=2.0, box_px=BOX)
    sine, cosine = ewald.quadratures(optics, ctf.Defocus.of(torch.tensor([12000.0])), BOX)
    near, far, images = (torch.randn(1, BOX, BOX // 2 + 1, dtype=torch.complex64) for _ in range(3))
    one = (ewald.image_of(near, far, sine, cosine).conj() * images).real.sum()
    first, second = ewald.sides_of(images, sine, cosine)
    other = (near.conj() * first + far.conj() * second).real.sum()
    torch.testing.assert_close(one, other)


def test_the_two_points_are_one_at_low_and_independent_at_high_resolution():
    optics = ctf.Optics.of(pixel_size_A=0.5, box_px=256)
    alike = ewald.overlap(optics, 0, 256, 256, 400.0)
    assert alike[0, 0] == pytest.approx(1, abs=1e-4)
    assert alike[0, 120].abs() < 0.1


def test_the_curvature_is_recovered_better_than_by_plane_slices():
    """At 200 V and 1 A pixels the sphere leaves the plane far inside the box."""
    phantom = cluster(n=10, width_px=0.8, radius_px=7)
    optics = ctf.Optics.of(pixel_size_A=1.0, box_px=BOX, voltage_kV=0.2, cs_mm=0.0)
    bend = ewald.curvature_px(optics, 0, BOX)
    rotations = poses(400)
    u = 60 + 250 * torch.rand(400, generator=torch.Generator().manual_seed(2))
    sine, cosine = ewald.quadratures(optics, ctf.Defocus.of(u), BOX)
    near, far = (on_paraboloid(phantom, rotations, side * bend) for side in (1, -1))
    images = ewald.image_of(near, far, sine, cosine).to(torch.complex64)
    maps = {}
    for name in ("plane", "curved", "reversed"):
        sums = Accumulator(BOX, 2)
        if name == "plane":
            sums.add_(images * sine, sine**2, rotations)
        else:
            sign = 1 if name == "curved" else -1
            alike = ewald.overlap(optics, 0, BOX, BOX, 16.0)
            weight = ewald.weights(sine, cosine, alike)
            for side, values in zip(
                (sign, -sign), ewald.sides_of(images, sine, cosine), strict=True
            ):
                sums.add_(values, weight, rotations, curvature_px=side * bend)
        sums.finish_()
        maps[name] = fourier.forward(reconstruction.reconstruct(sums), 3)
    wanted = phantom.transform(BOX)
    shells = fourier.shell_index(BOX, 3)
    ring = (shells >= 8) & (shells < 15)
    error = {
        name: ((found - wanted)[ring].norm() / wanted[ring].norm()).item()
        for name, found in maps.items()
    }
    assert error["curved"] < 0.2
    assert error["curved"] < 0.4 * error["plane"]
    assert error["curved"] < 0.4 * error["reversed"]
