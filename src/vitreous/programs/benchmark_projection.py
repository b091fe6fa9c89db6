"""How fast slices are taken and inserted, beside what fetching the same memory takes.

Three more figures are measured in the same run, by turns with the kernels. The plain loop goes
through slices, rows and pixels one after the other, as the prototype of spec/performance.md did in
C (its figures, from another machine, are quoted). The bound fetches (for insertion: fetches and
stores) the grid points that the slices need, in that same order, and computes nothing: no kernel
of that order can be faster, and tiles are. Times are processor time of one thread, so that other
work on the machine disturbs them less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from vitreous.engine import geometry
from vitreous.engine.kernels import reference, slices
from vitreous.engine.projection import central_planes
from vitreous.errors import EnvironmentMissing

PADDING = 2
# ns per pixel of the C kernels of the prototype, one core (spec/performance.md section 3).
PROTOTYPE_NS = {
    ("gather", "random"): (2.0, 2.7, 12, 15),
    ("gather", "near"): (1.7, 2.0, 3.5, 4.5),
    ("insert", "random"): (3.4, 6.0, 22, 24),
    ("insert", "near"): (2.9, 3.3, 7.8, 16),
}
SIZES = (30, 68, 128, 200)
PIXELS = 6e6  # of all slices of a measurement: some hundreds of slices of the largest size


def run(repeats: int = 7) -> dict[str, Any]:
    """Measure all sizes and orders; return rows of ns per pixel."""
    if slices.compiled() is None:
        message = "the compiled kernels are missing, so there is nothing to measure"
        raise EnvironmentMissing(message)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for size in SIZES for row in _rows(size, repeats)]
    finally:
        torch.set_num_threads(before)
    return {
        "unit": "ns per pixel, one thread",
        "instruction_set": import_module("vitreous.engine.kernels._cpu").instruction_set(),
        "rows": rows,
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Return the result as a table."""
    yield f"{result['unit']}, kernels for {result['instruction_set']}"
    yield "size  views   kernel  compiled  plain loop  ratio  memory bound  prototype  plain torch"
    for row in result["rows"]:
        yield (
            f"{row['size']:4}  {row['views']:6}  {row['kernel']:6}  {row['compiled_ns']:8.2f}"
            f"  {row['loop_ns']:10.2f}  {row['loop_ns'] / row['compiled_ns']:5.2f}"
            f"  {row['bound_ns']:12.2f}  {row['prototype_ns']:9.1f}  {row['torch_ns']:11.1f}"
        )


def _rows(size: int, repeats: int) -> Iterator[dict[str, Any]]:
    n = max(8, round(PIXELS / (0.4 * size * size)))
    yield from _views("random", _random(n), size, repeats)
    yield from _views("near", _near(n), size, repeats)


def _views(views: str, poses: Tensor, size: int, repeats: int) -> Iterator[dict[str, Any]]:
    module = import_module("vitreous.engine.kernels._cpu")
    radius, n = size // 2, len(poses)
    width, reach = PADDING * radius + 2, float(PADDING * radius)
    generator = torch.Generator().manual_seed(0)
    grid = torch.randn(2 * width - 1, 2 * width - 1, width, 2, generator=generator)
    sums = torch.zeros(2 * width - 1, 2 * width - 1, width, 4)
    planes = central_planes(poses, PADDING)
    out, weights = torch.zeros(n, size, size // 2 + 1, 2), torch.ones(n, size, size // 2 + 1)
    complex_grid, values = torch.view_as_complex(grid), torch.view_as_complex(out)
    few = max(2, n // 300)

    def gather() -> None:
        module.gather(grid, planes, out, radius, reach**2, 1)

    def insert() -> None:
        module.insert(sums, planes, out, weights, radius, reach**2, False, 1)

    def plain_gather() -> None:
        module.plain_gather(grid, planes, out, radius, reach**2)

    def plain_insert() -> None:
        module.plain_insert(sums, planes, out, weights, radius, reach**2)

    def torch_gather() -> None:
        reference.gather(complex_grid, planes[:few], size, radius, reach)

    def torch_insert() -> None:
        reference.insert_(sums, planes[:few], values[:few], weights[:few], radius, reach)

    for name, fast, loop, plain, memory in (
        ("gather", gather, plain_gather, torch_gather, grid),
        ("insert", insert, plain_insert, torch_insert, sums),
    ):
        seconds = _best([fast, loop], repeats)
        bound = module.memory_seconds(memory, planes, size, radius, reach**2, repeats)
        yield {
            "size": size,
            "views": views,
            "kernel": name,
            "compiled_ns": 1e9 * seconds[0] / _pixels(size, n),
            "loop_ns": 1e9 * seconds[1] / _pixels(size, n),
            "bound_ns": 1e9 * bound,
            "prototype_ns": PROTOTYPE_NS[name, views][SIZES.index(size)],
            "torch_ns": 1e9 * _best([plain], 2)[0] / _pixels(size, few),
        }


def _pixels(size: int, n: int) -> int:
    """Return how many pixels of `n` slices lie inside the radius."""
    ky = reference.frequencies(size, torch.device("cpu"))[:, None]
    kx = torch.arange(size // 2 + 1)
    return n * int((kx**2 + ky**2 <= (size // 2) ** 2).sum())


def _best(works: list[Callable[[], None]], repeats: int) -> list[float]:
    """Return the least processor time of each, by turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, spent in zip(works, times, strict=True):
            start = time.thread_time()
            work()
            spent.append(time.thread_time() - start)
    return [min(spent) for spent in times]


def _random(n: int) -> Tensor:
    return geometry.random_rotations(n, torch.Generator().manual_seed(1))


def _near(n: int) -> Tensor:
    """Return poses within about a degree of one another."""
    generator = torch.Generator().manual_seed(2)
    axes = torch.randn(n, 3, generator=generator)
    angles = torch.deg2rad(torch.randn(n, generator=generator))
    return geometry.rotation_about(axes, angles) @ _random(1)
