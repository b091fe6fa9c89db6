"""What estimating CTFs with our own engine and with programs of others have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from vitreous.dataset.micrograph_ctf import Estimate, Listed, Micrograph, write_list
from vitreous.jobs.context import Run
from vitreous.programs.ctffind_files import Files
from vitreous.programs.micrograph_list import Work

Loaded = TypeVar("Loaded")
Computed = TypeVar("Computed")


class Estimation(Work[Micrograph, Loaded, Computed, tuple[Micrograph, Estimate]]):
    """Micrographs, and where the CTF of each is kept.

    Parameters
    ----------
    run
        The job.
    listed
        All micrographs.
    stems
        Where the files of each go, by its name.
    """

    def __init__(self, run: Run, listed: Listed, stems: Mapping[str, str]) -> None:
        self.run, self.listed, self.stems = run, listed, stems

    def name(self, unit: Micrograph) -> str:
        """Return the file of the micrograph."""
        return unit.name

    def restore(self, unit: Micrograph) -> tuple[Micrograph, Estimate] | None:
        """Return the result of a micrograph that is done."""
        found = self.files(unit).restore()
        return None if found is None else (unit, found)

    def publish(self, results: Sequence[tuple[Micrograph, Estimate]]) -> None:
        """Write the list of micrographs with their CTF."""
        write_list(self.run.path / "micrographs_ctf.star", self.listed, results)

    def files(self, unit: Micrograph) -> Files:
        """Return the files of a micrograph."""
        return Files(self.run.project, self.stems[unit.name])
