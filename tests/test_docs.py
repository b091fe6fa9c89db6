"""The documentation says what is true: its blocks run, and what it names is there."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

import requirements
from vitreous.cli.tools import TOOLS
from vitreous.jobs import registry

ROOT = Path(__file__).resolve().parent.parent
GENERATED = {"jobs/index.md", *(f"jobs/{one.word}.md" for one in registry.all_types())}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROSE = sorted((ROOT / "docs/jobs/prose").glob("*.md"))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"bash", "python", "text"}
TYPED = re.compile(
    r"^(?:\$ )?(?:vitreous|make|python3?|git|source|sudo|export|cd|cp|project\.run)\b", re.MULTILINE
)
NOT_RUN = {
    "README.md: sudo apt-get install": "installs a fresh clone",
    "README.md: make demo": "tests/demo runs the tiny demonstration",
    "README.md: make test": "runs these tests",
    "docs/class-ranker.md: make class-ranker": "takes hours",
    "docs/cluster.md: export RELION_QSUB_TEMPLATE": "running/test_slurm.py sets them",
    "docs/cluster.md: export RELION_QSUB_EXTRA_COUNT": "jobs/test_environment.py sets them",
    "docs/demo.md: make demo": "tests/demo runs the tiny demonstration",
    "docs/demo.md: $ vitreous demo": "a recorded session, with the times of that machine",
    "docs/demo.md: vitreous gui": "starts a server; tests/browser does",
    "docs/demo.md: python -c": "where a file lies",
    "docs/developing.md: git clone": "installs, and runs these tests",
    "docs/external.md: vitreous run external": "of a project with a CTF; the example below is run",
    "docs/external.md: project.run": "of a project with a CTF; the example below is run",
    "docs/files.md: vitreous cryosparc": "of a cryoSPARC project; programs/test_cryosparc.py",
    "docs/from-relion.md: cd my_relion_project": "of a project of RELION; project/test_referee.py",
    "docs/gui-server.md: vitreous gui": "starts servers; gui/test_start.py",
    "docs/gui.md: cd betagal": "starts a server; tests/browser does",
    "docs/import-and-select.md: vitreous run import": "of movies; programs/test_import_.py",
    "docs/simulator.md: vitreous simulate": "takes minutes; flags are checked below",
    "docs/tools.md: vitreous cryosparc": "of a cryoSPARC project; programs/test_cryosparc.py",
    "docs/tools.md: vitreous benchmark": "takes minutes",
    "docs/walk-betagal.md: vitreous gui": "starts a server; browser/test_real_data.py does",
    "docs/validation.md: vitreous bfactor-plot": "takes hours; flags are checked below",
}
"""Blocks with something to type that no test of this file runs, and why."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block of a page."""
    return [(language, text) for _, language, text in BLOCK.findall(path.read_text("utf-8"))]


def reason(path: Path, text: str) -> str | None:
    """Return why a block is not run."""
    where = f"{name_of(path)}: {text}"
    return next((why for start, why in NOT_RUN.items() if where.startswith(start)), None)


def is_session(path: Path, block: tuple[str, str]) -> bool:
    """Tell whether a block shows commands with what they print."""
    return block[0] == "text" and block[1].startswith("$ ") and not reason(path, block[1])


def runnable(path: Path) -> list[tuple[str, str]]:
    """Blocks to run, neighbours of one language together: a start of Python takes its time."""
    found = [
        ("session", block[1]) if is_session(path, block) else block
        for block in blocks(path)
        if block[0] in ("bash", "python") or is_session(path, block)
    ]
    return [
        (language, "\n".join(text for _, text in group))
        for language, group in groupby(found, key=lambda block: block[0])
    ]


def is_walk(page: Path) -> bool:
    return page.name.startswith("walk-")


def marked(page: Path) -> object:
    """A page for a test: what works on real data takes minutes."""
    marks = [pytest.mark.slow, pytest.mark.timeout(3600)] if is_walk(page) else []
    return pytest.param(page, marks=marks, id=name_of(page))


@pytest.mark.parametrize("page", [marked(page) for page in PAGES if runnable(page)])
def test_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    if is_walk(page):
        requirements.need("data")
    programs = Path(sys.executable).parent
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("RELION_")
    }
    environment |= {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "VITREOUS": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "DATA": str(requirements.DATA),
    }
    for language, text in runnable(page):
        if language == "session":
            assert session(text, tmp_path, environment) == text
            continue
        words = {
            "bash": ["bash", "-euo", "pipefail", "-c", text],
            "python": [sys.executable, "-W", "error", "-c", text],
        }[language]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        told = f"{name_of(page)}:\n{text}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, told
        assert "Traceback" not in done.stderr, told


def session(text: str, folder: Path, environment: dict[str, str]) -> str:
    """Run the commands of a session; return what somebody who types them sees."""
    seen = ""
    for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        seen += f"$ {command}\n{done.stdout}"
    return seen


@pytest.mark.parametrize("page", [*PAGES, *PROSE], ids=name_of)
def test_every_block_with_something_to_type_runs_or_says_why_not(page: Path) -> None:
    for block in blocks(page):
        if block[0] == "text" and TYPED.search(block[1]) and not is_session(page, block):
            assert reason(page, block[1]), f"{name_of(page)}: run this, or say why not:\n{block[1]}"


def test_no_reason_is_left_over() -> None:
    starts = [f"{name_of(page)}: {text}" for page in PAGES for _, text in blocks(page)]
    left = [key for key in NOT_RUN if not any(one.startswith(key) for one in starts)]
    assert left == []
    for test in re.findall(r"\w+/test_\w+\.py", " ".join(NOT_RUN.values())):
        assert (ROOT / "tests" / test).exists(), test


def test_every_flag_given_to_a_tool_exists(tools: dict[str, str]) -> None:
    for page in [*PAGES, *PROSE]:
        text = re.sub(r"\\\n\s*", "", page.read_text("utf-8"))
        for tool, rest in re.findall(r"vitreous (simulate \w+|[a-z-]+)([^`\n|#>]*)", text):
            for flag in re.findall(r"(?<!\S)(--[a-zA-Z][\w-]*)", rest):
                if tool in tools:
                    assert re.search(rf"{flag}\b", tools[tool]), f"{name_of(page)}: {tool} {flag}"


HELP = """
import contextlib, io, json, runpy, sys
found = {}
for name in list(sys.argv[1:]):
    tool, *words = name.split()
    module = "vitreous.programs." + tool.replace("-", "_")
    sys.argv, said = [module, *words, "--help"], io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    found[name] = said.getvalue()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def tools() -> dict[str, str]:
    """The help of each tool, of one process: starting each of them takes its time."""
    names = [tool for tool in TOOLS if tool != "simulate"]
    names += [f"simulate {what}" for what in ("particles", "micrographs", "movies")]
    words = [sys.executable, "-P", "-c", HELP, *names]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_enough_blocks_are_run() -> None:
    n_run = sum(len(runnable(page)) for page in PAGES)
    assert n_run > 10


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_whether_it_runs(page: Path) -> None:
    assert page.read_text("utf-8").count("```") == 2 * len(blocks(page))
    assert {language for language, _ in blocks(page)} <= LANGUAGES


def prose(path: Path) -> str:
    """The text of a page without its blocks."""
    return BLOCK.sub("", path.read_text("utf-8"))


@pytest.mark.parametrize("page", [*PAGES, *PROSE], ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    folder = page.parent.parent if page in PROSE else page.parent  # where the page is shown
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        path, _, heading = target.partition("#")
        if "://" in path:
            continue
        goal = (folder / path).resolve() if path else page
        if goal.is_relative_to(ROOT / "docs") and name_of(goal).removeprefix("docs/") in GENERATED:
            continue
        assert goal.exists(), f"{name_of(page)}: {target}"
        assert not heading or heading in headings(goal), f"{name_of(page)}: {target}"


def headings(page: Path) -> set[str]:
    """The anchors that the site gives to the headings of a page."""
    found = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", one).strip().lower()) for one in found}


@pytest.mark.parametrize("page", [*PAGES, *PROSE], ids=name_of)
def test_every_test_that_is_named_exists(page: Path) -> None:
    for path, name in re.findall(r"`([\w/]+\.py)::(\w+)`", page.read_text("utf-8")):
        tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{name_of(page)} names {path}::{name}"


@pytest.fixture(scope="module")
def commands() -> set[str]:
    """The commands that `vitreous --help` lists."""
    words = [sys.executable, "-m", "vitreous", "--help"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  ([a-z][a-z-]+)  ", shown, re.MULTILINE))


@pytest.mark.parametrize("page", [*PAGES, *PROSE], ids=name_of)
def test_every_command_that_is_named_exists(page: Path, commands: set[str]) -> None:
    text = page.read_text("utf-8")
    in_blocks = re.findall(
        r"^\$? ?vitreous ([a-z][\w-]*)", "\n".join(b for _, b in blocks(page)), re.M
    )
    in_line = re.findall(r"`vitreous\s+([a-z][\w-]*)", text)
    assert {*in_blocks, *in_line} <= commands


@pytest.mark.parametrize("page", [*PAGES, *PROSE], ids=name_of)
def test_every_option_given_to_run_exists(page: Path) -> None:
    text = re.sub(r"\\\n\s*", "", page.read_text("utf-8"))
    for word, rest in re.findall(r"vitreous run (?:-\S+ )*([a-z]\w+) ([^`\n]*)", text):
        job_type = registry.find(word)
        for key in re.findall(r"(?<!\S)(\w+)=", rest):
            if key not in ("key", "imges"):  # what stands for any, and an error that is shown
                job_type.spec(key)


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE))
        assert named <= targets, name_of(page)


def test_every_job_type_has_a_page_with_all_its_options(tmp_path: Path) -> None:
    tool = [sys.executable, ROOT / "tools/make_job_pages.py", tmp_path / "jobs"]
    subprocess.run(tool, check=True, capture_output=True)
    made = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "jobs").glob("*.md")}
    assert made == GENERATED
    for job_type in registry.all_types():
        text = (tmp_path / f"jobs/{job_type.word}.md").read_text("utf-8")
        missing = [spec.key for spec in job_type.options.values() if f"`{spec.key}`" not in text]
        assert missing == [], job_type.word


def test_every_job_type_that_runs_has_prose() -> None:
    runs = {job_type.word for job_type in registry.all_types() if job_type.is_built()}
    assert runs <= {path.stem for path in PROSE}


def test_the_readme_names_the_job_types_that_run() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    told = text.partition("Those that run so far:")[2].partition("The others")[0]
    runs = {job_type.folder for job_type in registry.all_types() if job_type.is_built()}
    assert set(re.findall(r"\*\*(\w+)\*\*", told)) == runs


def test_the_submission_script_that_is_shown_is_the_example() -> None:
    shown = [text for _, text in blocks(ROOT / "docs/cluster.md")]
    assert (ROOT / "docs/examples/slurm.sh").read_text("utf-8") in shown


def test_every_picture_stands_on_a_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"screens/([\w-]+\.png)", text))
    assert {picture.name for picture in (ROOT / "docs/screens").glob("*.png")} == named


def test_every_page_stands_in_the_navigation() -> None:
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in PAGES if page.parent.name == "docs")


def test_the_first_page_leads_to_every_other() -> None:
    first = (ROOT / "docs/index.md").read_text("utf-8")
    others = {page.name for page in PAGES if page.parent.name == "docs"} - {"index.md"}
    assert others <= set(re.findall(r"\]\(([\w-]+\.md)\)", first))
