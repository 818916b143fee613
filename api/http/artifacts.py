"""Artifacts out of the store, whatever store it is."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import Response
from fastapi.responses import FileResponse, StreamingResponse
from fsspec.implementations.local import LocalFileSystem

from api.http.problem_details import HTTPProblem
from hposvc.schema.job import ArtifactResource
from hposvc.storage.store import locate, speaking_of

CHUNK = 1024 * 1024
MEDIA_TYPES = {".parquet": "application/vnd.apache.parquet", ".safetensors": "application/octet-stream"}


def file_response(artifact: ArtifactResource, range_: str | None = None) -> Response:
    """The bytes of an artifact as a download, or those of one range. Raises HTTPProblem if it is gone."""
    filesystem, path = locate(artifact.url)
    with speaking_of(artifact.url):
        there = filesystem.exists(path)
    if not there:
        raise HTTPProblem("artifact-missing", f"{artifact.name} is recorded, but the store has it no longer.")
    suffix = Path(artifact.name).suffix
    media_type = MEDIA_TYPES.get(suffix) or mimetypes.guess_type(artifact.name)[0] or "application/octet-stream"
    headers = {"ETag": f'"{artifact.sha256}"'}
    if isinstance(filesystem, LocalFileSystem):
        return FileResponse(path, media_type=media_type, filename=artifact.name, headers=headers)
    headers |= {"Accept-Ranges": "bytes", "Content-Disposition": f'attachment; filename="{artifact.name}"'}
    start, stop, status = 0, artifact.size, 200
    if (wanted := _range(range_, artifact.size)) is not None:
        start, stop = wanted
        if start >= stop:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{artifact.size}"})
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{artifact.size}"
    headers["Content-Length"] = str(stop - start)
    chunks = _chunks(filesystem, path, start, stop)
    return StreamingResponse(chunks, status, media_type=media_type, headers=headers)


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None when all are wanted, or several ranges at once."""
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", (header or "").strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    return int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)


def _chunks(filesystem: Any, path: str, start: int, stop: int) -> Iterator[bytes]:
    with filesystem.open(path, "rb") as file:
        file.seek(start)
        while start < stop and (chunk := file.read(min(CHUNK, stop - start))):
            start += len(chunk)
            yield chunk
