"""Cleaning a job: which files go to the Trash, which stay and why, and doing it.

The rules of each job type are in its declaration, in the words of `clean_rules`; what RELION
removes is in pipeline.md section 8. We differ from it on purpose:

- a file that a STAR file of this job or a later one names is kept: all of them in gentle
  cleaning, the CTF images in harsh cleaning too;
- `NO_HARSH_CLEAN` protects a job in every way of cleaning harshly;
- files land at the same path below the Trash (RELION nests folders one level too deep), so
  that `restore_cleaned` can put them back.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from vitreous.errors import InputError
from vitreous.project.clean_rules import Cleanup, Files, Iterations, Rule, Subfolders
from vitreous.project.folder import ProjectFolder, cannot_write
from vitreous.project.moving import Moves, merge_folder, remove_empty_folders
from vitreous.project.pipeline import Pipeline, Process, Status
from vitreous.project.trash import is_whole_job

__all__ = [
    "CleanPlan",
    "Cleanup",
    "Files",
    "Iterations",
    "Rule",
    "Subfolders",
    "apply",
    "plan_clean",
    "plan_clean_all",
    "restore_cleaned",
]

NO_HARSH_CLEAN: Final = "NO_HARSH_CLEAN"
_RECORDS: Final = (
    *("job.star", "run.job", "note.txt", "job_pipeline.star", "default_pipeline.star"),
    *("run.out", "run.err", "process.json", "progress.jsonl", "results.json"),
    *("RELION_OUTPUT_NODES.star", "RELION_JOB_EXIT_SUCCESS", NO_HARSH_CLEAN),
)
_DATA_FILE: Final = re.compile(r"(run_(?:ct(\d{1,3})_)?it\d{3})_data\.star")


@dataclass(frozen=True)
class CleanPlan:
    """What cleaning a job would do; show it before doing it.

    Parameters
    ----------
    process
        The job.
    harsh
        Which kind of cleaning.
    files
        Files that go, relative to the project, with their size in bytes.
    kept
        Files that the rules name and that stay, with the reason.
    refused
        Why the job is not cleaned at all, None where it is.
    """

    process: Process
    harsh: bool
    files: tuple[tuple[str, int], ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    refused: str | None = None

    @property
    def n_bytes(self) -> int:
        """How much moves to the Trash; the disk has it back when the Trash is emptied."""
        return sum(size for _, size in self.files)


def plan_clean(
    folder: ProjectFolder, pipeline: Pipeline, process: Process, cleanup: Cleanup, *, harsh: bool
) -> CleanPlan:
    """Find what cleaning removes from a job. Nothing is changed.

    Parameters
    ----------
    folder, pipeline
        The project and its graph.
    process
        The job; only succeeded jobs are cleaned.
    cleanup
        The rules of its type.
    harsh
        Remove also what other jobs could use.
    """
    job_dir = folder.job_dir(process.name)
    refused = _refusal(job_dir, process, cleanup, harsh=harsh)
    if refused:
        return CleanPlan(process, harsh, refused=refused)
    found = sorted({path for rule in cleanup.rules(harsh=harsh) for path in _find(rule, job_dir)})
    reasons = _reasons_to_keep(folder, pipeline, process, found, harsh=harsh)
    files, kept = [], []
    for path in found:
        name = str(path.relative_to(folder.root))
        if name in reasons:
            kept.append((name, reasons[name]))
        else:
            files.append((name, path.lstat().st_size))
    return CleanPlan(process, harsh, tuple(files), tuple(kept))


def plan_clean_all(
    folder: ProjectFolder,
    pipeline: Pipeline,
    rules_of: Callable[[Process], Cleanup | None],
    *,
    harsh: bool,
) -> list[CleanPlan]:
    """Return the plans of every succeeded job that cleaning does something to, or refuses.

    Parameters
    ----------
    folder, pipeline
        The project and its graph.
    rules_of
        The rules of a job's type; None for a type that is not known, which is left alone.
    harsh
        See `plan_clean`; a job that is protected is in the list with the refusal.
    """
    plans = []
    for process in pipeline:
        rules = rules_of(process)
        if rules is None or rules.refused or process.status is not Status.SUCCEEDED:
            continue
        plan = plan_clean(folder, pipeline, process, rules, harsh=harsh)
        if plan.files or plan.refused:
            plans.append(plan)
    return plans


def apply(folder: ProjectFolder, plan: CleanPlan) -> CleanPlan:
    """Move the files of a plan to the same paths below the Trash; all of them or none.

    Raises
    ------
    InputError
        The plan is a refusal.
    ProjectError
        A file could not be moved; those moved before are back.
    """
    if plan.refused:
        raise InputError(plan.refused)
    moves = Moves()
    done = []
    with folder.locked(f"cleaning {plan.process.name}") as pipeline:
        if pipeline.find(plan.process.name).status is not Status.SUCCEEDED:
            raise InputError(f"{plan.process.name} was started again; nothing was cleaned.")
        try:
            for name, size in plan.files:
                # A file that went since the plan was made is no loss.
                with contextlib.suppress(FileNotFoundError):
                    moves.replace(folder.job_dir(name), folder.trash / name)
                    done.append((name, size))
        except OSError as error:
            moves.undo()
            raise cannot_write(folder.trash, error) from error
    for path in folder.job_dir(plan.process.name).iterdir():
        if path.is_dir() and not path.is_symlink():
            remove_empty_folders(path)
    return CleanPlan(plan.process, plan.harsh, tuple(done), plan.kept)


def restore_cleaned(folder: ProjectFolder, process: Process) -> list[str]:
    """Put files that were cleaned from a job back; those it has made again stay as they are.

    Returns
    -------
    list[str]
        The files that are back, relative to the project.
    """
    trashed, job_dir = folder.trash / process.name, folder.job_dir(process.name)
    if not trashed.is_dir() or is_whole_job(trashed):
        return []
    moves = Moves()
    try:
        back = merge_folder(moves, trashed, job_dir)
    except OSError as error:
        moves.undo()
        raise cannot_write(job_dir, error) from error
    return [str(path.relative_to(folder.root)) for path in back]


def _refusal(job_dir: Path, process: Process, cleanup: Cleanup, *, harsh: bool) -> str | None:
    if cleanup.refused:
        return f"{process.name}: jobs of this type are never cleaned."
    if process.status is not Status.SUCCEEDED:
        return (
            f"{process.name} is {process.status}: only succeeded jobs are cleaned. "
            f"Delete it if it is not needed."
        )
    if harsh and (job_dir / NO_HARSH_CLEAN).exists():
        return (
            f"{process.name} is protected by its file {NO_HARSH_CLEAN}. "
            f"Remove that file to clean it harshly, or clean it gently."
        )
    return None


def _find(rule: Rule, job_dir: Path) -> Iterator[Path]:
    if isinstance(rule, Iterations):
        yield from _iteration_files(rule, job_dir)
    elif isinstance(rule, Subfolders):
        yield from _below(job_dir, "*")
    elif rule.below:
        yield from _below(job_dir, rule.pattern)
    else:
        yield from (path for path in job_dir.glob(rule.pattern) if _is_file(path))


def _below(job_dir: Path, pattern: str) -> Iterator[Path]:
    """Return the files in subfolders at any depth; folders with a leading dot are left alone."""
    for base, folders, names in os.walk(job_dir):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if Path(base) != job_dir:
            links = [name for name in folders if Path(base, name).is_symlink()]
            yield from (Path(base, n) for n in (*names, *links) if fnmatchcase(n, pattern))


def _is_file(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def _iteration_files(rule: Iterations, job_dir: Path) -> Iterator[Path]:
    """Return the files of all iterations but the last; nodes are looked at by the caller."""
    roots = iteration_roots(job_dir)
    for root in roots[:-1]:
        yield from (path for path in job_dir.glob(f"{root}*") if _is_file(path))
    if len(roots) > 1:
        for pattern in rule.also:
            yield from job_dir.glob(pattern)


def iteration_roots(job_dir: Path) -> list[str]:
    """Return ``run_it###`` and ``run_ct#_it###`` in RELION's order: first run, then continued."""
    found = []
    for path in job_dir.glob("run_*_data.star"):
        match = _DATA_FILE.fullmatch(path.name)
        if match:
            found.append((len(match[2] or ""), match[1]))
    return [root for _, root in sorted(found)]


def _reasons_to_keep(
    folder: ProjectFolder,
    pipeline: Pipeline,
    process: Process,
    found: list[Path],
    *,
    harsh: bool,
) -> dict[str, str]:
    """Return which of the files found must stay, and why."""
    names = [str(path.relative_to(folder.root)) for path in found]
    reasons = _named_iterations(pipeline, process, names)
    exposed = {n for n in names if not harsh or n.endswith(".ctf")}
    if exposed:
        reasons |= _named_in_star_files(folder, pipeline, process, exposed)
    reasons |= {n: "it is in the pipeline" for n in names if n in pipeline.nodes}
    records = {process.name + record for record in _RECORDS}
    return reasons | {n: "it is the record of the job" for n in names if n in records}


def _named_iterations(pipeline: Pipeline, process: Process, names: list[str]) -> dict[str, str]:
    """Keep every file of an iteration of which one file is a node of the pipeline."""
    pattern = re.compile(re.escape(process.name) + r"(run_(?:ct\d{1,3}_)?it\d{3})")
    named = {match[1]: node for node in pipeline.nodes if (match := pattern.match(node))}
    reasons = {}
    for name in names:
        match = pattern.match(name)
        if match and match[1] in named:
            reasons[name] = f"{named[match[1]]} of this iteration is in the pipeline"
    return reasons


def _named_in_star_files(
    folder: ProjectFolder, pipeline: Pipeline, process: Process, names: set[str]
) -> dict[str, str]:
    """Keep every file that a STAR file of this job, or of one that depends on it, names.

    The text is searched for the folder of the job, whatever the columns are called; RELION
    appends a file type to CTF images (``x.ctf:mrc``), and stacks have ``1@`` in front.
    """
    pattern = re.compile(re.escape(process.name.encode()) + rb"[^\s\"':,]+")
    reasons: dict[str, str] = {}
    for job in pipeline.descendants([process.name]):
        for node in pipeline.outputs(job):
            if node.name.endswith(".star"):
                for match in _matches(folder.root / node.name, pattern):
                    if (name := match.decode(errors="replace")) in names:
                        reasons.setdefault(name, f"{node.name} names it")
    return reasons


def _matches(path: Path, pattern: re.Pattern[bytes]) -> set[bytes]:
    """Return what a pattern finds in a file, which may be larger than memory."""
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text,
        ):
            return {match[0] for match in pattern.finditer(text)}
    except (FileNotFoundError, ValueError):  # ValueError: an empty file
        return set()
