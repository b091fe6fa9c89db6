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
            raise TypeError(
                f"{ast.unparse(node)!r} cannot stand in a rule; "
                "write option names joined by and, or, not"
            )
