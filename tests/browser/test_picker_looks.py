"""How the picker shows a micrograph and its picks: sizes of marks, and what Topaz makes of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

import topaz_stub
from browser import gui_process, picker_steps, steps
from browser.picker_steps import SIDE, click, on_disk, open_picker, place, wait, write_picks
from vitreous.io import Table, read_star, write_star

DIAMETER = "rlnParticleDiameter"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return picker_steps.make_project(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="module")
def gui(project, tmp_path_factory):
    with picker_steps.serve(project, tmp_path_factory.mktemp("runtime")) as running:
        yield running


def pick_job(project, **more):
    return project.run(
        "manualpick", micrographs="micrographs.star", diameter_A=60, low_pass_A=-1, **more
    )


def is_marked(page, x, y):
    """Return whether a mark is drawn at a place of the micrograph."""
    return page.evaluate(
        """([x, y]) => {
          const canvas = document.querySelector('.mg-over');
          const ratio = canvas.width / canvas.clientWidth;
          const box = canvas.getBoundingClientRect();
          const at = [(x - box.left) * ratio, (y - box.top) * ratio].map(Math.round);
          const data = canvas.getContext('2d').getImageData(at[0] - 2, at[1], 5, 1).data;
          return Math.max(...data.filter((_, n) => n % 4 === 3)) > 100;
        }""",
        list(place(page, x, y)),
    )


def grey_at(page, x, y):
    return page.evaluate(
        """([x, y]) => {
          const canvas = document.querySelector('.mg-picture');
          const ratio = canvas.width / canvas.clientWidth;
          const box = canvas.getBoundingClientRect();
          const at = [(x - box.left) * ratio, (y - box.top) * ratio].map(Math.round);
          return canvas.getContext('2d').getImageData(at[0], at[1], 1, 1).data[0];
        }""",
        list(place(page, x, y)),
    )


def wait_until(what, is_so):
    gui_process.wait_for(what, is_so, 20)


def test_marks_are_as_large_as_their_picks_say(page, project):
    job = pick_job(project)
    columns = {"rlnCoordinateX": [200.0, 500.0], "rlnCoordinateY": [200.0, 500.0]}
    write_picks(job, {**columns, DIAMETER: [80.0, 240.0]})
    now = open_picker(page, job, nPicks=2, nMarks=2)
    assert [pick["radius_px"] for pick in now["picks"]] == [20.0, 60.0]  # of 2 Å a pixel
    wait_until("both rings", lambda: is_marked(page, 220, 200) and is_marked(page, 560, 500))
    assert not is_marked(page, 515, 500)  # where the ring of the form's 60 Å would be
    click(page, 540, 500)  # inside the large one: nothing is added
    click(page, 240, 200)  # outside the small one
    wait(page, nPicks=3, nUnsent=0)
    written = read_star(job.path / "Mics/m0_manualpick.star").first
    assert written[DIAMETER].tolist() == [80.0, 240.0, 60.0]  # the new one as was chosen
    page.get_by_label("More picture settings").click()
    page.get_by_label("Own diameter of each pick").uncheck()
    wait_until("one size", lambda: is_marked(page, 515, 500) and not is_marked(page, 560, 500))


def test_another_set_has_the_diameter_of_its_own_job(page, project):
    other = project.run("manualpick", micrographs="micrographs.star", diameter_A=200)
    write_picks(other, {"rlnCoordinateX": [400.0], "rlnCoordinateY": [400.0]})
    listed = {
        "rlnMicrographName": ["Mics/m0.mrc"],
        "rlnMicrographCoordinates": [f"{other.name}Mics/m0_manualpick.star"],
    }
    write_star(other.path / "manualpick.star", [Table.from_columns("coordinate_files", listed)])
    job = pick_job(project)
    open_picker(page, job, nPicks=0)
    title = f"ManualPick {other.number:03d}"
    page.get_by_label("Compare another set of picks").select_option(label=title)
    wait(page, others=[1])
    wait_until("its ring", lambda: is_marked(page, 450, 400))
    size = page.get_by_label(f"Diameter of {title} in Å")
    expect(size).to_have_value("200")
    size.fill("120")
    size.press("Enter")
    wait_until(
        "a smaller ring", lambda: is_marked(page, 430, 400) and not is_marked(page, 450, 400)
    )


def test_topaz_denoises_what_is_looked_at(page, project, tmp_path):
    stub = topaz_stub.install(tmp_path / "bin")
    job = pick_job(project, denoise=True, other_arguments=f"--topaz_exe {stub}")
    open_picker(page, job, nPicks=0)
    wait(page, isDenoised=True, seconds=60)
    expect(page.locator(".mg-name")).to_have_text("m0.mrc, denoised by Topaz")
    left, right = (100, SIDE // 2), (SIDE - 100, SIDE // 2)
    wait_until("its picture", lambda: grey_at(page, *left) - grey_at(page, *right) > 60)
    click(page, 300, 300)  # picks go on top of it as ever
    wait(page, nPicks=1, nUnsent=0)
    assert len(on_disk(job)) == 1
    assert topaz_stub.calls(stub) == ["denoise --patch-size 2048 -o out micrograph.mrc"]
    page.get_by_label("More picture settings").click()
    page.get_by_label("Denoise with Topaz").uncheck()
    wait(page, isDenoised=False)
    expect(page.locator(".mg-name")).to_have_text("m0.mrc")


def test_without_topaz_the_picker_says_so_and_goes_on_with_filters(page, project):
    job = pick_job(project, other_arguments="--topaz_exe /nowhere/topaz")
    open_picker(page, job, nPicks=0)
    page.keyboard.press("]")  # a micrograph that no other test has denoised
    wait(page, row=1, isLoaded=True)
    page.get_by_label("More picture settings").click()
    page.get_by_label("Denoise with Topaz").check()
    expect(page.locator(".mg-trouble")).to_contain_text("Topaz is not installed here")
    expect(page.locator(".mg-trouble")).to_contain_text("--topaz_exe PROGRAM")
    page.locator(".mg-foot").click()
    click(page, 300, 300)
    wait(page, nPicks=1, nUnsent=0)
    page.get_by_label("More picture settings").click()
    page.get_by_label("Denoise with Topaz").uncheck()
    expect(page.locator(".mg-trouble")).to_be_hidden()
    steps.go(page, "#/")
