"""Alignment, the local model, repair and sums of movie frames, against known truth."""

import math

import pytest
import torch

from vitreous.engine import dose, fourier
from vitreous.engine.motion import (
    correlation,
    local,
    measure,
    patches,
    repair,
    signal,
    spectrum,
    sums,
)
from vitreous.engine.motion.align import Search, align, highest
from vitreous.engine.motion.relion_sums import RelionSums
from vitreous.engine.motion.stacks import Stacks
from vitreous.errors import InputError

CPU = torch.device("cpu")
GOOD_SIZES = [192, 216, 256, 288, 324, 384, 432, 486, 512, 576, 648, 768, 864, 972, 1024]


def scene(shape, seed=0, contrast=0.3):
    """A smooth random transmission of mean 1, as a transform with its origin at the corner."""
    generator = torch.Generator().manual_seed(seed)
    wave = fourier.forward_from_corner(torch.randn(shape, generator=generator))
    k = fourier.frequencies(shape, 2)
    radius = torch.hypot(k[..., 0], k[..., 1])
    wave = wave * torch.exp(-((radius / 0.12) ** 2))
    image = fourier.inverse_to_corner(wave, shape)
    return 1 + contrast * image / image.std()


def moved(image, displacement_px):
    """Copies of an image, displaced exactly."""
    shape = tuple(image.shape)
    along_y, along_x = correlation.ramps(displacement_px, shape, shape)
    wave = fourier.forward_from_corner(image)
    waves = wave * along_y[:, :, None] * along_x[:, None]
    return fourier.inverse_to_corner(waves.to(torch.complex64), shape)


def counted(frames, per_pixel, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(frames.clamp(min=0) * per_pixel, generator=generator)


def drift(n_frames, length_px):
    course = 1 - torch.exp(-torch.arange(n_frames) / 4.0)
    turn = 0.7 * course
    path = torch.stack([course * torch.cos(turn), course * torch.sin(turn)], 1)
    return (path / course[-1] * length_px).to(torch.float64)


def low(frames, settings, bfactor=150.0):
    shape = tuple(frames.shape[-2:])
    size = measure.correlation_size(shape, bfactor, settings)
    return torch.stack([fourier.forward_from_corner(frame, size) for frame in frames])


def error_px(found, truth):
    difference = found - truth
    return (difference - difference.mean(-2, keepdim=True)).square().mean((-2, -1)).sqrt().max()


def rms_px(found, truth):
    difference = found - truth
    return (difference - difference.mean(-2, keepdim=True)).square().mean().sqrt()


def test_sizes_of_correlation_maps_are_those_that_are_fast_to_transform():
    assert correlation.correlation_size((4096, 4096), 150) == (1024, 1024)
    assert correlation.correlation_size((5760, 4092), 150) == (1536, 1024)
    for size in GOOD_SIZES:
        assert correlation.good_size(size, 4096) in {size, *(s for s in GOOD_SIZES if s > size)}
    assert correlation.good_size(101, 100) == 100
    sizes = [
        correlation.correlation_size(shape, 150, relion_compat=True)
        for shape in ((512, 640), (4096, 4096), (180, 181), (3200, 700))
    ]
    assert sizes == [(192, 192), (1024, 1024), (180, 180), (800, 192)]
    assert correlation.correlation_size((500, 500), 150, downsampling=2) == (256, 256)


@pytest.mark.parametrize(("n", "size", "groups"), [
    (11, 2, [2, 2, 2, 2, 3]), (12, 5, [5, 7]), (11, 3, [3, 4, 4]), (5, 1, [1] * 5), (2, 4, [2]),
])  # fmt: skip
def test_spare_frames_enlarge_the_last_groups_and_never_the_first(n, size, groups):
    found = patches.frame_groups(n, size)
    assert [len(group) for group in found] == groups
    assert [frame for group in found for frame in group] == list(range(n))


def test_the_highest_point_is_found_between_pixels():
    y = torch.arange(21.0)[:, None] - 10 - 1.3
    x = torch.arange(33.0)[None] - 16 + 2.4
    maps = torch.stack([-(x**2) - 2 * y**2, -((x - 1) ** 2) - y**2])
    assert highest(maps).flatten().tolist() == pytest.approx([-2.4, 1.3, -1.4, 1.3], abs=1e-3)


@pytest.mark.parametrize("shape", [(256, 256), (192, 288)])
def test_a_known_drift_is_found_at_one_electron_a_pixel(shape):
    truth = drift(12, 9.7)
    frames = counted(moved(scene(shape), truth), 1.0)
    motion = measure.measure(low(frames, measure.Settings()), shape, measure.Settings())
    assert bool(motion.whole.converged[0])
    assert error_px(-motion.shift_px, truth) < 0.05
    assert motion.shift_px[0].tolist() == [0, 0]


def test_the_weight_from_the_frames_aligns_better_than_a_fixed_one():
    shape, truth = (256, 256), drift(10, 7.3)
    spectra = low(counted(moved(scene(shape), truth), 0.5), measure.Settings())
    weight = correlation.weight((256, 256), shape, 150.0)
    rough = align(Stacks(spectra[None], shape, weight), Search()).shift_px[0]
    fine = measure.measure(spectra, shape, measure.Settings()).shift_px
    assert error_px(-fine, truth) < 0.5 * error_px(-rough, truth)


def test_what_does_not_move_with_the_specimen_gets_no_weight():
    shape, truth = (128, 128), drift(10, 12.0)
    pattern = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    frames = counted(moved(scene(shape), truth) * (1 + 0.2 * pattern), 2.0)
    spectra = fourier.forward_from_corner(frames)
    curve = signal.measure(spectra[None], -truth[None], shape)
    assert curve is not None
    k = torch.linspace(0, 0.5 * 2**0.5, len(curve.weights))
    assert (curve.weights[(k > 0.02) & (k < 0.12)] > 0).float().mean() > 0.9
    assert (curve.weights[(k > 0.25) & (k < 0.45)] > 0).float().mean() < 0.05
    motion = measure.measure(spectra, shape, measure.Settings())
    assert error_px(-motion.shift_px, truth) < 0.1


def test_a_shift_of_all_frames_changes_nothing():
    """With counts: what is measured without any noise hangs on the rounding of transforms."""
    shape = (128, 128)
    frames = counted(moved(scene(shape), drift(8, 5.0)), 1.0)
    one, two = (
        measure.measure(fourier.forward_from_corner(some), shape, measure.Settings()).shift_px
        for some in (frames, frames.roll((3, -5), (-2, -1)))
    )
    # Only the rounding of transforms is left.
    assert torch.allclose(one, two, atol=1e-3)


@pytest.mark.parametrize("compat", [False, True])
def test_exchanging_the_axes_exchanges_the_shifts_but_in_relions_way(compat):
    shape, truth = (192, 192), drift(8, 6.0)
    frames = counted(moved(scene(shape), truth), 1.0)
    settings = measure.Settings(relion_compat=compat)
    plain = measure.measure(fourier.forward_from_corner(frames), shape, settings).shift_px
    turned = measure.measure(fourier.forward_from_corner(frames.mT), shape, settings).shift_px
    difference = float((plain - turned.flip(1)).abs().max())
    assert difference > 0.05 if compat else difference < 0.02


def test_too_few_frames_are_refused_with_advice():
    spectra = torch.zeros(5, 16, 9, dtype=torch.complex64)
    with pytest.raises(InputError, match="5 frames in groups of 2 make 2 group"):
        measure.measure(spectra, (16, 16), measure.Settings(group_frames=2))


def places(shape):
    y, x = torch.meshgrid(
        torch.linspace(0, shape[0], 9), torch.linspace(0, shape[1], 9), indexing="ij"
    )
    return torch.stack([x.flatten(), y.flatten()], 1)


def true_model(size_px, n_frames, seed=3):
    """Coefficients of a field without mean that grows to about a size."""
    generator = torch.Generator().manual_seed(seed)
    model = torch.zeros(2, 6, 3, dtype=torch.float64)
    t = n_frames - 1
    model[:, 1:, 0] = torch.randn(2, 5, generator=generator) * size_px * 2 / t
    model[:, 1:, 1] = -model[:, 1:, 0] / (2 * t)
    model[:, 0] = -(model[:, 2] + model[:, 4]) / 12
    return model.reshape(2, 18)


def test_a_polynomial_is_fitted_exactly_from_any_first_frame():
    shape = (200, 300)
    model = true_model(3.0, 10)
    time = torch.arange(10, dtype=torch.float64)
    shift = local.shifts_at(model, places(shape), time, shape)
    noise = torch.randn(len(shift), 1, 2, generator=torch.Generator().manual_seed(0))
    found = local.fit(places(shape), time, shift + noise, shape)
    assert found is not None
    assert torch.allclose(found.coefficients_px.double(), model, atol=1e-4)
    assert float(found.rms_px.max()) < 1e-5
    assert local.fit(places(shape)[:1], time, shift[:1], shape) is None


def test_groups_of_frames_are_half_a_frame_late_only_in_relions_way():
    shape, time = (200, 200), torch.arange(12, dtype=torch.float64)
    model = torch.zeros(2, 18, dtype=torch.float64)
    model[0, 4] = 0.1  # a shift along x that grows with x and with z²
    shift = local.shifts_at(model, places(shape), time, shape)
    ours = local.fit(places(shape), time, shift, shape)
    relions = local.fit(places(shape), time, shift, shape, relion_compat=True)
    assert ours is not None
    assert relions is not None
    ours_again, late = (
        local.shifts_at(one.coefficients_px.double(), places(shape), time, shape)
        for one in (ours, relions)
    )
    assert torch.allclose(ours_again, shift, atol=1e-3)
    moving = shift.abs() > 1
    assert float((late[moving] / shift[moving]).max()) < 0.95


def test_the_mean_of_a_model_can_be_told_apart():
    shape, frame = (300, 200), torch.arange(6, dtype=torch.float64)
    model = torch.randn(2, 18, generator=torch.Generator().manual_seed(2)).double()
    grid = torch.stack(torch.meshgrid(torch.arange(200) + 0.0, torch.arange(300) + 0.0,
                                      indexing="xy"), -1).reshape(-1, 2)  # fmt: skip
    whole = local.shifts_at(model, grid, frame, shape)
    mean, rest = local.without_mean(model, frame)
    assert torch.allclose(mean + local.shifts_at(rest, grid, frame, shape), whole, atol=1e-9)
    # the pixels lie half a pixel off the middle of the field
    assert local.shifts_at(rest, grid, frame, shape).mean(0).abs().max() < 0.01 * whole.abs().max()


def warped(image, motion_px, model, n_frames):
    """Frames whose content is displaced by a drift and a field, sampled finely."""
    shape = tuple(image.shape)
    y, x = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    place = torch.stack([x.flatten(), y.flatten()], 1).double()
    frames = []
    for frame in range(n_frames):
        shift = local.shifts_at(model, place, torch.tensor([float(frame)]), shape)[:, 0]
        back = place - shift - motion_px[frame]
        grid = (2 * back + 1) / torch.tensor([shape[1], shape[0]]) - 1
        grid = grid.reshape(1, *shape, 2).float()
        sampled = torch.nn.functional.grid_sample(
            image[None, None], grid, mode="bicubic", padding_mode="reflection", align_corners=False
        )
        frames.append(sampled[0, 0])
    return torch.stack(frames)


@pytest.mark.parametrize(("length_px", "field_px"), [(0.0, 2.0), (8.3, 2.0)])
def test_local_motion_is_found_with_and_without_drift(length_px, field_px):
    shape, n = (320, 384), 12
    motion_px, model = drift(n, length_px), true_model(field_px, n)
    frames = counted(warped(scene(shape), motion_px, model, n), 1.0)
    settings = measure.Settings(patches=(5, 5))
    motion = measure.measure(low(frames, settings), shape, settings)
    assert motion.problem == ""
    assert motion.coefficients_px is not None
    time = torch.arange(n, dtype=torch.float64)
    truth = motion_px + local.shifts_at(model, places(shape), time, shape)
    found = motion.shift_px + local.shifts_at(motion.coefficients_px, places(shape), time, shape)
    assert error_px(-motion.shift_px, motion_px) < 0.05
    difference = -found - truth
    difference = difference - difference[:, :1]
    assert difference.square().mean((0, 1)).sqrt().max() < 0.2


def test_patches_too_faint_alone_still_give_the_field_together():
    shape, n = (256, 256), 10
    model = true_model(2.5, n)
    frames = counted(warped(scene(shape, contrast=0.15), torch.zeros(n, 2), model, n), 0.7)
    settings = measure.Settings(patches=(5, 5))
    motion = measure.measure(low(frames, settings), shape, settings)
    assert motion.coefficients_px is not None
    time = torch.arange(n, dtype=torch.float64)
    truth = local.shifts_at(model, places(shape), time, shape)
    found = motion.shift_px + local.shifts_at(motion.coefficients_px, places(shape), time, shape)
    error = rms_px(-found, truth)
    assert error < 0.4
    compat = measure.Settings(patches=(5, 5), relion_compat=True)
    theirs = measure.measure(low(frames, compat), shape, compat)
    alone = theirs.shift_px.double()[None].expand_as(truth)
    if theirs.coefficients_px is not None:
        model = theirs.coefficients_px.double()
        alone = alone + local.shifts_at(model, places(shape), time, shape)
    assert error < 0.7 * rms_px(-alone, truth)


def test_transforms_from_the_corner_are_those_from_the_centre_but_for_phases():
    image = torch.randn(30, 44)
    ours = fourier.forward_from_corner(image, (12, 20))
    centred = fourier.crop(fourier.forward(image, 2), (12, 20), 2)
    assert torch.allclose(ours.abs(), centred.abs(), atol=1e-6)
    whole = fourier.forward_from_corner(image)
    assert torch.allclose(fourier.inverse_to_corner(whole, (30, 44)), image, atol=1e-5)


def test_bad_pixels_get_the_value_of_a_good_neighbour():
    frame = torch.arange(400.0).reshape(20, 20)
    bad = torch.zeros(20, 20, dtype=torch.bool)
    bad[5, 7] = bad[5, 8] = bad[0, 0] = True
    how = repair.plan(bad, 10, 100.0, 10.0, seed=4)
    mended, again = frame.clone(), frame.clone()
    mended[bad] = 1e9
    repair.repair_(mended, how, 3)
    repair.repair_(again, how, 3)
    assert torch.equal(mended, again)
    assert torch.equal(mended[~bad], frame[~bad])
    for y, x in torch.nonzero(bad).tolist():
        value = int(mended[y, x])
        assert abs(value // 20 - y) <= 2
        assert abs(value % 20 - x) <= 2
        assert not bad[value // 20, value % 20]
    other = frame.clone()
    repair.repair_(other, how, 4)
    assert not torch.equal(other, mended)


def test_bad_pixels_without_good_neighbours_get_noise_of_one_frame():
    bad = torch.ones(60, 60, dtype=torch.bool)
    how = repair.plan(bad, 16, 160.0, 8.0)
    frame = torch.zeros(60, 60)
    repair.repair_(frame, how, 0)
    assert float(frame.mean()) == pytest.approx(10.0, abs=0.2)
    assert float(frame.std()) == pytest.approx(8.0 / 4, rel=0.05)


def test_hot_pixels_stand_out_from_the_sum():
    total = 40 + 6 * torch.randn(100, 100, generator=torch.Generator().manual_seed(1))
    total[3, 9] = 120
    hot, mean, deviation = repair.hot_pixels(total)
    assert torch.nonzero(hot).tolist() == [[3, 9]]
    assert mean == pytest.approx(40, abs=0.5)
    assert deviation == pytest.approx(6, abs=0.3)


def whole_shift(x, y):
    field = torch.zeros(2, 6)
    field[0, 0], field[1, 0] = x, y
    return field


def add_all(wanted, frames, fields, maker=sums.FrameSums):
    totals = maker(wanted, CPU)
    for frame, field in zip(frames, fields, strict=True):
        totals.add(frame, field)
    return totals.finish()


def test_whole_shifts_are_exact_in_the_sum():
    frames = torch.rand(3, 32, 48)
    wanted = sums.Wanted((32, 48), (32, 48), 1.0)
    shifts = [(0, 0), (3, -2), (-5, 7)]
    found = add_all(wanted, frames, [whole_shift(*one) for one in shifts]).plain
    expected = sum(f.roll((y, x), (0, 1)) for f, (x, y) in zip(frames, shifts, strict=True))
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("voltage_kV", [300.0, 200.0, 100.0])
def test_dose_weights_follow_grant_and_grigorieff(voltage_kV):
    frames = torch.rand(4, 32, 32)
    doses = (3.0, 4.5, 6.0, 9.0)
    wanted = sums.Wanted((32, 32), (32, 32), 1.3, voltage_kV, doses)
    found = add_all(wanted, frames, [torch.zeros(2, 6)] * 4)
    k = dose.frequencies_per_A((32, 32), 1.3).double()
    critical = (0.245 * k**-1.665 + 2.81) * {300: 1, 200: 0.8, 100: 0.64}[int(voltage_kV)]
    weights = torch.exp(-torch.tensor(doses).double()[:, None, None] / (2 * critical))
    total = (torch.fft.rfft2(frames.double()) * weights).sum(0) / weights.square().sum(0).sqrt()
    assert torch.allclose(found.weighted.double(), torch.fft.irfft2(total), atol=1e-5)
    assert float(found.weighted.mean()) == pytest.approx(2 * float(frames.mean()), rel=1e-4)
    theirs = add_all(wanted, frames, [torch.zeros(2, 6)] * 4, RelionSums)
    assert torch.allclose(found.weighted, theirs.weighted, atol=1e-5)


def test_other_voltages_are_refused():
    with pytest.raises(InputError, match="120 kV"):
        dose.relative_dose(120.0)
    assert dose.relative_dose(299.0) == 1.0


def test_even_and_odd_sums_make_the_whole():
    frames = torch.rand(5, 24, 30)
    wanted = sums.Wanted((24, 30), (24, 30), 1.0, halves=True)
    found = add_all(wanted, frames, [torch.zeros(2, 6)] * 5)
    assert torch.allclose(found.odd, frames[0::2].sum(0), atol=1e-4)
    assert torch.allclose(found.even + found.odd, found.plain, atol=1e-4)


def test_binning_keeps_the_grey_values_and_low_frequencies():
    frames = torch.rand(2, 64, 48)
    wanted = sums.Wanted((64, 48), (32, 24), 2.0)
    found = add_all(wanted, frames, [torch.zeros(2, 6)] * 2).plain
    exact = fourier.inverse_to_corner(
        fourier.forward_from_corner(frames.sum(0), (32, 24)), (32, 24)
    )
    assert torch.allclose(found, exact, atol=1e-4)
    assert float(found.mean()) == pytest.approx(float(frames.sum(0).mean()), rel=1e-5)


def rings(a, b):
    """Fourier ring correlation of two images, in ten rings up to Nyquist."""
    first, second = (fourier.forward_from_corner(one - one.mean()) for one in (a, b))
    k = fourier.frequencies(tuple(a.shape), 2)
    shell = (torch.hypot(k[..., 0], k[..., 1]) * 20).long()
    found = []
    for ring in range(10):
        inside = shell == ring
        x, y = first[inside], second[inside]
        power = x.abs().square().sum() * y.abs().square().sum()
        found.append(float((x * y.conj()).real.sum() / power.sqrt()))
    return torch.tensor(found)


def test_a_sum_over_a_field_is_as_good_as_one_over_exact_shifts_and_its_noise_white():
    shape, n = (256, 256), 12
    generator = torch.Generator().manual_seed(8)
    white = torch.randn(shape, generator=generator)
    path = drift(n, 6.4)
    frames = moved(white, path) + 2 * torch.randn(n, *shape, generator=generator)
    fields = [whole_shift(-float(x), -float(y)) for x, y in path]
    exact = add_all(sums.Wanted(shape, shape, 1.0), frames, fields).plain
    local_sum = add_all(sums.Wanted(shape, shape, 1.0, local=True), frames, fields).plain
    inside = slice(16, -16)
    ours, best = (rings(one[inside, inside], white[inside, inside]) for one in (local_sum, exact))
    assert bool((ours[:8] > best[:8] - 0.02).all())
    power = fourier.forward_from_corner(local_sum - n * white)[1:, 1:].abs().square()
    k = fourier.frequencies(shape, 2)[1:, 1:]
    radius = torch.hypot(k[..., 0], k[..., 1])
    low_k, high_k = (float(power[(radius > a) & (radius < b)].mean()) for a, b in
                     ((0.02, 0.15), (0.35, 0.48)))  # fmt: skip
    assert high_k / low_k == pytest.approx(1, abs=0.12)
    bilinear = add_all(sums.Wanted(shape, shape, 1.0, local=True), frames, fields, RelionSums).plain
    assert torch.allclose(bilinear, exact, atol=0.1)  # a field without rest is a phase there


def test_spectra_of_groups_are_added_as_amplitudes():
    frames = torch.rand(5, 16, 20)
    groups = (range(0, 2), range(2, 4), range(4, 5))
    wanted = sums.Wanted((16, 20), (16, 20), 1.0, spectrum_groups=groups)
    expected = sum(
        fourier.forward_from_corner(frames[g.start : g.stop].sum(0)).abs() for g in groups
    )
    for maker in (sums.FrameSums, RelionSums):
        found = add_all(wanted, frames, [torch.zeros(2, 6)] * 5, maker).spectrum
        assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("size", "pixel_A", "expected_A"), [
    ((768, 1024), 1.0, 768 / 550), ((600, 600), 1.5, 1.5), ((128, 128), 0.7, 1.4),
])  # fmt: skip
def test_the_picture_of_a_spectrum_has_zero_in_its_middle(size, pixel_A, expected_A):
    wave = fourier.forward_from_corner(torch.rand(size))
    image, found_A = spectrum.picture(wave.abs(), size, pixel_A, 256)
    assert image.shape == (256, 256)
    assert found_A == pytest.approx(expected_A, abs=1e-4)
    place = int(image.argmax())
    assert (place // 256, place % 256) == (128, 128)


def test_the_whole_plane_is_symmetric():
    wave = fourier.forward_from_corner(torch.rand(16, 16))
    plane = spectrum.whole_plane(wave.abs(), (16, 16))
    assert torch.allclose(plane[1:, 1:], plane[1:, 1:].flip((0, 1)), atol=1e-7)
    assert float(plane[8, 8]) == pytest.approx(float(wave[0, 0].abs()))
    assert math.isclose(float(plane[9, 11]), float(wave[1, 3].abs()), rel_tol=1e-6)
