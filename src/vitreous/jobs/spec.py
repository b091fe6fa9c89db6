"""What one option of a job type is: its name, its text, its limits, when it applies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["boolean", "slider", "text", "radio", "file", "node"]
OnContinue: TypeAlias = Literal["free", "locked", "only"]
Value: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class OptionSpec:
    """One option of a job type, everything that a form, a flag or a file needs to know.

    Parameters
    ----------
    name, key
        Our name, and RELION's name, which is the one in ``job.star``.
    value_type
        Python type of the value: ``bool``, ``int``, ``float`` or ``str``.
    label, relion_label
        What we call it on screen; what RELION does, which is a key in old ``run.job`` files.
    help
        What the option is for and which values are usual, in full sentences.
    tab, row
        Tab of the form; heading of the line that it shares with its neighbours, if it does.
    default, required
        Value of a new job; whether the job cannot run without being given one.
    optional
        Whether ``None`` (an empty text in files) is a value.
    low, high, step
        What a form suggests. Values outside only warn.
    at_least, at_most
        What is refused below or above, because it cannot work.
    when
        Names of options joined by ``and``, ``or``, ``not``: this option has an effect while it
        holds. Empty: always.
    choices
        The values of a choice; empty for other kinds.
    reads
        Node type of the file, or empty; any node with the same first part fits.
    pattern, directory
        Filter and start of a file browser; no pattern means that it is not a file.
    off
        Number that switches the option off or asks for an automatic value; it never warns.
    on_continue
        Whether the option is ``free`` in a continued job, ``locked``, or there ``only``.
    default_env, high_env
        Environment variables that replace the default and the upper limit in new jobs.
    group
        Field of the declaration that holds it, for an option of a shared tab.
    """

    name: str
    key: str
    value_type: type
    label: str
    help: str
    tab: str
    default: Value
    relion_label: str
    row: str = ""
    required: bool = False
    optional: bool = False
    low: float | None = None
    high: float | None = None
    step: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    when: str = ""
    choices: tuple[str, ...] = ()
    reads: str = ""
    pattern: str | None = None
    directory: str = ""
    off: float | None = None
    on_continue: OnContinue = "locked"
    default_env: str = ""
    high_env: str = ""
    group: str = ""

    @property
    def kind(self) -> Kind:
        """How RELION shows it, which follows from what is known of the value."""
        if self.value_type is bool:
            return "boolean"
        if self.choices:
            return "radio"
        if self.reads:
            return "node"
        if self.pattern is not None:
            return "file"
        return "slider" if self.low is not None else "text"

    @property
    def is_file(self) -> bool:
        """Whether the value names a file."""
        return self.kind in ("file", "node")
