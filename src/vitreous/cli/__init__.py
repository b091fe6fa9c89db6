"""The `vitreous` command: a thin door to `vitreous.actions`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and leave with its exit code: 0 done, 1 the work failed, 2 bad input."""
    from vitreous.cli.app import invoke

    sys.exit(invoke(sys.argv[1:]))
