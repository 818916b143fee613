"""JSON lines: one object a line, written as CSV, so that its values are read as those of a CSV file are."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hposvc.tables.csv_file import ROW_BYTES
from hposvc.tables.rows import MOST_COLUMNS, refused

REMEDY = "write one object of plain values a line, as pandas does: to_json(orient='records', lines=True)"


BEGINNING = re.compile(r'\s*(\{\s*["}]|\[\s*[{\]])')
"""Of an object, or of a list of objects. A column of a CSV file may be called ``[age]``."""


def is_json(path: Path) -> bool:
    """Whether a text in UTF-8 begins as JSON does."""
    with path.open(encoding="utf-8-sig") as file:
        return BEGINNING.match(file.read(ROW_BYTES)) is not None


def as_csv(path: Path, folder: Path) -> Path:
    """The objects of a file of JSON lines in UTF-8 as a CSV file in ``folder``; null and what is left out are empty.

    Raises DataError: a line is no object of plain values.
    """
    names: dict[str, None] = {}
    for line, found in _objects(path):
        for name, value in found.items():
            if isinstance(value, dict | list):
                kind = "a list" if isinstance(value, list) else "an object"
                raise refused("body", f"line {line}: {name[:50]!r} holds {kind}", REMEDY)
            names[name] = None
        if len(names) > MOST_COLUMNS:
            raise refused("body", f"line {line}: more than {MOST_COLUMNS:,} names", f"send at most {MOST_COLUMNS:,}")
    target = folder / "rows.csv"
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerow(names)
        writer = csv.writer(file)
        for _, found in _objects(path):
            writer.writerow([_text(found.get(name)) for name in names])
    return target


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects and their lines, empty lines left out. Raises DataError."""
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        line = 0
        while text := file.readline(ROW_BYTES):
            line += 1
            if not text.strip():
                continue
            try:
                found = json.loads(text, object_pairs_hook=_members)
            except (ValueError, RecursionError) as error:
                raise refused("body", f"line {line} is no JSON: {str(error)[:100]}", REMEDY) from None
            if not isinstance(found, dict):
                raise refused("body", f"line {line} is no object", REMEDY)
            yield line, found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
