"""Slices, their insertion, and the volumes that come back."""

from __future__ import annotations

import math

import pytest
import torch

from vitreous.engine import fourier, geometry, grids, reconstruction
from vitreous.engine.kernels import symmetrise
from vitreous.engine.projection import Accumulator, padded_side, project, projector

SPOTS = [
    ((5, 2, -3), 3.6, 1.0),
    ((-5, 3, 4), 3.4, 0.7),
    ((0, -5, 2), 4.2, 1.3),
]  # x y z, sd, height


def spots(box: int, dtype=torch.float32):
    """A cluster of gaussians (given for a box of 64 pixels) and what it looks like from A."""
    axis = (torch.arange(box) - box // 2).to(dtype)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    volume = torch.zeros_like(x)
    for (cx, cy, cz), sd, height in SPOTS:
        f = box / 64
        r2 = (x - cx * f) ** 2 + (y - cy * f) ** 2 + (z - cz * f) ** 2
        volume += height * torch.exp(-r2 / (2 * (sd * f) ** 2))

    def view(a: torch.Tensor) -> torch.Tensor:
        image = torch.zeros(box, box, dtype=dtype)
        for centre, sd, height in SPOTS:
            f = box / 64
            cx, cy, _ = a.to(dtype) @ (torch.tensor(centre, dtype=dtype) * f)
            r2 = (x[0] - cx) ** 2 + (y[0] - cy) ** 2
            line = height * math.sqrt(2 * math.pi) * sd * f
            image += line * torch.exp(-r2 / (2 * (sd * f) ** 2))
        return image

    return volume, view


def poses(n: int, seed: int = 3):
    return geometry.random_rotations(n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("box", [32, 33, 64])
@pytest.mark.parametrize(("padding", "tolerance"), [(1, 0.04), (2, 0.01), (3, 0.005)])
def test_projections_are_line_integrals(box, padding, tolerance):
    volume, view = spots(box)
    rotations = poses(20)
    images = fourier.inverse(project(projector(volume, padding), rotations), 2, box)
    for image, rotation in zip(images, rotations, strict=True):
        wanted = view(rotation)
        assert (image - wanted).norm() < tolerance * wanted.norm()


def test_a_slice_has_the_scale_of_an_image_transform():
    volume, view = spots(32)
    pose = poses(1)
    sliced = project(projector(volume, 2), pose)[0]
    imaged = fourier.forward(view(pose[0]), 2)
    torch.testing.assert_close(sliced[0, 0].real, imaged[0, 0].real, rtol=0.02, atol=0)


def test_a_smaller_slice_is_the_cropped_slice():
    source = projector(spots(32)[0], 2)
    whole = project(source, poses(4))
    small = project(source, poses(4), 20)
    cropped = fourier.crop(whole, 20, 2)
    inside = fourier.shell_index(20, 2) < 10
    torch.testing.assert_close(small[:, inside], cropped[:, inside])


def test_images_of_finer_pixels_see_the_same_volume():
    # The same field of view in a box twice as large, at half the pixel size.
    volume, _ = spots(32)
    same = project(projector(volume, 2), poses(3), 32)
    finer = project(projector(volume, 2), poses(3), 64, scale=1.0)
    cropped = fourier.crop(finer, 32, 2)
    inside = fourier.shell_index(32, 2) < 16
    torch.testing.assert_close(cropped[:, inside], same[:, inside])


def test_a_larger_field_of_view_has_finer_frequencies():
    volume, _ = spots(32)
    source = projector(volume, 2)
    wide = project(source, poses(3), 64, scale=2.0)  # same pixel, box twice as large
    narrow = project(source, poses(3), 32)
    torch.testing.assert_close(wide[:, :31:2, ::2][:, :16, :16], narrow[:, :16, :16])


def test_magnification_stretches_the_frequencies():
    volume, _ = spots(32)
    stretched = torch.tensor([[1.02, 0.01], [0.01, 0.98]])
    source = projector(volume, 2)
    plain, bent = project(source, poses(1)), project(source, poses(1), magnification=stretched)
    k = torch.tensor([3.0, 4.0])  # the value there is read at M k
    kx, ky = (stretched @ k).tolist()
    low = (math.floor(kx), math.floor(ky))
    near = [plain[0, low[1] + j, low[0] + i] for j in (0, 1) for i in (0, 1)]
    assert min(abs(v) for v in near) <= abs(bent[0, 4, 3]) * 1.3
    assert abs(bent[0, 4, 3] - plain[0, 4, 3]) > 0


def test_two_dimensional_references_turn_in_the_plane():
    volume, view = spots(32)
    del volume
    image = view(torch.eye(3))
    quarter = torch.tensor([[[0.0, 1.0], [-1.0, 0.0]]])  # psi = 90 degrees
    turned = fourier.inverse(project(projector(image, 2), quarter), 2, 32)[0]
    wanted = view(geometry.matrix_from_euler(torch.tensor([[0.0, 0.0, 90.0]]))[0])
    assert (turned - wanted).norm() < 0.03 * wanted.norm()


def test_a_reference_that_is_not_a_cube_is_refused():
    with pytest.raises(ValueError, match="must be a cube"):
        projector(torch.zeros(4, 4, 6))


@pytest.mark.parametrize("iterations", [0, 10])
@pytest.mark.parametrize("box", [32, 33])
def test_reconstruction_undoes_projection_and_is_flat_in_radius(box, iterations):
    volume, view = spots(box)
    rotations = poses(1500)
    images = torch.stack([view(rotation) for rotation in rotations])
    slices = fourier.forward(images, 2)
    sums = Accumulator(box, 2)
    sums.add_(slices, torch.ones(slices.shape), rotations)
    sums.finish_()
    found = reconstruction.reconstruct(sums, gridding_iterations=iterations)
    assert torch.corrcoef(torch.stack([found.flatten(), volume.flatten()]))[0, 1] > 0.999
    axis = torch.arange(box) - box // 2
    radius = (axis**2 + axis[:, None] ** 2 + axis[:, None, None] ** 2).sqrt()
    for low, high in [(0, 3), (3, 6), (6, 9)]:
        ring = (radius >= low) & (radius < high)
        slope = (found[ring] * volume[ring]).sum() / (volume[ring] ** 2).sum()
        assert abs(slope - 1) < 0.02


def test_insertion_is_the_adjoint_of_slicing_through_the_classes():
    generator = torch.Generator().manual_seed(5)
    source = projector(torch.randn(24, 24, 24, generator=generator), 2)
    rotations = poses(6)
    values = torch.view_as_complex(torch.randn(6, 24, 13, 2, generator=generator))
    values[:, 13:, 0] = 0
    sums = Accumulator(24, 2)
    sums.add_(values, torch.ones(values.shape), rotations)
    one = (project(source, rotations).conj() * values).real.sum()
    other = (source.grid.conj() * sums.data).real.sum()
    torch.testing.assert_close(one, other, rtol=1e-5, atol=0)


def test_sums_of_many_slices_lose_no_digits(monkeypatch):
    monkeypatch.setattr(Accumulator, "flush_every", 64)
    values = torch.full((32, 8, 5), 1 / 3, dtype=torch.complex64)
    weights = torch.full((32, 8, 5), 0.1)
    sums = Accumulator(8, 2)
    for seed in range(40):
        sums.add_(values, weights, poses(32, seed))
    assert sums.grid.dtype == torch.float64
    centre = sums.weight.shape[-1] - 1
    assert sums.weight[centre, centre, 0].item() == pytest.approx(128.0, rel=1e-6)


def test_half_of_the_data_plus_the_other_half_is_all():
    generator = torch.Generator().manual_seed(6)
    values = torch.view_as_complex(torch.randn(10, 16, 9, 2, generator=generator))
    weights, rotations = torch.rand(10, 16, 9, generator=generator), poses(10)
    halves = [Accumulator(16, 2) for _ in range(2)]
    for i, half in enumerate(halves):
        half.add_(values[i::2], weights[i::2], rotations[i::2])
    halves[0].merge_(halves[1])
    whole = Accumulator(16, 2)
    whole.add_(values, weights, rotations)
    torch.testing.assert_close(halves[0].grid, whole.grid)


def test_folding_makes_the_central_plane_hermitian():
    sums = Accumulator(16, 2)
    generator = torch.Generator().manual_seed(7)
    values = torch.view_as_complex(torch.randn(9, 16, 9, 2, generator=generator))
    sums.add_(values, torch.ones(values.shape), poses(9))
    before = sums.grid[..., 2].sum() + sums.grid[:, :, 0, 2].sum()
    sums.finish_()
    plane = sums.data[:, :, 0]
    torch.testing.assert_close(plane, plane.flip(0, 1).conj())
    centre = sums.weight.shape[-1] - 1
    # Every measurement on the plane now counts at both mates; the origin has none.
    torch.testing.assert_close(
        sums.weight.sum() + sums.weight[centre, centre, 0], before, rtol=1e-3, atol=0
    )


def test_symmetrised_sums_are_those_of_symmetric_particles():
    turns = geometry.matrix_from_euler(torch.tensor([[0.0, 0, 0], [120.0, 0, 0], [240.0, 0, 0]]))
    volume, _ = spots(32)
    rotations = poses(400)
    slices = project(projector(volume, 2), rotations)
    ones = torch.ones(slices.shape)
    symmetrised, expanded = Accumulator(32, 2), Accumulator(32, 2)
    symmetrised.add_(slices, ones, rotations)
    symmetrised.finish_(turns)
    for turn in turns:
        expanded.add_(slices, ones, rotations @ turn)
    expanded.finish_()
    one = reconstruction.reconstruct(symmetrised)
    other = reconstruction.reconstruct(expanded)
    assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1] > 0.999


def test_compiled_symmetrisation_equals_the_reference():
    sums = Accumulator(24, 2)
    generator = torch.Generator().manual_seed(8)
    values = torch.view_as_complex(torch.randn(9, 24, 13, 2, generator=generator))
    sums.add_(values, torch.ones(values.shape), poses(9))
    sums.finish_()
    operators = torch.cat([torch.eye(3)[None], poses(3, 9)])
    found = symmetrise.symmetrise(sums.grid, operators)
    torch.testing.assert_close(
        found, symmetrise.reference(sums.grid, operators), rtol=0, atol=2e-3 * float(found.max())
    )


@pytest.mark.parametrize(("side", "radius"), [(16, 8), (16, 5), (17, 8)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_grids_go_back_to_transforms(ndim, side, radius):
    generator = torch.Generator().manual_seed(9)
    transform = fourier.forward(torch.randn([side] * ndim, generator=generator), ndim)
    back = grids.uncentred(grids.centred(transform, radius), side)
    index = fourier.indices(side, ndim)
    inside = (index**2).sum(-1) <= radius**2
    torch.testing.assert_close(back, transform * inside)


@pytest.mark.parametrize(("size", "side", "radius"), [(16, 32, 16), (16, 32, 10), (17, 34, 16)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_grid_of_a_padded_array_is_that_of_the_padded_transform(ndim, size, side, radius):
    generator = torch.Generator().manual_seed(10)
    array = torch.randn([size] * ndim, generator=generator, dtype=torch.float64)
    before = side // 2 - size // 2
    padded = torch.nn.functional.pad(array, (before, side - size - before) * ndim)
    wanted = grids.centred(fourier.forward(padded, ndim), radius)
    torch.testing.assert_close(grids.from_real(array, side, radius), wanted)


@pytest.mark.parametrize(("size", "side", "radius"), [(16, 32, 16), (16, 32, 10), (17, 34, 16)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_grid_goes_back_to_the_centre_of_the_padded_array(ndim, size, side, radius):
    generator = torch.Generator().manual_seed(11)
    array = torch.randn([side] * ndim, generator=generator, dtype=torch.float64)
    grid = grids.centred(fourier.forward(array, ndim), radius)
    whole = fourier.inverse(grids.uncentred(grid, side), ndim, side)
    first = side // 2 - size // 2
    wanted = whole[(slice(first, first + size),) * ndim]
    found = grids.to_real(grid.real, lambda rows: grid[..., rows, :], side, size)
    torch.testing.assert_close(found, wanted)


def test_padding_is_made_even():
    assert padded_side(33, 2) == 66
    assert padded_side(33, 1.5) % 2 == 0
    assert padded_side(33, 1) >= 33


def test_wiener_filter_halves_where_signal_and_noise_are_equal():
    sums = Accumulator(16, 1)
    sums.grid[..., 0] = 1.0
    sums.grid[..., 2] = 1.0
    tau2 = torch.ones(9)
    weight = reconstruction.regularised_weight(sums, tau2, first_regularised=5)
    shells = grids.shell_of(weight, 1)
    assert (weight[shells < 5] == 1).all()
    torch.testing.assert_close(weight[(shells >= 5) & (shells < 9)].unique(), torch.tensor([2.0]))


def test_shells_without_signal_are_pressed_down():
    sums = Accumulator(16, 1)
    sums.grid[..., 2] = 2.0
    weight = reconstruction.regularised_weight(sums, torch.zeros(9))
    assert weight[grids.shell_of(weight, 1) == 7].unique().item() == pytest.approx(2002.0)


def test_tiny_weights_are_lifted_to_a_thousandth_of_their_shell():
    sums = Accumulator(16, 1)
    sums.grid[..., 2] = 1.0
    sums.grid[8, 9 + 5, 0, 2] = 1e-9
    floor = reconstruction.weight_floor(sums.weight, 1)
    torch.testing.assert_close(floor, torch.full_like(floor, 0.001), rtol=0.01, atol=0)
    solved = reconstruction.reconstruct(sums)
    assert solved.isfinite().all()


def test_fsc_and_noise_give_the_signal_to_noise_ratio():
    fsc = torch.tensor([1.0, 0.5, 0.0])
    sigma2 = torch.tensor([2.0, 2.0, 2.0], dtype=torch.float64)
    tau2 = reconstruction.tau2_from_fsc(fsc, sigma2)
    torch.testing.assert_close(tau2[1].item(), 2.0)
    assert tau2[0].item() == pytest.approx(999 * 2)
    whole = reconstruction.tau2_from_fsc(fsc, sigma2, whole_set=True)
    c = math.sqrt(2 * 0.5 / 1.5)
    assert whole[1].item() == pytest.approx(2 * c / (1 - c))


def test_signal_to_noise_is_weight_times_signal():
    sums = Accumulator(16, 2)
    sums.grid[..., 2] = 3.0
    ratio = reconstruction.signal_to_noise(sums, torch.full((9,), 0.25), fudge=2)
    torch.testing.assert_close(ratio, torch.full((9,), 3 * 8 * 2 * 0.25, dtype=torch.float64))
    noise = reconstruction.noise_power(sums)
    torch.testing.assert_close(noise, torch.full((9,), 1 / 24, dtype=torch.float64))
