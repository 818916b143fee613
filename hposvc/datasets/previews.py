"""The first rows of a data set, to look at: as many as fit."""

from __future__ import annotations

from datetime import datetime
from typing import Any, BinaryIO

from hposvc.schema.datasets import RowsPreview
from hposvc.schema.paging import MAX_PAGE_BYTES

BATCH_ROWS = 8  # that are in memory at once: a row of a file may have 4 MiB


def of_bundled(table: Any, limit: int) -> RowsPreview:
    """The first ``limit`` rows of a bundled table."""
    values = [[_value(table, name, row) for name in table.columns] for row in range(min(limit, table.rows))]
    return RowsPreview(columns=list(table.columns), rows=values, total=table.rows)


def of_file(file: BinaryIO, limit: int, total: int) -> RowsPreview:
    """The first ``limit`` of the ``total`` rows of a Parquet file, or those that have MAX_PAGE_BYTES together."""
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file)
    rows: list[list[Any]] = []
    size = 0
    for batch in parquet.iter_batches(BATCH_ROWS, use_threads=False):
        records = batch.slice(0, limit - len(rows)).to_pylist()
        rows += [[_plain(value) for value in record.values()] for record in records]
        size += batch.nbytes
        if len(rows) == limit or size > MAX_PAGE_BYTES:
            break
    return RowsPreview(columns=parquet.schema_arrow.names, rows=rows, total=total)


def _value(table: Any, name: str, row: int) -> Any:
    """One value of a bundled table, as a person knows it."""
    value = table.columns[name][row].item()
    return table.categories[name][value] if name in table.categories else value


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
