"""Files as batches of typed columns, read in pieces: none is ever wholly in memory or unpickled."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from hposvc.tables.csv_table import read_csv, read_csv_as_text
from hposvc.tables.images_file import read_images
from hposvc.tables.npz_file import read_npz
from hposvc.tables.opening import opened
from hposvc.tables.options import Reading
from hposvc.tables.parquet_file import read_parquet
from hposvc.tables.rows import RowReader, check_size, refused

GROUP_BYTES = 16 * 2**20


def read(path: Path, reading: Reading, folder: Path) -> RowReader:
    """The rows of a file, which may need copies in ``folder``. Raises DataError for what cannot be read."""
    found = opened(path, folder, reading.encoding)
    if found.format == "images":
        return read_images(found.path, found.pictures, reading.image_shape)
    rows = {"csv": read_csv, "parquet": read_parquet, "npz": read_npz}[found.format](found.path, reading)
    return replace(rows, cautions=[*found.said, *rows.cautions])


def write(rows: RowReader, target: Path) -> tuple[int, Counter[str]]:
    """Write ``rows`` to a Parquet file, in row groups of some megabytes; returns how many. Raises DataError.

    Infinite values are missing ones from here on; returns how many there were, by column.
    """
    infinite: Counter[str] = Counter()
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
            pending.append(_finite(batch, infinite))
            if sum(piece.nbytes for piece in pending) > GROUP_BYTES:
                flush()
        flush()
    finally:
        if writer is not None:
            writer.close()
    return total, infinite


def _finite(batch: pa.RecordBatch, infinite: Counter[str]) -> pa.RecordBatch:
    """The same rows with missing values in the place of infinite ones, which are counted."""
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        found, count = _finite_column(column)
        columns.append(found)
        if count:
            infinite[name] += count
    return pa.record_batch(columns, schema=batch.schema)


def _finite_column(column: pa.Array) -> tuple[pa.Array, int]:
    arrays = pa.types.is_fixed_size_list(column.type)
    flat = column.flatten() if arrays else column
    if not pa.types.is_floating(flat.type):
        return column, 0
    bad = pc.fill_null(pc.is_inf(flat), False)
    count = pc.sum(bad).as_py() or 0
    if not count:
        return column, 0
    flat = pc.if_else(bad, pa.scalar(float("nan") if arrays else None, flat.type), flat)
    return pa.FixedSizeListArray.from_arrays(flat, column.type.list_size) if arrays else flat, count


def read_table(path: Path, reading: Reading) -> pa.Table:
    """All rows of a file at once, a CSV file's as text: for whoever knows what they should hold. Raises DataError."""
    with TemporaryDirectory() as folder:
        found = opened(path, Path(folder), reading.encoding)
        if found.format == "csv":
            return read_csv_as_text(found.path, header=reading.header)
        batches = list(read(path, reading, Path(folder)).batches())
        if not batches:
            raise refused("body", "there are no rows", "send a file with rows")
        return pa.Table.from_batches(batches)
