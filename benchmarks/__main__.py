"""All benchmarks: ``python -m benchmarks`` runs each, ``python -m benchmarks NAME ...`` some.

A benchmark is a file of this folder. Each runs in a process of its own, prints what it measured
and leaves ``results/NAME.json``; ``--list`` only names them.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    known = found()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--list", action="store_true", help="name the benchmarks and leave")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there is {', '.join(known)}")
    if options.list:
        for name, about in known.items():
            print(f"{name:12} {about}")
        return 0
    failed = [name for name in options.names or known if run(name)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def found() -> dict[str, str]:
    """Return the benchmarks and the first line of what each says of itself."""
    paths = sorted(path for path in HERE.glob("*.py") if not path.name.startswith("_"))
    return {path.stem: about(path) for path in paths if "def main(" in path.read_text()}


def about(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def run(name: str) -> int:
    """Run one benchmark and return its exit code."""
    print(f"== {name}", flush=True)
    began = time.perf_counter()
    code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    print(f"== {name}: {time.perf_counter() - began:.0f} s, exit code {code}\n", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
