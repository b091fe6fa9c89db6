"""How ranks share a list of micrographs: through small files in the job folder.

The first rank writes down which units are to be done; every rank takes each n-th of them and
appends to a file of its own what became of each. The first rank reads these files as they grow.
Files, because nobody waits for anybody: a rank may be slow, sit on another machine, or die.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from vitreous.errors import ComputeError
from vitreous.io.atomic import write_text
from vitreous.project import markers

_RENDEZVOUS: Final = "VITREOUS_RENDEZVOUS"
_SIGN_EVERY_S: Final = 10.0
_SILENT_S: Final = 150.0
_LOOK_EVERY_S: Final = 0.1


class Ranks:
    """One rank's share of the work and what it knows of the others.

    Parameters
    ----------
    job_dir
        The job folder.
    rank, n_ranks
        Which process this is, and how many there are.
    environ
        Environment; ``VITREOUS_RENDEZVOUS`` is a name that all ranks of one start have in common.
    silent_s
        A rank that gave no sign for so long is taken as lost.
    """

    def __init__(
        self,
        job_dir: Path,
        rank: int,
        n_ranks: int,
        *,
        environ: Mapping[str, str] = os.environ,
        silent_s: float = _SILENT_S,
    ) -> None:
        start = Path(environ.get(_RENDEZVOUS, "alone")).name.removeprefix(".rendezvous_")
        self.job_dir, self.rank, self.n_ranks = job_dir, rank, n_ranks
        self._folder = job_dir / f".units_{start}"
        self._silent_s = silent_s
        self._read_to = dict.fromkeys(range(1, n_ranks), 0)
        self._next_sign = 0.0
        # When each rank's file was last seen to change, by the clock of this machine alone.
        self._changed = dict.fromkeys(range(1, n_ranks), (0.0, time.monotonic()))

    def deal(self, numbers: Sequence[int]) -> None:
        """Tell all ranks which units are to be done; the first rank calls it."""
        if self.n_ranks == 1:
            return
        for old in self.job_dir.glob(".units_*"):  # of starts that were killed
            if old != self._folder:
                shutil.rmtree(old, ignore_errors=True)
        self._folder.mkdir(exist_ok=True)
        write_text(self._folder / "dealt.json", json.dumps(list(numbers)))

    def dealt(self, on_wait: Callable[[], None]) -> list[int]:
        """Wait for the first rank and return which units are to be done."""
        plan = self._folder / "dealt.json"
        while not plan.exists():
            on_wait()
            self._require_unfinished()
            time.sleep(_LOOK_EVERY_S)
        numbers: list[int] = json.loads(plan.read_text())
        return numbers

    def tell(self, number: int, failure: str) -> None:
        """Leave word of a unit for the first rank; `failure` is empty where it went well."""
        if self.rank:
            with self._file(self.rank).open("a") as stream:
                stream.write(json.dumps([number, failure]) + "\n")

    def give_sign(self) -> None:
        """Show that this rank lives, and raise where the job has ended; cheap, called often."""
        if self.rank and time.monotonic() >= self._next_sign:
            self._next_sign = time.monotonic() + _SIGN_EVERY_S
            self._file(self.rank).touch()
            self._require_unfinished()

    def told(self) -> Iterator[tuple[int, str]]:
        """Yield what the other ranks left since the last call: number and failure."""
        for rank, offset in self._read_to.items():
            path = self._file(rank)
            if not path.exists():
                continue
            with path.open("rb") as stream:
                stream.seek(offset)
                # A line that is still being written is taken the next time.
                whole = stream.read().rpartition(b"\n")[0]
            if whole:
                self._read_to[rank] = offset + len(whole) + 1
                for line in whole.splitlines():
                    number, failure = json.loads(line)
                    yield number, failure

    def require_alive(self) -> None:
        """Raise where another rank has failed or gives no sign any more."""
        self._require_unfinished()
        clock = time.monotonic()
        for rank, (stamp, since) in self._changed.items():
            path = self._file(rank)
            now = path.stat().st_mtime if path.exists() else 0.0
            if now != stamp:
                self._changed[rank] = now, clock
            elif clock - since > self._silent_s:
                raise ComputeError(
                    f"{self.job_dir}: rank {rank} of {self.n_ranks} gave no sign for "
                    f"{self._silent_s:.0f} s; its process or its machine is lost. Continue the "
                    "job: what is finished is kept."
                )

    def forget(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _require_unfinished(self) -> None:
        """Raise where the job has an exit marker already: another rank ended it."""
        ended = markers.read_marker(self.job_dir)
        if ended is not None:
            raise ComputeError(
                f"{self.job_dir}: the job was ended ({ended.lower()}) by another rank, which "
                "run.err tells of. Continue the job: what is finished is kept."
            )

    def _file(self, rank: int) -> Path:
        return self._folder / f"rank{rank}.jsonl"
