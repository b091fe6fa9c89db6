"""Programs are imported whole, but for what only compilers of programs need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitreous.running import importing


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = "imported_in_a_test"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("from imported_in_a_test import slow\n")
    (tmp_path / name / "slow.py").write_text("answer = 42\n")
    (tmp_path / name / "program.py").write_text(f"import {name}\ndef run(): return {name}.slow\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in [one for one in sys.modules if one.startswith(name)]:
        del sys.modules[module]


def test_a_module_that_is_left_for_later_is_loaded_when_it_is_asked(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_LATER", {f"{package}.slow"})
    slow = importing.load_program(f"{package}.program:run", lambda: None)()
    assert "answer" not in vars(slow)
    assert not hasattr(slow, "__path__")
    assert slow.answer == 42
    assert sys.modules[f"{package}.slow"].answer == 42
    with pytest.raises(AttributeError, match="question"):
        _ = slow.question


def test_other_modules_are_loaded_at_once(package: str) -> None:
    slow = importing.load_program(f"{package}.program:run", lambda: None)()
    assert vars(slow)["answer"] == 42


def test_torch_computes_without_what_is_left_for_later_and_gets_it_when_it_asks() -> None:
    script = """
import sys
from vitreous.running.importing import load_program
load_program("vitreous.programs.postprocess:run", lambda: None)
import torch
assert "torch._decomp.decompositions" not in sys.modules
matrix = torch.eye(3, requires_grad=True)
torch.linalg.inv(2 * matrix).sum().backward()
assert float(matrix.grad[0, 0]) == -0.5
assert callable(torch._meta_registrations.register_meta)
assert torch.empty(3, 4, device="meta").mm(torch.empty(4, 5, device="meta")).shape == (3, 5)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
