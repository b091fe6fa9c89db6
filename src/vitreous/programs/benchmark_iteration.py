"""One iteration of refinement at different resolutions and samplings, per particle.

Both programs run one iteration of 3D classification with one class on the same files from the same
map, twice: with few particles and with many. The difference is what particles cost, with reading
and everything else that grows with them; start-up and reconstruction drop out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.errors import EnvironmentMissing
from vitreous.io import read_star, write_star
from vitreous.programs.benchmark_refine import CORES, KNOWN, timed

BOX_PX, PIXEL_A, DIAMETER_A, SNR = 128, 1.5, 130.0, 0.08
STEPS = {2: "7.5 degrees", 3: "3.7 degrees", 5: "0.9 degrees"}
_FEW = 50


@dataclass(frozen=True)
class Case:
    """One iteration.

    Parameters
    ----------
    name
        What the table calls it.
    low_pass_A
        Of the reference, which tells the size of the images.
    order
        HEALPix order of the first pass; the second is one finer.
    n, relion_few, relion_n
        Particles of the larger run of ours, and of the two runs of RELION.
    is_local
        Search around the true poses (deviation 1.8 degrees) only.
    """

    name: str
    low_pass_A: float
    order: int
    n: int
    relion_few: int
    relion_n: int
    is_local: bool = False


CASES = (
    Case("40 Å, order 2", 40, 2, 1000, 5, 30),
    Case("15 Å, order 2", 15, 2, 4000, 10, 100),
    Case("8 Å, order 2", 8, 2, 4000, 10, 100),
    Case("15 Å, order 3", 15, 3, 4000, 5, 20),
    Case("8 Å, local, order 5", 8, 5, 4000, 10, 60, is_local=True),
)


def run(against: str | None = None, cases: Sequence[Case] = CASES) -> dict[str, Any]:
    """Measure; with ``against="relion"`` also RELION on the same files."""
    if against and shutil.which("relion_refine") is None:
        message = "RELION is not installed (apt-get install relion)"
        raise EnvironmentMissing(message)
    rows = []
    with tempfile.TemporaryDirectory(prefix="vitreous-benchmark-") as name:
        folder = Path(name)
        _simulate(folder, max(case.n for case in cases))
        for case in cases:
            rows.append(_measure(folder, case, against))
            shutil.rmtree(folder / "Class3D")
    return {
        "unit": "ms a particle, wall time and processor time",
        "cores": CORES,
        "data": f"simulated, box {BOX_PX}, {PIXEL_A} Å, SNR {SNR}, one asymmetric chain",
        "matrix_product_gflop_per_s": round(product_rate()),
        "rows": rows,
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Return the result as a table, with the command lines below."""
    yield "                          ours           RELION         ratio"
    yield "case                 wall    core    wall    core    wall  core  first pass, GFLOP/s"
    for row in result["rows"]:
        theirs = row.get("relion", {"wall_ms": float("nan"), "core_ms": float("nan")})
        ours = row["vitreous"]
        times = (ours["wall_ms"], ours["core_ms"], theirs["wall_ms"], theirs["core_ms"])
        shown = "".join(f"{value:8.2f}" for value in times)
        yield (
            f"{row['case']:18} {shown} {row.get('ratio', 0):7.0f} {row.get('core_ratio', 0):5.0f}  "
            f"{row['first_pass_gflop_per_s']:.0f}"
        )
    yield (
        "GFLOP/s are those of scores made one by one; the same process multiplies matrices at "
        f"{result['matrix_product_gflop_per_s']}."
    )
    for row in result["rows"]:
        for program in ("vitreous", "relion"):
            if program in row:
                yield f"{program}, {row['case']}: {row[program]['command']}"


def product_rate(n: int = 1536, repeats: int = 5) -> float:
    """Return the GFLOP/s of the best of some float32 matrix products on all cores."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    best = 0.0
    for _ in range(repeats):
        began = time.perf_counter()
        a @ b
        best = max(best, 2 * n**3 / (time.perf_counter() - began) / 1e9)
    return best


def _simulate(folder: Path, n: int) -> None:
    chain = resources.files("vitreous.data") / "5a1a_chain_a.cif.gz"
    _vitreous(
        folder, "simulate", "particles", "--o", "sim", "--n", str(n), "--angpix", str(PIXEL_A),
        "--box_size", str(BOX_PX), "--snr", str(SNR), "--offset", "4", "--random_seed", "7",
        "--j", str(CORES), "--i", str(chain),
    )  # fmt: skip
    _vitreous(folder, "init", ".")
    _vitreous(folder, "reconstruct", "--i", "sim/particles.star", "--o", "start.mrc", "--ctf")


def _vitreous(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "vitreous", *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def _measure(folder: Path, case: Case, against: str | None) -> dict[str, Any]:
    few = _ours(folder, case, _FEW)
    many = _ours(folder, case, case.n)
    row: dict[str, Any] = {
        "case": case.name,
        "vitreous": _slope(few, many, case.n - _FEW),
        "first_pass_gflop_per_s": _first_pass_rate(folder),
    }
    if against:
        few = _theirs(folder, case, case.relion_few)
        many = _theirs(folder, case, case.relion_n)
        row["relion"] = _slope(few, many, case.relion_n - case.relion_few)
        row["ratio"] = round(row["relion"]["wall_ms"] / row["vitreous"]["wall_ms"], 1)
        row["core_ratio"] = round(row["relion"]["core_ms"] / row["vitreous"]["core_ms"], 1)
    return row


def _slope(few: dict[str, Any], many: dict[str, Any], n: int) -> dict[str, Any]:
    return {
        "wall_ms": round(1000 * (many["wall_s"] - few["wall_s"]) / n, 3),
        "core_ms": round(1000 * (many["core_s"] - few["core_s"]) / n, 3),
        "particles": n,
        "command": many["command"],
    }


def _particles(folder: Path, case: Case, n: int) -> str:
    name = f"{'posed' if case.is_local else 'blind'}{n}.star"
    star = read_star(folder / "sim/particles.star")
    table = star["particles"].select(np.arange(n))
    if not case.is_local:
        table = table.without(*[column for column in KNOWN if column in table])
    write_star(folder / name, [star["optics"], table])
    return name


def _ours(folder: Path, case: Case, n: int) -> dict[str, Any]:
    options = [
        f"particles={_particles(folder, case, n)}", "map=start.mrc", "is_absolute_greyscale=Yes",
        f"initial_low_pass_A={case.low_pass_A:g}", f"mask_diameter_A={DIAMETER_A:g}",
        "n_iterations=1", f"angular_sampling={STEPS[case.order]}", "shift_range_px=5",
        "shift_step_px=1", f"n_threads={CORES}", "other_args=--random_seed 1",
    ]  # fmt: skip
    if case.is_local:
        options += ["search_locally=Yes", "local_range_deg=5.4"]
    made = [sys.executable, "-m", "vitreous", "run", "class3d", *options, "--schedule"]
    before = set(folder.glob("Class3D/job*"))
    subprocess.run(made, cwd=folder, check=True, capture_output=True)
    job = (set(folder.glob("Class3D/job*")) - before).pop()
    execute = [sys.executable, "-m", "vitreous", "exec", f"Class3D/{job.name}/"]
    told = timed(execute, folder)
    return told | {"command": " ".join(["vitreous run class3d", *options])}


def _first_pass_rate(folder: Path) -> float:
    """Return operations of the scores of the first pass over its time, from the last job."""
    job = max(folder.glob("Class3D/job*"))
    last = json.loads((job / "history.json").read_text())[-1]
    return float(last["gflop"]["coarse"]) / max(float(last["seconds"]["coarse"]), 1e-9)


def _theirs(folder: Path, case: Case, n: int) -> dict[str, Any]:
    shutil.rmtree(folder / "relion", ignore_errors=True)
    (folder / "relion").mkdir()
    command = [
        "relion_refine", "--i", _particles(folder, case, n), "--o", "relion/run", "--ref",
        "start.mrc", "--ini_high", f"{case.low_pass_A:g}", "--iter", "1", "--K", "1", "--sym", "C1",
        "--ctf", "--particle_diameter", f"{DIAMETER_A:g}", "--flatten_solvent", "--zero_mask",
        "--norm", "--scale", "--oversampling", "1", "--healpix_order", str(case.order),
        "--offset_range", "5", "--offset_step", "2", "--pad", "2", "--pool", "30",
        "--tau2_fudge", "4", "--skip_gridding", "--j", str(CORES), "--random_seed", "1",
        "--dont_combine_weights_via_disc",
    ]  # fmt: skip
    if case.is_local:
        command += ["--sigma_ang", "1.8"]
    return timed(command, folder)
