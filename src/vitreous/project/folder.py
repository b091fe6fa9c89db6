"""A project on disk: reading its pipeline, and changing it under the lock.

RELION's files are the database (pipeline.md section 1). Reading never locks and never writes;
a change holds the lock, reads, lets the caller change the graph in memory, and replaces the
file as a whole: a reader or a power cut finds the old pipeline or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vitreous.errors import NotAProjectError, ProjectError
from vitreous.io.atomic import write_bytes, write_text
from vitreous.project import links, lock, mirror
from vitreous.project.paths import check_inside
from vitreous.project.pipeline import Form, Pipeline
from vitreous.project.pipeline_file import parse_pipeline
from vitreous.project.pipeline_text import RowCache, format_pipeline

PROJECT_FILE: Final = ".gui_projectdir"
HAS_CHANGED: Final = ".pipeline_has_changed"
TRASH: Final = "Trash"

_Stamp = tuple[int, int, int]
_PATIENCE_S: Final = 1.0


class ProjectFolder:
    """A project folder.

    Parameters
    ----------
    root
        The folder.
    name
        Name of the pipeline: `name` ``_pipeline.star`` is its file.
    read_only
        Never lock and never write; `edit` is refused.
    policy
        How long to wait for the lock.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        name: str = "default",
        read_only: bool = False,
        policy: lock.LockPolicy | None = None,
    ) -> None:
        self.root = Path(root).absolute()
        self.name = name
        self.read_only = read_only
        self.policy = policy or lock.LockPolicy()
        self._cached: tuple[_Stamp, Pipeline] | None = None
        self._row_cache = RowCache()

    @classmethod
    def create(cls, root: Path | str, form: Form = "5.0") -> ProjectFolder:
        """Make a folder a project, or open the one that is there.

        Parameters
        ----------
        root
            The folder; it is made where it does not exist.
        form
            Which RELION's form a new pipeline file has.
        """
        folder = cls(root)
        if folder.root.exists() and not folder.root.is_dir():
            raise ProjectError(f"{root} is a file, wanted a folder; give another name.")
        try:
            folder.root.mkdir(parents=True, exist_ok=True)
            (folder.root / PROJECT_FILE).touch()
            if not folder.file.exists():
                with lock.locked(folder.root, "making the project", policy=folder.policy):
                    if not folder.file.exists():
                        write_text(folder.file, format_pipeline(Pipeline(form=form)))
        except OSError as error:
            raise _cannot_make(folder.root, error) from error
        return folder

    @classmethod
    def open(cls, root: Path | str, *, read_only: bool = False) -> ProjectFolder:
        """Open a project: a folder with a pipeline file or the mark of a project.

        Raises
        ------
        NotAProjectError
            It is none; the message names the project above or below, if there is one.
        """
        folder = cls(root, read_only=read_only)
        if not (folder.file.exists() or (folder.root / PROJECT_FILE).exists()):
            raise NotAProjectError(_not_a_project(folder.root))
        return folder

    @property
    def file(self) -> Path:
        """The pipeline file."""
        return self.root / f"{self.name}_pipeline.star"

    @property
    def trash(self) -> Path:
        """The folder of deleted jobs and cleaned files."""
        return self.root / TRASH

    def job_dir(self, name: str) -> Path:
        """Return the folder of a job; a name that leads out of the project is refused."""
        return self.root / check_inside(self.root, name)

    def read(self) -> Pipeline:
        """Return the pipeline as it is on disk. Shared between callers: do not change it.

        The file is read again only when its time, size or inode changed. Missing alias
        symlinks are made anew, unless the project was opened read-only.

        Raises
        ------
        ProjectError
            The file is missing or corrupted; the message names the repair.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._read_once()
            except ProjectError:
                # RELION writes in place: somebody may be in the middle of it.
                if not (self.root / lock.FOLDER).exists() or time.monotonic() > deadline:
                    raise
                time.sleep(self.policy.retry_s)

    @contextlib.contextmanager
    def edit(self, reason: str) -> Iterator[Pipeline]:
        """Give the pipeline to change; it is written when the block ends well.

        A job that the block added gets its folder, its `job_pipeline.star` and the backup of
        the whole pipeline in it. Where the block raises nothing is written.

        Parameters
        ----------
        reason
            Why, shown to whoever waits for the lock.

        Raises
        ------
        LockedError
            Somebody else holds the project.
        ProjectError
            It cannot be written, is corrupted, or was opened read-only.
        """
        with self._held(reason) as held:
            before = self._read_once()
            pipeline = before.copy()
            pipeline.number_is_taken = self._number_is_on_disk
            yield pipeline
            if not held.is_ours():
                raise ProjectError(
                    f"{self.root}: the lock was taken away while {reason}; nothing was written. "
                    f"Try again."
                )
            self._write(before, pipeline)

    @contextlib.contextmanager
    def locked(self, reason: str) -> Iterator[Pipeline]:
        """Give the pipeline to look at while nobody can change it; errors as of `edit`."""
        with self._held(reason):
            yield self._read_once()

    @contextlib.contextmanager
    def _held(self, reason: str) -> Iterator[lock.Lock]:
        if self.read_only:
            raise ProjectError(f"{self.root} was opened read-only; nothing was changed ({reason}).")
        with lock.locked(self.root, reason, name=self.name, policy=self.policy) as held:
            yield held

    def _read_once(self) -> Pipeline:
        try:
            stamp = _stamp(self.file)
            if self._cached and self._cached[0] == stamp:
                return self._cached[1]
            data = self.file.read_bytes()
        except FileNotFoundError as error:
            raise ProjectError(
                f"{self.file}: the pipeline file is missing. `vitreous repair` puts the newest "
                f"backup from the job folders back; in an empty project `vitreous init` makes one."
            ) from error
        except OSError as error:
            raise ProjectError(f"{self.file}: cannot be read ({error.strerror}).") from error
        pipeline = parse_pipeline(data, str(self.file))
        self._cached = (stamp, pipeline)
        if not self.read_only:
            links.remake_missing(self.root, pipeline)
        return pipeline

    def _write(self, before: Pipeline, pipeline: Pipeline) -> None:
        content = format_pipeline(pipeline, self._row_cache).encode()
        try:
            for name in pipeline.added:
                self.job_dir(name).mkdir(parents=True, exist_ok=True)
            for left_over in self.root.glob(f".{self.file.name}.*.tmp"):
                left_over.unlink()  # of a writer that was killed; nobody else writes now
            write_bytes(self.file, content)
            (self.root / HAS_CHANGED).touch()
        except OSError as error:
            raise cannot_write(self.root, error) from error
        self._cached = (_stamp(self.file), pipeline)
        mirror.follow(self.root, self.name, before, pipeline, content)

    def _number_is_on_disk(self, number: int) -> bool:
        """Tell whether some type folder holds a job of this number that the pipeline lacks."""
        folder = f"job{number:03d}"
        with os.scandir(self.root) as entries:
            return any(
                entry.is_dir() and entry.name != TRASH and os.path.lexists(f"{entry.path}/{folder}")
                for entry in entries
                if not entry.name.startswith(".")
            )


def _cannot_make(root: Path, error: OSError) -> ProjectError:
    """Return what to tell when a folder cannot become a project."""
    if isinstance(error, ProjectError):
        return error
    why = os.strerror(error.errno) if error.errno else str(error)
    return ProjectError(
        f"{error.filename or root}: cannot be written ({why}). Make the project in another folder."
    )


def cannot_write(root: Path, error: OSError) -> ProjectError:
    """Return what to tell when a file system refuses a change; our own errors say it already."""
    if isinstance(error, ProjectError):
        return error
    advice = lock.ADVICE.get(error.errno or 0, "check the file system")
    where = error.filename or root
    why = os.strerror(error.errno) if error.errno else str(error)
    return ProjectError(
        f"{where}: cannot be written ({why}): {advice}. The pipeline file is as it was."
    )


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _not_a_project(root: Path) -> str:
    typed = shlex.quote(str(root))
    if not root.is_dir():
        return f"{root} is not a folder. `vitreous init {typed}` makes it a project."
    above = next((p for p in root.parents if (p / PROJECT_FILE).exists()), None)
    if above:
        there = shlex.quote(str(above))
        return f"{root} is not a project, but {above} is one: go there, or give --project {there}."
    try:
        below = sorted(path.parent.name for path in root.glob(f"*/{PROJECT_FILE}"))
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "")
        return f"{root} cannot be read ({reason})."
    if below:
        return f"{root} is not a project, but these folders in it are: {', '.join(below[:5])}."
    return f"{root} is not a project. `vitreous init {typed}` makes it one."
