"""What a refinement begins with: noise, references from nothing and given, the first state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from vitreous.engine import boxing, fourier, masking
from vitreous.engine.ctf import Defocus, Optics
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.initial import initial_state, initial_tau2
from vitreous.engine.refinement.initial_noise import FirstNoise, first_noise
from vitreous.engine.refinement.initial_references import (
    FirstReferences,
    as_blobs,
    given_references,
    resized,
)
from vitreous.engine.refinement.settings import Image, Settings, Solvent
from vitreous.engine.refinement.state import Assignments
from vitreous.errors import ComputeError, InputError
from vitreous.testing import phantoms
from vitreous.testing.oracle import cases

BOX, PIXEL_A = 24, 4.0
NOBODY = np.zeros(0, np.int64)


def particles(
    images: list[Tensor], optics: Optics | None = None, group: list[int] | None = None
) -> Data:
    n = len(images)
    return Data(
        optics=optics or Optics.of(pixel_size_A=PIXEL_A, box_px=BOX),
        defocus=Defocus.of(torch.full((n,), 10000.0)),
        optics_group=np.array(group or [0] * n),
        premultiplied=np.array([False] * (1 if optics is None else len(optics))),
        identity=np.arange(n) + 7,
        read=lambda rows: torch.stack([images[row] for row in rows]).float(),
    )


def assigned(n: int, half: list[int] | None = None, group: list[int] | None = None) -> Assignments:
    zero, whole = np.zeros(n), np.zeros(n, np.int64)
    return Assignments(
        np.zeros((n, 3)), np.zeros((n, 2)), np.full((n, 3), np.nan), np.full((n, 2), np.nan),
        whole, np.array(half or [0] * n), whole, np.array(group or [0] * n),
        zero + 1, zero, whole, zero,
    )  # fmt: skip


def white(n: int, box: int = BOX, seed: int = 0) -> list[Tensor]:
    return list(torch.randn(n, box, box, generator=torch.Generator().manual_seed(seed)))


def measured(data: Data, settings: Settings = Settings(), **keys: object) -> FirstNoise:  # noqa: B008
    return first_noise(data, assigned(len(data)), settings, BOX, PIXEL_A, **keys)  # type: ignore[arg-type] # see, progress


def test_noise_of_white_images_is_the_same_in_every_shell() -> None:
    """1 / (2 N^2), pitfall 1."""
    found = measured(particles(white(600)))
    expected = 1 / (2 * BOX**2)
    counts = fourier.shell_count(BOX, 2).double() * 600
    assert found.sigma2.shape == (1, BOX // 2 + 1)
    assert ((found.sigma2[0] / expected - 1).abs() < 4 / counts.sqrt() + 1e-3).all()
    assert found.n_used.tolist() == [600]
    assert found.warnings() == []


def test_what_all_images_share_is_no_noise() -> None:
    signal = 5 * phantoms.cluster(radius_px=5).projections(torch.eye(3)[None].double(), BOX)[0]
    plain = measured(particles(white(300))).sigma2
    found = measured(particles([one + 20 * signal for one in white(300)])).sigma2
    assert torch.allclose(found, plain, rtol=0.15)


def test_zero_mask_measures_inside_the_mask() -> None:
    settings = Settings(solvent=Solvent(diameter_A=12 * PIXEL_A, zero_mask=True, edge_px=2))
    found = measured(particles(white(400)), settings)
    share = float(masking.sphere(BOX, 2, 6, 2).square().mean())
    assert torch.allclose(
        found.sigma2[0, 2:].mean(), torch.tensor(share / (2 * BOX**2)).double(), rtol=0.05
    )


@pytest.mark.parametrize(("box", "pixel_A"), [(24, 3.0), (32, 4.0), (20, 4.0)])
def test_groups_are_measured_in_their_own_boxes(box: int, pixel_A: float) -> None:
    one, other = (
        Optics.of(pixel_size_A=PIXEL_A, box_px=BOX),
        Optics.of(pixel_size_A=pixel_A, box_px=box),
    )
    both = Optics(
        *(torch.cat([getattr(o, name) for o in (one, other)]) for name in one.__dataclass_fields__)
    )
    data = particles([*white(200), *white(200, box)], both, [0] * 200 + [1] * 200)
    found = first_noise(data, assigned(400, group=[0] * 200 + [1] * 200), Settings(), BOX, PIXEL_A)
    assert torch.allclose(
        found.sigma2[0, 1:].mean(), torch.tensor(1 / (2 * BOX**2)).double(), rtol=0.05
    )
    assert torch.allclose(
        found.sigma2[1, 1:].mean(), torch.tensor(1 / (2 * box**2)).double(), rtol=0.05
    )
    assert (found.sigma2 > 0).all()


def test_only_a_sample_is_read_whatever_the_order_of_the_table() -> None:
    images, read = white(50), []

    def reading(rows: np.ndarray) -> Tensor:
        read.extend(rows.tolist())
        return torch.stack([images[row] for row in rows])

    settings = Settings(image=Image(n_noise_particles=20))
    told: list[tuple[int, int]] = []
    data = replace(particles(images), read=reading)
    found = measured(data, settings, progress=lambda done, total: told.append((done, total)))
    assert len(set(read)) == 20
    assert told[-1] == (20, 20)
    backwards = Data(
        data.optics, data.defocus, data.optics_group, data.premultiplied,
        data.identity[::-1].copy(), lambda rows: torch.stack([images[49 - row] for row in rows]),
    )  # fmt: skip
    assert torch.allclose(measured(backwards, settings).sigma2, found.sigma2, rtol=1e-6)
    assert not torch.allclose(measured(data, replace(settings, seed=5)).sigma2, found.sigma2)


def test_enough_particles_for_all_classes_are_read() -> None:
    settings = Settings(image=Image(n_noise_particles=20), from_nothing=True, n_classes=8)
    assert measured(particles(white(50)), settings).n_used.tolist() == [40]


def test_bad_particles_are_named_and_left_out() -> None:
    images = white(40)
    images[3] = images[3] * 5
    images[8] = images[8] + 3
    images[11] = torch.full_like(images[11], torch.nan)
    found = measured(particles(images), Settings(solvent=Solvent(diameter_A=14 * PIXEL_A)))
    assert found.badly_normalised.tolist() == [3, 8]
    assert found.unreadable.tolist() == [11]
    assert found.n_used.tolist() == [39]
    assert torch.isfinite(found.sigma2).all()
    first, second = found.warnings()
    assert first.startswith("2 of 39 particles")
    assert "rows 4, 9" in first
    assert "rows 12)" in second
    trusting = Settings(image=Image(check_norm=False), solvent=Solvent(diameter_A=14 * PIXEL_A))
    assert len(measured(particles(images), trusting).badly_normalised) == 0


def test_gaps_take_the_last_value_and_nothing_at_all_is_refused() -> None:
    low = [
        fourier.inverse(fourier.pad(fourier.crop(fourier.forward(one, 2), 12, 2), BOX, 2), 2, BOX)
        for one in white(100)
    ]
    found = measured(particles(low)).sigma2[0]
    assert (found > 0).all()
    with pytest.raises(ComputeError, match="no noise at all"):
        measured(particles([torch.zeros(BOX, BOX)] * 5))
    nobody = replace(particles(white(4)), optics_group=np.array([0, 0, 0, 0]))
    two = Optics(
        *(torch.cat([getattr(nobody.optics, n)] * 2) for n in nobody.optics.__dataclass_fields__)
    )
    with pytest.raises(ComputeError, match="Optics group 2 has no particle"):
        measured(replace(nobody, optics=two, premultiplied=np.array([False, False])))


@pytest.mark.parametrize("ndim", [2, 3])
def test_references_from_nothing(ndim: int) -> None:
    case = cases.make(cases.Recipe(n=60, ndim=ndim, noise=0.5, n_classes=2))
    settings = replace(case.settings, from_nothing=True, n_classes=3, padding=1)

    def made(seed: int, **keys: bool) -> Tensor:
        chosen = replace(settings, seed=seed)
        start = FirstReferences(case.data, chosen, BOX, PIXEL_A)
        first_noise(case.data, case.state.assignments, chosen, BOX, PIXEL_A, see=start.add_)
        assert start.shell == 2  # 0.07 N
        assert start.low_pass_A == pytest.approx(BOX * PIXEL_A / 2)
        return start.references(**keys)

    found = made(1)
    assert found.shape == (3, *[BOX] * ndim)
    assert torch.equal(found, made(1))
    assert not torch.allclose(found, made(2))
    assert not torch.allclose(found[0], found[1])
    outside = masking.radius(BOX, ndim) > 9 + 3 + 0.5
    assert float(found[:, outside].abs().max()) == 0
    assert float(found.std()) > 0
    # Without blobs: a low-passed heap of the particles, of their grey scale, denser in the middle.
    heap = made(1, blobs=False)
    inside = masking.radius(BOX, ndim) < 5
    assert float(heap[:, inside].mean()) > 3 * float(heap[:, ~inside].mean())
    truth = case.objects[0].volume(BOX) if ndim == 3 else case.objects[0].volume(BOX).sum(0)
    ratio = float(heap[:, inside].mean()) / float(truth[inside].mean())
    assert 0.3 < ratio < 3


def test_blobs_keep_the_deviation_and_differ() -> None:
    volume = phantoms.cluster(radius_px=6).volume(BOX).float()
    made = [as_blobs(volume, 18, np.random.default_rng(seed)) for seed in (0, 1)]
    for one in made:
        assert float(one.std()) == pytest.approx(float(volume.std()), rel=1e-4)
        assert float(one.min()) < 0 < float(one.max())
    assert float(torch.corrcoef(torch.stack([m.flatten() for m in made]))[0, 1]) < 0.9


def test_given_references_are_checked() -> None:
    volume = phantoms.cluster(radius_px=6).volume(BOX).float()[None]
    settings = Settings(n_classes=3)
    fitting = given_references(volume, PIXEL_A + 5e-4, settings, BOX, PIXEL_A)
    assert torch.equal(fitting, volume.expand(3, -1, -1, -1))
    low = given_references(volume, PIXEL_A, replace(settings, low_pass_A=40.0), BOX, PIXEL_A)
    assert float(fourier.shell_mean(fourier.forward(low[0].double(), 3).abs(), 3)[6:].max()) < 1e-8
    with pytest.raises(
        InputError, match=r"ref.mrc has a box of 24 pixels of 4 A; .* 24 pixels of 3.5 A"
    ):
        given_references(volume, PIXEL_A, settings, BOX, 3.5, name="ref.mrc")
    with pytest.raises(InputError, match="holds 2 references for 3 classes"):
        given_references(volume.expand(2, -1, -1, -1), PIXEL_A, settings, BOX, PIXEL_A)
    with pytest.raises(InputError, match="is empty"):
        given_references(torch.zeros_like(volume), PIXEL_A, settings, BOX, PIXEL_A)
    with pytest.raises(InputError, match="NaN"):
        given_references(volume * torch.nan, PIXEL_A, settings, BOX, PIXEL_A)
    with pytest.raises(InputError, match="24 x 24 pixels; wanted cubes"):
        given_references(volume[0], PIXEL_A, settings, BOX, PIXEL_A)
    known = replace(settings, reference_pixel_size_A=3.5)
    assert given_references(volume, PIXEL_A, known, BOX, 3.5).shape == (3, 24, 24, 24)


@pytest.mark.parametrize(("box", "pixel_A"), [(30, 3.1), (24, 4.4), (20, 5.0)])
def test_references_that_do_not_fit_are_resampled(box: int, pixel_A: float) -> None:
    """The same object sampled otherwise, up to the height of its values."""
    thing = phantoms.cluster(radius_px=4.5, width_px=1.8)
    scaled = replace(
        thing,
        centres_px=thing.centres_px * PIXEL_A / pixel_A,
        widths_px=thing.widths_px * PIXEL_A / pixel_A,
    )
    trusting = Settings(trust_reference_size=True)
    found = given_references(scaled.volume(box).float()[None], pixel_A, trusting, BOX, PIXEL_A)[0]
    expected = thing.volume(BOX).float()
    assert found.shape == expected.shape
    correlation = torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1]
    assert float(correlation) > 0.995
    assert abs(boxing.centre_of_mass(found)[0] - boxing.centre_of_mass(expected)[0]) < 0.15


def test_a_mask_is_resized_with_its_reference() -> None:
    mask = masking.sphere(32, 3, 10, 3)[None]
    found = resized(mask, 3.0, BOX, PIXEL_A, 3)[0]
    assert found.shape == (BOX,) * 3
    assert float(found[12, 12, 12]) == pytest.approx(1, abs=0.02)
    assert float((found > 0.5).sum()) == pytest.approx(float((mask > 0.5).sum()) * 0.75**3, rel=0.1)


def test_initial_state() -> None:
    volume = phantoms.cluster(radius_px=5).volume(BOX).float()
    settings = Settings(n_classes=2, low_pass_A=30.0, split_halves=True)
    noise = FirstNoise(torch.full((1, 13), 1e-3).double(), np.array([6]), NOBODY, NOBODY)
    who = assigned(6, half=[0, 1, 0, 1, 1, 1])
    state = initial_state(settings, who, noise, [volume.expand(2, -1, -1, -1)], PIXEL_A, ("mic",))
    assert len(state.models) == 2
    first, second = state.models
    assert (first.group_counts, second.group_counts) == ((2,), (4,))
    assert float(first.direction_weight.sum()) == pytest.approx(1)
    assert first.direction_weight.shape == (2, 12 * 4**2)
    assert first.resolution_per_A == pytest.approx(1 / 30)
    # Section 3.7: half the power times N^2, and (n pi_k / sigma2) / (2 s) of it.
    power = fourier.shell_mean((fourier.forward(volume.double(), 3) * BOX).abs().square(), 3) / 2
    assert torch.allclose(first.tau2[0, 4:8], power[4:8], rtol=0.35)
    assert torch.allclose(first.ssnr[1, 4], first.tau2[1, 4] * 2 / 2 / 1e-3 / 8)
    assert torch.allclose(second.ssnr, 2 * first.ssnr)
    assert torch.allclose(
        initial_tau2(volume[None], replace(settings, tau_fudge=4.0)), 4 * first.tau2[:1]
    )
    with pytest.raises(InputError, match="Half 2 of the data has no particles"):
        initial_state(settings, assigned(6), noise, [volume[None]], PIXEL_A, ("mic",))


def test_halves_may_begin_with_their_own_maps() -> None:
    maps = [torch.full((1, BOX, BOX, BOX), float(k)) for k in (1, 2)]
    noise = FirstNoise(torch.full((1, 13), 1e-3).double(), np.array([6]), NOBODY, NOBODY)
    settings = Settings(split_halves=True)
    state = initial_state(settings, assigned(2, half=[0, 1]), noise, maps, PIXEL_A, ("mic",))
    assert float(state.models[1].references.mean()) == 2
