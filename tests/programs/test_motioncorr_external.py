"""The wrapper of MotionCor2, with a program in its place that checks what it is told."""

import json
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from programs.motion_movies import drifting, job, listed, options, tiff
from vitreous.dataset.motion_star import read_motion
from vitreous.errors import ComputeError, InputError
from vitreous.io import read_star, write_mrc
from vitreous.jobs.context import Aborted

STUB = """#!{python}
import json, shutil, sys, time
words = sys.argv[1:]
if "-Sleep" in words:
    time.sleep(60)
if "-Fail" in words:
    sys.exit("no GPU found")
out = words[words.index("-OutMrc") + 1]
log = words[words.index("-LogFile") + 1]
json.dump(words, open(log + "_words.json", "w"))
ends = [""] + (["_DW"] if "-FmDose" in words else [])
ends += ["_EVN", "_ODD"] if "-SplitSum" in words else []
for end in [] if "-Silent" in words else ends:
    shutil.copy("image.mrc", out.removesuffix(".mrc") + end + ".mrc")
with open(log + "0-Full.log", "w") as stream:
    stream.write("# full frame alignment\\n#  frame  x  y\\n")
    for frame in range(4):
        stream.write(f"  {{frame + 1}}  {{0.5 + 1.25 * frame}}  {{0.5 - 2 * frame}}\\n")
"""


@pytest.fixture(autouse=True)
def program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("motioncor2")
    path.write_text(STUB.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    frames, _ = drifting(n_frames=6)
    listed([tiff("Movies/a.tiff", frames), tiff("Movies/b.tiff", frames)])
    write_mrc("image.mrc", np.ones((128, 160), np.float32), 1.5)
    write_mrc("gain.mrc", np.ones((160, 128), np.float32), 1.5)
    Path("defects.txt").write_text("1 2 3 4\n")


def wrapper(**values):
    given = {"built_in": False, "save_power_spectra": False, "motioncor2_program": "./motioncor2"}
    return options(**{**given, **values})


def words(name="a", folder="MotionCorr/job002/"):
    return json.loads(Path(f"{folder}Movies/{name}_words.json").read_text())


def test_the_command_says_all_that_the_form_says():
    job(
        wrapper(
            first_frame=2, last_frame=5, patches_x=5, patches_y=4, group_frames=3, binning=2,
            gain_reference="gain.mrc", gain_rotation="90 degrees (1)", defects="defects.txt",
            dose_per_frame_e_per_A2=1.2, pre_exposure_e_per_A2=0.5, gpu_ids="0,1:2",
            save_unweighted=True, motioncor2_arguments="-Iter 10 -Tol 0.5",
            flags="--even_odd_split",
        )
    )  # fmt: skip
    stem = "MotionCorr/job002/Movies/a"
    assert words() == [
        "-InTiff", "Movies/a.tiff", "-OutMrc", f"{stem}_motioncor2.mrc", "-LogFile", stem,
        "-Bft", "150", "-PixSize", "1.5", "-Patch", "5", "4", "-Group", "3",
        "-Gain", "MotionCorr/job002/gain.mrc", "-FmRef", "0", "-Throw", "1", "-Trunc", "1",
        "-FtBin", "2", "-Kv", "300", "-FmDose", "1.2", "-InitDose", "0.5",
        "-DefectFile", "defects.txt", "-SplitSum", "1", "-Gpu", "0", "1",
        "-Iter", "10", "-Tol", "0.5",
    ]  # fmt: skip
    assert Path("MotionCorr/job002/gain.mrc").exists()  # turned here, so that polishing knows it
    assert "-InTiff Movies/a.tiff" in Path(f"{stem}.com").read_text()


def test_its_files_get_our_names_and_its_shifts_are_read():
    run = job(wrapper(first_frame=2, last_frame=5, save_unweighted=True))
    rows = read_star("MotionCorr/job002/corrected_micrographs.star")["micrographs"]
    assert rows["rlnMicrographName"].tolist() == [
        "MotionCorr/job002/Movies/a.mrc", "MotionCorr/job002/Movies/b.mrc",
    ]  # fmt: skip
    for label in ("rlnMicrographName", "rlnMicrographNameNoDW"):
        assert all(Path(name).is_file() for name in rows[label])
    assert not list(run.path.rglob("*_motioncor2*"))
    motion = read_motion("MotionCorr/job002/Movies/b.star")
    assert np.isnan(motion.shift_px).all(1).tolist() == [True, *[False] * 4, True]
    np.testing.assert_allclose(motion.shift_px[1:5, 0], [0, 1.25, 2.5, 3.75])
    np.testing.assert_allclose(motion.shift_px[1:5, 1], [0, -2, -4, -6])
    assert run.headlines["movies"] == 2
    again = job(wrapper(first_frame=2, last_frame=5, save_unweighted=True), is_continue=True)
    assert again.advanced == 0


def test_without_dose_weighting_the_plain_sum_is_the_micrograph():
    job(wrapper(dose_weighting=False))
    assert "-FmDose" not in words()
    rows = read_star("MotionCorr/job002/corrected_micrographs.star")["micrographs"]
    assert "rlnMicrographNameNoDW" not in rows
    assert Path(rows["rlnMicrographName"][0]).is_file()


def test_each_rank_uses_its_own_cards():
    from vitreous.programs.motioncorr_external import gpu_of_rank

    assert [gpu_of_rank("0:1,2", rank) for rank in range(3)] == [(0,), (1, 2), (0,)]
    assert gpu_of_rank("", 0) == ()


@pytest.mark.parametrize("flag", ["-RotGain", "-FlipGain"])
def test_gain_flags_are_refused_with_the_option_to_use(flag):
    with pytest.raises(InputError, match="Use the option gain_"):
        job(wrapper(motioncor2_arguments=f"{flag} 1"))


def test_failures_tell_what_the_program_said():
    with pytest.raises(ComputeError, match="failed with code 1: no GPU found"):
        job(wrapper(motioncor2_arguments="-Fail"))
    with pytest.raises(ComputeError, match=r"wrote no a_motioncor2\.mrc|wrote no a_motioncor2_DW"):
        job(wrapper(motioncor2_arguments="-Silent"))


def test_a_missing_program_is_named():
    with pytest.raises(InputError, match="RELION_MOTIONCOR2_EXECUTABLE"):
        job(wrapper(motioncor2_program=""))
    with pytest.raises(InputError, match="MotionCor2 program none"):
        job(wrapper(motioncor2_program="none"))
    Path("plain").write_text("text")
    with pytest.raises(ComputeError, match="cannot be run"):
        job(wrapper(motioncor2_program="./plain"))


def test_the_program_ends_with_the_job():
    with pytest.raises(Aborted):
        job(wrapper(motioncor2_arguments="-Sleep"), abort_after=0)
