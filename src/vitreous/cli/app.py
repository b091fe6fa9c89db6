"""The command tree, its help page, and what becomes of errors."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vitreous._version import __version__
from vitreous.cli import (
    bfactor_plot,
    demo,
    describe,
    gui,
    machine,
    manage,
    report,
    run,
    sharing,
    tools,
)
from vitreous.cli.output import warn
from vitreous.errors import (
    ComputeError,
    EnvironmentMissing,
    LockedError,
    OptionError,
    VitreousError,
)

DEBUG = "VITREOUS_DEBUG"


class _Sections(TyperGroup):
    """A group whose help page lists the commands under headings."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's private types
        """Write each command with its first sentence, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            heading = getattr(command, "rich_help_panel", None) or "Commands"
            sections.setdefault(str(heading), []).append((name, command.get_short_help_str(90)))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


app = typer.Typer(
    name="vitreous",
    cls=_Sections,
    help="Determine structures from cryo-EM movies, in projects that RELION can read.",
    epilog="JOB is a path, an alias or a number (12, job012). Set VITREOUS_DEBUG=1 to see where"
    " an error comes from.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vitreous {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    del version


for section in (demo, gui, run, bfactor_plot, report, describe, manage, sharing, machine, tools):
    section.register(app)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line.

    Parameters
    ----------
    arguments
        The words after `vitreous`.

    Returns
    -------
    int
        0 where the work is done, 1 where it failed, 2 where the input cannot work.
    """
    try:
        app(args=list(arguments), prog_name="vitreous")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (VitreousError, OSError) as error:
        return _tell(error)
    except Exception as error:  # noqa: BLE001 - the top: a fault of ours is told like any other
        return _tell_fault(error)
    return 0


def _tell(error: VitreousError | OSError) -> int:
    """Print an error without its traceback and return the exit code that it deserves."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    if isinstance(error, OptionError):
        _tell_problems(error)
    else:
        print(f"vitreous: {_words(error)}", file=sys.stderr)
    failed = isinstance(error, ComputeError | EnvironmentMissing | LockedError)
    return 1 if failed or not isinstance(error, VitreousError) else 2


def _words(error: VitreousError | OSError) -> str:
    """Return a message in our form: where, then what the system said."""
    if isinstance(error, VitreousError) or not (error.filename and error.strerror):
        return str(error)
    return f"{error.filename}: {error.strerror}"


def _tell_fault(error: Exception) -> int:
    """Say that something is wrong in vitreous itself."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    print(
        f"vitreous: a fault in vitreous itself ({type(error).__name__}: {error}). Please report "
        f"it with what {DEBUG}=1 shows.",
        file=sys.stderr,
    )
    return 1


def _tell_problems(error: OptionError) -> None:
    wrong = [problem for problem in error.problems if problem.severity == "error"]
    if len(wrong) == 1:
        print(f"vitreous: {wrong[0]}", file=sys.stderr)
    else:
        print(f"vitreous: {len(wrong)} things stand in the way:", file=sys.stderr)
        for problem in wrong:
            print(f"  - {problem}", file=sys.stderr)
    for problem in error.problems:
        if problem.severity == "warning":
            warn(str(problem))
