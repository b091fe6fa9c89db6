"""Finding job types and options by whatever a user calls them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vitreous.errors import InputError, OptionError
from vitreous.jobs import registry


@pytest.mark.parametrize(
    "text",
    ["class2d", "relion.class2d", "relion.class2d.helical", "Class2D", "2D classification", 8, "8"],
)
def test_a_job_type_has_many_names(text):
    assert registry.find(text).word == "class2d"


@pytest.mark.parametrize("text", ["import", "relion.import.movies", "Import", 0])
def test_import_is_no_exception(text):
    assert registry.find(text).run == "vitreous.programs.import_:run"


@pytest.mark.parametrize("text", ["dynamight", "modelangelo"])
def test_labels_without_relion_in_front(text):
    assert registry.find(text).label == text


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("clas2d", "class2d"),
        ("refine", "refine3d"),
        ("relion.postproces", "postprocess"),
        ("MotionCor", "motioncorr"),
        ("2D classificaton", "class2d"),
    ],
)
def test_a_misspelt_job_type_is_answered_with_the_nearest(text, near):
    with pytest.raises(InputError, match=rf"did you mean .*{near}"):
        registry.find(text)


def test_a_strange_word_is_answered_with_where_to_look():
    with pytest.raises(InputError, match="`vitreous describe` lists them"):
        registry.find("zzzzzz")


def test_numbers_of_tomography_are_explained():
    with pytest.raises(InputError, match="number 51; it may be one for tomography"):
        registry.find(51)


@pytest.mark.parametrize("name", ["fn_img", "particles", "Input images STAR file:"])
def test_an_option_has_three_names(name):
    assert registry.find("class2d").spec(name).name == "particles"


def test_all_problems_are_told_at_once():
    values = {
        "fn_imgs": "a.star",
        "n_class": 3,
        "nr_classes": "x",
        "use_em": 3,
        "tau_fudge": "1e999",
        "zzzz": 1,
        "mask_diameter_A": -5,
    }
    with pytest.raises(OptionError) as caught:
        registry.find("class2d").new(values, {})
    messages = [str(problem) for problem in caught.value.problems]
    assert messages == [
        "class2d has no option 'fn_imgs'; did you mean fn_img?",
        "class2d has no option 'n_class'; did you mean n_classes or nr_classes or center_classes?",
        "n_classes: is 'x', wanted a number",
        "use_em: is 3, wanted Yes or No",
        "regularisation: is '1e999', wanted a finite number",
        "class2d has no option 'zzzz'; `vitreous describe class2d` lists them",
        "mask_diameter_A: is -5, must be at least 0",
    ]


def test_an_option_given_by_both_names_is_refused():
    with pytest.raises(OptionError, match="given twice, as fn_img and as particles"):
        registry.find("class2d").new({"fn_img": "a.star", "particles": "b.star"}, {})


def test_a_choice_is_taken_in_any_case_and_else_answered_with_the_nearest():
    refine = registry.find("refine3d")
    assert refine.new({"sampling": "7.5 DEGREES"}, {}).angular_sampling == "7.5 degrees"
    with pytest.raises(OptionError, match=r"did you mean '3\.7 degrees'"):
        refine.new({"sampling": "3.5 degrees"}, {})


def test_whole_numbers_must_be_whole():
    with pytest.raises(OptionError, match=r"n_classes: is '2\.5', wanted a whole number"):
        registry.find("class2d").new({"n_classes": 2.5}, {})
    assert registry.find("class2d").new({"n_classes": 3.0}, {}).n_classes == 3


def test_a_text_of_two_lines_is_refused():
    with pytest.raises(OptionError, match="wanted text on one line"):
        registry.find("class2d").new({"other_args": "--a\n--b"}, {})


def test_the_list_of_job_types_loads_no_arrays():
    code = (
        "import sys; from vitreous.jobs import registry; registry.all_types(); "
        "assert not {'torch', 'numpy', 'yaml'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
