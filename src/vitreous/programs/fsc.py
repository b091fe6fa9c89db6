"""`vitreous fsc`: Fourier shell correlation of two half maps, also inside a mask."""

from __future__ import annotations

import argparse
import json
import math
import sys

import numpy as np
import torch
from torch import Tensor

from vitreous.engine import masking, resolution
from vitreous.errors import InputError
from vitreous.io import Table, Volume, read_volume, write_star
from vitreous.programs.tool import finite, positive, report, star_name

_PIXEL_TOLERANCE = 0.01


def main(argv: list[str]) -> int:
    """Read the command line, do what it says, return the exit code."""
    arguments = _parser().parse_args(argv)
    return report("fsc", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> list[str]:
    """Correlate the two maps, write the STAR file if one was asked for, return what to print."""
    second = arguments.i2 or other_half(arguments.i)
    if arguments.n_random < 1:
        raise InputError(f"--n_random is {arguments.n_random}; wanted at least 1.")
    half1, half2, pixel_size_A = _halves(arguments.i, second, arguments.angpix)
    ndim = half1.ndim
    box_px = half1.shape[-1]
    mask = _mask(arguments, half1, pixel_size_A) if arguments.mask else None
    if mask is None or ndim == 2:
        masked = (half1, half2) if mask is None else (half1 * mask, half2 * mask)
        curves = resolution.FscCurves(resolution.fsc(*masked, ndim))
    else:
        generator = torch.Generator().manual_seed(arguments.seed)
        start = _start_shell(arguments.randomise_at, box_px, pixel_size_A)
        randomise = resolution.Randomising(start, n_sets=arguments.n_random)
        curves = resolution.fsc_curves(half1, half2, mask, generator, randomise=randomise)
        if curves.never_fell:
            _warn(
                "the unmasked curve never falls below 0.8; only the last shell was randomised. "
                "Give the resolution to randomise from with --randomise_at."
            )
    found_A = resolution.resolution_A(
        curves.best, box_px, pixel_size_A, arguments.threshold, interpolate=arguments.interpolate
    )
    tables = _tables(
        curves, found_A, (arguments.i, second, arguments.mask or ""), box_px, pixel_size_A
    )
    if arguments.o:
        write_star(arguments.o, tables)
    if arguments.json:
        return [json.dumps(_as_json(curves, found_A, arguments.threshold, box_px, pixel_size_A))]
    return _report(curves, found_A, arguments.threshold, box_px, pixel_size_A)


def other_half(path: str) -> str:
    """Return the name of the other half map: half1 and half2 exchanged in the file name."""
    folder, slash, name = path.rpartition("/")
    for one, other in (("half1", "half2"), ("half2", "half1")):
        if one in name:
            return f"{folder}{slash}{name.replace(one, other, 1)}"
    raise InputError(f"{path}: no half1 or half2 in the name; give the second map with --i2.")


def _halves(first: str, second: str, angpix: float | None) -> tuple[Tensor, Tensor, float]:
    volumes = read_volume(first), read_volume(second)
    shapes = [volume.data.shape for volume in volumes]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"{first} is {_size(shapes[0])} and {second} is {_size(shapes[1])} pixels; "
            "the two maps must have one size."
        )
    nz, ny, nx = shapes[0]
    if nx != ny or nz not in (1, nx):
        raise InputError(f"{first}: {_size(shapes[0])} pixels; wanted a cube, or one square image.")
    if np.array_equal(volumes[0].data, volumes[1].data):
        raise InputError(
            f"{first} and {second} hold the same map, so their correlation is 1 everywhere. "
            "Give the two half maps."
        )
    for name, volume in zip((first, second), volumes, strict=True):
        if np.ptp(volume.data) == 0:
            value = f"{volume.data.flat[0]:g}"
            raise InputError(f"{name}: all pixels are {value}; there is nothing to correlate.")
    half1, half2 = (torch.from_numpy(v.data[0] if nz == 1 else v.data) for v in volumes)
    return half1, half2, _pixel_size(volumes, (first, second), angpix)


def _pixel_size(
    volumes: tuple[Volume, Volume], names: tuple[str, str], angpix: float | None
) -> float:
    if angpix is not None:
        return angpix
    first, second = (volume.pixel_size_A for volume in volumes)
    if first <= 0:
        raise InputError(f"{names[0]}: no pixel size in its header; give one with --angpix.")
    if second > 0 and abs(first - second) > _PIXEL_TOLERANCE * first:
        raise InputError(
            f"{names[0]} has pixels of {first:g} A and {names[1]} of {second:g} A. "
            "Check the maps, or give the right pixel size with --angpix."
        )
    return first


def _mask(arguments: argparse.Namespace, half: Tensor, pixel_size_A: float) -> Tensor:
    path = arguments.mask
    volume = read_volume(path)
    mask = torch.from_numpy(volume.data)
    mask = mask[0] if half.ndim == 2 and len(mask) == 1 else mask
    if mask.shape != half.shape:
        raise InputError(
            f"{path}: a mask of {_size(tuple(mask.shape))} pixels, the maps have "
            f"{_size(tuple(half.shape))}."
        )
    off_A = abs(volume.pixel_size_A - pixel_size_A)
    known = volume.pixel_size_A > 0 and arguments.angpix is None
    if known and off_A > _PIXEL_TOLERANCE * pixel_size_A:
        raise InputError(
            f"{path}: a mask with pixels of {volume.pixel_size_A:g} A, the maps have "
            f"{pixel_size_A:g} A. Make the mask on the grid of the maps; if only a header is "
            "wrong, give the right pixel size with --angpix."
        )
    low, high = float(mask.min()), float(mask.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise InputError(f"{path}: values from {low:g} to {high:g}; a mask runs from 0 to 1.")
    if high <= 0:
        raise InputError(f"{path}: the mask is 0 everywhere.")
    if masking.touches_edge(mask, above=0.5):
        _warn(f"{path}: the mask touches the edge of the box; the masked curve may be wrong.")
    return mask


def _start_shell(resolution_A: float | None, box_px: int, pixel_size_A: float) -> int | None:
    if resolution_A is None:
        return None
    shell = int(box_px * pixel_size_A / resolution_A)
    if not 1 <= shell <= box_px // 2:
        raise InputError(
            f"--randomise_at {resolution_A:g} A is not between the box "
            f"({box_px * pixel_size_A:g} A) and Nyquist ({2 * pixel_size_A:g} A)."
        )
    return shell


def _tables(
    curves: resolution.FscCurves,
    found_A: float,
    names: tuple[str, str, str],
    box_px: int,
    pixel_size_A: float,
) -> list[Table]:
    """Return the tables of a STAR file, named as RELION's post-processing names them."""
    general: dict[str, list[object]] = {
        "rlnFinalResolution": [found_A if math.isfinite(found_A) else 999.0],
        "rlnUnfilteredMapHalf1": [names[0]],
        "rlnUnfilteredMapHalf2": [names[1]],
    }
    if names[2]:
        general["rlnMaskName"] = [names[2]]
    if curves.randomised_from:
        general["rlnRandomiseFrom"] = [box_px * pixel_size_A / curves.randomised_from]
    shells = np.arange(len(curves.unmasked))
    resolutions = resolution.shell_resolutions_A(box_px, pixel_size_A, len(shells)).numpy()
    columns: dict[str, object] = {
        "rlnSpectralIndex": shells,
        "rlnResolution": shells / (box_px * pixel_size_A),
        "rlnAngstromResolution": np.where(np.isfinite(resolutions), resolutions, 999.0),
    }
    columns |= {label: curve.numpy() for label, curve in _labelled(curves).items()}
    return [
        Table.from_columns("general", general, is_list=True),
        Table.from_columns("fsc", columns),
    ]


def _labelled(curves: resolution.FscCurves) -> dict[str, Tensor]:
    if curves.masked is None or curves.randomised is None or curves.corrected is None:
        return {"rlnFourierShellCorrelation": curves.unmasked}
    return {
        "rlnFourierShellCorrelationCorrected": curves.corrected,
        "rlnFourierShellCorrelationUnmaskedMaps": curves.unmasked,
        "rlnFourierShellCorrelationMaskedMaps": curves.masked,
        "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps": curves.randomised,
    }


def _as_json(
    curves: resolution.FscCurves,
    found_A: float,
    threshold: float,
    box_px: int,
    pixel_size_A: float,
) -> dict[str, object]:
    named = {
        "unmasked": curves.unmasked,
        "masked": curves.masked,
        "randomised": curves.randomised,
        "corrected": curves.corrected,
    }
    return {
        "resolution_A": found_A if math.isfinite(found_A) else None,
        "threshold": threshold,
        "pixel_size_A": pixel_size_A,
        "box_px": box_px,
        "randomised_from": curves.randomised_from or None,
        "fsc": {name: curve.tolist() for name, curve in named.items() if curve is not None},
    }


def _report(
    curves: resolution.FscCurves,
    found_A: float,
    threshold: float,
    box_px: int,
    pixel_size_A: float,
) -> list[str]:
    columns = list(_labelled(curves).values())
    heads = ["FSC"] if len(columns) == 1 else ["corrected", "unmasked", "masked", "randomised"]
    lines = ["shell  resolution" + "".join(f"{head:>12}" for head in heads)]
    for shell, size_A in enumerate(
        resolution.shell_resolutions_A(box_px, pixel_size_A, len(columns[0])).tolist()
    ):
        text = f"{size_A:.2f} A" if math.isfinite(size_A) else "-"
        values = "".join(f"{float(column[shell]):12.4f}" for column in columns)
        lines.append(f"{shell:5d}{text:>12}{values}")
    lines.append(f"Resolution at FSC {threshold:g}: {found_A:.2f} A")
    if resolution.resolution_shell(curves.best, threshold) == len(curves.best) - 1:
        lines[-1] += " (the curve never falls below: this is Nyquist)"
    return lines


def _warn(text: str) -> None:
    sys.stderr.write(f"vitreous fsc: warning: {text}\n")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in reversed(shape))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vitreous fsc",
        description="Fourier shell correlation of two half maps (or two images). Shells are "
        "counted as RELION counts them. With a mask, phases are randomised to take out the "
        "correlation that the mask itself makes.",
    )
    parser.add_argument("--i", required=True, help="half map 1 (MRC)")
    parser.add_argument("--i2", help="half map 2; by default the name with half1 and half2 swapped")
    parser.add_argument("--mask", help="mask from 0 to 1 (MRC)")
    parser.add_argument(
        "--angpix", type=positive, help="pixel size in A (default: from the header)"
    )
    parser.add_argument("--o", type=star_name, help="STAR file to write the curves to")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--threshold",
        type=finite,
        default=0.143,
        help="FSC that ends the resolution (default: 0.143)",
    )
    parser.add_argument(
        "--interpolate", action="store_true", help="resolution between two shells, by a line"
    )
    parser.add_argument(
        "--randomise_at",
        type=positive,
        metavar="A",
        help="randomise phases from this resolution on",
    )
    parser.add_argument("--n_random", type=int, default=1, help="sets of random phases (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the random phases (default 0)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
