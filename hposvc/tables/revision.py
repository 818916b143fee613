"""A Parquet file of rows with some of its labels replaced, some of its rows dropped, and a column that says so.

Knows files and columns only: what was decided comes as the places of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hposvc.tables.kinds import kind_of

Done = Literal["confirmed", "relabelled", "unsure"]
CORRECTED: Done = "relabelled"
CHECKED: tuple[Done, ...] = ("confirmed", CORRECTED)  # the labels of these rows are right
BATCH_ROWS = 4096


@dataclass(frozen=True)
class Revision:
    """What is done to the rows of a file, by their places from 0.

    ``labels`` are new values of the column ``label``, ``dropped`` the rows that are left out, and ``done`` what the
    column ``review`` says of the others; where it is silent, a column of that name in the file keeps its word.
    """

    label: str
    review: str
    labels: Mapping[int, Any]
    dropped: frozenset[int]
    done: Mapping[int, Done]


def revise(source: BinaryIO, target: Path, revision: Revision) -> int:
    """Write the rows of ``source`` to ``target`` as ``revision`` says; returns how many are left.

    Columns keep their order and types; ``review`` stands last where it is new.
    """
    file = pq.ParquetFile(source)
    rows, names = file.metadata.num_rows, file.schema_arrow.names
    labels = _replaced(file.read([revision.label], use_threads=False).column(0), revision.labels)
    before = file.read([revision.review], use_threads=False).column(0) if revision.review in names else None
    done = _replaced(pa.chunked_array([pa.nulls(rows, pa.string())]) if before is None else before, revision.done)
    kept = np.ones(rows, dtype=bool)
    kept[list(revision.dropped)] = False
    new = {revision.label: labels, revision.review: done}
    schema = pa.schema(
        [(name, new[name].type if name in new else file.schema_arrow.field(name).type) for name in names]
    )
    if before is None:
        schema = schema.append(pa.field(revision.review, pa.string()))
    start = 0
    with pq.ParquetWriter(target, schema) as writer:
        for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
            stretch = slice(start, start + batch.num_rows)
            columns = [
                new[name].slice(start, batch.num_rows).combine_chunks() if name in new else batch.column(name)
                for name in schema.names
            ]
            table = pa.Table.from_arrays(columns, schema=schema).filter(pa.array(kept[stretch]))
            if table.num_rows:
                writer.write_table(table)
            start += batch.num_rows
    return int(kept.sum())


def values_of(path: Path, column: str) -> list[Any]:
    """The different values of a column, sorted, without the missing ones."""
    return sorted(pc.unique(pc.drop_null(pq.ParquetFile(path).read([column], use_threads=False).column(0))).to_pylist())


def counted(path: Path, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The descriptions of ``columns`` with the missing and distinct values of the file at ``path``."""
    file = pq.ParquetFile(path)
    found = []
    for column in columns:
        type_ = file.schema_arrow.field(column["name"]).type if column["name"] in file.schema_arrow.names else None
        if type_ is None or kind_of(type_) in ("array", "other"):
            found.append(column)
            continue
        values = file.read([column["name"]], use_threads=False).column(0)
        distinct = pc.count_distinct(values, mode="only_valid").as_py()
        found.append(column | {"missing": values.null_count, "distinct": distinct})
    return found


def _replaced(column: pa.ChunkedArray, values: Mapping[int, Any]) -> pa.ChunkedArray:
    """The column with other values at some places; whole numbers become fractions if one of the new ones is."""
    whole = pa.types.is_integer(column.type)
    if whole and any(isinstance(value, float) and not value.is_integer() for value in values.values()):
        column, whole = column.cast(pa.float64()), False
    mask = np.zeros(len(column), dtype=bool)
    places = sorted(values)
    mask[places] = True
    new = [int(values[place]) if whole else values[place] for place in places]
    return pa.chunked_array([pc.replace_with_mask(column.combine_chunks(), pa.array(mask), pa.array(new, column.type))])
