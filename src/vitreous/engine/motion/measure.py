"""From the low frequencies of a movie's frames to how the sample moved."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine.motion import correlation, local, patches, signal
from vitreous.engine.motion.align import FINE, Alignment, Search, align, highest, refine
from vitreous.engine.motion.stacks import Stacks, size_of
from vitreous.errors import InputError

FEWEST_GROUPS = 3
FEWEST_PATCHES = 3
LARGEST_DEVIATION_PX = 10.0
FINE_SIDE = 1024  # low frequencies kept at least, where frames have them

_ROUNDS = 2
_REFINEMENTS = 4
_REFINED_PX = 0.005


@dataclass(frozen=True)
class Settings:
    """How motion is measured.

    Parameters
    ----------
    bfactor_px2
        Damps high frequencies, in square pixels of the frame as it was recorded.
    patches
        How many along x and y; fewer than 3 along either give no local model.
    group_frames
        Frames that are summed before patches are aligned.
    search
        How shifts are looked for, in pixels of the frame as it was recorded.
    relion_compat
        Measure as RELION does: anisotropic weight, no refinement, times half a frame late.
    """

    bfactor_px2: float = 150.0
    patches: tuple[int, int] = (1, 1)
    group_frames: int = 1
    search: Search = field(default_factory=Search)
    relion_compat: bool = False

    @property
    def is_local(self) -> bool:
        """Whether patches are aligned too."""
        return min(self.patches) >= FEWEST_PATCHES


@dataclass(frozen=True)
class Motion:
    """How the sample moved; shifts are what moves it back, in pixels of the recorded frame.

    Parameters
    ----------
    shift_px
        ``(f, 2)``, x y, of the frame as a whole; zero in the first.
    whole
        How its measurement went.
    coefficients_px
        ``(2, 18)`` of the local model, None without one.
    local_rms_px
        ``(2,)``, deviation of single patches from the model, None without one.
    patch_place_px, patch_time, patch_shift_px
        Centres ``(p, 2)``, times ``(g,)`` and shifts ``(p, g, 2)`` of the patches that could be
        aligned by themselves.
    n_patches
        Patches that were tried.
    problem
        Why there is no local model although it was wanted; may be empty.
    """

    shift_px: Float[Tensor, "f 2"]
    whole: Alignment
    coefficients_px: Float[Tensor, "2 18"] | None = None
    local_rms_px: Float[Tensor, " 2"] | None = None
    patch_place_px: Float[Tensor, "p 2"] | None = None
    patch_time: Float[Tensor, " g"] | None = None
    patch_shift_px: Float[Tensor, "p g 2"] | None = None
    n_patches: int = 0
    problem: str = ""

    def field_px(self, frame: int) -> Float[Tensor, "2 6"]:
        """Return the shift over the field of view in one frame (from 0), see `local.field`."""
        if self.coefficients_px is None:
            shift = self.shift_px.new_zeros(2, 6)
        else:
            shift = local.field(self.coefficients_px, frame)
        shift[:, 0] += self.shift_px[frame]
        return shift


def measure(
    spectra: Complex[Tensor, "f y xh"], shape: tuple[int, int], settings: Settings
) -> Motion:
    """Measure the motion of the whole frames and, where wanted, over the field of view.

    Parameters
    ----------
    spectra
        Low frequencies of the frames, of `correlation_size`.
    shape
        ``(y, x)`` of the frames.
    settings
        How.

    Raises
    ------
    InputError
        There are too few frames.
    """
    groups = patches.frame_groups(len(spectra), settings.group_frames)
    if len(groups) < FEWEST_GROUPS:
        raise InputError(
            f"{len(spectra)} frames in groups of {settings.group_frames} make {len(groups)} "
            f"group(s); wanted at least {FEWEST_GROUPS} to align. Group fewer frames, or leave the "
            "movie out."
        )
    rough = Stacks(spectra[None], shape, _weight(spectra, shape, settings))
    whole = align(rough, settings.search)
    if not settings.relion_compat:
        whole = _refined(whole, spectra, shape)
    shift = whole.shift_px[0]
    if not settings.is_local:
        return Motion(shift, whole)
    cut = patches.cut(spectra, shift, shape, groups, settings.patches)
    return _local(Motion(shift, whole, n_patches=len(cut.spectra)), cut, settings)


def correlation_size(
    size: tuple[int, int], bfactor_px2: float, settings: Settings, downsampling: float = 0
) -> tuple[int, int]:
    """Return the sizes ``(y, x)`` of the low frequencies that `measure` wants.

    Parameters
    ----------
    size
        ``(y, x)`` of the micrograph.
    bfactor_px2
        B in square pixels of the micrograph.
    settings
        How motion is measured.
    downsampling
        Micrograph over low frequencies; 0 follows from B.
    """
    found = correlation.correlation_size(
        size, bfactor_px2, downsampling, relion_compat=settings.relion_compat
    )
    if settings.relion_compat or downsampling > 0:
        return found
    ny, nx = (
        max(small, correlation.good_size(min(n, FINE_SIDE), n))
        for small, n in zip(found, size, strict=True)
    )
    return ny, nx


def _refined(whole: Alignment, spectra: Tensor, shape: tuple[int, int]) -> Alignment:
    """Align once more with the weight that the frames themselves ask for."""
    shift = whole.shift_px
    for _ in range(_ROUNDS):
        curve = signal.measure(spectra[None], shift, shape)
        if curve is None:
            break
        stacks = Stacks(spectra[None], shape, curve.over(size_of(spectra), shape))
        shift = refine(stacks, shift, _REFINEMENTS, _REFINED_PX)
    return replace(whole, shift_px=shift)


def _local(motion: Motion, cut: patches.Patches, settings: Settings) -> Motion:
    stacks = Stacks(cut.spectra, cut.side_px, _weight(cut.spectra, cut.side_px, settings))
    aligned = align(stacks, settings.search)
    kept = aligned.converged
    motion = replace(
        motion,
        patch_place_px=cut.centre_px[kept],
        patch_time=cut.time,
        patch_shift_px=aligned.shift_px[kept],
    )
    model = local.fit(
        cut.centre_px[kept], cut.time, aligned.shift_px[kept], cut.shape,
        relion_compat=settings.relion_compat,
    )  # fmt: skip
    if settings.relion_compat:
        if model is None:
            return replace(motion, problem="too few patches could be aligned")
        if bool((model.rms_px >= LARGEST_DEVIATION_PX).any()):
            return replace(motion, problem=f"patches deviate by {float(model.rms_px.max()):.1f} px")
        return replace(motion, coefficients_px=model.coefficients_px, local_rms_px=model.rms_px)
    refined = local.refine(cut, stacks, None if model is None else model.coefficients_px)
    moved = local.shifts_at(refined, cut.centre_px, cut.time, cut.shape)
    curve = signal.measure(cut.spectra, moved, cut.side_px)
    if curve is not None:
        best = Stacks(cut.spectra, cut.side_px, curve.over(size_of(cut.spectra), cut.side_px))
        refined = local.refine(cut, best, refined, local.FINAL)
        stacks = best
    problem = _problem(refined, aligned, cut, settings)
    if problem:
        return replace(motion, problem=problem)
    rms = local.deviation(refined, cut, aligned.shift_px)[kept].mean(0).sqrt()
    shift = motion.shift_px
    if len(cut.time) == len(shift):
        shift = shift + _together(stacks, cut, refined)
    frame = torch.arange(len(shift), dtype=torch.float64, device=shift.device)
    mean, refined = local.without_mean(refined, frame)
    return replace(motion, shift_px=shift + mean, coefficients_px=refined, local_rms_px=rms)


def _together(
    stacks: Stacks, cut: patches.Patches, coefficients_px: Tensor
) -> Float[Tensor, "f 2"]:
    """Return how frames are still to be shifted as a whole, by all patches together."""
    moved = local.shifts_at(coefficients_px, cut.centre_px, cut.time, cut.shape)
    rest = torch.zeros_like(moved[:1])
    for _ in range(_ROUNDS):
        maps = stacks.maps(moved + rest, FINE).sum(0, keepdim=True)
        step = highest(maps) * FINE.step * stacks.scale()
        rest = rest + (step - step[:, :1]).to(rest.dtype)
    return rest[0]


def _problem(
    coefficients_px: Tensor, aligned: Alignment, cut: patches.Patches, settings: Settings
) -> str:
    """Return why a local model is not to be believed; empty where it is."""
    if not bool(torch.isfinite(coefficients_px).all()):
        return "the polynomial could not be fitted"
    shift = local.shifts_at(coefficients_px, cut.centre_px, cut.time, cut.shape)
    farthest = float(shift.abs().max())
    if farthest > settings.search.reach_px:
        return f"it would move patches by {farthest:.0f} px"
    kept = aligned.converged
    deviation = local.deviation(coefficients_px, cut, aligned.shift_px)[kept]
    if 2 * len(deviation) >= len(kept):
        rms = float(deviation.mean(0).max()) ** 0.5
        if rms >= LARGEST_DEVIATION_PX:
            return f"patches deviate from it by {rms:.1f} px"
    return ""


def _weight(spectra: Tensor, shape: tuple[int, int], settings: Settings) -> Tensor:
    return correlation.weight(
        size_of(spectra), shape, settings.bfactor_px2,
        relion_compat=settings.relion_compat, device=spectra.device,
    )  # fmt: skip
