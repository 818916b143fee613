"""Parquet: columns keep their types, and those of types that are no use are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from hposvc.tables.defects import DataError
from hposvc.tables.kinds import ARROW, Kind, kind_of, of_arrow
from hposvc.tables.options import Reading
from hposvc.tables.rows import BATCH_ROWS, RowReader, check_names, check_size, refused


def read_parquet(path: Path, reading: Reading) -> RowReader:
    """The rows of a Parquet file."""
    try:
        schema = pq.ParquetFile(path, memory_map=False).schema_arrow
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable_parquet(error) from None
    check_names([str(name) for name in schema.names])
    check_size(metadata.num_rows, len(schema.names))
    kinds = {item.name: kind_of(item.type) for item in schema}
    unread = {item.name: str(item.type) for item in schema if kinds[item.name] == "other"}
    kinds = {name: kind for name, kind in kinds.items() if kind != "other"}
    if not kinds:
        raise refused("body", "no column holds numbers, text, truth or dates", "send columns of those; images as NPZ")
    target = pa.schema([(name, ARROW[kind]) for name, kind in kinds.items()])

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            # read anew each time: an iterator of batches keeps the pages that it has read
            for batch in pq.ParquetFile(path, memory_map=False).iter_batches(
                BATCH_ROWS, columns=list(kinds), use_threads=False
            ):
                columns = [_converted(batch, name, kind, reading) for name, kind in kinds.items()]
                yield pa.record_batch(columns, schema=target)
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise _unreadable_parquet(error) from None

    return RowReader(kinds, batches, unread=unread)


def _converted(batch: pa.RecordBatch, name: str, kind: Kind, reading: Reading) -> pa.Array:
    try:
        return of_arrow(batch.column(name), kind, reading.missing_of(name))
    except pa.ArrowInvalid as error:
        raise refused(f"columns.{name}", str(error)[:200], "store it as float64, or as text if it is a name") from None


def _unreadable_parquet(error: Exception) -> DataError:
    said = " ".join(str(error).split())[:200]
    return refused("body", f"not a whole Parquet file: {said}", "write the file again and send all of it")
