"""What a job has found so far, on its way to ``results.json``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vitreous.running import record

_UNITS_KEPT: Final = 50
_LINES_PRINTED: Final = 10


class Results:
    """Headline numbers, timing, plots and warnings of one run of a job."""

    def __init__(self) -> None:
        self._headline: dict[str, dict[str, object]] = {}
        self._timing: list[dict[str, object]] = []
        self._plots: dict[str, dict[str, object]] = {}
        self._warnings: dict[str, dict[str, Any]] = {}

    def headline(self, name: str, value: object, unit: str, label: str) -> None:
        """Keep a number that the job is judged by; a later one of the same name replaces it."""
        self._headline[name] = {
            "name": name,
            "value": value,
            "unit": unit,
            "label": label or name,
        }

    def timing(self, phase: Mapping[str, object]) -> None:
        """Keep how long a phase took."""
        self._timing.append(dict(phase))

    def plot(self, name: str, kind: str, title: str, axes: object, data_file: str) -> None:
        """Keep where the data of a plot is."""
        self._plots[name] = {
            "name": name,
            "kind": kind,
            "title": title,
            "axes": axes,
            "data": data_file,
        }

    def warning(self, what: str, unit: str) -> int:
        """Count a warning and return how often it has come."""
        known = self._warnings.setdefault(what, {"what": what, "count": 0, "units": []})
        known["count"] += 1
        if unit and len(known["units"]) < _UNITS_KEPT:
            known["units"].append(unit)
        return int(known["count"])

    def restore_warnings(self, warnings: list[dict[str, Any]]) -> None:
        """Take warnings as `as_dict` gives them."""
        self._warnings |= {one["what"]: dict(one) for one in warnings}

    def warning_lines(self) -> list[str]:
        """Return a summary of the warnings that came more often than they were printed."""
        return [
            f"Warning: {one['what']} ({one['count']} times in all)"
            for one in self._warnings.values()
            if one["count"] > _LINES_PRINTED
        ]

    def as_dict(self) -> dict[str, object]:
        """Return what ``results.json`` holds."""
        return {
            "headline": list(self._headline.values()),
            "timing": self._timing,
            "plots": list(self._plots.values()),
            "warnings": list(self._warnings.values()),
        }


def is_printed(count: int) -> bool:
    """Tell whether a warning that has come so often is still printed."""
    return count <= _LINES_PRINTED


def keep_rank_warning(job_dir: Path, rank: int, what: str, unit: str) -> None:
    """Leave a warning of another rank than the first for `merge_rank_warnings`."""
    with (job_dir / f".warnings_rank{rank}.jsonl").open("a") as stream:
        stream.write(json.dumps([what, unit]) + "\n")


def merge_rank_warnings(job_dir: Path) -> None:
    """Move the warnings of all other ranks to ``results.json``."""
    left = sorted(job_dir.glob(".warnings_rank*.jsonl"))
    if not left:
        return
    known = record.read_results(job_dir)
    results = Results()
    results.restore_warnings(known.get("warnings", []))
    for path in left:
        for text in path.read_text().splitlines():
            with contextlib.suppress(ValueError):
                what, unit = json.loads(text)
                results.warning(what, unit)
        path.unlink()
    known["warnings"] = results.as_dict()["warnings"]
    record.write_results(job_dir, known)
