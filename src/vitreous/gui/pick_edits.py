"""Changes to the picks of one micrograph, each a function from a table to a table."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from vitreous.errors import InputError
from vitreous.gui.models.display import Cell, PickEdit
from vitreous.io import Table
from vitreous.io.labels import Kind, kind_of
from vitreous.programs.picking_session import PickingSession, X, Y

TYPE: Final = "rlnParticleSelectionType"
UNDEFINED: Final = -999.0


def edited(session: PickingSession, name: str, table: Table, edit: PickEdit) -> Table:
    """Return the picks after one change.

    Parameters
    ----------
    session
        Knows what a new pick is like, and whether ends of filaments belong together.
    name
        The micrograph, for messages.
    table
        Its picks.
    edit
        The change.
    """
    if edit.act == "clear":
        return table.select(np.zeros(len(table), bool))
    if edit.act == "add":
        x, y = _place(edit)
        grown = session.with_pick(table, x, y)
        return _typed(grown, [len(table)], edit.type) if edit.type else grown
    if edit.act == "insert":
        return _inserted(session, table, edit)
    if edit.act == "delete" and edit.indices is None and edit.index is None:
        x, y = _place(edit)
        if edit.radius is None:
            raise InputError("to delete picks give their places in the list, or x, y and radius")
        return session.without_near(table, x, y, edit.radius)
    chosen = _indices(edit, len(table), name)
    if edit.act == "delete":
        keep = np.ones(len(table), bool)
        keep[chosen] = False
        return table.select(keep)
    if edit.act == "type":
        if edit.type is None:
            raise InputError("say which type, from 1 to 6")
        return _typed(table, chosen, edit.type)
    x, y = _place(edit)
    xs, ys = table[X].copy(), table[Y].copy()
    xs[chosen], ys[chosen] = x, y
    return table.with_columns({X: xs, Y: ys})


def _inserted(session: PickingSession, table: Table, edit: PickEdit) -> Table:
    """Put rows where they shall stand afterwards; what a row does not say is as of a new pick."""
    places, rows = edit.indices or [], edit.rows or []
    n = len(table) + len(rows)
    if not rows or len(places) != len(rows):
        raise InputError("to insert picks give as many rows as places in the list")
    if len(set(places)) < len(places) or not all(0 <= place < n for place in places):
        raise InputError(f"to insert picks give different places from 0 to {n - 1}")
    grown = table
    for row in rows:
        grown = session.with_pick(grown, *_xy(row)) if grown is table else grown
    labels = list(dict.fromkeys([*grown.labels, *(label for row in rows for label in row)]))
    fresh = {label: grown[label][-1] for label in grown.labels}
    columns = {label: _column(label, table, rows, fresh.get(label)) for label in labels}
    order = np.empty(n, np.int64)
    rest = sorted(set(range(n)) - set(places))
    order[rest] = np.arange(len(table))
    order[places] = np.arange(len(table), n)
    return Table.from_columns(table.name, columns).select(order)


def _column(label: str, table: Table, rows: list[dict[str, Cell]], fresh: object) -> list[Any]:
    """Return a column of the old rows and the new ones, in the type that the label has."""
    kind = kind_of(label)
    known = table.get(label)
    old = [_cast(kind, None, fresh)] * len(table) if known is None else known.tolist()
    return [*old, *(_cast(kind, row.get(label), fresh) for row in rows)]


def _cast(kind: Kind, value: Cell, fresh: object) -> Any:  # noqa: ANN401 - as the label says
    if value is None:
        value = fresh if isinstance(fresh, int | float | str) else None
    try:
        if kind is Kind.FLOAT:
            return UNDEFINED if value is None else float(value)
        if kind is Kind.INT:
            return 0 if value is None else int(value)
    except (ValueError, OverflowError):
        raise InputError(f"a pick has {value!r} where a number is wanted") from None
    return "None" if value is None else str(value)


def _xy(row: dict[str, Cell]) -> tuple[float, float]:
    x, y = row.get(X), row.get(Y)
    if not isinstance(x, int | float) or not isinstance(y, int | float):
        raise InputError(f"each pick to insert needs {X} and {Y}")
    return float(x), float(y)


def _typed(table: Table, chosen: list[int], value: int) -> Table:
    types = np.array(table.get(TYPE, np.ones(len(table), np.int64)))
    types[chosen] = value
    return table.with_columns({TYPE: types})


def _place(edit: PickEdit) -> tuple[float, float]:
    if edit.x is None or edit.y is None:
        raise InputError(f"to {edit.act} a pick give its x and y")
    return edit.x, edit.y


def _indices(edit: PickEdit, n: int, name: str) -> list[int]:
    chosen = list(edit.indices or [])
    if edit.index is not None:
        chosen.append(edit.index)
    if not chosen:
        raise InputError(f"to {edit.act} picks give their places in the list")
    wrong = [one for one in chosen if not 0 <= one < n]
    if wrong:
        raise InputError(f"{name} has {n} picks, there is none at place {wrong[0]}")
    return chosen
