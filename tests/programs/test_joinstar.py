"""JoinStar jobs, and the same by relion_star_handler 3.1.3."""

import subprocess

import numpy as np
import pytest

from dataset import tables
from programs.jobs_made import run_job
from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.io import Star, Table, read_star, write_star


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a = tables.star(
        tables.optics(["gA", "gB"]),
        tables.particles(
            ["1@a.mrcs", "2@a.mrcs", "3@a.mrcs"],
            rlnOpticsGroup=[1, 1, 2],
            rlnGroupName=["grp1", "grp1", "grp2"],
            rlnGroupNumber=[1, 1, 2],
        ),
    )
    aberrations = {
        "rlnBeamTiltX": [0.1, 0.0],
        "rlnBeamTiltY": [0.2, 0.0],
        "rlnOddZernike": [[1.0, 2, 3, 4, 5, 6], [0.0] * 6],
        "rlnMagMat00": [1.01, 1.0],
        "rlnMagMat01": [0.0, 0.0],
        "rlnMagMat10": [0.0, 0.0],
        "rlnMagMat11": [1.0, 1.0],
    }
    b = tables.star(
        tables.optics(["gC", "gA"], **aberrations),
        tables.particles(
            ["1@b.mrcs", "2@a.mrcs"],
            rlnOpticsGroup=[1, 2],
            rlnGroupName=["grp1", "grp1"],
            rlnGroupNumber=[1, 1],
        ),
    )
    write_star(tmp_path / "a.star", a)
    write_star(tmp_path / "b.star", b)
    return tmp_path


def join_particles(project, *files, **values):
    names = {f"fn_part{i}": file for i, file in enumerate(files, start=1)}
    return run_job(project, "joinstar", do_part=True, **names, **values)


def joined(project, name="join_particles.star"):
    return read_star(project / "JoinStar/job001" / name)


def test_particles_are_joined(project):
    run = join_particles(project, "a.star", "b.star")
    star = joined(project)
    assert star["particles"]["rlnOpticsGroup"].tolist() == [1, 1, 2, 3, 1]
    assert star["optics"]["rlnOpticsGroupName"].tolist() == ["gA", "gB", "gC"]
    assert run.headlines == {"rows": 5, "duplicates": 1, "optics_groups": 3}
    assert "2@a.mrcs" in run.told
    assert "double" in run.told


def test_four_files_are_joined_in_order(project):
    for i, name in enumerate("cd"):
        rows = tables.particles([f"{i}@{name}"])
        write_star(project / f"{name}.star", tables.star(tables.optics([f"g{name}"]), rows))
    join_particles(project, "a.star", "c.star", "b.star", "d.star")
    names = joined(project)["particles"]["rlnImageName"].tolist()
    assert names == ["1@a.mrcs", "2@a.mrcs", "3@a.mrcs", "0@c", "1@b.mrcs", "2@a.mrcs", "1@d"]


@pytest.mark.parametrize(
    ("word", "short", "label", "output"),
    [
        ("mic", "micrographs", "rlnMicrographName", "join_mics.star"),
        ("mov", "movies", "rlnMicrographMovieName", "join_movies.star"),
    ],
)
def test_micrographs_and_movies_are_joined(project, word, short, label, output):
    for name in "xy":
        rows = Table.from_columns(short, {label: [f"{name}.mrc"], "rlnOpticsGroup": [1]})
        write_star(project / f"{name}.star", Star([tables.optics([f"g{name}"]), rows]))
    files = {f"fn_{word}1": "x.star", f"fn_{word}2": "y.star"}
    run_job(project, "joinstar", **{f"do_{word}": True}, **files)
    star = joined(project, output)
    assert star[short][label].tolist() == ["x.mrc", "y.mrc"]
    assert star[short]["rlnOpticsGroup"].tolist() == [1, 2]


def test_different_optics_under_one_name_are_refused_unless_forced(project):
    star = read_star(project / "b.star")
    optics = star["optics"].with_columns({"rlnVoltage": [300.0, 200.0]})
    write_star(project / "b.star", star.with_table(optics))
    with pytest.raises(InputError, match=r"(?s)gA.*300 and 200 kV"):
        join_particles(project, "a.star", "b.star")
    run = join_particles(project, "a.star", "b.star", other_args="--force")
    assert joined(project)["optics"]["rlnVoltage"].tolist() == [300.0] * 3
    assert "300 and 200 kV" in run.told


def test_bad_input_is_refused(project):
    with pytest.raises(MissingFileError, match=r"gone\.star"):
        join_particles(project, "a.star", "gone.star")
    with pytest.raises(InputError, match="given twice"):
        join_particles(project, "a.star", "a.star")
    write_star(project / "m.star", [tables.optics()])
    with pytest.raises(FormatError, match="none of them has a column rlnImageName"):
        join_particles(project, "a.star", "m.star")
    with pytest.raises(InputError, match=r"--frob.*--force"):
        join_particles(project, "a.star", "b.star", other_args="--frob")


def test_real_subsets_of_a_file_join_to_the_file(project, data):
    star = read_star(data / "betagal_10204/tutorial_run_it016_subset.star")
    rows = star["particles"]
    half = len(rows) // 2
    for name, part in (("x", slice(0, half)), ("y", slice(half, None))):
        write_star(project / f"{name}.star", star.with_table(rows.select(part)))
    join_particles(project, "x.star", "y.star")
    again = joined(project)
    assert again["optics"] == star["optics"]
    for label in rows.labels:
        if label not in ("rlnGroupNumber", "rlnGroupName"):
            np.testing.assert_array_equal(again["particles"][label], rows[label])


def test_files_of_relion_30_are_joined(project, data):
    for name in ("empiar_10076_7.star", "empiar_10076_7.mrc"):
        (project / name).write_bytes((data / "particles_small" / name).read_bytes())
    join_particles(project, "empiar_10076_7.star", "a.star", other_args="--force")
    star = joined(project)
    assert star["optics"]["rlnOpticsGroupName"].tolist() == ["opticsGroup1", "gA", "gB"]
    assert star["particles"]["rlnOpticsGroup"].tolist() == [1] * 7 + [2, 2, 3]
    assert "rlnMagnification" not in star["particles"]


@pytest.mark.usefixtures("relion")
def test_joining_equals_relion(project):
    flags = ["--combine", "--i", "a.star b.star", "--check_duplicates", "rlnImageName"]
    handle(*flags, "--o", "theirs.star")
    join_particles(project, "a.star", "b.star")
    ours, theirs = joined(project), read_star("theirs.star")
    assert ours["particles"] == theirs["particles"]
    assert set(ours["optics"].labels) == set(theirs["optics"].labels)
    for label in theirs["optics"].labels:
        for mine, other in zip(ours["optics"][label], theirs["optics"][label], strict=True):
            np.testing.assert_array_equal(mine, other)
    flags = ["--i", "JoinStar/job001/join_particles.star", "--o", "back.star"]
    handle(*flags, "--select", "rlnCoordinateX", "--minval", "-1")
    assert read_star("back.star")["particles"] == ours["particles"]


def handle(*flags):
    subprocess.run(["relion_star_handler", *flags], check=True, capture_output=True, timeout=60)
