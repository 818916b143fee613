"""An API that is killed while decisions come in: what was shown as saved is there afterwards, and nothing by halves."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from hposvc.failpoints import REVIEWS, UNDOING
from tests.support.commands import ServerProcess
from tests.support.reviewing import add_flowers, decide, right

pytestmark = pytest.mark.durability

BATCH = 3  # rows in one request
SURVIVED = 4  # requests before the one that dies


def folder_of(migrated: Path, tmp_path: Path) -> Path:
    """A data directory with a copy of a database."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    for file in migrated.parent.glob(f"{migrated.name}*"):
        (data_dir / file.name).write_bytes(file.read_bytes())
    return data_dir


@pytest.mark.parametrize("point", REVIEWS)
def test_no_decision_that_was_shown_as_saved_is_lost(point: str, tmp_path: Path, migrated_sqlite: Path) -> None:
    data_dir = folder_of(migrated_sqlite, tmp_path)
    api = ServerProcess("api", data_dir, HPOSVC_FAILPOINTS=f"{point}@{SURVIVED + 1}")
    requests = [[f"f-{i + j:02d}" for j in range(BATCH)] for i in range(0, 60, BATCH)]
    saved: list[str] = []

    def send_until_nobody_responds(client: httpx.Client, path: str) -> None:
        for names in requests:
            decide(client, path, *map(right, names))
            saved.extend(names)

    try:
        with httpx.Client(base_url=api.url, trust_env=False, timeout=60) as client:
            path = add_flowers(client)
            with pytest.raises(httpx.TransportError):
                send_until_nobody_responds(client, path)
        assert api.process.wait(60) == -9
    finally:
        api.process.kill()
        api.process.wait()
    assert len(saved) == BATCH * SURVIVED
    after = ServerProcess("api", data_dir)
    try:
        with httpx.Client(base_url=after.url, trust_env=False, timeout=60) as client:
            kept = [item["row"] for item in client.get(f"{path}/reviews").json()["items"]]
    finally:
        after.stop()
    assert kept == (saved if point == "review.before_commit" else saved + requests[SURVIVED])


@pytest.mark.parametrize("point", UNDOING)
def test_an_undo_is_done_whole_or_not_at_all_and_can_be_repeated(
    point: str, tmp_path: Path, migrated_sqlite: Path
) -> None:
    data_dir = folder_of(migrated_sqlite, tmp_path)
    api = ServerProcess("api", data_dir, HPOSVC_FAILPOINTS=point)
    try:
        with httpx.Client(base_url=api.url, trust_env=False, timeout=60) as client:
            path = add_flowers(client)
            batch = decide(client, path, *(right(f"f-{i:02d}") for i in range(BATCH)))["batch"]
            with pytest.raises(httpx.TransportError):
                client.delete(f"{path}/reviews", params={"batch": batch})
        assert api.process.wait(60) == -9
    finally:
        api.process.kill()
        api.process.wait()
    after = ServerProcess("api", data_dir)
    try:
        with httpx.Client(base_url=after.url, trust_env=False, timeout=60) as client:
            kept = client.get(f"{path}/reviews").json()["items"]
            assert len(kept) == (BATCH if point == "undo.before_commit" else 0)
            assert client.delete(f"{path}/reviews", params={"batch": batch}).json()["undone"] == BATCH
            assert client.get(f"{path}/reviews").json()["items"] == []
    finally:
        after.stop()
