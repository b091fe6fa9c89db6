"""What the benchmark of refinements asks the job for."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from vitreous.programs import benchmark, benchmark_refine


def test_a_card_is_for_refinements_and_has_to_be_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.main(["ctf", "--gpu"]) != 0
    assert "runs on the processor" in capsys.readouterr().err
    assert benchmark.main(["refine", "--gpu", "0"]) != 0
    assert "No graphics card" in capsys.readouterr().err


@pytest.mark.parametrize("ids", ["", "0:1"])
def test_the_job_is_told_of_the_card(monkeypatch: pytest.MonkeyPatch, ids: str) -> None:
    made: list[list[str]] = []

    def timed(command: list[str], folder: Path) -> dict[str, Any]:
        return {"program": "vitreous", "wall_s": 1.0, "core_s": 1.0, "command": ""}

    monkeypatch.setattr(subprocess, "run", lambda command, **how: made.append(command))
    monkeypatch.setattr(benchmark_refine, "timed", timed)
    monkeypatch.setattr(benchmark_refine, "_simulate", lambda folder, case: None)
    monkeypatch.setattr(benchmark_refine, "_quality", lambda folder, case, whose: {})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    result = benchmark_refine.run(cases=benchmark_refine.CASES[:1], gpu_ids=ids)
    assert {"use_gpu=Yes", f"gpu_ids={ids}"} <= set(made[0])
    assert result["card"] == "a card"
    made.clear()
    assert "card" not in benchmark_refine.run(cases=benchmark_refine.CASES[:1])
    assert "use_gpu=Yes" not in made[0]
