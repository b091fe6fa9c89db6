"""What post-processing tells of a map beyond its FSC.

Is it as good in all directions, do the views cover it, how sure is the curve, did the mask make it,
are the halves independent? Methods and papers stand in `vitreous.engine.validation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vitreous.engine import resolution
from vitreous.engine.validation import directional, independence, spread, tightness, views
from vitreous.engine.validation.cells import CellSums
from vitreous.engine.validation.evidence import Evidence
from vitreous.engine.validation.tightness import InMask
from vitreous.jobs.context import Run
from vitreous.programs import validation_particles as particles_of
from vitreous.programs import validation_plots as plots
from vitreous.programs import validation_splits as splits
from vitreous.programs.half_maps import HalfMaps, share_inside
from vitreous.programs.validation_particles import Origin

WIDER_PX = (3.0, 8.0)
_DIRECTIONS_DIFFER = 1.15
_MASK_MAKES = 1.05
_MASK_CUTS = 1.05
_BLANK = 0.1
_UNSAMPLED = 0.01
_POOR_FACTOR = 0.8
_COARSEST_SHELL = 3


@dataclass(frozen=True)
class Wanted:
    """What is validated, beyond the maps themselves.

    Parameters
    ----------
    particles, point_group
        Of the refinement; empty looks beside the half-maps.
    n_splits
        Random half splits of the particles to reconstruct; 0 for none.
    random_seed
        Of random phases and splits.
    """

    particles: str = ""
    point_group: str = ""
    n_splits: int = 0
    random_seed: int = 0


@dataclass(frozen=True)
class _Maps:
    """Half-maps, the mask, and what their correlation told of them.

    Parameters
    ----------
    given
        Curves inside the mask, shells of the whole box.
    volume_A3
        Inside the mask.
    """

    halves: HalfMaps
    mask: Tensor
    curves: resolution.FscCurves
    given: InMask
    volume_A3: float

    @property
    def side_A(self) -> float:
        """Side of the box."""
        return self.halves.box_px * self.halves.pixel_size_A

    @property
    def diameter_A(self) -> float:
        """Diameter of the ball with the volume of the mask."""
        return 2 * math.cbrt(3 * self.volume_A3 / (4 * math.pi))

    def in_A(self, shell: float) -> float:
        """Return the resolution of a shell."""
        return self.side_A / shell if shell > 0 else math.inf


def watch(mask: Tensor) -> Evidence:
    """Return what is to see the half-maps correlated, for `report`."""
    return Evidence(mask, WIDER_PX)


def report(
    run: Run,
    halves: HalfMaps,
    mask: Tensor,
    seen: Evidence,
    curves: resolution.FscCurves,
    wanted: Wanted,
) -> None:
    """Examine two half-maps; hand in numbers, plots and warnings.

    Parameters
    ----------
    run
        The job.
    halves
        The unfiltered half-maps.
    mask
        0 to 1, ``z y x``.
    seen
        What `watch` returned; maps kept there are gone afterwards.
    curves
        The correlation of the half-maps without a mask and inside it.
    wanted
        What else.
    """
    origin = particles_of.find(run, halves.names[0], wanted.particles, wanted.point_group)
    n_checks = 4 + (wanted.n_splits > 0)
    with run.phase("Validating", n_checks, "checks") as progress:
        maps = _gather(halves, mask, curves)
        _tightness(run, maps, seen)
        progress.advance()
        run.check_abort()
        _directions(run, maps, seen)
        progress.advance()
        run.check_abort()
        _independence(run, maps, origin)
        progress.advance()
        _views(run, maps, origin)
        progress.advance()
        run.check_abort()
        if wanted.n_splits:
            splits.report(run, origin, halves, mask, curves, wanted.n_splits, wanted.random_seed)
            progress.advance()


def _gather(halves: HalfMaps, mask: Tensor, curves: resolution.FscCurves) -> _Maps:
    masked = curves.unmasked if curves.masked is None else curves.masked
    random = torch.zeros_like(masked) if curves.randomised is None else curves.randomised
    corrected = resolution.correct(masked, random, curves.randomised_from)
    volume_A3 = share_inside(mask) * (halves.box_px * halves.pixel_size_A) ** 3
    return _Maps(halves, mask, curves, InMask(0.0, masked, random, corrected), volume_A3)


def _tightness(run: Run, maps: _Maps, seen: Evidence) -> None:
    """Correlate inside the mask and wider ones, and compare with what solvent alone would do."""
    part, side_px = seen.window.slices, seen.window.side_px
    mask = maps.mask[part]
    masks = [tightness.Mask(mask), *tightness.wider(mask, WIDER_PX, seen.edge_px)]
    shrunk = side_px / maps.halves.box_px
    fold = tightness.fold_for(side_px, maps.given.shell * shrunk)
    random_from = math.ceil((maps.curves.randomised_from or len(maps.curves.unmasked) - 1) * shrunk)
    halves = maps.halves.first[part], maps.halves.second[part]
    randomised = seen.randomised[0], seen.randomised[1]
    found = tightness.in_masks(halves, randomised, masks, random_from, fold)
    seen.randomised.clear()
    side_A = side_px * maps.halves.pixel_size_A / fold
    given, widest = found[0], found[-1]
    expected = tightness.with_solvent(given.corrected, masks[-1].power() / masks[0].power())
    run.plot("mask", "line", "Tightness of the mask", plots.in_masks(found, expected, side_A))
    if given.shell < _COARSEST_SHELL:
        return
    run.headline(
        "mask_correlation",
        maps.given.by_mask(maps.given.shell),
        "",
        "FSC made by the mask at the resolution",
    )
    was, should, does = (
        side_A / max(directional.crossing(one), 1e-3)
        for one in (given.corrected, expected, widest.corrected)
    )
    run.headline("mask_gain", does / should, "", "Resolution in a wider mask over that expected")
    if does > _MASK_MAKES * should:
        run.warn(
            f"The resolution depends on the mask: inside it {was:.2f} Å, in one "
            f"{widest.wider_px:g} pixels wider {does:.2f} Å, where the solvent let in explains "
            f"only {should:.2f} Å. The mask is too tight or too hard, and part of the resolution "
            "is its doing; make a wider, softer one."
        )
    elif does * _MASK_CUTS < should:
        run.warn(
            f"A wider mask is better than it should be: {does:.2f} Å {widest.wider_px:g} pixels "
            f"further out, {should:.2f} Å expected. The mask leaves out part of what the "
            "half-maps have in common; extend it."
        )


def _directions(run: Run, maps: _Maps, seen: Evidence) -> None:
    """Measure the resolution by direction, and how far the whole curve may be off."""
    given = maps.given
    if given.shell < _COARSEST_SHELL or seen.masked is None or seen.masked_randomised is None:
        return
    pairs = seen.masked, seen.masked_randomised
    randomised_from = maps.curves.randomised_from
    _spread(run, maps, pairs[0])
    conical, by_chance = (directional.conical_fsc(pair) for pair in pairs)
    conical = resolution.correct(conical, given.randomised, randomised_from)
    curve = given.corrected
    chance = directional.by_chance(curve, by_chance, randomised_from)
    reached, reached_by_chance = (directional.shells_reached(one) for one in (conical, chance))
    found, even = (directional.anisotropy(one) for one in (reached, reached_by_chance))
    side_A = maps.side_A
    run.plot(
        "directional_fsc", "line", "FSC by direction", plots.cones(curve, conical, chance, side_A)
    )
    run.plot(
        "occupancy",
        "line",
        "Fourier shell occupancy",
        plots.occupied(reached, reached_by_chance, len(curve), side_A),
    )
    in_A = side_A / reached.clamp(min=0.5)
    run.plot("directions", "image", "Resolution by direction", plots.by_direction(in_A))
    best_A, worst_A = maps.in_A(found.best), maps.in_A(found.worst)
    run.headline("best_direction", best_A, "Å", "Resolution of the best tenth of directions")
    run.headline("worst_direction", worst_A, "Å", "Resolution of the worst tenth of directions")
    run.headline("anisotropy", found.ratio, "", "Worst over best tenth of directions")
    run.headline("anisotropy_by_chance", even.ratio, "", "Worst over best tenth, an isotropic map")
    run.headline("sphericity", found.sphericity, "", "Sphericity of the resolution")
    label = "Sphericity, an isotropic map"
    run.headline("sphericity_by_chance", even.sphericity, "", label)
    if found.ratio > _DIRECTIONS_DIFFER * even.ratio:
        x, y, z = directional.axes()[int(reached.argmin())].tolist()
        run.warn(
            f"Resolution depends on direction: {best_A:.2f} Å in the best tenth, {worst_A:.2f} Å "
            f"in the worst, which lies around ({x:.2f}, {y:.2f}, {z:.2f}) (x, y, z). The map is "
            "smeared out along it. Views at right angles to that axis are missing or poor: look at "
            "the sampling of views; tilted micrographs or another grid may help."
        )


def _spread(run: Run, maps: _Maps, sums: CellSums) -> None:
    def corrected(curve: Tensor) -> Tensor:
        return resolution.correct(curve, maps.given.randomised, maps.curves.randomised_from)

    found = spread.jackknife(sums, corrected)
    if found.shell <= 0:
        return
    error_A = maps.in_A(found.shell) * found.shell_error / found.shell
    run.headline("resolution_error", error_A, "Å", "Standard error of the resolution")
    note = (
        f"{maps.in_A(found.shell):.2f} ± {error_A:.2f} Å (standard error: 24 sectors of directions "
        "left out in turn)."
    )
    plot = plots.banded(found.curve, found.error, maps.side_A, note)
    run.plot("spread", "line", "FSC and how far it may be off", plot)


def _independence(run: Run, maps: _Maps, origin: Origin) -> None:
    """Warn of what makes two half-maps alike."""
    halves, curves = maps.halves, maps.curves
    blank = independence.blank_share(halves.first, halves.second)
    if blank > _BLANK:
        run.warn(
            f"The half-maps were masked: {100 * blank:.0f} % of the middle of the box is blank in "
            "both. A mask that both went through makes them correlate, and “without mask” is not "
            "true then. Give the unmasked half-maps (Refine3D's …_unfil.mrc).",
            halves.names[0],
        )
    empty_from = independence.filtered_from(halves.first)
    if empty_from is not None:
        finest_A = halves.box_px * halves.pixel_size_A / empty_from
        run.warn(
            f"The half-maps were filtered: beyond {finest_A:.2f} Å they hold nothing, and the FSC "
            "there is that of rounding errors. Give the unfiltered half-maps.",
            halves.names[0],
        )
    tail = independence.tail(curves.unmasked, resolution.resolution_shell(curves.best))
    shared = tail.mean if tail else math.nan
    if tail:
        run.headline("shared_noise", shared, "", "FSC beyond the resolution")
    if tail and tail.is_lifted:
        run.warn(
            f"Beyond the resolution the half-maps still correlate by {shared:.3f} (± "
            f"{tail.error:.3f}), where independent halves scatter around 0. They share noise: "
            "particles in both halves, one reference for both, or one filter or mask. The "
            "resolution is too good by an unknown amount."
        )
    elif tail and tail.rises_again:
        run.warn(
            f"The FSC rises again to {tail.highest:.2f} after it fell: the half-maps share "
            "something fine, such as duplicated particles, a hard mask, or artefacts of the "
            "pixel grid. Do not trust the resolution."
        )
    if origin.split_halves is False:
        run.warn(
            "The half-maps come from a refinement without independent halves (one reference for "
            "both), so that noise which was fitted to it correlates too. This is not the gold "
            "standard: the resolution is too good. Refine with Refine3D."
        )
    _half_sets(run, maps, origin)


def _half_sets(run: Run, maps: _Maps, origin: Origin) -> None:
    sets = particles_of.half_sets(origin, maps.diameter_A)
    if sets is None:
        return
    if not sets.are_known:
        run.warn(
            "The particles name no half set (rlnRandomSubset), so nobody can tell whether the "
            "half-maps are independent.",
            origin.particles,
        )
        return
    if sets.same_image:
        run.warn(
            f"{sets.same_image:,} images stand in both half sets. The halves are not independent, "
            "and the resolution is too good. Was the file joined or symmetry-expanded after "
            "the halves were drawn?",
            origin.particles,
        )
    if sets.near > 0:
        run.warn(
            f"{sets.near:,} particles of half 1 lie nearer than a fifth of a particle to one of "
            "half 2 in the same micrograph: the same particle in both halves. Remove duplicates in "
            "a Select job and refine again.",
            origin.particles,
        )


def _views(run: Run, maps: _Maps, origin: Origin) -> None:
    """Show views, and how they sample Fourier space at the resolution."""
    found = particles_of.views(origin)
    shell = maps.given.shell
    if found is None or len(found) == 0 or shell < _COARSEST_SHELL:
        if found is None:
            run.say(
                "Sampling of views: no particles beside the half-maps; --particles run_data.star "
                "in the additional arguments names them."
            )
        return
    thickness = min(maps.in_A(shell) / maps.diameter_A, 1.0)
    sampled = views.sampling(found, thickness, origin.point_group)
    run.headline("scf", sampled.factor, "", "Sampling compensation factor")
    label = "Sampling compensation factor, as many even views"
    run.headline("scf_by_chance", sampled.by_chance, "", label)
    run.headline("unsampled", 100 * sampled.unsampled, "%", "Directions without any view")
    run.plot("views", "image", "Views and sampling", plots.by_view(found, sampled.density))
    if sampled.unsampled > _UNSAMPLED:
        run.warn(
            f"{100 * sampled.unsampled:.0f} % of the directions of Fourier space are seen by no "
            "particle: the map lacks them and is smeared out along them, whatever the FSC says. "
            "More views are needed: tilted micrographs, another grid or detergent."
        )
    elif sampled.factor < _POOR_FACTOR * sampled.by_chance:
        run.warn(
            f"Views are uneven: the sampling compensation factor is {sampled.factor:.2f} (1 is "
            f"even, {sampled.by_chance:.2f} expected of so many particles), so that as many even "
            f"views would have {1 / max(sampled.factor, 1e-3):.1f} times the signal to noise."
        )
