"""Defocus, astigmatism and phase shift of micrographs from the rings in their spectra.

The fit maximises the likelihood of the rings in Gaussian noise: half the squared correlation with
the model times the number of independent values, minus what an unexpected astigmatism costs. From
each candidate of `ctf_search` it goes uphill by Gauss-Newton steps on all pixels, damped as
Levenberg and Marquardt do, with the strength of the rings eliminated at every step (Golub and
Pereyra 1973).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import ctf_model
from vitreous.engine.ctf import Optics
from vitreous.engine.ctf_band import make_band, rings
from vitreous.engine.ctf_model import A1, A2, PHASE, Lens, Scene
from vitreous.engine.ctf_search import LARGEST_SHARE, Candidates, Range, search
from vitreous.engine.ctf_spectrum import Spectra

FIRST_STEPS, STEPS = 3, 12
SECOND_ROUND = 2  # candidates that go on after the first steps
SMALL_RISE = 1e-3  # in log-likelihood
BY_CHANCE_SIGMA = 5.0  # significance that a search of pure noise hardly ever exceeds
BFACTORS_A2 = (0.0, 10.0, 25.0, 50.0, 80.0, 120.0, 170.0, 240.0, 340.0, 500.0, 800.0)


@dataclass(frozen=True)
class Fit:
    """What was found; all ``n`` in double precision.

    Parameters
    ----------
    defocus_u_A, defocus_v_A
        U is not smaller than V.
    astigmatism_deg
        Angle of U from x towards y, above -90 to 90.
    phase_shift_deg
        Given, or fitted.
    bfactor_A2
        The rings fade as ``exp(-B k^2 / 2)``.
    figure_of_merit
        Correlation of the data, free of background, with the CTF, as far as it is visible; less
        what the best fit to pure noise would reach, so that 0 means that there is nothing.
    significance
        How many standard deviations of noise the rings stand out; chance alone reaches 4 to 5 in a
        wide search.
    """

    defocus_u_A: Float[Tensor, " n"]
    defocus_v_A: Float[Tensor, " n"]
    astigmatism_deg: Float[Tensor, " n"]
    phase_shift_deg: Float[Tensor, " n"]
    bfactor_A2: Float[Tensor, " n"]
    figure_of_merit: Float[Tensor, " n"]
    significance: Float[Tensor, " n"]

    @property
    def parameters(self) -> Float[Tensor, "n 4"]:
        """Return what `ctf_model` goes by."""
        half = (self.defocus_u_A - self.defocus_v_A) / 2
        twice = 2 * torch.deg2rad(self.astigmatism_deg)
        mean = (self.defocus_u_A + self.defocus_v_A) / 2
        phase = torch.deg2rad(self.phase_shift_deg)
        return torch.stack([mean, half * twice.cos(), half * twice.sin(), phase], -1)


def prepare(spectra: Spectra, optics: Optics, coarsest_A: float, finest_A: float) -> Scene:
    """Return spectra ready for `fit`: their rings between two resolutions, without background."""
    band = make_band(spectra, coarsest_A, finest_A, spectra.amplitude.device)
    data = rings(spectra, band)
    return Scene(data / data.norm(dim=1, keepdim=True), band, Lens.of(optics), spectra)


def fit(scene: Scene, wanted: Range) -> Fit:
    """Find the CTF of spectra of one size and one microscope.

    Parameters
    ----------
    scene
        Of `prepare`.
    wanted
        What is searched.
    """
    found = climb(scene, wanted, search(scene, wanted), FIRST_STEPS)
    found = climb(scene, wanted, _best(scene, wanted, found, SECOND_ROUND))
    found = _with_best_envelope(scene, _best(scene, wanted, found, 1))
    return _told(scene, climb(scene, wanted, found))


def climb(scene: Scene, wanted: Range, start: Candidates, steps: int = STEPS) -> Candidates:
    """Go uphill from every candidate; none ends lower than it began."""
    free = PHASE + 1 if wanted.fits_phase else PHASE
    at = _inside(wanted, start.parameters)
    damping = torch.full_like(start.bfactor_A2, 1e-3)
    height = likelihood(scene, wanted, Candidates(at, start.bfactor_A2))
    for _ in range(steps):
        step = _step(scene, wanted, Candidates(at, start.bfactor_A2), damping, free)
        tried = _inside(wanted, at + step)
        new_height = likelihood(scene, wanted, Candidates(tried, start.bfactor_A2))
        better = new_height > height
        at = torch.where(better[..., None], tried, at)
        rise = (new_height - height).abs()
        height = torch.maximum(height, new_height)
        damping = torch.where(better, damping / 10, damping * 10)
        if bool((rise < SMALL_RISE).all()):
            break
    return Candidates(at, start.bfactor_A2)


def _step(
    scene: Scene, wanted: Range, at: Candidates, damping: Tensor, free: int
) -> Float[Tensor, "n c 4"]:
    """Return the step to the maximum of the likelihood of the linearised model."""
    layers = ctf_model.model(scene, at.parameters, at.bfactor_A2, free)
    scale = scene.n_independent
    data, rings_, slopes = layers[..., 0, :], layers[..., 1, :], layers[..., 2:, :]
    length2 = (rings_**2).sum(-1).clamp(min=1e-12)
    strength = (data * rings_).sum(-1) / length2
    slopes = slopes * strength[..., None, None]
    # The strength is free too: take the rings themselves out of the slopes.
    slopes = slopes - (slopes @ rings_[..., None]) / length2[..., None, None] * rings_[..., None, :]
    residual = data - strength[..., None] * rings_
    normal = scale * (slopes @ slopes.mT)
    right = scale * (slopes @ residual[..., None])[..., 0]
    pull = wanted.pull((at.parameters[..., A1 : A2 + 1] ** 2).sum(-1))
    for axis in (A1, A2):
        normal[..., axis, axis] += pull
        right[..., axis] -= pull * at.parameters[..., axis]
    diagonal = torch.diagonal(normal, dim1=-2, dim2=-1)
    damped = normal + torch.diag_embed(diagonal * damping[..., None] + 1e-12)
    step = torch.linalg.solve(damped.to(torch.float64), right.to(torch.float64))
    return torch.nn.functional.pad(step, (0, at.parameters.shape[-1] - free))


def _best(scene: Scene, wanted: Range, found: Candidates, n: int) -> Candidates:
    """Return the `n` most likely candidates of each spectrum."""
    best = likelihood(scene, wanted, found).topk(n, dim=1).indices
    rows = torch.arange(len(best), device=best.device)[:, None]
    return Candidates(found.parameters[rows, best], found.bfactor_A2[rows, best])


def likelihood(scene: Scene, wanted: Range, at: Candidates) -> Float[Tensor, "n c"]:
    """Return the gain in log-likelihood of candidates over nothing but noise."""
    correlation = ctf_model.agreement(ctf_model.model(scene, at.parameters, at.bfactor_A2))
    gain = correlation.clamp(min=0) ** 2 * (scene.n_independent / 2)
    return gain - wanted.cost((at.parameters[..., A1 : A2 + 1] ** 2).sum(-1))


def _inside(wanted: Range, parameters: Float[Tensor, "n c 4"]) -> Float[Tensor, "n c 4"]:
    """Bring parameters back to the range that is searched."""
    z, a1, a2, phase = parameters.unbind(-1)
    z = z.clamp(wanted.min_defocus_A, wanted.max_defocus_A)
    half = torch.hypot(a1, a2).clamp(min=1e-9)
    share = (LARGEST_SHARE * z / half).clamp(max=1)
    least, most, _ = (math.radians(one) for one in wanted.phase_shifts_deg)
    phase = phase.clamp(least, max(least, most))
    return torch.stack([z, a1 * share, a2 * share, phase], -1)


def _with_best_envelope(scene: Scene, at: Candidates) -> Candidates:
    """Return the candidates with the fading of the rings that suits the data best."""
    heights = []
    for bfactor in BFACTORS_A2:
        layers = ctf_model.model(scene, at.parameters, torch.full_like(at.bfactor_A2, bfactor))
        heights.append(ctf_model.agreement(layers))
    best = torch.stack(heights).argmax(0)
    return Candidates(at.parameters, at.bfactor_A2.new_tensor(BFACTORS_A2)[best])


def _told(scene: Scene, found: Candidates) -> Fit:
    z, a1, a2, phase = found.parameters[:, 0].unbind(-1)
    half = torch.hypot(a1, a2)
    angle = torch.rad2deg(torch.atan2(a2, a1)) / 2
    layers = ctf_model.model(scene, found.parameters, found.bfactor_A2)
    significance = ctf_model.agreement(layers)[:, 0] * scene.n_independent**0.5
    return Fit(
        z + half,
        z - half,
        angle,
        torch.rad2deg(phase),
        found.bfactor_A2[:, 0],
        _beyond_chance(figure_of_merit(scene, found.parameters)[:, 0], significance),
        significance,
    )


def _beyond_chance(correlation: Tensor, significance: Tensor) -> Tensor:
    """Take from a correlation the part that the search would have found in pure noise."""
    share = 1 - (BY_CHANCE_SIGMA / significance.clamp(min=BY_CHANCE_SIGMA)) ** 2
    return correlation.clamp(min=0) * share.sqrt()


def figure_of_merit(scene: Scene, parameters: Float[Tensor, "n c 4"]) -> Float[Tensor, "n c"]:
    """Correlate the data with ``|CTF|`` as it would be seen, free of what is smooth."""
    expected = ctf_model.visible_ctf(scene, parameters)
    length: Tensor = torch.linalg.vector_norm(expected, dim=-1)
    return (scene.data[:, None] * expected).sum(-1) / length.clamp(min=1e-12)
