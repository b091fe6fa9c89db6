"""Rings as curves: averages of a spectrum along lines of equal phase, and how far a fit goes.

With astigmatism rings are not round. Each pixel is counted at the radius where a round CTF, of the
mean defocus, has the same phase (Rohou and Grigorieff 2015): the curve keeps its contrast as far
as the fit is right. The fit goes as far as the curve follows the CTF, by their correlation over
about one ring.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vitreous.engine import ctf_model, ctf_spectrum, fourier
from vitreous.engine.ctf_band import ICE_PER_A
from vitreous.engine.ctf_fit import Fit
from vitreous.engine.ctf_model import PHASE, Scene, Z

NARROWEST_WINDOW = 10  # frequencies
FOLLOWS = 0.5  # correlation down to which a curve follows the CTF
FIRST_AT_LEAST_A = 10.0  # a curve that begins to follow only later follows by chance
RING_TOO_NARROW_PX = 3.0


@dataclass(frozen=True)
class Profile:
    """Curves of spectra; ``s`` frequencies a step of the spectrum apart, from 0.

    Parameters
    ----------
    frequency_per_A
        ``s``
    rotational, equiphase
        ``n s``, averages of the rings over circles, and along lines of equal phase; in units of
        the noise of one pixel. 0 where nothing was fitted.
    ctf
        ``n s``, ``|CTF|`` of the mean defocus.
    correlation
        ``n s``, of `equiphase` with what is expected, over about one ring.
    by_chance
        ``n s``, two standard deviations of that correlation where there is only noise.
    """

    frequency_per_A: Float[Tensor, " s"]
    rotational: Float[Tensor, "n s"]
    equiphase: Float[Tensor, "n s"]
    ctf: Float[Tensor, "n s"]
    correlation: Float[Tensor, "n s"]
    by_chance: Float[Tensor, "n s"]


def profile(scene: Scene, found: Fit) -> Profile:
    """Return the curves of spectra over the whole band of a scene."""
    band, spectra = scene.band, scene.spectra
    step, n_bins = 1 / spectra.extent_A, spectra.side // 2 + 1
    parameters = found.parameters
    data = scene.data / band.weight.sqrt() * len(band.index) ** 0.5
    plain = _bins(band.radius_per_A.expand_as(data), step, n_bins)
    along = _bins(_round_radius(scene, parameters), step, n_bins)
    frequency = torch.arange(n_bins, dtype=data.dtype, device=data.device) * step
    gamma = scene.lens.fixed_rad(frequency**2) - parameters[:, PHASE, None]
    gamma = gamma + scene.lens.per_defocus(frequency**2) * parameters[:, Z, None]
    ctf = torch.sin(gamma).abs()
    spread = scene.lens.displacement_A(parameters[:, Z, None], frequency)
    counts = _sums(torch.ones_like(data), along, n_bins)
    equiphase = _means(data, along, n_bins)
    # The background took the smooth part of the data; it must be gone from the CTF as well.
    expected = ctf_model.visible_ctf(scene, parameters[:, None])[:, 0] / band.weight.sqrt()
    ring = 1 / (spread.abs() * step).clamp(min=1e-6)
    window = ring.clamp(min=NARROWEST_WINDOW, max=n_bins)
    correlation = _local_correlation(equiphase, _means(expected, along, n_bins), counts > 0, window)
    chance = (2 / window.sqrt()).expand_as(correlation)
    return Profile(
        frequency, _means(data, plain, n_bins), equiphase, ctf, correlation,
        torch.where(counts > 0, chance, 0),
    )  # fmt: skip


def resolution_A(curves: Profile, finest_A: float) -> Float[Tensor, " n"]:
    """Return how far the curves follow the CTF; infinite where they never do."""
    frequency = curves.frequency_per_A
    inside = (frequency > 0) & (frequency <= 1 / finest_A) & (curves.by_chance > 0)
    follows = (curves.correlation >= FOLLOWS) & inside
    has_begun = follows.cumsum(-1) > 0
    first = follows.to(torch.int64).argmax(-1)
    has_ended = has_begun & ~follows
    last = torch.where(
        has_ended.any(-1), has_ended.to(torch.int64).argmax(-1) - 1, len(frequency) - 1
    )
    is_real = follows.any(-1) & (frequency[first] <= 1 / FIRST_AT_LEAST_A)
    return torch.where(is_real, 1 / frequency[last].clamp(min=1e-6), torch.inf)


def too_narrow_at_A(scene: Scene, found: Fit) -> Float[Tensor, " n"]:
    """Return the resolution from which rings are less than 3 pixels of the spectrum apart."""
    mean_A = found.parameters[:, Z]
    k = scene.spectra.extent_A / (2 * RING_TOO_NARROW_PX * scene.lens.wavelength_A * mean_A)
    return 1 / k


def ice_ring_density(curves: Profile) -> Float[Tensor, " n"]:
    """Add up what stands out between 0.25 and 0.28 per A; 0 where the spectrum ends before."""
    low, high = ICE_PER_A
    chosen = (curves.frequency_per_A >= low) & (curves.frequency_per_A <= high)
    return curves.rotational[:, chosen].abs().sum(-1)


def picture(scene: Scene, found: Fit) -> Float[Tensor, "n y x"]:
    """Return pictures of spectra: the data at the left (kx < 0), the fit at the right.

    Returns
    -------
    Tensor
        Zero frequency in the middle; ``|CTF|`` from 0 to 1, the data brought to the same greys.
    """
    band, spectra = scene.band, scene.spectra
    data = scene.data / band.weight.sqrt() * len(band.index) ** 0.5
    left = torch.full_like(spectra.amplitude, 0.5, dtype=torch.float32).flatten(1)
    left[:, band.index] = (0.5 + data / 5).clamp(0, 1).to(torch.float32)
    k_per_A = fourier.indices(spectra.side, 2, data.device).flatten(0, 1) / spectra.extent_A
    gamma = ctf_model.gamma_rad(scene.lens, found.parameters, k_per_A.to(torch.float64))
    right = torch.sin(gamma).abs().to(torch.float32)
    whole, fit = (
        ctf_spectrum.centred_plane(half.reshape(spectra.amplitude.shape)) for half in (left, right)
    )
    middle = spectra.side // 2
    whole[..., middle:] = fit[..., middle:]
    return whole


def _round_radius(scene: Scene, parameters: Float[Tensor, "n 4"]) -> Float[Tensor, "n p"]:
    """Return where a CTF of the mean defocus has the phase of each pixel.

    With z the mean defocus, d(phi) its change along phi and c = Cs lambda^2 / 2, it solves
    ``z q^2 - c q^4 = (z + d) k^2 - c k^4`` for q by Newton's steps from ``q^2 = k^2 (1 + d / z)``.
    """
    k = scene.band.k_per_A
    k2 = (k**2).sum(-1)
    cos, sin = (k[:, 0] ** 2 - k[:, 1] ** 2) / k2, 2 * k[:, 0] * k[:, 1] / k2
    mean = parameters[:, :1]
    change = parameters[:, 1:2] * cos + parameters[:, 2:3] * sin
    c = scene.lens.coma_A3 / 2
    wanted = (mean + change) * k2 - c * k2**2
    q2 = k2 * (1 + change / mean).clamp(min=0)
    for _ in range(3):
        slope = mean - 2 * c * q2
        slope = torch.where(slope.abs() < 0.05 * mean, 0.05 * mean, slope)
        q2 = (q2 - (mean * q2 - c * q2**2 - wanted) / slope).clamp(min=0)
    # Where Cs turns the phase around there is no such radius: leave the pixel where it is.
    return torch.where((q2 / k2 - 1).abs() < 0.5, q2, k2.expand_as(q2)).sqrt()


def _bins(radius: Tensor, step: float, n_bins: int) -> Int64[Tensor, "n p"]:
    return (radius / step).round().to(torch.int64).clamp(max=n_bins - 1)


def _sums(values: Tensor, bins: Tensor, n_bins: int) -> Float[Tensor, "n s"]:
    return values.new_zeros((len(values), n_bins)).scatter_add(1, bins, values)


def _means(values: Tensor, bins: Tensor, n_bins: int) -> Float[Tensor, "n s"]:
    counts = _sums(torch.ones_like(values), bins, n_bins)
    return _sums(values, bins, n_bins) / counts.clamp(min=1)


def _local_correlation(
    one: Float[Tensor, "n s"],
    other: Float[Tensor, "n s"],
    counts: Bool[Tensor, "n s"],
    window: Float[Tensor, "n s"],
) -> Float[Tensor, "n s"]:
    """Correlate two curves around each frequency, over a window of so many bins."""
    weight = counts.to(one.dtype)
    half = (window / 2).round().to(torch.int64).expand_as(one)
    place = torch.arange(one.shape[-1], device=one.device)
    low, high = (place - half).clamp(min=0), (place + half + 1).clamp(max=one.shape[-1])

    def around(values: Tensor) -> Tensor:
        total = torch.nn.functional.pad((values * weight).cumsum(-1), (1, 0))
        return total.gather(-1, high) - total.gather(-1, low)

    n = around(torch.ones_like(one)).clamp(min=1)
    mean_one, mean_other = around(one) / n, around(other) / n
    both = around(one * other) / n - mean_one * mean_other
    power_one = around(one**2) / n - mean_one**2
    power_other = around(other**2) / n - mean_other**2
    product = (power_one.clamp(min=0) * power_other.clamp(min=0)).sqrt()
    return torch.where((product > 1e-12) & counts, both / product.clamp(min=1e-12), 0.0)
