"""Log weights of all in-plane angles of many directions from few functions.

See `refinement.polar`: slices of a direction, turned in their plane, are
``sum p_mj u_mj(r) exp(i m (a + psi))``. The compiled kernel goes from products of images with the
functions to significant hypotheses without writing most log weights anywhere; plain torch, the
reference, does it one step after the other.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from vitreous.engine.kernels import reference_poses

_TILE = 16  # directions that the kernel works on at a time


def compiled() -> ModuleType | None:
    """Return the compiled kernel, or None where the package was built without a compiler."""
    if importlib.util.find_spec("vitreous.engine.kernels._polar") is None:
        return None
    return importlib.import_module("vitreous.engine.kernels._polar")


@dataclass(frozen=True)
class PolarSlices:
    """Slices of many directions as coefficients of few functions.

    Parameters
    ----------
    order
        ``h``: angular frequency m of each block of functions, rising.
    even, odd
        ``px j``: functions of even and of odd m at the pixels of images, block by block; of each
        block first the real parts, then the imaginary ones.
    coefficients
        Per block ``r d``, of each function for every direction; their real part for m = 0 already
        halved, as only half a plane is multiplied.
    n_psi
        In-plane angles, ``360 / n_psi`` degrees apart.
    """

    order: tuple[int, ...]
    even: Float[Tensor, "px a"]
    odd: Float[Tensor, "px b"]
    coefficients: tuple[Complex[Tensor, "_ d"], ...]
    n_psi: int

    @property
    def n_directions(self) -> int:
        """Directions, those of all classes."""
        return self.coefficients[0].shape[1]

    def select(self, directions: Int64[Tensor, " d"]) -> PolarSlices:
        """Return some of the directions."""
        return replace(self, coefficients=tuple(c[:, directions] for c in self.coefficients))

    def products(
        self, b: Complex[Tensor, "n px"]
    ) -> tuple[Float[Tensor, "n a"], Float[Tensor, "n b"]]:
        """Return the products of images with the functions of even and of odd m.

        With F(-k) = F(k)* these see only the real part of an image, those only the imaginary one.
        """
        return b.real @ self.even, b.imag @ self.odd

    def cross(self, b: Complex[Tensor, "n px"]) -> Float[Tensor, "p n d"]:
        """Return Re(b conj P) of every in-plane angle, image and direction: the reference."""
        angle = 2 * math.pi * torch.arange(self.n_psi, dtype=torch.float64) / self.n_psi
        rows = torch.zeros(2 * len(self.order), len(b), self.n_directions)
        factors = []
        for row, (m, x_re, x_im, c) in enumerate(self._blocks(self.products(b))):
            rows[2 * row] = x_re @ c.real + x_im @ c.imag
            rows[2 * row + 1] = x_im @ c.real - x_re @ c.imag
            factors += [torch.cos(m * angle), torch.sin(m * angle)]
        turned: Tensor = torch.tensordot(torch.stack(factors, 1).float(), rows, 1)
        return turned

    def _blocks(
        self, products: tuple[Tensor, Tensor]
    ) -> Iterator[tuple[int, Tensor, Tensor, Complex[Tensor, "r d"]]]:
        for m, first, coefficients in zip(
            self.order, self._columns, self.coefficients, strict=True
        ):
            n = len(coefficients)
            of_m = products[m % 2][:, first : first + 2 * n]
            yield m, of_m[:, :n], of_m[:, n:], coefficients

    @cached_property
    def _columns(self) -> list[int]:
        """Where the functions of each block begin among the even or odd ones."""
        place, out = [0, 0], []
        for m, coefficients in zip(self.order, self.coefficients, strict=True):
            out.append(place[m % 2])
            place[m % 2] += 2 * len(coefficients)
        return out

    @cached_property
    def _table(self) -> tuple[Tensor, ...]:
        """What the kernel reads: numbers of the blocks, signs, tiles, factors of the transform."""
        n = self.n_psi
        folded = [m % n for m in self.order]
        rows = torch.tensor(
            [
                [min(m, n - m) for m in folded],
                [m % 2 for m in self.order],
                self._columns,
                [len(c) for c in self.coefficients],
            ],
            dtype=torch.int32,
        )
        sign = torch.tensor([1.0 if m <= n // 2 else -1.0 for m in folded])
        values = torch.view_as_real(torch.cat(self.coefficients))
        n_tiles = -(-self.n_directions // _TILE)
        tiles = values.new_zeros(n_tiles * _TILE, len(values), 2)
        tiles[: self.n_directions] = values.transpose(0, 1)
        tiles = tiles.view(n_tiles, _TILE, len(values), 2).permute(0, 2, 3, 1).contiguous()
        j = torch.arange(n // 2 + 1, dtype=torch.float64)
        angle = 2 * math.pi * j[:, None] * j / n
        return rows, sign, tiles, torch.cos(angle).float(), torch.sin(angle).float()

    def search(
        self,
        moved: Complex[Tensor, "n t px"],
        power: Float[Tensor, "p n d"],
        rotation_prior: Float[Tensor, " r"],
        shift_prior: Float[Tensor, "n k t"],
        *,
        fraction: float,
        lost: float = reference_poses.LOST,
        most: int = 0,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Score images in all shifts against all directions and angles; keep what matters.

        Parameters
        ----------
        moved
            Images times the phases of every shift.
        power
            ``c |P|^2 / 2``.
        rotation_prior, shift_prior
            Log priors; rotation is ``direction * p + angle``, and the directions of the classes
            follow each other.
        fraction, lost, most
            The fewest hypotheses that hold this part of the weight, none so much below the
            largest log weight, at most so many.

        Returns
        -------
        tuple
            Counts per image; ``rotation * t + shift`` in rising order; weights; largest log weight
            and log sum ``n 2``.
        """
        n, n_shifts, _ = moved.shape
        module = compiled() if moved.device.type == "cpu" else None
        if module is None:
            cross = self.cross(moved.flatten(0, 1)).view(self.n_psi, n, n_shifts, -1)
            return reference_poses.choose(
                cross.permute(1, 2, 3, 0).reshape(n, n_shifts, -1),
                power.permute(1, 2, 0).reshape(n, -1),
                rotation_prior, shift_prior, fraction=fraction, lost=lost, most=most,
            )  # fmt: skip
        n_directions, n_classes = self.n_directions, shift_prior.shape[1]
        n_tiles = -(-n_directions // _TILE)
        base = torch.full((n, self.n_psi, n_tiles * _TILE), -torch.inf)
        prior = rotation_prior.view(n_directions, self.n_psi).T
        torch.sub(prior, power.transpose(0, 1), out=base[:, :, :n_directions])
        of_class = torch.zeros(n_tiles * _TILE, dtype=torch.int32)
        of_class[:n_directions] = torch.arange(n_classes).repeat_interleave(
            n_directions // n_classes
        )
        even, odd = self.products(moved.flatten(0, 1))
        rows, sign, tiles, cosine, sine = self._table
        found = module.search(
            rows, sign, tiles, cosine, sine, self.n_psi,
            even.view(n, n_shifts, -1), odd.view(n, n_shifts, -1),
            base.view(n, self.n_psi, n_tiles, _TILE), shift_prior.contiguous(), of_class,
            fraction, lost, most, torch.get_num_threads(),
        )  # fmt: skip
        counts, index, weight, numbers = (torch.from_numpy(array) for array in found)
        return counts, index, weight, numbers
