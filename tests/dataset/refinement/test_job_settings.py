"""Settings of a job against the command line that jobs.yaml gives for the same options."""

from __future__ import annotations

import random
import re
import shlex
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

from jobs import relion_facts
from vitreous.dataset.refinement import flags
from vitreous.dataset.refinement.job_settings import (
    continued_settings,
    continued_state,
    settings_of,
)
from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.errors import InputError
from vitreous.jobs import registry

JOBS = ("Class2D", "InitialModel", "Class3D", "Refine3D")
N_TRIES = 25
EXTRA = {"healpix": None, "clamp": lambda x, low, high: min(max(x, low), high)}


def random_texts(name, chance):
    """Return the text of every option of a job, drawn from what its form offers."""
    texts = {}
    for option in relion_facts.options(name):
        texts[option["key"]] = one_text(option, chance)
    if name == "Class2D":
        use_em = chance.random() < 0.5
        texts |= {"do_em": use_em, "do_grad": not use_em}
    texts |= {"fn_img": "Extract/job006/particles.star", "other_args": "", "nr_mpi": "1"}
    if "fn_ref" in texts:
        texts["fn_ref"] = "InitialModel/job009/initial_model.mrc"
    return texts


def one_text(option, chance):
    kind, key = option["kind"], option["key"]
    if kind == "boolean":
        return chance.random() < 0.5
    if kind == "radio":
        return chance.choice(relion_facts.choices(option))
    if key == "fn_mask":
        return chance.choice(["", "MaskCreate/job012/mask.mrc"])
    if key in ("sym_name", "relax_sym"):
        return chance.choice(["C1", "D2"] if key == "sym_name" else ["", "C2"])
    if key in ("scratch_dir", "gpu_ids"):
        return chance.choice(["", "/ssd" if key == "scratch_dir" else "0,1:2"])
    if kind == "slider":
        low, high = float(option["min"]), float(option["max"])
        step = float(option["step"])
        number = low + step * chance.randrange(int((high - low) / step) + 1)
        return f"{number:g}"
    if key.startswith(("helical", "range")):
        return chance.choice(["-1", "0", "3", "15"])
    return str(option["default"])


def words_of(name, texts, *, cont=False):
    """Return RELION's command line for the texts, as jobs.yaml describes it."""
    ask = relion_facts.Ask(name, texts, f"{name}/job010/", Path(), cont=cont)
    steps = relion_facts.facts()["choices"]["sampling"]
    ask.names |= {"healpix": lambda v: steps.index(v) + 1, "clamp": EXTRA["clamp"]}
    line = []
    for item in relion_facts.job(name)["runs"][0]["flags"]:
        text, holds = (item, "True") if isinstance(item, str) else (item["add"], item["if"])
        if ask.ask(holds):
            line.append(filled(ask, text))
    return shlex.split(" ".join(line))


def filled(ask, pattern):
    def value(match):
        found = ask.ask(match[2].strip()) if match[1] else ask.names[match[2]]
        return f"{found:g}" if isinstance(found, float) else str(found)

    return re.sub(r"\{(=?)(.+?)\}", value, pattern)


def options_of(name, texts):
    job_type = registry.find(relion_facts.job(name)["label"])
    given = {k: "Yes" if v is True else "No" if v is False else v for k, v in texts.items()}
    return job_type.new(given, {})


def numbers(record, where=""):
    """Return every field of nested records by its path."""
    if not is_dataclass(record):
        return {where: record}
    found = {}
    for item in fields(record):
        found |= numbers(getattr(record, item.name), f"{where}.{item.name}")
    return found


def assert_same(ours, theirs):
    for path, value in numbers(ours).items():
        wanted = numbers(theirs)[path]
        assert is_close(value, wanted), path


def is_close(value, wanted):
    """Tell whether values agree in the six digits that RELION's command lines carry."""
    numeric = isinstance(value, (float, tuple))
    return bool(value == (pytest.approx(wanted, rel=1e-5) if numeric else wanted))


@pytest.mark.parametrize("name", JOBS)
def test_settings_are_those_of_relions_command_line(name):
    chance = random.Random(name)
    for _ in range(N_TRIES):
        texts = random_texts(name, chance)
        theirs = flags.parse(words_of(name, texts))
        ours = settings_of(options_of(name, texts))
        assert_same(ours[0], theirs[0])
        assert_same(ours[1], theirs[1])


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_goes_on_changes_what_relion_would_change(name):
    chance = random.Random(f"{name} again")
    for _ in range(N_TRIES):
        first = random_texts(name, chance)
        before = settings_of(options_of(name, first))[0]
        texts = random_texts(name, chance) | {"fn_cont": "run_it003_optimiser.star"}
        texts |= {key: first[key] for key in ("do_em", "do_grad") if key in first}
        line = " ".join(shlex.quote(word) for word in words_of(name, texts, cont=True))
        given = flags.extend(line, flags.Given(before), may_only_change=True)
        ours = continued_settings(options_of(name, texts), before)[0]
        theirs = numbers(given.settings)
        for path, value in numbers(ours).items():
            # What a missing flag leaves as it was, the form switches off.
            is_off = not isinstance(value, tuple) and value in (False, "", -1.0)
            assert is_off or is_close(value, theirs[path]), path


def test_additional_arguments_add_to_the_form():
    texts = {"fn_img": "p.star", "fn_ref": "r.mrc", "other_args": "--maxsig 500 --sigma_ang 3"}
    settings, _ = settings_of(registry.find("refine3d").new(texts, {}))
    assert settings.searching.max_significant == 500
    assert settings.searching.sigma_tilt_deg == 3
    assert settings.ndim == 3
    assert settings.join_halves_A == 40


def test_additional_arguments_do_not_turn_averages_into_maps():
    texts = {"fn_img": "p.star", "other_args": "--sym C2 --ref some.mrcs"}
    settings, _ = settings_of(registry.find("class2d").new(texts, {}))
    assert (settings.ndim, settings.from_nothing) == (2, False)


def test_a_map_called_none_starts_from_nothing():
    texts = {"fn_img": "p.star", "fn_ref": "None", "do_grad": "Yes"}
    settings, _ = settings_of(
        registry.find("class3d").new({k: texts[k] for k in ("fn_img", "fn_ref")}, {})
    )
    assert (settings.from_nothing, settings.references, settings.ndim) == (True, "", 3)


def test_what_is_fixed_is_refused_when_a_job_goes_on():
    options = registry.find("class3d").new(
        {"fn_img": "p.star", "fn_ref": "r.mrc", "other_args": "--K 5 --maxsig 9"}, {}
    )
    with pytest.raises(InputError, match="--K cannot change when a refinement goes on; it is 2"):
        continued_settings(options, Settings(n_classes=2))
    kept, _ = continued_settings(options, Settings(n_classes=5))
    assert (kept.n_classes, kept.searching.max_significant) == (5, 9)


def test_class2d_without_em_is_the_gradient_algorithm():
    settings, _ = settings_of(registry.find("class2d").new({"fn_img": "p.star"}, {}))
    assert settings.algorithm is Algorithm.GRADIENT
    assert settings.gradient.inactivity_threshold == 0.1
    assert settings.n_iterations == 200


def test_changed_steps_reach_the_state(state3d):
    state, before = state3d.state, state3d.settings
    searching = replace(before.searching, healpix_order=3, psi_step_deg=-1.0, shift_range_px=4.0)
    after = replace(before, searching=searching, tau_fudge=9.0)
    moved = continued_state(state, before, after)
    assert moved.sampling.healpix_order == 3
    assert moved.sampling.psi_step_deg == 7.5
    assert moved.sampling.shift_range_A == 4 * state.models[0].pixel_size_A
    assert moved.sampling.perturbation == state.sampling.perturbation
    assert (moved.schedule.tau_fudge, moved.models[0].tau_fudge) == (9.0, 9.0)
    automatic = replace(after, auto_sampling=True, auto_refine=True)
    assert continued_state(state, before, automatic).sampling == state.sampling
