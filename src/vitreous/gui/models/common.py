"""Types that many routes share."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Json: TypeAlias = dict[str, Any]


class Answer(BaseModel):
    """Something that the server says."""

    model_config = ConfigDict(extra="forbid")


class Question(BaseModel):
    """Something that a browser asks for; a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")


class ProblemRow(Answer):
    """One thing that is wrong, or that the user should know.

    `where` is our name of an option, a field of the request, or empty where several are meant;
    `message` says what was found, what was wanted and what to do.
    """

    where: str
    message: str
    severity: Literal["error", "warning"] = "error"


class Failure(Answer):
    """Why something was refused; every answer with a status of 400 and above looks like this."""

    error: str
    problems: list[ProblemRow] = Field(default_factory=list)


class Done(Answer):
    """Something was done; `message` tells it in one sentence."""

    message: str
    warnings: list[str] = Field(default_factory=list)


class Bytes(Answer):
    """A number of files and their size."""

    n_files: int
    n_bytes: int
