"""Make the pictures of docs/pictures.md: `python tools/make_pictures.py` (a minute or two).

Everything in them is simulated by `vitreous simulate` from the coordinates that are shipped, in a
temporary folder; only the PNG files are kept.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from scipy import fft, ndimage

from vitreous.io import open_movie, read_image, read_mrc, read_star
from vitreous.programs import simulate
from vitreous.testing.simulate import density
from vitreous.testing.simulate.contrast import Microscope, transfer
from vitreous.testing.simulate.projection import Camera, project
from vitreous.testing.simulate.rotations import matrices
from vitreous.testing.simulate.specimens import Inputs, read_states

OUT = Path(__file__).resolve().parent.parent / "docs" / "pictures"
VIEWS = ((0.0, 90.0, 0.0), (90.0, 90.0, 0.0), (0.0, 0.0, 0.0), (30.0, 60.0, 20.0))


def main() -> None:
    """Make all pictures."""
    OUT.mkdir(exist_ok=True)
    plt.rcParams.update({"font.size": 9, "image.cmap": "gray", "figure.dpi": 100})
    with tempfile.TemporaryDirectory() as scratch:
        slices()
        projections()
        micrograph(Path(scratch))
        movie(Path(scratch))
    for path in sorted(OUT.glob("*.png")):
        print(f"{path.relative_to(OUT.parents[1])}: {path.stat().st_size / 1024:.0f} KB")


def slices() -> None:
    """Central slices of the density, and its projections along the same axes."""
    (state,), _ = read_states(Inputs(), 300.0, needs_units=True)
    volume = density.density_map(state.scatterers, 128, 1.6)
    smooth = ndimage.gaussian_filter(volume, 0.8)
    figure, axes = plt.subplots(2, 3, figsize=(7.2, 5.0))
    for column, (axis, name) in enumerate(zip((0, 1, 2), "zyx", strict=True)):
        show(axes[0, column], np.take(smooth, 64, axis), f"slice across {name}")
        show(axes[1, column], volume.sum(axis), f"projection along {name}")
    save(figure, "slices")


def projections() -> None:
    """Projections of one molecule: bare, and as an electron microscope shows them."""
    (state,), _ = read_states(Inputs(), 300.0, needs_units=True)
    camera = Camera(256, 1.5)
    waves = project(state.scatterers, matrices(np.array(VIEWS)), np.zeros((4, 2)), camera)
    kx, ky = camera.frequencies()
    rows = [("no CTF", waves)]
    for defocus in (6000.0, 20000.0):
        ctf = transfer(Microscope(), kx, ky, np.array([[defocus, defocus, 0.0]]))
        rows.append((f"defocus {defocus / 1e4:.1f} µm", waves * ctf))
    noise = np.random.default_rng(0).normal(size=(4, 256, 256))
    image = density.to_image(rows[2][1])
    figure, axes = plt.subplots(4, 4, figsize=(6.4, 7.0))
    for row, (name, one) in enumerate(rows):
        for column, picture in enumerate(density.to_image(one)):
            show(axes[row, column], -picture[32:224, 32:224], name if column == 0 else "")
    for column in range(4):
        noisy = -image[column] + noise[column] * 3 * image.std()
        blurred = ndimage.gaussian_filter(noisy, 1.0)[32:224, 32:224]
        show(axes[3, column], blurred, "2.0 µm and noise" if column == 0 else "")
    save(figure, "projections")


def micrograph(scratch: Path) -> None:
    """Show a micrograph beside its clean version, and its power spectrum."""
    folder = scratch / "micrographs"
    run("micrographs", folder, "--n", 1, "--angpix", 1.5, "--size", 1024, 1024, "--particles", 45,
        "--defocus", 17000, 17000, "--dose", 45, "--carbon", 0.12, "--contamination", 1,
        "--astigmatism", 900, "--random_seed", 4)  # fmt: skip
    image = read_image(str(folder / "Micrographs/mic00001.mrc")).data
    clean = read_image(str(folder / "truth/mic00001_clean.mrc")).data
    small = [ndimage.zoom(ndimage.gaussian_filter(i, 1.2), 0.5, order=1) for i in (image, -clean)]
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 4.1))
    show(axes[0], small[0], "simulated micrograph, 45 e/Å², 1.7 µm")
    show(axes[1], small[1], "the same without ice, film, damage and noise")
    save(figure, "micrograph")
    tiles = [image[y : y + 512, x : x + 512] for y in (0, 256, 512) for x in (0, 256, 512)]
    window = np.hanning(512)[:, None] * np.hanning(512)
    power = sum(np.abs(fft.fft2((tile - tile.mean()) * window)) ** 2 for tile in tiles)
    rings = np.log(ndimage.gaussian_filter(fft.fftshift(power), 1.0))[96:416, 96:416]
    y, x = np.indices(rings.shape) - 160
    shell = np.hypot(x, y).round().astype(int)
    mean = np.bincount(shell.ravel(), rings.ravel()) / np.bincount(shell.ravel())
    figure, axes = plt.subplots(1, 1, figsize=(3.0, 3.2))
    show(axes, rings - ndimage.uniform_filter1d(mean, 31)[shell], "power spectrum: Thon rings")
    save(figure, "thon_rings")


def movie(scratch: Path) -> None:
    """One frame, the sums with and without its motion, and the motion."""
    folder = scratch / "movies"
    run("movies", folder, "--n", 1, "--angpix", 2, "--size", 512, 512, "--particles", 14,
        "--frames", 24, "--dose_per_frame", 2, "--drift", 45, "--local_motion", 8,
        "--defocus", 15000, 15000, "--ice", 300, "--random_seed", 3)  # fmt: skip
    gain = read_mrc(folder / "gain.mrc")[0][0]
    with open_movie(folder / "Movies/movie00001.tiff") as opened:
        frames = opened.frames().astype(np.float32) * gain
    middle = np.median(frames)
    bad = (gain == 0) | (frames.mean(0) > 2 * middle) | (frames.sum(0) == 0)
    frames[:, bad] = np.random.default_rng(0).poisson(middle, (len(frames), int(bad.sum())))
    shifts = read_star(folder / "truth/movie00001_motion.star")["global_shift"]
    along = [np.asarray(shifts[f"rlnMicrographShift{axis}"]) for axis in "XY"]
    kx, ky = fft.rfftfreq(512)[None], fft.fftfreq(512)[:, None]
    aligned = sum(
        fft.irfft2(fft.rfft2(frame) * np.exp(-2j * np.pi * (kx * x + ky * y)))
        for frame, x, y in zip(frames, *along, strict=True)
    )
    figure, axes = plt.subplots(2, 2, figsize=(6.4, 6.7))
    show(axes[0, 0], frames[0], "one frame, 2 e/Å²")
    for axis, image, name in (
        (axes[0, 1], frames.sum(0), "sum of 24 frames as they are"),
        (axes[1, 0], aligned, "sum with the true motion taken out"),
    ):
        show(axis, ndimage.gaussian_filter(image, 1.0), name)
    plot = axes[1, 1]
    tracks = read_star(folder / "truth/movie00001_tracks.star")
    for number in range(tracks["general"].value("rlnParticleNumber")):
        track = tracks[str(number)]
        plot.plot(track["rlnOriginXAngst"], track["rlnOriginYAngst"], lw=0.8, color="tab:blue")
    plot.plot(-2 * along[0], -2 * along[1], "o-", ms=3, lw=1.2, color="black", label="drift")
    plot.plot([], [], lw=0.8, color="tab:blue", label="particles")
    plot.set(xlabel="x (Å)", ylabel="y (Å)", title="motion from the first frame on")
    plot.set_aspect("equal", "datalim")
    plot.legend(frameon=False)
    save(figure, "movie")


def run(what: str, folder: Path, *flags: object) -> None:
    """Run the simulator, or stop."""
    if simulate.main([what, "--o", str(folder), *map(str, flags)]):
        raise SystemExit(1)


def show(axes: Axes, image: np.ndarray, title: str) -> None:
    """Show an image as microscopists do: first row below, contrast cut at the extremes."""
    low, high = np.percentile(image, [0.3, 99.7])
    axes.imshow(image, origin="lower", vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure as a PNG of 32 colours, which quarters its size."""
    from PIL import Image

    figure.tight_layout(pad=1.0, h_pad=1.2)
    path = OUT / f"{name}.png"
    figure.savefig(path, metadata={"Software": ""})
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(32, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
