"""Ranges of files, in any store."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from hposvc.jobs.stored_file import StoredFile
from hposvc.storage.store import Store
from tests.support.serving import RESULT, Server, succeeded


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_ranges_of_files_in_any_store(client: httpx.Client, server: Server, tmp_path: Path, scheme: str) -> None:
    content = bytes(range(256)) * 10
    local = tmp_path / "model.safetensors"
    local.write_bytes(content)
    url = local.as_uri() if scheme == "file" else Store("memory://store").put(local, f"{tmp_path.name}/model")
    file = StoredFile("model.safetensors", "model", len(content), "ab" * 32, url)
    job = succeeded(server.engine, RESULT, [file])
    path = f"/v1/jobs/{job.id}/artifacts/model.safetensors"
    whole = client.get(path)
    assert (whole.status_code, whole.content, whole.headers["Accept-Ranges"]) == (200, content, "bytes")
    for wanted, expected in (
        ("bytes=0-0", content[:1]),
        ("bytes=10-19", content[10:20]),
        ("bytes=2550-", content[2550:]),
        ("bytes=2550-99999", content[2550:]),
        ("bytes=-6", content[-6:]),
        ("bytes=-99999", content),
    ):
        part = client.get(path, headers={"Range": wanted})
        assert (part.status_code, part.content) == (206, expected), wanted
        assert part.headers["Content-Range"].endswith(f"/{len(content)}")
    beyond = client.get(path, headers={"Range": "bytes=9999-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(content)}")
