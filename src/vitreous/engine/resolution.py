"""Fourier shell correlation, and what is read off it (postprocessing.md section 4).

Shells are counted as RELION does: every coefficient of the stored half transform once, so that the
plane kx = 0 weighs twice. Numbers that are published come from here.

Correlation: Harauz & van Heel, Optik 73, 146 (1986). Phase randomisation: Chen et al.,
Ultramicroscopy 135, 24 (2013). Threshold 0.143: Rosenthal & Henderson, J. Mol. Biol. 333, 721
(2003).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import fourier, fourier_volume
from vitreous.engine.kernels import shells

THRESHOLD = 0.143
RANDOMISE_BELOW = 0.8
SPHERE_IN_BOX = 0.476
DALTON_TO_A3 = 1 / 0.81


@dataclass(frozen=True)
class FscCurves:
    """Correlation of two half maps by shell, with and without a mask.

    Parameters
    ----------
    unmasked, masked, randomised, corrected
        ``s`` each, float64; without a mask all but the first are None. `corrected` is what the
        mask cannot have made.
    randomised_from
        Shell from which phases were randomised, 0 where there was no mask.
    never_fell
        The unmasked curve never fell below the bound (0.8): only the last shell was randomised.
    """

    unmasked: Tensor
    masked: Tensor | None = None
    randomised: Tensor | None = None
    corrected: Tensor | None = None
    randomised_from: int = 0
    never_fell: bool = False

    @property
    def best(self) -> Tensor:
        """The corrected curve where there is a mask, else the unmasked one."""
        return self.unmasked if self.corrected is None else self.corrected


@dataclass(frozen=True)
class Randomising:
    """Which phases are randomised.

    Parameters
    ----------
    from_shell
        First shell that changes; by default the first where the unmasked curve is below `below`.
    below
        See `from_shell`.
    n_sets
        How many sets of random phases are averaged.
    """

    from_shell: int | None = None
    below: float = RANDOMISE_BELOW
    n_sets: int = 1


_ONCE = Randomising()


@runtime_checkable
class Watch(Protocol):
    """Looks at what `fsc_curves` makes on its way, before the memory is used again."""

    @property
    def part(self) -> tuple[slice, slice, slice]:
        """Part of a map that `see_randomised` is given."""

    def see_randomised(self, part: Float[Tensor, "z y x"]) -> None:
        """Take a part of a map with random phases, without the mask, rounded; half 1 is first."""

    def see_masked(
        self, first: Complex[Tensor, "z y xh"], second: Complex[Tensor, "z y xh"], *, random: bool
    ) -> None:
        """Look at the transforms of the masked maps, origin at the first voxel."""


def fsc(
    half1: Float[Tensor, "*half"], half2: Float[Tensor, "*half"], ndim: int
) -> Float[Tensor, "*s"]:
    """Correlate two images or volumes shell by shell.

    Parameters
    ----------
    half1, half2
        ``*b y x`` or ``*b z y x``, square or cubic.
    ndim
        2 for images (Fourier ring correlation), 3 for volumes.

    Returns
    -------
    Tensor
        ``*b s``, float64, shells 0 to ``size // 2``; 0 where a shell holds no signal.
    """
    return fsc_of_transforms(fourier.forward(half1, ndim), fourier.forward(half2, ndim), ndim)


def fsc_of_transforms(
    first: Complex[Tensor, "*half"], second: Complex[Tensor, "*half"], ndim: int
) -> Float[Tensor, "*s"]:
    """Correlate two half transforms of square arrays shell by shell; see `fsc`."""
    sums = shells.correlate(first, second, ndim)
    common, power1, power2 = sums.unbind(-1)
    power = (power1 * power2).sqrt()
    return torch.where(power > 0, common / power.clamp(min=torch.finfo(power.dtype).tiny), 0.0)


def fsc_curves(
    half1: Float[Tensor, "z y x"],
    half2: Float[Tensor, "z y x"],
    mask: Float[Tensor, "z y x"] | None,
    generator: torch.Generator,
    *,
    randomise: Randomising = _ONCE,
    watch: Watch | None = None,
    room: tuple[Complex[Tensor, "z y xh"], Complex[Tensor, "z y xh"]] | None = None,
) -> FscCurves:
    """Correlate two half maps, also inside a mask, and take out what the mask itself adds.

    Memory for one transform of each half map is used again and again.

    Parameters
    ----------
    half1, half2
        Half maps.
    mask
        0 to 1, of the same shape, or None.
    generator
        Draws the random phases.
    randomise
        Which phases become random.
    watch
        Sees the masked maps, and the first set of random phases.
    room
        Memory for the two transforms, from `fourier_volume.room`; by default its own.
    """
    transforms = room or (fourier_volume.room(half1), fourier_volume.room(half2))
    for half, transform in zip((half1, half2), transforms, strict=True):
        fourier_volume.forward(half, out=transform)
    unmasked = fsc_of_transforms(*transforms, 3)
    if mask is None:
        return FscCurves(unmasked)
    reach = len(unmasked)  # beyond the last shell nothing is correlated
    found = first_below(unmasked, randomise.below)
    shell = randomise.from_shell or found or len(unmasked) - 1
    randomised = torch.zeros_like(unmasked)
    for number in range(randomise.n_sets):
        for half, transform in zip((half1, half2), transforms, strict=True):
            if number:
                fourier_volume.forward(half, out=transform)
            shells.randomise_(transform, shell, generator)
            if watch is None or number:
                fourier_volume.through_mask_(transform, mask, reach=reach)
            else:
                part = fourier_volume.through_mask_(transform, mask, watch.part, reach)
                watch.see_randomised(part)
        if watch is not None and not number:
            watch.see_masked(*transforms, random=True)
        randomised += fsc_of_transforms(*transforms, 3) / randomise.n_sets
    for half, transform in zip((half1, half2), transforms, strict=True):
        fourier_volume.forward(half, mask, out=transform, reach=reach)
    if watch is not None:
        watch.see_masked(*transforms, random=False)
    masked = fsc_of_transforms(*transforms, 3)
    corrected = correct(masked, randomised, shell)
    never_fell = randomise.from_shell is None and found is None
    return FscCurves(unmasked, masked, randomised, corrected, shell, never_fell)


def first_below(curve: Float[Tensor, " s"], threshold: float) -> int | None:
    """Return the first shell above 0 where a curve is below a threshold, None if there is none."""
    below = torch.nonzero(curve[1:] < threshold)
    return int(below[0, 0]) + 1 if len(below) else None


def randomise_phases(
    transform: Complex[Tensor, "*half"], from_shell: int, generator: torch.Generator, ndim: int
) -> Complex[Tensor, "*half"]:
    """Give every coefficient with ``|k| >= from_shell`` a random phase and keep its amplitude.

    Friedel pairs on the plane kx = 0 are drawn apart; the real inverse transform makes them agree,
    as in RELION.
    """
    random = transform.clone(memory_format=torch.contiguous_format)
    for one in random.reshape(-1, *random.shape[-ndim:]):
        shells.randomise_(one, from_shell, generator)
    return random


def correct(
    masked: Float[Tensor, "*b s"], randomised: Float[Tensor, "*#b s"], randomised_from: int
) -> Float[Tensor, "*b s"]:
    """Return the correlation that a mask did not make: (m - r) / (1 - r).

    The masked curve is kept below ``randomised_from + 2``; a value at shell 0 that is not positive
    becomes 1.
    """
    shell = torch.arange(masked.shape[-1], device=masked.device)
    room = (1 - randomised).clamp(min=1e-12)
    corrected = torch.where(shell < randomised_from + 2, masked, (masked - randomised) / room)
    first = corrected[..., 0]
    corrected[..., 0] = torch.where(first > 0, first, torch.ones_like(first))
    return corrected


def resolution_shell(curve: Float[Tensor, " s"], threshold: float = THRESHOLD) -> int:
    """Return the last shell before the curve first falls below a threshold (the last, if never)."""
    below = first_below(curve, threshold)
    return len(curve) - 1 if below is None else below - 1


def resolution_A(
    curve: Float[Tensor, " s"],
    box_px: int,
    pixel_size_A: float,
    threshold: float = THRESHOLD,
    *,
    interpolate: bool = False,
) -> float:
    """Return the resolution at a threshold in ångström, infinity at shell 0.

    Parameters
    ----------
    curve
        Correlation by shell.
    box_px, pixel_size_A
        Of the map that the curve belongs to.
    interpolate
        Cross the threshold on the line between two shells, instead of at the last shell above.
    """
    shell = float(resolution_shell(curve, threshold))
    if interpolate and int(shell) + 1 < len(curve):
        high, low = float(curve[int(shell)]), float(curve[int(shell) + 1])
        shell += (high - threshold) / (high - low) if high > low else 0.0
    return box_px * pixel_size_A / shell if shell > 0 else float("inf")


def shell_resolutions_A(box_px: int, pixel_size_A: float, n_shells: int) -> Float[Tensor, " s"]:
    """Return the resolution of each shell in ångström, infinity at shell 0."""
    return box_px * pixel_size_A / torch.arange(n_shells, dtype=torch.float64)


def particle_fsc(unmasked: Float[Tensor, " s"], particle_in_box: float) -> Float[Tensor, " s"]:
    """Scale the unmasked curve to the share of the box that the particle takes (cisTEM's rule).

    Parameters
    ----------
    particle_in_box
        ``0.476 / mean(mask > 0.5)``, or from the molecular weight: see `sphere_over_particle`.
    """
    factor = particle_in_box
    return factor * unmasked / (1 + (factor - 1) * unmasked)


def sphere_over_particle(box_px: int, pixel_size_A: float, weight_dalton: float) -> float:
    """Return the volume of the sphere in the box over that of a protein of this weight."""
    return SPHERE_IN_BOX * (box_px * pixel_size_A) ** 3 / (weight_dalton * DALTON_TO_A3)
