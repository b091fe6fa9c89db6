"""Local resolution: the FSC inside a soft sphere that moves over the map (postprocessing.md 5).

Each place of a grid gets the corrected FSC of the half-maps inside its sphere, and its own filter
of the sharpened map; places are joined by the weights of their spheres. Only the window around a
sphere is transformed. Its curve has as many shells as the window; the FSC inside a sphere varies
no faster, so that the shells of the whole box lie on lines between. With a window as large as
the box the numbers are those of RELION. Idea: Cardone, Heymann & Steven, J. Struct. Biol. 184,
226 (2013).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import filtering, fourier_volume, masking, resolution, sharpening
from vitreous.engine.kernels import shells

_MARGIN_PX = 8
_FAST_PRIMES = (2, 3, 5, 7)


@dataclass(frozen=True)
class Probe:
    """The moving sphere.

    Parameters
    ----------
    step_px
        Between places of the grid.
    radius_px, edge_px
        1 up to the radius, falling to 0 over the edge.
    randomised_from
        Shell of the whole box from which phases were randomised.
    coarsest_A
        Worst resolution that is given to a place.
    """

    step_px: int
    radius_px: int
    edge_px: int
    randomised_from: int
    coarsest_A: float = 50.0

    def places(self, size: int) -> list[tuple[int, int, int]]:
        """Return the grid of a box as x y z from its centre; the sphere's core lies in the box."""
        line = range(-(size // 2), size - size // 2, self.step_px)
        limit = max(0.0, size / 2 - self.radius_px) ** 2
        return [
            (x, y, z) for z in line for y in line for x in line if x * x + y * y + z * z < limit
        ]

    def window_px(self, size: int) -> int:
        """Return the side of the window around the sphere, even and quick to transform."""
        wanted = 2 * (self.radius_px + self.edge_px) + 2 * _MARGIN_PX
        while not _is_fast(wanted):
            wanted += 2
        return min(wanted, size)


@dataclass(frozen=True)
class Place:
    """What was found at one place.

    Parameters
    ----------
    centre_px
        x y z from the centre of the box.
    masked, randomised, corrected
        By shell of the whole box, float64.
    resolution_A
        At 0.143, not worse than the probe's coarsest.
    """

    centre_px: tuple[int, int, int]
    masked: Tensor
    randomised: Tensor
    corrected: Tensor
    resolution_A: float


class LocalSums:
    """Sums over places; the only thing here that changes.

    Parameters
    ----------
    size
        Side of the box.
    """

    def __init__(self, size: int) -> None:
        self._resolution = torch.zeros((size,) * 3)
        self._filtered = torch.zeros((size,) * 3)
        self._weight = torch.zeros((size,) * 3)

    def add_(self, window: Window, mask: Tensor, filtered: Tensor, resolution_A: float) -> None:
        """Add a window: its sphere, the map filtered for it, and its resolution."""
        for target, source in window.planes():
            weight = mask[source]
            if bool(weight.any()):
                self._weight[target] += weight
                self._resolution[target] += weight / resolution_A
                self._filtered[target] += weight * filtered[source]

    def finish(self) -> tuple[Tensor, Tensor]:
        """Return the maps of resolution in Å and of filtered density, 0 where no sphere was.

        They take the memory of the sums, which are of no use after it.
        """
        for weight, inverse, filtered in zip(
            self._weight, self._resolution, self._filtered, strict=True
        ):
            known = weight > 0
            inverse.copy_(torch.where(known, weight / inverse.clamp(min=1e-30), 0.0))
            filtered.copy_(torch.where(known, filtered / weight.clamp(min=1e-30), 0.0))
        return self._resolution, self._filtered


@dataclass(frozen=True)
class Window:
    """A cube of the box around a place, or one that reaches beyond it (zero there).

    Parameters
    ----------
    start
        First index along z y x, may be negative.
    side, size
        Sides of the window and of the box.
    """

    start: tuple[int, int, int]
    side: int
    size: int

    @property
    def target(self) -> tuple[slice, ...]:
        """Where the window lies in the box."""
        return tuple(slice(max(0, s), min(self.size, s + self.side)) for s in self.start)

    @property
    def source(self) -> tuple[slice, ...]:
        """The part of the window that lies in the box."""
        return tuple(slice(max(0, -s), min(self.side, self.size - s)) for s in self.start)

    def planes(self) -> Iterator[tuple[tuple[int | slice, ...], tuple[int | slice, ...]]]:
        """Yield target and source of each plane across z."""
        (into, *across), (out, *within) = self.target, self.source
        for there, here in zip(
            range(into.start, into.stop), range(out.start, out.stop), strict=True
        ):
            yield (there, *across), (here, *within)

    def cut(self, volume: Float[Tensor, "z y x"]) -> Float[Tensor, "w w w"]:
        """Return the window of a map."""
        if self.side == self.size:
            return volume
        window = volume.new_zeros((self.side,) * 3)
        window[self.source] = volume[self.target]
        return window


class Measurement:
    """Measures and filters one place after another.

    Parameters
    ----------
    halves
        The half-maps, ``z y x`` each.
    randomised
        The same with random phases from `Probe.randomised_from` on, in real space.
    sharpened
        Makes the map that is filtered: its transform, origin at the first voxel. Not asked before
        a place is joined, when the other maps may be gone.
    pixel_size_A
        Of all maps.
    probe
        The sphere.
    whole
        Transform the whole box for each place, as RELION does, instead of a window.
    """

    def __init__(
        self,
        halves: tuple[Tensor, Tensor],
        randomised: tuple[Tensor, Tensor],
        sharpened: Callable[[], Tensor],
        pixel_size_A: float,
        probe: Probe,
        *,
        whole: bool = False,
    ) -> None:
        self._maps: tuple[Tensor, ...] = (*halves, *randomised)
        self._make: Callable[[], Tensor] | None = sharpened
        self._filtered: Tensor | None = None  # a map, or of whole boxes its transform
        self._pixel_size_A, self._probe = pixel_size_A, probe
        self.size = halves[0].shape[0]
        self.side = self.size if whole else probe.window_px(self.size)
        squares = torch.arange(shells.squares_of(self.side, 3), dtype=torch.float64)
        self._radius = squares.sqrt_() / self.side
        self._box_shells = (self._radius * self.size).round().to(torch.int64)
        self._ball = _ball(probe)

    def run(self, sums: LocalSums) -> Iterator[Place]:
        """Yield the places one by one, after each was added to the sums."""
        for centre in self._probe.places(self.size):
            place = self.at(centre)
            self.join(place, sums)
            yield place

    def forget(self) -> None:
        """Let go of the half-maps: from here on the map is only filtered."""
        self._maps = ()
        self._to_filter()

    def _to_filter(self) -> Tensor:
        """Return the map that is filtered, or its transform where whole boxes are transformed."""
        if self._filtered is None and self._make is not None:
            made = self._make()
            is_whole = self.side == self.size
            self._filtered = made if is_whole else fourier_volume.inverse_(made, self.size)
            self._make = None
        assert self._filtered is not None
        return self._filtered

    def at(self, centre_px: tuple[int, int, int]) -> Place:
        """Return what is found at a place (x y z from the centre)."""
        return self.place(centre_px, *self._window(centre_px))

    def join(self, place: Place, sums: LocalSums) -> None:
        """Filter the map for a place that was measured and add it to the sums."""
        self.add_(place, *self._window(place.centre_px), sums)

    def place(self, centre_px: tuple[int, int, int], window: Window, mask: Tensor) -> Place:
        """Return the curves and the resolution inside a sphere."""
        first, second, random1, random2 = self._maps
        masked = self._fsc(window, mask, first, second)
        randomised = self._fsc(window, mask, random1, random2)
        corrected = resolution.correct(masked, randomised, self._probe.randomised_from)
        found_A = resolution.resolution_A(corrected, self.size, self._pixel_size_A)
        found_A = min(found_A, self._probe.coarsest_A)
        return Place(centre_px, masked, randomised, corrected, found_A)

    def add_(self, place: Place, window: Window, mask: Tensor, sums: LocalSums) -> None:
        """Filter the map for a place and add it to the sums."""
        weights = torch.zeros(int(self._box_shells.max()) + 1, dtype=torch.float64)
        weights[: len(place.corrected)] = sharpening.fsc_weights(place.corrected)
        curve = filtering.low_pass_curve(self.size, place.resolution_A, self._pixel_size_A)
        weight = weights[self._box_shells] * curve(self._radius)
        given = self._to_filter()
        if given.is_complex():
            transform = given.clone()
        else:
            transform = fourier_volume.forward(window.cut(given))
        filtered = fourier_volume.inverse_(shells.multiply_(transform, weight), self.side)
        sums.add_(window, mask, filtered, place.resolution_A)

    def _window(self, centre_px: tuple[int, int, int]) -> tuple[Window, Tensor]:
        """Return the window of a place and the sphere in it."""
        if self.side == self.size:
            x, y, z = (self.size // 2 + c for c in centre_px)
            window, middle = Window((0, 0, 0), self.side, self.size), (z, y, x)
        else:
            x, y, z = (self.size // 2 + c - self.side // 2 for c in centre_px)
            window, middle = Window((z, y, x), self.side, self.size), (self.side // 2,) * 3
        mask = torch.zeros((self.side,) * 3)
        ball = self._ball_at(middle)
        mask[ball.target] = self._ball[ball.source]
        return window, mask

    def _ball_at(self, middle: tuple[int, int, int]) -> Window:
        """Return where the ball lies in the window."""
        z, y, x = (at - len(self._ball) // 2 for at in middle)
        return Window((z, y, x), len(self._ball), self.side)

    def _fsc(self, window: Window, mask: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Correlate maps inside a sphere by the shells of the window; return those of the box."""
        curve = resolution.fsc_of_transforms(
            fourier_volume.forward(window.cut(first), mask),
            fourier_volume.forward(window.cut(second), mask),
            3,
        )
        if self.side == self.size:
            return curve
        curve[0] = curve[0].clamp(min=0)
        here = np.arange(len(curve)) / self.side
        wanted = np.arange(self.size // 2 + 1) / self.size
        return torch.from_numpy(np.interp(wanted, here, curve.numpy()))


def _ball(probe: Probe) -> Tensor:
    """Return the soft sphere in the smallest cube."""
    side = 2 * (probe.radius_px + probe.edge_px) + 1
    return masking.sphere(side, 3, probe.radius_px, probe.edge_px)


def _is_fast(side: int) -> bool:
    for prime in _FAST_PRIMES:
        while side % prime == 0:
            side //= prime
    return side == 1
