"""A file of rows as the body of a request: what it may be, and writing it down as it comes."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, TypeVar

from anyio import CancelScope, to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from api.http.problem_details import HTTPProblem, field_error
from hposvc.datasets.service import Incoming
from hposvc.failpoints import failpoint

Entered = TypeVar("Entered")

# What a file is called says nothing of what it is; these are not another kind of body, such as a form.
MEDIA_TYPES = {
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/csv": "csv",
    "application/vnd.ms-excel": "csv",  # as Windows calls CSV files
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/x-npz": "npz",
    "application/gzip": "gz",
    "application/x-gzip": "gz",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/zip": "zip",
    "application/x-zip-compressed": "zip",
    "application/octet-stream": "csv",
    "text/plain": "csv",
    "application/x-www-form-urlencoded": "csv",
    "": "csv",
}

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file itself, of at most HPOSVC_MAX_UPLOAD_BYTES.",
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": "age,city,churned\n41,Lima,false\n29,Oslo,true\n"},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
            "application/x-npz": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def suffix_of(request: Request) -> str:
    """What a file of this type is called. Raises HTTPProblem: the body is none."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity")
    if media_type in MEDIA_TYPES and encoding in ("identity", "gzip"):
        return MEDIA_TYPES[media_type]
    sent = f"Content-Encoding {encoding!r}" if media_type in MEDIA_TYPES else f"Content-Type {media_type!r}"
    remedy = "Send CSV, JSON lines, Parquet, NPZ, or a .gz or .zip as text/csv or application/octet-stream."
    errors = [field_error("Content-Type", "is not that of a file of rows", remedy, media_type)]
    raise HTTPProblem("unsupported-file", f"{sent[:200]} is not read.", errors=errors)


@asynccontextmanager
async def on_threads(manager: AbstractContextManager[Entered]) -> AsyncIterator[Entered]:
    """``manager``, entered and left on a thread, because it waits for a disk."""
    entered = await to_thread.run_sync(manager.__enter__)
    try:
        yield entered
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(manager.__exit__, *sys.exc_info())


async def receive_file(request: Request, incoming: Incoming, take: Callable[[int], None]) -> str:
    """Write the body down as it comes; returns its SHA-256. It is never wholly in memory.

    ``take`` is told the size of each piece before that is written.
    """
    digest = hashlib.sha256()
    with incoming.path.open("wb") as file:
        try:
            async for chunk in request.stream():
                failpoint("dataset.receiving")
                take(len(chunk))
                digest.update(chunk)
                file.write(chunk)
        except ClientDisconnect:
            raise HTTPProblem("request-failed", "The connection ended before the whole file had come.") from None
    failpoint("dataset.received")
    return digest.hexdigest()
