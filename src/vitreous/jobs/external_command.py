"""The command of an External job, word for word as the user's document has it."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Final

from vitreous.errors import EnvironmentMissing, MissingFileError
from vitreous.jobs.declare import Options
from vitreous.jobs.evaluate import to_text

_INPUTS: Final = (
    ("in_mov", "movies"),
    ("in_mic", "mics"),
    ("in_part", "parts"),
    ("in_coords", "coords"),
    ("in_3dref", "3dref"),
    ("in_mask", "mask"),
)
_N_PARAMETERS: Final = 10


def command(options: Options, folder: str) -> str:
    """Return what the shell runs (jobs.md section 7).

    Names of input files are quoted where the shell needs it; program, parameters and further
    arguments are the user's own words and may use what the shell offers.

    Parameters
    ----------
    options
        Options of an External job.
    folder
        Job folder below the project, with its slash.

    Examples
    --------
    ``pick.py --o External/job006/ --in_mics CtfFind/job005/micrographs_ctf.star
    --threshold 0.1 --denoise_first --j 1``
    """
    text = to_text(options)
    program = text["fn_exe"].strip()
    parts = [program, f"--o {folder}"]
    parts += [f"--in_{word} {shlex.quote(text[key])}" for key, word in _INPUTS if text[key]]
    for number in range(1, _N_PARAMETERS + 1):
        label, value = text[f"param{number}_label"], text[f"param{number}_value"]
        if label:
            parts.append(f"--{label} {value}".rstrip())
    parts.append(f"--j {text['nr_threads']}")
    if text["other_args"].strip():
        parts.append(text["other_args"].strip())
    if "relion_" in program:  # a program of RELION's suite needs it to write its exit marker
        parts.append(f"--pipeline_control {folder}")
    return " ".join(parts)


def check_program(options: Options, project: Path) -> None:
    """Refuse a job whose program cannot be started.

    Parameters
    ----------
    options
        Options of an External job.
    project
        The project folder, which the program is looked for in after the search path.

    Raises
    ------
    MissingFileError
        There is no such program.
    EnvironmentMissing
        There is, and it may not be executed.
    """
    text = to_text(options)["fn_exe"].strip()
    word = _first_word(text)
    if not word or any(sign in text for sign in "`$;|&<>("):
        return  # a whole shell line: only the shell knows
    if "/" not in word and to_text(options).get("do_queue") == "Yes":
        return  # the submission script may add to the search path (`module load`)
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), str(project)))
    if "/" in word:
        found = Path(word).expanduser()
        found = found if found.is_absolute() else project / found
    elif shutil.which(word, path=path):
        return
    else:
        found = project / word
    if not found.is_file():
        where = (
            "there is no such file"
            if "/" in word
            else "it is neither in PATH nor in " + str(project)
        )
        raise MissingFileError(
            f"{word}: {where}. Give the External job a program that exists: a name in PATH, or a"
            " path, absolute or from the project folder."
        )
    if not os.access(found, os.X_OK):
        raise EnvironmentMissing(
            f"{found} may not be executed. Allow it with `chmod +x {shlex.quote(str(found))}`, or"
            f" give the interpreter too: `python3 {shlex.quote(word)}`."
        )


def _first_word(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        return ""
    return words[0] if words else ""
