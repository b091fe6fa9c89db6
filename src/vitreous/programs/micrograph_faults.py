"""Which errors are the fault of one micrograph, and which of the whole job."""

from __future__ import annotations

import errno
from typing import Final

from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # public, but not in __all__

from vitreous.errors import EnvironmentMissing, VitreousError

# What reading and computing a damaged or odd file raises. A programming error is mostly none of
# these and ends the job with its trace.
UNIT_ERRORS: Final = (
    VitreousError,
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    EOFError,
    LinAlgError,
)
_OF_THE_MACHINE: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)


def reason(error: BaseException) -> str:
    """Return why a unit could not be used, in one line.

    Raises
    ------
    BaseException
        The error itself, where it would meet every other unit too: a full disk, no memory, too
        many open files, a machine that lacks something.
    """
    if isinstance(error, EnvironmentMissing):
        raise error
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        raise error
    text = " ".join(str(error).split())
    if isinstance(error, VitreousError | OSError):
        return text
    return f"{type(error).__name__}: {text}"
