"""What the client sends: specifications and files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from hposvc.schema.spec import JobSpec

Spec = JobSpec | Mapping[str, Any] | bytes

CHUNK = 256 * 1024  # of a file on its way


def encode(spec: Spec) -> tuple[bytes, str]:
    """The body of a request and its media type."""
    if isinstance(spec, bytes):
        return spec, "application/yaml"
    if isinstance(spec, JobSpec):
        return spec.model_dump_json(exclude_unset=True).encode(), "application/json"
    return json.dumps(spec).encode(), "application/json"


def media_type(file: Path) -> str:
    """The media type of a file, by its suffix."""
    types = {
        ".csv": "text/csv",
        ".tsv": "text/csv",
        ".parquet": "application/vnd.apache.parquet",
        ".npz": "application/x-npz",
        ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }
    return types.get(file.suffix.lower(), "application/octet-stream")


def pieces(file: Path, size: int, progress: Callable[[int, int], None] | None) -> Iterator[bytes]:
    """The bytes of a file; ``progress`` is told how many went, of ``size``."""
    sent = 0
    stream: BinaryIO
    with file.open("rb") as stream:
        while piece := stream.read(CHUNK):
            yield piece
            sent += len(piece)
            if progress is not None:
                progress(sent, size)


def by_column(texts: Mapping[str, Sequence[str]] | None) -> list[str] | None:
    """COLUMN=TEXT for each text, as the service takes them."""
    if not texts:
        return None
    return [f"{column}={text}" for column, some in texts.items() for text in (list(some) or [""])]
