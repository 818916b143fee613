"""Workbooks as Excel writes them, by the extra ``excel`` (openpyxl): a sheet of values, written as CSV.

Formulas are what they were when the workbook was saved; nothing in it is computed or followed. It is read row by row,
in the confined process that reads every upload.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hposvc.tables.archive import DAMAGED, whole_archive
from hposvc.tables.defects import DataError
from hposvc.tables.rows import MOST_COLUMNS, check_size, refused

MOST_BYTES = 2**30  # of all parts together, unpacked: texts that cells share are held in memory
MOST_TIMES = 1000  # larger than a part was packed
MOST_PARTS = 10_000
MOST_EMPTY = 1_000_000  # rows in succession
ERRORS = frozenset({"#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"})
REMEDY = "save the sheet as CSV UTF-8 and send that"
Row = list[str]


def is_workbook(names: list[str]) -> bool:
    """Whether the files of an archive are the parts of a workbook in the format of Excel since 2007."""
    return "[Content_Types].xml" in names and any(name.startswith("xl/") for name in names)


def as_csv(path: Path, folder: Path, said: list[str]) -> Path:
    """The first sheet with values as a CSV file in ``folder``; adds to ``said`` what a person should know.

    Raises DataError: there is no openpyxl, the workbook is damaged, too large, or has no values.
    """
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        remedy = f"{REMEDY}, or have pip install 'hposvc[excel]' run where the service runs"
        raise refused(
            "body", "it is a workbook of Excel, and this service has not the extra that reads it", remedy
        ) from None
    _check_parts(path)
    target = folder / "rows.csv"
    damage = (*DAMAGED, InvalidFileException, ArithmeticError, AttributeError, LookupError, SyntaxError)
    try:
        with path.open("rb") as file:
            workbook = load_workbook(file, read_only=True, data_only=True, keep_links=False)
            sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"] or workbook.worksheets
            for sheet in sheets:
                if _written(sheet, target):
                    if len(sheets) > 1:
                        only = f"Only {sheet.title!r}, the first with values, is read."
                        said.append(f"The workbook has {len(sheets)} sheets. {only}")
                    return target
    except DataError:
        raise
    except (*damage, TypeError, ValueError) as error:
        raise refused("body", f"not a whole workbook: {str(error)[:100]}", f"save it again, or {REMEDY}") from None
    raise refused("body", "the workbook has no values", "send a sheet with a header and rows")


def _check_parts(path: Path) -> None:
    with whole_archive(path) as archive:
        parts = archive.infolist()
    total = sum(part.file_size for part in parts)
    swollen = any(part.file_size > MOST_TIMES * max(1, part.compress_size) for part in parts)
    if total > MOST_BYTES or swollen or len(parts) > MOST_PARTS:
        packed = path.stat().st_size
        raise refused("body", f"it would unpack to {total:,} bytes from {packed:,}", "send fewer rows, or CSV")


def _written(sheet: Any, target: Path) -> bool:
    """Write the rows of a sheet that have values; whether there were any."""
    sheet.reset_dimensions()  # what the file claims of its size is not believed
    with target.open("w", encoding="utf-8", newline="") as file:
        writer, width, rows = csv.writer(file), 0, 0
        for number, row in _rows(sheet):
            if not width:
                width = len(row)
                csv.writer(file, quoting=csv.QUOTE_ALL).writerow(row)
                continue
            if len(row) > width:
                message = f"row {number} of {sheet.title!r} has {len(row)} values, the header {width}"
                raise refused("body", message, "give every column a name, and keep notes out of the sheet")
            rows += 1
            check_size(rows, width)
            writer.writerow(row + [""] * (width - len(row)))
    return width > 0


def _rows(sheet: Any) -> Iterator[tuple[int, Row]]:
    """The rows that have values, each with its number in the sheet and without empty cells at its end."""
    empty = 0
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        row = [_text(value) for value in cells]
        while row and not row[-1]:
            row.pop()
        empty = 0 if row else empty + 1
        if empty > MOST_EMPTY:
            raise refused("body", f"{empty:,} rows of {sheet.title!r} are empty in succession", REMEDY)
        if len(row) > MOST_COLUMNS:
            raise refused("body", f"row {number} has {len(row):,} values", f"send at most {MOST_COLUMNS:,}")
        if row:
            yield number, row


def _text(value: Any) -> str:
    """A value as CSV files have it; one that Excel could not compute is missing."""
    if value is None or (isinstance(value, str) and value in ERRORS):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        return (value.date() if value.time() == dt.time() else value.replace(microsecond=0)).isoformat()
    return str(value).replace("\x00", "")
