"""What a CtfFind job is asked for, checked, in the words of the programs that do it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, cast

from vitreous.engine.ctf_search import Range
from vitreous.errors import OptionError
from vitreous.jobs.ctffind import CtfFind
from vitreous.jobs.declare import Start
from vitreous.programs.extra_flags import Flags

Kind = Literal["own", "ctffind4-old", "ctffind4", "ctffind5", "gctf"]


@dataclass(frozen=True)
class Extra:
    """The additional arguments.

    Parameters
    ----------
    do_at_most
        Micrographs of this run; below 0 for all.
    kind
        Which program estimates.
    gctf_words
        Further arguments of Gctf.
    use_gpu, gpu_ids
        Cards that the built-in estimation or Gctf uses.
    """

    do_at_most: int
    kind: Kind
    gctf_words: str
    use_gpu: bool
    gpu_ids: str


def read_extra(options: CtfFind) -> Extra:
    """Read the additional arguments."""
    found = _flags().read(options.running.other_arguments)
    return Extra(
        found.do_at_most,
        _kind(options.ctffind_program, found),
        found.extra_gctf_options,
        found.gpu is not None,
        found.gpu or "",
    )


def search_range(options: CtfFind) -> Range:
    """Return what is searched.

    Raises
    ------
    OptionError
        Ends of a range are the wrong way round; all that are wrong are told.
    """
    problems = list(options.check(Start()))
    if problems:
        raise OptionError(problems)
    phases = (0.0, 0.0, 10.0)
    if options.fit_phase_shift:
        phases = (
            options.phase_shift_min_deg,
            options.phase_shift_max_deg,
            options.phase_shift_step_deg,
        )
    return Range(
        options.min_defocus_A,
        options.max_defocus_A,
        options.defocus_step_A,
        options.astigmatism_A,
        phases,
        options.exhaustive_search,
    )


def _flags() -> Flags:
    flags = Flags("CtfFind")
    add = flags.add_argument
    add("--do_at_most", type=int, default=-1, metavar="N")
    add("--ctffind_version", choices=["4-old", "4", "5"])
    add("--use_gctf", action="store_true")
    add("--extra_gctf_options", default="", metavar="TEXT")
    add("--gpu", nargs="?", const="", metavar="IDS")
    return flags


def _kind(program: str, found: argparse.Namespace) -> Kind:
    """Tell which program it is, by what was said or by its name."""
    if not program:
        return "own"
    name = PurePath(program).name.lower()
    if found.use_gctf or (found.ctffind_version is None and "gctf" in name):
        return "gctf"
    version = found.ctffind_version or ("5" if "5" in name else "4")
    return cast(Kind, f"ctffind{version}")
