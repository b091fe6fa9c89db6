"""Run the walk-throughs of the documentation and make their pictures: `python -m tools.make_walks`.

Every `bash` and `python` block of `docs/walk-*.md` is run in a new project, in the order of the
page. `DATA` says where the test data are (default `../shared/data`). With `--folder` the projects
are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from tools.walk_drawing import (
    INK,
    MARK,
    draw_classes,
    draw_classes_of,
    draw_masked_fsc,
    draw_picks,
    draw_slices,
    read_image,
    save,
    show,
)
from tools.walk_simulated import simulated

from vitreous.io import Star, read_star
from vitreous.io.coordinates import read_coordinates

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EDGE_PX, NEAR_PX, WIDTH_PX = 45, 30, 87


def main() -> int:
    """Run the pages, make the pictures, print how good the picks are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", default=list(WALKS), help=", ".join(WALKS))
    parser.add_argument("--folder", type=Path, help="keep the projects here")
    parser.add_argument("--only-pictures", action="store_true", help="of projects that are kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitreous-walks-") as temporary:
        for name in given.names:
            project = (given.folder or Path(temporary)).resolve() / name
            project.mkdir(parents=True, exist_ok=True)
            if not given.only_pictures:
                walk(ROOT / f"docs/walk-{name}.md", project)
            WALKS[name](project)
    return 0


def data_folder() -> Path:
    """Return the folder with the test data."""
    return Path(os.environ.get("DATA", ROOT.parent / "shared" / "data")).resolve()


def walk(page: Path, project: Path, *, prepares_only: bool = False) -> None:
    """Run the blocks of a page, or only those before its first job."""
    environment = os.environ | {
        "DATA": str(data_folder()),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for language, text in BLOCK.findall(page.read_text("utf-8")):
        if prepares_only and "vitreous run" in text:
            return
        print(text, flush=True)
        words = ["bash", "-euo", "pipefail", "-c"] if language == "bash" else [sys.executable, "-c"]
        subprocess.run([*words, text], cwd=project, env=environment, check=True)


# ---------------------------------------------------------------------------- beta-galactosidase


def betagal(project: Path) -> None:
    """Make the pictures of beta-galactosidase."""
    _defocus(project)
    draw_classes_of(project / "Class2D/job003/run_it025", "betagal-classes", 12)
    draw_slices(project / "InitialModel/job005/initial_model.mrc", "betagal-initial")
    draw_slices(project / "Refine3D/job006/run_class001.mrc", "betagal-refined")
    draw_slices(project / "PostProcess/job008/postprocess.mrc", "betagal-final")
    _fsc_by_iteration(project / "Refine3D/job006")


def _defocus(project: Path) -> None:
    """Draw the spectrum of the particles of a micrograph, and where two CTFs would be zero."""
    plot = json.loads((project / "Import/job002/plots/defocus_check.json").read_text())
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, defocus_um in zip(panels, (1.07, 3.64), strict=True):
        one = plot["series"][0]
        panel.plot(one["x"], one["y"], color=INK, lw=1.2)
        for zero in _zeros_per_A(defocus_um * 1e4):
            panel.axvline(zero, color=MARK, lw=0.7, ls="--")
        panel.set(title=f"Zeros of the CTF at {defocus_um} µm", xlabel="Spatial frequency (1/Å)")
        panel.set_xlim(0.02, 0.142)
    panels[0].set_ylabel("ln power")
    save(figure, "betagal-ctf")


def _zeros_per_A(defocus_A: float) -> NDArray[np.float64]:
    """Return the zeros of the CTF at 200 kV, Cs 1.4 mm and 0.1 of amplitude contrast."""
    wave_A, cs_A = 0.02508, 1.4e7
    n = np.arange(1, 20) - np.arcsin(0.1) / np.pi
    u = (defocus_A - np.sqrt(defocus_A**2 - 2 * cs_A * wave_A * n)) / (cs_A * wave_A**2)
    zeros: NDArray[np.float64] = np.sqrt(u)
    return zeros


def _fsc_by_iteration(job: Path) -> None:
    figure = Figure(figsize=(5, 2.8), layout="constrained")
    panel: Axes = figure.subplots()
    models = sorted(job.glob("run_it*_half1_model.star"))[1:]
    for place, path in enumerate(models):
        _draw_fsc(panel, read_star(path), mpl.colormaps["viridis"](place / len(models)), 0.9)
    _draw_fsc(panel, read_star(job / "run_model.star"), MARK, 1.8)
    panel.axhline(0.143, color=INK, lw=0.6, ls=":")
    panel.set(xlabel="Spatial frequency (1/Å)", ylabel="FSC", ylim=(-0.05, 1.02))
    save(figure, "betagal-fsc")


def _draw_fsc(panel: Axes, star: Star, colour: object, width: float) -> None:
    table = star["model_class_1"]
    panel.plot(
        table["rlnSpectralIndex"] * 1.0 / (64 * 3.54),
        table["rlnGoldStandardFsc"],
        color=colour,
        lw=width,
    )


# ------------------------------------------------------------------------------------ apoferritin


def apoferritin(project: Path) -> None:
    """Make the pictures of apoferritin, and say how the picks compare with those of people."""
    _spectra(project)
    _picks(project, 3, "apoferritin-log")
    _picks(project, 7, "apoferritin-template")
    draw_classes_of(project / "Class2D/job009/run_it025", "apoferritin-classes", 3)
    for job in (3, 7):
        recall, precision = agreement(project, picks_of(project, job))
        print(f"AutoPick/job{job:03d}: recall {recall:.3f}, precision {precision:.3f}")


def _spectra(project: Path) -> None:
    figure = Figure(figsize=(7, 2.5), layout="constrained")
    files = sorted((project / "CtfFind/job002/Micrographs").glob("*.ctf"))
    for panel, path in zip(figure.subplots(1, len(files)), files, strict=True):
        _spectrum(panel, path)
    save(figure, "apoferritin-ctf")


def _spectrum(panel: Axes, path: Path) -> None:
    """Draw the diagnostic image of a fit, to 6 Å."""
    show(panel, read_image(path)[128:-128, 128:-128], path.stem, 1)


def _micrographs(project: Path) -> list[Path]:
    return sorted((project / "Micrographs").glob("*.mrc"))


def picks_of(project: Path, job: int) -> dict[str, NDArray[np.float64]]:
    """Return the picks of each micrograph, x y in pixels."""
    node = f"AutoPick/job{job:03d}/autopick.star"
    names = [path.relative_to(project).as_posix() for path in _micrographs(project)]
    return {
        Path(name).name: np.stack([table["rlnCoordinateX"], table["rlnCoordinateY"]], 1)
        for name, table in read_coordinates(project / node, project, names)
    }


def _picks(project: Path, job: int, name: str) -> None:
    """Draw the picks of the first micrograph."""
    figure = Figure(figsize=(5, 4.8), layout="constrained")
    _draw_picks(figure.subplots(), project, job)
    save(figure, name)


def _draw_picks(panel: Axes, project: Path, job: int) -> None:
    path = _micrographs(project)[0]
    draw_picks(panel, read_image(path), picks_of(project, job)[path.name], WIDTH_PX)


def agreement(project: Path, found: dict[str, NDArray[np.float64]]) -> tuple[float, float]:
    """Return recall and precision of picks, with those of people as the truth."""
    counts = np.zeros(4)
    for path in _micrographs(project):
        height, width = read_image(path).shape
        csv = data_folder() / f"micrographs/apoferritin_10146/{path.stem}.bin_avg.png-points.csv"
        people = np.loadtxt(csv, delimiter=",")
        people[:, 1] = height - 1 - people[:, 1]  # they count rows from the top
        ours = found[path.name]
        of_people = np.asarray(cKDTree(ours).query(people)[0])
        of_ours = np.asarray(cKDTree(people).query(ours)[0])
        size = np.array([width, height])
        inside = [((p > EDGE_PX) & (p < size - EDGE_PX)).all(1) for p in (people, ours)]
        counts += [
            int((of_people[inside[0]] < NEAR_PX).sum()), int(inside[0].sum()),
            int((of_ours[inside[1]] < NEAR_PX).sum()), int(inside[1].sum()),
        ]  # fmt: skip
    return float(counts[0] / counts[1]), float(counts[2] / counts[3])


# --------------------------------------------------------------------------------------- judging


def judging(project: Path) -> None:
    """Make the pictures of right results beside wrong ones."""
    figure = Figure(figsize=(6, 3.1), layout="constrained")
    for panel, end in zip(figure.subplots(1, 2), ("", "_one_frame"), strict=True):
        _spectrum(panel, project / f"CtfFind/job002/Micrographs/May08_07.10.35{end}.ctf")
    save(figure, "judging-ctf")
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    for panel, job in zip(figure.subplots(1, 2), (3, 4), strict=True):
        _draw_picks(panel, project, job)
    save(figure, "judging-picks")
    figure = Figure(figsize=(7, 2.9), layout="constrained")
    panels = figure.subplots(2, 6)
    for row, folder in zip(panels, ("job007", "job008"), strict=True):
        draw_classes(list(row), project / f"Class2D/{folder}/run_it025")
    save(figure, "judging-classes")
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, folder in zip(panels, ("job012", "job013"), strict=True):
        draw_masked_fsc(panel, read_star(project / f"PostProcess/{folder}/postprocess.star"))
    save(figure, "judging-mask")


WALKS: dict[str, Callable[[Path], None]] = {
    "betagal": betagal,
    "apoferritin": apoferritin,
    "judging": judging,
    "simulated": simulated,
}

if __name__ == "__main__":
    raise SystemExit(main())
