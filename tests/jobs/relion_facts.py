"""What `golden/jobs.yaml` says about RELION's job types, as something that can be asked.

Its expressions are Python over options (booleans as such, everything else as text); the block
`conventions` of the file explains them, and this is an interpreter of that block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

GOLDEN = Path(__file__).parent.parent / "golden" / "jobs.yaml"
Values = Mapping[str, "bool | str"]


@cache
def facts() -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(GOLDEN.read_text(encoding="utf-8"), Loader=loader)


def names() -> list[str]:
    return [job["name"] for job in facts()["jobs"]]


@cache
def job(name: str) -> dict[str, Any]:
    return next(job for job in facts()["jobs"] if job["name"] == name)


@cache
def options(name: str) -> list[dict[str, Any]]:
    """Return the options of a job in the order of the window, with the running tab."""
    described = job(name)
    own = [option for tab in described["tabs"] for option in tab["options"]]
    return own + list(_running(described))


def _running(described: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    missing = {"nr_mpi": not described["mpi"], "nr_threads": not described["threads"]}
    for option in facts()["running_tab"]["options"]:
        if not option.get("template") and not missing.get(option["key"], False):
            yield option


def choices(option: Mapping[str, Any]) -> list[str]:
    return facts()["choices"][option["choices"]]


class Ask:
    """The expressions of one job type, for one set of values.

    Parameters
    ----------
    name
        RELION's name of the type.
    values
        By key: booleans, and the texts of all others.
    out, project
        Job folder with its slash; folder in which files are looked for.
    cont
        Whether the job goes on.
    """

    def __init__(self, name: str, values: Values, out: str, project: Path, *, cont: bool) -> None:
        self.job = job(name)
        self.project = project
        self.names: dict[str, Any] = {
            **values,
            "num": _num,
            "rnd": _rnd,
            "z3": _z3,
            "basename": _basename,
            "after_last": _after_last,
            "other_half": _other_half,
            "matches": lambda regex, text: re.fullmatch(regex, text) is not None,
            "index": self._index,
            "exists": self._exists,
            "rows": self._rows,
            "new": not cont,
            "cont": cont,
            "mpi": _num(values.get("nr_mpi", "1")) > 1,
            "out": out,
        }
        self._lists = [choices(o) for o in options(name) if o["kind"] == "radio"]
        for key, expression in self.job.get("let", {}).items():
            self.names[key] = self.ask(expression)

    def ask(self, expression: str) -> Any:
        return eval(_compiled(expression), {"__builtins__": _BUILTINS}, self.names)

    def enabled(self, option: Mapping[str, Any]) -> bool:
        return bool(self.ask(option.get("enabled_when", "True")))

    def refused(self) -> list[str]:
        return [check["if"] for check in self.job["checks"] if self.ask(check["if"])]

    def label(self) -> str:
        parts = [
            part if isinstance(part, str) else part["add"]
            for part in self.job["sublabels"]
            if isinstance(part, str) or self.ask(part["if"])
        ]
        return self.job["label"] + "".join(parts)

    def inputs(self) -> set[tuple[str, str]]:
        found = set()
        described = {option["key"]: option for option in options(self.job["name"])}
        for item in self.job["inputs"]:
            key = item if isinstance(item, str) else item["option"]
            when = "True" if isinstance(item, str) else item.get("when", "True")
            node = None if isinstance(item, str) else item.get("type")
            if self.ask(when) and self.names[key]:
                found.add((self.names[key], node or described[key]["node"]))
        return found

    def outputs(self) -> dict[str, str]:
        """Return node type by file; of two with one name RELION keeps the first."""
        found: dict[str, str] = {}
        for item in self.job["outputs"]:
            if not self.ask(item.get("when", "True")):
                continue
            for names_ in self._each(item.get("each")):
                self.names.update(names_)
                found.setdefault(self._text(item["file"]), item["type"])
        return found

    def _each(self, each: str | None) -> Iterator[dict[str, int]]:
        if each is None:
            yield {}
            return
        name, last = re.fullmatch(r"(\w+) in 1\.\.(\w+)", each).groups()
        for number in range(1, self.ask(last) + 1):
            yield {name: number}

    def _text(self, pattern: str) -> str:
        return re.sub(
            r"\{(=?)(.+?)\}",
            lambda m: str(self.ask(m[2].strip())) if m[1] else str(self.names[m[2]]),
            pattern,
        )

    def _index(self, text: str) -> int:
        return next(values.index(text) for values in self._lists if text in values)

    def _exists(self, path: str) -> bool:
        return bool(path) and (self.project / path).is_file()

    def _rows(self, path: str) -> int:
        if not self._exists(path):
            return 0
        text = (self.project / path).read_text(encoding="utf-8")
        return sum(1 for line in text.splitlines() if line.strip().startswith("mask"))


_BUILTINS = {"int": int, "bool": bool, "round": round, "max": max, "min": min}


@cache
def _compiled(expression: str) -> Any:
    return compile(expression, "jobs.yaml", "eval")


def _num(text: str) -> float:
    return 0.0 if text.startswith("$$") else float(text)


def _rnd(number: float) -> int:
    return round(number)


def _z3(number: int) -> str:
    return f"{number:03d}"


def _basename(path: str) -> str:
    return PurePosixPath(path).name


def _after_last(text: str, char: str) -> str:
    return text.rpartition(char)[2]


def _other_half(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    swapped = name.replace("half1", "\0").replace("half2", "half1").replace("\0", "half2")
    return folder + slash + swapped
