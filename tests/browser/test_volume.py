"""The volume viewer: known shapes at known places, in pixels."""

import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

import small_project
from browser import gui_process, steps
from browser.conftest import FLAGS
from vitreous.io import Table, write_star, write_volume

BOX = 48
PIXEL_A = 2.0
# Two balls: x, y, z of the centre and radius, in voxels from the centre of the box.
BALLS = ((-10, -6, 0, 6.0), (11, 8, 5, 4.0))
GL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WITHOUT = ["--disable-webgl2", "--disable-3d-apis"]
RUN = "Class3D/job001"


def _balls(*balls):
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    made = np.zeros((BOX,) * 3, np.float32)
    for bx, by, bz, radius in balls:
        distance = np.sqrt((x - bx) ** 2 + (y - by) ** 2 + (z - bz) ** 2)
        made = np.maximum(made, np.clip(radius - distance + 0.5, 0, 1))
    return made.astype(np.float32)


def _class3d(root, iteration):
    """Write the maps of two classes as a classification does while it runs."""
    name = f"{RUN}/run_it{iteration:03d}"
    for number in (1, 2):
        map_ = _balls((0, 0, 0, 5.0 + 2 * number + iteration))
        write_volume(root / f"{name}_class00{number}.mrc", map_, PIXEL_A)
    classes = {
        "rlnReferenceImage": [f"{name}_class00{number}.mrc" for number in (1, 2)],
        "rlnClassDistribution": [0.7, 0.3],
        "rlnEstimatedResolution": [8.25, 12.5],
    }
    write_star(root / f"{name}_model.star", [Table.from_columns("model_classes", classes)])


def _masked(root):
    """Write a sharpened map whose mask reaches further than the map does."""
    folder = root / "PostProcess/job002"
    folder.mkdir(parents=True)
    write_volume(folder / "postprocess.mrc", _balls((0, 0, 0, 8.0)), PIXEL_A)
    write_volume(root / "mask.mrc", _balls((0, 0, 0, 11.0)), PIXEL_A)
    job_star = "data_job\n\n_rlnJobTypeLabel relion.postprocess\n_rlnJobIsContinue 0\n"
    values = "\ndata_joboptions_values\n\nloop_\n_rlnJobOptionVariable #1\n_rlnJobOptionValue #2\n"
    (folder / "job.star").write_text(f"{job_star}_rlnJobIsTomo 0\n{values}fn_mask mask.mrc\n")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = small_project.make(tmp_path_factory.mktemp("volumes") / "balls").root
    write_volume(made / "balls.mrc", _balls(*BALLS), PIXEL_A)
    z = np.indices((BOX,) * 3)[2].astype(np.float32)
    write_volume(made / "left_to_right.mrc", 3.0 + 6.0 * (z >= BOX // 2), PIXEL_A)
    write_volume(made / "other_box.mrc", np.zeros((32,) * 3, np.float32), PIXEL_A)
    for half in (1, 2):
        write_volume(made / f"map_half{half}_class001.mrc", _balls(BALLS[half - 1]), PIXEL_A)
    _masked(made)
    (made / RUN).mkdir(parents=True, exist_ok=True)
    for iteration in (1, 2):
        _class3d(made, iteration)
    job_star = "data_job\n\n_rlnJobTypeLabel relion.class3d\n_rlnJobIsContinue 0\n_rlnJobIsTomo 0\n"
    values = "\ndata_joboptions_values\n\nloop_\n_rlnJobOptionVariable #1\n_rlnJobOptionValue #2\n"
    (made / RUN / "job.star").write_text(f"{job_star}{values}sym_name D2\n")
    return made


@pytest.fixture(scope="module")
def server(root, tmp_path_factory):
    with gui_process.serve(root, tmp_path_factory.mktemp("runtime") / "r") as running:
        yield running


@pytest.fixture(scope="module")
def browsers(playwright):
    flags = [flag for flag in FLAGS if flag != "--disable-gpu"]
    launch = playwright.chromium.launch
    made = {
        kind: launch(executable_path="/usr/bin/chromium", args=[*flags, *more])
        for kind, more in (("gl", GL), ("plain", WITHOUT))
    }
    yield made
    for browser in made.values():
        browser.close()


@pytest.fixture
def show(browsers, server, root):
    contexts = []

    def open_map(path, kind="gl"):
        # What the project keeps of earlier tests would be shown.
        shutil.rmtree(root / ".vitreous/drafts", ignore_errors=True)
        context = browsers[kind].new_context(viewport={"width": 800, "height": 560})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(server.url)
        steps.go(page, f"#/display?path={path}")
        _settled(page)
        return page

    yield open_map
    for context in contexts:
        context.close()


def _state(page):
    return json.loads(page.locator(".vol").get_attribute("data-state"))


def _settled(page, *, is_drawn=True, **wanted):
    """Wait until everything is loaded and drawn, and the state is as wanted."""
    root = page.locator(".vol[aria-busy=false]")
    expect(root).to_have_attribute("data-state", re.compile('"isLoaded":true'), timeout=30_000)
    told = {}

    def is_there():
        nonlocal told
        told = _state(page)
        has_picture = not is_drawn or told["frames"] > 0
        return has_picture and all(told[key] == value for key, value in wanted.items())

    gui_process.wait_for(f"{wanted} in the viewer", is_there)
    page.wait_for_timeout(300)
    return told


def _picture(page, selector):
    return np.asarray(Image.open(io.BytesIO(page.locator(selector).first.screenshot())))[..., :3]


def _surface(page):
    """Return where the surface is, in the pixels of the stage."""
    # Marks lie in a canvas of their own; only the surface is wanted.
    page.locator(".vol-over").evaluate("one => one.hidden = true")
    page.locator(".vol-labels").evaluate("one => one.hidden = true")
    pixels = _picture(page, ".vol-stage").astype(int)
    ground = pixels[3, 3]
    return np.abs(pixels - ground).max(-1) > 24, pixels


def _place(state, shape, x, y):
    """Return where a point of the map (voxels from the centre) lies in the stage, along z."""
    height, width = shape
    scale = height / 2 / (state["zoom"] * BOX / 2)
    return round(height / 2 + y * scale), round(width / 2 + x * scale), scale


def test_two_balls_are_where_they_are_and_vanish_above_the_threshold(show):
    page = show("balls.mrc")
    state = _settled(page)
    assert state["isServer"] is False
    assert 0 < state["threshold"] < 1
    is_there, _ = _surface(page)
    for x, y, _, radius in BALLS:
        row, column, scale = _place(state, is_there.shape, x, y)
        assert is_there[row, column], (x, y)
        reach = round((radius + 2.5) * scale)
        assert not is_there[row - reach, column]
        assert not is_there[row, column + reach]
    row, column, _ = _place(state, is_there.shape, 0, 0)
    assert not is_there[row, column]
    expected = sum(np.pi * radius**2 for *_, radius in BALLS) * scale**2
    assert abs(is_there.sum() / expected - 1) < 0.15
    number = page.get_by_label("Threshold, density")
    number.fill("1.5")
    number.press("Enter")
    _settled(page, threshold=1.5)
    gone, _ = _surface(page)
    assert not gone.any()
    page.get_by_role("button", name="Auto").click()
    _settled(page, threshold=state["threshold"])
    assert abs(_surface(page)[0].sum() / is_there.sum() - 1) < 0.03


def test_views_turning_and_reset(show):
    page = show("balls.mrc")
    state = _settled(page)
    page.locator(".vol-stage").focus()
    page.keyboard.press("x")
    _settled(page, matrix=[0, 1, 0, 0, 0, 1, 1, 0, 0])
    is_there, _ = _surface(page)
    for _, y, z, _ in BALLS:  # along x, y runs right and z down
        row, column, _ = _place(state, is_there.shape, y, z)
        assert is_there[row, column], (y, z)
    page.keyboard.press("ArrowRight")
    box = page.locator(".vol-stage").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 230)
    page.mouse.up()
    matrix = np.reshape(_settled(page)["matrix"], (3, 3))
    assert not np.allclose(matrix, np.eye(3), atol=0.1)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=0.01)
    page.get_by_role("button", name="Reset").click()
    _settled(page, matrix=[1, 0, 0, 0, 1, 0, 0, 0, 1], zoom=state["zoom"])


def test_slices_show_the_planes_through_the_point_that_was_clicked(show):
    page = show("balls.mrc")
    page.get_by_role("button", name="Slices").click()
    _settled(page, mode="slices")
    canvas = page.locator("canvas[data-axis=z]")
    box = canvas.bounding_box()
    x, y, _, _ = BALLS[0]
    part_x, part_y = ((at + BOX // 2 + 0.5) / BOX for at in (x, y))
    canvas.click(position={"x": part_x * box["width"], "y": part_y * box["height"]})
    state = _settled(page)
    cross = state["cross"]
    assert (cross["x"], cross["y"], cross["z"]) == (x + BOX // 2, y + BOX // 2, BOX // 2)
    assert cross["value"] == pytest.approx(1.0, abs=0.01)
    script = """one => [...one.getContext("2d").getImageData(0, 0, one.width, one.height).data]
        .filter((_, k) => k % 4 === 0)"""
    planes = {
        axis: np.reshape(page.locator(f"canvas[data-axis={axis}]").evaluate(script), (BOX, BOX))
        for axis in "xyz"
    }
    data = _balls(*BALLS)
    wanted = {
        "z": data[cross["z"]],
        "y": data[:, cross["y"]],
        "x": data[:, :, cross["x"]],
    }
    for axis, plane in planes.items():
        assert np.corrcoef(plane.ravel(), wanted[axis].ravel())[0, 1] > 0.99, axis
    canvas.focus()
    page.keyboard.press("ArrowUp")
    assert _settled(page)["cross"]["z"] == BOX // 2 + 1
    expect(page.locator("figcaption").first).to_have_text(f"Z {BOX // 2 + 1}")


def test_a_second_map_gives_the_colours_and_another_box_is_told(show):
    page = show("balls.mrc")
    _, plain = _surface(page)
    page.get_by_label("Colour by").evaluate(
        """one => { const made = document.createElement("option");
            made.value = "left_to_right.mrc"; one.append(made); }"""
    )
    page.get_by_label("Colour by").select_option("left_to_right.mrc")
    gui_process.wait_for("colours", lambda: _state(page)["second"])
    state = _settled(page)
    assert state["second"]["low"] == pytest.approx(3, abs=0.1)
    assert state["second"]["high"] == pytest.approx(9, abs=0.1)
    is_there, pixels = _surface(page)
    hues = []
    for x, y, _, _ in BALLS:
        row, column, _ = _place(state, is_there.shape, x, y)
        hues.append(pixels[row - 3 : row + 4, column - 3 : column + 4].mean((0, 1)))
        assert np.ptp(plain[row, column]) < 30  # a plain surface is grey
    low, high = hues
    assert low[2] > 2 * low[0]  # dark blue where the values are low
    assert high[0] > 1.1 * high[2]  # pale yellow where they are high
    assert high.mean() > low.mean() + 40  # told apart by lightness too
    expect(page.locator(".vol-legend")).to_contain_text("left_to_right.mrc")
    page.get_by_label("Colour by").evaluate(
        """one => { const made = document.createElement("option"); made.value = "other_box.mrc";
            one.append(made); }"""
    )
    page.get_by_label("Colour by").select_option("other_box.mrc")
    expect(page.locator(".vol-message")).to_contain_text("32 × 32 × 32 voxels")
    assert _state(page)["second"] is None


def _are_halves_seen(page, state):
    """Return whether the first half is blue and the second one orange, each in its place."""
    is_there, pixels = _surface(page)
    places = [_place(state, is_there.shape, x, y)[:2] for x, y, *_ in BALLS]
    one, two = (pixels[place] for place in places)
    has_both = all(is_there[place] for place in places)
    return has_both and one[2] > one[0] + 20 and two[0] > two[2] + 20


def _is_mask_seen(page, state):
    """Return whether something yellow lies around the map, and not past the mask."""
    is_there, pixels = _surface(page)
    row, column, scale = _place(state, is_there.shape, 0, 0)
    around = (row, column + round(9.6 * scale))
    outside = (row, column + round(13.5 * scale))
    is_yellow = pixels[around][0] > pixels[around][2] + 15
    return is_there[around] and is_yellow and not is_there[outside]


@pytest.mark.parametrize("kind", ["gl", "plain"])
def test_half_maps_and_masks_are_seen_with_webgl_and_without(show, kind):
    page = show("map_half1_class001.mrc", kind)
    page.get_by_role("button", name="Half maps").click()
    state = _settled(page, halves=2, isServer=kind == "plain")
    gui_process.wait_for("both halves", lambda: _are_halves_seen(page, state))
    page = show("PostProcess/job002/postprocess.mrc", kind)
    state = _settled(page, hasMask=False)
    assert not _is_mask_seen(page, state)
    page.get_by_role("button", name="Mask").click()
    state = _settled(page, hasMask=True)
    gui_process.wait_for("the mask", lambda: _is_mask_seen(page, state))
    expect(page.locator(".vol-why")).to_contain_text("Half maps: none lie beside this map.")


def test_a_map_of_256_voxels_a_side_opens(show, root):
    ball = np.indices((256,) * 3, np.float32, sparse=True)
    z, y, x = (axis - 128 for axis in ball)
    made = np.clip(30 - np.sqrt((x - 50) ** 2 + (y + 40) ** 2 + z**2), 0, 1)
    write_volume(root / "large.mrc", made.astype(np.float32), PIXEL_A)
    page = show("large.mrc")
    state = _settled(page)
    assert state["box"] == [256, 256, 256] or state["box"] == 256
    is_there, _ = _surface(page)
    height, width = is_there.shape
    scale = height / 2 / (state["zoom"] * 128)
    row, column = round(height / 2 - 40 * scale), round(width / 2 + 50 * scale)
    assert is_there[row, column]
    reach = round(34 * scale)
    assert not is_there[row, column - reach]
    assert not is_there[row + reach, column]
    assert abs(is_there.sum() / (np.pi * 29.5**2 * scale**2) - 1) < 0.1


def test_the_clip_plane_cuts(show):
    page = show("map_half1_class001.mrc")
    _settled(page)
    page.get_by_role("button", name="More").click()
    page.get_by_label("Clip plane").fill("95")
    _settled(page, clip=0.95)
    assert not _surface(page)[0].any()


def test_classes_stand_side_by_side_and_new_iterations_keep_the_view(show, root):
    page = show(f"{RUN}/run_it001_class001.mrc")
    state = _settled(page, n=2, iteration=1, symmetry="D2")
    expect(page.locator(".vol-label")).to_have_text(
        ["Class 1, 70.0 %, 8.3 Å", "Class 2, 30.0 %, 12.5 Å"]
    )
    is_there, _ = _surface(page)
    width = is_there.shape[1]
    first, second = is_there[:, : width // 2].sum(), is_there[:, width // 2 :].sum()
    assert second > 1.2 * first > 0
    page.get_by_role("button", name="D2 axes").click()
    assert _settled(page)["axes"] == 3
    page.locator(".vol-stage").focus()
    page.keyboard.press("ArrowLeft")
    turned = _settled(page)["matrix"]
    slider = page.get_by_label("Iteration")
    at = slider.bounding_box()
    middle = at["y"] + at["height"] / 2
    page.mouse.move(at["x"] + 8, middle)
    page.mouse.down()
    page.mouse.move(at["x"] + at["width"] - 8, middle)
    # What is drawn while a hand is at the slider does not take it away.
    page.get_by_role("button", name="D2 axes").evaluate("button => button.click()")
    assert _settled(page)["axes"] == 0
    expect(slider).to_have_value("1")
    page.mouse.up()
    state = _settled(page, iteration=2)
    assert state["path"] == f"{RUN}/run_it002_class001.mrc"
    assert state["matrix"] == turned


def test_dust_is_hidden_and_the_choice_is_kept(show):
    page = show("balls.mrc")
    page.get_by_role("button", name="More").click()
    field = page.get_by_label("Hide dust below, voxels").last
    field.fill("500")
    field.press("Enter")
    page.wait_for_timeout(1500)
    state = _settled(page)
    is_there, _ = _surface(page)
    (x, y, *_), (dust_x, dust_y, *_) = BALLS
    row, column, _ = _place(state, is_there.shape, x, y)
    assert is_there[row, column]
    row, column, _ = _place(state, is_there.shape, dust_x, dust_y)
    assert not is_there[row, column]
    page.reload()
    _settled(page)
    page.get_by_role("button", name="More").click()
    expect(page.get_by_label("Hide dust below, voxels").last).to_have_value("500")
    page.get_by_label("Hide dust below, voxels").last.fill("0")
    page.get_by_label("Hide dust below, voxels").last.press("Enter")
    page.wait_for_timeout(1000)


def test_a_picture_can_be_saved_twice_as_large(show, tmp_path):
    page = show("balls.mrc")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="PNG").click()
    waiting.value.save_as(tmp_path / "balls.png")
    with Image.open(tmp_path / "balls.png") as picture:
        box = page.locator(".vol-stage").bounding_box()
        assert abs(picture.width - 2 * box["width"]) <= 2
        assert np.asarray(picture.convert("L")).std() > 5


def test_without_webgl_the_server_draws(show):
    page = show("balls.mrc", "plain")
    state = _settled(page)
    assert state["isServer"] is True
    expect(page.locator(".vol-message")).to_contain_text("WebGL2")
    picture = page.locator(".vol-picture")
    expect(picture).to_have_js_property("complete", True)
    is_there, _ = _surface(page)
    height, width = is_there.shape
    scale = min(height, width) / BOX / state["zoom"]
    for x, y, _, _ in BALLS:
        assert is_there[round(height / 2 + y * scale), round(width / 2 + x * scale)]
    before = picture.get_attribute("src")
    page.locator(".vol-stage").focus()
    page.keyboard.press("x")
    expect(picture).not_to_have_attribute("src", before or "")
    page.locator("img.vol-slice").first.click(position={"x": 20, "y": 20})
    assert _settled(page)["cross"]["x"] < BOX // 2
    number = page.get_by_label("Threshold, density")
    number.fill("2")
    number.press("Enter")
    expect(picture).to_have_attribute("src", re.compile("threshold=2&"))
    page.wait_for_timeout(1500)
    assert not _surface(page)[0].any()


def test_files_that_are_no_maps_are_told(show, server, browsers, root):
    shutil.copy(root / "balls.mrc", root / "cut.mrc")
    with (root / "cut.mrc").open("r+b") as stream:
        stream.truncate(5000)
    context = browsers["gl"].new_context()
    page = context.new_page()
    page.goto(server.url)
    steps.go(page, "#/display?path=cut.mrc")
    expect(page.locator("main")).to_contain_text("cut.mrc")
    expect(page.locator(".vol-message")).to_contain_text(re.compile("byte|short|trunc|cut", re.I))
    context.close()
