"""CTFFIND 4 and 5 and Gctf, as far as a stand-in can tell: commands, answers, files, failures."""

from __future__ import annotations

import json
import math
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from programs.jobs_made import run_job
from vitreous.errors import ComputeError, EnvironmentMissing
from vitreous.io import Table, read_star, write_mrc, write_star
from vitreous.programs.ctffind_external import ctffind_answer, gctf_answer
from vitreous.programs.ctffind_settings import read_extra

# A stand-in for CTFFIND. It keeps what it was told, checks that the image can be read and that
# the diagnostic image can be written, and answers in the form of the real one.
CTFFIND = """
import json, os, struct, sys, time
answers = sys.stdin.read().split("\\n")
image, picture = answers[0], answers[1]
with open(image, "rb") as stream:
    nx = struct.unpack("<i", stream.read(4))[0]
stem = os.path.splitext(picture)[0]
told = {"argv": sys.argv[1:], "answers": answers, "nx": nx, "locale": os.environ.get("LC_ALL"),
        "link": os.path.islink(image), "cwd": os.getcwd()}
open(stem + ".told.json", "w").write(json.dumps(told))
print("   CTFFIND, a stand-in", flush=True)
MISBEHAVE
open(picture, "wb").write(b"picture")
open(stem + ".txt", "w").write(
    "# Output from CTFFIND\\n# Columns: #1 - micrograph number; #2 - defocus 1 [A]\\n"
    "1.000000 9800.5 10200.25 -80.0 1.570796 0.123456 RESOLUTION\\n")
rows = ["0.0 0.1 0.26 0.27 0.3", "9 9 0.5 -0.25 9"] + ["1 1 1 1 1"] * 4
open(stem + "_avrot.txt", "w").write("# curves\\n" + "\\n".join(rows) + "\\n")
print("Summary of results                          : " + stem + ".txt")
"""
GCTF = """
import json, os, sys
image = sys.argv[-1]
stem = os.path.splitext(image)[0]
told = {"argv": sys.argv[1:], "link": os.path.islink(image)}
open(stem + ".told.json", "w").write(json.dumps(told))
open(stem + ".ctf", "wb").write(b"picture")
open(stem + "_gctf.log", "w").write("ANSWER")
"""


def stand_in(folder, name, text):
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def ctffind(folder, name="ctffind4.exe", misbehave="", resolution="4.5"):
    text = CTFFIND.replace("MISBEHAVE", misbehave).replace("RESOLUTION", resolution)
    return stand_in(folder, name, text)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).normal(size=(128, 160)).astype(np.float32)
    for name in ("a.mrc", "b.mrc"):
        write_mrc(name, image, 1.5)
    write_mrc("a_PS.mrc", np.abs(image[:, :128]), 1.4)


def list_of(names, **columns):
    groups = {
        "rlnOpticsGroupName": ["g"], "rlnOpticsGroup": [1], "rlnMicrographPixelSize": [1.5],
        "rlnVoltage": [200.0], "rlnSphericalAberration": [1.4], "rlnAmplitudeContrast": [0.07],
    }  # fmt: skip
    table = {"rlnMicrographName": names, "rlnOpticsGroup": [1] * len(names), **columns}
    tables = [Table.from_columns("optics", groups), Table.from_columns("micrographs", table)]
    write_star("mics.star", tables)


def run(tmp_path, program, **values):
    return run_job(tmp_path, "ctffind", micrographs="mics.star", ctffind_program=program, **values)


def told(run, name="a"):
    return json.loads((run.path / f"{name}.told.json").read_text())


def test_ctffind_4_is_asked_its_questions_in_order_and_its_answer_read(tmp_path):
    list_of(["a.mrc"])
    found = run(tmp_path, ctffind(tmp_path), box_px=256)
    heard = told(found)
    assert heard["argv"] == ["--omp-num-threads", "1", "--old-school-input-ctffind4"]
    assert heard["answers"][2:] == [
        "1.5", "200", "1.4", "0.07", "256", "30", "5", "5000", "50000", "500",
        "no", "no", "yes", "100", "no", "no", "no", "",
    ]  # fmt: skip
    assert heard["locale"] == "C"
    assert heard["link"]
    assert heard["cwd"] == str(tmp_path)
    assert not (found.path / "a.mrc").exists()
    row = next(iter(read_star(found.path / "micrographs_ctf.star")["micrographs"].rows()))
    assert row["rlnDefocusU"] == 10200.25  # the larger, with its angle
    assert row["rlnDefocusV"] == 9800.5
    assert row["rlnDefocusAngle"] == 10
    assert row["rlnCtfAstigmatism"] == 399.75
    assert row["rlnCtfFigureOfMerit"] == 0.123456
    assert row["rlnCtfMaxResolution"] == 4.5
    assert row["rlnCtfIceRingDensity"] == 0.75
    assert row["rlnCtfImage"] == "CtfFind/job001/a.ctf:mrc"
    assert "rlnPhaseShift" not in row
    assert (found.path / "a_ctffind4.log").read_text().startswith("   CTFFIND")


def test_ctffind_5_is_asked_for_the_thickness_too(tmp_path):
    list_of(["a.mrc"])
    found = run(tmp_path, ctffind(tmp_path, "ctffind5"), exhaustive_search=True)
    heard = told(found)
    assert heard["argv"][-1] == "--old-school-input"
    assert heard["answers"][12:] == ["no", "yes", "yes", "100", "no", "no", "no", "no", ""]
    older = run_job(
        tmp_path, "ctffind", "CtfFind/job002/", micrographs="mics.star",
        ctffind_program=str(tmp_path / "ctffind5"), other_arguments="--ctffind_version 4",
    )  # fmt: skip
    assert len(told(older)["answers"]) == len(heard["answers"]) - 1


@pytest.mark.usefixtures("relion")
@pytest.mark.parametrize("is_fancy", [False, True])
def test_an_early_ctffind_is_called_as_relion_3_1_3_calls_it(tmp_path, monkeypatch, is_fancy):
    list_of(["a.mrc"], rlnCtfPowerSpectrum=["a_PS.mrc"])
    monkeypatch.setenv("RELION_SHELL", "/bin/bash")
    program = ctffind(tmp_path)
    limits = "--Box 256 --ResMin 30 --ResMax 5 --dFMin 5000 --dFMax 50000 --FStep 500 --dAst 100"
    phases = "--use_given_ps --do_phaseshift --phase_min 0 --phase_max 180 --phase_step 10"
    more = phases if is_fancy else "--fast_search"
    command = (
        f"relion_run_ctffind --i mics.star --o Theirs/ {limits} --ctffind_exe {program} --ctfWin -1"
        f" --is_ctffind4 {more}"
    )
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    found = run(
        tmp_path, program, box_px=256, other_arguments="--ctffind_version 4-old",
        use_power_spectra=is_fancy, fit_phase_shift=is_fancy, exhaustive_search=is_fancy,
    )  # fmt: skip
    (told_by_relion,) = Path("Theirs").glob("*.told.json")
    theirs, ours = json.loads(told_by_relion.read_text()), told(found)
    assert ours["argv"] == theirs["argv"]
    assert ours["answers"][2:] == theirs["answers"][2:]
    assert ours["nx"] == theirs["nx"]


def test_a_version_that_knows_no_flags_is_told_of(tmp_path):
    list_of(["a.mrc"])
    refuse = "print('Unknown long option omp-num-threads'); sys.exit(255)"
    with pytest.raises(ComputeError, match="add --ctffind_version 4-old"):
        run(tmp_path, ctffind(tmp_path, misbehave=refuse))


def test_phase_shifts_are_asked_for_in_radians_and_told_in_degrees(tmp_path):
    list_of(["a.mrc"])
    found = run(tmp_path, ctffind(tmp_path), fit_phase_shift=True)
    asked = [float(one) for one in told(found)["answers"][17:20]]
    assert asked == pytest.approx([0, math.pi, math.radians(10)], rel=1e-5)
    rows = read_star(found.path / "micrographs_ctf.star")["micrographs"]
    assert rows["rlnPhaseShift"][0] == pytest.approx(90, abs=1e-3)


def test_power_spectra_go_in_with_their_own_size_and_sampling(tmp_path):
    list_of(["a.mrc"], rlnCtfPowerSpectrum=["a_PS.mrc"])
    found = run(tmp_path, ctffind(tmp_path), box_px=512)
    heard = told(found)
    assert heard["argv"][-1] == "--amplitude-spectrum-input"
    assert heard["nx"] == 128
    assert heard["answers"][2] == "1.4"
    assert heard["answers"][6] == "128"


def test_only_the_central_square_is_handed_over_on_request(tmp_path):
    list_of(["a.mrc"])
    found = run(tmp_path, ctffind(tmp_path), window_px=96)
    assert told(found)["nx"] == 96
    assert not told(found)["link"]
    assert not (found.path / "a.mrc").exists()


def test_a_resolution_that_is_none_counts_as_25(tmp_path):
    list_of(["a.mrc"])
    found = run(tmp_path, ctffind(tmp_path, resolution="inf"))
    assert (
        read_star(found.path / "micrographs_ctf.star")["micrographs"]["rlnCtfMaxResolution"] == 25
    )


def test_what_fails_is_named_and_the_rest_goes_on_and_is_not_done_twice(tmp_path):
    list_of(["a.mrc", "b.mrc", "absent.mrc"])
    bad = "if '/b.' in image: print('segmentation fault'); sys.exit(3)"
    found = run(tmp_path, ctffind(tmp_path, misbehave=bad))
    rows = read_star(found.path / "micrographs_ctf.star")["micrographs"]
    assert rows["rlnMicrographName"].tolist() == ["a.mrc"]
    assert "ended with code 3" in found.told
    assert "segmentation fault" in found.told
    assert "absent.mrc" in found.told
    (found.path / "a.told.json").unlink()
    again = run(tmp_path, ctffind(tmp_path), is_continue=True)
    rows = read_star(again.path / "micrographs_ctf.star")["micrographs"]
    assert rows["rlnMicrographName"].tolist() == ["a.mrc", "b.mrc"]
    assert not (again.path / "a.told.json").exists()


@pytest.mark.parametrize(
    ("misbehave", "message"),
    [
        ("sys.exit(0)", "told of no summary"),
        ("print('Summary of results : nowhere.txt'); sys.exit(0)", "cannot be read"),
        (
            "open(stem + '.txt', 'w').write('# Columns: x\\n1 2 3\\n');"
            "print('Summary of results : ' + stem + '.txt'); sys.exit(0)",
            "wanted 7 numbers",
        ),
    ],
)
def test_answers_that_are_none_fail_with_what_was_printed(tmp_path, misbehave, message):
    list_of(["a.mrc"])
    with pytest.raises(ComputeError, match=message):
        run(tmp_path, ctffind(tmp_path, misbehave=misbehave))


def test_a_program_that_is_not_there_ends_the_job_at_once(tmp_path):
    list_of(["a.mrc", "b.mrc"])
    with pytest.raises(EnvironmentMissing, match=r"no such program.*built-in"):
        run(tmp_path, str(tmp_path / "ctffind_of_yesterday"))
    (tmp_path / "ctffind.txt").write_text("")
    with pytest.raises(EnvironmentMissing, match="may not be executed"):
        run(tmp_path, str(tmp_path / "ctffind.txt"))


def test_gctf_gets_its_flags_and_its_final_values_are_read(tmp_path):
    list_of(["a.mrc"], rlnCtfPowerSpectrum=["a_PS.mrc"])
    log = "12000.5 11000.25 33.0 0.2  Final Values\\nResolution limit by EPA: RES_LIMIT 4.1\\n"
    program = stand_in(tmp_path, "Gctf-v1.06", GCTF.replace("ANSWER", log))
    found = run(tmp_path, program, other_arguments="--extra_gctf_options '--do_EPA 1' --gpu 1:0")
    words = told(found)["argv"]
    assert words[words.index("--kv") + 1] == "200"
    assert words[words.index("--ac") + 1] == "0.07"
    assert words[words.index("--defH") + 1] == "50000"
    assert words[words.index("--gid") + 1] == "1"
    assert words[-3:-1] == ["--do_EPA", "1"]
    assert Path(words[-1]).name == "a.mrc"
    assert told(found)["link"]
    row = next(iter(read_star(found.path / "micrographs_ctf.star")["micrographs"].rows()))
    assert (row["rlnDefocusU"], row["rlnDefocusV"]) == (12000.5, 11000.25)
    assert (row["rlnDefocusAngle"], row["rlnCtfFigureOfMerit"]) == (33, 0.2)
    assert row["rlnCtfMaxResolution"] == 4.1


def test_gctf_s_line_has_seven_words_with_a_phase_shift(tmp_path):
    log = tmp_path / "out.log"
    log.write_text("  9000 8000 10 87.5 0.1 Final Values\n")
    assert gctf_answer(log, tmp_path / "none.log").phase_shift_deg == 87.5
    log.write_text("nothing of use\n")
    with pytest.raises(ComputeError, match=r"no “Final Values”. Its end: nothing of use"):
        gctf_answer(log, tmp_path / "none.log")


def test_a_correlation_that_is_no_number_is_0(tmp_path):
    (tmp_path / "s.txt").write_text("# Columns: a\n1.0 9000 8000 120 0 nan 5\n")
    (tmp_path / "log").write_text(f"Summary of results : {tmp_path}/s.txt\n")
    answer = ctffind_answer(tmp_path / "log", tmp_path)
    assert answer.figure_of_merit == 0
    assert answer.angle_deg == -60
    (tmp_path / "s.txt").write_text("# Columns: a\n1.0 nan 8000 120 0 0.1 5\n")
    with pytest.raises(ComputeError, match="a defocus of nan"):
        ctffind_answer(tmp_path / "log", tmp_path)


@pytest.mark.parametrize(
    ("program", "flags", "kind"),
    [
        ("", "", "own"),
        ("/opt/ctffind", "", "ctffind4"),
        ("/opt/v5/ctffind", "", "ctffind4"),
        ("/opt/ctffind-5.0.2", "", "ctffind5"),
        ("/opt/ctffind", "--ctffind_version 5", "ctffind5"),
        ("/opt/ctffind", "--ctffind_version 4-old", "ctffind4-old"),
        ("/opt/Gctf_v1.18", "", "gctf"),
        ("/opt/estimate", "--use_gctf", "gctf"),
    ],
)
def test_the_kind_of_a_program_is_told_by_flag_or_by_name(program, flags, kind):
    from vitreous.jobs import registry

    values = {"micrographs": "m.star", "ctffind_program": program, "other_arguments": flags}
    assert read_extra(registry.find("ctffind").new(values, {})).kind == kind
