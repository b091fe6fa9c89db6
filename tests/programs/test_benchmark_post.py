"""The benchmark of post-processing, on maps too small to measure anything."""

import pytest

from vitreous.programs import benchmark_post


@pytest.mark.slow
@pytest.mark.usefixtures("relion")
def test_both_programs_run_and_agree(monkeypatch):
    monkeypatch.setattr(benchmark_post, "_SAMPLING_A", (30.0, 20.0))
    monkeypatch.setattr(benchmark_post, "_WINDOWS_A", 20.0)
    result = benchmark_post.run("relion", (64,), 64, 1)
    rows = {(row["work"], row["program"]): row for row in result["rows"]}
    ours = rows["post-processing", "vitreous"]
    assert ours["agrees"].count("2.477 A") == 2  # both programs found the same shell
    assert ours["core_s"] > 0
    assert ours["copies"] > 0
    for row in (ours, rows["post and validation", "vitreous"]):
        assert set(row["ratio"]) == {"wall", "core", "core_worst"}
        assert [set(turn) for turn in row["turns"]] == [{"wall", "core", "memory"}]
    assert ("place, windows", "vitreous") in rows
    assert rows["place, whole", "relion"]["places"][1] > rows["place, whole", "relion"]["places"][0]
    told = list(benchmark_post.lines(result))
    assert any(line.startswith("$ relion_postprocess --i half1") for line in told)
    assert any("--skip_validation" in line for line in told)
    assert any("worst turn" in line for line in told)
