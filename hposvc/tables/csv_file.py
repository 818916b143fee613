"""CSV: the delimiter and the header are found out, and the rows are read as text, in pieces."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from hposvc.tables.defects import DataError
from hposvc.tables.rows import check_names, refused

ROW_BYTES = 4 * 1024 * 1024  # the longest row
DELIMITERS = ",;\t|"
ROW_NUMBER = "row number"  # the name of a first column that has none, as pandas writes it
ROW_NAME = "row name"  # that of a first column for which the header has no place, as R writes it
NO_HEADER = ", or use --no-header if the first line is a row"
PEEKED = 20  # rows that say whether there is a column more than names


@dataclass(frozen=True)
class CsvFile:
    """A CSV file in UTF-8: the ``names`` of its columns, and the byte and the line at which its rows begin.

    ``trailing``: every row ends with a delimiter, and nothing after it.
    """

    path: Path
    names: tuple[str, ...]
    delimiter: str
    start: int
    line: int
    trailing: bool = False

    def batches(self, left_out: Counter[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows as text without blanks around it. Raises DataError.

        Rows of delimiters alone are left out; ``left_out`` counts them under ``empty``.
        """
        counts = Counter() if left_out is None else left_out
        read = [*self.names, *[""] * self.trailing]
        schema = pa.schema([(str(place), pa.string()) for place in range(len(read))])
        kept = pa.schema([(name, pa.string()) for name in self.names])
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                for batch in _reader(file, schema, self.delimiter, counts):
                    columns = [pc.utf8_trim_whitespace(column) for column in batch.columns]
                    if self.trailing and pc.any(pc.not_equal(columns.pop(), "")).as_py():
                        raise self._ragged(len(read))
                    found = _without_empty(pa.record_batch(columns, schema=kept))
                    counts["empty"] += batch.num_rows - found.num_rows
                    yield found
        except pa.ArrowInvalid as error:
            raise self._unreadable(str(error)) from None

    def _unreadable(self, said: str) -> DataError:
        if ragged := re.search(r"Expected (\d+) columns, got (\d+)", said):
            return self._ragged(int(ragged[2]))
        if "straddling" in said or "block size" in said:
            return refused(
                "body",
                f"a row is longer than {ROW_BYTES // 2**20} MiB, or a quote is not closed",
                "close the quote, or shorten the row",
            )
        if "Empty CSV" in said:
            return refused("body", "there are no rows after the header", "send at least ten rows")
        return refused("body", f"not CSV: {said[:200]}", "send comma-separated text in UTF-8")

    def _ragged(self, values: int) -> DataError:
        line = self._line_of_other_length()
        return refused(
            "body",
            f"{'a line' if line is None else f'line {line}'} has {values} values, the header {len(self.names)}",
            "give every line as many values as the header has; quote values that contain the delimiter",
        )

    def _line_of_other_length(self) -> int | None:
        """The line of the file at which the first row begins that has more or fewer values than the header."""
        with self.path.open(encoding="utf-8", newline="") as file:
            file.seek(self.start)
            rows, begin = csv.reader(file, delimiter=self.delimiter), 0
            try:
                for row in rows:
                    rest = row[len(self.names) :]
                    if any(row) and (len(row) < len(self.names) or any(rest) or len(rest) > self.trailing):
                        return self.line + begin
                    begin = rows.line_num
            except csv.Error:
                return self.line + begin
        return None


def open_csv(path: Path, *, header: bool = True, known: bool = False) -> CsvFile:
    """Find out the names and the delimiter of a CSV file in UTF-8. Raises DataError.

    Without a ``header`` the first line is a row, and the columns are called ``column 1`` and so on. ``known``: whoever
    reads knows whether there is a header, so that no remedy proposes the other.
    """
    with path.open(encoding="utf-8", newline="") as file:
        first, begin, start, line, row = "", 0, 0, 1, 1
        while not first.strip("\ufeff \t\r\n"):
            if not (first := file.readline(ROW_BYTES)):
                raise refused("body", "the file is empty", "send a file with a header and rows")
            begin, start, row, line = start, start + len(first.encode()), line, line + 1
        while first.count('"') % 2 and len(first) < ROW_BYTES and (more := file.readline(ROW_BYTES)):
            first, start, line = first + more, start + len(more.encode()), line + 1  # a line break within quotes
        if not first.endswith(("\n", "\r")):
            raise refused("body", "there are no rows after the header", "send at least ten rows")
        if first.startswith("\ufeff"):
            first, begin = first[1:], begin + len("\ufeff".encode())
        delimiter = max(DELIMITERS, key=re.sub(r'"[^"]*"', "", first).count)
        names = _names(first, delimiter)
        if not header:
            numbered = tuple(f"column {place + 1}" for place in range(len(names)))
            trailing = len(names) > 2 and not names[-1]
            return CsvFile(path, numbered[: len(names) - trailing], delimiter, begin, row, trailing)
        found = _with_all_columns(CsvFile(path, tuple(names), delimiter, start, line), file)
    check_names(list(found.names), or_else="" if known else NO_HEADER)
    if all(map(is_number, names)):
        remedy = "write the names of the columns into the first line" + ("" if known else NO_HEADER)
        raise refused("body", "the first line holds numbers", remedy)
    return found


def is_number(name: str) -> bool:
    """Whether a name is a number as files have them."""
    return re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", name) is not None


def _names(header: str, delimiter: str) -> list[str]:
    try:
        names = next(csv.reader([header], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        raise refused("body", f"the header cannot be read: {error}", "quote names with quotes in them") from None
    return [re.sub(r"\s*[\r\n]+\s*", " ", name).strip() for name in names]


def _with_all_columns(found: CsvFile, file: TextIO) -> CsvFile:
    """``found`` with a name for a first column that has none, and without a last one that has nothing."""
    names = list(found.names)
    if len(names) > 1 and not names[0]:
        names[0] = ROW_NUMBER
    rows = [row for row in _peeked(found, file) if any(row)]
    if len(names) > 2 and not names[-1] and all(len(row) == len(names) and not row[-1] for row in rows):
        return replace(found, names=tuple(names[:-1]), trailing=True)
    if rows and all(len(row) == len(names) + 1 for row in rows):
        if not any(row[-1] for row in rows):
            return replace(found, names=tuple(names), trailing=True)
        names = [ROW_NAME, *names]
    return replace(found, names=tuple(names))


def _peeked(found: CsvFile, file: TextIO) -> list[list[str]]:
    try:
        return list(islice(csv.reader(file, delimiter=found.delimiter), PEEKED))
    except csv.Error:
        return []


def _reader(file: BinaryIO, schema: pa.Schema, delimiter: str, counts: Counter[str]) -> Any:
    def misfit(row: Any) -> str:
        if row.text.replace(delimiter, "").replace('""', "").strip():
            return "error"
        counts["empty"] += 1
        return "skip"

    return pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(column_names=schema.names, block_size=ROW_BYTES, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=misfit
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=schema, strings_can_be_null=False, quoted_strings_can_be_null=False
        ),
    )


def _without_empty(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows that have a value in some column; of one column, all."""
    if batch.num_columns < 2:
        return batch
    empty = pc.equal(batch.column(0), "")
    for column in batch.columns[1:]:
        if not pc.any(empty).as_py():
            return batch
        empty = pc.and_(empty, pc.equal(column, ""))
    return batch.filter(pc.invert(empty))
