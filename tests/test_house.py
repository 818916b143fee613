"""How the code is arranged, where the linter's contracts cannot see it: rooms, sizes, names, words."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = [
    file for folder in ("hposvc", "api", "workers", "migrations") for file in sorted(ROOT.glob(f"{folder}/**/*.py"))
]
TESTS = [file for folder in ("tests", "benchmarks") for file in sorted(ROOT.glob(f"{folder}/**/*.py"))]
SCREENS = [*sorted(ROOT.glob("api/dashboard/static/js/*.js")), *sorted(ROOT.glob("api/dashboard/templates/*.html"))]
PAGES = [*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/**/*.md"))]

PATH = re.compile(r"(?<![\w./-])(?:hposvc|api|workers|tests|benchmarks|deploy|migrations|docs|examples)/[\w./-]*\w")
DOTTED = re.compile(r"(?<![\w./@-])(?:hposvc|api|workers|tests|benchmarks)(?:\.[A-Za-z_]\w*)+")
DOCUMENT = re.compile(r"(?<![\w/])[A-Z]+\.md\b")
NO_MODULES = re.compile(r"hposvc\.(?:audit|key|pem|example|sqlite3|log|json|yaml)\b")  # a logger, hosts and files


def rooms(folder: str) -> set[str]:
    """The packages and modules directly in a folder, by name."""
    below = ROOT / folder
    found = {path.stem for path in below.glob("*.py")} | {path.parent.name for path in below.glob("*/__init__.py")}
    return found - {"__init__", "__main__"}


def imported(file: Path) -> set[str]:
    """The dotted names that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def docstrings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or is in one."""
    place, *rest = ROOT, *dotted.split(".")
    while rest and (place / rest[0]).is_dir():
        place /= rest.pop(0)
    source = place / f"{rest.pop(0)}.py" if rest and (place / f"{rest[0]}.py").is_file() else place / "__init__.py"
    return not rest or (source.is_file() and re.search(rf"\b{rest[0]}\b", source.read_text()) is not None)


def stale(text: str) -> set[str]:
    """The paths, modules and documents that a text names and that do not exist."""
    paths = {name for name in PATH.findall(text) if not (ROOT / name).exists()}
    modules = {name for name in DOTTED.findall(text) if not NO_MODULES.match(name) and not exists(name)}
    return paths | modules | {name for name in DOCUMENT.findall(text) if not (ROOT / name).exists()}


def test_every_room_has_its_floor() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (floors,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    named = {name for floor in floors for name in floor.split(" | ")}
    assert named == {f"hposvc.{room}" for room in rooms("hposvc")} | {"api", "workers"}


def test_the_map_of_the_code_names_every_room() -> None:
    """The tables of CONTRIBUTING.md: all of ``hposvc/``, the packages of ``api/``, and nothing that does not exist."""
    named: dict[str, set[str]] = {}
    for folder, table in re.findall(
        r"^\| in `(\w+)/` \|.*\n((?:\|.*\n)+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    ):
        rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
        named[folder] = {name for row in rows for name in re.findall(r"`([\w./]+)`", row)}
    assert set(named) == {"hposvc", "api", "workers"}
    for folder, names in named.items():
        assert all((ROOT / folder / name).exists() for name in names), folder
    assert {name.removesuffix("/").removesuffix(".py") for name in named["hposvc"]} == rooms("hposvc")
    assert {f"{path.parent.name}/" for path in ROOT.glob("api/*/__init__.py")} <= named["api"]


def test_what_pages_and_docstrings_name_exists() -> None:
    found = {page: stale(page.read_text()) for page in PAGES if page.name != "CHANGELOG.md"}
    found |= {file: stale("\n".join(docstrings(file))) for file in [*CODE, *TESTS]}
    assert {file.relative_to(ROOT).as_posix(): names for file, names in found.items() if names} == {}


def test_pages_and_docstrings_use_the_words_of_the_glossary() -> None:
    _, table = (ROOT / "docs/glossary.md").read_text().split("## Words that are not used")
    unwanted = re.findall(r"^\| ([\w' -]+) \| (?!but)", table, re.MULTILINE)
    assert len(unwanted) > 5
    pattern = re.compile(rf"(?<![\w`.])(?:{'|'.join(unwanted)})(?!\w)", re.IGNORECASE)
    found = {file: pattern.findall("\n".join(docstrings(file))) for file in [*CODE, *TESTS]}
    found |= {
        page: pattern.findall(page.read_text())
        for page in [*PAGES, *SCREENS]
        if page.name not in {"CHANGELOG.md", "glossary.md"}
    }
    assert {file.relative_to(ROOT).as_posix(): words for file, words in found.items() if words} == {}


def test_modules_are_small() -> None:
    """At most 400 lines; the specification, which is fields and their descriptions, may be longer."""
    long = {file.relative_to(ROOT).as_posix() for file in CODE if len(file.read_text().splitlines()) > 400}
    assert long == {"hposvc/schema/spec.py"}


def test_tests_import_from_their_support_only() -> None:
    """What two test modules need lives in tests/support, or is a fixture of a conftest.py."""
    for file in TESTS:
        ours = {name for name in imported(file) if name.startswith("tests.")}
        assert all(name.startswith("tests.support.") for name in ours), file
