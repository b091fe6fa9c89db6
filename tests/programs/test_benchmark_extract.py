"""The benchmark of extraction, on micrographs too small to measure anything."""

import pytest

from vitreous.programs import benchmark_extract


@pytest.mark.slow
@pytest.mark.usefixtures("relion")
def test_both_programs_run_and_agree(monkeypatch):
    for name, value in {"SIDE": 600, "PICKS": 5, "FEW": 1, "MANY": 2, "REPEATS": 1}.items():
        monkeypatch.setattr(benchmark_extract, name, value)
    result = benchmark_extract.run(against="relion")
    programs = [row["program"] for row in result["rows"] if row["scaled"] == 256]
    assert programs[:2] == ["vitreous", "relion"]
    differences = [
        row["largest_difference"] for row in result["rows"] if row["program"] == "relion"
    ]
    assert len(differences) == 2
    assert max(differences) < 1e-6
    told = list(benchmark_extract.lines(result))
    assert any("relion_preprocess --i micrographs-2.star" in line for line in told)
