"""Options that RELION 3 spelt otherwise: what they mean today, and back for form 3.1.

2D classification had one algorithm and one number of iterations; picking was with templates
unless the Laplacian was chosen; a program for the CTF had to be chosen too.
"""

from __future__ import annotations

from collections.abc import Mapping

_ITERATIONS = "Number of iterations:"  # of a run.job, which has the text on screen as key


def to_today(word: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Translate the texts of a RELION 3 file.

    Parameters
    ----------
    word
        The job type.
    texts
        Text by key, as read.
    """
    today = dict(texts)
    if word == "class2d":
        if "do_em" not in today:
            today.update(do_em="Yes", do_grad="No")
        for old in {"nr_iter", _ITERATIONS} & set(today):
            today.setdefault("nr_iter_em", today.pop(old))
    if word == "autopick" and "do_refs" not in today:
        today["do_refs"] = "No" if today.get("do_log") == "Yes" else "Yes"
    if word == "ctffind" and today.get("use_ctffind4") == "Yes":
        del today["use_ctffind4"]
    return today


def to_form_3_1(word: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Add what RELION 3.1 needs to understand the texts; it passes over what it does not know."""
    old = dict(texts)
    if word == "class2d":
        old["nr_iter"] = old["nr_iter_em"]
    if word == "ctffind" and old.get("use_gctf") != "Yes":
        old["use_ctffind4"] = "Yes"
    return old
