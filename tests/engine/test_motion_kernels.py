"""The compiled kernels for movie frames do what the plain-torch ones do."""

import numpy as np
import pytest
import torch

from vitreous.engine.kernels import frames, motion_reference

needs_compiler = pytest.mark.skipif(
    frames.compiled() is None, reason="the package was built without a compiler"
)


def waves(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex64, generator=generator)


def field(size_px, seed=0):
    return size_px * torch.randn(2, 6, generator=torch.Generator().manual_seed(seed))


@needs_compiler
@pytest.mark.parametrize("cubic", [True, False])
@pytest.mark.parametrize("shape", [(40, 64), (33, 71), (7, 5), (64, 16)])
@pytest.mark.parametrize("size_px", [0.0, 3.0, 40.0])
def test_moved_frames_agree(shape, cubic, size_px):
    frame = torch.rand(shape)
    ours = frames.warp(frame, field(size_px), cubic=cubic)
    exact = motion_reference.warp(frame.double(), field(size_px).double(), cubic=cubic)
    assert torch.allclose(ours.double(), exact, atol=2e-5 * (1 + size_px))


def test_a_frame_moved_by_whole_pixels_is_a_roll_inside():
    frame = torch.rand(20, 30)
    shift = torch.zeros(2, 6)
    shift[0, 0], shift[1, 0] = 3, -2
    moved = frames.warp(frame, shift, cubic=False)
    assert torch.allclose(moved[:-2, 3:], frame[2:, :-3], atol=1e-6)
    assert torch.allclose(moved[:-2, 0], frame[2:, 0], atol=1e-6)  # the nearest pixel outside


def test_splines_blur_a_wave_by_the_fourth_power_of_sinc():
    k, y = 0.2, torch.arange(50, dtype=torch.float64)
    frame = torch.cos(2 * torch.pi * k * y)[:, None].expand(-1, 50).contiguous()
    shift = torch.zeros(2, 6, dtype=torch.float64)
    shift[1, 0] = 0.25
    moved = frames.warp(frame, shift)[10:-10, 25]
    place = y[10:-10]
    wave = torch.exp(-2j * torch.pi * k * place)
    amplitude = (2 * (moved * wave).mean()).abs()
    assert float(amplitude) == pytest.approx(float(torch.sinc(torch.tensor(k)) ** 4), abs=0.01)


@needs_compiler
@pytest.mark.parametrize("shape", [(12, 9), (33, 70)])
def test_sums_agree(shape):
    decay = -torch.rand(shape)
    wave = waves(*shape)
    wanted = [(True, True, True), (True, False, False), (False, True, True)]
    for weighted, plain, group in wanted:
        start = [waves(*shape, seed=n) if needed else None
                 for n, needed in enumerate((weighted, plain, group), start=1)]  # fmt: skip
        ours = [None if one is None else one.clone() for one in start]
        rate = decay if weighted else None
        frames.add_(wave, rate, 2.5, *ours)
        motion_reference.add_(wave, rate, 2.5, *start)
        for one, exact in zip(ours, start, strict=True):
            assert one is None or torch.allclose(one, exact, atol=1e-5)


@needs_compiler
def test_small_weights_do_not_become_odd():
    decay = torch.tensor([[0.0, -1.0, -30.0, -90.0, -1000.0]])
    total = torch.zeros(1, 5, dtype=torch.complex64)
    frames.add_(torch.ones(1, 5, dtype=torch.complex64), decay, 1.0, total, None, None)
    assert total.real[0, :3].tolist() == pytest.approx([1, 0.36787944, 9.357623e-14], rel=1e-6)
    assert bool((total.real[0, 3:] < 1e-36).all())


@needs_compiler
def test_moduli_agree_and_the_group_begins_anew():
    wave, total = waves(11, 6), torch.rand(11, 6)
    ours, exact = wave.clone(), total + wave.abs()
    frames.add_modulus_(ours, total)
    assert torch.allclose(total, exact, atol=1e-6)
    assert not ours.abs().any()


@needs_compiler
def test_moved_spectra_and_correlations_agree():
    stack, along_y, along_x = waves(3, 14, 9), waves(3, 14, seed=1), waves(3, 9, seed=2)
    ours, exact = torch.zeros(14, 9, dtype=torch.complex64), torch.zeros(14, 9) + 0j
    exact = exact.to(torch.complex64)
    frames.add_moved_(stack, along_y, along_x, ours)
    motion_reference.add_moved_(stack, along_y, along_x, exact)
    assert torch.allclose(ours, exact, atol=1e-5)
    reference, rows = waves(14, 9, seed=3), waves(3, 5, 14, seed=4)
    found = frames.correlate(stack, reference, rows)
    assert torch.allclose(found, motion_reference.correlate(stack, reference, rows), atol=1e-4)
    weight = torch.rand(14, 9)
    found = frames.correlate_own(stack, weight, rows[0])
    exact = motion_reference.correlate_own(stack, weight, rows[0])
    assert torch.allclose(found, exact, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graphics_card_measures_and_adds_up_the_same():
    from vitreous.engine.motion import measure, sums

    generator = torch.Generator().manual_seed(0)
    still = torch.rand(128, 128, generator=generator)
    movie = torch.stack([still.roll((n, 2 * n), (0, 1)) for n in range(6)])
    found = {}
    for device in ("cpu", "cuda"):
        on = movie.to(device)
        settings = measure.Settings(patches=(3, 3))
        motion = measure.measure(torch.fft.rfft2(on, norm="forward"), (128, 128), settings)
        total = sums.FrameSums(
            sums.Wanted((128, 128), (128, 128), 1.0, 300.0, (1.0, 2, 3, 4, 5, 6), local=True),
            torch.device(device),
        )
        for number, frame in enumerate(on):
            total.add(frame, motion.field_px(number))
        found[device] = (motion.shift_px.cpu(), total.finish().weighted.cpu())
    assert torch.allclose(found["cpu"][0], found["cuda"][0], atol=0.02)
    assert torch.allclose(found["cpu"][1], found["cuda"][1], atol=0.02)


@needs_compiler
@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "int32", "float32"])
@pytest.mark.parametrize("has_gain", [True, False])
def test_counts_become_numbers_times_the_gain(kind, has_gain):
    counts = torch.randint(-100 if kind != "uint8" else 0, 100, (33, 71)).to(getattr(torch, kind))
    gain = torch.rand(33, 71) if has_gain else None
    out = torch.full((33, 71), torch.nan)
    frames.fill_(out, counts, gain)
    assert torch.equal(out, counts.float() if gain is None else counts.float() * gain)


@pytest.mark.parametrize("kind", ["uint16", "float64"])
def test_counts_of_other_types_become_numbers_too(kind):
    counts = torch.arange(6).reshape(2, 3).to(getattr(torch, kind))
    out = torch.empty(2, 3)
    frames.fill_(out, counts, None)
    assert torch.equal(out, torch.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "i4", ">i2", "i8"])
def test_counts_are_added_and_empty_frames_told(kind):
    counts = np.random.default_rng(0).integers(0, 100, (33, 71)).astype(kind)
    total = np.full((33, 71), 5, np.int32)
    assert frames.add_counts_(total, counts)
    assert np.array_equal(total, 5 + counts.astype(np.int32))
    assert frames.add_counts_(total, counts[:, ::-1])
    assert np.array_equal(total, 5 + counts.astype(np.int32) + counts[:, ::-1].astype(np.int32))
    assert not frames.add_counts_(total.copy(), np.zeros_like(counts))
