"""What people typed and have not used yet: forms, settings of viewers, selections.

Each is a small file of the project, below ``.vitreous/drafts``, and may be deleted at any time. A
change names the version that it is based on, so that two windows never overwrite each other
unseen. A project that may not be written keeps them in memory only.
"""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any, Final

from vitreous.errors import InputError
from vitreous.gui.models.project import DraftBody
from vitreous.io.atomic import write_text
from vitreous.running.record import now, plain

FOLDER: Final = ".vitreous/drafts"
_MOST_BYTES: Final = 8 << 20
_MOST: Final = 2000


class Drafts:
    """The drafts of a project.

    Parameters
    ----------
    root
        The project folder.
    in_memory
        Write nothing.
    """

    def __init__(self, root: Path, *, in_memory: bool = False) -> None:
        self._folder = None if in_memory else root / FOLDER
        self._known: dict[str, DraftBody] = {}
        self._lock = threading.Lock()

    def read(self, key: str) -> DraftBody:
        """Return what is kept under a key; version 0 where there is nothing."""
        with self._lock:
            return self._read(key)

    def write(self, key: str, value: object, version: int, by: str | None) -> DraftBody | None:
        """Keep a value.

        Parameters
        ----------
        key
            What it is a draft of: ``form/class2d``, ``settings``.
        value
            Anything that JSON knows.
        version
            Of the value that this one is based on; 0 where there was none.
        by
            Who.

        Returns
        -------
        DraftBody | None
            What is kept now; None where somebody else changed it, and nothing was written.
        """
        with self._lock:
            old = self._read(key)
            if old.version != version:
                return None
            new = DraftBody(key=key, value=plain(value), version=version + 1, saved=now(), by=by)
            self._keep(new)
            return new

    def remove(self, key: str) -> None:
        """Forget a draft; its version goes on, so that an old window is told."""
        with self._lock:
            old = self._read(key)
            if old.value is not None:
                self._keep(DraftBody(key=key, version=old.version + 1, saved=now()))

    def _read(self, key: str) -> DraftBody:
        if self._folder is None:
            return self._known.get(key, DraftBody(key=key))
        try:
            kept = json.loads(self._file(key).read_text())
            return DraftBody(**kept)
        except (OSError, ValueError, TypeError):
            return DraftBody(key=key)

    def _keep(self, draft: DraftBody) -> None:
        text = json.dumps(draft.model_dump())
        if len(text) > _MOST_BYTES:
            raise InputError(f"the draft {draft.key} has {len(text) >> 20} MiB, at most 8 are kept")
        if self._folder is None:
            self._known[draft.key] = draft
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._file(draft.key)
        if not file.exists() and sum(1 for _ in self._folder.iterdir()) >= _MOST:
            raise InputError(f"{self._folder} holds {_MOST} drafts; remove those you do not need")
        write_text(file, text)

    def _file(self, key: str) -> Path:
        if self._folder is None:
            raise InputError("drafts of this project are in memory")
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def kept_settings(drafts: Drafts) -> dict[str, Any]:
    """Return the display settings of a project."""
    value = drafts.read("settings").value
    return value if isinstance(value, dict) else {}
