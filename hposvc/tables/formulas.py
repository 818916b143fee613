"""Text that a spreadsheet would take for a formula, marked so that it stays text."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

BEGINNING = r"^([=+\-@\t\r])"  # as OWASP lists them under CSV injection


def marked(table: pa.Table | pa.RecordBatch) -> pa.Table:
    """``table`` with an apostrophe before each text that begins like a formula, in values and names of columns."""
    columns = [_marked(column) if pa.types.is_string(column.type) else column for column in table.columns]
    names = _marked(pa.array(table.column_names, pa.string())).to_pylist()
    return pa.table(columns, names=names)


def marked_value(value: Any) -> Any:
    """One value, with an apostrophe before a text that begins like a formula."""
    return re.sub(BEGINNING, r"'\1", value) if isinstance(value, str) else value


def unmarked(text: str) -> str:
    """The text that ``marked_value`` put an apostrophe before; any other as it is."""
    return text[1:] if re.match(BEGINNING, text[1:]) and text[0] == "'" else text


def _marked(text: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(text, BEGINNING, r"'\1")
