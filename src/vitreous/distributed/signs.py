"""Signs of life of the processes of a job, and how far each is: small files in the job folder.

A connection that breaks tells of a process that died. A computer that lost its power or its
network tells nothing, so every process touches a file of its own while it lives.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from pathlib import Path
from typing import Final

from vitreous.errors import ComputeError
from vitreous.project import markers

_FOLDER: Final = ".ranks_"
_TOUCH_EVERY_S: Final = 10.0
_COUNT_EVERY_S: Final = 0.5
_SILENT_S: Final = 150.0


class Signs:
    """What one rank shows, and what it sees of the others.

    Parameters
    ----------
    rendezvous
        The file through which the ranks met; theirs lie beside it, in a folder of their own.
    rank, n_ranks
        Which process this is, and how many there are.
    silent_s
        A rank that gave no sign for so long is taken as lost.
    """

    def __init__(
        self, rendezvous: Path, rank: int, n_ranks: int, *, silent_s: float = _SILENT_S
    ) -> None:
        start = rendezvous.name.removeprefix(".rendezvous_")
        self.job_dir = rendezvous.parent
        self.folder = self.job_dir / f"{_FOLDER}{start}"
        self._rank, self._n_ranks, self._silent_s = rank, n_ranks, silent_s
        self._done = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._give, daemon=True, name="signs of life")

    def begin(self) -> None:
        """Give a sign from now on; the first rank also removes those of starts that were killed."""
        if self._rank == 0:
            for old in self.job_dir.glob(f"{_FOLDER}*"):
                if old != self.folder:
                    shutil.rmtree(old, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        self._file(self._rank).write_text("0")
        self._thread.start()

    def end(self) -> None:
        """Give no more signs."""
        self._over.set()
        self._thread.join()

    def forget(self) -> None:
        """Remove the files of all ranks, and whatever else lies in their folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_at(self, done: int) -> None:
        """Tell the others how much of its share this rank has done."""
        self._done = done

    def total_done(self) -> int:
        """Return how much all ranks have done, as far as they told."""
        others = (self._told(rank) for rank in range(self._n_ranks) if rank != self._rank)
        return self._done + sum(others)

    def require_all(self) -> None:
        """Raise where the job was ended by another rank, or a rank is lost.

        Raises
        ------
        ComputeError
            Says which, and what to do.
        """
        ended = markers.read_marker(self.job_dir)
        if ended is not None:
            raise ComputeError(
                f"{self.job_dir}: the job was ended ({ended.lower()}) by another rank, which "
                "run.err tells of. Continue the job from its last iteration."
            )
        now = self._last_sign(self._rank)  # by the clock of the disk
        if now == float("inf"):  # before the beginning, when the first rank clears the folder
            return
        for rank in range(self._n_ranks):
            if now - self._last_sign(rank) > self._silent_s:
                raise ComputeError(
                    f"{self.job_dir}: rank {rank} of {self._n_ranks} gave no sign for "
                    f"{self._silent_s:.0f} s; its process or its computer is lost. Continue the "
                    "job from its last iteration."
                )

    def _give(self) -> None:
        told, at = 0, time.monotonic()
        while not self._over.wait(_COUNT_EVERY_S):
            done = self._done
            if done != told or time.monotonic() - at > _TOUCH_EVERY_S:
                with contextlib.suppress(OSError):  # a full disk must not end the job
                    self._file(self._rank).write_text(str(done))
                told, at = done, time.monotonic()

    def _told(self, rank: int) -> int:
        try:
            return int(self._file(rank).read_text() or 0)
        except (OSError, ValueError):  # while it is being written
            return 0

    def _last_sign(self, rank: int) -> float:
        try:
            return self._file(rank).stat().st_mtime
        except OSError:  # an end in order, or not yet there
            return float("inf")

    def _file(self, rank: int) -> Path:
        return self.folder / f"rank{rank}"
