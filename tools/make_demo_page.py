"""Put a finished demonstration into docs/demo.md: what it printed, and pictures of what it found.

``vitreous demo FOLDER > LOG``, then ``python -m tools.make_demo_page FOLDER LOG``.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from vitreous import Project, read_star, read_volume
from vitreous.io import read_images
from vitreous.io.coordinates import read_coordinates

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

Image = npt.NDArray[np.floating]

DOCS = Path(__file__).resolve().parent.parent / "docs"
BETWEEN = re.compile(r"(<!-- session -->\n).*(<!-- end of session -->)", re.DOTALL)


def main() -> None:
    """Write the picture and the session."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("log", type=Path)
    options = parser.parse_args()
    project = Project(options.folder, read_only=True)
    figure, axes = plt.subplots(2, 2, figsize=(10, 9.4), layout="constrained")
    _micrograph(axes[0, 0], project)
    _classes(axes[0, 1], project)
    _slices(axes[1, 0], project)
    _curves(axes[1, 1], project)
    figure.savefig(DOCS / "pictures/demo.png", dpi=80)
    page = DOCS / "demo.md"
    said = options.log.read_text().replace(str(project.root), "demo").strip()
    size = json.loads((project.root / "demo.json").read_text())["size"]
    session = f"\n```text\n$ vitreous demo --size {size}\n{said}\n```\n\n"
    page.write_text(BETWEEN.sub(lambda m: m[1] + session + m[2], page.read_text()))


def _micrograph(axes: Axes, project: Project) -> None:
    table = read_star(project.job("aligned").outputs["micrographs"])["micrographs"]
    name = str(table["rlnMicrographName"][0])
    image = gaussian_filter(np.squeeze(read_volume(project.root / name).data).astype(float), 2)
    low, high = np.percentile(image, [1, 99])
    axes.imshow(image, cmap="gray", vmin=low, vmax=high)
    picks = dict(read_coordinates(project.job("picks").outputs["coordinates"], project.root))
    own = picks[name]
    axes.plot(own["rlnCoordinateX"], own["rlnCoordinateY"], "o", mfc="none", mec="lime", ms=17)
    axes.set_title("A motion-corrected micrograph and its picks")
    axes.set_axis_off()


def _classes(axes: Axes, project: Project) -> None:
    job = project.job("classes")
    table = read_star(next(iter(sorted(job.path.glob("*_model.star"))[-1:])))["model_classes"]
    names = [str(project.root / one) if "@" not in one else one.replace("@", f"@{project.root}/")
             for one in map(str, table["rlnReferenceImage"].tolist())]  # fmt: skip
    images = read_images(names)
    shares = np.asarray(table["rlnClassDistribution"], float)
    order = np.argsort(-shares)[:12]
    tiles = [_scaled(images[place]) for place in order]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 4)
    rows = [np.concatenate(tiles[at : at + 4], 1) for at in range(0, len(tiles), 4)]
    axes.imshow(np.concatenate(rows), cmap="gray")
    axes.set_title("Class averages, the largest first")
    axes.set_axis_off()


def _scaled(image: Image) -> Image:
    low, high = np.percentile(image, [0.5, 99.5])
    return np.clip((image - low) / max(high - low, 1e-9), 0, 1)


def _slices(axes: Axes, project: Project) -> None:
    sharpened = project.job("sharpened").path / "postprocess_masked.mrc"
    data = read_volume(sharpened).data
    middle = len(data) // 2
    three = [data[middle], data[:, middle], data[:, :, middle], data.sum(0)]
    tiles = [_scaled(one) for one in three]
    axes.imshow(np.concatenate([np.concatenate(tiles[:2], 1), np.concatenate(tiles[2:], 1)]),
                cmap="gray")  # fmt: skip
    axes.set_title("Three slices of the sharpened map, and its projection")
    axes.set_axis_off()


def _curves(axes: Axes, project: Project) -> None:
    found = json.loads((project.root / "demo.json").read_text())
    fsc = read_star(project.job("sharpened").path / "postprocess.star")["fsc"]
    axes.plot(
        fsc["rlnResolution"], fsc["rlnFourierShellCorrelationCorrected"], label="two half-maps"
    )
    curve = np.array(found["fsc_with_truth"])
    axes.plot(np.arange(len(curve)) * found["shell_per_A"], curve, label="map and molecule")
    for level in (0.143, 0.5):
        axes.axhline(level, color="0.7", lw=0.8)
    axes.set(xlabel="spatial frequency (1/Å)", ylabel="FSC", ylim=(-0.05, 1.05), title="FSC")
    axes.legend()


if __name__ == "__main__":
    main()
