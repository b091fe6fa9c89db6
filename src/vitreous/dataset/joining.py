"""Put the rows of several STAR files of one kind below one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitreous.dataset import columns
from vitreous.dataset.findings import Finding, name_a_few
from vitreous.dataset.optics_tables import (
    GROUP,
    blank,
    main_table,
    merge_optics,
    optics_of,
    renumber,
    require_known_groups,
)
from vitreous.io import Star, Table

SCALE_GROUP, SCALE_GROUP_NUMBER = "rlnGroupName", "rlnGroupNumber"

# A half-set of 0 means nothing to a refinement, which makes half-sets where there is no column.
_ALL_OR_NONE = ("rlnRandomSubset",)


@dataclass(frozen=True)
class Joined:
    """What joining gave.

    Parameters
    ----------
    star
        Optics table and rows.
    label
        Name of the table with the rows.
    findings
        What was merged, filled in, left out.
    """

    star: Star
    table: Table
    findings: tuple[Finding, ...]


def join(stars: Sequence[Star], sources: Sequence[str], label: str, *, force: bool) -> Joined:
    """Join files by rows.

    Parameters
    ----------
    stars, sources
        The files and their names.
    label
        The column that names the images: tells which table holds the rows.
    force
        See `merge_optics`.

    Raises
    ------
    FormatError
        A file is of another kind or has no optics groups.
    InputError
        Optics groups of one name differ.
    """
    tables = [main_table(star, label, name) for star, name in zip(stars, sources, strict=True)]
    optics = [optics_of(star, name) for star, name in zip(stars, sources, strict=True)]
    for table, groups, name in zip(tables, optics, sources, strict=True):
        require_known_groups(table, groups, name)
    merged = merge_optics(optics, sources, force=force)
    renumbered = [
        _follow_groups(table, numbers, is_first=place == 0)
        for place, (table, numbers) in enumerate(zip(tables, merged.numbers, strict=True))
    ]
    rows, findings = union(renumbered, sources)
    return Joined(
        Star([merged.optics, rows], version=stars[0].version),
        rows,
        (*merged.findings, *findings),
    )


def repeated(table: Table, label: str) -> list[str]:
    """Return the values of `label` that stand in more than one row."""
    return columns.repeated(table[label])


def _follow_groups(table: Table, numbers: Mapping[int, int], *, is_first: bool) -> Table:
    """Renumber the optics groups; keep scale groups of different files apart by their names.

    As RELION: rows of the second and later files get the prefix, the numbers of scale groups
    are dropped everywhere because the next refinement makes new ones.
    """
    groups = renumber(table[GROUP], numbers)
    table = table.with_columns({GROUP: groups}).without(SCALE_GROUP_NUMBER)
    if SCALE_GROUP in table and not is_first:
        names = [
            f"optics{group}_{name}"
            for group, name in zip(groups.tolist(), table[SCALE_GROUP].tolist(), strict=True)
        ]
        table = table.with_columns({SCALE_GROUP: names})
    return table


def union(tables: Sequence[Table], sources: Sequence[str]) -> tuple[Table, list[Finding]]:
    """Put tables below one another; each gets the columns of all, empty where it had none."""
    labels = dict.fromkeys(label for table in tables for label in table.labels)
    findings: list[Finding] = []
    for label in list(labels):
        lacking = [name for name, table in zip(sources, tables, strict=True) if label not in table]
        if not lacking:
            continue
        if label in _ALL_OR_NONE:
            del labels[label]
            what = f"{label} is not in all files and is left out; a refinement makes it anew."
        else:
            what = f"{label} is not in all files; rows without it got {_words(blank(label))}."
        findings.append(Finding(what, name_a_few(lacking)))
    filled = [
        Table(
            tables[0].name,
            {
                label: table[label]
                if label in table
                else Table.from_columns("", {label: [blank(label)] * len(table)})[label]
                for label in labels
            },
        )
        for table in tables
    ]
    return Table.concat(filled), findings


def _words(value: object) -> str:
    return "nothing" if isinstance(value, np.ndarray) else f"{value}"
