"""The ranked rows of a finished job, as they leave: CSV in pieces, JSON, or the Parquet file itself."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Literal
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from fastapi import Response
from fastapi.responses import StreamingResponse

from api.http.problem_details import HTTPProblem
from hposvc.schema.job import ArtifactResource
from hposvc.schema.numbers import to_json
from hposvc.storage.store import Store
from hposvc.tables.formulas import marked

NAME = "rows.parquet"
Part = Literal["train", "validation", "selection", "test", "all"]
Format = Literal["csv", "parquet", "json"]
Order = Literal["suspicious", "worth_checking"]
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
BATCH_ROWS = 4096


def rows_response(
    store: Store,
    artifact: ArtifactResource,
    *,
    format_: Format,
    part: Part,
    limit: int | None,
    offset: int = 0,
    order: Order = "suspicious",
    spreadsheet: bool = False,
) -> Response:
    """``limit`` rows of one part after the first ``offset``; for a ``spreadsheet`` formulas in CSV are marked as text.

    Raises HTTPProblem: the store lost the file.
    """
    if not store.exists(artifact.url):
        raise HTTPProblem("artifact-missing", f"{artifact.name} is recorded, but the store has it no longer.")

    def pieces() -> Iterator[pa.RecordBatch]:
        with store.open(artifact.url) as stream:
            file = pq.ParquetFile(stream)
            for batch in (
                _slice(file, part, offset, limit) if order == "suspicious" else _worth(file, part, offset, limit)
            ):
                yield marked(batch) if spreadsheet and format_ == "csv" else batch

    write = {"csv": _csv, "json": _json, "parquet": _parquet}[format_]
    headers = {"Content-Disposition": f'attachment; filename="rows.{format_}"'} if format_ != "json" else {}
    return StreamingResponse(write(pieces()), media_type=MEDIA_TYPES[format_], headers=headers)


def _slice(file: pq.ParquetFile, part: Part, offset: int, limit: int | None) -> Iterator[pa.RecordBatch]:
    """Rows of one part as they lie in the file; what lies before them is read in the column of the parts alone."""
    left = limit
    for group in range(file.num_row_groups):
        parts = file.read_row_group(group, columns=["part"], use_threads=False).column(0)
        rows = len(parts) if part == "all" else pc.sum(pc.equal(parts, part)).as_py() or 0
        if rows <= offset:
            offset -= rows
            continue
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], use_threads=False):
            chosen = batch if part == "all" else batch.filter(pc.equal(batch.column("part"), part))
            chosen, offset = chosen.slice(offset), max(0, offset - chosen.num_rows)
            chosen = chosen if left is None else chosen.slice(0, left)
            if left is not None:
                left -= chosen.num_rows
            yield chosen
            if left == 0:
                return


def _worth(file: pq.ParquetFile, part: Part, offset: int, limit: int | None) -> Iterator[pa.RecordBatch]:
    """Rows whose check would tell most first: those whose label is as likely wrong as right (see ``check_next``)."""
    if "probability_wrong" not in file.schema_arrow.names:
        yield from _slice(file, part, offset, limit)
        return
    known = file.read(["part", "probability_wrong"], use_threads=False)
    wrong = known.column("probability_wrong").cast(pa.float64()).to_numpy()
    found = (
        np.isfinite(wrong) if part == "all" else np.isfinite(wrong) & pc.equal(known.column("part"), part).to_numpy()
    )
    places = np.flatnonzero(found)
    places = places[np.argsort(-wrong[places] * (1 - wrong[places]), kind="stable")]
    wanted = places[offset : None if limit is None else offset + limit]
    begin, kept = 0, []
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        inside = np.sort(wanted[(wanted >= begin) & (wanted < begin + rows)])
        if len(inside):  # neighbours in this order are neighbours in the file, so few groups are read
            kept += file.read_row_group(group, use_threads=False).take(pa.array(inside - begin)).to_batches()
        begin += rows
    if kept:
        table = pa.Table.from_batches(kept).take(pa.array(np.searchsorted(np.sort(wanted), wanted)))
        yield from table.to_batches(BATCH_ROWS)


def table_response(
    stream: BinaryIO,
    name: str,
    arrays: Mapping[str, Sequence[str]],
    format_: Literal["csv", "parquet"],
    *,
    spreadsheet: bool = False,
) -> Response:
    """The Parquet file ``stream``, which is closed at the end; as CSV with a column for each number of an array.

    For a ``spreadsheet`` formulas in CSV are marked as text.
    """

    def pieces() -> Iterator[pa.RecordBatch]:
        with stream:
            for batch in pq.ParquetFile(stream).iter_batches(BATCH_ROWS, use_threads=False):
                rows = batch if format_ == "parquet" else _flat(batch, arrays)
                yield marked(rows) if spreadsheet and format_ == "csv" else rows

    write = {"csv": _csv, "parquet": _parquet}[format_]
    stem = name.rpartition(".")[0] if "." in name else name
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(f'{stem}.{format_}', safe='')}"}
    return StreamingResponse(write(pieces()), media_type=MEDIA_TYPES[format_], headers=headers)


def _flat(batch: pa.RecordBatch, arrays: Mapping[str, Sequence[str]]) -> pa.RecordBatch:
    columns: list[tuple[str, pa.Array]] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in arrays:
            columns += [(each, pc.list_element(column, place)) for place, each in enumerate(arrays[name])]
        else:
            columns.append((name, column))
    return pa.record_batch([column for _, column in columns], names=[name for name, _ in columns])


def _csv(pieces: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    for number, batch in enumerate(pieces):
        buffer = io.BytesIO()
        pyarrow.csv.write_csv(batch, buffer, pyarrow.csv.WriteOptions(include_header=number == 0))
        yield buffer.getvalue()


def _json(pieces: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    """A piece for each batch: a piece for each row takes a change of threads for each."""
    before = b'{"items": ['
    for batch in pieces:
        if batch.num_rows:
            columns = [_values(column) for column in batch.columns]
            rows = [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]
            yield before + json.dumps(rows, default=_plain, ensure_ascii=False)[1:-1].encode()
            before = b", "
    yield b"]}" if before == b", " else before + b"]}"


def _values(column: pa.Array) -> list[Any]:
    """The values of a column as JSON has them. What is finite or text is known to be so for the column as a whole."""
    values = column.to_pylist()
    kind = column.type
    plain = pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind)
    if pa.types.is_floating(kind):
        plain = pc.all(pc.is_finite(column), min_count=0).as_py()
    return values if plain else [to_json(value) for value in values]


def _parquet(pieces: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    sink = _Tail()
    writer: pq.ParquetWriter | None = None
    for batch in pieces:
        writer = writer or pq.ParquetWriter(sink, batch.schema)
        writer.write_batch(batch)
        yield sink.taken()
    if writer is not None:
        writer.close()
    yield sink.taken()


class _Tail(io.RawIOBase):
    """Takes a file that is written from its start to its end, and hands on each piece once."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, piece: Any) -> int:
        """Keep a piece until it is taken."""
        self._pieces.append(bytes(piece))
        self._written += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        """How much was written in all."""
        return self._written

    def taken(self) -> bytes:
        """What was written since the last time."""
        piece = b"".join(self._pieces)
        self._pieces.clear()
        return piece


def _plain(value: Any) -> str:
    return str(value.isoformat())
