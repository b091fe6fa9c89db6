"""Files of an iteration, damaged in every way that a text can be: refused by name, or read."""

from __future__ import annotations

import random
import shutil

import pytest

from dataset.refinement.conftest import fabricate
from vitreous.dataset.refinement import read_iteration, write_iteration
from vitreous.errors import InputError
from vitreous.io import read_star, write_star

STEM = "run_it003"
N_TRIES = 12


def drop_a_line(text, chance):
    lines = text.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return "".join(lines)


def cut_short(text, chance):
    return text[: chance.randrange(len(text))]


def spoil_a_word(text, chance):
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if word.strip()]
    words[chance.choice(places)] = chance.choice(["nan", "inf", "-7", "word", "999999999", '"'])
    return " ".join(words)


def spoil_a_byte(text, chance):
    place = chance.randrange(len(text))
    return text[:place] + chance.choice("\0#\x07_ 9") + text[place + 1 :]


@pytest.mark.parametrize("damage", [drop_a_line, cut_short, spoil_a_word, spoil_a_byte])
@pytest.mark.parametrize("ending", ["optimiser", "model", "data", "sampling"])
def test_a_damaged_file_is_refused_by_name_or_read(ending, damage, tmp_path):
    example = fabricate(tmp_path)
    write_iteration("run", example.state, example.settings, example.particles, folder=tmp_path)
    path = tmp_path / f"{STEM}_{ending}.star"
    whole = path.read_text()
    chance = random.Random(f"{ending} {damage.__name__}")
    for _ in range(N_TRIES):
        path.write_text(damage(whole, chance))
        found = outcome(tmp_path)
        if isinstance(found, str):
            assert STEM in found
            continue
        assert not found.exact or path.read_text() == whole
        assert found.state.models[0].references.shape == (2, 16, 16, 16)


def outcome(folder):
    """Return the iteration, or why it cannot be read."""
    try:
        return read_iteration(f"{STEM}_optimiser.star", folder)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize(
    "table", ["model_general", "model_classes", "model_class_2", "model_groups"]
)
def test_a_model_without_a_table(table, state3d, tmp_path):
    write_iteration("run", state3d.state, state3d.settings, state3d.particles, folder=tmp_path)
    path = tmp_path / f"{STEM}_model.star"
    write_star(path, read_star(path).without(table))
    with pytest.raises(InputError, match=rf"{STEM}_model\.star.*data_{table}"):
        read_iteration(f"{STEM}_optimiser.star", tmp_path)


def test_a_model_of_other_maps(state3d, tmp_path):
    write_iteration("run", state3d.state, state3d.settings, state3d.particles, folder=tmp_path)
    path = tmp_path / f"{STEM}_model.star"
    star = read_star(path)
    for name in star:
        if name.startswith(("model_class_", "model_optics")):
            star = star.with_table(star[name].select(slice(0, 5)))
    write_star(path, star)
    with pytest.raises(InputError, match="spectra have 5 shells, references of 16 pixels have 9"):
        read_iteration(f"{STEM}_optimiser.star", tmp_path)


def test_weights_of_other_directions_begin_uniform(state3d, tmp_path):
    write_iteration("run", state3d.state, state3d.settings, state3d.particles, folder=tmp_path)
    path = tmp_path / f"{STEM}_sampling.star"
    star = read_star(path)
    general = star["sampling_general"].with_columns({"rlnHealpixOrder": 2})
    write_star(path, star.with_table(general))
    found = read_iteration(f"{STEM}_optimiser.star", tmp_path)
    model = found.state.models[0]
    assert model.direction_weight.shape == (2, 96)
    assert model.direction_weight.sum(1) == pytest.approx(model.class_weight)
    assert any("96 directions, the model 24" in notice for notice in found.notices)


def test_a_map_that_was_cut(state3d, tmp_path):
    write_iteration("run", state3d.state, state3d.settings, state3d.particles, folder=tmp_path)
    path = tmp_path / f"{STEM}_class001.mrc"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=rf"{STEM}_class001\.mrc.*truncated"):
        read_iteration(f"{STEM}_optimiser.star", tmp_path)
    shutil.copy(tmp_path / "stacks/a.mrcs", path)
    with pytest.raises(InputError, match="cubes of one size"):
        read_iteration(f"{STEM}_optimiser.star", tmp_path)
