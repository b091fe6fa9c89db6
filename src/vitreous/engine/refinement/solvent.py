"""What is done to a new reference outside of the molecule (refinement.md section 7.7)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import filtering, masking
from vitreous.engine.keeping import keep_small
from vitreous.engine.refinement.settings import Helix, Settings
from vitreous.errors import InputError


@dataclass(frozen=True)
class Masks:
    """Masks on the box of the references, 0 to 1; None where the user gave none.

    Parameters
    ----------
    solvent
        What is kept; a soft sphere of the particle diameter where it is None.
    second
        A region that is set to its own mean.
    low_pass
        A region that is kept at `Solvent.low_pass_A` only.
    """

    solvent: Float[Tensor, "*zyx"] | None = None
    second: Float[Tensor, "*zyx"] | None = None
    low_pass: Float[Tensor, "*zyx"] | None = None

    def check(self, box_px: int, ndim: int) -> None:
        """Refuse masks of another box, or with values that are not between 0 and 1.

        Raises
        ------
        InputError
            Names the mask.
        """
        named = {
            "solvent mask": self.solvent,
            "second solvent mask": self.second,
            "mask for the low-pass": self.low_pass,
        }
        for name, mask in named.items():
            if mask is not None:
                _check(name, mask, (box_px,) * ndim)


def flatten(
    reference: Float[Tensor, "*zyx"],
    mask: Float[Tensor, "*zyx"],
    masks: Masks,
    settings: Settings,
    pixel_size_A: float,
) -> Float[Tensor, "*zyx"]:
    """Mask a reference as the settings ask for.

    Parameters
    ----------
    reference
        ``z y x`` or ``y x``.
    mask
        From `solvent_mask`.
    masks
        Of the same box.
    settings
        Low-pass, and whether negative density is allowed.
    pixel_size_A
        Of the reference.
    """
    solvent = settings.solvent
    result = reference * mask
    if masks.second is not None:
        second = masks.second.to(result)
        mean = (second * result).sum() / second.sum().clamp(min=1e-9)
        result = torch.lerp(result, mean, second)
    if masks.low_pass is not None and solvent.low_pass_A > 0:
        part = reference * masks.low_pass.to(reference)
        result = result + filtering.low_pass(part, solvent.low_pass_A, pixel_size_A, reference.ndim)
    return result.clamp(min=0) if solvent.non_negative else result


def solvent_mask(
    like: Float[Tensor, "*zyx"], masks: Masks, settings: Settings, pixel_size_A: float
) -> Float[Tensor, "*zyx"]:
    """Return the user's mask, or the soft sphere (a filament: within it a tube along z).

    Parameters
    ----------
    like
        Gives shape, type and device.
    masks
        Of the same box.
    settings
        Diameter, edge, and the tube of a filament.
    pixel_size_A
        Of the reference.
    """
    if masks.solvent is not None:
        return masks.solvent.to(like)
    box, ndim, edge = like.shape[-1], like.ndim, settings.solvent.edge_px
    diameter_A = settings.solvent.diameter_A
    radius = diameter_A / (2 * pixel_size_A) if diameter_A > 0 else (box - edge) / 2
    mask = _sphere(tuple(like.shape), radius, edge).to(like.device)
    if settings.helix.is_helix and ndim == 3:
        mask = mask * _tube(box, settings.helix, edge, pixel_size_A).to(mask)
    return mask.to(like)


@keep_small(1)  # the same for both halves and in all iterations
def _sphere(shape: tuple[int, ...], radius_px: float, edge_px: float) -> Float[Tensor, "*zyx"]:
    return masking.sphere(shape[-1], len(shape), radius_px, edge_px)


def _tube(box: int, helix: Helix, edge_px: float, pixel_size_A: float) -> Float[Tensor, "1 y x"]:
    """Return the cross-section of a tube with soft walls."""
    outer = helix.outer_diameter_A / (2 * pixel_size_A)
    if outer <= 0:
        return torch.ones(1, box, box)
    inner = max(0.0, helix.inner_diameter_A / (2 * pixel_size_A))
    return masking.sphere(box, 2, outer, edge_px, inner_radius_px=inner)[None]


def _check(name: str, mask: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(mask.shape) != shape:
        found = " x ".join(map(str, mask.shape))
        wanted = " x ".join(map(str, shape))
        raise InputError(
            f"The {name} is {found} pixels, the references are {wanted}. "
            "Make it on the box of the references, or let the job resize both."
        )
    low, high = float(mask.min()), float(mask.max())
    if not (low >= -1e-4 and high <= 1 + 1e-4):  # written so that NaN fails
        raise InputError(
            f"The {name} runs from {low:g} to {high:g}; wanted 0 to 1. "
            "Make it with a MaskCreate job, or scale it."
        )
