"""Artifacts out of the store, whatever store it is."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path

from fastapi import Response
from fastapi.responses import FileResponse, StreamingResponse

from api.http.problem_details import HTTPProblem
from hposvc.schema.job import ArtifactResource
from hposvc.storage.store import Store

MEDIA_TYPES = {".parquet": "application/vnd.apache.parquet", ".safetensors": "application/octet-stream"}


def file_response(store: Store, artifact: ArtifactResource, range_: str | None = None) -> Response:
    """The bytes of an artifact as a download, or those of one range. Raises HTTPProblem if it is gone."""
    if not store.exists(artifact.url):
        raise HTTPProblem("artifact-missing", f"{artifact.name} is recorded, but the store has it no longer.")
    suffix = Path(artifact.name).suffix
    media_type = MEDIA_TYPES.get(suffix) or mimetypes.guess_type(artifact.name)[0] or "application/octet-stream"
    headers = {"ETag": f'"{artifact.sha256}"'}
    path = store.local_path(artifact.url)
    if path is not None:
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
    pieces = store.read(artifact.url, start, stop)
    return StreamingResponse(pieces, status, media_type=media_type, headers=headers)


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None when all are wanted, or several ranges at once."""
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", (header or "").strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    return int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
