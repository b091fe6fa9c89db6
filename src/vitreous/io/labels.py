"""What every RELION label means: type, unit, sentence. The table is `labels.tsv`.

The type of a label decides how its column is read and written. A label that is not in the
table is text, so that nothing of a foreign column is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path


class Kind(StrEnum):
    """How the values of a column are kept in memory; the letter is what the kernels use."""

    FLOAT = "d"
    INT = "i"
    BOOL = "b"
    TEXT = "s"
    FLOAT_VECTOR = "D"
    INT_VECTOR = "I"


@dataclass(frozen=True)
class Label:
    """One metadata label.

    Parameters
    ----------
    name
        Without the leading underscore: ``rlnDefocusU``.
    kind
        How its values are kept.
    unit
        ``A``, ``deg``, ``kV``, ...; empty for dimensionless values and text.
    meaning
        One sentence.
    group
        The heading under which documentation lists it.
    versions
        ``4+`` where RELION 3.1 does not know it, ``3.1`` where only that does, else empty.
    """

    name: str
    kind: Kind
    unit: str = ""
    meaning: str = ""
    group: str = ""
    versions: str = ""


_KINDS = {
    "double": Kind.FLOAT,
    "int": Kind.INT,
    "bool": Kind.BOOL,
    "string": Kind.TEXT,
    "unknown": Kind.TEXT,
    "double_vector": Kind.FLOAT_VECTOR,
    "int_vector": Kind.INT_VECTOR,
}

#: The column of what follows ``#`` at the end of a row.
COMMENT = "rlnComment"

#: Old spellings that are read under the new name.
ALIASES = {"rlnKullbackLeibnerDivergence": "rlnKullbackLeiblerDivergence"}


@cache
def all_labels() -> dict[str, Label]:
    """Return every known label by name, in the order of the table."""
    lines = Path(__file__).with_name("labels.tsv").read_text(encoding="utf-8").splitlines()
    found: dict[str, Label] = {}
    for line in lines[1:]:
        name, group, kind, unit, versions, meaning = line.split("\t")
        found[name] = Label(name, _KINDS[kind], unit, meaning, group, versions)
    return found


def describe(name: str) -> Label:
    """Return what is known about a label; an unknown one is text without a meaning."""
    return all_labels().get(name) or Label(name, Kind.TEXT)


def kind_of(name: str) -> Kind:
    """Return how the column of a label is kept in memory."""
    return describe(name).kind
