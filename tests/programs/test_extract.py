"""Extract jobs: what they read, what they leave, and what they do about bad input."""

import numpy as np
import pytest

from programs import extract_project
from programs.jobs_made import run_job
from vitreous.errors import (
    ComputeError,
    EnvironmentMissing,
    FormatError,
    InputError,
    MissingFileError,
    OptionError,
)
from vitreous.io import Table, read_header, read_mrc, read_star, write_mrc, write_star
from vitreous.io.coordinates import read_coordinates
from vitreous.jobs import registry
from vitreous.jobs.context import Aborted
from vitreous.programs import extract

NEW = "AutoPick/job004/autopick.star"
N = extract_project.N
BOX = {"box_px": 32, "write_float16": False}
PLAIN = {**BOX, "normalise": False, "invert": False}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return extract_project.make(tmp_path)


def run(project, folder="", *, is_continue=False, abort_after=None, **values):
    given = {"micrographs": "micrographs.star", "coordinates": NEW, **BOX, **values}
    return run_job(
        project, "extract", folder, is_continue=is_continue, abort_after=abort_after, **given
    )


def again(project, folder="Extract/job002/", **values):
    """Extract the particles of the first job again."""
    return run(
        project,
        folder,
        coordinates="",
        reextract=True,
        refined_particles="Extract/job001/particles.star",
        **values,
    )


def rows_of(job):
    return read_star(job.path / "particles.star")["particles"]


def images_of(job, number=1):
    return read_mrc(job.path / f"Movies/m{number}.mrcs")[0]


def rewrite_picks(project, number, table):
    write_star(project / f"{extract_project.PICKS}/m{number}_autopick.star", [table])


def test_a_job_leaves_stacks_rows_coordinates_and_figures(project):
    job = run(project)
    assert (project / "Extract/job001/Movies/m1.mrcs").exists()
    assert read_header(job.path / "Movies/m2.mrcs").shape == (N, 32, 32)
    assert read_header(job.path / "Movies/m2.mrcs").pixel_size_A == pytest.approx(1.25)
    rows = rows_of(job)
    assert rows["rlnImageName"][N] == "000001@Extract/job001/Movies/m2.mrcs"
    assert rows["rlnOpticsGroup"].tolist() == [1] * N + [2] * N
    listed = read_coordinates("Extract/job001/extractpick.star", project)
    assert [name for name, _ in listed] == [f"{extract_project.MOVIES}/m{i}.mrc" for i in (1, 2)]
    np.testing.assert_allclose(listed[1][1]["rlnCoordinateX"], rows["rlnCoordinateX"][N:])
    assert job.headlines == {"particles": 2 * N, "micrographs": 2, "pixel_size": 1.25, "box": 32}
    assert job.plots["per_micrograph"]["series"][0]["y"] == [N, N]
    assert np.array(job.plots["mean_image"]["image"]).shape == (32, 32)
    assert "1 of 3 micrographs have no picks" in job.lines
    assert not job.warnings
    assert set(job.headlines) | set(job.plots) == {
        result.name for result in registry_results("extract")
    }


def registry_results(word):
    return list(registry.find(word).new({}, {}).results())


def test_the_old_and_the_new_form_of_coordinates_give_the_same(project):
    new = run(project)
    old = run(project, "Extract/job002/", coordinates="AutoPick/job004/coords_suffix_autopick.star")
    for number in (1, 2):
        np.testing.assert_array_equal(images_of(new, number), images_of(old, number))


def test_picks_of_an_earlier_motion_correction_are_found_by_their_path(project):
    star = read_star(project / NEW)
    table = star["coordinate_files"]
    names = [name.replace("job002", "job007") for name in table["rlnMicrographName"]]
    write_star(project / NEW, [table.with_columns({"rlnMicrographName": names})])
    assert run(project).headlines["micrographs"] == 2


def test_normalised_backgrounds_have_mean_0_and_deviation_1_and_no_slope(project):
    images = images_of(run(project, invert=False)).astype(np.float64)
    y, x = np.mgrid[:32, :32] - 16
    outside = x**2 + y**2 > 12**2
    background = images[:, outside]
    np.testing.assert_allclose(background.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(background.std(1), 1, atol=1e-6)
    slopes = background @ np.stack([x[outside], y[outside]], 1)
    np.testing.assert_allclose(slopes / outside.sum(), 0, atol=1e-5)


def test_16_bit_floats_are_within_their_precision(project):
    full = run(project)
    half = run(project, "Extract/job002/", write_float16=True)
    assert read_header(half.path / "Movies/m1.mrcs").mode == 12
    np.testing.assert_allclose(images_of(half), images_of(full), rtol=5e-4, atol=1e-4)


def test_only_picks_of_enough_merit_and_of_one_kind_are_taken(project):
    merit = rows_of(run(project, use_fom_threshold=True, min_fom=0.5))["rlnAutopickFigureOfMerit"]
    whole = [extract_project.picks(i)["rlnAutopickFigureOfMerit"] for i in (1, 2)]
    assert merit.min() > 0.5
    assert len(merit) == (np.concatenate(whole) > 0.5).sum()
    kind = rows_of(run(project, "Extract/job002/", other_arguments="--selection_type 2"))
    assert kind["rlnParticleSelectionType"].tolist() == [2] * N


def test_extracted_again_at_moved_coordinates_the_box_is_the_same(project):
    """Origins of whole pixels: the box around the centre is that of coordinate less origin."""
    first = run(project, **PLAIN)
    star = read_star(first.path / "particles.star")
    rows = star["particles"]
    shifted = rows.with_columns(
        {
            "rlnCoordinateX": rows["rlnCoordinateX"] + 7,
            "rlnCoordinateY": rows["rlnCoordinateY"] - 3,
            "rlnOriginXAngst": np.full(len(rows), 7 * 1.25),
            "rlnOriginYAngst": np.full(len(rows), -3 * 1.25),
        }
    )
    write_star(first.path / "particles.star", star.with_table(shifted))
    centred = again(project, recenter=True, **PLAIN)
    for number in (1, 2):
        np.testing.assert_array_equal(images_of(centred, number), images_of(first, number))
    assert np.abs(rows_of(centred)["rlnOriginXAngst"]).max() < 1e-9
    assert (centred.path / "reextract.star").exists()


def test_scaled_particles_are_extracted_again_at_full_size(project):
    run(project, scale_down=True, scaled_box_px=16)
    full = again(project, **PLAIN)
    optics = read_star(full.path / "particles.star")["optics"]
    assert optics["rlnImagePixelSize"].tolist() == [1.25, 1.25]
    assert optics["rlnImageSize"].tolist() == [32, 32]
    plain = run(project, "Extract/job003/", **PLAIN)
    np.testing.assert_array_equal(images_of(full), images_of(plain))


def test_defoci_of_refined_particles_are_kept_with_their_optics(project):
    first = run(project)
    star = read_star(first.path / "particles.star")
    rows = star["particles"].with_columns({"rlnDefocusU": np.arange(2.0 * N)})
    optics = star["optics"].with_columns({"rlnBeamTiltX": [5.0, 6.0]})
    write_star(first.path / "particles.star", star.with_table(rows).with_table(optics))
    kept = again(project)
    assert rows_of(kept)["rlnDefocusU"].tolist() == list(range(2 * N))
    assert read_star(kept.path / "particles.star")["optics"]["rlnBeamTiltX"].tolist() == [5, 6]
    flags = "--keep_ctfs_micrographs"
    replaced = again(project, "Extract/job003/", other_arguments=flags)
    assert set(rows_of(replaced)["rlnDefocusU"]) == {10000.0, 12000.0}
    optics = read_star(replaced.path / "particles.star")["optics"]
    assert optics["rlnBeamTiltX"].tolist() == [0.1, 0.2]


def test_a_name_within_another_name_is_another_micrograph(project):
    """Micrographs are matched whole: m1 is not m11."""
    movies = project / extract_project.MOVIES
    write_mrc(movies / "m11.mrc", extract_project.micrograph(1), 1.25)
    star = read_star(project / "micrographs.star")
    names = [f"{extract_project.MOVIES}/{name}.mrc" for name in ("m1", "m11", "m2")]
    table = star["micrographs"].with_columns({"rlnMicrographName": names})
    run(project)
    write_star(project / "micrographs.star", star.with_table(table))
    assert again(project).headlines["particles"] == 2 * N


def test_particles_of_unlisted_micrographs_are_left_out_and_told(project):
    run(project)
    star = read_star(project / "micrographs.star")
    write_star(project / "micrographs.star", star.with_table(star["micrographs"].select([0, 2])))
    job = again(project)
    assert job.headlines["particles"] == N
    assert f"{N} particles lie in micrographs that are not in the list" in job.told


def test_a_continued_job_does_only_the_rest(project):
    first = run(project, other_arguments="--do_at_most 1")
    assert first.headlines["micrographs"] == 1
    before = (first.path / "Movies/m1.mrcs").stat()
    second = run(project, is_continue=True)
    assert (first.path / "Movies/m1.mrcs").stat().st_ino == before.st_ino
    assert second.headlines["particles"] == 2 * N
    whole = run(project, "Extract/job002/")
    assert [name.replace("job002", "job001") for name in rows_of(whole)["rlnImageName"]] == rows_of(
        second
    )["rlnImageName"].tolist()


def test_what_was_finished_before_a_stop_is_kept(project):
    with pytest.raises(Aborted):
        run(project, abort_after=1)
    assert run(project, is_continue=True).headlines["particles"] == 2 * N
    assert not list((project / "Extract/job001").rglob("*.tmp"))


def test_dust_becomes_noise_that_is_the_same_every_time(project):
    dusty = run(project, invert=False)
    assert images_of(dusty)[2].max() > 10
    clean = [
        images_of(run(project, f"Extract/job00{i}/", invert=False, white_dust_sigma=4))[2]
        for i in (2, 3)
    ]
    assert clean[0].max() < 6
    np.testing.assert_array_equal(clean[0], clean[1])
    other = run(
        project,
        "Extract/job004/",
        invert=False,
        white_dust_sigma=4,
        other_arguments="--random_seed 1",
    )
    assert not np.array_equal(images_of(other)[2], clean[0])


def test_a_scaled_tube_has_a_scaled_radius(project):
    """The background of a filament is as wide in the scaled image as in the micrograph."""
    rows = {"rlnCoordinateX": [30.0, 230], "rlnCoordinateY": [110.0, 110]}
    for number in (1, 2):
        rewrite_picks(project, number, Table.from_columns("", rows))
    values = {"is_helix": True, "tube_diameter_A": 20, "rise_A": 40.0, "invert": False}
    job = run(project, **values, scale_down=True, scaled_box_px=16)
    images = images_of(job).astype(np.float64)
    outside = np.abs(np.arange(16) - 8) > 4  # 20 A are 16 pixels, 8 when scaled
    np.testing.assert_allclose(images[:, outside].mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(images[:, outside].std((1, 2)), 1, atol=1e-6)
    assert (job.path / "helix_segments.star").exists()


# Bad input: the job goes on, the unit is named and counted.


def test_a_micrograph_that_is_not_there_is_named_and_left_out(project):
    (project / extract_project.MOVIES / "m1.mrc").unlink()
    job = run(project)
    assert job.headlines["particles"] == N
    assert "m1.mrc" in job.told
    assert "1 of 2 micrographs could not be used:" in job.lines


def test_a_micrograph_of_constant_value_is_named_and_left_out(project):
    path = project / extract_project.MOVIES / "m2.mrc"
    write_mrc(path, np.full(extract_project.SHAPE, 7, np.float32), 1.25)
    job = run(project)
    assert job.headlines["particles"] == N
    assert "m2.mrc: all its pixels are 7" in job.told


def test_a_truncated_micrograph_is_named_and_left_out(project):
    path = project / extract_project.MOVIES / "m2.mrc"
    path.write_bytes(path.read_bytes()[:50000])
    job = run(project)
    assert job.headlines["particles"] == N
    assert "m2.mrc" in job.told


def test_an_unknown_optics_group_is_named_and_left_out(project):
    star = read_star(project / "micrographs.star")
    table = star["micrographs"].with_columns({"rlnOpticsGroup": [1, 5, 1]})
    write_star(project / "micrographs.star", star.with_table(table))
    job = run(project)
    assert job.headlines["particles"] == N
    assert "m2.mrc: rlnOpticsGroup is 5, but data_optics has 1, 2" in job.told


def test_an_empty_file_of_picks_is_named(project):
    rewrite_picks(project, 1, extract_project.picks(1).select([]))
    (project / f"{extract_project.PICKS}/m1_autopick.star").write_text("\ndata_\n\nloop_\n")
    job = run(project)
    assert job.headlines["particles"] == N
    assert ("Some files of picks are empty.", f"{extract_project.MOVIES}/m1.mrc") in job.warnings
    assert "1 micrographs have no particles" in job.lines
    assert run(project, is_continue=True).headlines["particles"] == N


def test_picks_that_cannot_be_read_are_named(project):
    (project / f"{extract_project.PICKS}/m1_autopick.star").write_text(
        "data_\nloop_\n_rlnX #1\n1\n"
    )
    job = run(project)
    assert job.headlines["particles"] == N
    assert "m1_autopick.star" in job.told


def test_picks_outside_the_micrograph_are_counted_and_left_out(project):
    picks = extract_project.picks(1)
    x = picks["rlnCoordinateX"].copy()
    x[4], x[5], x[6] = 276.0, 275.9, np.nan  # wholly outside; one column inside; nowhere
    rewrite_picks(project, 1, picks.with_columns({"rlnCoordinateX": x}))
    job = run(project)
    assert job.headlines["particles"] == 2 * N - 2
    assert f"m1.mrc: 1 of {N - 1}" in job.told
    assert "outside of their micrograph" in job.told
    assert "no numbers" in job.told


def test_a_masked_part_of_a_micrograph_gives_particles_that_are_told(project):
    image = extract_project.micrograph(1)
    image[:, :60] = 100
    write_mrc(project / extract_project.MOVIES / "m1.mrc", image, 1.25)
    picks = extract_project.picks(1)
    columns = {"rlnCoordinateX": np.r_[25.0, picks["rlnCoordinateX"][1:]]}
    columns["rlnCoordinateY"] = np.r_[100.0, picks["rlnCoordinateY"][1:]]
    rewrite_picks(project, 1, picks.with_columns(columns))
    job = run(project)
    assert "background of constant value" in job.told
    assert np.abs(images_of(job)[0]).max() < 1e-6
    assert np.isfinite(images_of(job)).all()


def test_an_odd_number_of_ends_is_named(project):
    rewrite_picks(project, 1, extract_project.picks(1).select([3, 4, 5]))
    rewrite_picks(project, 2, extract_project.picks(2).select([3, 4]))
    job = run(project, is_helix=True, tube_diameter_A=10, rise_A=10.0)
    assert "m1.mrc: 3 points where starts and ends of filaments were wanted" in job.told


def test_few_particles_are_told(project):
    rewrite_picks(project, 1, extract_project.picks(1).select(range(9)))
    assert "fewer than 10 particles" in run(project).told


def test_files_of_different_picks_are_joined(project):
    rewrite_picks(project, 1, extract_project.picks(1).without("rlnAutopickFigureOfMerit"))
    merits = rows_of(run(project))["rlnAutopickFigureOfMerit"]
    assert merits[:N].tolist() == [0] * N
    assert merits[N:].min() > 0


# What cannot work is refused before anything is written.


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"coordinates": "nowhere.star"}, MissingFileError, "nowhere.star"),
        ({"micrographs": "nowhere.star"}, MissingFileError, "nowhere.star"),
        ({"box_px": 33}, OptionError, "box_px: is 33, but boxes must be even"),
        ({"background_diameter_px": 40}, OptionError, "more than the box of 32"),
        ({"is_helix": True, "rise_A": 0.0}, OptionError, "rise_A: is 0"),
        ({"is_helix": True, "tube_diameter_A": 0.0}, OptionError, "tube_diameter_A: is 0"),
        ({"other_arguments": "--window 16"}, OptionError, "nothing is background"),
        ({"other_arguments": "--premultiply_extract_size 16"}, OptionError, "at least the box"),
        ({"other_arguments": "--premultiply"}, InputError, "--premultiply_ctf"),
    ],
)
def test_options_that_cannot_work_are_refused(project, values, error, message):
    with pytest.raises(error, match=message):
        run(project, **values)
    assert not list((project / "Extract/job001").rglob("*.mrcs"))


def test_micrographs_without_picks_are_refused(project):
    star = read_star(project / "micrographs.star")
    write_star(project / "micrographs.star", star.with_table(star["micrographs"].select([2])))
    with pytest.raises(InputError, match=r"none of the 1 micrographs .*m3.*picked from"):
        run(project)


def test_micrographs_that_were_cleaned_away_are_refused(project):
    for path in (project / extract_project.MOVIES).glob("*.mrc"):
        path.unlink()
    with pytest.raises(InputError, match="None of the 2 micrographs can be read"):
        run(project)


def test_particles_of_other_micrographs_are_refused(project):
    run(project)
    star = read_star(project / "micrographs.star")
    names = ["x/a.mrc", "x/b.mrc", "x/c.mrc"]
    table = star["micrographs"].with_columns({"rlnMicrographName": names})
    write_star(project / "micrographs.star", star.with_table(table))
    with pytest.raises(InputError, match=r"none of its 28 particles.*lies in a micrograph"):
        again(project)


def test_a_new_centre_needs_poses(project):
    run(project)
    with pytest.raises(ComputeError, match="rlnAngleRot"):
        again(project, recenter=True, center_z_px=5)


def test_particles_without_coordinates_are_refused(project):
    first = run(project)
    star = read_star(first.path / "particles.star")
    rows = star["particles"].without("rlnCoordinateX")
    write_star(first.path / "particles.star", star.with_table(rows))
    with pytest.raises(FormatError, match="no rlnCoordinateX"):
        again(project)


def test_one_optics_group_over_two_pixel_sizes_is_refused(project):
    first = run(project)
    star = read_star(first.path / "particles.star")
    rows = star["particles"].with_columns({"rlnOpticsGroup": 1})
    write_star(first.path / "particles.star", star.with_table(rows))
    star = read_star(project / "micrographs.star")
    optics = star["optics"].with_columns({"rlnMicrographPixelSize": [1.25, 1.5]})
    write_star(project / "micrographs.star", star.with_table(optics))
    with pytest.raises(InputError, match=r"1.25 and of 1.5 Å"):
        again(project)


def test_nothing_left_fails_the_job(project):
    with pytest.raises(ComputeError, match="No particles are left"):
        run(project, use_fom_threshold=True, min_fom=5)


def test_a_disk_that_is_too_small_is_told_before(project, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(extract.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(EnvironmentMissing, match="16-bit floats"):
        run(project)


def test_without_defoci_the_particles_get_none_and_it_is_told(project):
    star = read_star(project / "micrographs.star")
    table = star["micrographs"].without("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
    write_star(project / "micrographs.star", star.with_table(table))
    job = run(project)
    assert "No defocus is known" in job.told
    assert "rlnDefocusU" not in rows_of(job)
