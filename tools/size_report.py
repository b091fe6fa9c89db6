"""Print the lines and the longest function of each source file: to steer by, never to fail on."""

from __future__ import annotations

import ast
from pathlib import Path


def longest_function(source: str) -> tuple[int, str]:
    """Return the length and the name of the longest function in a module."""
    functions = (
        (node.end_lineno - node.lineno + 1, node.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    )
    return max(functions, default=(0, "-"))


def main() -> None:
    """Print the twenty longest files and the totals."""
    rows = []
    for path in sorted(Path("src").rglob("*.py")):
        source = path.read_text()
        rows.append((source.count("\n"), *longest_function(source), path))
    print(f"{len(rows)} files, {sum(row[0] for row in rows)} lines; the longest:")
    for lines, function_lines, name, path in sorted(rows, reverse=True)[:20]:
        print(f"{lines:6} {path}   longest function {name}: {function_lines}")


if __name__ == "__main__":
    main()
