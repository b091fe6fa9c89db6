"""Make the replays: runs of RELION 3.1.3 on simulated and real particles, as tables.

Usage, in this folder, with RELION 3.1.3 and vitreous installed (about 20 minutes on two cores)::

    python make.py WORK [NAME ...]
    python make.py --collect RUN_FOLDER NAME.star     # a run that is already there

Each run lands in WORK/NAME; its STAR files become NAME.star here, with the command.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

from vitreous.io.images import read_images
from vitreous.io.mrc import read_volume, write_mrc, write_volume
from vitreous.io.star import Star, read_star, write_star

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import refinement_replay as replay  # noqa: E402 - the path must be set first

DATA = Path(os.environ.get("VITREOUS_TEST_DATA", ROOT.parent / "shared" / "data"))
VERSION = "RELION version: 3.1.3"

SIMULATE = (
    "vitreous simulate particles --o sim --assembly 1 --angpix 5 --box_size 48 --n 400 "
    "--offset 6 --random_seed 3 --snr 0.1 --i"
)
MODEL = ROOT / "src" / "vitreous" / "data" / "5a1a_chain_a.cif.gz"

REST = (
    "--particle_diameter 200 --ctf --zero_mask --flatten_solvent --norm --scale --pool 10 "
    "--dont_combine_weights_via_disc --random_seed 5"
)
SIM = f"--i sim/particles.star {REST}"
AUTO = (
    "--auto_refine --split_random_halves --low_resol_join_halves 40 --offset_range 5 "
    "--offset_step 2 --sym D2 --j 1"
)
TRUTH = "--ref sim/truth/map_class001.mrc"
RUNS = {
    "auto_d2_real": "mpi --i betagal.star --auto_refine --split_random_halves --ref consensus.mrc "
    "--ini_high 40 --firstiter_cc --dont_combine_weights_via_disc --pool 10 --pad 2 --ctf "
    "--particle_diameter 190 --flatten_solvent --zero_mask --oversampling 1 --healpix_order 2 "
    "--auto_local_healpix_order 4 --offset_range 5 --offset_step 2 --sym D2 "
    "--low_resol_join_halves 40 --norm --scale --j 1 --random_seed 11",
    "auto_stopped": f"mpi {SIM} {AUTO} {TRUTH} --ini_high 30 --auto_iter_max 2",
    "auto_ignore": f"mpi {SIM} {AUTO} {TRUTH} --ini_high 40 --firstiter_cc --auto_ignore_angles "
    "--auto_resol_angles --auto_local_healpix_order 3",
    "auto_ignore_local": f"mpi {SIM} {AUTO} {TRUTH} --ini_high 60 --firstiter_cc "
    "--auto_ignore_angles --auto_resol_angles --healpix_order 1 --auto_local_healpix_order 3",
    "auto_local": f"mpi {SIM} {AUTO} {TRUTH} --ini_high 60 --firstiter_cc --healpix_order 1 "
    "--auto_local_healpix_order 2",
    "class2d": f"one {SIM} --K 3 --iter 8 --tau2_fudge 2 --psi_step 12 --offset_range 5 "
    "--offset_step 2 --j 2",
    "class2d_coarser": f"one {SIM} --K 3 --iter 8 --tau2_fudge 2 --psi_step 6 --offset_range 5 "
    "--offset_step 1 --allow_coarser_sampling --j 2",
    "class2d_subsets": f"one {SIM} --K 1 --iter 20 --tau2_fudge 2 --psi_step 24 --offset_range 3 "
    "--offset_step 3 --fast_subsets --j 1",
    "class3d_coarser": f"one {SIM} {TRUTH} --K 2 --iter 6 --tau2_fudge 4 --ini_high 40 "
    "--firstiter_cc --healpix_order 2 --offset_range 4 --offset_step 1 "
    "--allow_coarser_sampling --sym D2 --j 1",
    "class3d_local": f"one {SIM} {TRUTH} --K 1 --iter 2 --tau2_fudge 4 --ini_high 20 "
    "--healpix_order 3 --offset_range 3 --offset_step 1 --sigma_ang 5 --sym D2 --j 1",
}
PROGRAM = {
    "mpi": "nice mpirun --allow-run-as-root --oversubscribe -n 3 relion_refine_mpi",
    "one": "nice relion_refine",
}


def main(words: list[str]) -> None:
    """Make the runs named, or all."""
    if words[:1] == ["--collect"]:
        store(Path(words[1]), words[2].removesuffix(".star"))
        return
    work = Path(words[0])
    work.mkdir(parents=True, exist_ok=True)
    simulate(work)
    real(work)
    for name in words[1:] or RUNS:
        (work / name).mkdir(exist_ok=True)
        run = f"{command(name)} > {name}/log 2>&1"
        subprocess.run(
            run, shell=True, check=True, cwd=work, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        store(work / name, name)


def command(name: str) -> str:
    """Return the command line of a run."""
    program, options = RUNS[name].split(" ", 1)
    return f"{PROGRAM[program]} {options} --o {name}/run"


def store(folder: Path, name: str) -> None:
    """Turn the STAR files of a run into tables here."""
    star = replay.collect(folder)
    tables = [star[table] for table in star]
    path = HERE / f"{name}.star"
    write_star(path, Star(tables), None)
    path.write_text(f"# {VERSION}\n# {command(name)}\n{path.read_text()}")


def simulate(work: Path) -> None:
    """Make 400 particles of beta-galactosidase, 48 pixels of 5 A."""
    if not (work / "sim").exists():
        subprocess.run([*shlex.split(SIMULATE), str(MODEL)], check=True, cwd=work)


def real(work: Path) -> None:
    """Turn the real particles into float32, which RELION 3.1.3 reads."""
    source = DATA / "betagal_10204"
    star = read_star(source / "particles_consensus.star")
    particles = star["particles"]
    names = [str(name).split("@") for name in particles["rlnImageName"]]
    images = read_images([f"{number}@{source / stack}" for number, stack in names])
    images = images - images.mean((1, 2), keepdims=True)
    write_mrc(work / "betagal.mrcs", images.astype(np.float32), 3.54)
    new = [f"{number:06d}@betagal.mrcs" for number in range(1, len(names) + 1)]
    write_star(
        work / "betagal.star",
        Star([star["optics"], particles.with_columns({"rlnImageName": new})]),
        30001,
    )
    halves = [read_volume(source / f"baseline_half{half}.mrc").data for half in (1, 2)]
    write_volume(work / "consensus.mrc", (halves[0] + halves[1]) / 2, 3.54)


if __name__ == "__main__":
    main(sys.argv[1:])
