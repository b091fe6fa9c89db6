"""`vitreous benchmark`: time parts of vitreous, side by side with RELION where that is asked."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from vitreous import __version__
from vitreous.errors import EnvironmentMissing, InputError
from vitreous.programs import (
    benchmark_ctf,
    benchmark_extract,
    benchmark_gui,
    benchmark_iteration,
    benchmark_motion,
    benchmark_picking,
    benchmark_post,
    benchmark_projection,
    benchmark_reconstruction,
    benchmark_refine,
)
from vitreous.programs.tool import report

NAMES = {
    "ctf": "CTF estimation: errors on simulated micrographs, seconds for each",
    "extract": "particles cut out of micrographs, per micrograph, beside the disk's rate",
    "gui": "the web server: 2,000 jobs, idling, 500 thumbnails; its pages in Chromium",
    "iteration": "one iteration of refinement at five samplings, per particle",
    "motion": "movies aligned and added up: seconds for each, and the error of the motion",
    "picking": "blobs and templates in micrographs, seconds and quality",
    "post": "half-maps to a sharpened map and local resolution: seconds and memory",
    "projection": "slices of a volume: taking them and inserting them, per pixel",
    "refine": "whole refinements, and what they reach against the truth",
    "reconstruction": "a map from particles, and particles from a map, per image",
}


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return report("benchmark", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> list[str]:
    """Measure, write the JSON result, and return what to print."""
    if arguments.name is None:
        return [f"{name:16}{text}" for name, text in NAMES.items()]
    _check_card(arguments.name, arguments.gpu)
    result: dict[str, Any] = {
        "benchmark": arguments.name,
        "version": __version__,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    if arguments.name == "projection":
        result |= benchmark_projection.run()
        lines = list(benchmark_projection.lines(result))
    elif arguments.name == "refine":
        result |= benchmark_refine.run(against=arguments.against, gpu_ids=arguments.gpu)
        lines = list(benchmark_refine.lines(result))
    elif arguments.name == "iteration":
        result |= benchmark_iteration.run(against=arguments.against)
        lines = list(benchmark_iteration.lines(result))
    elif arguments.name == "picking":
        result |= benchmark_picking.run(against=arguments.against)
        lines = list(benchmark_picking.lines(result))
    elif arguments.name == "post":
        result |= benchmark_post.run(against=arguments.against)
        lines = list(benchmark_post.lines(result))
    elif arguments.name == "ctf":
        result |= benchmark_ctf.run()
        lines = list(benchmark_ctf.lines(result))
    elif arguments.name == "extract":
        result |= benchmark_extract.run(against=arguments.against)
        lines = list(benchmark_extract.lines(result))
    elif arguments.name == "gui":
        result |= benchmark_gui.run()
        lines = list(benchmark_gui.lines(result))
    elif arguments.name == "motion":
        result |= benchmark_motion.run(against=arguments.against)
        lines = list(benchmark_motion.lines(result))
    else:
        result |= benchmark_reconstruction.run(against=arguments.against)
        lines = list(benchmark_reconstruction.lines(result))
    text = json.dumps(result, indent=1)
    if arguments.o:
        Path(arguments.o).write_text(text + "\n")
    return [text] if arguments.json else lines


def _check_card(name: str, gpu_ids: str | None) -> None:
    """Refuse a graphics card where it would not be used, or where there is none."""
    if gpu_ids is None:
        return
    if name != "refine":
        raise InputError(f"--gpu is for the benchmark refine; {name} runs on the processor")
    if not torch.cuda.is_available():
        raise EnvironmentMissing("No graphics card that torch can use is there; leave --gpu out")


def machine() -> dict[str, Any]:
    """Describe the machine that a figure comes from."""
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vitreous benchmark", description=__doc__)
    parser.add_argument("name", nargs="?", choices=list(NAMES), help="what to measure")
    parser.add_argument("--against", choices=["relion"], help="run this program on the same input")
    parser.add_argument(
        "--gpu", nargs="?", const="", metavar="IDS",
        help="refine on graphics cards, numbered as in jobs; any where no numbers are given",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--o", metavar="FILE", help="write the result as JSON to this file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
