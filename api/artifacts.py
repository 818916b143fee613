"""Artifacts out of the store, whatever store it is."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
from fastapi import Response
from fastapi.responses import FileResponse, StreamingResponse
from fsspec.implementations.local import LocalFileSystem

from api.problem_details import Problem
from hposvc.jobs.resources import ArtifactResource

CHUNK = 1024 * 1024
MEDIA_TYPES = {".parquet": "application/vnd.apache.parquet", ".safetensors": "application/octet-stream"}


def file_response(artifact: ArtifactResource) -> Response:
    """The bytes of an artifact as a download; ranges are served from a local store. Raises Problem if it is gone."""
    filesystem, path = fsspec.url_to_fs(artifact.url)
    if not filesystem.exists(path):
        raise Problem("artifact-missing", f"{artifact.name} is recorded, but the store has it no longer.")
    suffix = Path(artifact.name).suffix
    media_type = MEDIA_TYPES.get(suffix) or mimetypes.guess_type(artifact.name)[0] or "application/octet-stream"
    headers = {"ETag": f'"{artifact.sha256}"'}
    if isinstance(filesystem, LocalFileSystem):
        return FileResponse(path, media_type=media_type, filename=artifact.name, headers=headers)
    headers |= {"Content-Length": str(artifact.size), "Content-Disposition": f'attachment; filename="{artifact.name}"'}
    return StreamingResponse(_chunks(filesystem, path), media_type=media_type, headers=headers)


def _chunks(filesystem: Any, path: str) -> Iterator[bytes]:
    with filesystem.open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
