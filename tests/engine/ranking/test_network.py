"""The arrays of the ranker become scores."""

import numpy as np
import pytest
import torch

from vitreous.engine.ranking.network import Network
from vitreous.errors import ComputeError


def arrays(m=2, f=3, h=4):
    source = torch.Generator().manual_seed(1)
    shapes = {"first": (m, f + 1, h), "second": (m, h + 1, h), "last": (m, h + 1)}
    made = {name: torch.randn(shape, generator=source) for name, shape in shapes.items()}
    return made | {"mean": torch.zeros(f), "deviation": torch.ones(f)}


def test_the_mean_of_two_layer_networks():
    made, x = arrays(), np.array([0.3, -1.0, 2.0])
    wanted = []
    for i in range(2):
        first, second, last = (made[name][i].double().numpy() for name in
                               ("first", "second", "last"))  # fmt: skip
        hidden = np.tanh(np.append(x, 1) @ first)
        hidden = np.tanh(np.append(hidden, 1) @ second)
        wanted.append(1 / (1 + np.exp(-np.append(hidden, 1) @ last)))
    network = Network.from_arrays(made, "abc")
    found = network.scores(
        {name: torch.tensor([value]) for name, value in zip("abc", x, strict=True)}
    )
    assert float(found) == pytest.approx(np.mean(wanted), abs=1e-9)


def test_nothing_is_extrapolated():
    network = Network.from_arrays(arrays(), "abc")
    far, farther = (
        network.scores({name: torch.tensor([value]) for name in "abc"}) for value in (4.0, 1e6)
    )
    assert torch.equal(far, farther)


def test_what_does_not_fit_is_told():
    with pytest.raises(ComputeError, match=r"first is \(2, 4, 4\), wanted \(2, 5, 4\)"):
        Network.from_arrays(arrays() | {"mean": torch.zeros(4), "deviation": torch.ones(4)}, "abcd")
    with pytest.raises(ComputeError, match="lack last"):
        Network.from_arrays({k: v for k, v in arrays().items() if k != "last"}, "abc")
    with pytest.raises(ComputeError, match=r"\['c'\]"):
        Network.from_arrays(arrays(), "abc").scores({"a": torch.ones(1), "b": torch.ones(1)})
