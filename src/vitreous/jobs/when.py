"""Rules such as ``not fit_magnification and fit_ctf``: when an option has an effect."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache


@cache
def names(rule: str) -> frozenset[str]:
    """Return the option names that a rule mentions."""
    return frozenset(node.id for node in ast.walk(_tree(rule)) if isinstance(node, ast.Name))


def holds(rule: str, value_of: Callable[[str], object]) -> bool:
    """Tell whether a rule holds; an empty rule always does.

    Parameters
    ----------
    rule
        Option names joined by ``and``, ``or``, ``not`` and brackets.
    value_of
        Gives the value of the option with a name.
    """
    return not rule or _evaluate(_tree(rule), value_of)


def as_data(rule: str) -> dict[str, object]:
    """Return a rule as plain data, for whoever cannot read Python: a form in a browser.

    Parameters
    ----------
    rule
        As of `holds`, not empty.

    Returns
    -------
    dict
        ``{"all": [...]}``, ``{"any": [...]}``, or ``{"key": name, "equals": True or False}``:
        whether the option is on. ``not`` is moved down to the names.
    """
    return _as_data(_tree(rule), is_on=True)


def _as_data(node: ast.expr, *, is_on: bool) -> dict[str, object]:
    match node:
        case ast.Name(id=name):
            return {"key": name, "equals": is_on}
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _as_data(operand, is_on=not is_on)
        case ast.BoolOp(op=op, values=values):
            together = isinstance(op, ast.And) == is_on
            parts = [_as_data(value, is_on=is_on) for value in values]
            return {"all" if together else "any": parts}
        case _:
            raise _misplaced(node)


@cache
def _tree(rule: str) -> ast.expr:
    return ast.parse(rule, mode="eval").body


def _evaluate(node: ast.expr, value_of: Callable[[str], object]) -> bool:
    match node:
        case ast.Name(id=name):
            return bool(value_of(name))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _evaluate(operand, value_of)
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_evaluate(value, value_of) for value in values)
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(_evaluate(value, value_of) for value in values)
        case _:
            raise _misplaced(node)


def _misplaced(node: ast.expr) -> TypeError:
    return TypeError(
        f"{ast.unparse(node)!r} cannot stand in a rule; write option names joined by and, or, not"
    )
