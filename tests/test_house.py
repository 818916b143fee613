"""How the code is arranged: what may import what, where the linter's contracts cannot see it."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def imported(file: Path) -> set[str]:
    """The dotted names that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def test_tests_import_from_their_support_only() -> None:
    """What two test modules need lives in tests/support, or is a fixture of a conftest.py."""
    for file in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]:
        ours = {name for name in imported(file) if name.startswith("tests.")}
        assert all(name.startswith("tests.support.") for name in ours), file
