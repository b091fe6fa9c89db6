"""What the files of an iteration are called (refinement.md section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_ITERATION = re.compile(r"_it(\d{3,})_optimiser\.star$")


@dataclass(frozen=True)
class Names:
    """Names of the files of one iteration, from the project folder as in RELION.

    Parameters
    ----------
    root
        What all begin with: ``Class2D/job007/run``, of a continued job ``Class2D/job007/run_ct8``.
    iteration
        None for the files of a finished auto-refinement.
    ndim
        2 for class averages in a stack, 3 for maps.
    n_models
        2 where halves are refined apart.
    """

    root: str
    iteration: int | None
    ndim: int
    n_models: int = 1

    @property
    def stem(self) -> str:
        """Return what the names of this iteration begin with."""
        return self.root if self.iteration is None else f"{self.root}_it{self.iteration:03d}"

    @property
    def optimiser(self) -> str:
        """Return the file that names all others."""
        return f"{self.stem}_optimiser.star"

    @property
    def data(self) -> str:
        """Return the file of the particles."""
        return f"{self.stem}_data.star"

    @property
    def sampling(self) -> str:
        """Return the file of steps and directions."""
        return f"{self.stem}_sampling.star"

    @property
    def state(self) -> str:
        """Return the file that keeps every digit."""
        return f"{self.stem}_state.npz"

    @property
    def unmasked(self) -> str:
        """Return the stack of averages before masking; one for all iterations."""
        return f"{self.root}_unmasked_classes.mrcs"

    def of_model(self, half: int) -> str:
        """Return the beginning of names of one model."""
        return f"{self.stem}_half{half + 1}" if self.n_models == 2 else self.stem

    def model(self, half: int) -> str:
        """Return the file of one model."""
        return f"{self.of_model(half)}_model.star"

    def stack(self, half: int, kind: str = "classes") -> str:
        """Return the stack of averages, or of their moments (``1moment``, ``2moment``)."""
        return f"{self.of_model(half)}_{kind}.mrcs"

    def map(self, half: int, class_: int, kind: str = "class") -> str:
        """Return the map of a class, or of its moments; classes count from 0."""
        return f"{self.of_model(half)}_{kind}{class_ + 1:03d}.mrc"

    def image(self, half: int, class_: int, kind: str = "class") -> str:
        """Return how model files name a reference (``class``) or one of its moments."""
        if self.ndim == 3:
            return self.map(half, class_, kind)
        stack = self.stack(half, "classes" if kind == "class" else kind)
        return f"{class_ + 1:06d}@{stack}"

    def bild(self, half: int, class_: int) -> str:
        """Return the picture of the directions of a class."""
        return f"{self.of_model(half)}_class{class_ + 1:03d}_angdist.bild"

    def unfiltered(self, half: int) -> str:
        """Return a half-map without regularisation."""
        return f"{self.root}_half{half + 1}_class001_unfil.mrc"


def first_root(root: str) -> str:
    """Return the root of the job's first run: ``run`` for ``run_ct8``."""
    return re.sub(r"(_ct\d+)+$", "", root)


def iteration_of(optimiser: str) -> int | None:
    """Return the number in the name of an optimiser file; None where there is none."""
    found = _ITERATION.search(optimiser)
    return int(found[1]) if found else None


def last_iteration(root: str, folder: Path | str = ".") -> str | None:
    """Return the optimiser file of the last iteration that was written whole.

    Parameters
    ----------
    root
        ``Class2D/job007/run``; continued runs of it (``run_ct8``) count as well.
    folder
        What names are relative to.
    """
    place = Path(folder) / root
    files = [
        path
        for path in place.parent.glob(f"{place.name}_*optimiser.star")
        if re.fullmatch(rf"{re.escape(place.name)}(_ct\d+)*_it\d{{3,}}_optimiser\.star", path.name)
    ]
    if not files:
        return None
    newest = max(files, key=lambda path: (iteration_of(path.name) or 0, path.stat().st_mtime_ns))
    return (Path(root).parent / newest.name).as_posix()
