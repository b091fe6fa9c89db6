"""The making of the class ranker: truth of class averages, and a molecule made from scratch."""

import numpy as np
import pytest
from tools.class_ranker import fit, molecules, simulate, truth

from vitreous.dataset.ranked_classes import read_classes
from vitreous.programs import class_ranker
from vitreous.testing.simulate.atoms import SHIPPED
from vitreous.testing.simulate.density import to_image
from vitreous.testing.simulate.projection import Camera, project
from vitreous.testing.simulate.rotations import matrices


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Beta-galactosidase, which is in neither list."""
    whole = molecules.Molecule("5A1A", SHIPPED.name, "beta-galactosidase, D2", "1")
    return molecules.prepare(whole, SHIPPED.parent, tmp_path_factory.mktemp("molecules"))


def test_the_lists_share_no_molecule_and_no_family():
    training = {one.name for one in molecules.TRAINING}
    held_out = {one.name for one in molecules.HELD_OUT}
    assert len(training) >= 20
    assert len(held_out) >= 6
    assert not training & held_out
    for name in held_out:
        assert name not in molecules.FAMILIES
    files = [one.file for one in molecules.TRAINING]
    assert not {one.file for one in molecules.HELD_OUT} & set(files)


def test_a_recipe_belongs_to_its_name_and_seed(model):
    recipe = simulate.draw("5A1A", 3, model)
    assert recipe == simulate.draw("5A1A", 3, model)
    assert recipe != simulate.draw("5A1A", 4, model)
    assert recipe.mask_A < recipe.box_px * recipe.pixel_A


def test_a_small_recipe_has_few_particles_in_few_classes_and_a_tight_mask(model):
    small = simulate.draw("5A1A", molecules.SMALL_SEED, model)
    plain = simulate.draw("5A1A", 0, model)
    assert small.n_picks < 320
    assert small.n_classes < 9
    assert small.pixel_A >= plain.pixel_A
    assert small.mask_A < plain.mask_A
    assert small.box_px % 2 == 0
    assert set(molecules.SMALL) >= set(molecules.ONLY_SMALL)


def test_an_average_is_worth_what_it_shows(model, tmp_path):
    recipe = simulate.draw("5A1A", 0, model)
    (state,) = [
        one for one in simulate.true_states(recipe, model, tmp_path) if "half" not in one.name
    ]
    angles = np.array([[20.0, 50.0, 75.0], [200.0, 100.0, 10.0]])
    camera = Camera(recipe.box_px, recipe.pixel_A)
    views = to_image(project(state.scatterers, matrices(angles), np.full((2, 2), 7.0), camera))
    noise = np.random.default_rng(0).normal(size=views[0].shape) * views[0].std()
    found = [
        truth.best_resolution_A(recipe, state, image, angles[:1])
        for image in (views[0], views[0] + 3 * noise, views[1], noise)
    ]
    assert found[0] < 2.5 * recipe.pixel_A  # the same view, turned and moved
    assert found[0] < found[1] < found[3]
    assert found[2] > 4 * recipe.pixel_A  # another view


def test_purity_counts_whole_molecules_where_they_lie(model):
    recipe = simulate.draw("5A1A", 0, model)
    near, far = 0.2 * recipe.blob_A / recipe.pixel_A, 0.6 * recipe.blob_A / recipe.pixel_A
    names = ["a.mrc", "a.mrc", "b.mrc"]
    there = _table(names, [[100, 100], [300, 300], [100, 100]])
    picks = _table(["a.mrc", "a.mrc", "b.mrc", "b.mrc"],
                   [[100 + near, 100], [300 + far, 300], [100, 100], [300, 300]])  # fmt: skip
    assert truth.partners(picks, there, recipe).tolist() == [0, -1, 2, -1]


def _table(names, places):
    from vitreous.io import Table

    x, y = np.array(places, float).T
    zeros = np.zeros(len(names))
    return Table.from_columns(
        "particles",
        {"rlnMicrographName": names, "rlnCoordinateX": x, "rlnCoordinateY": y,
         "rlnOriginXAngst": zeros, "rlnOriginYAngst": zeros},
    )  # fmt: skip


def test_the_score_is_purity_times_clarity():
    assert truth.Truth(50, 0.8, 20.0, 3.5).score == pytest.approx(0.8)
    assert truth.Truth(50, 0.8, 30.0, 2.5).score == pytest.approx(0.4)
    assert truth.Truth(50, 0.8, 90.0, 1.2).score == 0


def test_areas_under_the_curve():
    good = np.array([True, True, False, False])
    assert fit.area_under_roc(np.array([4.0, 3, 2, 1]), good) == 1
    assert fit.area_under_roc(np.array([1.0, 2, 3, 4]), good) == 0
    assert fit.area_under_roc(np.ones(4), good) == 0.5
    assert np.isnan(fit.area_under_roc(np.ones(2), np.array([True, True])))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_molecule_from_scratch(model, tmp_path):
    """Simulate, pick, extract, classify, judge and rank beta-galactosidase: about 2 minutes."""
    recipe = simulate.draw("5A1A", 0, model)
    simulate.make(recipe, model, tmp_path, n_threads=2)
    optimiser = simulate.optimiser_of(tmp_path)
    states = simulate.true_states(recipe, model, tmp_path)
    true = np.array([one.score for one in truth.judge(recipe, states, tmp_path, optimiser)])
    classes = read_classes(optimiser, tmp_path)
    judged = class_ranker.judged(classes)
    scores = class_ranker.score(class_ranker.measure(classes))
    good = true[judged] >= fit.GOOD
    assert good.sum() >= 2
    assert (~good).sum() >= 2
    assert fit.area_under_roc(scores[judged], good) >= 0.9
