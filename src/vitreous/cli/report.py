"""Commands that tell of jobs: status, show, log."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitreous.cli.options import HERE, JobRef, Json, ProjectDir, open_project
from vitreous.cli.output import human_size, human_time, paint, print_json, print_table, warn

if TYPE_CHECKING:
    from vitreous.actions import Job, Project
    from vitreous.actions.report import HeadlineRow, JobReport, JobRow, NodeRow, ProgressRow

_COLOURS = {
    "Running": "blue",
    "Queued": "cyan",
    "Waiting for you": "magenta",
    "Scheduled": "yellow",
    "Succeeded": "green",
    "Failed": "red",
    "Aborted": "magenta",
}
_POLL_S = 0.3


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (status, show, log):
        app.command(rich_help_panel="Jobs")(command)


def status(
    last: Annotated[
        int | None, typer.Option("--last", "-n", metavar="N", help="Only the last N jobs.", min=1)
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Write nothing, for a project that is not yours.")
    ] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """List the jobs: their state, what is running and how far it is, what was found."""
    opened = open_project(project, read_only=read_only)
    _look(opened)
    report = opened.status()
    if last is not None:
        report["jobs"] = report["jobs"][-last:]
    if json:
        print_json(report)
        return
    if not report["jobs"]:
        print("No jobs yet. `vitreous describe` lists what can be run.")
        return
    now = datetime.now(UTC)
    rows, styles = [], []
    for job in report["jobs"]:
        state = shown_state(job)
        name = job["alias"] or job["name"]
        rows.append(
            (
                str(job["number"]),
                job["word"],
                name.split("/", 1)[-1].rstrip("/"),
                state,
                _when(job, now),
                _what(job),
            )
        )
        styles.append(("bold", "", "", _COLOURS.get(state, ""), "dim", ""))
    print_table(("NO", "TYPE", "NAME", "STATE", "SINCE", ""), rows, styles, right=(0,))


def _look(project: Project) -> None:
    """Bring the graph up to date, and say what is odd."""
    for text in project.refresh(patient=False).warnings:
        warn(text)


def shown_state(job: JobRow) -> str:
    """Return the state in one or two words; a queued job says so."""
    if job["queued_since"]:
        return "Queued"
    return "Waiting for you" if job["interactive"] else job["status"]


def _when(job: JobRow, now: datetime) -> str:
    told = job["queued_since"] or job["since"]
    if not told:
        return ""
    age_s = (now - datetime.fromisoformat(told)).total_seconds()
    if job["status"] == "Running":
        return f"for {human_time(age_s)}"
    return f"{human_time(age_s)} ago" if age_s < 86400 * 2 else told[:10]


def _what(job: JobRow) -> str:
    """Return what a running job does, else why it ended or what it found."""
    if job["queued_since"]:
        return f"queue number {job['queue_id']}" if job["queue_id"] else ""
    if job["progress"]:
        return progress_text(job["progress"])
    if job["reason"]:
        return job["reason"]
    return "; ".join(headline_text(row) for row in job["headline"][:3])


def progress_text(row: ProgressRow) -> str:
    """Return ``Aligning movies 12/48, 3 min 20 s left``."""
    share = f" {row['done']}/{row['total']}" if row["total"] else f" {row['done']} {row['unit']}"
    left = row["seconds_left"]
    return row["phase"] + share + (f", {human_time(left)} left" if left is not None else "")


def headline_text(row: HeadlineRow) -> str:
    """Return ``Final resolution: 2.87 Å``."""
    value = row["value"]
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{row['label']}: {text} {row['unit']}".rstrip()


def show(
    job: JobRef,
    every: Annotated[
        bool, typer.Option("--all", help="All options, not only those that differ.")
    ] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Show one job: options, inputs, outputs, what it found, warnings, timing, commands."""
    opened = open_project(project)
    _look(opened)
    report = opened.show(job)
    if json:
        print_json(report)
    else:
        _print_job(report, every=every)


def _print_job(report: JobReport, *, every: bool) -> None:
    state = shown_state(report)
    alias = f"  alias {report['alias']}" if report["alias"] else ""
    print(f"{paint(report['name'], 'bold')}  {report['title']} ({report['type']}){alias}")
    ago = _when(report, datetime.now(UTC))
    reason = f": {report['reason']}" if report["reason"] else ""
    print(f"{paint(state, _COLOURS.get(state, ''))} {ago}{reason}".rstrip())
    if report["progress"]:
        print(progress_text(report["progress"]))
    _section("Found", [(row["label"], _value(row)) for row in report["headline"]])
    chosen = [row for row in report["options"] if every or (row["changed"] and row["used"])]
    heading = "Options" if every else "Options that differ from their defaults"
    _section(heading, [(f"{o['name']} ({o['key']})", o["text"] or "empty") for o in chosen])
    if every:
        _section("Options that vitreous does not know", list(report["unknown"].items()))
    _section("Inputs", [_node_cells(node, "from", node["job"]) for node in report["inputs"]])
    _section(
        "Outputs",
        [_node_cells(node, "used by", ", ".join(node["used_by"])) for node in report["outputs"]],
    )
    _print_warnings(report["warning_list"])
    _section("Time", [_timing_cells(one) for one in report["timing"]])
    _section("Plots", [(str(one.get("title", "")), str(one["data"])) for one in report["plots"]])
    _section("Commands", [(command,) for command in report["commands"]])
    if report["note"].strip():
        _section("Note", [(line,) for line in report["note"].strip("\n").splitlines()])
    print(f"\nFolder: {report['folder']}")


def _section(heading: str, rows: list[tuple[str, ...]]) -> None:
    if rows:
        print(f"\n{paint(heading, 'bold cyan')}")
        print_table([""] * len(rows[0]), [(f"  {row[0]}", *row[1:]) for row in rows])


def _value(row: HeadlineRow) -> str:
    value = row["value"]
    return f"{value:.6g} {row['unit']}" if isinstance(value, float) else f"{value} {row['unit']}"


def _node_cells(node: NodeRow, word: str, other: str | None) -> tuple[str, ...]:
    there = "" if node["exists"] else "not there"
    return (node["path"], node["type"], f"{word} {other}" if other else "", there)


def _print_warnings(warnings: list[dict[str, Any]]) -> None:
    if warnings:
        print(f"\n{paint('Warnings', 'bold cyan')}")
    room = min(get_terminal_size((100, 24)).columns, 110)
    for one in warnings:
        units = [str(unit) for unit in one.get("units", [])]
        such = f" ({'; '.join(units[:3])}{'; …' if len(units) > 3 else ''})" if units else ""
        text = f"{one.get('count', 1)} × {one.get('what', '')}{such}"
        print(textwrap.fill(text, room, initial_indent="  ", subsequent_indent="      "))


def _timing_cells(one: dict[str, Any]) -> tuple[str, ...]:
    rate = f"{one.get('items_per_s') or 0:.3g} {one.get('unit', '')}/s"
    speed = f"{one['gflop_per_s']:.3g} GFLOP/s" if one.get("gflop_per_s") else ""
    read = f"{human_size(one['bytes_per_s'])}/s" if one.get("bytes_per_s") else ""
    seconds = float(one.get("seconds") or 0)
    return (str(one.get("phase", "")), f"{seconds:.1f} s", rate, speed, read)


def log(
    job: JobRef,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job ends.")
    ] = False,
    err: Annotated[bool, typer.Option("--err", help="What went wrong (run.err).")] = False,
    project: ProjectDir = HERE,
) -> None:
    """Print what a job has printed."""
    opened = open_project(project, read_only=True)
    one = opened.job(job)
    path = one.path / ("run.err" if err else "run.out")
    if follow:
        follow_file(path, lambda: not _is_busy(one))
        return
    text = one.log(err=err)
    if text:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        print(f"{path} is empty." if path.exists() else f"{path} is not there.", file=sys.stderr)


def _is_busy(job: Job) -> bool:
    """Tell whether a job may still print; one that waits for a person may not."""
    return job.status == "Running" and not job.is_interactive


def follow_file(path: Path, is_over: Callable[[], bool]) -> None:
    """Print a file as it grows, until the job that writes it has ended."""
    offset = 0
    while True:
        over = is_over()
        try:
            with path.open("rb") as stream:
                stream.seek(offset)
                text = stream.read()
        except FileNotFoundError:
            text = b""
        offset += len(text)
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
        if over:
            return
        time.sleep(_POLL_S)
