"""Saving what a person chose in a selection job: the choice and its settings, ready to be run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vitreous.actions.planning import CHOICE
from vitreous.errors import InputError
from vitreous.io import Table, write_star
from vitreous.jobs import job_star
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Process

_MOST: Final = "--max_nr_parts_per_class"


def keep_choice(folder: ProjectFolder, process: Process, chosen: Sequence[bool]) -> None:
    """Write what is chosen into a selection job, where it is found when the job goes on.

    Parameters
    ----------
    folder, process
        The project and the job.
    chosen
        For each row that was shown, in the order of the file.
    """
    _need_selection(process)
    rows = Table.from_columns("", {"rlnSelected": [int(one) for one in chosen]})
    write_star(folder.job_dir(process.name) / CHOICE, [rows])


def set_saving(
    folder: ProjectFolder,
    process: Process,
    form: str,
    *,
    regroup: int | None,
    recentre: bool,
    max_per_class: int | None,
) -> None:
    """Write into the settings of a selection job how its choice is to be saved.

    These are asked for when a person saves, not when the job is made, so that they may change in
    a job that has begun.

    Parameters
    ----------
    folder, process, form
        The project, the job, and the form of its files.
    regroup
        About how many groups of particles to make; None leaves them.
    recentre
        Whether class averages are centred.
    max_per_class
        Most particles kept of a class; None for all.
    """
    _need_selection(process)
    path = folder.job_dir(process.name)
    file = job_star.read_job(path)
    options = file.options
    changes: dict[str, object] = {"recenter": recentre, "regroup": regroup is not None}
    if regroup is not None:
        changes["n_groups"] = regroup
    changes["other_arguments"] = _with_most(str(options.value("other_arguments")), max_per_class)
    changes = {key: value for key, value in changes.items() if options.value(key) != value}
    if changes:
        changed = file.job_type.changed(options, changes)
        job_star.write_job(path, replace(file, options=changed), form)


def _with_most(text: str, most: int | None) -> str:
    """Put the limit for a class among additional arguments, or take it away."""
    words = shlex.split(text)
    if _MOST in words:
        place = words.index(_MOST)
        del words[place : place + 2]
    if most is not None:
        words += [_MOST, str(most)]
    return shlex.join(words)


def _need_selection(process: Process) -> None:
    if not process.type_label.startswith("relion.select"):
        raise InputError(f"{process.shown_name} is no selection: nothing is chosen in it")
