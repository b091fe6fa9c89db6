"""Settings on disk: every form, old run.job files, real files, last used ones."""

from __future__ import annotations

import contextlib
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import requirements
from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.io import read_star
from vitreous.jobs import evaluate, job_star, registry
from vitreous.jobs.job_star import JobFile, read_job, read_raw, write_job

TOMOGRAPHY = {
    "aligntiltseries", "ctfrefinetomo", "denoisetomo", "excludetilts", "framealigntomo",
    "importtomo", "picktomo", "pseudosubtomo", "reconstructparticletomo", "reconstructtomograms",
}  # fmt: skip


def real_files():
    folder = requirements.DATA / "star_corpus"
    return sorted(folder.rglob("*job.star")) if folder.is_dir() else []


def single_particle_files():
    return [p for p in real_files() if _word(p) not in TOMOGRAPHY]


def _word(path):
    line = next(line for line in path.read_text().splitlines() if "rlnJobType" in line)
    return line.split()[1].removeprefix("relion.").split(".")[0]


def _texts(path):
    table = read_star(path)["joboptions_values"]
    return dict(zip(table["rlnJobOptionVariable"], table["rlnJobOptionValue"], strict=True))


@pytest.mark.usefixtures("data")
def test_the_real_files_cover_nearly_all_job_types():
    words = {_word(path) for path in single_particle_files()}
    assert words >= {job_type.word for job_type in registry.all_types()} - {"external"}


@pytest.mark.usefixtures("data")
def test_every_real_single_particle_file_is_read_and_written_with_its_values(tmp_path):
    files = single_particle_files()
    assert len(files) > 50
    for path in files:
        job = read_job(path)
        before = _texts(path)
        write_job(tmp_path / "job.star", job)
        after = _texts(tmp_path / "job.star")
        assert {key: after[key] for key in before} == before, path
        head = read_star(path)["job"], read_star(tmp_path / "job.star")["job"]
        for label in ("rlnJobIsContinue", "rlnJobIsTomo"):
            assert head[0].value(label, 0) == head[1].value(label)


@pytest.mark.usefixtures("data")
def test_real_single_particle_files_have_no_value_that_we_cannot_read():
    for path in single_particle_files():
        problems = evaluate.check(read_job(path).options)
        assert not [p for p in problems if ", wanted " in p.message], path


@pytest.mark.usefixtures("data")
def test_labels_with_sub_labels_come_out_as_relion_wrote_them():
    folder = requirements.DATA / "star_corpus/himena-relion_GPL2/jobs_spa"
    for path in folder.rglob("job.star"):
        job = read_job(path)
        computed = evaluate.full_label(job.options, job.is_continue)
        assert computed == job.label or computed.startswith(f"{job.label}."), path


@pytest.mark.usefixtures("data")
def test_tomography_is_read_raw_and_refused_by_name(tmp_path):
    files = [path for path in real_files() if _word(path) in TOMOGRAPHY]
    assert files
    for path in files:
        raw = read_raw(path)
        assert dict(raw.texts) == _texts(path)
        with pytest.raises(InputError, match="there is no job type"):
            read_job(path)
        job_star.write_raw(tmp_path / "job.star", raw)
        assert read_raw(tmp_path / "job.star").texts == dict(raw.texts)


def test_form_3_1_has_a_number_and_no_tomography(tmp_path):
    job = JobFile(registry.find("class2d"), registry.find("class2d").new({}, {}))
    write_job(tmp_path, job, "3.1")
    head = read_star(tmp_path / "job.star")["job"]
    assert head.labels == ("rlnJobType", "rlnJobIsContinue")
    assert (head.value("rlnJobType"), head.value("rlnJobIsContinue")) == (8, 0)
    assert read_job(tmp_path).job_type.word == "class2d"
    assert "# version 30001" in (tmp_path / "job.star").read_text()


def test_form_5_has_the_label_with_sub_labels(tmp_path):
    options = registry.find("select").new({"do_split": "Yes", "fn_mic": "a.star"}, {})
    write_job(tmp_path, JobFile(options.job_type, options), "5.0")
    head = read_star(tmp_path / "job.star")["job"]
    assert head.value("rlnJobTypeLabel") == "relion.select.split"
    assert head.labels == ("rlnJobTypeLabel", "rlnJobIsContinue", "rlnJobIsTomo")


def test_options_are_sorted_capitals_first(tmp_path):
    job = JobFile(registry.find("import"), registry.find("import").new({}, {}))
    write_job(tmp_path, job)
    keys = list(_texts(tmp_path / "job.star"))
    assert keys == sorted(keys)
    assert keys[:2] == ["Cs", "Q0"]


def test_a_tomography_label_is_kept(tmp_path):
    options = registry.find("refine3d").new({}, {})
    job = JobFile(options.job_type, options, is_tomo=True, label="relion.refine3d.tomo")
    write_job(tmp_path, job)
    assert read_raw(tmp_path).label == "relion.refine3d.tomo"
    assert read_job(tmp_path).is_tomo


def test_text_stays_as_it_was_until_the_value_changes():
    options, _ = evaluate.from_text(registry.find("import"), {"angpix": "1.40", "kV": "$$kV"})
    assert (options.pixel_size_A, options.voltage_kV) == (1.4, 0)
    assert evaluate.to_text(options)["angpix"] == "1.40"
    assert evaluate.to_text(options)["kV"] == "$$kV"
    other = evaluate.changed(options, {"pixel_size_A": 1.5, "voltage_kV": 200})
    texts = evaluate.to_text(other)
    assert (texts["angpix"], texts["kV"]) == ("1.5", "200")


def test_a_text_that_is_no_value_is_kept_and_told_of():
    options, _ = evaluate.from_text(registry.find("class2d"), {"nr_classes": "many"})
    assert evaluate.to_text(options)["nr_classes"] == "many"
    told = {p.option: p.message for p in evaluate.check(options)}
    assert told["n_classes"] == "is 'many', wanted a number"


def test_queue_fields_of_a_site_survive_where_the_site_has_none(tmp_path):
    site = {"RELION_QSUB_EXTRA1": "Hours", "RELION_QSUB_EXTRA1_DEFAULT": "24"}
    options = registry.find("class2d").new({}, site)
    write_job(tmp_path, JobFile(options.job_type, options))
    assert _texts(tmp_path / "job.star")["qsub_extra1"] == "24"
    assert read_job(tmp_path).options.running.queue_extras == {"qsub_extra1": "24"}


RUN_JOB = """job_type == 8
is_continue == false
Input images STAR file: == Extract/job006/particles.star
Number of classes: == 50
Do CTF-correction? == No
Mask diameter (A): == 180.50
Number of MPI procs: == 3
Queue name:  == openmpi
Something nobody knows == 7
"""


def test_run_job_is_read_by_labels_where_there_is_no_job_star(tmp_path):
    (tmp_path / "run.job").write_text(RUN_JOB)
    job = read_job(tmp_path)
    assert job.job_type.word == "class2d"
    assert not job.is_continue
    assert job.options.particles == "Extract/job006/particles.star"
    assert (job.options.n_classes, job.options.running.n_ranks) == (50, 3)
    assert not job.options.ctf.correct_ctf
    assert evaluate.to_text(job.options)["particle_diameter"] == "180.50"
    assert job.unknown == {"Something nobody knows": "7"}
    write_job(tmp_path, job)
    assert read_job(tmp_path).options == job.options


def test_run_job_has_an_old_name_for_beam_tilt(tmp_path):
    (tmp_path / "run.job").write_text(
        "job_type == 21\nis_continue == true\nPerform beamtilt estimation? == Yes\n"
    )
    job = read_job(tmp_path)
    assert job.is_continue
    assert job.options.fit_beam_tilt


def test_last_used_options_lie_where_relion_looks(tmp_path):
    job_type = registry.find("refine3d")
    assert job_star.read_last_used(tmp_path, job_type) is None
    job = JobFile(job_type, job_type.new({"sym_name": "D2"}, {}))
    job_star.write_last_used(tmp_path, job)
    assert (tmp_path / ".gui_auto3djob.star").is_file()
    assert job_star.read_last_used(tmp_path, job_type).options == job.options


NO_TYPE = """data_job

_rlnJobIsContinue 0

data_joboptions_values

loop_
_rlnJobOptionVariable #1
_rlnJobOptionValue #2
a b
"""


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        (None, MissingFileError, "does not exist"),
        ("data_other\n\n_rlnJobType 8\n", FormatError, "no data_job: it is not the settings"),
        (NO_TYPE, FormatError, "neither rlnJobTypeLabel nor rlnJobType"),
    ],
)
def test_what_is_no_settings_file_is_named(tmp_path, text, error, match):
    path = tmp_path / "job.star"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=match):
        read_job(path)


def test_a_folder_without_settings_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"neither job\.star nor run\.job"):
        read_job(tmp_path)


def test_a_damaged_run_job_says_what_it_should_begin_with(tmp_path):
    (tmp_path / "run.job").write_text("nonsense\n")
    with pytest.raises(FormatError, match="job_type == NUMBER"):
        read_job(tmp_path)


def test_unknown_texts_are_written_back_in_their_place(tmp_path):
    options = registry.find("ctffind").new({}, {})
    job = JobFile(options.job_type, options, unknown=MappingProxyType({"use_gctf": "No"}))
    write_job(tmp_path, job)
    keys = list(_texts(tmp_path / "job.star"))
    assert keys == sorted(keys)
    assert read_job(tmp_path).unknown == {"use_gctf": "No"}


def test_2d_classification_of_relion_3_is_expectation_maximisation(tmp_path):
    (tmp_path / "run.job").write_text(
        "job_type == 8\nis_continue == false\nNumber of iterations: == 30\n"
    )
    options = read_job(tmp_path).options
    assert (options.use_em, options.use_vdam, options.n_iterations) == (True, False, 30)


@pytest.mark.parametrize(("log", "templates"), [("Yes", False), ("No", True)])
def test_picking_of_relion_3_is_with_templates_unless_with_blobs(tmp_path, log, templates):
    (tmp_path / "run.job").write_text(
        f"job_type == 4\nis_continue == false\nOR: use Laplacian-of-Gaussian? == {log}\n"
    )
    assert read_job(tmp_path).options.use_templates is templates


def test_form_3_1_says_which_program_finds_the_ctf(tmp_path):
    options = registry.find("ctffind").new({}, {})
    write_job(tmp_path, JobFile(options.job_type, options), "3.1")
    assert _texts(tmp_path / "job.star")["use_ctffind4"] == "Yes"
    assert read_job(tmp_path).unknown == {}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    options = registry.find("maskcreate").new({}, {})
    write_job(folder, JobFile(options.job_type, options))
    return folder / "job.star"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2000), st.integers(0, 40), st.binary(max_size=30))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(whole, start, length, noise):
    text = whole.read_bytes()
    start %= len(text)
    damaged = whole.with_name("damaged_job.star")
    damaged.write_bytes(text[:start] + noise + text[start + length :])
    with contextlib.suppress(InputError):
        job = read_job(damaged)
        evaluate.check(job.options)
        write_job(damaged, job)
        assert read_job(damaged).options == job.options
