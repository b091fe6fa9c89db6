"""Training on the tables, and how well it works on molecules that were left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tools.class_ranker import molecules

from vitreous.engine.ranking.features import LEAST_PARTICLES
from vitreous.engine.ranking.network import LARGEST, Network

HIDDEN, MEMBERS, STEPS, RATE, DECAY = 16, 10, 45, 1e-2, 0.5
GOOD = 0.5
_TRUTH = ("iteration", "class", "mask", "n", "purity", "elements", "score")
_NOT_SEEN = ("weighted_resolution", "relative_resolution")  # tell of ångström and boxes


class Table:
    """Rows of some molecules: names of molecules, features, truth."""

    def __init__(self, files: Sequence[Path]) -> None:
        data = [json.loads(file.read_text()) for file in sorted(files)]
        rows = [(one["molecule"], row) for one in data for row in one["rows"]]
        rows = [(name, row) for name, row in rows if row["n"] > LEAST_PARTICLES]
        self.names = tuple(name for name in rows[0][1] if name not in (*_TRUTH, *_NOT_SEEN))
        self.molecule = np.array([name for name, _ in rows])
        self.features = torch.tensor(
            [[row[name] for name in self.names] for _, row in rows], dtype=torch.float64
        )
        self.score = torch.tensor([row["score"] for _, row in rows], dtype=torch.float64)

    def by_name(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the features of some rows under their names."""
        chosen = self.features[torch.from_numpy(rows)]
        return {name: chosen[:, i] for i, name in enumerate(self.names)}


def train(table: Table, rows: np.ndarray, members: int = MEMBERS) -> Network:
    """Fit the networks to some rows; each molecule weighs the same.

    Each member sees a random three quarters of the molecules and starts from its own seed.
    """
    x, y = table.features[torch.from_numpy(rows)], table.score[torch.from_numpy(rows)]
    mean, deviation = x.mean(0), x.std(0).clamp(min=1e-6)
    x = ((x - mean) / deviation).clamp(-LARGEST, LARGEST)
    owners = table.molecule[rows]
    parts = [_member(x, y, owners, seed) for seed in range(members)]
    arrays = {
        name: torch.stack([part[i] for part in parts])
        for i, name in enumerate(("first", "second", "last"))
    }
    return Network.from_arrays({"mean": mean, "deviation": deviation, **arrays}, table.names)


def _member(x: torch.Tensor, y: torch.Tensor, owners: np.ndarray, seed: int) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    names = np.unique(owners)
    seen = np.isin(owners, rng.permutation(names)[: max(1, round(0.75 * len(names)))])
    counts = {name: int((owners[seen] == name).sum()) for name in names}
    weights = torch.tensor([1 / counts[o] if s else 0.0 for o, s in zip(owners, seen, strict=True)])
    weights = (weights / weights.sum()).to(torch.float64)
    source = torch.Generator().manual_seed(seed)
    shapes = ((x.shape[1] + 1, HIDDEN), (HIDDEN + 1, HIDDEN), (HIDDEN + 1,))
    layers = [
        (
            torch.randn(shape, generator=source, dtype=torch.float64) / shape[0] ** 0.5
        ).requires_grad_()
        for shape in shapes
    ]
    optimiser = torch.optim.AdamW(layers, lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        optimiser.zero_grad()
        hidden = x
        for layer in layers[:2]:
            hidden = torch.tanh(hidden @ layer[:-1] + layer[-1])
        wanted = hidden @ layers[2][:-1] + layers[2][-1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(wanted, y, weight=weights,
                                                                    reduction="sum")  # fmt: skip
        loss.backward()
        optimiser.step()
    return [layer.detach() for layer in layers]


def area_under_roc(scores: np.ndarray, good: np.ndarray) -> float:
    """Return the chance that a good class scores above a bad one; nan where one kind is absent."""
    if good.all() or not good.any():
        return float("nan")
    more = scores[good][:, None] > scores[~good][None]
    same = scores[good][:, None] == scores[~good][None]
    return float((more + 0.5 * same).mean())


def left_out(table: Table, members: int = 4) -> dict[str, float]:
    """Return the area for each training molecule, by networks that saw none of its family."""
    found = {}
    for name in np.unique(table.molecule):
        family = molecules.FAMILIES.get(str(name), {str(name)})
        inside = np.isin(table.molecule, sorted(family))
        mine = table.molecule == name
        network = train(table, ~inside, members)
        scores = network.scores(table.by_name(mine)).numpy()
        found[str(name)] = area_under_roc(scores, (table.score.numpy() >= GOOD)[mine])
    return found


def areas(network: Network, table: Table) -> dict[str, float]:
    """Return the area for each molecule of a table."""
    good = table.score.numpy() >= GOOD
    return {
        str(name): area_under_roc(
            network.scores(table.by_name(table.molecule == name)).numpy(),
            good[table.molecule == name],
        )
        for name in np.unique(table.molecule)
    }


def save(network: Network, path: Path) -> None:
    """Write the weights as plain arrays in single precision."""
    arrays = {
        name: getattr(network, name).to(torch.float32).numpy()
        for name in ("mean", "deviation", "first", "second", "last")
    }
    np.savez(path, names=np.array(network.names), **arrays)
