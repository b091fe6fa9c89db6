"""Writing the pipeline file in the forms of RELION 3.1, 4.0 and 5.0 (pipeline.md section 2).

Five blocks in fixed order; an empty one is not written.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vitreous.io.star import Star, format_star
from vitreous.io.star_table import Table
from vitreous.project import node_types, process_types
from vitreous.project import pipeline_columns as cols
from vitreous.project.pipeline import Form, Node, Pipeline

_TABLE_END = " \n"


@dataclass
class _Written:
    """The rows of one block as they were written last."""

    form: Form
    items: list[object] = field(default_factory=list)
    header: str = ""
    rows: str = ""


class RowCache:
    """The text of nodes and edges as written last, so that a change formats only what is new.

    Rows are mostly appended. Whether the earlier ones are the same is seen from the objects
    themselves, which copies of a pipeline share: a change of any kind makes other objects.
    """

    def __init__(self) -> None:
        self._blocks: dict[str, _Written] = {}

    def text(
        self, form: Form, block: str, items: list[object], make: Callable[[list[object]], Table]
    ) -> str:
        """Return the text of a block, formatting those of its `items` that were added.

        Parameters
        ----------
        form
            Which form; another one starts anew.
        block
            Name of the block.
        items
            What its rows show, one object each.
        make
            Makes the table of some of the items.
        """
        if not items:
            return ""
        known = self._blocks.get(block)
        if known is None or known.form != form or not _starts_with(items, known.items):
            known = _Written(form)
        added = items[len(known.items) :]
        if added:
            header, rows = _parts(make(added), form)
            if known.items and header != known.header:
                header, rows = _parts(make(items), form)
                known = _Written(form)
            known = _Written(form, items, header, known.rows + rows)
        self._blocks[block] = known
        return known.header + known.rows + _TABLE_END


def format_pipeline(pipeline: Pipeline, cache: RowCache | None = None) -> str:
    """Return the text of a pipeline file in the form of `pipeline.form`."""
    cache, form = cache or RowCache(), pipeline.form
    general = Table.from_columns(cols.GENERAL, {cols.COUNTER: pipeline.counter}, is_list=True)
    nodes = list(pipeline.nodes.values())
    if cols.NODES in pipeline.kept.columns:
        node_text = _format(_with_kept(_nodes(nodes, form), pipeline, cols.NODE), form)
    else:
        node_text = cache.text(form, cols.NODES, [*nodes], lambda some: _nodes(some, form))
    inputs, outputs = [*pipeline.input_edges], [*pipeline.output_edges]
    blocks = [
        _format(general, form),
        _format(_with_kept(_processes(pipeline), pipeline, cols.NAME), form),
        node_text,
        cache.text(form, cols.INPUT_EDGES, [*inputs], _input_edges),
        cache.text(form, cols.OUTPUT_EDGES, [*outputs], _output_edges),
        *(_format(block, form) for block in pipeline.kept.blocks if isinstance(block, Table)),
    ]
    return "".join(blocks)


def _processes(pipeline: Pipeline) -> Table:
    processes = list(pipeline)
    columns: dict[str, Sequence[object]] = {
        cols.NAME: [process.name for process in processes],
        cols.ALIAS: [process.alias or cols.NONE for process in processes],
    }
    labels = [process.type_label for process in processes]
    if pipeline.form == "3.1":
        columns |= _numbered(labels, cols.TYPE, cols.TYPE_LABEL, process_types.to_number)
        columns[cols.STATUS] = [cols.STATUSES.index(process.status) for process in processes]
    else:
        columns[cols.TYPE_LABEL] = labels
        columns[cols.STATUS_LABEL] = [str(process.status) for process in processes]
    return _table(cols.PROCESSES, columns)


def _nodes(items: Iterable[object], form: Form) -> Table:
    nodes = [node for node in items if isinstance(node, Node)]
    columns: dict[str, Sequence[object]] = {cols.NODE: [node.name for node in nodes]}
    if form == "3.1":
        labels = [node.type_label for node in nodes]
        columns |= _numbered(labels, cols.NODE_TYPE, cols.NODE_LABEL, node_types.to_number)
    else:
        columns[cols.NODE_LABEL] = [node_types.to_form(node.type_label, form) for node in nodes]
    if form == "5.0":
        columns[cols.NODE_DEPTH] = [node.depth for node in nodes]
    return _table(cols.NODES, columns)


def _numbered(
    labels: list[str], number_column: str, label_column: str, to_number: Callable[[str], int]
) -> dict[str, Sequence[object]]:
    """Return the types as RELION 3.1 numbers them.

    One without a number is -1, which RELION 3.1 keeps; its label goes into a second column,
    which RELION 3.1 passes over.
    """
    numbers = [to_number(label) for label in labels]
    named = [
        label if number == cols.UNNUMBERED and label != str(cols.UNNUMBERED) else cols.NONE
        for label, number in zip(labels, numbers, strict=True)
    ]
    return {number_column: numbers} | (
        {label_column: named} if any(n != cols.NONE for n in named) else {}
    )


def _input_edges(items: Iterable[object]) -> Table:
    nodes, processes = _pairs(items)
    return _table(cols.INPUT_EDGES, {cols.EDGE_FROM: nodes, cols.EDGE_PROCESS: processes})


def _output_edges(items: Iterable[object]) -> Table:
    processes, nodes = _pairs(items)
    return _table(cols.OUTPUT_EDGES, {cols.EDGE_PROCESS: processes, cols.EDGE_TO: nodes})


def _pairs(items: Iterable[object]) -> tuple[list[str], list[str]]:
    pairs = [item for item in items if isinstance(item, tuple)]
    return [first for first, _ in pairs], [second for _, second in pairs]


def _table(name: str, columns: Mapping[str, Sequence[object]]) -> Table:
    """Make a table of texts and whole numbers that need no checking: a project may be large."""
    return Table(
        name,
        {
            label: np.array(values, dtype=np.int64 if label in cols.NUMBERS else object)
            for label, values in columns.items()
        },
    )


def _with_kept(table: Table, pipeline: Pipeline, name_label: str) -> Table:
    """Add the unknown columns of the file that was read; rows added since have 0 there."""
    added = {
        label: [values.get(str(name), 0) for name in table[name_label]]
        for label, values in pipeline.kept.columns.get(table.name, {}).items()
    }
    return table.with_columns(added)


def _format(table: Table, form: Form) -> str:
    """Return the text of one block, nothing for an empty one."""
    return format_star(Star([table], version=cols.VERSIONS[form])) if len(table) else ""


def _parts(table: Table, form: Form) -> tuple[str, str]:
    """Return the head of a block, up to its last label, and its rows."""
    text = _format(table, form)
    last_label = f" #{len(table.labels)} \n"
    end = text.index(last_label) + len(last_label)
    return text[:end], text[end : -len(_TABLE_END)]


def _starts_with(items: list[object], first: list[object]) -> bool:
    """Tell whether a list begins with the very same objects as another."""
    return len(first) <= len(items) and all(map(operator.is_, first, items))
