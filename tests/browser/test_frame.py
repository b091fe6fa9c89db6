"""The frame: keys, palette, theme, drawer, a read-only window, what goes over the wire."""

import gzip
import re
from itertools import pairwise

from playwright.sync_api import expect

import small_project
from browser import steps
from vitreous.running import record


def test_every_entry_is_found_under_relions_name_or_ours(page):
    page.keyboard.press("Control+k")
    palette = page.locator("dialog.palette")
    palette.get_by_role("combobox").fill("print all notes")
    expect(palette.get_by_role("option").first).to_contain_text("All notes")
    palette.get_by_role("combobox").fill("postprocess")
    expect(palette.get_by_role("option").first).to_contain_text("Post-processing")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Post-processing")


def test_keys_move_through_the_pages(page):
    page.locator("body").press("?")
    expect(page.locator("dialog")).to_contain_text("Full window, and back")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("g")
    expect(page).to_have_url(re.compile("#/graph"))
    page.keyboard.press("n")
    expect(page.get_by_label("Find a job type")).to_be_focused()
    page.keyboard.type("motion")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Motion correction")
    page.locator("main").focus()
    page.keyboard.press("f")
    expect(page.locator(".top")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator(".top")).to_be_visible()


def test_theme_and_text_size_are_kept(page):
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Project menu").click()
    page.get_by_role("menuitem", name=re.compile("View")).click()
    page.locator("dialog").get_by_role("button", name="XL").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("data-size", "huge")


def test_on_a_narrow_window_the_jobs_are_a_drawer(window):
    page = window(width=700, height=800)
    expect(page.locator(".side")).to_be_hidden()
    page.locator(".drawer-button").click()
    expect(page.locator(".side")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".side")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 700


def test_at_200_percent_everything_can_be_reached(window):
    page = window(width=640, height=400)  # what is left of 1280 by 800
    for address in ("#/", "#/new/refine3d", "#/new/import", "#/graph", "#/files", "#/runs"):
        steps.go(page, address)
        expect(page.locator("main h1").first).to_be_attached()
        expect(page.locator("main [aria-busy=true]")).to_have_count(0)
        lost = page.evaluate(
            """() => [...document.querySelectorAll("main :is(button, a[href], input, select)")]
              .filter((one) => one.checkVisibility()).filter((one) => {
                one.scrollIntoView({ block: "center", inline: "center" });
                const at = one.getBoundingClientRect();
                return at.left < -1 || at.right > innerWidth + 1 || at.top < -1
                  || at.bottom > innerHeight + 1;
              }).map((one) => one.outerHTML.slice(0, 120))"""
        )
        assert lost == [], address
        assert page.evaluate("document.documentElement.scrollWidth") <= 640


def test_at_200_percent_at_least_half_of_the_window_can_be_form(window):
    page = window(width=640, height=400)
    steps.go(page, "#/new/refine3d")
    page.get_by_role("tab", name="Optimisation").click()
    page.locator("[data-option=mask_diameter_A]").wait_for()
    seen = page.evaluate(
        """() => {
          const main = document.getElementById("main");
          const form = main.querySelector(".form");
          main.scrollTop += form.getBoundingClientRect().top - main.getBoundingClientRect().top;
          const foot = main.querySelector(".foot").getBoundingClientRect();
          return foot.top - Math.max(form.getBoundingClientRect().top, main.offsetTop);
        }"""
    )
    assert seen >= 200
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_in_viewport()
    steps.go(page, "#/new/import")
    expect(page.get_by_role("heading", level=1, name="Import")).to_be_in_viewport()


def test_many_headline_numbers_stand_apart_and_all_are_there(page, project):
    name = small_project.finished_external(project)
    numbers = [
        {"name": k, "label": f"A number named {k}", "value": 8, "unit": "Å"} for k in "abcdefg"
    ]
    record.write_results(project.root / name, {"headline": numbers})
    steps.go(page, f"#/job/{project.job(name).number}")
    strip = page.locator(".figures > div")
    expect(strip).to_have_count(5)
    boxes = [one.bounding_box() for one in strip.all()]
    assert all(a["x"] + a["width"] <= b["x"] for a, b in pairwise(boxes))
    rest = page.get_by_role("region", name="Further numbers")
    expect(rest.locator("dt")).to_have_text(["A number named f", "A number named g"])
    expect(rest.locator("dd").first).to_have_text("8.00 Å")


def test_a_read_only_window_has_nothing_that_writes(window, gui):
    page = window(gui.read_only_url)
    expect(page.locator(".status")).to_contain_text("Read-only")
    expect(page.get_by_role("tab", name="New job")).to_have_count(0)
    steps.go(page, "#/new/class2d")
    expect(page.get_by_role("button", name="Check command")).to_be_visible()
    expect(page.get_by_role("button", name="Run", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Schedule")).to_have_count(0)


def test_landmarks_and_names(page):
    for role in ("banner", "main", "contentinfo", "complementary"):
        expect(page.get_by_role(role)).to_have_count(1)
    steps.go(page, "#/new/refine3d")
    expect(page.get_by_role("tab", name="Compute")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a[href], input, select, textarea")]
          .filter((one) => one.checkVisibility() && !one.closest("[aria-hidden=true]"))
          .filter((one) => !(one.innerText || one.ariaLabel || one.title || one.placeholder
            || one.labels?.length || one.querySelector("title")))
          .map((one) => one.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


def test_nothing_foreign_is_loaded_and_the_shell_is_small(window, gui):
    page = window("about:blank")
    asked: list[str] = []
    shell: list[bytes] = []
    broken: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: broken.append(line.text) if line.type == "error" else None)

    def keep(response):
        if response.ok and "/api/" not in response.url and response.request.method == "GET":
            shell.append(response.body())

    page.on("response", keep)
    page.goto(gui.url)
    expect(page.locator(".status")).to_contain_text("Connected")
    n_bytes = sum(len(gzip.compress(body)) for body in shell)
    assert 10_000 < n_bytes <= 150_000
    for address in (
        "#/new/class2d",
        "#/graph",
        "#/files",
        "#/runs",
        "#/trash",
        "#/notes",
        "#/start",
    ):
        steps.go(page, address)
        expect(page.locator("main h1").first).to_be_visible()
    origin = f"http://127.0.0.1:{gui.port}"
    foreign = [url for url in asked if not url.startswith((origin, "about:", "data:", "blob:"))]
    assert foreign == []
    assert broken == []
