"""A site's environment variables, which give defaults to new jobs and to nothing else."""

from __future__ import annotations

import pytest

from jobs import relion_facts
from vitreous.jobs import environment, evaluate, registry

VALUES = {"boolean": ("yes", "Yes"), "slider": ("7", "7"), "text": ("x", "x"), "file": ("p", "p")}
WITH_VARIABLE = [
    (name, option)
    for name in relion_facts.names()
    for option in relion_facts.options(name)
    if "default_env" in option
]


@pytest.mark.parametrize(
    ("name", "option"), WITH_VARIABLE, ids=[f"{n}-{o['key']}" for n, o in WITH_VARIABLE]
)
def test_every_variable_of_relion_gives_a_default(name, option):
    given, wanted = VALUES[option["kind"]]
    job_type = registry.find(relion_facts.job(name)["label"])
    texts = evaluate.to_text(job_type.new({}, {option["default_env"]: given}))
    assert texts[option["key"]] == wanted


def test_variables_mean_nothing_to_a_file_that_is_read(monkeypatch):
    monkeypatch.setenv("RELION_QSUB_NRMPI", "5")
    options, _ = evaluate.from_text(registry.find("class2d"), {})
    assert options.running.n_ranks == 1


@pytest.mark.parametrize("text", ["yes", "TRUE", "Yes"])
def test_queue_use_in_any_case(text):
    assert registry.find("class2d").new({}, {"RELION_QUEUE_USE": text}).running.use_queue


def test_a_variable_that_is_no_value_is_passed_over():
    assert registry.find("class2d").new({}, {"RELION_QSUB_NRMPI": "many"}).running.n_ranks == 1


def test_largest_numbers_of_a_site():
    spec = registry.find("class2d").spec("n_ranks")
    assert environment.at_this_site(spec, {"RELION_MPI_MAX": "128"}).high == 128
    assert spec.high == 64


def test_a_site_may_lock_the_cores_of_a_node():
    site = {"RELION_ALLOW_CHANGE_MINIMUM_DEDICATED": "0"}
    job_type = registry.find("class2d")
    assert environment.is_locked_here(job_type.spec("min_dedicated"), site)
    assert not environment.is_locked_here(job_type.spec("min_dedicated"), {})
    assert not environment.is_locked_here(job_type.spec("nr_mpi"), site)


def test_extra_queue_fields_exist_where_their_label_is_set():
    site = {
        "RELION_QSUB_EXTRA_COUNT": "3",
        "RELION_QSUB_EXTRA1": "Hours",
        "RELION_QSUB_EXTRA1_DEFAULT": "24",
        "RELION_QSUB_EXTRA3": "Account",
        "RELION_QSUB_EXTRA3_HELP": "Who pays.",
    }
    job_type = registry.find("refine3d")
    one, three = job_type.extras(site)
    assert (one.key, one.label, one.default) == ("qsub_extra1", "Hours", "24")
    assert (three.key, three.help, three.default) == ("qsub_extra3", "Who pays.", "")
    options = job_type.new({"qsub_extra3": "lab"}, site)
    assert options.running.queue_extras == {"qsub_extra1": "24", "qsub_extra3": "lab"}
    assert job_type.extras({"RELION_QSUB_EXTRA3": "Account"}) == ()
