"""Make the class ranker again: ``python -m tools.class_ranker STEP --work FOLDER``.

Steps, each of which does what is still missing:

``fetch``   download the archives that the molecules come from
``data``    simulate, pick, extract and classify every molecule, and measure the classes (hours)
``real``    classify and measure the real beta-galactosidase particles
``fit``     train on the tables of the training molecules, and write the weights
``test``    areas under the ROC curve of the held-out molecules, and the table that tests use
``all``     everything
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from tools.class_ranker import fit, molecules, real, simulate, table

from vitreous.engine.ranking.features import LEAST_PARTICLES
from vitreous.programs.class_ranker import WEIGHTS, read_network

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/class_ranker"
DATA = Path(os.environ.get("VITREOUS_TEST_DATA", ROOT.parent / "shared/data")) / "betagal_10204"
STEPS = ("fetch", "data", "real", "fit", "test")


def main() -> int:
    """Do one step, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("step", choices=(*STEPS, "all"))
    parser.add_argument("--work", type=Path, required=True, help="folder for everything made")
    parser.add_argument("--j", type=int, default=1, help="threads of a classification")
    parser.add_argument("--only", nargs="*", default=[], help="names of molecules")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    torch.set_num_threads(arguments.j)
    for step in STEPS if arguments.step == "all" else (arguments.step,):
        if step == "fetch":
            molecules.fetch(work / "archives")
        elif step == "data":
            _data(work, arguments.j, arguments.only)
        elif step == "real":
            _real(work, arguments.j)
        elif step == "fit":
            _fit(work)
        else:
            _test(work)
    return 0


def _data(work: Path, n_threads: int, only: list[str]) -> None:
    first = tuple(name for name in molecules.ALL if name not in molecules.ONLY_SMALL)
    sets = (0, first), (1, molecules.TWICE), (molecules.SMALL_SEED, molecules.SMALL)
    for seed, names in sets:
        for name in names:
            if only and name not in only:
                continue
            molecule = molecules.ALL[name]
            model = molecules.prepare(molecule, work / "archives", work / "molecules")
            recipe = simulate.draw(name, seed, model)
            simulate.make(recipe, model, work / "runs" / f"{name}-{seed}", n_threads)
            print(table.tabulate(name, seed, work / "archives", work), flush=True)


def _real(work: Path, n_threads: int) -> None:
    optimiser = real.classify(DATA, work / "real", n_threads)
    rows = real.measure(DATA, work / "real", optimiser)
    _write_rows(GOLDEN / "betagal.json", [{"molecule": "5A1A, real", "rows": rows}])


def _files(work: Path, chosen: tuple[molecules.Molecule, ...]) -> list[Path]:
    names = [one.name for one in chosen]
    return [path for path in (work / "tables").glob("*.json") if path.stem.split("-")[0] in names]


def _fit(work: Path) -> None:
    data = fit.Table(_files(work, molecules.TRAINING))
    print(f"{len(data.molecule)} class averages of {len(set(data.molecule))} training molecules")
    areas = fit.left_out(data)
    for name, area in areas.items():
        print(f"  {name:6} area {area:.3f} by networks that saw none of its family")
    print(f"  mean {np.nanmean(list(areas.values())):.3f}")
    fit.save(fit.train(data, np.ones(len(data.molecule), bool)), WEIGHTS)
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size:,} bytes")


def _test(work: Path) -> None:
    files = sorted(_files(work, molecules.HELD_OUT))
    data, network = fit.Table(files), read_network(WEIGHTS)
    for name, area in fit.areas(network, data).items():
        good = data.score.numpy()[data.molecule == name] >= fit.GOOD
        print(f"  {name}: area {area:.3f} ({good.sum()} good, {(~good).sum()} bad classes)")
    _write_rows(GOLDEN / "held_out.json", [json.loads(file.read_text()) for file in files])


def _write_rows(path: Path, tables: list[dict[str, object]]) -> None:
    """Write tables with four digits, one class a line, without classes that are not judged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = []
    for one in tables:
        rows = [row for row in one["rows"] if row["n"] > LEAST_PARTICLES]  # type: ignore[attr-defined]
        kept += [{"molecule": one["molecule"], "seed": one.get("seed", 0), **row} for row in rows]
    columns = list(kept[0])
    lines = [json.dumps([_short(row[name]) for name in columns]) for row in kept]
    text = ",\n".join(lines)
    path.write_text(f'{{"columns": {json.dumps(columns)},\n"rows": [\n{text}\n]}}\n')


def _short(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    raise SystemExit(main())
