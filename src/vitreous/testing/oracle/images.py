"""One particle made ready (section 2): X for probabilities, U for the map.

The image is scaled by its norm, moved by its old offset in whole pixels (halves away from zero)
without wrapping, and transformed twice: unmasked (U) and masked (X). Outside of the mask X has the
mean found there (zero mask) or noise with the power ``sigma2`` of the group; the noise of a
particle is `randomness.white_noise`, the same whenever and wherever it is made. Both transforms
lose the odd aberrations and the detector's transfer before anything is measured in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vitreous.engine import ctf, fourier, masking
from vitreous.engine.ctf import Treatment
from vitreous.engine.refinement import randomness
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model, State
from vitreous.testing.oracle.pixels import DOUBLE, Group, shells

LEAST_SCALE = 0.001


@dataclass(frozen=True)
class Particle:
    """An image ready to be compared.

    Parameters
    ----------
    whole
        X of the full box, ``y xh``.
    masked, unmasked
        X and U, ``y xh`` of side `Group.size_px`.
    power_beyond, power_missing
        ``s`` of the image's own shells: sums of |X|^2 over the shells of the half plane that
        `masked` has not, and over pixels that it lacks of its last shell (`cut_off`).
    moved_px
        Whole pixels by which it was moved, x y.
    forward, treated
        What projections are multiplied by (CTF, or its square), and the same whatever state the
        references are in; ``y xh``, without the scale.
    scale
        Of its micrograph, over ``rho^2``: a transform is divided by the number of its samples, so
        that the same object is fainter in the transform of a larger field.
    """

    row: int
    identity: int
    group: Group
    whole: Tensor
    masked: Tensor
    unmasked: Tensor
    power_beyond: Tensor
    power_missing: Tensor
    moved_px: Tensor
    forward: Tensor
    treated: Tensor
    scale: float


def prepare(
    data: Data, row: int, state: State, settings: Settings, model: Model, group: Group
) -> Particle:
    """Read and prepare a particle."""
    known = state.assignments
    image = data.read(np.array([row]))[0].to(DOUBLE)
    if settings.image.correct_norm:
        image = image * (model.mean_norm / known.norm[row])
    moved = rounded(torch.from_numpy(known.origin_A[row] / group.pixel_size_A))
    image = translated(image, int(moved[0]), int(moved[1]))
    identity = int(data.identity[row])
    masked = mask(image, settings, model, group, identity)
    undo = group.plate.conj()
    if group.mtf is not None:
        undo = undo / group.mtf
    whole, unmasked = (fourier.forward(one[None], 2)[0] * undo for one in (masked, image))
    shell = shells(group.box_px)
    missing = (shell <= group.size_px // 2) & cut_off(group.box_px, group.size_px)
    power = whole.abs().square()
    treated = transfer(data, row, settings, group)
    blind = not settings.image.ctf_corrected_references and state.schedule.iteration <= 1
    return Particle(
        row=row,
        identity=identity,
        group=group,
        whole=whole,
        masked=fourier.crop(whole, group.size_px, 2),
        unmasked=fourier.crop(unmasked, group.size_px, 2),
        power_beyond=fourier.shell_sum(power * (shell > group.size_px // 2), 2),
        power_missing=fourier.shell_sum(power * missing, 2),
        moved_px=moved,
        forward=torch.ones_like(treated) if blind else treated,
        treated=treated,
        scale=max(float(model.group_scale[known.scale_group[row]]), LEAST_SCALE) / group.rho**2,
    )


def cut_off(box_px: int, size: int) -> Tensor:
    """Tell which pixels the transform of a smaller side lacks though its last shell has them.

    An even side keeps the row ky = size / 2, not the one at -size / 2, whose pixels beside the
    axis are no copies of others. No slice reaches them (they are beyond the circle); they belong to
    the last shell all the same, which would else look too weak.
    """
    index = fourier.indices(box_px, 2)
    return (index[..., 1] == -(size // 2)) & (index[..., 0] <= size // 2)


def rounded(values: Tensor) -> Tensor:
    """Round to whole numbers, halves away from zero."""
    return values.sign() * torch.floor(values.abs() + 0.5)


def translated(image: Tensor, right: int, down: int) -> Tensor:
    """Move an image by whole pixels; what was outside is zero."""
    result = torch.zeros_like(image)
    for y in range(max(0, down), min(len(image), len(image) + down)):
        first, last = max(0, right), min(len(image), len(image) + right)
        if first < last:
            result[y, first:last] = image[y - down, first - right : last - right]
    return result


def mask(image: Tensor, settings: Settings, model: Model, group: Group, identity: int) -> Tensor:
    """Fade the surroundings of a particle into their mean or into noise."""
    solvent = settings.solvent
    diameter_A = solvent.diameter_A
    if diameter_A <= 0:
        diameter_A = (model.box_px - solvent.edge_px) * model.pixel_size_A
    radius = masking.radius(group.box_px, 2)
    inside = masking.raised_cosine(radius, diameter_A / (2 * group.pixel_size_A), solvent.edge_px)
    if settings.solvent.zero_mask:
        outside = 1 - inside
        mean = (image * outside).sum() / outside.sum().clamp(min=1e-30)
        fill = torch.full_like(image, float(mean))
    else:
        fill = noise_fill(settings.seed, identity, group)
    return inside * image + (1 - inside) * fill


def noise_fill(seed: int, identity: int, group: Group) -> Tensor:
    """Return a noise image whose transform has the group's sigma2 in each component, ``y x``."""
    box = group.box_px
    white = fourier.forward(randomness.white_noise(seed, identity, box).to(DOUBLE)[None], 2)[0]
    coloured = white * box * torch.sqrt(2 * group.noise(box))
    return fourier.inverse(coloured[None], 2, box)[0]


def transfer(data: Data, row: int, settings: Settings, group: Group) -> Tensor:
    """Return the CTF of a particle as the data were treated with it (section 1.8), ``y xh``."""
    size, wanted = group.size_px, settings.image
    if not wanted.correct_ctf:
        return torch.ones(size, size // 2 + 1, dtype=DOUBLE)
    treatment = Treatment(
        phase_flipped=wanted.phase_flipped,
        only_flip_phases=wanted.only_flip_phases,
        intact_first_peak=wanted.intact_first_peak,
        premultiplied=group.premultiplied,
        padded=wanted.padded_ctf,
    )
    one = data.defocus.select(torch.tensor([row]))
    rows = torch.tensor([group.row])
    return ctf.ctf(data.optics, one, size, group=rows, treatment=treatment, dtype=DOUBLE)[0]
