"""What is refused before a job starts, and in which words."""

from __future__ import annotations

from vitreous.jobs import evaluate, registry
from vitreous.project import node_types


def told(word, values, **how):
    options = registry.find(word).new(values, {})
    problems = evaluate.check(options, **how)
    return {p.option: p.message for p in problems if p.severity == "error"}


def warned(word, values):
    options = registry.find(word).new(values, {})
    return {p.option: p.message for p in evaluate.check(options) if p.severity == "warning"}


def test_all_problems_are_told_at_once_in_the_order_of_the_form():
    options = registry.find("class3d").new({"use_gpu": "Yes", "align": False, "particles": ""}, {})
    names = [problem.option for problem in evaluate.check(options)]
    assert names == ["particles", "map", "use_gpu"]


def test_outside_the_usual_range_only_warns():
    values = {"particles": "a.star", "n_classes": 500, "mask_diameter_A": 180}
    assert told("class2d", values) == {}
    assert warned("class2d", values) == {"n_classes": "is 500; 1 to 50 is usual"}


def test_switched_off_and_default_values_do_not_warn():
    assert warned("polish", {"box_px": -1, "scaled_box_px": -1}) == {}
    assert warned("polish", {"train": "No", "test_fraction": 0.5}) == {}


def test_an_option_that_has_no_effect_is_not_judged():
    values = {"micrographs": "a.star", "phase_step": "20", "do_phaseshift": "No"}
    assert told("ctffind", values) == {}
    assert warned("import", {"pixel_size_A": 12}) != {}
    off = {"import_images": False, "import_other": True, "pixel_size_A": 12}
    assert warned("import", off) == {}


def test_what_does_not_work_is_refused_below_its_limit():
    options, _ = evaluate.from_text(registry.find("class2d"), {"nr_classes": "0"})
    found = {p.option: p.message for p in evaluate.check(options)}
    assert found["n_classes"] == "is 0, must be at least 1"


def test_images_outside_the_project_are_refused_with_the_way_to_bring_them_in():
    found = told("import", {"fn_in_raw": "/data/*.tiff"})
    assert "make a symbolic link in the project folder" in found["images"]


def test_continuing_asks_for_the_iteration():
    found = told("refine3d", {"particles": "a.star", "map": "b.mrc"}, is_continue=True)
    assert "run_itNNN_optimiser.star" in found["continue_from"]
    values = {"continue_from": "Refine3D/job009/run_optimiser.star"}
    found = told("refine3d", values, is_continue=True)
    assert "is not the optimiser file of an iteration" in found["continue_from"]


def test_one_file_in_two_fields_is_one_input_node():
    options = registry.find("joinstar").new(
        {"do_part": True, "fn_part1": "a.star", "fn_part2": "a.star"}, {}
    )
    assert evaluate.input_nodes(options) == [("a.star", node_types.PARTICLES)]


def test_locked_options_stay_locked_when_a_job_goes_on():
    options = registry.find("refine3d").new({}, {})
    assert evaluate.is_enabled(options, "point_group")
    assert not evaluate.is_enabled(options, "point_group", is_continue=True)
    assert evaluate.is_enabled(options, "mask", is_continue=True)
    assert evaluate.is_enabled(options, "continue_from", is_continue=True)
    assert not evaluate.is_enabled(options, "continue_from")
