"""What users do, in the words of the page."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from vitreous.jobs import registry


def go(page: Page, address: str) -> None:
    """Open an address behind the hash."""
    page.evaluate("(to) => { location.hash = to }", address)


def field(page: Page, name: str) -> Locator:
    """Return the row of an option by our name."""
    return page.locator(f"[data-option={name}]")


def fill(page: Page, name: str, text: str) -> None:
    """Type into an option."""
    field(page, name).locator("input.in").fill(text)


def answer(page: Page, name: str, word: str) -> None:
    """Answer a Yes/No option."""
    field(page, name).get_by_role("radio", name=word, exact=True).click()


def state(page: Page, word: str, *, timeout: float = 30_000) -> None:
    """Wait until the open job is in a state."""
    expect(page.locator(".head .pill")).to_have_text(word, timeout=timeout)


def finished(page: Page, minutes: float) -> None:
    """Wait until the open job is over, and see that it succeeded."""
    pill = page.locator(".head .pill")
    expect(pill).to_have_text(re.compile("^(Finished|Failed|Aborted)$"), timeout=60_000 * minutes)
    expect(pill).to_have_text("Finished")


def tab(page: Page, name: str) -> None:
    """Open a tab of the job."""
    page.get_by_role("tablist", name="Tabs of the job").get_by_role("tab", name=name).click()


def action(page: Page, name: str) -> None:
    """Choose an entry of Job actions."""
    page.get_by_role("button", name="Job actions").click()
    page.get_by_role("menuitem", name=name).click()


def run_external(page: Page, script: str, *, button: str = "Run", alias: str = "") -> int:
    """Start an External job by its form and return its number."""
    go(page, "#/new/external")
    fill(page, "executable", f"./{script}")
    if alias:
        page.get_by_label("Alias", exact=True).fill(alias)
    page.locator(".foot").get_by_role("button", name=button, exact=True).click()
    expect(page).to_have_url(re.compile(r"#/job/\d+"))
    return int(page.url.rpartition("/")[2])


def choose(page: Page, name: str, path: Path) -> None:
    """Set an input by its chooser: a node of the project, or a file in its first folder."""
    field(page, name).get_by_role("button", name="Browse").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=path.as_posix(), exact=True).click()
    expect(field(page, name).locator("input.in")).to_have_value(path.as_posix())


def fill_on_its_tab(page: Page, word: str, name: str, value: str | bool | Path) -> None:
    """Open the tab of the form that an option of a job type is on, and set it."""
    option = registry.find(word).options[name]
    tab = page.get_by_role("tablist", name="Tabs of the form").get_by_role("tab")
    tab = tab.filter(has_text=option.tab).first
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")
    if isinstance(value, bool):
        answer(page, name, "Yes" if value else "No")
    elif isinstance(value, Path):
        choose(page, name, value)
    elif option.choices:
        field(page, name).locator("select").select_option(value)
    else:
        fill(page, name, value)


def run(page: Page, word: str, *, after: int | None = None, **values: str | bool | Path) -> int:
    """Open the form of a job type by its address, fill it, press Run; return the job's number."""
    go(page, f"#/new/{word}" + (f"?after={after}" if after else ""))
    return fill_and_run(page, word, **values)


def run_next(page: Page, word: str, **values: str | bool | Path) -> int:
    """Take a usual next step of the job that is shown, as `run` does."""
    steps = page.locator(".row", has_text="Usual next steps").last
    steps.get_by_role("link", name=registry.find(word).gui_name, exact=True).click()
    return fill_and_run(page, word, **values)


def fill_and_run(page: Page, word: str, **values: str | bool | Path) -> int:
    """Fill the form that is opening, press Run and return the number of the job.

    A text is typed, a bool answered, a path chosen in the window that Browse opens.
    """
    expect(page).to_have_url(re.compile(rf"#/new/{word}$"))
    expect(page.locator(".head h1")).to_have_text(registry.find(word).gui_name)
    for name, value in values.items():
        fill_on_its_tab(page, word, name, value)
    button = page.locator(".foot").get_by_role("button", name="Run", exact=True)
    expect(button).to_be_enabled()
    button.click()
    expect(page).to_have_url(re.compile(r"#/job/\d+"))
    return int(page.url.rpartition("/")[2])
