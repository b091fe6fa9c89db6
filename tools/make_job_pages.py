"""Write the manual page of every job type from its declaration: `docs/jobs/<word>.md`.

Prose written by hand, `docs/jobs/prose/<word>.md`, comes between the summary and the options.
The pages are not kept in the repository. mkdocs makes them, with this file under `hooks:`, and
puts them where the navigation says `jobs/`.
"""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path
from typing import Any

from vitreous.jobs import describe, evaluate, registry
from vitreous.jobs.job_type import JobType

DOCS = Path(__file__).resolve().parent.parent / "docs" / "jobs"
WHEN_CONTINUED = {
    "locked": "",
    "free": "May be changed when the job goes on.",
    "only": "Only when the job goes on.",
}


def main(folder: Path = DOCS) -> int:
    """Write all pages; return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    types = registry.all_types()
    for job_type in types:
        _write(folder / f"{job_type.word}.md", page(job_type, folder / "prose"))
    _write(folder / "index.md", index(types))
    return len(types)


def on_config(config: Any) -> Any:  # noqa: ANN401 - mkdocs calls it with its own class
    """Make the pages and list them in the navigation, when mkdocs begins."""
    main(Path(config.docs_dir) / "jobs")
    pages = [{"All": "jobs/index.md"}]
    pages += [{job_type.gui_name: f"jobs/{job_type.word}.md"} for job_type in registry.all_types()]
    config.nav = [
        {title: pages if target == "jobs/" else target for title, target in entry.items()}
        for entry in config.nav or []
    ]
    return config


def _write(path: Path, text: str) -> None:
    """Write a page if it changed, so that `mkdocs serve` does not start over."""
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def index(types: tuple[JobType, ...]) -> str:
    """Return the page that lists all job types."""
    runs = {True: "yes", False: "not yet"}
    rows = [
        f"| [{t.gui_name}]({t.word}.md) | `{t.word}` | {t.title} | {runs[t.is_built()]} |"
        for t in types
    ]
    head = ["# Job types", "", "In the order in which they are usually run.", ""]
    table = ["| Job | Word | What it does | Runs |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *table, *rows, ""])


def page(job_type: JobType, prose: Path) -> str:
    """Return the page of a job type."""
    parts = [f"# {job_type.gui_name}", job_type.title]
    text = prose / f"{job_type.word}.md"
    if text.is_file():
        parts.append(text.read_text("utf-8").strip())
    parts.append(facts(job_type))
    parts.append("## Options")
    for tab, rows in groupby(describe.table(job_type), key=lambda row: row.tab):
        parts.append(f"### {tab}")
        parts.append(options_table(job_type, list(rows)))
    results = list(evaluate.from_text(job_type, {})[0].results())
    if results:
        parts.append("## What it reports")
        parts.append("\n".join(f"- {r.label}{f' ({r.unit})' if r.unit else ''}" for r in results))
    return "\n\n".join(parts) + "\n"


def facts(job_type: JobType) -> str:
    """Return how to start it and where its results go."""
    can = {"ranks": job_type.uses_mpi, "threads": job_type.uses_threads, "GPUs": job_type.uses_gpu}
    uses = ", ".join(word for word, is_so in can.items() if is_so) or "one process"
    if not job_type.is_built():
        return (
            f"vitreous reads, shows and keeps these jobs of RELION (`{job_type.label}`, in "
            f"`{job_type.folder}/`). It cannot run them yet."
        )
    queue = "may be sent to a queue" if job_type.uses_queue else "is not sent to a queue"
    return (
        f"`vitreous run {job_type.word} key=value …` makes a job in `{job_type.folder}/`. "
        f"RELION calls it `{job_type.label}`. It uses {uses}, and {queue}."
    )


def options_table(job_type: JobType, rows: list[describe.OptionRow]) -> str:
    """Return the options of one tab as a table."""
    lines = ["| Option | Key | Default | Values | Meaning |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        notes = [row.meaning]
        if row.when:
            notes.append(f"*While {row.when}.*")
        notes.append(WHEN_CONTINUED[job_type.options[row.name].on_continue])
        cells = (
            f"**{row.label}**<br>`{row.name}`",
            f"`{row.key}`",
            row.default if row.default in ("required", "empty") else f"`{row.default}`",
            row.range,
            " ".join(note for note in notes if note),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the manual pages of all job types.")
    parser.add_argument("folder", nargs="?", default=DOCS, type=Path, help="where (docs/jobs)")
    print(f"{main(parser.parse_args().folder)} pages of job types")
