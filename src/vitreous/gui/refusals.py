"""From what went wrong to an answer: a status of 400 to 499, a sentence, the problems."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vitreous.errors import (
    ComputeError,
    EnvironmentMissing,
    LockedError,
    MissingFileError,
    OptionError,
    Problem,
    VitreousError,
)
from vitreous.gui.models.common import Failure, ProblemRow

LOG = logging.getLogger("vitreous.gui")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class RefusedError(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status
        HTTP status.
    message
        What was found, what was wanted, what to do.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def not_found(message: str) -> RefusedError:
    """Return a refusal of something that is not there."""
    return RefusedError(404, message)


def problem_rows(problems: Iterable[Problem]) -> list[ProblemRow]:
    """Return problems of options as they go over the wire."""
    return [
        ProblemRow(where=one.option, message=one.message, severity=one.severity) for one in problems
    ]


def failure(status: int, message: str, problems: Iterable[ProblemRow] = ()) -> JSONResponse:
    """Return the answer of every error."""
    body = Failure(error=message, problems=list(problems))
    return JSONResponse(body.model_dump(), status)


def install(app: FastAPI) -> None:
    """Let an app answer all errors in this form."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(VitreousError, _ours)
    app.add_exception_handler(OSError, _of_system)
    app.add_exception_handler(UnicodeError, _of_text)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _fault)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, RefusedError) else 400
    return failure(status, str(error))


async def _ours(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, OptionError):
        return failure(422, "Some options cannot work.", problem_rows(error.problems))
    return failure(_status_of(error), str(error))


def _status_of(error: Exception) -> int:
    if isinstance(error, MissingFileError):
        return 404
    if isinstance(error, LockedError):
        return 423
    return 424 if isinstance(error, EnvironmentMissing | ComputeError) else 409


async def _of_system(_: Request, error: Exception) -> JSONResponse:
    """Tell what the file system said; the disk may be full, a file gone, a folder closed."""
    number = error.errno if isinstance(error, OSError) else None
    name = getattr(error, "filename", None) or "a file"
    why = getattr(error, "strerror", None) or str(error)
    if number in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR):
        return failure(404, f"{name}: {why}")
    advice = " Free some space and try again." if number in _FULL else ""
    return failure(409, f"{name}: {why}.{advice}")


async def _of_text(_: Request, __: Exception) -> JSONResponse:
    return failure(400, "The request holds text that is not valid Unicode.")


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    """Say which fields of a request are wrong, without repeating what they held."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    rows = [
        ProblemRow(where=".".join(map(str, one["loc"][1:])), message=str(one["msg"]))
        for one in found[:50]
    ]
    where = ", ".join(dict.fromkeys(row.where for row in rows if row.where)) or "the body"
    return failure(422, f"The request cannot be understood: see {where}.", rows)


async def _of_http(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 400
    words = {404: "There is nothing at this address.", 405: "This cannot be done at this address."}
    return failure(status, words.get(status, str(getattr(error, "detail", error))))


async def _fault(request: Request, error: Exception) -> JSONResponse:
    LOG.error("a fault at %s %s", request.method, request.url.path, exc_info=error)
    return failure(500, f"A fault in vitreous itself ({type(error).__name__}); see its terminal.")
