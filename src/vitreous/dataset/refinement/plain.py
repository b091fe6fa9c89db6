"""Frozen records as plain values for JSON, and back."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


def to_plain(record: object) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return a record as nested mappings, lists, texts and numbers."""
    if isinstance(record, Enum):
        return record.name
    if isinstance(record, tuple):
        return [to_plain(item) for item in record]
    if is_dataclass(record):
        return {item.name: to_plain(getattr(record, item.name)) for item in fields(record)}
    return record


def from_plain(kind: type[T], plain: dict[str, Any]) -> T:
    """Make a record of plain values; fields that are not there keep their defaults."""
    hints = get_type_hints(kind)
    known = {name: value for name, value in plain.items() if name in hints}
    return kind(**{name: _value(hints[name], value) for name, value in known.items()})


def _value(hint: Any, value: Any) -> Any:  # noqa: ANN401 - of any field
    if is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint[value]
    return _frozen(value)


def _frozen(value: Any) -> Any:  # noqa: ANN401 - of any field
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
