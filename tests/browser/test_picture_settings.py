"""Settings of pictures that RELION's Display asks for first, and pictures that are saved."""

import pytest
from playwright.sync_api import expect

from browser.gallery_steps import show, state, wait

STAR = """data_micrographs

loop_
_rlnMicrographName #1
_rlnCtfImage #2
"""


@pytest.fixture(scope="module", autouse=True)
def listed(project):
    """Write a list with two columns of images."""
    names = sorted(path.name for path in (project.root / "Micrographs").glob("*.mrc"))
    rows = [
        f"Micrographs/{one} Micrographs/{other}\n"
        for one, other in zip(names, reversed(names), strict=True)
    ]
    (project.root / "two.star").write_text(STAR + "".join(rows))


@pytest.fixture
def gallery(page):
    show(page, "two.star")
    return page


def settings(page):
    page.get_by_role("button", name="More picture settings").click()
    return page.locator("dialog")


@pytest.mark.parametrize(
    ("label", "choice", "asked"),
    [("Colour", "fire", "fire"), ("Images of", "rlnCtfImage", "rlnCtfImage")],
)
def test_colour_and_column_of_the_images_are_chosen(gallery, label, choice, asked):
    field = settings(gallery).get_by_label(label)
    with gallery.expect_request(lambda one: "images/sprite" in one.url and asked in one.url):
        field.select_option(choice)
    wait(gallery, "s.isLoaded")


def test_no_more_images_are_shown_than_asked_for(gallery):
    field = settings(gallery).get_by_label("Most images")
    field.fill("2")
    field.press("Enter")
    assert wait(gallery, "s.nShown === 2")["n"] == 3
    gallery.keyboard.press("Escape")
    expect(gallery.locator("main")).to_contain_text("2 shown of 3")


def test_the_number_of_columns_follows_the_window(gallery):
    many = state(gallery)["across"]
    gallery.set_viewport_size({"width": 1000, "height": 800})
    wait(gallery, f"s.across < {many}")


def test_an_image_is_saved_as_png(gallery):
    gallery.locator(".g-scroll").focus()
    gallery.keyboard.press("Home")
    gallery.keyboard.press("Enter")
    with gallery.expect_download() as download:
        gallery.locator("dialog").get_by_text("Save image as PNG").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_micrograph_is_saved_as_png(page):
    page.evaluate("() => { location.hash = '#/display?path=Micrographs/mic000.mrc' }")
    page.locator(".mg-over").wait_for()
    page.locator(".mg-over").click(button="right")
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Save image as PNG").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
