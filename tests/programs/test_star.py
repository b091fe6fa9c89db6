"""`vitreous star` does what relion_star_handler does, and says so plainly."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vitreous.dataset.picks import picks_table, write_picks
from vitreous.errors import InputError
from vitreous.io import Star, Table, read_star, write_mrc, write_star
from vitreous.io.coordinates import read_coordinates
from vitreous.programs import star as program


def optics(pixel=(1.0, 2.0)):
    return Table.from_columns(
        "optics",
        {
            "rlnOpticsGroup": [1, 2],
            "rlnOpticsGroupName": ["a", "b"],
            "rlnVoltage": 300,
            "rlnSphericalAberration": 2.7,
            "rlnAmplitudeContrast": 0.1,
            "rlnMicrographOriginalPixelSize": 1.0,
            "rlnImagePixelSize": list(pixel),
            "rlnImageSize": 64,
            "rlnImageDimensionality": 2,
        },
    )


def particles(first=1, n=7):
    rows = np.arange(n)
    return Table.from_columns(
        "particles",
        {
            "rlnImageName": [f"{i + first:06d}@a.mrcs" for i in rows],
            "rlnMicrographName": [f"m{i % 2}.mrc" for i in rows],
            "rlnCoordinateX": 10.0 * rows,
            "rlnCoordinateY": 5.0,
            "rlnDefocusU": 1000.0 * (first + rows),
            "rlnClassNumber": rows % 3,
            "rlnOpticsGroup": np.where(rows < n - 2, 1, 2),
            "rlnAngleRot": 10.0 * rows,
            "rlnAngleTilt": 20.0,
            "rlnAnglePsi": 30.0,
            "rlnOriginXAngst": 1.0,
            "rlnOriginYAngst": 2.0,
        },
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_star("a.star", [optics(), particles()], version=30001)
    write_star("b.star", [optics(), particles(first=3)], version=30001)
    return tmp_path


def ours(*parts):
    assert program.main(shlex.split(" ".join(parts))) == 0


def referee(*options):
    subprocess.run(["relion_star_handler", *options], check=True, capture_output=True)


def same(left, right):
    a, b = read_star(left), read_star(right)
    assert list(a) == list(b)
    for name in a:
        assert a[name].labels == b[name].labels
        assert len(a[name]) == len(b[name])
        for label in a[name].labels:
            x, y = a[name][label], b[name][label]
            if x.dtype == object:
                assert x.tolist() == y.tolist()
            else:
                np.testing.assert_allclose(x, y, rtol=1e-5, atol=6e-6, err_msg=label)


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ("--select rlnDefocusU --minval 2000 --maxval 4000", [""]),
        ("--select_by_str rlnMicrographName --select_exclude m1", [""]),
        ("--compare b.star --label1 rlnImageName", ["_both", "_only1", "_only2"]),
        ("--compare b.star --label1 rlnDefocusU --max_dist 10", ["_both", "_only1", "_only2"]),
        ("--operate rlnDefocusU --multiply_by 1.5", [""]),
        ("--operate rlnDefocusU --add_to -12.5", [""]),
        ("--operate rlnDefocusU --set_to 7", [""]),
        ("--center --center_X 3 --center_Y 1 --center_Z -2", [""]),
        ("--remove_duplicates 25", [""]),
        ("--remove_column rlnDefocusU", [""]),
        ("--add_column rlnDefocusV --copy_column_from rlnDefocusU", [""]),
        ("--add_column rlnCtfBfactor --add_column_value 3.5", [""]),
    ],
)
def test_the_result_is_relion_s(relion, folder, options, written):
    ours("--i a.star --o ours.star", options)
    referee("--i", "a.star", "--o", "theirs.star", *options.split())
    for suffix in written:
        same(f"ours{suffix}.star", f"theirs{suffix}.star")


def test_duplicates_that_were_removed_are_kept_as_a_file(relion, folder):
    ours("--i a.star --o ours.star --remove_duplicates 25")
    referee("--i", "a.star", "--o", "theirs.star", "--remove_duplicates", "25")
    removed = read_star("ours_removed.star")  # RELION leaves the optics and the name out
    assert list(removed) == ["optics", "particles"]
    theirs = read_star("theirs_removed.star").first
    assert removed["particles"]["rlnImageName"].tolist() == theirs["rlnImageName"].tolist()


def test_combined_files_are_relion_s(relion, folder, capsys):
    options = "--i 'a.star b.star' --combine --check_duplicates rlnImageName"
    ours(options, "--o ours.star")
    referee(*shlex.split(options), "--o", "theirs.star")
    same("ours.star", "theirs.star")
    assert "5 values of rlnImageName stand more than once" in capsys.readouterr().out


def test_unusual_images_are_discarded_as_in_relion(relion, folder, capsys):
    images = np.random.default_rng(0).normal(size=(40, 16, 16)).astype(np.float32)
    images[3] += 9
    images[20] *= 6
    write_mrc("a.mrcs", images, 1.0)
    write_star("a.star", [optics(), particles(n=40)], version=30001)
    options = "--discard_on_stats --discard_sigma 3"
    ours("--i a.star --o ours.star", options)
    referee("--i", "a.star", "--o", "theirs.star", *options.split())
    same("ours.star", "theirs.star")
    assert "2 of 40 rows are left out" in capsys.readouterr().out
    names = read_star("ours.star")["particles"]["rlnImageName"].tolist()
    assert not {"000004@a.mrcs", "000021@a.mrcs"} & set(names)


def test_picks_of_two_jobs_are_combined(folder, capsys):
    """Picks that share x alone stay; RELION 5 takes them for the same."""
    ones = picks_table(np.array([[10.0, 20.0], [30.0, 40.0]]), np.array([1.0, 2.0]))
    others = Table.from_columns(
        "",
        {
            "rlnCoordinateX": [10.05, 10.0, 30.2],
            "rlnCoordinateY": [20.05, 90.0, 40.0],
            "rlnHelicalTubeID": [1, 1, 2],
        },
    )
    for job, micrographs in (("AutoPick/job005", "mn"), ("ManualPick/job006", "m")):
        rows = {
            "rlnMicrographName": [f"MotionCorr/job002/Movies/{m}.mrc" for m in micrographs],
            "rlnMicrographCoordinates": [f"{job}/Movies/{m}_pick.star" for m in micrographs],
        }
        for path in rows["rlnMicrographCoordinates"]:
            write_picks(Path(path), ones if job.startswith("Auto") else others)
        write_star(f"{job}/pick.star", [Table.from_columns("coordinate_files", rows)])
    sources = "--i 'AutoPick/job005/pick.star ManualPick/job006/pick.star'"
    ours(sources, "--o both/all.star --combine_picks")
    told = "both/all.star: 6 picks in 2 micrographs; 1 picked before are left out\n"
    assert capsys.readouterr().out == told
    (name, first), (_, second) = read_coordinates("both/all.star")
    assert name == "MotionCorr/job002/Movies/m.mrc"
    assert (folder / "both/Movies/m_all.star").exists()
    assert first["rlnCoordinateX"].tolist() == [10, 30, 10, 30.2]
    assert first["rlnHelicalTubeID"].tolist() == [0, 0, 1, 2]
    assert second["rlnCoordinateY"].tolist() == [20, 40]


@pytest.mark.parametrize(
    ("options", "sizes"), [("--nr_split 3", [3, 3, 1]), ("--size_split 2", [2, 2, 2, 1])]
)
def test_a_file_is_split_in_order_and_in_disorder(folder, options, sizes):
    ours("--i a.star --o s.star --split", options)
    parts = [read_star(f"s_split{i}.star")["particles"] for i in range(1, len(sizes) + 1)]
    assert [len(part) for part in parts] == sizes
    assert Table.concat(parts) == particles()
    ours("--i a.star --o r.star --split --random_order --random_seed 1", options)
    names = [
        n
        for i in range(len(sizes))
        for n in read_star(f"r_split{i + 1}.star")["particles"]["rlnImageName"]
    ]
    assert sorted(names) == particles()["rlnImageName"].tolist() != names


def test_whole_numbers_stay_whole_and_every_label_is_its_own(folder):
    ours("--i a.star --o o.star --operate rlnDefocusU --operate2 _rlnClassNumber --multiply_by 2")
    changed = read_star("o.star")["particles"]
    assert changed["rlnClassNumber"].tolist() == [0, 2, 4, 0, 2, 4, 0]
    assert changed["rlnDefocusU"][0] == 2000
    assert changed["rlnCoordinateX"].tolist() == particles()["rlnCoordinateX"].tolist()


def test_text_is_copied_and_unknown_columns_are_made(folder):
    ours("--i a.star --o o.star --add_column rlnImageOriginalName --copy_column_from rlnImageName")
    table = read_star("o.star")["particles"]
    assert table["rlnImageOriginalName"].tolist() == table["rlnImageName"].tolist()
    ours("--i a.star --o o.star --add_column myOwn --add_column_value 007")
    assert set(read_star("o.star")["particles"]["myOwn"]) == {"007"}


def test_other_tables_and_comments_stay(folder):
    extra = Table.from_columns("extra", {"rlnMaskName": "m.mrc"}, is_list=True)
    whole = Star([optics(), particles(), extra], comments=["kept"])
    write_star("c.star", whole)
    ours("--i c.star --o o.star --sort rlnDefocusU --reverse")
    result = read_star("o.star")
    assert result["extra"] == extra
    assert result.comments == ("kept",)
    assert result["particles"]["rlnDefocusU"].tolist() == particles()["rlnDefocusU"].tolist()[::-1]


def test_sorting_keeps_the_order_of_equal_rows(folder):
    ours("--i a.star --o o.star --sort rlnClassNumber --reverse")
    table = read_star("o.star")["particles"]
    assert table["rlnClassNumber"].tolist() == [2, 2, 1, 1, 0, 0, 0]
    assert table["rlnCoordinateX"].tolist() == [20, 50, 10, 40, 0, 30, 60]


def test_a_histogram_counts_every_value(folder, capsys):
    ours("--i a.star --hist_column rlnDefocusU --hist_bins 3 --json")
    found = json.loads(capsys.readouterr().out)
    assert found["edges"] == [1000, 3000, 5000, 7000]
    assert found["counts"] == [2, 2, 3]
    assert found["summary"]["median"] == 4000
    assert found["summary"]["sd"] == 2000
    ours("--i a.star --hist_column rlnDefocusU --hist_min 2000 --hist_max 3000 --hist_bins 1")
    out = capsys.readouterr().out
    assert "2000 to 3000                  2" in out
    assert "1 values lie below, 4 above" in out
    ours("--i a.star --hist_column rlnDefocusU --hist_bins 3 --in_percent --show_cumulative")
    assert "100 ########" in capsys.readouterr().out


def test_without_an_operation_the_content_is_shown(folder, capsys):
    ours("--i a.star")
    out = capsys.readouterr().out
    assert "data_particles: 7 rows, 12 columns" in out
    assert "rlnDefocusU                      1000 to 7000" in out
    ours("--i a.star --json")
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [(t["name"], t["rows"]) for t in tables] == [("optics", 2), ("particles", 7)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--select rlnDefocusV", "no column rlnDefocusV"),
        ("--select rlnDefocusU --split", "one operation at a time, not --select and --split"),
        ("--select rlnDefocusU --minval 8000", "the values go from 1000 to 7000"),
        ("--select_by_str rlnImageName --select_include no", "that contains 'no'"),
        ("--discard_on_stats", "None of the 7 images can be read"),
        ("--combine_picks", "has no table coordinate_files"),
        ("--select_by_str rlnImageName", "needs --select_include"),
        ("--compare b.star", "needs --label1"),
        ("--add_column rlnX", "needs either --add_column_value or --copy_column_from"),
        ("--operate rlnImageName --multiply_by 2", "rlnImageName holds text; numbers are wanted"),
        ("--operate rlnClassNumber --add_to 0.5", "not all values are whole numbers"),
        ("--remove_column rlnNone", "no column rlnNone"),
        ("--split", "give the size of the subsets"),
        ("--i_tablename data_movies --sort rlnX", "no table data_movies"),
        ("--compare none.star --label1 rlnImageName", "none.star: no such file"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_written(folder, capsys, options, message):
    before = sorted(folder.iterdir())
    assert program.main(["--i", "a.star", "--o", "o.star", *options.split()]) == 2
    assert message in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_files_without_optics_need_the_pixel_size(folder, capsys):
    write_star("c.star", [particles().without("rlnOpticsGroup")])
    center = "--i c.star --o o.star --center --center_X 1"
    assert program.main(center.split()) == 2
    assert "give --angpix" in capsys.readouterr().err
    ours(center, "--angpix 2")
    write_star("d.star", [optics(pixel=(2.0, 2.0)), particles()])
    ours("--i d.star --o p.star --center --center_X 1")
    np.testing.assert_array_equal(
        read_star("o.star")["particles"]["rlnOriginXAngst"],
        read_star("p.star")["particles"]["rlnOriginXAngst"],
    )


@pytest.mark.parametrize(
    "options", ["--o map.mrc --sort rlnAngleRot", "--center --center_X nan", "--angpix 0"]
)
def test_values_that_are_none_are_refused(folder, options):
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit, match="2"):
        program.main(["--i", "a.star", *options.split()])
    assert sorted(folder.iterdir()) == before


def test_comparing_needs_one_to_three_columns():
    from vitreous.dataset.table_operations import matches

    with pytest.raises(InputError, match="one to three columns"):
        matches(particles(), particles(), [])
    both, _ = matches(particles(), particles(3), ["rlnCoordinateX", "rlnCoordinateY"], 0.5)
    assert both.all()
