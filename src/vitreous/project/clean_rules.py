"""What cleaning a job removes: the vocabulary of the declarations.

A declaration says which files are intermediate (pipeline.md section 8); `clean_plan` finds
them and `clean_plan.apply` moves them to the Trash.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Files:
    """Files whose name matches a shell pattern.

    Parameters
    ----------
    pattern
        Pattern of the name, such as ``*_fit.star``; with a folder (``Particles/*.mrcs``)
        it is taken from the job folder.
    below
        False: files directly in the job folder. True: files in any subfolder of it at any
        depth, and none in the job folder itself.
    """

    pattern: str
    below: bool = False


@dataclass(frozen=True)
class Subfolders:
    """Everything in the subfolders of the job folder (folders with a leading dot excepted)."""


@dataclass(frozen=True)
class Iterations:
    """The files of all iterations of a refinement but the last and those that nodes name.

    Parameters
    ----------
    also
        Patterns in the job folder that go too, if there are at least two iterations.
    """

    also: tuple[str, ...] = ()


Rule = Files | Subfolders | Iterations


@dataclass(frozen=True)
class Cleanup:
    """What gentle and harsh cleaning remove from a finished job.

    Parameters
    ----------
    gentle
        Rules of gentle cleaning: nothing that another job could use.
    harsh
        The complete list for harsh cleaning; empty means the same as gentle.
    refused
        Jobs of this type are never cleaned.
    """

    gentle: tuple[Rule, ...] = ()
    harsh: tuple[Rule, ...] = ()
    refused: bool = False

    def rules(self, *, harsh: bool) -> tuple[Rule, ...]:
        """Return the rules that hold for this kind of cleaning."""
        if self.refused:
            return ()
        return (self.harsh or self.gentle) if harsh else self.gentle
