"""CSV, Parquet and NPZ as batches of typed columns, read in pieces: no file is ever wholly in memory or unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from hposvc.tables.csv_table import read_csv, read_csv_as_text
from hposvc.tables.npz_file import read_npz
from hposvc.tables.options import Reading
from hposvc.tables.parquet_file import read_parquet
from hposvc.tables.rows import RowReader, check_size, refused

Format = Literal["csv", "parquet", "npz"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz"}
GROUP_BYTES = 16 * 2**20

MAGIC = {b"PAR1": "a Parquet file", b"PK\x03\x04": "a ZIP or NPZ file", b"\x1f\x8b": "a gzip file", b"\x80": "a pickle"}


def read(path: Path, format_: Format, reading: Reading) -> RowReader:
    """The rows of a file. Raises DataError for what cannot be read, with the place and the remedy."""
    size = path.stat().st_size
    if size == 0:
        raise refused("body", "the file is empty", "send a file with a header and rows")
    with path.open("rb") as file:
        start = file.read(4)
    expected = {"parquet": b"PAR1", "npz": b"PK"}.get(format_, b"")
    if not start.startswith(expected) or (format_ == "csv" and any(start.startswith(magic) for magic in MAGIC)):
        found = next((name for magic, name in MAGIC.items() if start.startswith(magic)), "something else")
        raise refused(
            "body",
            f"it was announced as {format_.upper()} and is {found}",
            "send CSV, Parquet or NPZ, uncompressed, with the Content-Type or the file name that fits",
        )
    return {"csv": read_csv, "parquet": read_parquet, "npz": read_npz}[format_](path, reading)


def write(rows: RowReader, target: Path) -> int:
    """Write ``rows`` to a Parquet file, in row groups of some megabytes; returns how many. Raises DataError."""
    writer: pq.ParquetWriter | None = None
    pending: list[pa.RecordBatch] = []
    total = 0

    def flush() -> None:
        if writer is not None and pending:
            writer.write_table(pa.Table.from_batches(pending))
            pending.clear()

    try:
        for batch in rows.batches():
            total += batch.num_rows
            check_size(total, max(1, len(rows.kinds)))
            writer = writer or pq.ParquetWriter(target, batch.schema, compression="zstd")
            pending.append(batch)
            if sum(piece.nbytes for piece in pending) > GROUP_BYTES:
                flush()
        flush()
    finally:
        if writer is not None:
            writer.close()
    return total


def read_table(path: Path, format_: Format, reading: Reading) -> pa.Table:
    """All rows of a file at once, a CSV file's as text: for whoever knows what they should hold. Raises DataError."""
    if format_ == "csv":
        return read_csv_as_text(path)
    rows = read(path, format_, reading)
    return pa.Table.from_batches(rows.batches())


def format_of(name: str) -> Format | None:
    """The format that the ending of a file's name says."""
    return SUFFIXES.get(Path(name).suffix.lower())
