"""Extract beside relion_preprocess 3.1.3: the same pixels, the same rows."""

import subprocess

import numpy as np
import pytest

from programs import extract_project
from programs.jobs_made import run_job
from vitreous.io import Table, read_mrc, read_star, write_star

pytestmark = pytest.mark.usefixtures("relion")
OLD = "AutoPick/job004/coords_suffix_autopick.star"
NEW = "AutoPick/job004/autopick.star"


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return extract_project.make(tmp_path)


def relion(project, *flags):
    """Run relion_preprocess into the folder ref/ and return particles and pixels."""
    (project / "ref").mkdir()
    words = ["relion_preprocess", "--i", "micrographs.star", "--part_star", "ref/particles.star"]
    words += ["--part_dir", "ref/", "--extract", *map(str, flags)]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return read_star(project / "ref/particles.star")


def pixels(project, folder, number):
    return read_mrc(project / f"{folder}Movies/m{number}.mrcs")[0]


def assert_equal(project, theirs, run, ignore=(), tolerance=1e-6):
    """The images are equal, and so are all columns that RELION has, in its order."""
    ours = read_star(run.path / "particles.star")
    for number in (1, 2):
        mine, other = (pixels(project, folder, number) for folder in (run.folder, "ref/"))
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)
    for table in ("optics", "particles"):
        labels = [label for label in theirs[table].labels if label not in ignore]
        mine = [label for label in ours[table].labels if label in labels]
        assert mine == labels
        for label in labels:
            if label == "rlnImageName":
                names = [name.replace("ref/", run.folder) for name in theirs[table][label]]
                assert ours[table][label].tolist() == names
            elif ours[table][label].dtype == np.float64:
                np.testing.assert_allclose(ours[table][label], theirs[table][label], atol=6e-6)
            else:
                assert ours[table][label].tolist() == theirs[table][label].tolist()


PICKED = ["--coord_dir", "AutoPick/job004/", "--coord_suffix", "_autopick.star"]
NORM = ["--norm", "--bg_radius", 24, "--white_dust", -1, "--black_dust", -1]
PLAIN = {"write_float16": False, "box_px": 64, "invert": False, "normalise": False}
NORMED = {**PLAIN, "normalise": True, "background_diameter_px": 48}
CASES = {
    "cut": ([], PLAIN),
    "bias": (
        ["--extract_bias_x", 3, "--extract_bias_y", -2],
        {**PLAIN, "other_arguments": "--extract_bias_x 3 --extract_bias_y -2"},
    ),
    "normalised": (NORM, NORMED),
    "inverted": ([*NORM, "--invert_contrast"], {**NORMED, "invert": True}),
    "without_ramp": ([*NORM, "--no_ramp"], {**NORMED, "other_arguments": "--no_ramp"}),
    "scaled": (["--scale", 32], {**PLAIN, "scale_down": True, "scaled_box_px": 32}),
    "scaled_and_normalised": (
        ["--scale", 40, *NORM[:2], 15],
        {**NORMED, "scale_down": True, "scaled_box_px": 40},
    ),
    "windowed": (["--window", 48], {**PLAIN, "other_arguments": "--window 48"}),
    "premultiplied": (["--premultiply_ctf"], {**PLAIN, "other_arguments": "--premultiply_ctf"}),
    "premultiplied_in_a_larger_box": (
        ["--premultiply_ctf", "--premultiply_extract_size", 128, *NORM],
        {**NORMED, "other_arguments": "--premultiply_ctf --premultiply_extract_size 128"},
    ),
    "phase_flipped": (["--phase_flip"], {**PLAIN, "other_arguments": "--phase_flip"}),
    "intact_first_peak": (
        ["--premultiply_ctf", "--ctf_intact_first_peak"],
        {**PLAIN, "other_arguments": "--premultiply_ctf --ctf_intact_first_peak"},
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_picks_are_extracted_alike(project, case):
    flags, values = CASES[case]
    theirs = relion(project, *PICKED, "--extract_size", 64, *flags)
    run = run_job(project, "extract", micrographs="micrographs.star", coordinates=OLD, **values)
    # Pixels of up to 400 are written in single precision, whose last digit is 3e-5.
    assert_equal(project, theirs, run, tolerance=2e-7 if values["normalise"] else 0)
    extracted = read_star(run.path / "Movies/m1_extract.star")["images"]
    relions = read_star(project / "ref/Movies/m1_extract.star")["images"]
    assert extracted.labels == relions.labels


@pytest.fixture
def refined(project):
    """Particles as a refinement leaves them: poses, shifts, defoci of their own, one half pixel."""
    star = relion(project, *PICKED, "--extract_size", 64, "--scale", 32)
    rows = star["particles"].select(np.r_[3 : extract_project.N, extract_project.N + 3 : 28])
    rng = np.random.default_rng(5)
    n = len(rows)
    shifts = rng.uniform(-9, 9, (n, 2)).round(4)
    shifts[0] = 1.875, -1.875
    angles = rng.uniform((-180, 0, -180), (180, 180, 180), (n, 3)).round(4)
    rows = rows.with_columns(
        {
            "rlnAngleRot": angles[:, 0],
            "rlnAngleTilt": angles[:, 1],
            "rlnAnglePsi": angles[:, 2],
            "rlnOriginXAngst": shifts[:, 0],
            "rlnOriginYAngst": shifts[:, 1],
            "rlnDefocusU": rows["rlnDefocusU"] + rng.uniform(-99, 99, n).round(3),
            "rlnRandomSubset": np.arange(n) % 2 + 1,
        }
    )
    write_star(project / "data.star", star.with_table(rows))
    (project / "ref").rename(project / "first")
    return project


CENTRE = ["--recenter", "--recenter_x", 3, "--recenter_y", -4.5, "--recenter_z", 7]
OURS = {"recenter": True, "center_x_px": 3, "center_y_px": -4.5, "center_z_px": 7}
AGAIN = {
    "as_they_are": ([], {}),
    "shifts_forgotten": (["--reset_offsets"], {"reset_shifts": True}),
    "centred": (["--recenter"], {"recenter": True}),
    "new_centre": (CENTRE, OURS),
    "centre_of_another_reference": (
        [*CENTRE, "--ref_angpix", 2],
        {**OURS, "other_arguments": "--ref_angpix 2"},
    ),
    "ctf_of_the_micrographs": (
        ["--keep_ctfs_micrographs"],
        {"other_arguments": "--keep_ctfs_micrographs"},
    ),
}


@pytest.mark.parametrize("case", list(AGAIN))
def test_refined_particles_are_extracted_alike(refined, case):
    flags, values = AGAIN[case]
    theirs = relion(refined, "--reextract_data_star", "data.star", "--extract_size", 48, *flags)
    run = run_job(
        refined,
        "extract",
        micrographs="micrographs.star",
        reextract=True,
        refined_particles="data.star",
        **{**PLAIN, "box_px": 48, **values},
    )
    # RELION leaves a pixel size of micrographs there in this case only.
    assert_equal(refined, theirs, run, ignore=("rlnMicrographPixelSize",), tolerance=0)


TUBES = ["--helix", "--helical_outer_diameter", 20]
CUT = ["--helical_tubes", "--helical_cut_into_segments", "--helical_nr_asu", 5]
CUT += ["--helical_rise", 4]
WHOLE = ["--helical_tubes", "--helical_nr_asu", 1, "--helical_rise", 1]
HELIX = {"is_helix": True, "tube_diameter_A": 20, "n_asymmetric_units": 5, "rise_A": 4}
BIMODAL = "--helical_bimodal_angular_priors"
FILAMENTS = {
    "segments": ([*CUT, BIMODAL, *NORM], {**NORMED, **HELIX}),
    "known_polarity": (CUT, {**PLAIN, **HELIX, "bimodal_priors": False}),
    "one_box_each": ([*WHOLE, BIMODAL], {**PLAIN, **HELIX, "cut_segments": False}),
    "given_segments": ([BIMODAL, *NORM], {**NORMED, **HELIX, "are_start_end": False}),
}


@pytest.mark.parametrize("case", list(FILAMENTS))
def test_filaments_are_extracted_alike(project, case):
    flags, values = FILAMENTS[case]
    ends = [[40.0, 50], [200, 120], [180, 190], [60, 190], [230, 40], [230, 180.5]]
    for number, n in ((1, 6), (2, 4)):
        columns = dict(zip(("rlnCoordinateX", "rlnCoordinateY"), np.array(ends[:n]).T, strict=True))
        table = Table.from_columns("", columns)
        if case == "given_segments":
            priors = {"rlnHelicalTubeID": np.arange(n), "rlnAngleTiltPrior": 90.0}
            priors |= {"rlnAnglePsiPrior": np.linspace(-170, 170, n)}
            priors |= {"rlnHelicalTrackLengthAngst": 0.0, "rlnAnglePsiFlipRatio": 0.0}
            table = table.with_columns(priors)
        write_star(project / f"{extract_project.PICKS}/m{number}_autopick.star", [table])
    theirs = relion(project, *PICKED, "--extract_size", 64, *TUBES, *flags)
    run = run_job(project, "extract", micrographs="micrographs.star", coordinates=OLD, **values)
    assert_equal(project, theirs, run, tolerance=5e-7 if values["normalise"] else 0)


def test_picks_of_a_real_micrograph_are_extracted_alike(tmp_path, monkeypatch, data):
    """A micrograph of MotionCor2 with automatic picks of RELION 3.0."""
    monkeypatch.chdir(tmp_path)
    name = "Ucsf_stack_1142_DW"
    (tmp_path / "Movies").symlink_to(data / "micrographs/cleaner")
    (tmp_path / "Picks/Movies").mkdir(parents=True)
    picks = data / f"micrographs/cleaner/{name}_autopick.star"
    (tmp_path / f"Picks/Movies/{name}_autopick.star").symlink_to(picks)
    (tmp_path / "Picks/coords_suffix_autopick.star").write_text("micrographs.star\n")
    rows = {"rlnMicrographName": [f"Movies/{name}.mrc"], "rlnOpticsGroup": [1]}
    rows |= {"rlnDefocusU": [12000.0], "rlnDefocusV": [11000.0], "rlnDefocusAngle": [20.0]}
    rows |= {"rlnCtfFigureOfMerit": [0.1], "rlnCtfMaxResolution": [5.0]}
    optics = extract_project.optics().select([0])
    write_star("micrographs.star", [optics, Table.from_columns("micrographs", rows)])
    flags = ["--coord_dir", "Picks/", "--coord_suffix", "_autopick.star", "--extract_size", 200]
    relion(tmp_path, *flags, "--scale", 100, *NORM[:2], 37)
    values = {**PLAIN, "normalise": True, "box_px": 200, "scale_down": True, "scaled_box_px": 100}
    coordinates = "Picks/coords_suffix_autopick.star"
    run = run_job(
        tmp_path, "extract", micrographs="micrographs.star", coordinates=coordinates, **values
    )
    ours, theirs = (
        read_mrc(tmp_path / f"{folder}Movies/{name}.mrcs")[0] for folder in (run.folder, "ref/")
    )
    assert len(ours) == 45
    np.testing.assert_allclose(ours, theirs, rtol=2e-7, atol=2e-7)
