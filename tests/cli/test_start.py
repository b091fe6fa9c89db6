"""How fast the command starts and what it loads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from vitreous.cli.tools import TOOLS, available, command_line, module_of

RICH_OR_TORCH = ("torch", "scipy", "matplotlib")


def modules_after(*arguments: str, cwd=None) -> set[str]:
    code = (
        "import sys; from vitreous.cli.app import invoke; "
        f"invoke({list(arguments)!r}); sys.stderr.write('\\n'.join(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd)
    return set(run.stderr.split())


def cpu_seconds(*command: str) -> float:
    """Return the processor time of a command: other programs on the machine do not matter."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    spent = after.children_user - before.children_user
    return spent + after.children_system - before.children_system


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("describe", "class2d")])
def test_a_command_loads_nothing_heavy(arguments):
    loaded = modules_after(*arguments)
    assert "vitreous.cli.app" in loaded
    assert loaded.isdisjoint(RICH_OR_TORCH)


def test_status_loads_no_torch(project):
    loaded = modules_after("status", cwd=project.root)
    assert "vitreous.actions.project" in loaded
    assert loaded.isdisjoint(RICH_OR_TORCH)


@pytest.mark.parametrize(
    "command", [("-m", "vitreous", "--help"), ("-c", "import vitreous"), ("-m", "vitreous", "-h")]
)
def test_help_and_import_take_less_than_0_4_s(command):
    assert min(cpu_seconds(sys.executable, *command) for _ in range(3)) < 0.4


def test_the_version_is_printed(call):
    said = call("--version")
    assert said.code == 0
    assert said.out.startswith("vitreous 0.")


def test_help_lists_what_is_there_and_nothing_else(call):
    text = call("--help").out
    for command in (
        "demo",
        "run",
        "status",
        "show",
        "log",
        "describe",
        "exec",
        "doctor",
        "autorun",
    ):
        assert f"  {command} " in text
    for later in ("scheme",):
        assert f"  {later} " not in text
    for tool in TOOLS:
        assert (f"  {tool} " in text) == (tool in available())


@pytest.mark.parametrize("tool", available())
def test_a_tool_runs_when_its_module_is_started(tool):
    """`python -m` does something only where the module says so; loading each would be slow."""
    spec = find_spec(module_of(tool))
    assert spec is not None
    assert 'if __name__ == "__main__":' in Path(spec.origin).read_text()
    assert command_line(tool, ["--x", "1"])[1:] == ["-P", "-m", module_of(tool), "--x", "1"]


@pytest.mark.skipif(not available(), reason="no tool is part of this version yet")
def test_a_tool_answers_for_itself():
    run = subprocess.run(
        [sys.executable, "-m", "vitreous", available()[0], "--help"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "usage" in run.stdout.lower()


def test_a_reader_that_leaves_early_is_no_error(project):
    began = time.monotonic()
    command = f"{sys.executable} -m vitreous describe class2d --json | head -c 1"
    run = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        cwd=project.root,
    )
    assert run.stderr == ""
    assert time.monotonic() - began < 30


def test_a_tool_without_torch_names_the_package(monkeypatch, capfd):
    from vitreous.cli import tools
    from vitreous.cli.app import invoke

    monkeypatch.setattr(
        tools, "find_spec", lambda name: find_spec(name) if name != "torch" else None
    )
    assert invoke(["fsc", "--i", "half1.mrc"]) == 1
    told = capfd.readouterr().err
    assert "The Python package torch is not installed" in told
    assert "make install" in told
