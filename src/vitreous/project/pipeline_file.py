"""Reading the pipeline file in the forms of RELION 3.1, 4.0 and 5.0 (pipeline.md section 2).

Blocks are looked up by name. Unknown columns and blocks are kept, to be written back.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from vitreous.errors import FormatError, ProjectError
from vitreous.io.star import Star, parse_star
from vitreous.io.star_table import Table
from vitreous.project import node_types, process_types
from vitreous.project import pipeline_columns as cols
from vitreous.project.pipeline import Form, Node, Pipeline, Process, Status

# RELION and we end each table with this line, also the last one; other writers do not.
_TABLE_END: Final = b"\n \n"
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


def from_star(star: Star) -> Pipeline:
    """Turn the blocks of a pipeline file into a graph."""
    if cols.GENERAL not in star or cols.COUNTER not in star[cols.GENERAL]:
        raise ProjectError(f"there is no block data_{cols.GENERAL} with _{cols.COUNTER}.")
    for name in cols.BLOCKS:
        if name in star and not star[name].labels:
            raise ProjectError(f"the block data_{name} has no columns: the file is cut off.")
    pipeline = Pipeline(form=_form(star))
    if cols.PROCESSES in star:
        _read_processes(pipeline, star[cols.PROCESSES])
    if cols.NODES in star:
        _read_nodes(pipeline, star[cols.NODES])
    _read_edges(pipeline, star)
    pipeline.kept.blocks = [table for name, table in star.items() if name not in cols.BLOCKS]
    _set_counter(pipeline, int(star[cols.GENERAL].value(cols.COUNTER)))
    return pipeline


def _form(star: Star) -> Form:
    """Tell the form from the columns; the version line decides where there are none."""
    processes, nodes = star.get(cols.PROCESSES), star.get(cols.NODES)
    if (processes is not None and cols.TYPE in processes) or (
        nodes is not None and cols.NODE_TYPE in nodes
    ):
        return "3.1"
    if (star.version or 0) >= cols.VERSIONS["5.0"] or (
        nodes is not None and cols.NODE_DEPTH in nodes
    ):
        return "5.0"
    if processes is not None and cols.TYPE_LABEL in processes:
        return "4.0"
    if nodes is not None and cols.NODE_LABEL in nodes:
        return "4.0"
    return "3.1"


def _read_processes(pipeline: Pipeline, table: Table) -> None:
    names = _texts(table, cols.NAME)
    aliases = _texts(table, cols.ALIAS) if cols.ALIAS in table else ["None"] * len(names)
    types = _types(table, cols.TYPE, cols.TYPE_LABEL, process_types.from_number)
    for name, alias, label, status in zip(names, aliases, types, _statuses(table), strict=True):
        folder = name if name.endswith("/") else f"{name}/"
        if folder in pipeline.processes:
            pipeline.problems.append(f"{folder} is listed twice; the first entry counts.")
            continue
        known_alias = None if alias in {cols.NONE, ""} else alias
        pipeline.put_process(Process(folder, known_alias, label, status))
    _keep_columns(pipeline, table, cols.NAME)


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
    return [n if label == cols.NONE else label for n, label in zip(numbers, labels, strict=True)]


def _statuses(table: Table) -> list[Status]:
    if cols.STATUS_LABEL in table:
        words = {str(status): status for status in Status}
        found = _texts(table, cols.STATUS_LABEL)
        wrong = sorted({word for word in found if word not in words})
        if wrong:
            raise ProjectError(
                f"data_{cols.PROCESSES}: the state {', '.join(map(repr, wrong))} is none of "
                f"{', '.join(words)}."
            )
        return [words[word] for word in found]
    numbers = [int(number) for number in _column(table, cols.STATUS)]
    unknown = sorted({n for n in numbers if not 0 <= n < len(cols.STATUSES)})
    if unknown:
        raise ProjectError(
            f"data_{cols.PROCESSES}: the state {unknown[0]} is not a number from 0 to 4."
        )
    return [cols.STATUSES[number] for number in numbers]


def _read_nodes(pipeline: Pipeline, table: Table) -> None:
    names = _texts(table, cols.NODE)
    found = _types(table, cols.NODE_TYPE, cols.NODE_LABEL, node_types.from_number)
    labels = [node_types.to_form(label, "5.0") for label in found]
    depths = (
        [int(d) for d in _column(table, cols.NODE_DEPTH)]
        if cols.NODE_DEPTH in table
        else [1] * len(names)
    )
    pipeline.nodes = {
        name: Node(name, label, depth)
        for name, label, depth in zip(names, labels, depths, strict=True)
    }
    if len(pipeline.nodes) < len(names):
        pipeline.problems.append(
            f"data_{cols.NODES}: {len(names) - len(pipeline.nodes)} names are listed twice; "
            f"the last entry counts."
        )
    _keep_columns(pipeline, table, cols.NODE)


def _read_edges(pipeline: Pipeline, star: Star) -> None:
    inputs = _edges(star, cols.INPUT_EDGES, cols.EDGE_FROM, cols.EDGE_PROCESS)
    outputs = _edges(star, cols.OUTPUT_EDGES, cols.EDGE_PROCESS, cols.EDGE_TO)
    nodes, processes = pipeline.nodes, pipeline.processes
    whole_inputs = [edge for edge in inputs if edge[0] in nodes and edge[1] in processes]
    whole_outputs = [edge for edge in outputs if edge[1] in nodes and edge[0] in processes]
    n_lost = len(inputs) - len(whole_inputs) + len(outputs) - len(whole_outputs)
    if n_lost:
        lost = (set(inputs) - set(whole_inputs)) | (set(outputs) - set(whole_outputs))
        first, second = min(lost)
        pipeline.problems.append(
            f"{n_lost} edges without a job or a node were left out, such as {first} -> {second}."
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
    unknown = [label for label in table.labels if label not in cols.KNOWN[table.name]]
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
