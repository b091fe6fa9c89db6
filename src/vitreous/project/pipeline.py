"""The graph of a project in memory: jobs, the files between them, and the edges.

A bipartite directed graph: job -> node (output) and node -> job (input). No file is read or
written here; `pipeline_file` turns it into STAR and back, `folder` keeps it on disk.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Literal

from vitreous.errors import ProjectError

Form = Literal["3.1", "4.0", "5.0"]

_JOB_NUMBER: Final = re.compile(r"(?:^|/)job(\d{3,})/?$")
_SLASHES: Final = re.compile(r"/{2,}")
_JOB_PREFIX: Final = re.compile(r"^(?:.*?/)?job\d{3,}/")


class Status(StrEnum):
    """State of a job, spelled as RELION 4 and 5 write it.

    A new job is running or scheduled; a scheduled one begins to run; a running one succeeds,
    fails or is aborted, as its exit marker says, or is marked by hand; any that ended or is
    scheduled runs again when it is continued; autorun schedules a succeeded one again.
    """

    RUNNING = "Running"
    SCHEDULED = "Scheduled"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ABORTED = "Aborted"

    @property
    def is_finished(self) -> bool:
        """Whether the job ended, well or not."""
        return self not in {Status.RUNNING, Status.SCHEDULED}


@dataclass(frozen=True, slots=True)
class Process:
    """One job.

    Parameters
    ----------
    name
        Folder with a trailing slash, relative to the project: ``Class2D/job007/``.
    alias
        None, or ``Class2D/good/``.
    type_label
        Such as ``relion.class2d.helical``; unknown types are kept as they were found.
    status
        State as the pipeline knows it.
    """

    name: str
    alias: str | None
    type_label: str
    status: Status

    @property
    def number(self) -> int:
        """Job number, or -1 where the folder is not called ``jobNNN``."""
        return job_number(self.name)

    @property
    def type_folder(self) -> str:
        """Folder above the job's own, such as ``Class2D``."""
        return self.name.rstrip("/").rpartition("/")[0]

    @property
    def shown_name(self) -> str:
        """Alias if there is one, else the name."""
        return self.alias or self.name


@dataclass(frozen=True, slots=True)
class Node:
    """One file that a job makes or reads.

    Parameters
    ----------
    name
        Path relative to the project.
    type_label
        Such as ``ParticleGroupMetadata.star.relion.class2d`` (form of RELION 5).
    depth
        How many levels of the label are mirrored in ``.Nodes``.
    """

    name: str
    type_label: str
    depth: int = 1


@dataclass
class Kept:
    """What a pipeline file held that we do not use and write back.

    Parameters
    ----------
    columns
        Unknown columns by table (``processes``, ``nodes``): label -> row name -> value.
    blocks
        Whole unknown blocks, in order, as the STAR reader gave them.
    """

    columns: dict[str, dict[str, dict[str, object]]] = field(default_factory=dict)
    blocks: list[object] = field(default_factory=list)

    def copy(self) -> Kept:
        """Return a copy; the values themselves are never changed and are shared."""
        columns = {
            table: {label: dict(values) for label, values in labels.items()}
            for table, labels in self.columns.items()
        }
        return Kept(columns, list(self.blocks))


@dataclass
class Pipeline:
    """Jobs, nodes and edges. Mutable; changes reach the disk only through `ProjectFolder.edit`.

    Parameters
    ----------
    form
        How the file is written: RELION 3.1, 4.0 or 5.0.
    counter
        Number of the next job.
    processes, nodes
        By name, in the order of the file. Change them through the methods.
    number_is_taken
        Tells whether a number is in use outside this graph (a folder on disk).
    problems
        What was wrong in the file it was read from and could be survived.
    added
        Jobs that `add_process` made since it was read or copied.
    """

    form: Form = "5.0"
    counter: int = 1
    processes: dict[str, Process] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    number_is_taken: Callable[[int], bool] = field(
        default=lambda _number: False, repr=False, compare=False
    )
    problems: list[str] = field(default_factory=list, compare=False)
    added: list[str] = field(default_factory=list, compare=False)
    kept: Kept = field(default_factory=Kept, compare=False)
    input_edges: dict[tuple[str, str], None] = field(default_factory=dict, repr=False)
    output_edges: dict[tuple[str, str], None] = field(default_factory=dict, repr=False)
    _inputs: dict[str, dict[str, None]] = field(default_factory=dict, repr=False, compare=False)
    _outputs: dict[str, dict[str, None]] = field(default_factory=dict, repr=False, compare=False)
    _consumers: dict[str, dict[str, None]] = field(default_factory=dict, repr=False, compare=False)
    _producer: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _named: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    # Asking

    def __iter__(self) -> Iterator[Process]:
        """Iterate over the jobs in the order of the file."""
        return iter(self.processes.values())

    def find(self, ref: str | int) -> Process:
        """Return the job that a person means.

        Parameters
        ----------
        ref
            Path with or without slash, alias with or without its folder, or number:
            ``"Class2D/job007"``, ``"Class2D/good"``, ``"good"``, ``7``, ``"7"``, ``"job007"``.

        Raises
        ------
        ProjectError
            No job or several jobs fit; the message names the nearest.
        """
        text = str(ref).strip()
        path = text.removeprefix("./").rstrip("/") + "/"
        if path in self.processes:
            return self.processes[path]
        unpadded = re.fullmatch(r"(.+)/job(\d+)/", path)
        if unpadded and (name := job_folder(unpadded[1], int(unpadded[2]))) in self.processes:
            return self.processes[name]
        number = re.fullmatch(r"(?:job)?(\d+)/", path)
        fits = [p for p in self if number and p.number == int(number[1])]
        if not fits:
            fits = [p for p in self if p.alias == path]
        if not fits:
            fits = [p for p in self if p.alias and p.alias.split("/", 1)[1] == path]
        if len(fits) == 1:
            return fits[0]
        if fits:
            names = ", ".join(p.name for p in fits)
            raise ProjectError(f"'{text}' fits several jobs: {names}. Give the whole path.")
        raise ProjectError(self._not_found(text))

    def inputs(self, name: str) -> list[Node]:
        """Return the nodes that a job reads."""
        return [self.nodes[node] for node in self._inputs.get(name, ())]

    def outputs(self, name: str) -> list[Node]:
        """Return the nodes that a job makes."""
        return [self.nodes[node] for node in self._outputs.get(name, ())]

    def producer(self, node_name: str) -> str | None:
        """Return the job that makes a node, or None where it came from outside."""
        return self._producer.get(node_name)

    def consumers(self, node_name: str) -> list[str]:
        """Return the jobs that read a node."""
        return list(self._consumers.get(node_name, ()))

    def parents(self, name: str) -> list[str]:
        """Return the jobs whose output a job reads, each once."""
        found = (self._producer.get(node) for node in self._inputs.get(name, ()))
        return list(dict.fromkeys(parent for parent in found if parent))

    def children(self, name: str) -> list[str]:
        """Return the jobs that read an output of a job, each once."""
        outputs = self._outputs.get(name, ())
        return list(dict.fromkeys(c for node in outputs for c in self._consumers.get(node, ())))

    def descendants(self, names: Iterable[str]) -> list[str]:
        """Return the jobs given and all that depend on them, in the order of the file."""
        waiting = list(names)
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.children(name))
        return [name for name in self.processes if name in found]

    def resolve(self, path: str) -> str:
        """Return a path in the form it is stored in: no ``./``, an alias turned into ``jobNNN``."""
        path = _SLASHES.sub("/", path) if "//" in path else path
        while path.startswith("./"):
            path = path[2:]
        parts = path.split("/", 2)
        name = self._named.get("/".join(parts[:2]) + "/") if len(parts) > 2 else None
        return f"{name}{parts[2]}" if name else path

    # Changing

    def add_process(
        self,
        folder: str,
        type_label: str,
        status: Status,
        alias: str | None = None,
        *,
        number: int | None = None,
    ) -> Process:
        """Add a job; it takes the next number, or `number` where one is used again.

        Parameters
        ----------
        folder
            Folder of the type, such as ``Class2D``.
        type_label, status, alias
            See `Process`.
        number
            Only for overwriting a job: its number. The counter stays, it is always above the
            highest number.
        """
        if number is None:
            while self.number_is_taken(self.counter):
                self.counter += 1
            number = self.counter
        self.counter = max(self.counter, number + 1)
        name = job_folder(folder, number)
        if name in self.processes:
            raise ProjectError(f"{name} exists already in the pipeline; delete it first.")
        process = Process(name, alias, type_label, Status(status))
        self._put(process)
        self.added.append(name)
        return process

    def put_process(self, process: Process) -> None:
        """Add a job that has its name already (from Trash, a folder or another file)."""
        self._put(process)
        self.counter = max(self.counter, process.number + 1)

    def set_status(self, name: str, status: Status) -> Process:
        """Set the state of a job."""
        return self._change(name, status=Status(status))

    def set_alias(self, name: str, alias: str | None) -> Process:
        """Set the alias (``Type/alias/`` or None) of a job; `aliases` checks what is allowed."""
        return self._change(name, alias=alias)

    def set_type(self, name: str, type_label: str) -> Process:
        """Set the type label of a job (its suffixes may change when it is continued)."""
        return self._change(name, type_label=type_label)

    def add_node(self, node_name: str, type_label: str, depth: int = 1) -> Node:
        """Add a node or return the one of that name."""
        node_name = self.resolve(node_name)
        return self.nodes.setdefault(node_name, Node(node_name, type_label, depth))

    def add_input(self, process: str, node_name: str, type_label: str) -> Node:
        """Let a job read a node.

        A new node that lies in the folder of a job becomes an output of that job.
        """
        self._need(process)
        is_new = self.resolve(node_name) not in self.nodes
        node = self.add_node(node_name, type_label)
        owner = _JOB_PREFIX.match(node.name)
        if is_new and owner and owner[0] in self.processes and owner[0] != process:
            self.connect(outputs=[(owner[0], node.name)])
        self.connect(inputs=[(node.name, process)])
        return node

    def add_output(self, process: str, node_name: str, type_label: str, depth: int = 1) -> Node:
        """Let a job make a node. A node has one producer: the first one stays."""
        self._need(process)
        node = self.add_node(node_name, type_label, depth)
        if node.name not in self._producer:
            # Whoever makes the file knows best what it is.
            node = self.nodes[node.name] = Node(node.name, type_label, depth)
        if self._producer.get(node.name, process) == process:
            self.connect(outputs=[(process, node.name)])
        return node

    def connect(
        self,
        *,
        inputs: Iterable[tuple[str, str]] = (),
        outputs: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Add many edges at once: (node, job) and (job, node). The ends must exist."""
        for edge in inputs:
            node, process = edge
            self.input_edges[edge] = None
            self._inputs.setdefault(process, {})[node] = None
            self._consumers.setdefault(node, {})[process] = None
        for edge in outputs:
            process, node = edge
            self.output_edges[edge] = None
            self._outputs.setdefault(process, {})[node] = None
            self._producer.setdefault(node, process)

    def remove(self, names: str | Iterable[str]) -> None:
        """Remove jobs, their edges, and every node that no job makes or reads any more.

        Nodes that were made by a removed job and are still read by another one stay.
        """
        gone = {names} if isinstance(names, str) else set(names)
        for name in gone:
            self._need(name)
        touched = dict.fromkeys(
            node
            for name in gone
            for node in (*self._inputs.get(name, ()), *self._outputs.get(name, ()))
        )
        self.processes = {n: p for n, p in self.processes.items() if n not in gone}
        self._named = {alias: name for alias, name in self._named.items() if name not in gone}
        self._keep_edges(
            [edge for edge in self.input_edges if edge[1] not in gone],
            [edge for edge in self.output_edges if edge[0] not in gone],
        )
        for node in touched:
            if node not in self._producer and not self._consumers.get(node):
                del self.nodes[node]

    def remove_nodes(self, names: Iterable[str]) -> None:
        """Remove nodes and their edges."""
        gone = set(names)
        self.nodes = {n: node for n, node in self.nodes.items() if n not in gone}
        self._keep_edges(
            [edge for edge in self.input_edges if edge[0] not in gone],
            [edge for edge in self.output_edges if edge[1] not in gone],
        )

    def part(self, names: Iterable[str]) -> Pipeline:
        """Return a pipeline of these jobs alone, with every node that they read or make."""
        wanted = set(names)
        part = Pipeline(form=self.form)
        for process in self:
            if process.name in wanted:
                part.put_process(process)
        part.counter = self.counter
        names = list(part.processes)
        inputs = [(node, name) for name in names for node in self._inputs.get(name, ())]
        outputs = [(name, node) for name in names for node in self._outputs.get(name, ())]
        for node in (*(node for node, _ in inputs), *(node for _, node in outputs)):
            part.nodes[node] = self.nodes[node]
        part.connect(inputs=inputs, outputs=outputs)
        return part

    def copy(self) -> Pipeline:
        """Return an independent copy (jobs and nodes themselves are immutable and shared)."""
        return Pipeline(
            form=self.form,
            counter=self.counter,
            processes=dict(self.processes),
            nodes=dict(self.nodes),
            number_is_taken=self.number_is_taken,
            problems=list(self.problems),
            kept=self.kept.copy(),
            input_edges=dict(self.input_edges),
            output_edges=dict(self.output_edges),
            _inputs={name: dict(found) for name, found in self._inputs.items()},
            _outputs={name: dict(found) for name, found in self._outputs.items()},
            _consumers={name: dict(found) for name, found in self._consumers.items()},
            _producer=dict(self._producer),
            _named=dict(self._named),
        )

    # Within

    def _need(self, name: str) -> Process:
        if name not in self.processes:
            raise ProjectError(self._not_found(name))
        return self.processes[name]

    def _not_found(self, text: str) -> str:
        shown = [name for p in self for name in (p.name, p.alias) if name]
        near = difflib.get_close_matches(text.rstrip("/") + "/", shown, n=3, cutoff=0.5)
        if near:
            hint = f"The nearest: {', '.join(near)}."
        elif shown:
            last = max(self, key=lambda process: process.number)
            hint = f"The last one is {last.shown_name}; `vitreous status` lists them all."
        else:
            hint = "The project has no jobs yet."
        return f"No job '{text}' in this project. {hint}"

    def _change(self, name: str, **changes: object) -> Process:
        process = replace(self._need(name), **changes)  # type: ignore[arg-type]  # fields of Process
        return self._put(process)

    def _put(self, process: Process) -> Process:
        old = self.processes.get(process.name)
        if old and old.alias:
            self._named.pop(old.alias, None)
        if process.alias:
            self._named[process.alias] = process.name
        self.processes[process.name] = process
        return process

    def _keep_edges(self, inputs: list[tuple[str, str]], outputs: list[tuple[str, str]]) -> None:
        for index in (self.input_edges, self.output_edges):
            index.clear()
        for names in (self._inputs, self._outputs, self._consumers, self._producer):
            names.clear()
        self.connect(inputs=inputs, outputs=outputs)


def job_folder(folder: str, number: int) -> str:
    """Return the path of a job: three digits, plain from 1000 on.

    Examples
    --------
    >>> job_folder("Class2D", 7)
    'Class2D/job007/'
    """
    return f"{folder.strip('/')}/job{number:03d}/"


def job_number(name: str) -> int:
    """Return the number in a job's path, or -1 where it has none."""
    found = _JOB_NUMBER.search(name)
    return int(found[1]) if found else -1


def job_of_path(path: str) -> str | None:
    """Return the job folder that a path inside the project lies in, or None.

    Examples
    --------
    >>> job_of_path("Extract/job006/particles.star")
    'Extract/job006/'
    """
    found = _JOB_PREFIX.match(path)
    return found[0] if found else None
