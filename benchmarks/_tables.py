"""The accuracy benchmark as a page of tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

ABOUT = """# Accuracy beside RELION 3.1.3 and the truth

Made by `python -m benchmarks.accuracy`; all figures and command lines are in `accuracy.json`.
Maps are laid on the truth by rotation and shift, inside the sphere of the mask; resolution is where
the FSC with the truth falls below 0.5. Errors of poses are modulo symmetry, and in C1 without the
one rotation and shift that all have in common. Both programs had the same files, start and halves.
Names that end in `_few` have few particles, so that RELION ends in an hour. A row that names an
iteration: RELION was stopped after it, and ours is shown at the same stage of its own schedule.
Seconds in the file are wall time on a busy machine and compare nothing.
"""
TITLES = {
    "resolution_A": "against truth, Å",
    "shell": "shell",
    "mean_fsc": "mean FSC",
    "median_deg": "median error, °",
    "within_5_deg_percent": "within 5°, %",
    "median_A": "median shift error, Å",
    "its_own_resolution_A": "says, Å",
    "purity_percent": "purity, %",
    "classes_used": "classes used",
    "well_resolved": "of 20 Å or better",
    "resolutions_A": "each, Å",
    "largest_fsc": "largest FSC",
    "largest_deviations": "in deviations",
    "mean_deviations": "mean, deviations",
    "joined_fsc": "FSC of joined shells",
}


def markdown(result: dict[str, Any]) -> str:
    """Return all comparisons, a table each."""
    return "\n".join([ABOUT, *_pages(result), ""])


def _pages(result: dict[str, Any]) -> Iterator[str]:
    rows = result["rows"]
    for name in dict.fromkeys(row["comparison"] for row in rows):
        mine = [row for row in rows if row["comparison"] == name]
        yield f"## {name}\n"
        yield f"{result['particles'][name.partition('/')[0]]}.\n"
        if "succeeded" in mine[0]["quality"]:
            good = sum(row["quality"]["succeeded"] for row in mine)
            yield f"{good} of {len(mine)} seeds reach 20 Å.\n"
        yield from table(mine)
        yield ""


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Return the lines of one table: a row for each run, a column for each measure of any run."""
    labels = list(dict.fromkeys(label for row in rows for label in row["quality"]))
    yield _line(
        ["program", "seed", *(TITLES.get(label, label.replace("_", " ")) for label in labels)]
    )
    yield _line(["---"] * (len(labels) + 2))
    for row in rows:
        yield _line([_who(row), row["seed"], *(_text(row["quality"].get(x, "")) for x in labels)])


def _who(row: dict[str, Any]) -> str:
    """Return the program, and the iteration where RELION was stopped and both are compared."""
    return str(row["program"]) + (f", iteration {row['iteration']}" if "iteration" in row else "")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(f"{one:g}" for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
