"""Local resolution by the ResMap program: its command, its links, its map."""

from __future__ import annotations

import os
import shlex

import torch

from vitreous.errors import ComputeError
from vitreous.io import read_volume
from vitreous.jobs.context import Run
from vitreous.jobs.localres import LocalRes
from vitreous.programs.half_maps import read_halves, read_mask
from vitreous.programs.localres_report import report
from vitreous.programs.outside import Outside


def run_resmap(options: LocalRes, run: Run) -> None:
    """Check the maps, run ResMap on links to them, show what it found."""
    halves = read_halves(run, options.half_map, "", options.pixel_size_A)
    mask = read_mask(run, options.mask, halves)
    for number, name in enumerate(halves.names, start=1):
        link = run.path / f"half{number}.mrc"
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(run.project / name, run.path))
    made = run.path / "half1_resmap.mrc"
    made.unlink(missing_ok=True)
    _call(command(options, run.folder), run)
    if not made.is_file():
        raise ComputeError(
            f"ResMap ended well but wrote no {run.folder}half1_resmap.mrc; see "
            f"{run.folder}resmap.log. Its version may name files in another way."
        )
    resolution_A = torch.from_numpy(read_volume(made).data)
    # ResMap marks what it found no resolution for with 100 Å.
    report(run, torch.where(resolution_A < 100, resolution_A, 0.0), mask)


def command(options: LocalRes, folder: str) -> list[str]:
    """Return the command line of ResMap, in the project folder."""
    return [
        options.resmap_program,
        f"--maskVol={options.mask}",
        "--noguiSplit",
        f"{folder}half1.mrc",
        f"{folder}half2.mrc",
        f"--vxSize={options.pixel_size_A:g}",
        f"--pVal={options.p_value:g}",
        f"--minRes={options.finest_A:g}",
        f"--maxRes={options.coarsest_A:g}",
        f"--stepRes={options.step_A:g}",
        *shlex.split(options.running.other_arguments),
    ]


def _call(words: list[str], run: Run) -> None:
    resmap = Outside(
        "ResMap",
        "Give its path as “ResMap program”, or use the built-in method, which needs no other "
        "program.",
        run.path / "resmap.log",
    )
    resmap.call(words, "Running ResMap", "maps", run)
