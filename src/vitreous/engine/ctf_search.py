"""Where in the whole range of defocus, astigmatism and phase shift the rings may be.

Nothing is left out: the spectrum is summed into narrow rings times sectors, the sectors are turned
by every astigmatism on a grid, and one matrix product with the rings of all defoci gives the score
of every combination. A phase shift turns the complex score, and costs nothing. The best maxima at
different defoci are handed on to `ctf_fit`, which goes by the pixels themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.ctf_model import A1, A2, PHASE, Scene, Z, damping, noise_beside

RINGS_PER_STEP = 4  # rings a step of the spectrum
N_SECTORS = 60
N_ANGLES = 12
BFACTORS_A2 = (20.0, 120.0, 400.0)
HALF_DIFFERENCES_A = (0.0, 100.0, 250.0, 500.0, 900.0)
MORE_DIFFERENCES_A = (1400.0, 2000.0, 2700.0, 3500.0)
APART_A = 300.0
LARGEST_SHARE = 0.25  # half of U - V over the mean: more would be no rings
LARGEST_STEP_A = 100.0


@dataclass(frozen=True)
class Range:
    """What is searched.

    Parameters
    ----------
    min_defocus_A, max_defocus_A
        Of the mean of U and V.
    step_A
        Of the defocus; made smaller where the resolution demands it.
    astigmatism_A
        Expected difference of U and V: larger ones cost, see `cost`. 0 for no expectation.
    phase_shifts_deg
        Smallest, largest, step. Equal ends are not fitted.
    exhaustive
        Look for U - V up to 7,000 A instead of 1,800.
    """

    min_defocus_A: float = 5000.0
    max_defocus_A: float = 50000.0
    step_A: float = 500.0
    astigmatism_A: float = 100.0
    phase_shifts_deg: tuple[float, float, float] = (0.0, 0.0, 10.0)
    exhaustive: bool = False

    @property
    def fits_phase(self) -> bool:
        """Whether the phase shift is unknown."""
        return self.phase_shifts_deg[1] > self.phase_shifts_deg[0]

    def cost(self, half_difference2_A2: Tensor) -> Tensor:
        """Return how unlikely an astigmatism is, as minus the logarithm of a probability.

        It has the long tail of Student's distribution with two degrees of freedom in the plane: a
        large astigmatism that is there is found.
        """
        if self.astigmatism_A <= 0:
            return torch.zeros_like(half_difference2_A2)
        return 2 * torch.log1p(2 * half_difference2_A2 / self.astigmatism_A**2)

    def pull(self, half_difference2_A2: Tensor) -> Tensor:
        """Return the derivative of `cost` by a component of the half difference, over it."""
        if self.astigmatism_A <= 0:
            return torch.zeros_like(half_difference2_A2)
        return 8 / (self.astigmatism_A**2 + 2 * half_difference2_A2)


@dataclass(frozen=True)
class Candidates:
    """Parameters to begin from: ``n c 4`` of `ctf_model`, and the envelope of each, ``n c``."""

    parameters: Float[Tensor, "n c 4"]
    bfactor_A2: Float[Tensor, "n c"]


@dataclass(frozen=True)
class _Cells:
    """Narrow rings times sectors: radius, its share of data and basis, and the sums."""

    radius_per_A: Float[Tensor, " r"]
    weight: Float[Tensor, " r"]
    basis: Float[Tensor, "b r"]
    sums: Float[Tensor, "n r s"]
    angles_rad: Float[Tensor, " s"]


def search(scene: Scene, wanted: Range, n_candidates: int = 6) -> Candidates:
    """Return the best combinations at defoci that are at least 300 A apart."""
    cells = _cells(scene)
    defocus = _defocus_grid(scene, wanted)
    astigmatism = _astigmatism_grid(wanted, defocus.device)
    phases = torch.deg2rad(_phase_grid(wanted, defocus.device))
    waves, noise = _waves(scene, cells, defocus)
    turned = _turned(scene, cells, astigmatism)
    half2 = (astigmatism**2).sum(-1)
    too_much = half2 > (LARGEST_SHARE * defocus[:, None]) ** 2
    unlikely = wanted.cost(half2).masked_fill(too_much, torch.inf)
    found = []
    for bfactor in BFACTORS_A2:
        fading = damping(cells.radius_per_A, defocus.new_tensor(bfactor))
        scores = (waves / noise) @ (turned * fading[:, None])
        likelihood = _likelihood(scene, cells, waves * fading, scores, phases)
        found.append((likelihood - unlikely[:, :, None]).flatten(2).max(-1))
    top, envelope = torch.stack([one.values for one in found]).max(0)
    where = torch.stack([one.indices for one in found]).gather(0, envelope[None])[0]
    bfactors = defocus.new_tensor(BFACTORS_A2)[envelope]
    return _pick((top, where, bfactors), defocus, astigmatism, phases, n_candidates)


def _cells(scene: Scene) -> _Cells:
    band = scene.band
    step = 1 / (scene.spectra.extent_A * RINGS_PER_STEP)
    ring = (band.radius_per_A / step).round().to(torch.int64)
    first = int(ring.min())
    ring = ring - first
    n_rings = int(ring.max()) + 1
    angle = torch.atan2(band.k_per_A[:, 1], band.k_per_A[:, 0])
    sector = torch.floor((angle / torch.pi + 0.5) * N_SECTORS).to(torch.int64) % N_SECTORS
    root = band.weight.sqrt()
    none = root.new_zeros(0, dtype=torch.float64)
    weight = none.new_zeros(n_rings).index_add(0, ring, band.weight.to(none.dtype))
    smooth = (band.basis * root).to(torch.float64)
    basis = none.new_zeros((len(smooth), n_rings)).index_add(1, ring, smooth)
    sums = none.new_zeros((len(scene.data), n_rings * N_SECTORS))
    values = (scene.data * root).to(torch.float64)
    sums = sums.index_add(1, ring * N_SECTORS + sector, values)
    middles = torch.arange(N_SECTORS, device=root.device).to(none.dtype) + 0.5
    radius = (torch.arange(n_rings, device=root.device) + first).to(none.dtype) * step
    return _Cells(
        radius,
        weight,
        basis,
        sums.reshape(-1, n_rings, N_SECTORS),
        (middles / N_SECTORS - 0.5) * torch.pi,
    )


def _defocus_grid(scene: Scene, wanted: Range) -> Tensor:
    """Return defoci so close that the finest ring turns by less than an eighth between two."""
    finest = float(scene.band.radius_per_A.max())
    step = min(wanted.step_A, LARGEST_STEP_A, 1 / (8 * scene.lens.wavelength_A * finest**2))
    n = max(1, round((wanted.max_defocus_A - wanted.min_defocus_A) / step))
    return torch.linspace(
        wanted.min_defocus_A, wanted.max_defocus_A, n + 1,
        dtype=torch.float64, device=scene.data.device,
    )  # fmt: skip


def _astigmatism_grid(wanted: Range, device: torch.device) -> Float[Tensor, "a 2"]:
    """Return half differences of U and V along twice their angle."""
    sizes = HALF_DIFFERENCES_A + (MORE_DIFFERENCES_A if wanted.exhaustive else ())
    turn = torch.arange(N_ANGLES, dtype=torch.float64, device=device) * (2 * torch.pi / N_ANGLES)
    circle = torch.stack([turn.cos(), turn.sin()], -1)
    return torch.cat([circle[:1] * 0, *(circle * size for size in sizes if size > 0)])


def _phase_grid(wanted: Range, device: torch.device) -> Tensor:
    low, high, step = wanted.phase_shifts_deg
    n = round((high - low) / step) if wanted.fits_phase else 0
    return torch.linspace(low, high if n else low, n + 1, dtype=torch.float64, device=device)


def _waves(scene: Scene, cells: _Cells, defocus_A: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``exp(2 i gamma)`` of all defoci without astigmatism, ``z r``, and the noise.

    The waves are in units of the noise, as far as they are visible.
    """
    k2 = cells.radius_per_A**2
    gamma = scene.lens.fixed_rad(k2) + scene.lens.per_defocus(k2) * defocus_A[:, None]
    spread = scene.lens.displacement_A(defocus_A[:, None], cells.radius_per_A)
    seen = scene.spectra.visibility(spread)
    noise = noise_beside(seen)
    return torch.polar(seen / noise, 2 * gamma), noise


def _turned(scene: Scene, cells: _Cells, astigmatism: Float[Tensor, "a 2"]) -> Tensor:
    """Return the sums over the sectors, each turned by the astigmatism there: ``n r a``."""
    twice = 2 * cells.angles_rad
    along = astigmatism @ torch.stack([twice.cos(), twice.sin()])
    slope = 2 * scene.lens.per_defocus(cells.radius_per_A**2)
    angles = slope[:, None, None] * along.T
    factors = torch.polar(torch.ones_like(angles), angles)
    sums = cells.sums.permute(1, 0, 2).to(factors.dtype)
    return (sums @ factors).permute(1, 0, 2)


def _likelihood(
    scene: Scene, cells: _Cells, waves: Tensor, scores: Tensor, phases: Tensor
) -> Float[Tensor, "n z a f"]:
    """Return the gain in log-likelihood of every combination.

    Parameters
    ----------
    waves
        ``z r``, damped.
    scores
        ``n z a``, complex sums of data times waves.
    phases
        ``f``, in radians.
    """
    real, imag = waves.real, waves.imag
    lengths = []
    for one, other in ((real, real), (real, imag), (imag, imag)):
        whole = (one * other) @ cells.weight
        smooth = ((one @ cells.basis.T) * (other @ cells.basis.T)).sum(-1)
        lengths.append((whole - smooth)[:, None])
    cos, sin = torch.cos(2 * phases), torch.sin(2 * phases)
    length2 = lengths[0] * cos**2 + 2 * lengths[1] * cos * sin + lengths[2] * sin**2
    found = -(scores.real[..., None] * cos + scores.imag[..., None] * sin)
    correlation = found / length2[:, None].clamp(min=1e-9).sqrt()
    return correlation.clamp(min=0) ** 2 * (scene.n_independent / 2)


def _pick(
    best: tuple[Tensor, Tensor, Tensor],
    defocus: Tensor,
    astigmatism: Tensor,
    phases: Tensor,
    n_candidates: int,
) -> Candidates:
    """Take the best defoci one after another, each time closing what is too near."""
    top, where, bfactor = best
    left = top.clone()
    parameters, chosen = [], []
    rows = torch.arange(len(top), device=top.device)
    for _ in range(n_candidates):
        place = left.argmax(1)
        flat = where[rows, place]
        entry = torch.zeros((len(top), 4), dtype=defocus.dtype, device=defocus.device)
        entry[:, Z] = defocus[place]
        entry[:, A1], entry[:, A2] = astigmatism[flat // len(phases)].unbind(-1)
        entry[:, PHASE] = phases[flat % len(phases)]
        parameters.append(entry)
        chosen.append(bfactor[rows, place])
        near = (defocus - defocus[place, None]).abs() < APART_A
        left = left.masked_fill(near, -torch.inf)
    return Candidates(torch.stack(parameters, 1), torch.stack(chosen, 1))
