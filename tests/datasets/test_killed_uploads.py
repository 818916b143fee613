"""An API that is killed in the middle of an upload: after the next start, nothing of it is left anywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from hposvc.client import Client
from hposvc.db.engine import create_engine
from hposvc.db.tables import datasets
from hposvc.failpoints import DATASETS
from hposvc.operate.embedded import announced
from hposvc.settings import Settings
from tests.support.bad_files import CSV, csv
from tests.support.commands import until
from tests.support.environment import without_settings
from tests.support.serving import PATIENCE

pytestmark = pytest.mark.durability

# Killed here, the upload is complete; at every other point nothing of it may be left.
KEPT = {"dataset.committed"}
ROWS = 50_000  # several reads of a socket


class Api:
    """``hposvc api`` as a process of its own, which can be killed at a point."""

    def __init__(self, data_dir: Path, failpoint: str = "") -> None:
        self.settings = Settings(data_dir=data_dir)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hposvc", "api", "--port", "0"],
            env=without_settings(HPOSVC_DATA_DIR=str(data_dir), HPOSVC_FAILPOINTS=failpoint),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.url: str = until(self._address, "an address")
        with Client(self.url) as client:
            until(client.is_ready, "readiness")

    def _address(self) -> str | None:
        server = announced(self.settings)
        return server["url"] if server.get("pid") == self.process.pid else None

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def data_dir(tmp_path: Path, migrated_sqlite: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for file in migrated_sqlite.parent.glob(f"{migrated_sqlite.name}*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def slowly(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 4096):
        yield content[start : start + 4096]


def upload_and_remove(client: httpx.Client) -> None:
    answer = client.post("/v1/datasets?label=y", content=slowly(csv(ROWS)), headers={"Content-Type": CSV})
    client.delete(answer.json()["links"]["self"])  # for the point within the removal


@pytest.mark.parametrize("point", DATASETS)
def test_nothing_is_left_of_an_upload_that_was_killed(point: str, data_dir: Path) -> None:
    api = Api(data_dir, f"{point}@3" if point == "dataset.receiving" else point)
    try:
        with httpx.Client(base_url=api.url, trust_env=False, timeout=60) as client, pytest.raises(httpx.TransportError):
            upload_and_remove(client)
        assert api.process.wait(60) == -9
    finally:
        api.process.kill()
        api.process.wait()
    assert list((data_dir / "uploads").iterdir()), "the killed process should have left its directory"
    after = Api(data_dir)
    try:
        kept = [path for path in (data_dir / "store").rglob("*") if path.is_file()]
        engine = create_engine(f"sqlite:///{data_dir / 'hposvc.sqlite3'}")
        with engine.connect() as connection:
            rows = connection.execute(sa.select(datasets.c.url)).scalars().all()
        engine.dispose()
        assert list((data_dir / "uploads").iterdir()) == []
        assert [path.as_uri() for path in kept] == list(rows)
        assert len(rows) == (point in KEPT)
        with Client(after.url) as client:  # and the same file can be sent again
            path = data_dir.parent / "again.csv"
            path.write_bytes(csv(ROWS))
            assert client.add_dataset(path, label="y").rows == ROWS
    finally:
        after.stop()


def test_nothing_is_left_of_an_upload_that_the_client_gave_up(data_dir: Path) -> None:
    api = Api(data_dir)
    try:
        content = csv(ROWS)

        def broken() -> Iterator[bytes]:
            yield content[: len(content) // 2]
            until(lambda: list((data_dir / "uploads").glob("*/body")) or None, "the upload begins")
            raise ConnectionError

        with (
            httpx.Client(base_url=api.url, trust_env=False, timeout=PATIENCE) as client,
            pytest.raises(ConnectionError),
        ):
            client.post("/v1/datasets", content=broken(), headers={"Content-Type": CSV})
        until(lambda: not list((data_dir / "uploads").iterdir()) or None, "tidying up")
        assert not (data_dir / "store").exists()
    finally:
        api.stop()
