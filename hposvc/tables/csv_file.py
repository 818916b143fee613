"""CSV: the delimiter and the header are found out, and each column gets the narrowest kind that its values have."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from hposvc.tables.defects import DataError
from hposvc.tables.kinds import ARROW, Kind, of_text, tidy
from hposvc.tables.rows import RowReader, check_names, check_size, refused

ROW_BYTES = 4 * 1024 * 1024  # the longest row
DELIMITERS = ",;\t|"
NARROWEST_FIRST: tuple[Kind, ...] = ("boolean", "integer", "number", "date")
WIDER: dict[Kind, Kind] = {"integer": "number", "number": "text", "boolean": "text", "date": "text"}
ROW_NUMBER = "row number"  # the name of a first column that has none, as pandas writes it


def read_csv(path: Path) -> RowReader:
    """The rows of a CSV file, each column of the narrowest kind that all of its values have."""
    _require_utf8(path)
    names, delimiter = _header(path)
    kinds = _infer(path, names, delimiter)
    schema = pa.schema([(name, ARROW[kind]) for name, kind in kinds.items()])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in text_batches(path, names, delimiter):
            columns = [of_text(batch.column(i), kind) for i, kind in enumerate(kinds.values())]
            yield pa.record_batch(columns, schema=schema)

    roles = {ROW_NUMBER: "ignored"} if ROW_NUMBER in names else {}
    return RowReader(kinds, batches, roles=roles)


def read_csv_as_text(path: Path) -> pa.Table:
    """All columns of a CSV file as tidy text: for whoever knows what they should hold. Raises DataError."""
    _require_utf8(path)
    names, delimiter = _header(path)
    schema = pa.schema([(name, pa.string()) for name in names])
    return pa.Table.from_batches(text_batches(path, names, delimiter), schema=schema)


def _require_utf8(path: Path) -> None:
    decoder, line, done = codecs.getincrementaldecoder("utf-8")(), 1, 0
    with path.open("rb") as file:
        start = file.read(2)
        if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise refused("body", "the text is UTF-16", "save it as CSV UTF-8")
        file.seek(0)
        while chunk := file.read(1024 * 1024):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                line += chunk[: max(0, error.start)].count(b"\n")
                raise refused(
                    "body", f"byte {done + error.start} (line {line}) is not UTF-8", "save the file as CSV UTF-8"
                ) from None
            if b"\x00" in chunk:
                line += chunk[: chunk.index(b"\x00")].count(b"\n")
                raise refused("body", f"line {line} has a null character", "send text: CSV in UTF-8")
            line, done = line + chunk.count(b"\n"), done + len(chunk)
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise refused("body", "the file ends within a character", "send the whole file") from None


def _header(path: Path) -> tuple[list[str], str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(ROW_BYTES)
        if not first.strip():
            raise refused("body", "the first line is empty", "write the names of the columns into the first line")
        if not first.endswith(("\n", "\r")) and len(first) < ROW_BYTES:
            raise refused("body", "there are no rows after the header", "send at least ten rows")
        delimiter = max(DELIMITERS, key=first.count)
        file.seek(0)
        try:
            names = [name.strip() for name in next(csv.reader(file, delimiter=delimiter, strict=True))]
        except (csv.Error, StopIteration) as error:
            raise refused("body", f"the header cannot be read: {error}", "quote names with quotes in them") from None
    names[0] = names[0].lstrip("\ufeff") or (ROW_NUMBER if len(names) > 1 else "")
    check_names(names)
    if all(re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", name) for name in names):
        raise refused("body", "the first line holds numbers", "write the names of the columns into the first line")
    return names, delimiter


def text_batches(path: Path, names: list[str], delimiter: str) -> Iterator[pa.RecordBatch]:
    """The rows as tidy text. Raises DataError for a row that does not fit the header."""
    schema = pa.schema([(name, pa.string()) for name in names])
    try:
        reader = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(
                column_names=names, skip_rows_after_names=1, block_size=ROW_BYTES, use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=schema, strings_can_be_null=False, quoted_strings_can_be_null=False
            ),
        )
        for batch in reader:
            yield pa.record_batch([tidy(column) for column in batch.columns], schema=schema)
    except pa.ArrowInvalid as error:
        raise _unreadable_csv(str(error)) from None


def _unreadable_csv(said: str) -> DataError:
    ragged = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", said)
    if ragged:
        row = f"line {ragged[1]}" if ragged[1] else "a line"
        return refused(
            "body",
            f"{row} has {ragged[3]} values, the header {ragged[2]}",
            "give every line as many values as the header has; quote values that contain the delimiter",
        )
    if "straddling" in said or "block size" in said:
        return refused(
            "body",
            f"a row is longer than {ROW_BYTES // 2**20} MiB, or a quote is not closed",
            "close the quote, or shorten the row",
        )
    if "Empty CSV" in said:
        return refused("body", "there are no rows after the header", "send at least ten rows")
    return refused("body", f"not CSV: {said[:200]}", "send comma-separated text in UTF-8")


def _infer(path: Path, names: list[str], delimiter: str) -> dict[str, Kind]:
    kinds: list[Kind] = ["empty"] * len(names)
    rows = 0
    for batch in text_batches(path, names, delimiter):
        rows += batch.num_rows
        check_size(rows, len(names))
        for i, kind in enumerate(kinds):
            column = batch.column(i)
            if kind != "text" and column.null_count < len(column):
                kinds[i] = _widened(column, kind)
    return dict(zip(names, kinds, strict=True))


def _widened(column: pa.Array, kind: Kind) -> Kind:
    """The narrowest kind, from ``kind`` up, that all values of ``column`` have."""
    if kind == "empty":
        return next((first for first in NARROWEST_FIRST if _fits(column, first)), "text")
    while kind != "text" and not _fits(column, kind):
        kind = WIDER[kind]
    return kind


def _fits(column: pa.Array, kind: Kind) -> bool:
    try:
        of_text(column, kind)
    except pa.ArrowInvalid:
        return False
    return True
