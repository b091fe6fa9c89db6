"""Pictures of right results beside wrong ones, on simulated data."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter
from tools.walk_drawing import (
    INK,
    MARK,
    class_sizes,
    particles,
    read_image,
    save,
    show,
    show_slices,
)

from vitreous.io import read_star, read_volume


def simulated(project: Path) -> None:
    """Make the pictures of `docs/walk-simulated.md`."""
    _motion(project)
    _particles(project)
    _scores(project)
    _initial(project)
    _sorted(project)
    _refined(project)
    _local(project)
    _subtracted(project)


def _motion(project: Path) -> None:
    figure = Figure(figsize=(9, 2.5), layout="constrained")
    panels = figure.subplots(1, 4)
    drift = json.loads((project / "MotionCorr/job002/plots/drift.json").read_text())
    names = ("A path that calms down", "A jump")
    for panel, shown, title in zip(panels, drift["panels"], names, strict=False):
        first, *others = shown["tracks"]
        for track in others:
            panel.plot(track["x"], track["y"], color="#adb5bd", lw=0.7)
        panel.plot(first["x"], first["y"], "o-", color=INK, lw=1.2, ms=2.5)
        panel.plot(*first_point(first), "o", color=MARK, ms=4)
        panel.set(title=title, xlabel="x (px)", ylabel="y (px)", aspect="equal")
        panel.set_adjustable("datalim")
    movie = "Microscope/Movies/movie00001.mrc"
    for panel, job, title in zip(
        panels[2:], (2, 3), ("The right gain", "A turned gain"), strict=True
    ):
        picture = read_image(project / f"MotionCorr/job{job:03d}" / movie)
        show(panel, gaussian_filter(picture, 1)[100:500, 100:500], title)
    save(figure, "simulated-motion")


def first_point(track: dict[str, list[float]]) -> tuple[float, float]:
    """Return where a path begins."""
    return track["x"][0], track["y"][0]


def _particles(project: Path) -> None:
    figure = Figure(figsize=(7, 2.2), layout="constrained")
    for row, job in zip(figure.subplots(2, 8), (6, 7), strict=True):
        stack = next((project / f"Extract/job{job:03d}").rglob("*.mrcs"))
        for panel, image in zip(row, mrcfile.read(stack), strict=False):
            show(panel, gaussian_filter(image.astype(np.float32), 1))
    save(figure, "simulated-particles")


def _scores(project: Path) -> None:
    figure = Figure(figsize=(8, 1.5), layout="constrained")
    scores = read_star(project / "Select/job011/rank_model.star")["model_classes"]["rlnClassScore"]
    root = project / "Class2D/job010/run_it025"
    images, sizes = mrcfile.read(f"{root}_classes.mrcs"), class_sizes(root)
    for panel, row in zip(figure.subplots(1, 8), np.argsort(-np.asarray(scores)), strict=True):
        show(panel, images[row], f"{scores[row]:.2f}\n{particles(sizes[row])}", 0)
    save(figure, "simulated-select")


def _initial(project: Path) -> None:
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    for row, job in zip(figure.subplots(2, 3), (12, 13), strict=True):
        show_slices(row.tolist(), project / f"InitialModel/job{job:03d}/initial_model.mrc")
    save(figure, "simulated-initial")


def _sorted(project: Path) -> None:
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for row, job in zip(figure.subplots(2, 6), (14, 15), strict=True):
        root = project / f"Class3D/job{job:03d}/run_it015"
        sizes = class_sizes(root)
        for k in range(2):
            panels = row[3 * k : 3 * k + 3].tolist()
            show_slices(panels, Path(f"{root}_class{k + 1:03d}.mrc"))
            panels[1].set_title(f"class {k + 1}: {particles(sizes[k])}")
    save(figure, "simulated-class3d")


def _refined(project: Path) -> None:
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    for row, refined, post in zip(figure.subplots(2, 2), (16, 17), (19, 20), strict=True):
        data = read_star(project / f"Refine3D/job{refined:03d}/run_data.star")["particles"]
        _views(row[0], np.asarray(data["rlnAngleRot"]), np.asarray(data["rlnAngleTilt"]))
        path = project / f"PostProcess/job{post:03d}/plots/directional_fsc.json"
        for one in json.loads(path.read_text())["series"]:
            row[1].plot(one["x"], one["y"], lw=1.2, label=one["name"])
        row[1].set(xlabel="Spatial frequency (1/Å)", ylabel="FSC", ylim=(-0.1, 1.05))
        row[1].legend(frameon=False)
    save(figure, "simulated-refined")


def _views(panel: Axes, rot_deg: np.ndarray, tilt_deg: np.ndarray) -> None:
    """Draw where particles are seen from; a view and its mirror are one."""
    below = tilt_deg > 90
    rot = np.where(below, rot_deg + 180, rot_deg)
    rot = (rot + 180) % 360 - 180
    panel.plot(rot, np.where(below, 180 - tilt_deg, tilt_deg), ".", color=INK, ms=2)
    panel.set(xlabel="Rot (°)", ylabel="Tilt (°)", xlim=(-180, 180), ylim=(0, 90))


def _local(project: Path) -> None:
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    panels = figure.subplots(1, 2)
    jobs = (("LocalRes/job023", "Refine3D/job016"), ("LocalRes/job024", "Refine3D/job022"))
    for panel, (local, refined) in zip(panels, jobs, strict=True):
        found = read_volume(project / local / "relion_locres.mrc").data
        density = read_volume(project / refined / "run_class001.mrc").data
        middle = len(found) // 2
        inside = density[:, :, middle] > 0.2 * density.max()
        shown = panel.imshow(
            np.where(inside, found[:, :, middle], np.nan), cmap="viridis_r", vmin=8, vmax=20,
            origin="lower",
        )  # fmt: skip
        panel.axis("off")
    figure.colorbar(shown, ax=panels, label="Å")
    save(figure, "simulated-localres")


def _subtracted(project: Path) -> None:
    figure = Figure(figsize=(5, 2.7), layout="constrained")
    titles = ("With the right map", "With a map of 40 Å")
    for panel, job, title in zip(figure.subplots(1, 2), (25, 26), titles, strict=True):
        volume = read_volume(project / f"Subtract/job{job:03d}/left.mrc").data
        middle = volume.shape[2] // 2
        show(panel, volume[:, :, middle - 2 : middle + 2].mean(2), title)
    save(figure, "simulated-subtract")
