"""`vitreous image`: convert, filter, rescale and measure images, stacks and maps.

Options are those of relion_image_handler. What changes images acts on the result of what came
before it, in the order of the command line; what measures sees the final result.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch

from vitreous.engine import fourier
from vitreous.engine.turning import turned
from vitreous.errors import InputError
from vitreous.io import ImageRef, Table, format_ref, format_star, write_mrc
from vitreous.io.pictures import PICTURES
from vitreous.programs import image_files, image_output, image_reports, image_steps
from vitreous.programs.image_files import Unit
from vitreous.programs.image_options import REDUCTIONS, parser
from vitreous.programs.image_output import Output, counted
from vitreous.programs.image_steps import Pictures
from vitreous.programs.tool import report


@dataclass
class _Findings:
    """What the reports of all units found."""

    rows: dict[str, list[image_reports.Row]] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    written: list[str] = field(default_factory=list)


def main(argv: list[str]) -> int:
    """Read the command line, do what it says, return the exit code."""
    arguments = parser().parse_args(argv)
    return report("image", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> list[str]:
    """Do what the options say; return the lines to print."""
    _check(arguments)
    reduction = _reductions(arguments)
    if len(reduction) > 1:
        raise InputError(f"One of {' and '.join('--' + name for name in reduction)} at a time.")
    units = image_files.units(arguments)
    findings = _Findings()
    if reduction:
        lines = [_reduce(reduction[0], units, arguments, findings)]
    else:
        image_output.check_target(arguments, units)
        lines = _change(units, arguments, findings)
    return _printed(findings, lines, arguments)


def _reductions(arguments: argparse.Namespace) -> list[str]:
    return [name for name in REDUCTIONS if getattr(arguments, name)]


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what has no result, before anything is read."""
    changes = arguments.steps or _reductions(arguments)
    reports = [name for name in _reports() if getattr(arguments, name)]
    for name, value in arguments.steps:
        image_steps.check(name, value)
    if changes and not arguments.o:
        raise InputError("Images are to be changed but there is no --o to write them to.")
    if not arguments.o and not reports:
        raise InputError("Nothing to do: give --o, or something to measure such as --stats.")
    if arguments.angpix is not None and not 0 < arguments.angpix < float("inf"):
        raise InputError(f"--angpix is {arguments.angpix:g}; wanted a pixel size above 0.")


def _reports() -> tuple[str, ...]:
    return ("stats", "com", *image_reports.TABLES)


def _change(units: list[Unit], arguments: argparse.Namespace, findings: _Findings) -> list[str]:
    """Apply the steps to all units; write and measure the results."""
    outputs: list[Output] = []
    for target, parts in itertools.groupby(units, key=lambda unit: unit.target):
        if not target:
            for unit in parts:
                for _ in _changed(unit, arguments, findings):
                    pass
            continue
        with Output(target, arguments) as output:
            for unit in parts:
                for pictures in _changed(unit, arguments, findings):
                    output.write(pictures)
        outputs.append(output)
        findings.written += output.names
    lines = [output.told() for output in outputs]
    if outputs and arguments.i.endswith(".star") and not _are_pictures(outputs):
        findings.written.append(image_output.write_changed_star(arguments, outputs))
        lines.append(findings.written[-1])
    return lines


def _are_pictures(outputs: list[Output]) -> bool:
    return any(output.kind in PICTURES for output in outputs)


def _changed(unit: Unit, arguments: argparse.Namespace, findings: _Findings) -> Iterator[Pictures]:
    """Read a unit, apply the steps in their order, and measure the results."""
    permissive = arguments.stats or any(name == "remove_nan" for name, _ in arguments.steps)
    start = 0
    for pictures in image_files.batches(unit, arguments.angpix, permissive=permissive):
        changed = _stepped(pictures, arguments)
        _measure(changed, unit, start, arguments, findings)
        start += len(changed.data)
        yield changed


def _stepped(pictures: Pictures, arguments: argparse.Namespace) -> Pictures:
    for name, value in arguments.steps:
        pictures = image_steps.apply(pictures, name, value, arguments)
    return pictures


def _measure(
    pictures: Pictures,
    unit: Unit,
    start: int,
    arguments: argparse.Namespace,
    findings: _Findings,
) -> None:
    stop = start + len(pictures.data)
    indices = range(start, stop) if unit.indices0 is None else unit.indices0[start:stop]
    single = pictures.ndim == 3 or (len(indices) == 1 and unit.indices0 is None and start == 0)
    names = [
        unit.source if single else format_ref(ImageRef(unit.source, index)) for index in indices
    ]
    if arguments.stats:
        findings.rows.setdefault("stats", []).extend(image_reports.statistics(pictures, names))
    if arguments.com:
        findings.rows.setdefault("com", []).extend(image_reports.centres_of_mass(pictures, names))
    for name, make in image_reports.TABLES.items():
        if value := getattr(arguments, name):
            findings.tables.append(make(pictures, str(value)))


def _reduce(
    kind: str, units: list[Unit], arguments: argparse.Namespace, findings: _Findings
) -> str:
    """Write one result for many images: their mean, their mean amplitudes, or sums of frames."""
    if arguments.i.endswith(".star") and not image_files.is_one_file(arguments.o):
        raise InputError(f"--{kind} writes one image: give --o a name that ends in .mrc.")
    findings.written = [arguments.o]
    if kind == "avg_bin":
        return _bin_frames(units, arguments)
    psi_rad = image_files.in_plane_angles(arguments.i) if kind == "avg_ampl2_ali" else None
    total, number, pixel_size_A, ndim = torch.zeros(()), 0, 0.0, 2
    for unit in units:
        for pictures in _to_average(kind, unit, arguments):
            data, ndim = pictures.data, pictures.ndim
            if psi_rad is not None:
                data = turned(data, psi_rad[number : number + len(data)])
            if kind in _OF_TRANSFORMS:
                data = fourier.forward(data, ndim).abs()
                data = data if kind == "avg_ampl" else data.square()
            if number and data.shape[1:] != total.shape:
                raise InputError(f"{unit.source}: images of another size than the first ones.")
            total = total + data.double().sum(0)
            number, pixel_size_A = number + len(data), pictures.pixel_size_A
    mean = (total / number).float()
    if kind in _OF_TRANSFORMS:
        write_mrc(arguments.o, mean.numpy(), pixel_size_A)
        return f"{arguments.o}: {_OF_TRANSFORMS[kind]} of {counted(number)}"
    with Output(arguments.o, arguments) as output:
        output.write(_stepped(Pictures(mean[None], pixel_size_A), arguments))
    return f"{arguments.o}: mean of {counted(number)}"


_OF_TRANSFORMS = {
    "avg_ampl": "mean amplitudes",
    "avg_ampl2": "mean squared amplitudes",
    "avg_ampl2_ali": "mean squared amplitudes, turned to one in-plane angle,",
}


def _to_average(kind: str, unit: Unit, arguments: argparse.Namespace) -> Iterator[Pictures]:
    if kind == "average_all_movie_frames":
        return image_files.frames(unit, arguments.angpix)
    return image_files.batches(unit, arguments.angpix, permissive=False)


def _bin_frames(units: list[Unit], arguments: argparse.Namespace) -> str:
    """Write sums of every `--avg_bin` frames of a movie; what remains at the end is dropped."""
    if len(units) != 1 or arguments.i.endswith(".star"):
        raise InputError("--avg_bin works on one movie; give it with --i.")
    frames = list(image_files.batches(units[0], arguments.angpix, permissive=False))
    data = torch.cat([pictures.data for pictures in frames])
    if frames[0].ndim == 3:
        data = data[0]
    first = max(1, arguments.avg_first or 1)
    last = arguments.avg_last if arguments.avg_last and arguments.avg_last > 0 else len(data)
    data = data[first - 1 : last]
    n_bins = len(data) // arguments.avg_bin
    if n_bins == 0:
        raise InputError(
            f"{arguments.i}: {len(data)} frames from {first} to {last}, fewer than --avg_bin "
            f"{arguments.avg_bin}."
        )
    data = data[: n_bins * arguments.avg_bin]
    sums = data.reshape(n_bins, arguments.avg_bin, *data.shape[1:]).sum(1)
    with Output(arguments.o, arguments) as output:
        output.write(_stepped(replace(frames[0], data=sums), arguments))
    return f"{arguments.o}: {counted(n_bins)}, each the sum of {arguments.avg_bin} frames"


def _printed(findings: _Findings, written: list[str], arguments: argparse.Namespace) -> list[str]:
    if arguments.json:
        result: dict[str, object] = dict(findings.rows)
        result |= {table.name: image_reports.as_rows(table) for table in findings.tables}
        result["written"] = findings.written
        return [json.dumps(result)]
    lines = [image_reports.statistics_line(row) for row in findings.rows.get("stats", [])]
    lines += [image_reports.centre_line(row) for row in findings.rows.get("com", [])]
    lines += [format_star([table]).strip("\n") for table in findings.tables]
    return lines + written


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
