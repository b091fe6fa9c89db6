"""The pipeline as a STAR file in the forms of RELION 3.1, 4.0 and 5.0 (pipeline.md section 2).

Five blocks in fixed order; an empty one is not written. Unknown columns and blocks are kept.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from vitreous.errors import FormatError, ProjectError
from vitreous.io.star import Star, format_star, parse_star
from vitreous.io.star_table import Table
from vitreous.project import node_types, process_types
from vitreous.project.pipeline import Form, Node, Pipeline, Process, Status

GENERAL: Final = "pipeline_general"
PROCESSES: Final = "pipeline_processes"
NODES: Final = "pipeline_nodes"
INPUT_EDGES: Final = "pipeline_input_edges"
OUTPUT_EDGES: Final = "pipeline_output_edges"
_BLOCKS: Final = (GENERAL, PROCESSES, NODES, INPUT_EDGES, OUTPUT_EDGES)

_COUNTER: Final = "rlnPipeLineJobCounter"
_NAME: Final = "rlnPipeLineProcessName"
_ALIAS: Final = "rlnPipeLineProcessAlias"
_TYPE: Final = "rlnPipeLineProcessType"
_TYPE_LABEL: Final = "rlnPipeLineProcessTypeLabel"
_STATUS: Final = "rlnPipeLineProcessStatus"
_STATUS_LABEL: Final = "rlnPipeLineProcessStatusLabel"
_NODE: Final = "rlnPipeLineNodeName"
_NODE_TYPE: Final = "rlnPipeLineNodeType"
_NODE_LABEL: Final = "rlnPipeLineNodeTypeLabel"
_NODE_DEPTH: Final = "rlnPipeLineNodeTypeLabelDepth"
_EDGE_PROCESS: Final = "rlnPipeLineEdgeProcess"
_EDGE_FROM: Final = "rlnPipeLineEdgeFromNode"
_EDGE_TO: Final = "rlnPipeLineEdgeToNode"
_KNOWN: Final = {
    PROCESSES: {_NAME, _ALIAS, _TYPE, _TYPE_LABEL, _STATUS, _STATUS_LABEL},
    NODES: {_NODE, _NODE_TYPE, _NODE_LABEL, _NODE_DEPTH},
}
# RELION and we end each table with this line, also the last one; other writers do not.
_TABLE_END: Final = b"\n \n"
_NONE: Final = "None"
_UNNUMBERED: Final = -1
_NUMBERS: Final = {_TYPE, _STATUS, _NODE_TYPE, _NODE_DEPTH}
_STATUSES: Final = tuple(Status)  # the numbers of RELION 3.1 are the positions
_VERSIONS: Final[dict[Form, int]] = {"3.1": 30001, "4.0": 30001, "5.0": 50001}
_REPAIR: Final = (
    "Nothing was changed. `vitreous repair` puts the newest backup from the job folders back, "
    "or rebuilds the pipeline from the job folders."
)


def parse_pipeline(data: bytes, source: str) -> Pipeline:
    """Read a pipeline from the bytes of its file.

    Parameters
    ----------
    data
        Content of the file.
    source
        Its name, for messages.

    Raises
    ------
    ProjectError
        The content is no pipeline: empty, cut off, not STAR, or a state that is none. The
        message says where and names the repair.
    """
    if not data.strip(b" \t\r\n\0"):
        raise ProjectError(f"{source}: the file is empty. {_REPAIR}")
    if _TABLE_END in data and not _has_end(data):
        raise ProjectError(f"{source}: the file is cut off, its last table has no end. {_REPAIR}")
    try:
        with _no_garbage_collection():
            return from_star(parse_star(data, source))
    except FormatError as error:
        raise ProjectError(f"This is not a whole pipeline file: {error}. {_REPAIR}") from error
    except ProjectError as error:
        raise ProjectError(f"{source}: {error} {_REPAIR}") from error


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the search for cycles: there are none, and it doubles the time of a large project."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _has_end(data: bytes) -> bool:
    """Tell whether an empty line follows the last table: an editor may have taken its blank."""
    text = data.rstrip()
    last_line = text[text.rfind(b"\n") + 1 :]
    return data[len(text) :].count(b"\n") > 1 and not last_line.startswith(b"# version")


def read_pipeline(path: Path) -> Pipeline:
    """Read a pipeline file of any form; see `parse_pipeline`."""
    return parse_pipeline(path.read_bytes(), str(path))


def format_pipeline(pipeline: Pipeline) -> str:
    """Return the text of a pipeline file in the form of `pipeline.form`."""
    return format_star(to_star(pipeline))


# Reading


def from_star(star: Star) -> Pipeline:
    """Turn the blocks of a pipeline file into a graph."""
    if GENERAL not in star or _COUNTER not in star[GENERAL]:
        raise ProjectError(f"there is no block data_{GENERAL} with _{_COUNTER}.")
    for name in _BLOCKS:
        if name in star and not star[name].labels:
            raise ProjectError(f"the block data_{name} has no columns: the file is cut off.")
    pipeline = Pipeline(form=_form(star))
    if PROCESSES in star:
        _read_processes(pipeline, star[PROCESSES])
    if NODES in star:
        _read_nodes(pipeline, star[NODES])
    _read_edges(pipeline, star)
    pipeline.kept.blocks = [table for name, table in star.items() if name not in _BLOCKS]
    _set_counter(pipeline, int(star[GENERAL].value(_COUNTER)))
    return pipeline


def _form(star: Star) -> Form:
    """Tell the form from the columns; the version line decides where there are none."""
    processes, nodes = star.get(PROCESSES), star.get(NODES)
    if (processes is not None and _TYPE in processes) or (
        nodes is not None and _NODE_TYPE in nodes
    ):
        return "3.1"
    if (star.version or 0) >= _VERSIONS["5.0"] or (nodes is not None and _NODE_DEPTH in nodes):
        return "5.0"
    if processes is not None and _TYPE_LABEL in processes:
        return "4.0"
    if nodes is not None and _NODE_LABEL in nodes:
        return "4.0"
    return "3.1"


def _read_processes(pipeline: Pipeline, table: Table) -> None:
    names = _texts(table, _NAME)
    aliases = _texts(table, _ALIAS) if _ALIAS in table else ["None"] * len(names)
    types = _types(table, _TYPE, _TYPE_LABEL, process_types.from_number)
    for name, alias, label, status in zip(names, aliases, types, _statuses(table), strict=True):
        folder = name if name.endswith("/") else f"{name}/"
        if folder in pipeline.processes:
            pipeline.problems.append(f"{folder} is listed twice; the first entry counts.")
            continue
        known_alias = None if alias in {_NONE, ""} else alias
        pipeline.put_process(Process(folder, known_alias, label, status))
    _keep_columns(pipeline, table, _NAME)


def _types(
    table: Table, number_column: str, label_column: str, from_number: Callable[[int], str]
) -> list[str]:
    """Return the labels of a table; where it has both columns the label is the finer one."""
    if number_column not in table:
        return _texts(table, label_column)
    numbers = [from_number(int(number)) for number in _column(table, number_column)]
    if label_column not in table:
        return numbers
    labels = _texts(table, label_column)
    return [n if label == _NONE else label for n, label in zip(numbers, labels, strict=True)]


def _statuses(table: Table) -> list[Status]:
    if _STATUS_LABEL in table:
        words = {str(status): status for status in Status}
        found = _texts(table, _STATUS_LABEL)
        wrong = sorted({word for word in found if word not in words})
        if wrong:
            raise ProjectError(
                f"data_{PROCESSES}: the state {', '.join(map(repr, wrong))} is none of "
                f"{', '.join(words)}."
            )
        return [words[word] for word in found]
    numbers = [int(number) for number in _column(table, _STATUS)]
    unknown = sorted({n for n in numbers if not 0 <= n < len(_STATUSES)})
    if unknown:
        raise ProjectError(f"data_{PROCESSES}: the state {unknown[0]} is not a number from 0 to 4.")
    return [_STATUSES[number] for number in numbers]


def _read_nodes(pipeline: Pipeline, table: Table) -> None:
    names = _texts(table, _NODE)
    found = _types(table, _NODE_TYPE, _NODE_LABEL, node_types.from_number)
    labels = [node_types.to_form(label, "5.0") for label in found]
    depths = (
        [int(d) for d in _column(table, _NODE_DEPTH)] if _NODE_DEPTH in table else [1] * len(names)
    )
    pipeline.nodes = {
        name: Node(name, label, depth)
        for name, label, depth in zip(names, labels, depths, strict=True)
    }
    if len(pipeline.nodes) < len(names):
        pipeline.problems.append(
            f"data_{NODES}: {len(names) - len(pipeline.nodes)} names are listed twice; "
            f"the last entry counts."
        )
    _keep_columns(pipeline, table, _NODE)


def _read_edges(pipeline: Pipeline, star: Star) -> None:
    inputs = _edges(star, INPUT_EDGES, _EDGE_FROM, _EDGE_PROCESS)
    outputs = _edges(star, OUTPUT_EDGES, _EDGE_PROCESS, _EDGE_TO)
    nodes, processes = pipeline.nodes, pipeline.processes
    whole_inputs = [(n, p) for n, p in inputs if n in nodes and p in processes]
    whole_outputs = [(p, n) for p, n in outputs if n in nodes and p in processes]
    lost = (set(inputs) - set(whole_inputs)) | (set(outputs) - set(whole_outputs))
    if lost:
        first, second = sorted(lost)[0]
        pipeline.problems.append(
            f"{len(lost)} edges without a job or a node were left out, such as {first} -> {second}."
        )
    pipeline.connect(inputs=whole_inputs, outputs=whole_outputs)


def _edges(star: Star, block: str, first: str, second: str) -> list[tuple[str, str]]:
    if block not in star:
        return []
    return list(zip(_texts(star[block], first), _texts(star[block], second), strict=True))


def _set_counter(pipeline: Pipeline, counter: int) -> None:
    """Believe the counter of the file, unless a job has that number or a higher one."""
    if counter < pipeline.counter:
        pipeline.problems.append(
            f"The next job number is {counter}, but job {pipeline.counter - 1} exists; "
            f"{pipeline.counter} is used."
        )
    pipeline.counter = max(counter, pipeline.counter)


def _keep_columns(pipeline: Pipeline, table: Table, name_label: str) -> None:
    unknown = [label for label in table.labels if label not in _KNOWN[table.name]]
    if unknown:
        names = _texts(table, name_label)
        pipeline.kept.columns[table.name] = {
            label: dict(zip(names, table[label].tolist(), strict=True)) for label in unknown
        }


def _column(table: Table, label: str) -> Iterable[float]:
    if label not in table:
        raise ProjectError(f"data_{table.name} has no column _{label}.")
    found: Iterable[float] = table[label].tolist()
    return found


def _texts(table: Table, label: str) -> list[str]:
    if label not in table:
        raise ProjectError(f"data_{table.name} has no column _{label}.")
    found: list[str] = table[label].tolist()
    return found


# Writing


def to_star(pipeline: Pipeline) -> Star:
    """Turn a graph into the blocks of its file; empty ones are left out."""
    general = Table.from_columns(GENERAL, {_COUNTER: pipeline.counter}, is_list=True)
    tables = [
        general,
        *filter(len, (_processes(pipeline), _nodes(pipeline), *_edge_tables(pipeline))),
    ]
    kept = [block for block in pipeline.kept.blocks if isinstance(block, Table)]
    return Star([*tables, *kept], version=_VERSIONS[pipeline.form])


def _processes(pipeline: Pipeline) -> Table:
    processes = list(pipeline)
    columns: dict[str, Sequence[object]] = {
        _NAME: [process.name for process in processes],
        _ALIAS: [process.alias or _NONE for process in processes],
    }
    if pipeline.form == "3.1":
        labels = [process.type_label for process in processes]
        columns |= _numbered(labels, _TYPE, _TYPE_LABEL, process_types.to_number)
        columns[_STATUS] = [_STATUSES.index(process.status) for process in processes]
    else:
        columns[_TYPE_LABEL] = [process.type_label for process in processes]
        columns[_STATUS_LABEL] = [str(process.status) for process in processes]
    return _with_kept(PROCESSES, columns, pipeline.kept.columns, _NAME)


def _nodes(pipeline: Pipeline) -> Table:
    nodes = list(pipeline.nodes.values())
    columns: dict[str, Sequence[object]] = {_NODE: [node.name for node in nodes]}
    if pipeline.form == "3.1":
        labels = [node.type_label for node in nodes]
        columns |= _numbered(labels, _NODE_TYPE, _NODE_LABEL, node_types.to_number)
    else:
        columns[_NODE_LABEL] = [node_types.to_form(n.type_label, pipeline.form) for n in nodes]
    if pipeline.form == "5.0":
        columns[_NODE_DEPTH] = [node.depth for node in nodes]
    return _with_kept(NODES, columns, pipeline.kept.columns, _NODE)


def _numbered(
    labels: list[str], number_column: str, label_column: str, to_number: Callable[[str], int]
) -> dict[str, Sequence[object]]:
    """Return the types as RELION 3.1 numbers them.

    One without a number is -1, which RELION 3.1 keeps; its label goes into a second column,
    which RELION 3.1 passes over.
    """
    numbers = [to_number(label) for label in labels]
    named = [
        label if number == _UNNUMBERED and label != str(_UNNUMBERED) else _NONE
        for label, number in zip(labels, numbers, strict=True)
    ]
    return {number_column: numbers} | (
        {label_column: named} if any(n != _NONE for n in named) else {}
    )


def _edge_tables(pipeline: Pipeline) -> tuple[Table, Table]:
    inputs, outputs = pipeline.input_edges, pipeline.output_edges
    return (
        _table(
            INPUT_EDGES, {_EDGE_FROM: [n for n, _ in inputs], _EDGE_PROCESS: [p for _, p in inputs]}
        ),
        _table(
            OUTPUT_EDGES,
            {_EDGE_PROCESS: [p for p, _ in outputs], _EDGE_TO: [n for _, n in outputs]},
        ),
    )


def _table(name: str, columns: Mapping[str, Sequence[object]]) -> Table:
    """Make a table of texts and whole numbers that need no checking: a project may be large."""
    return Table(
        name,
        {
            label: np.array(values, dtype=np.int64 if label in _NUMBERS else object)
            for label, values in columns.items()
        },
    )


def _with_kept(
    block: str,
    columns: Mapping[str, Sequence[object]],
    kept: Mapping[str, Mapping[str, Mapping[str, object]]],
    name_label: str,
) -> Table:
    """Add the unknown columns of the file that was read; rows added since have 0 there."""
    added = {
        label: [values.get(str(name), 0) for name in columns[name_label]]
        for label, values in kept.get(block, {}).items()
    }
    return _table(block, columns).with_columns(added)
