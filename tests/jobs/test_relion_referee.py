"""RELION 3.1.3 takes the settings that we write, and writes the same values itself."""

from __future__ import annotations

import subprocess

import pytest

from vitreous.jobs import evaluate, job_star, registry
from vitreous.jobs.job_star import JobFile

MICS = "CtfFind/job003/micrographs_ctf.star"
PARTS = "Select/job008/particles.star"
DATA = "Refine3D/job011/run_data.star"
HALF = "Refine3D/job011/run_half1_class001_unfil.mrc"
POST = "PostProcess/job013/postprocess.star"
MASK = "MaskCreate/job012/mask.mrc"
MAP = "InitialModel/job009/initial_model.mrc"
# Values of the public tutorial where it has any (jobs.md section 3).
VALUES = {
    "import": {"fn_in_raw": "Movies/*.tiff", "angpix": 0.885, "kV": 200, "Cs": 1.4},
    "motioncorr": {
        "movies": "Import/job001/movies.star", "dose_per_frame": 1.277, "patch_x": 5,
        "patch_y": 5, "nr_threads": 12,
    },
    "ctffind": {"micrographs": "MotionCorr/job002/corrected_micrographs.star", "dfstep": 250},
    "manualpick": {"fn_in": MICS, "diameter": 180},
    "autopick": {
        "micrographs": MICS, "do_log": True, "log_diam_min": 150, "log_diam_max": 180,
        "log_upper_thr": 5,
    },
    "extract": {
        "star_mics": MICS, "coords_suffix": "AutoPick/job005/autopick.star",
        "extract_size": 256, "do_rescale": True, "rescale": 64,
    },
    "class2d": {
        "particles": "Extract/job006/particles.star", "use_em": True, "use_vdam": False,
        "n_classes": 50, "n_iterations_em": 20,
    },
    "select": {"optimiser": "Class2D/job007/run_it025_optimiser.star", "regroup": True},
    "initialmodel": {"particles": PARTS, "point_group": "D2"},
    "class3d": {"particles": PARTS, "map": MAP, "n_classes": 4, "ini_high": 50},
    "refine3d": {"particles": PARTS, "map": MAP, "point_group": "D2", "nr_mpi": 5},
    "multibody": {"consensus": "Refine3D/job011/run_it017_optimiser.star", "bodies": "b.star"},
    "ctfrefine": {"particles": DATA, "postprocess": POST, "do_defocus": "Per-particle"},
    "polish": {
        "micrographs": "MotionCorr/job002/corrected_micrographs.star", "particles": DATA,
        "postprocess": POST, "do_own_params": True,
    },
    "maskcreate": {"map": "Refine3D/job011/run_class001.mrc", "inimask_threshold": 0.005},
    "joinstar": {"do_part": True, "fn_part1": "a.star", "fn_part2": "b with blank.star"},
    "subtract": {"optimiser": "Refine3D/job011/run_optimiser.star", "mask": MASK},
    "postprocess": {"half_map": HALF, "mask": MASK, "angpix": 1.244},
    "localres": {"half_map": HALF, "use_resmap": False, "built_in": True, "angpix": 1.244},
    "external": {"fn_exe": "./pick.py", "in_mic": MICS, "param1_label": "t", "param1_value": "0.5"},
}  # fmt: skip
NOT_IN_3_1 = {"dynamight", "modelangelo"}
EMPTY_PIPELINE = "\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 1\n"
BODIES = (
    "\ndata_\n\nloop_\n_rlnBodyMaskName #1\n_rlnBodyRotateRelativeTo #2\n"
    "_rlnBodySigmaAngles #3\n_rlnBodySigmaOffset #4\na.mrc 2 10 2\nb.mrc 1 10 2\n"
)


@pytest.fixture
def project(tmp_path, relion):
    (tmp_path / ".gui_projectdir").touch()
    (tmp_path / "default_pipeline.star").write_text(EMPTY_PIPELINE)
    (tmp_path / "b.star").write_text(BODIES)
    return tmp_path


def test_every_job_type_of_3_1_is_tried():
    assert set(VALUES) == {job_type.word for job_type in registry.all_types()} - NOT_IN_3_1


@pytest.mark.parametrize("word", VALUES)
def test_relion_adds_a_job_from_our_settings_with_our_values(word, project):
    options = registry.find(word).new(VALUES[word], {})
    assert not [p for p in evaluate.check(options) if p.severity == "error"]
    job_star.write_job(project / "ours.star", JobFile(options.job_type, options), "3.1")
    command = ["relion_pipeliner", "--addJobFromStar", "ours.star"]
    ran = subprocess.run(
        command, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    theirs = job_star.read_raw(project / options.job_type.folder / "job001")
    ours = job_star.read_raw(project / "ours.star")
    assert theirs.label == ours.label
    shared = set(theirs.texts) & set(ours.texts)
    assert len(shared) >= 0.5 * len(ours.texts)
    assert {key: theirs.texts[key] for key in shared} == {key: ours.texts[key] for key in shared}


@pytest.mark.parametrize("word", ["class2d", "ctffind", "autopick"])
def test_settings_that_relion_wrote_mean_the_same_to_us(word, project):
    options = registry.find(word).new(VALUES[word], {})
    job_star.write_job(project / "ours.star", JobFile(options.job_type, options), "3.1")
    command = ["relion_pipeliner", "--addJobFromStar", "ours.star"]
    subprocess.run(
        command, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True
    )
    read = job_star.read_job(project / options.job_type.folder / "job001").options
    assert not [p for p in evaluate.check(read) if p.severity == "error"]
    if word == "class2d":
        assert (read.use_em, read.use_vdam, read.n_iterations) == (True, False, 20)
