"""A copy of the particles on a fast disk of this computer (refinement.md section 16).

The copy is a folder ``relion_volatile`` as RELION's, with one stack for each optics group. All
processes of a job on one computer share it: the first makes it, the others wait. It is held by a
lock while a job uses it, so that no other job wipes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement.engine_data import Stacks, with_images_in
from vitreous.dataset.refinement.machine import Machine
from vitreous.errors import EnvironmentMissing, InputError
from vitreous.io import StackWriter
from vitreous.io.atomic import write_text

FOLDER = "relion_volatile"
MANIFEST = "particles.json"
LOCK = "relion_volatile.lock"
_OURS = re.compile(r"opticsgroup\d+_particles\.mrcs|particles\.json|\..*\.tmp")
_PIXEL_BYTES = 4
_BATCH_BYTES = 64 << 20
_POLL_S = 0.2
_PATIENCE = 10  # refusals in a row, about two seconds
_EVERYBODY = 0o777


@dataclass(frozen=True)
class ScratchCopy:
    """Where images are read from.

    Parameters
    ----------
    particles
        With images on the fast disk, as far as they fitted.
    n_copied
        How many are there.
    was_there
        An earlier run, or another process of this one, had made it.
    """

    particles: Particles
    n_copied: int = 0
    was_there: bool = False


@contextlib.contextmanager
def on_scratch(
    particles: Particles,
    machine: Machine,
    *,
    session: str,
    each: Callable[[int], None] = lambda _: None,
) -> Iterator[ScratchCopy]:
    """Read images from a fast disk while the block runs; without a scratch folder change nothing.

    Parameters
    ----------
    particles
        The particles.
    machine
        Scratch folder, what stays free on it, whether a copy is kept or used again. With images
        kept in memory there is no copy.
    session
        What all processes of this run, and no other run, have in common.
    each
        Called with the number of images copied; may raise to stop.

    Raises
    ------
    EnvironmentMissing
        The folder is not there, cannot be written, or another job uses it.
    InputError
        It holds files that are not a copy of particles.
    """
    if not machine.scratch_folder or machine.preread:
        yield ScratchCopy(particles)
        return
    place = _Place(Path(machine.scratch_folder), particles, machine, session)
    with place.lock() as lock:
        copied, was_there = place.ready(lock, each)
        yield ScratchCopy(place.moved(copied), int(copied.sum()), was_there)
        if not machine.keep_scratch:
            place.remove(lock)


class _Place:
    """The folder of a copy."""

    def __init__(self, base: Path, particles: Particles, machine: Machine, session: str) -> None:
        self.base, self.folder = base, base / FOLDER
        self.particles, self.machine, self.session = particles, machine, session
        self.stacks = Stacks(particles)
        self.digest = _digest(particles, self.stacks)

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        try:
            path = self.base / LOCK
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            with contextlib.suppress(PermissionError):
                path.chmod(0o666)  # whatever the umask: the next job may be another user's
        except OSError as error:
            raise EnvironmentMissing(
                f"The scratch folder {self.base} cannot be used: {error.strerror}. Give a folder "
                "on a disk of this computer that you may write to, or none."
            ) from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def ready(self, lock: int, each: Callable[[int], None]) -> tuple[NDArray[np.bool_], bool]:
        """Wait for the copy of another process, use an old one, or make it; hold it shared."""
        refusals = 0
        while refusals < _PATIENCE:
            if not _try(lock, fcntl.LOCK_SH):
                refusals = 0  # somebody is copying
            elif self._is_of_this_run():
                return self._rows(self._manifest()), True
            else:
                fcntl.flock(lock, fcntl.LOCK_UN)
                if _try(lock, fcntl.LOCK_EX) and not self._is_of_this_run():
                    was_there = self._take_or_make(each)
                    fcntl.flock(lock, fcntl.LOCK_SH)
                    return self._rows(self._manifest()), was_there
                refusals += 1  # somebody reads
            time.sleep(_POLL_S * (0.5 + random.random()))
        raise EnvironmentMissing(
            f"{self.folder} is in use by another job. Give another scratch folder, or wait until "
            "that job has ended."
        )

    def _is_of_this_run(self) -> bool:
        return self._manifest().get("session") == self.session

    def _take_or_make(self, each: Callable[[int], None]) -> bool:
        known = self._manifest()
        is_same = self.machine.reuse_scratch and known.get("digest") == self.digest
        if is_same and self._is_whole(known):
            self._write_manifest(np.array(known["counts"]))
            return True
        try:
            self._wipe()
            self._make_folder()
        except PermissionError as error:
            raise EnvironmentMissing(
                f"{self.folder} cannot be wiped: {error.strerror}. It belongs to somebody else; "
                "give another scratch folder."
            ) from None
        self._copy(each)
        return False

    def _is_whole(self, known: dict[str, object]) -> bool:
        rows = self._rows(known)
        groups = {int(group) for group in self.particles.group[rows]}
        return all(self._stack(group).is_file() for group in groups)

    def _wipe(self) -> None:
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise InputError(f"{self.folder} is not a folder; remove it, or give another place.")
        if not self.folder.exists():
            return
        names = sorted(path.name for path in self.folder.iterdir())
        foreign = [name for name in names if not _OURS.fullmatch(name)]
        if foreign:
            raise InputError(
                f"{self.folder} holds {', '.join(foreign[:3])}, which is no copy of "
                "particles, so it is not wiped. Move that away, or give another scratch folder."
            )
        for name in names:
            (self.folder / name).unlink()
        with contextlib.suppress(OSError):  # in a folder like /tmp it stays, empty
            self.folder.rmdir()

    def _make_folder(self) -> None:
        self.folder.mkdir(exist_ok=True)
        with contextlib.suppress(PermissionError):  # somebody else's, and so it is writable
            self.folder.chmod(_EVERYBODY)  # another user's job must be able to wipe it

    def _copy(self, each: Callable[[int], None]) -> None:
        counts = np.zeros(len(self.particles.optics_table), np.int64)
        free = shutil.disk_usage(self.base).free - int(self.machine.keep_free_MiB * 2**20)
        bytes_of = _PIXEL_BYTES * self.particles.optics.box_px.numpy() ** 2
        fits = np.cumsum(bytes_of[self.particles.group]) <= free
        for group in range(len(counts)):
            rows = np.flatnonzero((self.particles.group == group) & fits)
            if rows.size and self._copy_group(group, rows, each):
                counts[group] = rows.size
        self._write_manifest(counts)

    def _copy_group(self, group: int, rows: NDArray[np.int64], each: Callable[[int], None]) -> bool:
        box = self.particles.box_px(group)
        step = max(1, _BATCH_BYTES // (_PIXEL_BYTES * box * box))
        path = self._stack(group)
        try:
            with StackWriter(path, (box, box), self.particles.pixel_size_A(group)) as stack:
                for start in range(0, rows.size, step):
                    part = rows[start : start + step]
                    stack.write(self.stacks.read(part).numpy())
                    each(part.size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return False  # somebody else filled the disk: read this group from where it was
            raise
        path.chmod(0o666)
        return True

    def _stack(self, group: int) -> Path:
        return self.folder / f"opticsgroup{group + 1}_particles.mrcs"

    def _write_manifest(self, counts: NDArray[np.int64]) -> None:
        about = {"session": self.session, "digest": self.digest, "counts": counts.tolist()}
        write_text(self.folder / MANIFEST, json.dumps(about))
        (self.folder / MANIFEST).chmod(0o666)

    def _manifest(self) -> dict[str, object]:
        try:
            found = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) and "counts" in found else {}

    def _rows(self, known: dict[str, object]) -> NDArray[np.bool_]:
        """Return which particles are in the copy: the first of each optics group."""
        counts = np.array(known["counts"], np.int64)
        return _number_in_group(self.particles.group) < counts[self.particles.group]

    def moved(self, copied: NDArray[np.bool_]) -> Particles:
        group, number = self.particles.group, _number_in_group(self.particles.group)
        old = self.particles.table["rlnImageName"].tolist()
        stacks = [str(self._stack(g).absolute()) for g in range(len(self.particles.optics_table))]
        names = [
            f"{number[row] + 1:06d}@{stacks[group[row]]}" if copied[row] else old[row]
            for row in range(len(old))
        ]
        return with_images_in(self.particles, names)

    def remove(self, lock: int) -> None:
        """Remove the copy, unless another process of this job still reads it and will do so."""
        fcntl.flock(lock, fcntl.LOCK_UN)
        if _try(lock, fcntl.LOCK_EX) and self._is_of_this_run():
            self._wipe()


def _number_in_group(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each particle how many of its optics group stand before it."""
    number = np.empty(len(group), np.int64)
    for one in np.unique(group):
        rows = np.flatnonzero(group == one)
        number[rows] = np.arange(rows.size)
    return number


def _try(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _digest(particles: Particles, stacks: Stacks) -> str:
    """Return what tells one list of images, as they are on the disk now, from another."""
    found = hashlib.blake2b(digest_size=16)
    for name in particles.table["rlnImageName"].tolist():
        found.update(name.encode() + b"\0")
    found.update(particles.group.tobytes())
    for path in stacks.paths:
        status = Path(path.partition(":")[0]).stat()
        found.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return found.hexdigest()
