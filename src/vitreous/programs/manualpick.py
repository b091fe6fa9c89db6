"""Manual picking: the files that a picker writes to, and the lists that other jobs read.

The picks are made in the browser, through `vitreous.programs.picking_session`. The program of the
job begins with the files, and brings the lists up to date each time that it runs.
"""

from __future__ import annotations

import argparse

from vitreous.errors import InputError
from vitreous.jobs.context import Run
from vitreous.jobs.declare import Options
from vitreous.jobs.manualpick import ManualPick
from vitreous.programs.extra_flags import Flags
from vitreous.programs.picking_session import PickingSession


def run(options: ManualPick, run: Run) -> None:
    """Prepare a ManualPick job, or publish what was picked."""
    _flags(options.running.other_arguments)
    session = PickingSession.open(
        run.project,
        run.folder,
        options.micrographs,
        "manualpick",
        filaments=options.pick_filaments,
    )
    _publish(session, run, options.min_fom if options.use_fom_threshold else None)


def topaz_of(options: Options) -> str:
    """Return the program of Topaz that a picking job names; empty where it names none."""
    if options.job_type.word == "autopick":
        return ""
    given = _flags(str(options.value("other_arguments"))).topaz_exe
    return str(given)


def _flags(text: str) -> argparse.Namespace:
    flags = Flags("ManualPick")
    flags.add_argument("--topaz_exe", default="", metavar="PROGRAM")
    return flags.read(text)


def go_on(micrographs: str, name: str, run: Run) -> None:
    """Go on by hand with the picks of an AutoPick job."""
    _publish(PickingSession.open(run.project, run.folder, micrographs, name), run, None)


def _publish(session: PickingSession, run: Run, min_fom: float | None) -> None:
    missing = [name for name in session.micrographs if not (run.project / name).is_file()]
    for name in missing:
        run.warn("Some micrographs are not there; they cannot be shown.", name)
    if len(missing) == len(session.micrographs):
        raise InputError(
            f"none of the {len(missing):,} micrographs is there ({missing[0]}, ...). Bring the "
            "files back, or take another list."
        )
    for name in session.save(min_fom):
        run.warn(
            "Some micrographs have an odd number of ends of filaments; they are left out. Add or "
            "delete one end.",
            name,
        )
    counts = session.count()
    run.headline("picks", sum(counts.values()), "", "Picked particles")
    run.headline("micrographs", sum(n > 0 for n in counts.values()), "", "Micrographs picked")
    run.say(
        f"{sum(counts.values()):,} picks in {len(counts):,} of {len(session.micrographs):,} "
        f"micrographs. Open the job in the browser (vitreous gui) to pick; run it again "
        "(--continue) when you are done."
    )
