"""From the low frequencies of a movie's frames to how the sample moved."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine.motion import local, patches
from vitreous.engine.motion.align import Alignment, Search, align
from vitreous.engine.motion.stacks import Stacks
from vitreous.errors import InputError

FEWEST_GROUPS = 3
FEWEST_PATCHES = 3
LARGEST_DEVIATION_PX = 10.0


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
        Low frequencies of the frames, of `correlation.correlation_size`.
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
    whole = align(_stacks(spectra[None], shape, settings), _search(settings))
    shift = whole.shift_px[0]
    if not settings.is_local:
        return Motion(shift, whole)
    cut = patches.cut(spectra, shift, shape, groups, settings.patches)
    return _local(Motion(shift, whole, n_patches=len(cut.spectra)), cut, settings)


def _local(motion: Motion, cut: patches.Patches, settings: Settings) -> Motion:
    stacks = _stacks(cut.spectra, cut.side_px, settings)
    aligned = align(stacks, _search(settings))
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
    problem = _problem(refined, aligned, cut, settings)
    if problem:
        return replace(motion, problem=problem)
    rms = local.deviation(refined, cut, aligned.shift_px)[kept].mean(0).sqrt()
    return replace(motion, coefficients_px=refined, local_rms_px=rms)


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


def _stacks(spectra: Tensor, shape: tuple[int, int], settings: Settings) -> Stacks:
    return Stacks(spectra, shape, settings.bfactor_px2, relion_compat=settings.relion_compat)


def _search(settings: Settings) -> Search:
    if not settings.relion_compat:
        return settings.search
    return replace(settings.search, refine_iterations=0)
