"""A small project to extract from: three micrographs, two with picks, two optics groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vitreous.io import Table, write_mrc, write_star

PIXEL_A = 1.25
SHAPE = (220, 260)
MOVIES = "MotionCorr/job002/Movies"
PICKS = "AutoPick/job004/Movies"
N = 14


def micrograph(number: int) -> np.ndarray:
    """Return noise on a slope, with a spot of dirt."""
    rng = np.random.default_rng(number)
    image = rng.normal(100, 10, SHAPE) + np.linspace(0, 30, SHAPE[1])
    image[90:94, 120:124] += 300
    return image.astype(np.float32)


def coordinates(number: int) -> np.ndarray:
    """Return picks x y, the first three in a corner, in another, and on the dirt."""
    rng = np.random.default_rng(100 + number)
    places = rng.uniform((20, 20), (240, 200), (N, 2)).round(3)
    places[:3] = [[3.7, 5.2], [258.9, 217.99], [121.5, 92.5]]
    return places


def picks(number: int) -> Table:
    """Return the picks of a micrograph as a picking job writes them."""
    places = coordinates(number)
    rng = np.random.default_rng(200 + number)
    return Table.from_columns(
        "",
        {
            "rlnCoordinateX": places[:, 0],
            "rlnCoordinateY": places[:, 1],
            "rlnAutopickFigureOfMerit": rng.uniform(0, 1, N).round(4),
            "rlnClassNumber": np.arange(N) % 3,
            "rlnAnglePsi": np.full(N, -999.0),
            "rlnParticleSelectionType": np.arange(N) % 2 + 1,
        },
    )


def optics() -> Table:
    """Return two optics groups of micrographs."""
    return Table.from_columns(
        "optics",
        {
            "rlnOpticsGroupName": ["og-a", "og-b"],
            "rlnOpticsGroup": [1, 2],
            "rlnMicrographOriginalPixelSize": [PIXEL_A] * 2,
            "rlnVoltage": [300.0, 200.0],
            "rlnSphericalAberration": [2.7, 1.4],
            "rlnAmplitudeContrast": [0.1, 0.07],
            "rlnMicrographPixelSize": [PIXEL_A] * 2,
            "rlnBeamTiltX": [0.1, 0.2],
            "rlnBeamTiltY": [0.3, 0.4],
        },
    )


def make(root: Path) -> Path:
    """Write the project's files and return its folder."""
    for folder in (MOVIES, PICKS):
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = [f"{MOVIES}/m{number}.mrc" for number in (1, 2, 3)]
    for number, name in enumerate(names, start=1):
        write_mrc(root / name, micrograph(number), PIXEL_A)
    rows = Table.from_columns(
        "micrographs",
        {
            "rlnMicrographName": names,
            "rlnOpticsGroup": [1, 2, 1],
            "rlnDefocusU": [10000.0, 12000.0, 13000.0],
            "rlnDefocusV": [9500.0, 11000.0, 12500.0],
            "rlnDefocusAngle": [30.0, 40.0, 50.0],
            "rlnCtfFigureOfMerit": [0.1, 0.2, 0.3],
            "rlnCtfMaxResolution": [4.0, 5.0, 6.0],
        },
    )
    write_star(root / "micrographs.star", [optics(), rows])
    listed = []
    for number in (1, 2):
        path = f"{PICKS}/m{number}_autopick.star"
        write_star(root / path, [picks(number)])
        listed.append((names[number - 1], path))
    labels = ("rlnMicrographName", "rlnMicrographCoordinates")
    table = Table.from_rows("coordinate_files", labels, listed)
    write_star(root / "AutoPick/job004/autopick.star", [table])
    (root / "AutoPick/job004/coords_suffix_autopick.star").write_text("micrographs.star\n")
    return root
