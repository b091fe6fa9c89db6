"""Whether the process that a record names still lives on this machine."""

from __future__ import annotations

from pathlib import Path

from vitreous.errors import ProjectError
from vitreous.running import process_table, record
from vitreous.running.record import ProcessRecord


def is_here(found: ProcessRecord) -> bool:
    """Tell whether the process was started on this machine since this machine was started."""
    return (
        found.pid > 1
        and found.start_ticks > 0
        and found.host == process_table.host()
        and found.boot_id == process_table.boot_id()
    )


def is_alive_here(found: ProcessRecord) -> bool:
    """Tell whether the process, or anybody whom it left behind in its session, lives here."""
    if not is_here(found):
        return False
    if process_table.is_alive(found.pid, found.start_ticks):
        return True
    return process_table.entry(found.pid) is None and bool(process_table.family(found.pid))


def refuse_if_alive(job_dir: Path, found: ProcessRecord) -> None:
    """Refuse to start a job that is running.

    Raises
    ------
    ProjectError
        It lives on this machine, or gives signs of life from another.
    """
    if found.is_over:
        return
    beats = found.state == "running" and record.age_s(found.heartbeat) < 2 * record.HEARTBEAT_S
    if is_alive_here(found) or (beats and not is_here(found)):
        raise ProjectError(
            f"{job_dir}: is running already, as process {found.pid} on {found.host} since"
            f" {found.started or found.submitted}. Wait for it, or stop it with `vitreous abort`."
        )
