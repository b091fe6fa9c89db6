"""What `vitreous image` measures and prints; nothing here changes an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch

from vitreous.engine import boxing, filtering, resolution
from vitreous.io import Table
from vitreous.programs.image_steps import Pictures, known_pixel_size, other_like

Row = dict[str, object]


def statistics(pictures: Pictures, names: Iterable[str]) -> list[Row]:
    """Return size, mean, standard deviation, least and largest value of each image."""
    rows: list[Row] = []
    for name, image in zip(names, pictures.data, strict=True):
        values = image.double()
        rows.append(
            {
                "name": name,
                "size_px": list(reversed(image.shape)),
                "mean": float(values.mean()),
                "stddev": float(values.std(correction=0)),
                "min": float(values.min()),
                "max": float(values.max()),
                "n_not_finite": int((~torch.isfinite(values)).sum()),
                "pixel_size_A": pictures.pixel_size_A,
            }
        )
    return rows


def statistics_line(row: Row) -> str:
    """Return the statistics of one image for people."""
    size = row["size_px"]
    sides = " x ".join(str(side) for side in size) if isinstance(size, list) else ""
    pixel = row["pixel_size_A"]
    text = (
        f"{row['name']}: {sides} px, mean {row['mean']:.6g}, stddev {row['stddev']:.6g}, "
        f"min {row['min']:.6g}, max {row['max']:.6g}, "
        + (f"{pixel:g} A/px" if pixel else "pixel size unknown")
    )
    bad = row["n_not_finite"]
    return f"{text}, {bad} pixels NaN or infinite" if bad else text


def centres_of_mass(pictures: Pictures, names: Iterable[str]) -> list[Row]:
    """Return the centre of the positive density of each image, from its origin."""
    return [
        {"name": name, "centre_px": list(boxing.centre_of_mass(image))}
        for name, image in zip(names, pictures.data, strict=True)
    ]


def centre_line(row: Row) -> str:
    """Return a centre of mass for people."""
    centre = row["centre_px"]
    parts = zip("xyz", centre, strict=False) if isinstance(centre, list) else ()
    return f"{row['name']}: centre of mass " + ", ".join(f"{a} {v:.3f} px" for a, v in parts)


def power_table(pictures: Pictures, _: str) -> Table:
    """Return the mean of |F|^2 by shell, over all images."""
    power = filtering.mean_power(pictures.data, pictures.ndim).double().mean(0)
    return _shell_table("power", pictures, {"rlnReferenceSpectralPower": power.numpy()})


def guinier_table(pictures: Pictures, _: str) -> Table:
    """Return ln of the mean |F| by 1 / d^2 up to Nyquist, over all images."""
    size = pictures.data.shape[-1]
    pixel_size_A = known_pixel_size(pictures, "guinier")
    mean = filtering.mean_amplitude(pictures.data, pictures.ndim).double().mean(0)
    amplitude = mean[: size // 2 + 1].numpy()
    frequency = np.arange(len(amplitude)) / (size * pixel_size_A)
    logarithm = np.log(amplitude, out=np.full(len(amplitude), -99.0), where=amplitude > 0)
    columns = {"rlnResolutionSquared": frequency**2, "rlnLogAmplitudesOriginal": logarithm}
    return Table.from_columns("guinier", columns)


def fsc_table(pictures: Pictures, other: str) -> Table:
    """Return the correlation with another image or map by shell."""
    reference = other_like(pictures, other)
    curves = torch.stack([resolution.fsc(i, reference, pictures.ndim) for i in pictures.data])
    return _shell_table("fsc", pictures, {"rlnFourierShellCorrelation": curves.mean(0).numpy()})


def _shell_table(name: str, pictures: Pictures, columns: dict[str, np.ndarray]) -> Table:
    size = pictures.data.shape[-1]
    box_A = size * known_pixel_size(pictures, name)
    shells = np.arange(size // 2 + 1)
    resolutions = np.array([box_A / shell if shell else 999.0 for shell in shells.tolist()])
    first = {
        "rlnSpectralIndex": shells,
        "rlnResolution": shells / box_A,
        "rlnAngstromResolution": resolutions,
    }
    return Table.from_columns(name, first | columns)


def as_rows(table: Table) -> list[Row]:
    """Return a table as plain values for JSON."""
    return [
        {
            label: (value if not isinstance(value, float) or math.isfinite(value) else None)
            for label, value in row.items()
        }
        for row in table.rows()
    ]


TABLES: dict[str, Callable[[Pictures, str], Table]] = {
    "power": power_table,
    "guinier": guinier_table,
    "fsc": fsc_table,
}
