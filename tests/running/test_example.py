"""The worked example of the documentation, run as an External job."""

import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from vitreous.actions.project import Project
from vitreous.io import Table, read_star, write_star
from vitreous.io.coordinates import read_coordinates
from vitreous.jobs import external_command
from vitreous.jobs.job_star import read_job
from vitreous.project import node_types
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Status

EXAMPLE = Path(__file__).parents[2] / "docs/examples/pick_particles.py"
PIXEL_A, DIAMETER_A, SIZE = 2.0, 60.0, (240, 300)
NAMES = [f"MotionCorr/job002/Movies/mic{number}.mrc" for number in (1, 2, 3)]


def micrograph(centres, rng):
    """Dark balls on bright, noisy ice; centres are (x, y) in pixels."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    image = rng.normal(100.0, 1.0, SIZE)
    for cx, cy in centres:
        square = (0.5 * DIAMETER_A / PIXEL_A) ** 2 - (x - cx) ** 2 - (y - cy) ** 2
        image -= 0.08 * np.sqrt(np.clip(square, 0, None))
    return image.astype(np.float32)


@pytest.fixture
def project(workshop):
    rng = np.random.default_rng(3)
    centres = {}
    for name in NAMES:
        grid = [(x, y) for x in (45, 115, 185, 255) for y in (45, 120, 190)]
        centres[name] = np.array(grid) + rng.uniform(-8, 8, (len(grid), 2))
        path = workshop.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with mrcfile.new(path) as file:
            file.set_data(micrograph(centres[name], rng))
    (workshop.root / NAMES[2]).write_bytes(b"no micrograph")
    optics = {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnMicrographPixelSize": [PIXEL_A],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
    }
    rows = {"rlnMicrographName": NAMES, "rlnOpticsGroup": [1] * len(NAMES)}
    write_star(
        workshop.root / "micrographs.star",
        [Table.from_columns("optics", optics), Table.from_columns("micrographs", rows)],
    )
    program = shutil.copy(EXAMPLE, workshop.root)
    text = Path(program).read_text().replace("/usr/bin/env python3", sys.executable)
    Path(program).write_text(text)
    made = Project(workshop.root)
    made.centres = centres
    return made


def picking(project, **more):
    parameters = {
        "parameter_1_name": "threshold",
        "parameter_1_value": "2.5",
        "parameter_2_name": "denoise_first",
        "parameter_3_name": "diameter",
        "parameter_3_value": str(DIAMETER_A),
    }
    return project.run(
        "external",
        executable="pick_particles.py",
        micrographs="micrographs.star",
        **parameters,
        **more,
    )


def check_picks(project, node):
    pairs = read_coordinates(node, project.root)
    assert [name for name, _ in pairs] == NAMES[:2]
    for name, picks in pairs:
        found = np.stack([picks["rlnCoordinateX"], picks["rlnCoordinateY"]], axis=1)
        offsets = np.linalg.norm(project.centres[name][:, None] - found[None], axis=2)
        assert len(found) == len(project.centres[name])
        assert offsets.min(axis=1).max() < 3.0  # px, a tenth of a particle


@pytest.mark.parametrize(
    ("more", "node"),
    [
        ({}, "blobs.star"),
        ({"parameter_4_name": "old_form"}, "coords_suffix_blobs.star"),
    ],
)
def test_the_example_picks_every_particle_and_its_list_feeds_other_jobs(project, more, node):
    job = picking(project, n_threads=2, **more)
    assert job.status is Status.SUCCEEDED, job.log(err=True)
    (output,) = project.pipeline.outputs(job.name)
    assert output.name == f"{job.name}{node}"
    assert output.type_label == node_types.COORDINATES
    assert (project.root / job.name / "Movies/mic1_blobs.star").is_file()
    assert f"{NAMES[2]}: left out" in job.log()
    check_picks(project, output.name)


def test_the_example_stops_when_asked_and_goes_on_later(project):
    folder = project.root / "External/job001"
    folder.mkdir(parents=True)
    (folder / "RELION_JOB_ABORT_NOW").touch()
    words = [sys.executable, EXAMPLE, "--o", "External/job001/", "--in_mics", "micrographs.star"]
    words += ["--diameter", str(DIAMETER_A), "--threshold", "2.5", "--pipeline_control", "x"]
    subprocess.run(words, cwd=project.root, check=True)
    assert sorted(path.name for path in folder.iterdir()) == ["RELION_JOB_EXIT_ABORTED"]
    subprocess.run(words, cwd=project.root, check=True)
    assert (folder / "RELION_JOB_EXIT_SUCCESS").exists()
    check_picks(project, "External/job001/blobs.star")


def test_the_example_says_that_it_failed(project):
    words = [sys.executable, EXAMPLE, "--o", "External/job001/", "--in_mics", "nowhere.star"]
    failed = subprocess.run(words, cwd=project.root, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "nowhere.star: no such file" in failed.stderr
    assert (project.root / "External/job001/RELION_JOB_EXIT_FAILURE").exists()


def test_picks_of_an_external_job_feed_the_extraction_of_relion(project, relion):
    """RELION cuts out exactly the particles that we read from the old form."""
    job = picking(project, parameter_4_name="old_form")
    (project.root / "Extract/job002").mkdir(parents=True)
    words = ["relion_preprocess", "--i", "micrographs.star", "--extract", "--extract_size", "40"]
    words += ["--coord_dir", job.name, "--coord_suffix", "_blobs.star"]
    words += ["--part_dir", "Extract/job002/", "--part_star", "Extract/job002/particles.star"]
    subprocess.run(words, cwd=project.root, check=True, capture_output=True)
    cut = read_star(project.root / "Extract/job002/particles.star")["particles"]
    for name, picks in read_coordinates(f"{job.name}coords_suffix_blobs.star", project.root):
        mine = cut.select(cut["rlnMicrographName"] == name)
        assert len(mine) == len(picks) == 12
        for label in ("rlnCoordinateX", "rlnCoordinateY"):
            np.testing.assert_allclose(mine[label], picks[label], atol=0.01)


def test_relion_runs_the_example_with_the_same_command(project, relion):
    """The pipeliner of RELION 3.1.3 starts, ends and connects the job as vitreous does."""
    root = project.root.with_name("of_relion")
    ProjectFolder.create(root, form="3.1")
    for name in ("pick_particles.py", "micrographs.star", "MotionCorr"):
        shutil.move(project.root / name, root / name)
    given = {
        "fn_exe": "./pick_particles.py",
        "in_mic": "micrographs.star",
        "param1_label": "diameter",
        "param1_value": str(DIAMETER_A),
        "param2_label": "denoise_first",
        "param3_label": "old_form",
    }
    texts = ";".join(f"{key} == {value}" for key, value in given.items())
    for words in (
        ["--addJob", "External", "--addJobOptions", texts],
        ["--RunJobs", "External/job001/", "--schedule", "x", "--sec_wait_after", "1"],
    ):
        subprocess.run(["relion_pipeliner", *words], cwd=root, check=True, capture_output=True)
    theirs = Project(root).job(1)
    assert theirs.status is Status.SUCCEEDED
    assert list(theirs.outputs.values()) == [root / "External/job001/coords_suffix_blobs.star"]
    command = external_command.command(read_job(theirs.path).options, theirs.name)
    assert command.split() == theirs.note.splitlines()[-2].split()
