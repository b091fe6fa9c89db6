"""What pictures of several walk-throughs share."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import mrcfile
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from vitreous.io import Star, read_star, read_volume

OUT = Path(__file__).resolve().parent.parent / "docs" / "walks"
INK, MARK, QUIET = "#23272e", "#d9480f", "#868e96"
mpl.rcParams |= {"font.size": 8, "axes.edgecolor": INK, "text.color": INK, "savefig.dpi": 110}


def save(figure: Figure, name: str) -> None:
    """Write a picture of the documentation."""
    OUT.mkdir(exist_ok=True)
    figure.savefig(OUT / f"{name}.png")


def read_image(path: Path) -> NDArray[np.float32]:
    """Return an image in single precision."""
    picture: NDArray[np.float32] = np.squeeze(mrcfile.read(path)).astype(np.float32)
    return picture


def show(panel: Axes, picture: NDArray[np.float32], title: str = "", cut: float = 0.5) -> None:
    """Draw an image in grey, with the given percentage cut off at either end."""
    low, high = np.percentile(picture, (cut, 100 - cut))
    panel.imshow(picture, cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="bicubic")
    panel.set_title(title)
    panel.axis("off")


def draw_slices(path: Path, name: str) -> None:
    """Draw the three middle slices of a map, four pixels thick."""
    figure = Figure(figsize=(6, 2.1), layout="constrained")
    show_slices(figure.subplots(1, 3).tolist(), path)
    save(figure, name)


def show_slices(panels: list[Axes], path: Path) -> None:
    """Draw the three middle slices of a map, four pixels thick, into panels."""
    volume = read_volume(path).data
    middle = len(volume) // 2
    for axis, panel in enumerate(panels):
        picture = np.moveaxis(volume, axis, 0)[middle - 2 : middle + 2].mean(0)
        show(panel, picture, "zyx"[axis], 0)


def draw_classes_of(root: Path, name: str, n: int) -> None:
    """Draw class averages, the largest first, with the particles that each holds."""
    columns = min(n, 6)
    figure = Figure(figsize=(7, 1.35 * -(-n // columns) * 6 / columns), layout="constrained")
    panels = np.atleast_1d(figure.subplots(-(-n // columns), columns)).ravel()
    draw_classes(panels.tolist(), root)
    save(figure, name)


def draw_classes(panels: list[Axes], root: Path) -> None:
    """Draw class averages into panels, the largest first."""
    sizes = class_sizes(root)
    images = mrcfile.read(f"{root}_classes.mrcs")
    for panel, row in zip(panels, np.argsort(-sizes), strict=False):
        show(panel, images[row], f"{row + 1}: {particles(sizes[row])}", 0)


def particles(number: int) -> str:
    """Return a number of particles with its word."""
    return "1 particle" if number == 1 else f"{number} particles"


def class_sizes(root: Path) -> NDArray[np.int64]:
    """Return how many particles each class of an iteration has."""
    model, data = read_star(f"{root}_model.star"), read_star(f"{root}_data.star")["particles"]
    numbers = np.asarray(data["rlnClassNumber"], np.int64)
    sizes: NDArray[np.int64] = np.bincount(numbers, minlength=len(model["model_classes"]) + 1)[1:]
    return sizes


def draw_picks(
    panel: Axes, picture: NDArray[np.float32], picks: NDArray[np.float64], width_px: float
) -> None:
    """Draw a micrograph at half its size, smoothed, with a circle for each pick."""
    show(panel, gaussian_filter(picture, 2)[::2, ::2])
    circles = [Circle((a, b), width_px / 4) for a, b in picks / 2]
    panel.add_collection(PatchCollection(circles, facecolor="none", edgecolor="#22b8cf", lw=1))
    panel.set(xlim=(0, picture.shape[1] / 2), ylim=(0, picture.shape[0] / 2))


def draw_masked_fsc(panel: Axes, star: Star) -> None:
    """Draw the curves of PostProcess."""
    table = star["fsc"]
    for label, name, colour in (
        ("rlnFourierShellCorrelationUnmaskedMaps", "without a mask", QUIET),
        ("rlnFourierShellCorrelationMaskedMaps", "masked", INK),
        ("rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps", "random phases", MARK),
    ):
        panel.plot(table["rlnResolution"], table[label], color=colour, lw=1.2, label=name)
    panel.axhline(0.143, color=INK, lw=0.6, ls=":")
    panel.set(xlabel="Spatial frequency (1/Å)", ylabel="FSC", ylim=(-0.1, 1.05))
    panel.legend(frameon=False)
