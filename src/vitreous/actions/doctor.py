"""What this machine has and what it lacks for the work, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from vitreous._version import __version__

State = Literal["ok", "missing", "info"]
_GIB = 2**30
_PATIENCE_S = 60
_TOOLS = (
    ("slurm", "Slurm", ("sbatch", "squeue", "scancel"), "", "to submit jobs to a Slurm cluster"),
    ("pbs", "PBS / SGE", ("qsub", "qstat", "qdel"), "", "to submit jobs to a PBS or SGE cluster"),
    ("mpirun", "MPI launcher", ("mpirun",), "RELION_MPIRUN", "for jobs over several nodes"),
)
_PROGRAMS = (
    ("ctffind", "CTFFIND-4", ("ctffind", "ctffind.exe"), "RELION_CTFFIND_EXECUTABLE"),
    ("motioncor2", "MotionCor2", ("MotionCor2", "motioncor2"), "RELION_MOTIONCOR2_EXECUTABLE"),
    ("topaz", "Topaz", ("relion_python_topaz", "topaz"), ""),
    ("resmap", "ResMap", ("ResMap", "ResMap-1.1.4-linux64"), "RELION_RESMAP_EXECUTABLE"),
    ("modelangelo", "ModelAngelo", ("model_angelo", "relion_python_modelangelo"), ""),
    ("dynamight", "DynaMight", ("relion_python_dynamight", "dynamight"), ""),
    ("relion", "RELION", ("relion_refine",), ""),
    ("pdf_viewer", "PDF viewer", ("evince", "xdg-open"), "RELION_PDFVIEWER_EXECUTABLE"),
)
_KERNELS = (
    "_cpu", "_polar", "_boxes", "_half_shells", "_shells", "_planes", "_images", "_transfer",
    "_motion",
)  # fmt: skip
_MODULES = (
    "vitreous.io._star",
    *(f"vitreous.engine.kernels.{name}" for name in _KERNELS),
)
_ASK_TORCH = """
import importlib, json, sys
found = {"torch": None, "cuda": None, "gpus": [], "openmp": None, "threads": None, "kernels": {}}
for module in sys.argv[1:]:
    try:
        importlib.import_module(module)
        found["kernels"][module] = ""
    except ImportError as error:
        found["kernels"][module] = str(error)
try:
    import torch
    found["torch"] = torch.__version__
    found["cuda"] = torch.version.cuda
    found["openmp"] = torch.backends.openmp.is_available()
    found["threads"] = torch.get_num_threads()
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            found["gpus"].append([properties.name, properties.total_memory])
except (ImportError, OSError, RuntimeError) as error:
    found["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Finding:
    """One thing about this machine.

    Parameters
    ----------
    section
        Heading that it belongs under.
    name, label
        Short name for programs; what people read.
    state
        ``ok``, ``missing`` (something is slower or cannot be done), or ``info``.
    value
        What was found.
    advice
        What it costs, and what to do.
    """

    section: str
    name: str
    label: str
    state: State
    value: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the fields, for JSON."""
        return asdict(self)


def examine(folder: Path, environ: Mapping[str, str]) -> list[Finding]:
    """Look at the machine.

    Parameters
    ----------
    folder
        The project folder, or the current one: its disk is measured.
    environ
        The environment variables.

    Returns
    -------
    list of Finding
        In the order to read them.
    """
    asked = _ask_torch()
    return [
        *_system(),
        *_storage(folder.absolute(), environ),
        *_graphics(asked),
        *_engine(asked),
        *_building(),
        *_launchers(environ),
        *_programs(environ),
        *_variables(environ),
    ]


def _system() -> Iterator[Finding]:
    section = "Machine"
    yield Finding(section, "vitreous", "vitreous", "info", __version__)
    yield Finding(section, "system", "System", "info", _system_name())
    version = platform.python_version()
    yield Finding(section, "python", "Python", "ok", f"{version} ({sys.executable})")
    cores, of = len(os.sched_getaffinity(0)), os.cpu_count() or 0
    limit = "" if cores == of else f" of {of}; the rest is not for this process"
    yield Finding(section, "cpu_cores", "CPU cores", "ok", f"{cores}{limit}")
    yield Finding(section, "cpu", "Processor", "info", _processor())
    total, free = _memory()
    low = total < 8 * _GIB
    yield Finding(
        section,
        "memory",
        "Memory",
        "missing" if low else "ok",
        f"{total / _GIB:.1f} GiB, {free / _GIB:.1f} GiB free",
        "Little: use small boxes and fewer threads." if low else "",
    )


def _storage(folder: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    section = "Disk"
    yield _disk(section, "disk", "This folder", folder)
    scratch = environ.get("RELION_SCRATCH_DIR", "")
    if scratch:
        yield _disk(section, "scratch", "Scratch", Path(scratch))
    else:
        advice = "Set RELION_SCRATCH_DIR to a folder on a fast local disk, if there is one."
        yield Finding(section, "scratch", "Scratch", "info", "not set", advice)


def _disk(section: str, name: str, label: str, folder: Path) -> Finding:
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return Finding(section, name, label, "missing", str(folder), f"{error.strerror}.")
    writable = os.access(folder, os.W_OK)
    text = f"{usage.free / _GIB:.1f} GiB free of {usage.total / _GIB:.1f} GiB ({folder})"
    if not writable:
        return Finding(section, name, label, "missing", text, "It cannot be written.")
    if usage.free < 10 * _GIB:
        return Finding(section, name, label, "missing", text, "Little space for a data set.")
    return Finding(section, name, label, "ok", text)


def _graphics(asked: Mapping[str, object]) -> Iterator[Finding]:
    section = "GPU"
    driver = _output(
        ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    )
    seen = asked.get("gpus")
    usable = seen if isinstance(seen, list) else []
    for index, (name, size) in enumerate(usable):
        yield Finding(
            section, f"gpu{index}", f"GPU {index}", "ok", f"{name}, {size / _GIB:.0f} GiB"
        )
    if usable:
        return
    if driver:
        boards = "; ".join(driver.splitlines())
        advice = "PyTorch cannot use it: install a CUDA build (https://pytorch.org)."
        yield Finding(section, "gpu", "GPU", "missing", boards, advice)
    else:
        yield Finding(section, "gpu", "GPU", "info", "none", "Jobs run on the CPU.")


def _engine(asked: Mapping[str, object]) -> Iterator[Finding]:
    section = "Engine"
    version = asked.get("torch")
    if version:
        text = f"{version}, {asked.get('threads')} threads"
        cuda = asked.get("cuda")
        yield Finding(section, "torch", "PyTorch", "ok", f"{text}, CUDA {cuda}" if cuda else text)
    else:
        reason = str(asked.get("error", "not installed"))
        advice = f"No job with numbers can run: `{sys.executable} -m pip install torch`."
        yield Finding(section, "torch", "PyTorch", "missing", reason, advice)
    openmp = bool(asked.get("openmp"))
    advice = "" if openmp or not version else "Work on the CPU uses one core."
    yield Finding(section, "openmp", "OpenMP", "ok" if openmp else "missing", _yes(openmp), advice)
    told = asked.get("kernels")
    kernels = told if isinstance(told, dict) else {}
    for name, label, modules, cost in (
        ("star_kernel", "STAR parser (C++)", _MODULES[:1], "Large STAR files are read slowly"),
        ("cpu_kernel", "CPU kernels (C++)", _MODULES[1:], "Everything is several times slower"),
    ):
        errors = [str(kernels[module]) for module in modules if kernels.get(module)]
        loaded = f"{len(modules)} loaded" if len(modules) > 1 else "loaded"
        advice = f"{cost}; install a C++17 compiler (see below) and `make install` again."
        if errors:
            yield Finding(section, name, label, "missing", errors[0], advice)
        else:
            yield Finding(section, name, label, "ok", loaded)


def _building() -> Iterator[Finding]:
    """Tell what an installation from the sources needs, and whether the last one had it."""
    section = "Installation"
    pages = Path(__file__).parents[1] / "gui" / "static" / "index.html"
    label = "Pages of the browser"
    if pages.is_file():
        yield Finding(section, "pages", label, "ok", "built")
    else:
        advice = "`vitreous gui` has nothing to show: install Node.js and `make install` again."
        yield Finding(section, "pages", label, "missing", "not built", advice)
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), "")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    lacks = "" if compiler and header.is_file() else f"no {header}" if compiler else "not found"
    advice = "Only needed to build: apt-get install g++ python3-dev." if lacks else ""
    yield Finding(section, "compiler", "C++ compiler", "info", lacks or compiler, advice)
    node = _output(["node", "--version"])
    advice = "" if node else "Only needed to build the pages: apt-get install nodejs npm."
    yield Finding(section, "node", "Node.js", "info", node or "not found", advice)


def _launchers(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name, label, commands, variable, purpose in _TOOLS:
        first = environ.get(variable, "") if variable else ""
        found = [shutil.which(command) for command in ((first,) if first else commands)]
        if all(found):
            value = ", ".join(str(path) for path in found)
            yield Finding("Clusters", name, label, "ok", value)
        else:
            setting = f" (or set {variable})" if variable else ""
            yield Finding(
                "Clusters", name, label, "info", "not found", f"Only needed {purpose}{setting}."
            )


def _programs(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name, label, commands, variable in _PROGRAMS:
        given = environ.get(variable, "") if variable else ""
        found = next(filter(None, map(shutil.which, (given,) if given else commands)), None)
        setting = f"set {variable} or " if variable else ""
        advice = f"Optional; {setting}put {commands[0]} on the PATH."
        if found:
            version = _output([found, "--version"]) if name == "relion" else ""
            text = f"{found} ({version.splitlines()[0]})" if version else found
            yield Finding("External programs", name, label, "ok", text)
        elif given:
            wrong = f"{variable}={given}, which is no program"
            yield Finding("External programs", name, label, "missing", wrong, "Correct it.")
        else:
            yield Finding("External programs", name, label, "info", "not found", advice)


def _variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name in sorted(environ):
        if name.startswith(("RELION_", "VITREOUS_")):
            yield Finding("Environment variables", name, name, "info", environ[name])


def _ask_torch() -> dict[str, object]:
    """Ask a child process, so that this one never loads torch."""
    text = _output([sys.executable, "-P", "-c", _ASK_TORCH, *_MODULES])
    lines = text.splitlines()
    try:
        found = json.loads(lines[-1]) if lines else {}
    except json.JSONDecodeError:
        found = {}
    return found if isinstance(found, dict) and found else {"error": "the child process died"}


def _output(command: list[str]) -> str:
    """Return what a command prints, or nothing where it cannot run."""
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def _system_name() -> str:
    try:
        pretty = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        pretty = platform.system()
    return f"{pretty}, Linux {platform.release()}" if platform.system() == "Linux" else pretty


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> tuple[int, int]:
    """Return total and free memory in bytes, no more than the container may use."""
    sizes = {line.split(":")[0]: line.split()[1] for line in _lines("/proc/meminfo")}
    total = int(sizes.get("MemTotal", 0)) * 1024
    free = int(sizes.get("MemAvailable", 0)) * 1024
    limit = "".join(_lines("/sys/fs/cgroup/memory.max")).strip()
    if limit.isdecimal() and int(limit) < total:
        used = int("".join(_lines("/sys/fs/cgroup/memory.current")).strip() or 0)
        total, free = int(limit), min(free, max(int(limit) - used, 0))
    return total, free


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _yes(value: bool) -> str:
    return "yes" if value else "no"
