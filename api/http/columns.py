"""Iterations in the formats of other programs: CSV, lines of JSON, Arrow; page by page, however many there are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from hposvc.jobs.queries import METRICS
from hposvc.schema.iterations import IterationColumns
from hposvc.schema.numbers import to_json

JSON, CSV, NDJSON, ARROW = (
    "application/json",
    "text/csv",
    "application/x-ndjson",
    "application/vnd.apache.arrow.stream",
)
FORMATS = (JSON, CSV, NDJSON, ARROW)
COLUMNS = ("iteration", *METRICS)


def encode(media_type: str, pages: Iterator[IterationColumns]) -> Iterator[bytes]:
    """The pages, one after the other, as ``media_type``. What is not finite is NaN, inf and -inf in CSV."""
    return {CSV: _csv, NDJSON: _ndjson, ARROW: _arrow}[media_type](pages)


def _rows(page: IterationColumns) -> Iterator[tuple[Any, ...]]:
    return zip(*(getattr(page, name) for name in COLUMNS), strict=True)


def _csv(pages: Iterator[IterationColumns]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for page in pages:
        writer.writerows(_rows(page))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _ndjson(pages: Iterator[IterationColumns]) -> Iterator[bytes]:
    for page in pages:
        lines = (json.dumps(to_json(dict(zip(COLUMNS, row, strict=True)))) for row in _rows(page))
        yield "".join(f"{line}\n" for line in lines).encode()


def _arrow(pages: Iterator[IterationColumns]) -> Iterator[bytes]:
    import pyarrow as pa  # here: it takes a quarter of a second, and few ask for it

    schema = pa.schema([("iteration", pa.int64()), *((name, pa.float64()) for name in METRICS)])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for page in pages:
            arrays = [pa.array(getattr(page, name), field.type) for name, field in zip(COLUMNS, schema, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()
