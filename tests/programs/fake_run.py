"""A `vitreous.jobs.context.Run` that keeps what a program hands in, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vitreous.jobs.context import Aborted


@dataclass
class FakeRun:
    """See `vitreous.jobs.context.Run`; everything handed in is kept in lists."""

    project: Path
    folder: str
    is_continue: bool = False
    n_threads: int = 1
    rank: int = 0
    n_ranks: int = 1
    abort_after: int | None = None
    warnings: list[tuple[str, str]] = field(default_factory=list)
    headlines: dict[str, float | str] = field(default_factory=dict)
    plots: dict[str, Mapping[str, object]] = field(default_factory=dict)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    advanced: int = 0
    n_bytes: float = 0.0

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def path(self) -> Path:
        return self.project / self.folder

    @contextmanager
    def phase(self, name: str, total: int, unit: str) -> Iterator[FakeRun]:
        assert name
        assert unit
        assert total >= 0
        yield self

    def advance(self, n: int = 1) -> None:
        self.advanced += n

    def work(self, flop: float = 0.0, n_bytes: float = 0.0) -> None:
        self.n_bytes += n_bytes

    def check_abort(self) -> None:
        if self.abort_after is not None and self.advanced >= self.abort_after:
            raise Aborted

    def warn(self, what: str, unit: str = "") -> None:
        self.warnings.append((what, unit))

    def headline(self, name: str, value: float | str, unit: str = "", label: str = "") -> None:
        self.headlines[name] = value

    def plot(self, name: str, kind: str, title: str, data: Mapping[str, object]) -> None:
        assert kind
        assert title
        self.plots[name] = data

    def add_output(self, path: str, node_type: str) -> None:
        self.outputs.append((path, node_type))

    def say(self, text: str) -> None:
        self.lines.append(text)

    @property
    def told(self) -> str:
        """All warnings as one text."""
        return "\n".join(f"{what} [{unit}]" for what, unit in self.warnings)
