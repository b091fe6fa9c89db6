"""References of an iteration, ready to be sliced for any optics group (section 7.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int16
from torch import Tensor

from vitreous.engine import grids
from vitreous.engine.ctf import Optics
from vitreous.engine.kernels import packed
from vitreous.engine.kernels.pose_records import Source
from vitreous.engine.projection import Projector, central_planes, project, projector
from vitreous.engine.refinement.disc import disc, tight_index
from vitreous.engine.refinement.images import View
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model

_SHARED = 3  # images that use a slice, from which on it is kept
_TABLE_BYTES = 256 << 20
_CORNERS_BYTES = 16  # of each point of a grid
_WORTH = 2  # pixels that are sliced for each point, from which on packing the grid pays


@dataclass(frozen=True)
class References:
    """Projectors of all classes.

    Parameters
    ----------
    projectors
        One a class.
    searched
        Classes that may win: those of positive weight.
    """

    projectors: tuple[Projector, ...]
    searched: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Return 2 for averages, 3 for maps."""
        return self.projectors[0].grid.ndim

    @property
    def device(self) -> torch.device:
        """Return where the grids are."""
        return self.projectors[0].grid.device

    def to(self, device: torch.device) -> References:
        """Return the same references on another device."""
        moved = (replace(one, grid=one.grid.to(device)) for one in self.projectors)
        return References(tuple(moved), self.searched)

    @cached_property
    def corners(self) -> tuple[tuple[Int16[Tensor, " h"], float], ...]:
        """Return the grids as half precision has them, made when they are first asked for."""
        return tuple(packed.with_corners(one.grid) for one in self.projectors)

    def _in_halves(self, seen: View, n_pixels: int) -> bool:
        """Tell whether so many pixels are sliced in half precision.

        One grid needs less memory then than making its map does (`refine.memory`).
        """
        if not (seen.in_halves and self.ndim == 3 and self.device.type == "cpu"):
            return False
        n_points = sum(one.grid.numel() for one in self.projectors)
        fits = len(self.projectors) == 1 or _CORNERS_BYTES * n_points <= _TABLE_BYTES
        return fits and n_pixels > _WORTH * n_points and packed.has_corners()

    def planes(
        self, rotations: Float[Tensor, "r 3 3"], seen: View, optics: Optics
    ) -> Float[Tensor, "r c 2"]:
        """Return the unit steps of image frequency in the grid, for images of an optics group."""
        first = self.projectors[0]
        magnification = optics.magnification[seen.group]
        matrices = rotations if self.ndim == 3 else rotations[:, :2, :2]
        return central_planes(
            matrices, first.padding, scale=seen.scale, magnification=magnification
        ).to(torch.float32)

    def grid_radius(self) -> float:
        """Return the radius of what the grids hold."""
        return self.projectors[0].padding * self.projectors[0].r_max

    def source(
        self,
        classes: Tensor,
        rotations: Float[Tensor, "r 3 3"],
        seen: View,
        optics: Optics,
        radius: int,
        *,
        uses: int = 0,
    ) -> Source:
        """Return slices of many classes and rotations.

        Of averages a table is made at once, and of maps where each slice serves several images
        and the table is small.

        Parameters
        ----------
        uses
            How many pairs of image and rotation there are.
        """
        planes = self.planes(rotations, seen, optics)
        volumes = tuple(each.grid for each in self.projectors)
        device, table = self.device, None
        corners: tuple[tuple[Tensor, float], ...] = ()
        n_bytes = 8 * len(planes) * len(disc(radius))
        shared = uses > _SHARED * len(planes) and n_bytes < _TABLE_BYTES
        if self.ndim == 2 or shared:
            table = torch.zeros(len(planes), len(disc(radius)), 2, device=device)
            for k in range(len(self.projectors)):
                of_class = torch.nonzero(classes == k)[:, 0]
                here = of_class.to(device)
                if self.ndim == 2:
                    table[here] = self._flat(k, rotations[of_class], seen, optics, radius)
                elif len(of_class):
                    table[here] = packed.gather_packed(
                        volumes[k], planes[of_class], radius, self.grid_radius(), len(disc(radius))
                    )
            planes = torch.zeros(len(planes), 3, 2)
            volumes = ()
        elif self._in_halves(seen, max(uses, len(planes)) * len(disc(radius))):
            corners = self.corners
        return Source(
            planes.contiguous(), classes.to(torch.int32), radius, self.grid_radius(), volumes,
            table, corners,
        )  # fmt: skip

    def tight(
        self, k: int, rotations: Float[Tensor, "r 3 3"], seen: View, optics: Optics, radius: int
    ) -> Float[Tensor, "r m 2"]:
        """Return slices of a class without padding, in the order of `disc.tight_index`."""
        places = tight_index(radius).to(self.device)
        if self.ndim == 2:
            return self._flat(k, rotations, seen, optics, radius)[:, places]
        planes = self.planes(rotations, seen, optics)
        return packed.gather_packed(
            self.projectors[k].grid, planes, radius, self.grid_radius(), len(places), tight=True
        )

    def _flat(
        self, k: int, rotations: Tensor, seen: View, optics: Optics, radius: int
    ) -> Float[Tensor, "r m 2"]:
        """Return slices of an average, packed."""
        packing = disc(radius).to(self.device)
        magnification = optics.magnification[seen.group].to(self.device, torch.float32)
        sliced = project(
            self.projectors[k], rotations[:, :2, :2].to(self.device, torch.float32), packing.size,
            scale=seen.scale, magnification=magnification,
        )  # fmt: skip
        return torch.stack(packing.pack(sliced), -1)


def references(model: Model, settings: Settings, *, r_max: int) -> References:
    """Prepare the references of a model up to a frequency."""
    projectors = []
    for volume in model.references:
        made = projector(volume.to(torch.float32), settings.padding, r_max)
        if settings.searching.coarsest_A > 0:
            made = _without_low_shells(made, model, settings.searching.coarsest_A)
        projectors.append(made)
    searched = tuple(k for k in range(model.n_classes) if float(model.class_weight[k]) > 0)
    return References(tuple(projectors), searched)


def _without_low_shells(made: Projector, model: Model, coarsest_A: float) -> Projector:
    radius = round(model.box_px * model.pixel_size_A / coarsest_A)
    keep = grids.radius_of(made.grid.real) / made.padding > radius
    return replace(made, grid=made.grid * keep)
