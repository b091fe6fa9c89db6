"""Molecules of the accuracy benchmark: models of the PyPI package mdanalysistests made readable.

6MSM (CFTR, no symmetry) is used as it is. The two states of adenylate kinase, open and closed, lack
chemical elements, which the first letters of atom names give, and are laid on each other by the
domain that does not move.
"""

from __future__ import annotations

import bz2
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = "MDAnalysisTests/data"
CORE = (*range(1, 30), *range(68, 118), *range(161, 215))  # neither the lid nor the AMP domain
HOW = "pip download --no-deps --no-binary :all: mdanalysistests"


def prepare(archive: Path, folder: Path) -> None:
    """Write cftr.pdb, adk_open.pdb and adk_closed.pdb from the source archive of the package."""
    if not archive.is_file():
        message = f"{archive}: no such file; get it with `{HOW}`"
        raise FileNotFoundError(message)
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        held = {Path(name).name: name for name in tar.getnames() if f"/{DATA}/" in name}

        def text(name: str) -> bytes:
            file = tar.extractfile(held[name])
            assert file is not None
            return file.read()

        (folder / "cftr.pdb").write_bytes(bz2.decompress(text("6msm.pdb.bz2")))
        states = [text(f"adk_{state}.pdb").decode() for state in ("open", "closed")]
    goal = core(states[0])
    (folder / "adk_open.pdb").write_text(rewritten(states[0], np.eye(3), np.zeros(3)))
    turn, move = superposed(core(states[1]), goal)
    (folder / "adk_closed.pdb").write_text(rewritten(states[1], turn, move))


def core(pdb: str) -> NDArray[np.float64]:
    """Return the alpha carbons of the core, ``n 3``."""
    rows = [line for line in pdb.splitlines() if line.startswith("ATOM")]
    kept = [line for line in rows if line[12:16].strip() == "CA" and int(line[22:26]) in CORE]
    return np.array([_place(line) for line in kept])


def superposed(
    moving: NDArray[np.float64], fixed: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rotation and shift that lay points on others (Kabsch, Acta Cryst. A32, 922, 1976)."""
    middle, goal = moving.mean(0), fixed.mean(0)
    u, _, v = np.linalg.svd((moving - middle).T @ (fixed - goal))
    upright = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    turn = (u @ upright @ v).T
    return turn, goal - turn @ middle


def rewritten(pdb: str, turn: NDArray[np.float64], move: NDArray[np.float64]) -> str:
    """Return the atoms of a model moved, each with its element."""
    lines = []
    for line in pdb.splitlines():
        if line.startswith("ATOM"):
            x, y, z = turn @ _place(line) + move
            element = line[12:16].strip().lstrip("0123456789")[0]
            lines.append(
                f"{line[:30]}{x:8.3f}{y:8.3f}{z:8.3f}{line[54:66]:12}          {element:>2}"
            )
    return "\n".join([*lines, "END", ""])


def _place(line: str) -> NDArray[np.float64]:
    return np.array([float(line[start : start + 8]) for start in (30, 38, 46)])
