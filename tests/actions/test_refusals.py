"""Bad input: refused before anything is written, all at once, with the nearest right thing."""

from __future__ import annotations

import resource

import pytest

import small_project
from vitreous import Project
from vitreous.actions.inputs import check_inputs
from vitreous.errors import InputError, NotAProjectError, OptionError, ProjectError
from vitreous.jobs.job_type import JobType
from vitreous.project.node_types import MICROGRAPHS, PARTICLES


@pytest.fixture
def unchanged(project):
    """Fail where the test has changed anything in the project folder."""
    small_project.finished_external(project, alias="first")
    before = small_project.snapshot(project.root)
    yield project
    assert small_project.snapshot(project.root) == before
    assert project.pipeline.counter == 2


def refusal(project, *args, **values):
    with pytest.raises(OptionError) as caught:
        project.run(*args, **values)
    return caught.value


def test_unknown_options_are_refused_with_the_nearest(unchanged):
    error = refusal(unchanged, "external", exe_cutable="make_particles.sh", in_parts="")
    assert "did you mean executable" in str(error)
    assert "did you mean in_part" in str(error)


def test_an_unknown_job_type_is_refused_with_the_nearest(unchanged):
    with pytest.raises(InputError, match="did you mean external"):
        unchanged.run("externl")


def test_a_value_that_cannot_work_is_refused(unchanged):
    error = refusal(unchanged, "external", fn_exe="./make_particles.sh", nr_threads=0)
    assert [(p.option, p.severity) for p in error.problems] == [("n_threads", "error")]
    assert "must be at least 1" in str(error)


def test_text_that_is_no_number_is_refused(unchanged):
    error = refusal(unchanged, "external", fn_exe="./make_particles.sh", nr_threads="many")
    assert "wanted a number" in str(error)


def test_a_value_outside_the_suggested_range_only_warns(project):
    with pytest.warns(UserWarning, match="1 to 16 is usual"):
        job = project.run("external", fn_exe="./make_particles.sh", nr_threads=40, schedule=True)
    assert job.options["n_threads"] == 40


def test_a_missing_input_is_refused_and_what_fits_is_listed(unchanged):
    error = refusal(
        unchanged, "external", fn_exe="./make_particles.sh", in_part="External/job009/nothing.star"
    )
    assert "there is no file External/job009/nothing.star" in str(error)
    assert "These would fit: External/job001/particles.star" in str(error)


def test_a_nearly_right_input_is_suggested(unchanged):
    error = refusal(
        unchanged, "external", fn_exe="./make_particles.sh", in_part="Extract/job001/particles.star"
    )
    assert "did you mean External/job001/particles.star?" in str(error)


def test_an_input_of_a_wrong_type_is_refused_and_what_fits_is_told(unchanged):
    error = refusal(
        unchanged,
        "external",
        fn_exe="./make_particles.sh",
        in_mask="External/job001/particles.star",
    )
    assert "holds particles, wanted a mask" in str(error)
    assert "This project has no mask yet" in str(error)


def test_an_input_outside_the_project_is_refused_with_the_link_to_make(unchanged, tmp_path):
    (tmp_path / "elsewhere.star").write_text("data_particles\n")
    error = refusal(
        unchanged,
        "external",
        fn_exe="./make_particles.sh",
        in_part=str(tmp_path / "elsewhere.star"),
    )
    assert "lies outside the project" in str(error)
    assert f"ln -s {tmp_path / 'elsewhere.star'}" in str(error)


def test_everything_that_is_wrong_is_told_at_once(unchanged):
    error = refusal(
        unchanged,
        "external",
        colour="red",
        nr_threads="many",
        in_part="missing.star",
        in_mask="/elsewhere/mask.mrc",
        alias="a*b",
    )
    text = str(error)
    for part in (
        "no option 'colour'",
        "wanted a number",
        "there is no file missing.star",
        "lies outside the project",
        "must not hold *",
        "executable",
    ):
        assert part in text, part
    assert len(error.problems) == 6


@pytest.mark.parametrize("alias", ["a", "job1", "a/b", "what?", "cost$", ".hidden"])
def test_an_alias_against_the_rules_is_refused(unchanged, alias):
    error = refusal(unchanged, "external", fn_exe="./make_particles.sh", alias=alias)
    assert "alias" in str(error)
    with pytest.raises(InputError, match="alias"):
        unchanged.alias(1, alias)


def test_an_alias_that_another_job_has_is_refused(unchanged):
    error = refusal(unchanged, "external", fn_exe="./make_particles.sh", alias="first")
    assert "External/job001/ has it already" in str(error)


def test_a_job_type_without_a_program_is_refused_in_one_sentence(unchanged, monkeypatch):
    monkeypatch.setattr(JobType, "is_built", lambda self: self.word != "dynamight")
    with pytest.raises(InputError) as caught:
        unchanged.run("dynamight")
    assert "DynaMight" in str(caught.value)
    assert str(caught.value).count(".") == 1


@pytest.mark.parametrize("images", ["/data/Movies/*.tiff", "../Movies/*.tiff"])
def test_images_outside_the_project_are_refused_with_the_link_to_make(unchanged, images):
    error = refusal(unchanged, "import", images=images)
    assert "Movies`) and give Movies/*.tiff" in str(error)
    assert len(error.problems) == 1


def test_a_file_of_the_microscope_may_lie_anywhere_but_must_exist(unchanged, tmp_path):
    (unchanged.root / "a.mrcs").touch()
    mtf = tmp_path / "mtf.star"
    error = refusal(unchanged, "import", images="*.mrcs", mtf=mtf)
    assert f"there is no file {mtf}" in str(error)
    mtf.touch()
    plan = unchanged.run("import", images="*.mrcs", mtf=mtf, dry_run=True)
    assert plan.options.value("mtf") == str(mtf)
    (unchanged.root / "a.mrcs").unlink()


def test_a_missing_program_is_refused(unchanged):
    error = refusal(unchanged, "external", fn_exe="./no_such_program")
    assert "no_such_program" in str(error)


def test_a_wildcard_that_matches_nothing_tells_what_is_there(unchanged):
    error = refusal(unchanged, "import", fn_in_raw="External/job001/*.tiff")
    assert "no file matches External/job001/*.tiff" in str(error)
    assert "that end in" in str(error)


def test_a_job_that_does_not_exist_is_named_with_the_nearest(unchanged):
    with pytest.raises(ProjectError, match="The nearest: External/first/"):
        unchanged.job("External/firts")


def test_all_jobs_that_do_not_exist_are_told(unchanged):
    with pytest.raises(ProjectError) as caught:
        unchanged.delete(1, 7, "nobody")
    assert "No job '7'" in str(caught.value)
    assert "No job 'nobody'" in str(caught.value)


def test_a_job_that_others_depend_on_is_not_deleted_without_a_word(project):
    first = small_project.finished_external(project)
    second = small_project.finished_external(project, reads=f"{first}particles.star")
    before = small_project.snapshot(project.root)
    with pytest.raises(InputError, match=second) as caught:
        project.delete(first)
    assert "--yes" in str(caught.value)
    assert small_project.snapshot(project.root) == before


def test_a_folder_that_is_no_project_names_the_command(tmp_path):
    with pytest.raises(NotAProjectError, match="vitreous init"):
        Project(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_running_job_is_neither_continued_nor_overwritten_nor_deleted(project):
    name = small_project.finished_external(project)
    with project.folder.edit("test") as pipeline:
        pipeline.set_status(name, "Running")
    for how in ({"continue_job": name}, {"overwrite": name}):
        with pytest.raises(OptionError, match="vitreous abort"):
            project.run(**how)
    with pytest.raises(InputError, match="still runs"):
        project.delete(name)


def test_what_contradicts_itself_is_refused(unchanged):
    with pytest.raises(InputError, match="not both"):
        unchanged.run("external", continue_job=1, overwrite=1)
    with pytest.raises(InputError, match="not both"):
        unchanged.run("external", schedule=True, background=True)
    with pytest.raises(InputError, match="leave the job type out"):
        unchanged.run("import", continue_job=1)


def test_an_option_that_is_fixed_once_a_job_has_begun_is_refused(unchanged):
    error = refusal(unchanged, continue_job=1, fn_exe="other.sh")
    assert "cannot change while it goes on" in str(error)


def test_an_input_that_is_still_to_come_needs_a_schedule(project):
    coming = project.run("external", fn_exe="./make_particles.sh", schedule=True)
    path = f"{coming.name}particles.star"
    with project.folder.edit("test") as pipeline:
        pipeline.add_output(coming.name, path, "ParticleGroupMetadata.star.relion")
    error = refusal(project, "external", fn_exe="./make_particles.sh", in_part=path)
    assert "is scheduled" in str(error)
    assert "--schedule" in str(error)
    later = project.run("external", fn_exe="./make_particles.sh", in_part=path, schedule=True)
    assert [str(p.relative_to(project.root)) for p in later.inputs] == [path]


@pytest.mark.parametrize(
    "act",
    [
        lambda p: p.run("external", fn_exe="./make_particles.sh", schedule=True),
        lambda p: p.alias(1, "other"),
        lambda p: p.note(1, "text"),
        lambda p: p.mark(1, "failed"),
        lambda p: p.delete(1),
        lambda p: p.abort(1),
        lambda p: p.empty_trash(),
        lambda p: p.repair(),
        lambda p: p.unlock(),
        lambda p: p.all_notes(),
    ],
)
def test_a_project_opened_read_only_is_not_changed(unchanged, act):
    project = Project(unchanged.root, read_only=True)
    with pytest.raises(ProjectError, match="read-only"):
        act(project)


@pytest.fixture
def no_file_beyond():
    """Return what makes the system refuse larger files, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(n_bytes: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [1000, 4000], ids=["the settings", "the pipeline"])
def test_a_write_that_fails_leaves_no_half_job(project, no_file_beyond, limit):
    with project.folder.edit("test") as pipeline:
        for _ in range(80):
            pipeline.add_process("Import", "relion.import.movies", "Succeeded")
    before = small_project.snapshot(project.root)
    no_file_beyond(limit)
    with pytest.raises(ProjectError, match="File too large"):
        project.run("external", fn_exe="./make_particles.sh", schedule=True)
    no_file_beyond(resource.RLIM_INFINITY)
    after = small_project.snapshot(project.root)
    # The last used options may be new: they are written before the job is added.
    assert {name: after[name] for name in after if name != ".gui_externaljob.star"} == before


def test_an_overwrite_that_fails_brings_the_old_job_back(project, no_file_beyond):
    name = small_project.finished_external(project)
    with project.folder.edit("test") as pipeline:
        for _ in range(80):
            pipeline.add_process("Import", "relion.import.movies", "Succeeded")
    no_file_beyond(4000)
    with pytest.raises(ProjectError, match="File too large"):
        project.run(overwrite=name)
    no_file_beyond(resource.RLIM_INFINITY)
    assert project.job(name).status == "Succeeded"
    assert project.job(name).outputs["particles"].exists()
    assert project.run(overwrite=name).status == "Succeeded"


def test_a_pixel_size_that_cannot_be_is_refused_before_anything_is_written(unchanged):
    (unchanged.root / "a.mrcs").touch()
    error = refusal(unchanged, "import", images="*.mrcs", angpix=0, kV=-1)
    assert [problem.option for problem in error.problems] == ["pixel_size_A", "voltage_kV"]
    (unchanged.root / "a.mrcs").unlink()


def test_a_pattern_must_fit_some_file(project):
    values = {"fn_in": "Micrographs/*.mrc"}
    problems = list(
        check_inputs(
            project.root,
            project.pipeline,
            {"micrographs": (values["fn_in"], MICROGRAPHS)},
            may_wait=False,
        )
    )
    assert "no file matches Micrographs/*.mrc: there is no folder Micrographs" in str(problems[0])
    (project.root / "Micrographs").mkdir()
    (project.root / "Micrographs/a.mrc").touch()
    assert not list(
        check_inputs(
            project.root,
            project.pipeline,
            {"micrographs": (values["fn_in"], MICROGRAPHS)},
            may_wait=False,
        )
    )


def test_a_variable_of_a_scheme_is_no_missing_file(project):
    wanted = {"particles": ("$$particles", PARTICLES)}
    assert not list(check_inputs(project.root, project.pipeline, wanted, may_wait=False))


@pytest.mark.parametrize("text", ["c'd", 'a "b', "ends in \\"])
def test_a_parameter_that_no_shell_can_read_is_refused(unchanged, text):
    error = refusal(
        unchanged, "external", fn_exe="./make_particles.sh", param1_label="x", param1_value=text
    )
    assert [problem.option for problem in error.problems] == ["parameter_1_value"]
    assert "a quote is not closed" in str(error)


def test_the_last_job_is_that_of_the_highest_number(project):
    for _ in range(2):
        small_project.finished_external(project)
    project.run("external", overwrite=1, schedule=True)
    with pytest.raises(ProjectError, match="The last one is External/job002/"):
        project.job(77)


def test_autorun_tells_all_jobs_that_do_not_exist(unchanged):
    with pytest.raises(ProjectError, match=r"(?s)'98'.*'99'"):
        unchanged.autorun(98, 99)


def test_hints_can_be_typed_where_names_have_blanks(tmp_path):
    folder = tmp_path / "my data"
    folder.mkdir()
    with pytest.raises(NotAProjectError, match=f"`vitreous init '{folder}'`"):
        Project(folder)


def test_a_scheduled_job_cannot_be_stopped(project):
    job = project.run("external", fn_exe="./make_particles.sh", schedule=True)
    before = small_project.snapshot(project.root)
    with pytest.raises(ProjectError, match=r"is scheduled and does not run.*vitreous delete 1"):
        project.abort(job)
    assert small_project.snapshot(project.root) == before


def test_a_column_that_the_file_does_not_have_is_refused(unchanged):
    (particles,) = [n for n in unchanged.pipeline.nodes if n.endswith("particles.star")]
    path = unchanged.root / particles
    error = refusal(
        unchanged,
        "select",
        particles=particles,
        select_by_value=True,
        value_label="rlnImageNames",
    )
    assert [problem.option for problem in error.problems] == ["value_label"], path.read_text()
    assert "rlnImageName" in str(error)
