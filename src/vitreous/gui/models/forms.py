"""Job types and their forms."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vitreous.gui.models.common import Answer, ProblemRow, Question


class TypeRow(Answer):
    """A job type, in RELION's order. `word` is its name everywhere."""

    word: str
    label: str
    gui_name: str
    family: str
    folder: str
    about: str
    built: bool
    why_not: str | None


class Rule(Answer):
    """When an option has an effect: exactly one of the three forms.

    `{any: [...]}`, `{all: [...]}`, or `{key, equals}`: the option of that name is on (true, not
    empty, not 0) or is not.
    """

    any: list[Rule] | None = None
    all: list[Rule] | None = None
    key: str | None = None
    equals: bool | None = None


class FormOption(Answer):
    """One option. `when` says when it has an effect, `when_text` the same in labels."""

    name: str
    key: str
    label: str
    relion_label: str
    kind: Literal["boolean", "slider", "text", "radio", "file", "node"]
    type: Literal["bool", "int", "float", "str"]
    default: Any
    default_text: str
    required: bool
    optional: bool
    choices: list[str]
    low: float | None
    high: float | None
    step: float | None
    at_least: float | None
    at_most: float | None
    off: float | None
    unit: str
    help: str
    range: str
    pattern: str | None
    directory: str
    node_type: str
    when: Rule | None
    when_text: str
    on_continue: Literal["free", "locked", "only"]
    locked_here: bool


class FormGroup(Answer):
    """Options that stand together; with a title they share one line."""

    title: str
    options: list[FormOption]


class FormTab(Answer):
    """A tab; `switch` is the option that turns nearly all of it on, where there is one."""

    title: str
    switch: str | None
    groups: list[FormGroup]


class Form(Answer):
    """A job type with all its options. Values are by name."""

    type: TypeRow
    tabs: list[FormTab]
    last_used: dict[str, Any] | None = Field(
        description="Values by name that such a job was last started with in this project."
    )
    values: dict[str, Any] = Field(
        description="Values to fill in: of the job that was asked for, else last used, else the "
        "defaults of this site."
    )
    unknown: dict[str, str] = Field(description="Keys of that job which are no options here.")
    mpi: bool
    threads: bool
    gpu: bool
    queue: bool


class Check(Question):
    """Values to check, as a new job, a continued or an overwritten one."""

    values: dict[str, Any] = Field(default_factory=dict)
    continue_job: int | None = None
    overwrite_job: int | None = None
    schedule: bool = False
    alias: str | None = Field(None, max_length=200)


class InputFact(Answer):
    """What the header of an input says."""

    option: str
    path: str
    what: str
    count: int | None
    box_px: int | None
    pixel_size_A: float | None
    n_bytes: int | None


class Estimate(Answer):
    """What the job will need, as far as anybody knows."""

    disk_bytes: int | None
    free_bytes: int | None
    memory_bytes: int | None
    seconds: float | None
    basis: str


class Checked(Answer):
    """What stands against a job, and what it would execute."""

    ok: bool
    problems: list[ProblemRow]
    warnings: list[ProblemRow]
    commands: list[str]
    script: str
    label: str
    job: str | None = Field(description="The folder that the job has, or would get now.")
    outputs: list[str]
    dependents: list[int] = Field(description="Jobs that use what is overwritten.")
    waits_for_you: bool
    inputs: list[InputFact]
    estimate: Estimate
