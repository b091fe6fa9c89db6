"""`vitreous benchmark gui`: what the web server costs, through a server in a process of its own.

A project of 2,000 finished jobs and 20,000 files, and a stack of 500 images, are made; the server
is started as a user does it. Measured: how soon it answers, how long the list of jobs takes,
processor time and memory while one page is open and nothing happens, and 500 thumbnails that nobody
saw yet; and, where Chromium is there, what people feel in the pages (`benchmark_pages`).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import numpy as np

from vitreous.errors import EnvironmentMissing
from vitreous.io import write_mrc
from vitreous.programs import benchmark_gallery, benchmark_pages
from vitreous.project.folder import ProjectFolder
from vitreous.project.node_types import PARTICLES
from vitreous.project.pipeline import Status

JOBS: Final = 2000
_OUTPUTS: Final = 10
_IMAGES: Final = 500
_BOX: Final = 128
_IDLE_S: Final = 30.0
_ROUNDS: Final = 5
_BUDGETS: Final = {
    "jobs_cold_s": 2.0,
    "thumbnails_s": 1.0,
    "idle_cpu_percent": 1.0,
    "idle_memory_MiB": 150.0,
    "gallery_script_ms": 50.0,
    "pick_ms": 100.0,
    "usable_s": 1.5,
    "shell_kB": 150.0,
}


@dataclass(frozen=True)
class _Served:
    host: str
    token: str
    pid: int

    def get(self, path: str) -> tuple[float, bytes]:
        """Ask for something; return how many seconds it took, and the answer."""
        connection = HTTPConnection(self.host, timeout=120)
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        answer = connection.getresponse()
        data = answer.read()
        seconds = time.perf_counter() - began
        connection.close()
        if answer.status != 200:
            raise EnvironmentMissing(f"{path} was answered with {answer.status}: {data[:200]!r}")
        return seconds, data


def run(n_jobs: int = JOBS, idle_s: float = _IDLE_S) -> dict[str, Any]:
    """Measure and return what was found."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        make_project(root, n_jobs)
        _make_images(root)
        began = time.perf_counter()
        with _server(root) as served:
            served.get("/api/project")
            ready = time.perf_counter() - began
            cold, rows = served.get("/api/jobs")
            warm = [served.get("/api/jobs")[0] for _ in range(_ROUNDS)]
            graph, _ = served.get("/api/graph")
            idle_cpu, memory = _idle(served, idle_s)
            thumbnails = _thumbnails(served)
            again = _thumbnails(served)
            pages = benchmark_pages.measure(root, f"http://{served.host}/?token={served.token}")
    return {
        "jobs": n_jobs,
        "answers_after_s": round(ready, 3),
        "jobs_cold_s": round(cold, 3),
        "jobs_warm_s": round(statistics.median(warm), 4),
        "jobs_kB": round(len(rows) / 1e3),
        "graph_s": round(graph, 3),
        "idle_cpu_percent": round(idle_cpu, 2),
        "idle_memory_MiB": round(memory, 1),
        "thumbnails": _IMAGES,
        "thumbnails_s": round(thumbnails, 3),
        "thumbnails_again_s": round(again, 3),
        **pages,
        "load": os.getloadavg()[0],
        "wanted": _BUDGETS,
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield what is printed."""
    yield f"{result['jobs']:,} jobs, load {result['load']:.1f}"
    for name, value in result.items():
        if name.endswith(("_s", "_percent", "_MiB", "_kB", "_ms", "_per_s")):
            wanted = f"   (wanted: at most {_BUDGETS[name]:g})" if name in _BUDGETS else ""
            yield f"  {name:22}{value:>10}{wanted}"


def make_project(root: Path, n_jobs: int) -> None:
    """Make a project whose jobs each read one file of the job before and have ten of their own."""
    folder = ProjectFolder.create(root)
    with folder.edit("making a large project") as pipeline:
        before = ""
        for _ in range(n_jobs):
            name = pipeline.add_process("Class2D", "relion.class2d", Status.SUCCEEDED).name
            if before:
                pipeline.add_input(name, f"{before}out0.star", PARTICLES)
            for number in range(_OUTPUTS):
                pipeline.add_output(name, f"{name}out{number}.star", PARTICLES)
            before = name
            _fill(root / name)
        pipeline.added.clear()  # no backups: each would be as large as the whole pipeline


def _fill(folder: Path) -> None:
    """Write what a finished job leaves, as far as lists look at it."""
    folder.mkdir(parents=True)
    for number in range(_OUTPUTS):
        (folder / f"out{number}.star").touch()
    (folder / "RELION_JOB_EXIT_SUCCESS").touch()
    (folder / "note.txt").write_text("a note\n")
    told = {"state": "succeeded", "host": "here", "ended": "2026-01-01T00:00:00Z"}
    (folder / "process.json").write_text(json.dumps(told))
    headline = {"name": "resolution", "label": "Resolution", "value": 3.21, "unit": "Å"}
    (folder / "results.json").write_text(json.dumps({"headline": [headline], "warnings": []}))


def _make_images(root: Path) -> None:
    rng = np.random.default_rng(1)
    benchmark_pages.make_files(root)
    benchmark_gallery.make_list(root, _IMAGES)
    write_mrc(root / "stack.mrcs", rng.normal(size=(_IMAGES, _BOX, _BOX)).astype(np.float32), 2.0)


def _thumbnails(served: _Served) -> float:
    """Return how long five sheets of 100 take, asked for side by side as a browser does."""
    paths = [
        f"/api/images/sprite?path=stack.mrcs&rows={begin}-{begin + 99}&size=128"
        for begin in range(0, _IMAGES, 100)
    ]
    threads = [threading.Thread(target=served.get, args=(path,)) for path in paths]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def _idle(served: _Served, seconds: float) -> tuple[float, float]:
    """Return processor time in percent of one core, and memory, while a page is open."""
    with _open_page(served):
        time.sleep(2.0)
        before = _cpu_s(served.pid)
        time.sleep(seconds)
        used = _cpu_s(served.pid) - before
    return 100.0 * used / seconds, _memory_MiB(served.pid)


@contextmanager
def _open_page(served: _Served) -> Iterator[None]:
    from websockets.sync.client import connect
    from websockets.typing import Origin

    headers = {"Authorization": f"Bearer {served.token}"}
    address = f"ws://{served.host}/api/events"
    with connect(
        address,
        origin=Origin(f"http://{served.host}"),
        additional_headers=headers,
        proxy=None,
    ):
        yield


@contextmanager
def _server(root: Path) -> Iterator[_Served]:
    words = ["-P", "-m", "vitreous", "gui", "--project", str(root), "--no-browser", "--json"]
    environment = {**os.environ, "VITREOUS_RUNTIME_DIR": str(root.parent / "run")}
    process = subprocess.Popen(
        [sys.executable, *words, "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        told = json.loads(_first_words(process))
        address, _, token = told["url"].removeprefix("http://").partition("/?token=")
        yield _Served(address, token, told["pid"])
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout:
            process.stdout.close()


def _first_words(process: subprocess.Popen[str]) -> str:
    text = ""
    while process.stdout and not text.rstrip().endswith("}"):
        line = process.stdout.readline()
        if not line:
            raise EnvironmentMissing("the server ended at once; `vitreous gui` says why")
        text += line
    return text


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_MiB(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
