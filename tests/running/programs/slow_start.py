"""A program whose import takes a minute, module after module."""

import importlib.util
import time
from pathlib import Path

Path("is_importing").touch()
for number in range(600):
    importlib.util.find_spec(f"no_such_module_{number}")
    time.sleep(0.1)


def runs(options, run):
    """Do nothing."""
    del options, run
