#!/usr/bin/env python3
"""Pick particles as bright or dark blobs: a worked example of an External job.

In the form of an External job give this file as the program, a micrographs STAR file as input,
and as parameters for instance `diameter 150`, `threshold 3` and `denoise_first`. The job then
runs, in the project folder,

    pick_particles.py --o External/job006/ --in_mics CtfFind/job005/micrographs_ctf.star
        --diameter 150 --threshold 3 --denoise_first --j 4

What every program must do to be a job is marked with RULE below. The picking itself is simple
on purpose: each micrograph is filtered so that blobs of the wanted diameter stand out, and
peaks above the threshold are taken.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mrcfile
import numpy as np

import vitreous

NAME = "blobs"  # picks of M/mic.mrc go to <job>/M/mic_blobs.star
PIXELS_ACROSS = 16  # a particle is this many pixels wide in the image that is searched


def main() -> int:
    """Run the job and leave the marker that tells how it ended."""
    options = parse_arguments(sys.argv[1:])
    job = Path(options.o)
    # RULE: all output goes below --o; the working directory is the project folder.
    job.mkdir(parents=True, exist_ok=True)
    try:
        finished = run(options, job)
    except Exception:
        # RULE: a job that failed may say so; the traceback goes to the job's run.err.
        (job / "RELION_JOB_EXIT_FAILURE").touch()
        raise
    # RULE: a job that is done makes this empty file. The exit code is not looked at.
    (job / ("RELION_JOB_EXIT_SUCCESS" if finished else "RELION_JOB_EXIT_ABORTED")).touch()
    return 0


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line that the job makes from its form."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--o", required=True, help="job folder")
    parser.add_argument("--in_mics", required=True, help="micrographs STAR file")
    parser.add_argument("--diameter", type=float, default=150.0, help="of a particle, in A")
    parser.add_argument("--threshold", type=float, default=3.0, help="in standard deviations")
    parser.add_argument("--denoise_first", action="store_true", help="blur the finest detail")
    parser.add_argument("--white", action="store_true", help="particles are brighter than ice")
    parser.add_argument("--old_form", action="store_true", help="list picks as RELION 3.1 did")
    parser.add_argument("--j", type=int, default=1, help="threads")
    # RULE: take no offence at arguments that are not yours.
    options, _ = parser.parse_known_args(words)
    return options


def run(options: argparse.Namespace, job: Path) -> bool:
    """Pick in all micrographs; return False where somebody asked to stop."""
    micrographs = read_micrographs(options.in_mics)
    print(f"Picking in {len(micrographs)} micrographs", flush=True)
    todo = [one for one in micrographs if not place_of_picks(job, one[0]).exists()]
    n_done = len(micrographs) - len(todo)
    if n_done:
        print(f"{n_done} of them are done already", flush=True)
    with ThreadPoolExecutor(options.j) as pool:
        for start in range(0, len(todo), options.j):
            # RULE: where this file appears, stop and remove it. What is finished is kept.
            if (job / "RELION_JOB_ABORT_NOW").exists():
                (job / "RELION_JOB_ABORT_NOW").unlink()
                print(f"Stopped on request: {n_done} micrographs are done", flush=True)
                return False
            batch = todo[start : start + options.j]
            for line in pool.map(lambda one: pick_one(*one, options, job), batch):
                n_done += 1
                print(f"  {n_done} of {len(micrographs)}: {line}", flush=True)
    list_picks(job, [name for name, _ in micrographs], options)
    return True


def read_micrographs(path: str) -> list[tuple[str, float]]:
    """Return name and pixel size (A) of each micrograph."""
    star = vitreous.read_star(path)
    optics, table = star["optics"], star["micrographs"]
    sizes = dict(zip(optics["rlnOpticsGroup"], optics["rlnMicrographPixelSize"], strict=True))
    rows = zip(table["rlnMicrographName"], table["rlnOpticsGroup"], strict=True)
    return [(str(name), float(sizes[group])) for name, group in rows]


def pick_one(name: str, pixel_size_A: float, options: argparse.Namespace, job: Path) -> str:
    """Pick in one micrograph and write its picks; a bad one is told and left out."""
    try:
        with mrcfile.open(name, permissive=True) as file:
            image = np.asarray(file.data, dtype=np.float32)
        diameter_px = options.diameter / pixel_size_A
        picks = find_blobs(
            image if options.white else -image,
            diameter_px,
            options.threshold,
            denoise=options.denoise_first,
        )
    except (OSError, ValueError) as error:
        return f"{name}: left out ({error})"
    write_picks(place_of_picks(job, name), picks)
    return f"{name}: {len(picks)} picks"


def find_blobs(
    image: np.ndarray, diameter_px: float, threshold: float, *, denoise: bool = False
) -> np.ndarray:
    """Find bright blobs.

    Parameters
    ----------
    image
        (y, x), any unit.
    diameter_px
        Of a blob, in pixels.
    threshold
        Lowest score of a pick, in standard deviations of all scores.
    denoise
        Blur what is finer than a quarter of a blob first.

    Returns
    -------
    (n, 3) array
        x and y in pixels from the first pixel, and score; best first.
    """
    if min(image.shape) < 2 * diameter_px:
        raise ValueError(f"it is {image.shape}, and a particle is {diameter_px:.0f} px across")
    shape = np.minimum(image.shape, np.ceil(np.array(image.shape) * PIXELS_ACROSS / diameter_px))
    small = shrink(image - image.mean(), shape.astype(int))
    scale = np.array(image.shape) / small.shape
    # Gaussians as wide as a particle and as its surroundings; their difference sees blobs only.
    sigma = 0.25 * diameter_px / scale
    scores = blur(small, sigma) - blur(small, 2 * sigma)
    if denoise:
        scores = blur(scores, sigma / 2)
    scores = (scores - scores.mean()) / scores.std()
    return peaks(scores, threshold, PIXELS_ACROSS) * [scale[1], scale[0], 1.0]


def shrink(image: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Make an image smaller by leaving out its finest waves."""
    height, width = shape
    waves = np.fft.fft2(image)
    rows = np.fft.fftfreq(height, 1 / height).astype(int)
    columns = np.fft.fftfreq(width, 1 / width).astype(int)
    return np.fft.ifft2(waves[np.ix_(rows, columns)]).real


def blur(image: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Blur an image with a Gaussian of sigma (y, x) pixels."""
    y = np.fft.fftfreq(image.shape[0])[:, None] * sigma[0]
    x = np.fft.rfftfreq(image.shape[1])[None, :] * sigma[1]
    keep = np.exp(-2 * np.pi**2 * (y**2 + x**2))
    return np.fft.irfft2(np.fft.rfft2(image) * keep, s=image.shape)


def peaks(scores: np.ndarray, threshold: float, diameter_px: int) -> np.ndarray:
    """Return (x, y, score) of peaks above the threshold that do not overlap, best first."""
    edge = diameter_px // 2
    free = np.zeros(scores.shape, bool)
    free[edge:-edge, edge:-edge] = scores[edge:-edge, edge:-edge] > threshold
    found = []
    for place in np.argsort(scores, axis=None)[::-1]:
        y, x = np.unravel_index(place, scores.shape)
        if scores[y, x] <= threshold:
            break
        if free[y, x]:
            found.append((x, y, scores[y, x]))
            free[max(0, y - edge) : y + edge + 1, max(0, x - edge) : x + edge + 1] = False
    return np.array(found, dtype=float).reshape(-1, 3)


def place_of_picks(job: Path, micrograph: str) -> Path:
    """Return where picks belong: the folders of the micrograph, below this job's.

    RULE: `MotionCorr/job002/Movies/mic1.mrc` gives `External/job006/Movies/mic1_blobs.star`.
    """
    path = Path(micrograph)
    parts = list(path.parent.parts)
    if len(parts) > 1 and parts[1].startswith("job") and parts[1][3:].isdigit():
        parts = parts[2:]  # the job that made the micrograph
    return job.joinpath(*parts, f"{path.stem}_{NAME}.star")


def write_picks(path: Path, picks: np.ndarray) -> None:
    """Write the picks of one micrograph, whole or not at all."""
    labels = ["rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit"]
    rows = [f"{x:.2f} {y:.2f} {score:.4f}" for x, y, score in picks]
    write_table(path, "", labels, rows)


def list_picks(job: Path, micrographs: list[str], options: argparse.Namespace) -> None:
    """List the picks of all micrographs, and list that list as what this job made."""
    if options.old_form:
        # RULE (RELION 3.1): coords_suffix_NAME.star names the micrographs STAR file.
        node = job / f"coords_suffix_{NAME}.star"
        node.write_text(f"{options.in_mics}\n")
    else:
        # RULE (RELION 4 and 5): a table with the file of picks of each micrograph.
        node = job / f"{NAME}.star"
        made = [(name, place_of_picks(job, name)) for name in micrographs]
        rows = [f"{name} {picks}" for name, picks in made if picks.exists()]
        labels = ["rlnMicrographName", "rlnMicrographCoordinates"]
        write_table(node, "coordinate_files", labels, rows)
    # RULE: what the job made becomes part of the project through this file. RELION 3.1 reads
    # the number of a node's type, RELION 5 its label, and vitreous either.
    labels = ["rlnPipeLineNodeName", "rlnPipeLineNodeType", "rlnPipeLineNodeTypeLabel"]
    rows = [f"{node} 2 MicrographCoordsGroup.star.relion"]
    write_table(job / "RELION_OUTPUT_NODES.star", "output_nodes", labels, rows)


def write_table(path: Path, name: str, labels: list[str], rows: list[str]) -> None:
    """Write a STAR file with one table."""
    head = [f"_{label} #{number}" for number, label in enumerate(labels, start=1)]
    text = "\n".join(["", f"data_{name}", "", "loop_", *head, *rows, "", ""])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
