"""Topaz is called once with the right files; a stub checks them and answers."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from programs.fake_run import FakeRun
from vitreous.errors import ComputeError, EnvironmentMissing
from vitreous.io import Star, Table, read_mrc, write_mrc, write_star
from vitreous.io.coordinates import read_coordinates
from vitreous.jobs.autopick import AutoPick
from vitreous.programs import autopick
from vitreous.programs.topaz_files import downscale

STUB = """#!{python}
import sys
from pathlib import Path
words = sys.argv[1:]
if words[0] == "extract":
    images = [w for w in words if w.endswith(".mrc")]
    assert len(images) == 3 and all(Path(w).is_file() for w in images), images
    value = lambda flag: words[words.index(flag) + 1]
    assert (value("-t"), value("-x"), value("-r"), value("-d")) == ("-6", "4", "10", "-1"), words
    rows = ["image_name\\tx_coord\\ty_coord\\tscore"]
    rows += [Path(w).stem + "\\t40\\t60\\t1.5" for w in images[:2]]
    Path(value("-o")).write_text("\\n".join(rows) + "\\n")
elif words[0] == "train":
    given = dict(w[2:].split("=") for w in words if w.startswith("--"))
    for part in ("train", "test"):
        images = Path(given[part + "-images"]).read_text().splitlines()
        targets = Path(given[part + "-targets"]).read_text().splitlines()
        assert images[0] == "image_name\\tpath" and targets[0] == "image_name\\tx_coord\\ty_coord"
        names = dict(line.split("\\t") for line in images[1:])
        assert names and all(Path(path).is_file() for path in names.values())
        for line in targets[1:]:
            name, x, y = line.split("\\t")
            assert name in names and (x, y) == ("10", "15"), line
    table = "epoch\\tsplit\\tauprc\\n1\\ttest\\t0.4\\n2\\ttest\\t0.7\\n"
    Path(words[words.index("-o") + 1]).write_text(table)
    Path(given["save-prefix"] + "_epoch10.sav").write_text("x")
else:
    sys.exit("unknown")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Micrographs").mkdir()
    names = []
    for number in range(3):
        names.append(f"Micrographs/m{number}.mrc")
        noise = np.random.default_rng(number).normal(size=(120, 160)).astype(np.float32)
        write_mrc(tmp_path / names[-1], noise, 2.0)
    optics = {"rlnOpticsGroupName": ["a"], "rlnOpticsGroup": [1], "rlnMicrographPixelSize": [2.0]}
    rows = {"rlnMicrographName": names, "rlnOpticsGroup": [1] * 3}
    tables = [Table.from_columns("optics", optics), Table.from_columns("micrographs", rows)]
    write_star(tmp_path / "micrographs.star", Star(tables))
    picks = Table.from_columns("", {"rlnCoordinateX": [40.0], "rlnCoordinateY": [60.0]})
    write_star(tmp_path / "picks.star", [picks])
    listed = {"rlnMicrographName": names, "rlnMicrographCoordinates": ["picks.star"] * 3}
    write_star(tmp_path / "known.star", [Table.from_columns("coordinate_files", listed)])
    stub = tmp_path / "topaz_stub"
    stub.write_text(STUB.replace("{python}", sys.executable))
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def _options(project: Path, **more: object) -> AutoPick:
    given = {"topaz_program": str(project / "topaz_stub"), "topaz_diameter_A": 160.0} | more
    return AutoPick(micrographs="micrographs.star", use_topaz=True, **given)  # type: ignore[arg-type] # options by name


def test_picking_calls_once_and_writes_empty_files_too(project: Path) -> None:
    job = FakeRun(project, "AutoPick/job002/")
    autopick.run(_options(project, topaz_pick=True), job)
    picks = read_coordinates("AutoPick/job002/autopick.star", project)
    assert [len(table) for _, table in picks] == [1, 1, 0]
    first = picks[0][1]
    assert (first["rlnCoordinateX"][0], first["rlnCoordinateY"][0]) == (40, 60)
    assert first["rlnAutopickFigureOfMerit"][0] == 1.5
    assert job.headlines["picks"] == 2


def test_training_hands_over_scaled_images_and_coordinates(project: Path) -> None:
    job = FakeRun(project, "AutoPick/job002/")
    options = _options(project, topaz_train=True, topaz_coordinates="known.star", use_gpu=True)
    autopick.run(options, job)
    assert job.headlines["precision"] == 0.7
    image, header = read_mrc(job.path / "topaz" / "Micrographs__m0.mrc")
    assert image.shape[-2:] == (30, 40)
    assert header.pixel_size_A == pytest.approx(8.0)
    assert abs(float(np.asarray(image).std()) - 1) < 1e-3


def test_a_missing_program_is_named(project: Path) -> None:
    options = _options(project, topaz_pick=True, topaz_program="no_such_topaz")
    with pytest.raises(EnvironmentMissing, match="no_such_topaz: it cannot be started"):
        autopick.run(options, FakeRun(project, "AutoPick/job002/"))


def test_a_failure_tells_the_last_words(project: Path) -> None:
    options = _options(project, topaz_pick=True, topaz_diameter_A=300.0)
    with pytest.raises(ComputeError, match="AssertionError"):
        autopick.run(options, FakeRun(project, "AutoPick/job002/"))


def test_the_factor_grows_with_the_particle() -> None:
    assert downscale(-1, 1.0) == 4
    assert downscale(160, 2.0) == 4
    assert downscale(500, 1.0) == 14
