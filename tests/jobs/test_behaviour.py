"""Checks, rules, labels and nodes against the facts about RELION, on many sets of values."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import relion_facts
from vitreous.jobs import evaluate, registry
from vitreous.jobs import when as rules
from vitreous.jobs.checks import check_values
from vitreous.jobs.declare import Start
from vitreous.jobs.job_type import hard_limits

# Where we differ on purpose: inputs that RELION does not register. Both are slips that jobs.md
# section 8 lists ("register fn_data twice and fn_post never; Polish omits fn_mic, opt_params").
MORE_INPUTS = {
    "CtfRefine": [{"option": "fn_post"}],
    "Polish": [
        {"option": "fn_post"},
        {"option": "fn_mic"},
        {"option": "opt_params", "when": "do_polish and not do_own_params"},
    ],
}
# These keep the files of before when they go on (pipeline.md section 6, "always write run_ct<it>").
KEEP_FILES = {"Class2D", "InitialModel", "Class3D", "Refine3D"}
NAMES = relion_facts.names()
FILES = (
    "", "", "a.star", "None", "Class2D/job003/run_it025_optimiser.star", "maps/half1_unfil.mrc",
    "half1/final.mrc", "x_half2_y.mrc", "coords_suffix_autopick.star", "Picks/*_pick.star",
    "Refine3D/job004/run_it017_optimiser.star", "two_bodies.star", "one_body.star",
    "/elsewhere/a.tif", "../a.tif", "Movies/*.tiff",
)  # fmt: skip
TEXTS = ("", "C1", "opticsGroup1", "with_underscore", "a b", "og-2", "$$group")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    head = "\ndata_\n\nloop_\n_rlnBodyMaskName #1\n"
    (root / "two_bodies.star").write_text(f"{head}mask1.mrc\nmask2.mrc\n")
    (root / "one_body.star").write_text(f"{head}mask1.mrc\n")
    built = root / "ModelAngelo" / "job008"
    built.mkdir(parents=True)
    (built / "job008.cif").write_text("data_model\n")
    return root


def described(name):
    theirs = relion_facts.job(name)
    if name in MORE_INPUTS:
        theirs = {**theirs, "inputs": theirs["inputs"] + MORE_INPUTS[name]}
    return theirs


def pool(name, option):
    """Values that an option is tried with, none beyond our hard limits."""
    spec = registry.find(relion_facts.job(name)["label"]).by_key[option["key"]]
    if option["kind"] == "boolean":
        return [True, False]
    if option["kind"] == "radio":
        return relion_facts.choices(option)
    if (name, option["key"]) == ("MultiBody", "fn_cont"):
        return ["", "MultiBody/job007/run_it017_optimiser.star", "run_ct4_it012_optimiser.star"]
    if spec.value_type is str:
        extra = [str(option["default"])] if not option.get("site_default") else []
        return [*(FILES if spec.is_file else TEXTS), *extra]
    numbers = {0, 1, -1, 2, 3, 64, 65, 100, option["default"], option.get("min"), option.get("max")}
    numbers |= _limits(name)
    numbers = {float(n) for n in numbers - {None, ""}} | {2.7, -0.6}
    texts = [f"{n:g}" for n in numbers if spec.value_type is float or n.is_integer()]
    if (name, option["key"]) == ("Extract", "extract_size"):
        return ["64", "100", "128"]  # jobs.yaml divides by it
    return [*sorted(t for t in texts if not list(hard_limits(spec, float(t)))), "$$variable"]


def _limits(name):
    """Numbers that the checks of a job compare with."""
    text = " ".join(check["if"] for check in relion_facts.job(name)["checks"])
    return {float(number) for number in re.findall(r"[<>=] (\d+(?:\.\d+)?)", text)}


@cache
def pools(name):
    return {o["key"]: pool(name, o) for o in relion_facts.options(name)}


def texts_of(values):
    yes_no = {True: "Yes", False: "No"}
    return {k: yes_no[v] if isinstance(v, bool) else v for k, v in values.items()}


def compare(name, values, project, *, cont, folder):
    """Ask both about one set of values; return the checks that refuse and our problems."""
    out = f"{relion_facts.job(name)['directory']}/{folder}/"
    ask = relion_facts.Ask(name, values, out, project, cont=cont)
    ask.job = described(name)
    job_type = registry.find(ask.job["label"])
    options, unknown = evaluate.from_text(job_type, texts_of(values))
    start = Start(is_continue=cont, folder=out, project=project)
    assert not unknown
    assert evaluate.to_text(options) == dict(
        sorted(texts_of(values).items(), key=lambda item: item[0].encode())
    )
    for option in relion_facts.options(name):
        spec = job_type.by_key[option["key"]]
        assert rules.holds(spec.when, options.value) == ask.enabled(option), option["key"]
    assert evaluate.full_label(options, cont) == ask.label()
    assert _inputs(options, start) == ask.inputs()
    outputs = evaluate.output_nodes(options, out, cont, project)
    wanted = ask.outputs()
    iteration = re.search(r"_it(\d{3})_optimiser", values.get("fn_cont", ""))
    goes_on = iteration and int(iteration[1]) < getattr(options, "n_iterations", 999)
    if cont and goes_on and name in KEEP_FILES:
        root = f"run_ct{int(iteration[1])}_"
        wanted = {re.sub("^run_", root, path): kind for path, kind in wanted.items()}
    assert {o.path.removeprefix(out): o.node_type for o in outputs} == wanted
    found = [*check_values(options, start), *options.check(start)]
    problems = [p for p in found if p.severity == "error"]
    refused = ask.refused()
    assert bool(refused) == bool(problems), (refused, problems)
    return refused, problems


def _inputs(options, start):
    specs = options.job_type.options
    pairs = {
        (options.value(i.option), i.node_type or specs[i.option].reads)
        for i in options.inputs(start)
    }
    return {(path, node_type) for path, node_type in pairs if path}


CALM = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cont", [False, True], ids=["new", "continued"])
def test_any_values_mean_the_same(name, cont, project):
    given_values = st.fixed_dictionaries({k: st.sampled_from(v) for k, v in pools(name).items()})

    @CALM
    @given(given_values, st.sampled_from(["job007", "job008"]))
    def check(values, folder):
        compare(name, values, project, cont=cont, folder=folder)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_defaults_mean_the_same(name, project):
    values = {
        o["key"]: o["default"] if o["kind"] == "boolean" else str(o["default"])
        for o in relion_facts.options(name)
    }
    for cont in (False, True):
        compare(name, values, project, cont=cont, folder="job007")


@pytest.mark.parametrize("name", NAMES)
def test_every_check_refuses_and_all_are_told_at_once(name, project):
    """From values that work, change a few until each check of RELION has refused."""
    rng = random.Random(name)
    checks = {check["if"] for check in relion_facts.job(name)["checks"]}
    met, blamed, several = set(), {}, []
    works = [_working(name, project, rng, cont=cont) for cont in (False, True) for _ in range(6)]
    judged = _judged(name)
    for turn in range(3000):
        if turn > 200 and met == checks:
            break
        values, cont = rng.choice(works)
        values = dict(values)
        for key in rng.sample(judged, min(len(judged), rng.randint(1, 3))):
            values[key] = rng.choice(pools(name)[key])
        refused, problems = compare(name, values, project, cont=cont, folder="job007")
        met.update(refused)
        if len(refused) == 1:
            blamed.setdefault(refused[0], set()).update(_blamed(problems))
        else:
            several.append((refused, problems))
    assert met == checks
    for refused, problems in several:
        found = _blamed(problems)
        assert all(found & blamed[check] for check in refused if check in blamed), refused


def _blamed(problems):
    """Options that are told of; of those that differ in a number (``movies_2``) any."""
    return {problem.option.rstrip("0123456789") for problem in problems}


def _judged(name):
    """Keys that the checks of a job speak of, directly or through its named expressions."""
    described_ = relion_facts.job(name)
    text = " ".join(check["if"] for check in described_["checks"])
    for key, expression in reversed(described_.get("let", {}).items()):
        if re.search(rf"\b{key}\b", text):
            text += " " + expression
    words = set(re.findall(r"\w+", text)) | ({"nr_mpi"} if re.search(r"\bmpi\b", text) else set())
    return sorted(words & set(pools(name)))


def _working(name, project, rng, *, cont):
    """Find values that RELION starts, by repairing random ones."""
    values = {key: rng.choice(texts) for key, texts in pools(name).items()}
    out = f"{relion_facts.job(name)['directory']}/job007/"

    def wrong(tried):
        return len(relion_facts.Ask(name, tried, out, project, cont=cont).refused())

    for _ in range(5000):
        if not wrong(values):
            return values, cont
        tried = dict(values)
        for key in rng.sample(sorted(tried), rng.randint(1, 2)):
            tried[key] = rng.choice(pools(name)[key])
        if wrong(tried) <= wrong(values):
            values = tried
    raise AssertionError(f"no working values of {name} were found")
