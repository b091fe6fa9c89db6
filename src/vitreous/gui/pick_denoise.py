"""Micrographs denoised by Topaz, for the picker: Topaz is run here, one micrograph at a time.

Topaz is a program of its own that nothing here imports. What it is given and what it leaves is
prepared and kept by the display worker (`vitreous.programs.display.denoised`).
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vitreous.actions import Project
from vitreous.errors import ComputeError, EnvironmentMissing, VitreousError
from vitreous.gui.display import Display
from vitreous.jobs import job_star, registry
from vitreous.programs.manualpick import topaz_of

_PATCH_PX: Final = 2048
_USUAL: Final = ("relion_python_topaz", "topaz")
_ANSWER_S: Final = 15.0  # an asker that still waits asks again
_GIVEN_UP_S: Final = 40.0
_TAIL: Final = 400
_MISSING: Final = (
    "Topaz is not installed here (looked for {}). Install it, and say where it is: --topaz_exe "
    "PROGRAM as “Additional arguments” of the ManualPick job, or “Topaz program” of an AutoPick "
    "job. Until then the filters above work."
)


class Denoising:
    """Runs Topaz on the micrographs that somebody looks at.

    Parameters
    ----------
    project, display
        The project, and its process that makes pictures.
    """

    def __init__(self, project: Project, display: Display) -> None:
        self._project, self._display = project, display
        self._tasks: dict[str, asyncio.Task[bool]] = {}
        self._asked: dict[str, float] = {}
        self._one = asyncio.Lock()

    async def ask(self, path: str, job: str | None, *, can_write: bool) -> bool:
        """Return whether a micrograph is denoised; where not, do it, and ask again soon.

        Parameters
        ----------
        path
            The micrograph.
        job
            Name of the picking job, whose arguments may name the program.
        can_write
            Whether Topaz may be started.

        Raises
        ------
        EnvironmentMissing
            Topaz is not there.
        ComputeError
            It failed.
        """
        if path not in self._tasks:
            found, _ = await self._display.ask("denoise", path=path, write=False)
            if found["is_ready"] or not can_write:
                return bool(found["is_ready"])
            program = self._program(job)
            self._tasks[path] = asyncio.create_task(self._make(path, program))
        self._asked[path] = time.monotonic()
        task = self._tasks[path]
        await asyncio.wait({task}, timeout=_ANSWER_S)
        if not task.done():
            return False
        self._tasks.pop(path, None)
        return task.result()

    async def close(self) -> None:
        """End what runs."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, path: str, program: str) -> bool:
        async with self._one:
            if time.monotonic() - self._asked[path] > _GIVEN_UP_S:
                return False  # they went on to other micrographs
            found, _ = await self._display.ask("denoise", path=path, write=True)
            if found["is_ready"]:
                return True
            words = [program, "denoise", "--patch-size", str(_PATCH_PX), "-o", found["output"]]
            folder = Path(found["folder"])
            try:
                await _run([*words, found["input"]], folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            await self._display.ask("denoised", path=path)
        return True

    def _program(self, job: str | None) -> str:
        """Return the program: as the job says, as AutoPick last used it, or the usual one."""
        for given in (self._of_job(job), self._of_autopick()):
            if given:
                return given
        found = next(filter(None, map(shutil.which, _USUAL)), None)
        if found is None:
            raise EnvironmentMissing(_MISSING.format(" and ".join(_USUAL)))
        return found

    def _of_job(self, job: str | None) -> str:
        if job is None:
            return ""
        given = topaz_of(job_star.read_job(self._project.root / job).options)
        if given and shutil.which(given) is None:
            raise EnvironmentMissing(_MISSING.format(given))
        return given

    def _of_autopick(self) -> str:
        """Return the program that AutoPick last used here, where there is such a program."""
        try:
            used = job_star.read_last_used(self._project.root, registry.find("autopick"))
        except (VitreousError, OSError):
            return ""
        return (shutil.which(str(used.options.value("topaz_program"))) or "") if used else ""


async def _run(words: Sequence[str], folder: Path) -> None:
    """Run Topaz in a folder; what it says is told where it fails."""
    log = folder / "topaz.log"
    with log.open("wb") as stream:
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            raise EnvironmentMissing(
                f"Topaz program {words[0]}: it cannot be started ({error.strerror})."
            ) from error
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if code:
        tail = " ".join(log.read_text(errors="replace")[-_TAIL:].split())
        raise ComputeError(f"Topaz ended with exit code {code}; its last words: {tail or 'none'}.")
