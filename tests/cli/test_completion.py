"""What the shells offer."""

from __future__ import annotations

import pytest

import small_project
from vitreous.cli.app import app


@pytest.fixture
def offers(call, monkeypatch):
    """Return what gives the words that a shell is offered for a line, its last word unfinished."""

    def ask(line: str, shell: str = "bash") -> list[str]:
        monkeypatch.setenv("_VITREOUS_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        said = call()
        assert said.err == ""
        return said.out.split()

    return ask


@pytest.fixture
def with_job(project):
    small_project.finished_external(project, alias="picked")
    return project


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("vitreous sta", "status"),
        ("vitreous run class2", "class2d"),
        ("vitreous run class2d n_cl", "n_classes="),
        ("vitreous run class2d nr_c", "nr_classes="),
        ("vitreous show External/p", "External/picked"),
        ("vitreous show pi", "picked"),
        ("vitreous show External/j", "External/job001"),
        ("vitreous run --continue External/j", "External/job001"),
        ("vitreous run external in_part=Ext", "in_part=External/job001/particles.star"),
        ("vitreous run external in_part = Ext", "External/job001/particles.star"),
        ("vitreous describe exter", "external"),
    ],
)
@pytest.mark.usefixtures("with_job")
def test_bash_offers(offers, line, wanted):
    assert wanted in offers(line)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_offer_with_explanations(offers, shell):
    text = " ".join(offers("vitreous run class2", shell))
    assert "class2d" in text
    assert "2D classification" in text


def test_nothing_is_offered_where_there_is_no_project(tmp_path, monkeypatch, offers):
    monkeypatch.chdir(tmp_path)
    assert offers("vitreous show 1") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_printed(call, shell, monkeypatch):
    # The script is that of the shell one sits in; which runs the tests, if any, must not matter.
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, f"/bin/{shell}"))
    said = call("--show-completion")
    assert said.code == 0
    assert "VITREOUS_COMPLETE" in said.out


def test_every_command_has_a_help_text():
    for command in app.registered_commands:
        about = command.help or (command.callback and command.callback.__doc__)
        assert about, command.name
