"""The test kit as an author of an extension meets it."""

from __future__ import annotations

import ast
import doctest
from pathlib import Path

import vitreous.testing

FOLDER = Path(vitreous.testing.__file__).parent
NEEDS = {"strategies.py": {"hypothesis"}, "kernel_contract.py": {"pytest"}}


def test_the_example_of_the_package_works() -> None:
    tried = doctest.testmod(vitreous.testing)
    assert tried.attempted >= 7
    assert tried.failed == 0


def test_every_module_of_the_kit_is_told_of() -> None:
    told = vitreous.testing.__doc__ or ""
    names = {path.stem for path in FOLDER.iterdir() if not path.name.startswith("_")}
    assert names
    assert all(f"- `{name}`: " in told for name in names)


def test_only_the_modules_that_say_so_need_test_packages() -> None:
    found = {}
    for path in FOLDER.rglob("*.py"):
        imported = {name.partition(".")[0] for name in _imports(path)} & {"pytest", "hypothesis"}
        if imported:
            found[path.name] = imported
    assert found == NEEDS


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names
