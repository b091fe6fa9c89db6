"""The ranker: the mean of several small neural networks over standardised features.

What it knows is a handful of plain arrays, made by ``tools/class_ranker``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import ComputeError

LARGEST = 4.0


@dataclass(frozen=True)
class Network:
    """Networks of two hidden layers that see the same features.

    Parameters
    ----------
    names
        Of the features, in order.
    mean, deviation
        ``(f,)``, of the features in training; values are standardised by them, and those farther
        away than 4 deviations count as 4: nothing is extrapolated.
    first, second, last
        Weights ``(m, f + 1, h)``, ``(m, h + 1, h)``, ``(m, h + 1)`` of `m` networks, the offset
        in the last row. Hidden layers end in tanh, the sum in a logistic curve.
    """

    names: tuple[str, ...]
    mean: Float[Tensor, " f"]
    deviation: Float[Tensor, " f"]
    first: Float[Tensor, "m f1 h"]
    second: Float[Tensor, "m h1 h"]
    last: Float[Tensor, "m h1"]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], names: Sequence[str]) -> Network:
        """Make a network of the arrays of a weight file.

        Raises
        ------
        ComputeError
            An array is missing or has another shape than the rest demands.
        """
        fields = ("mean", "deviation", "first", "second", "last")
        if missing := [name for name in fields if name not in arrays]:
            raise ComputeError(f"The weights of the class ranker lack {', '.join(missing)}.")
        network = cls(tuple(names), *(arrays[name].to(torch.float64) for name in fields))
        f, (m, _, h) = len(names), network.first.shape
        wanted = {"mean": (f,), "deviation": (f,), "first": (m, f + 1, h),
                  "second": (m, h + 1, h), "last": (m, h + 1)}  # fmt: skip
        for name, shape in wanted.items():
            found = tuple(getattr(network, name).shape)
            if found != shape:
                raise ComputeError(
                    f"The weights of the class ranker do not fit: {name} is {found}, wanted "
                    f"{shape}. They were made for other features."
                )
        return network

    def standardised(self, features: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, "n f"]:
        """Return the features as the networks see them."""
        if missing := [name for name in self.names if name not in features]:
            raise ComputeError(f"The class ranker needs features that are not there: {missing}.")
        values = torch.stack([features[name].to(torch.float64) for name in self.names], dim=1)
        return ((values - self.mean) / self.deviation).clamp(-LARGEST, LARGEST)

    def scores(self, features: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
        """Return the predicted score of each class, 0 (junk) to 1.

        Parameters
        ----------
        features
            See `vitreous.engine.ranking.features.features`.
        """
        x = self.standardised(features).expand(len(self.first), -1, -1)
        for weights in (self.first, self.second):
            x = torch.tanh(_affine(x, weights))
        return torch.sigmoid(_affine(x, self.last[..., None])[..., 0]).mean(dim=0)


def _affine(x: Float[Tensor, "m n i"], weights: Float[Tensor, "m i1 o"]) -> Float[Tensor, "m n o"]:
    return x @ weights[:, :-1] + weights[:, -1:]
