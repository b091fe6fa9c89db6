"""Every declaration against the facts about RELION, in both directions."""

from __future__ import annotations

import pytest

from jobs import relion_facts
from vitreous.jobs import registry
from vitreous.jobs import when as rules

# Where we differ on purpose: (job, key): ({field: our value}, reason). All are slips that
# jobs.md section 8 lists.
EXCEPTIONS = {
    ("Select", "nr_groups"): ({"min": 1, "max": 50}, "RELION's limits are the wrong way round"),
    ("Polish", "sigma_vel"): ({"min": 0.1}, "RELION's default is below its limit"),
    ("ModelAngelo", "F1"): ({"min": 0}, "RELION's default is below its limit"),
    ("ModelAngelo", "F2"): ({"min": 0}, "RELION's default is below its limit"),
}
NAMES = relion_facts.names()
OPTIONS = [(name, option) for name in NAMES for option in relion_facts.options(name)]
each_option = pytest.mark.parametrize(
    ("name", "option"), OPTIONS, ids=[f"{name}-{option['key']}" for name, option in OPTIONS]
)


def ours(name):
    return registry.find(relion_facts.job(name)["label"])


def test_same_job_types_in_the_same_order():
    assert [t.label for t in registry.all_types()] == _in_window_order()


def _in_window_order():
    """The list of jobs.md section 1; jobs.yaml has the same order."""
    return [relion_facts.job(name)["label"] for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_names_numbers_and_flags(name):
    theirs, job_type = relion_facts.job(name), ours(name)
    assert job_type.folder == theirs["directory"]
    assert job_type.gui_name == theirs["gui_name"]
    assert job_type.type_number == theirs["type_number"]
    assert job_type.hidden_prefix == theirs["hidden_prefix"]
    flags = (job_type.uses_mpi, job_type.uses_threads, job_type.uses_gpu, job_type.uses_queue)
    assert flags == tuple(theirs[key] for key in ("mpi", "threads", "gpu", "queue"))


@pytest.mark.parametrize("name", NAMES)
def test_same_keys_in_the_same_order(name):
    keys = [option["key"] for option in relion_facts.options(name)]
    assert list(ours(name).by_key) == keys
    own = [spec for spec in ours(name).options.values() if spec.group != "running"]
    assert len(own) == relion_facts.job(name)["option_count"]


@pytest.mark.parametrize(
    ("name", "option"), OPTIONS, ids=lambda v: v if isinstance(v, str) else v["key"]
)
def test_an_option_is_the_same(name, option):
    spec = ours(name).by_key[option["key"]]
    assert spec.relion_label == option["gui"]
    assert spec.kind == option["kind"]
    assert spec.reads == option.get("node", "")
    assert spec.pattern == option.get("pattern")
    assert spec.directory == option.get("dir", "")
    assert bool(spec.row) == bool(option.get("row"))
    assert spec.on_continue == option["on_continue"]
    assert spec.default_env == option.get("default_env", "")
    assert spec.high_env == option.get("max_env", "")
    assert list(spec.choices) == (relion_facts.choices(option) if option["kind"] == "radio" else [])


@pytest.mark.parametrize(
    ("name", "option"), OPTIONS, ids=lambda v: v if isinstance(v, str) else v["key"]
)
def test_default_and_range_are_the_same(name, option):
    spec = ours(name).by_key[option["key"]]
    changed, _ = EXCEPTIONS.get((name, option["key"]), ({}, ""))
    wanted = {**option, **changed}
    assert (spec.low, spec.high, spec.step) == tuple(wanted.get(k) for k in ("min", "max", "step"))
    default = "" if option.get("site_default") else option["default"]
    if spec.value_type in (int, float) and default != "":
        assert spec.default == float(default)
    else:
        assert spec.default == (None if spec.optional and default == "" else default)


@pytest.mark.parametrize("name", NAMES)
def test_rows_group_the_same_options(name):
    def groups(pairs):
        rows = {}
        for key, row in pairs:
            rows.setdefault(row or key, []).append(key)
        return list(rows.values())

    theirs = groups((o["key"], o.get("row")) for o in relion_facts.options(name))
    assert groups((s.key, s.row) for s in ours(name).options.values()) == theirs


@pytest.mark.parametrize(("key", "exception"), EXCEPTIONS.items(), ids=str)
def test_every_exception_is_still_needed(key, exception):
    option = next(o for o in relion_facts.options(key[0]) if o["key"] == key[1])
    changed, reason = exception
    assert reason
    assert all(option[field] != value for field, value in changed.items())


@pytest.mark.parametrize("job_type", registry.all_types(), ids=str)
def test_hard_limits_refuse_nothing_that_relion_suggests(job_type):
    for spec in job_type.options.values():
        suggested = [v for v in (spec.low, spec.high, spec.default) if v not in (None, "")]
        for value in suggested if spec.value_type in (int, float) else []:
            if value == spec.off:
                continue
            assert spec.at_least is None or value >= spec.at_least, spec
            assert spec.at_most is None or value <= spec.at_most, spec


@pytest.mark.parametrize("job_type", registry.all_types(), ids=str)
def test_rules_name_options_that_are_yes_or_no(job_type):
    for spec in job_type.options.values():
        for name in rules.names(spec.when) if spec.when else ():
            assert job_type.options[name].value_type is bool


@pytest.mark.parametrize("job_type", registry.all_types(), ids=str)
def test_no_name_is_the_key_of_another_option(job_type):
    for name, spec in job_type.options.items():
        assert job_type.by_key.get(name, spec) is spec
