"""How the map of a class of a half is made from its sums: a slot for priors other than Wiener's.

A regulariser is any callable that takes a `Request` and returns a `Regularised` map. It never sees
the other half: a prior that did would make the FSC between them meaningless. The default is the
Wiener map of section 7.5 of refinement.md; section 12 has the contract.

A plug-in is named as ``package.module:callable``, or by the name of an entry point in the group
``vitreous.regularisers``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata

from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import fourier, masking, resolution
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement import wiener
from vitreous.engine.refinement.weights import Weights, reached
from vitreous.errors import ComputeError, EnvironmentMissing, InputError

ENTRY_POINTS = "vitreous.regularisers"
TRAIL_SHELLS = 3


@dataclass(frozen=True)
class Request:
    """All that a map may be made from.

    Parameters
    ----------
    sums
        Accumulator of this half and class: Friedel and symmetry mates are in it, and its low
        resolution may be shared with the other half. Not to be changed.
    weights
        Sums of its weights.
    tau2
        ``s``, power of the signal; the Wiener map uses it times `tau_fudge`.
    fsc
        ``s``, between halves; zeros where there are none.
    pixel_size_A, diameter_A, current_size_px, tau_fudge
        Of the references; of the particle; side of the images that were used; T.
    class_, half, iteration
        From 0, 0 or 1 (None where data are not split), from 1.
    gridding_iterations
        0 for plain division by the weights.
    """

    sums: Accumulator
    weights: Weights
    tau2: Float[Tensor, " s"]
    fsc: Float[Tensor, " s"]
    pixel_size_A: float
    diameter_A: float
    current_size_px: int
    tau_fudge: float = 1.0
    class_: int = 0
    half: int | None = None
    iteration: int = 0
    gridding_iterations: int = 0

    @property
    def data(self) -> Complex[Tensor, "*grid"]:
        """Return the sum of the slices, on the padded grid (see `engine.grids`)."""
        return self.sums.data

    @property
    def weight(self) -> Float[Tensor, "*grid"]:
        """Return the sum of their weights."""
        return self.sums.weight

    @property
    def reached(self) -> Float[Tensor, " h"]:
        """Return how many points of each half shell the data, not the prior, decide."""
        if "wiener" in self.__dict__:
            return self.wiener.reached
        return reached(self.sums.grid, self.weights, self.tau_fudge * self.tau2)

    @cached_property
    def wiener(self) -> wiener.Solution:
        """The map without any other prior, and how far its data reach."""
        return wiener.solve(
            self.sums,
            self.weights,
            self.tau_fudge * self.tau2,
            gridding_iterations=self.gridding_iterations,
        )


@dataclass(frozen=True)
class Regularised:
    """A new map.

    Parameters
    ----------
    volume
        ``z y x`` or ``y x``, of the box of the references.
    fsc, tau2
        ``s``; given where the regulariser has a better estimate: then signal-to-noise follow.
    """

    volume: Float[Tensor, "*zyx"]
    fsc: Float[Tensor, " s"] | None = None
    tau2: Float[Tensor, " s"] | None = None


Regulariser = Callable[[Request], Regularised]


def wiener_map(request: Request) -> Regularised:
    """Return the Wiener map: the default."""
    return Regularised(request.wiener.volume)


def trailed(
    changed: Float[Tensor, "*zyx"],
    plain: Float[Tensor, "*zyx"],
    last_shell: int,
    edge_shells: int = TRAIL_SHELLS,
) -> Float[Tensor, "*zyx"]:
    """Take a learned map up to a shell and the Wiener map beyond.

    A learned prior can invent detail that no data support, which the next expectation would then
    find again: so its changes stay within the shells that data support (`supported_shell`).

    Parameters
    ----------
    changed, plain
        Map of the prior, Wiener map; same box.
    last_shell
        The change is whole up to it,
    edge_shells
        and gone so many shells later, along half a cosine.
    """
    ndim, size = plain.ndim, plain.shape[-1]
    radius = fourier.squared_radius(size, ndim, plain.device).to(plain.dtype).sqrt_()
    share = masking.raised_cosine(radius, last_shell, edge_shells)
    change = fourier.forward(changed - plain, ndim) * share
    return plain + fourier.inverse(change, ndim, size)


def supported_shell(request: Request) -> int:
    """Return the last shell that the data support.

    By the FSC between halves at 0.143 where there is one, else by data versus prior of 1.
    """
    if bool((request.fsc[1:] != 0).any()):
        return resolution.resolution_shell(request.fsc)
    ssnr = request.weights.signal_to_noise(request.tau2, request.tau_fudge)
    below = resolution.first_below(ssnr, 1.0)
    return len(ssnr) - 1 if below is None else below - 1


@dataclass(frozen=True)
class Trailing:
    """A regulariser whose changes end where the support of the data ends.

    Parameters
    ----------
    inner
        A learned prior.
    edge_shells
        See `trailed`.
    """

    inner: Regulariser
    edge_shells: int = TRAIL_SHELLS

    def __call__(self, request: Request) -> Regularised:
        """Return the map of the prior, trailed by the Wiener map."""
        found = checked(self.inner(request), request)
        plain = request.wiener.volume
        shell = supported_shell(request)
        return Regularised(
            trailed(found.volume, plain, shell, self.edge_shells), found.fsc, found.tau2
        )


def checked(found: Regularised, request: Request) -> Regularised:
    """Return what a regulariser returned, if the refinement can go on with it.

    Raises
    ------
    ComputeError
        The map has another box or is not finite.
    """
    wanted = (request.sums.box_px,) * request.sums.ndim
    if tuple(found.volume.shape) != wanted:
        raise ComputeError(
            f"The regulariser returned a map of shape {tuple(found.volume.shape)} for class "
            f"{request.class_ + 1}; wanted {wanted}."
        )
    if not math.isfinite(float(found.volume.sum())):
        raise ComputeError(
            f"The regulariser returned a map with NaN or infinity for class {request.class_ + 1} "
            f"in iteration {request.iteration}."
        )
    return found


def load(name: str, *, trailing: bool = True) -> Regulariser:
    """Find a plug-in.

    Parameters
    ----------
    name
        ``package.module:callable``, or an entry point of the group ``vitreous.regularisers``.
    trailing
        Limit its changes to what data support (`Trailing`).

    Raises
    ------
    EnvironmentMissing
        It is not installed.
    InputError
        What the name stands for is not callable.
    """
    found = _by_dotted_name(name) if ":" in name else _by_entry_point(name)
    if not callable(found):
        raise InputError(f"The regulariser {name} is a {type(found).__name__}, not a callable.")
    return Trailing(found) if trailing else found


def _by_dotted_name(name: str) -> object:
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise EnvironmentMissing(
            f"The regulariser {name} cannot be loaded: {error}. Install the package that has it."
        ) from error
    except AttributeError as error:
        raise InputError(
            f"The module {module} has no {attribute!r}. Write package.module:callable."
        ) from error


def _by_entry_point(name: str) -> object:
    points = metadata.entry_points(group=ENTRY_POINTS)
    if name in points.names:
        return points[name].load()
    installed = ", ".join(sorted(points.names)) or "none"
    raise EnvironmentMissing(
        f"No regulariser named {name!r} is installed (found: {installed}). Install a package that "
        f"offers it as an entry point of the group {ENTRY_POINTS}, or give package.module:callable."
    )
