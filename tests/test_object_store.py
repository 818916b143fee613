"""The store on S3, as moto plays it: a real server, in an environment of its own that ``make test`` makes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hposvc.datasets.service import DatasetNotFound, Datasets
from hposvc.db.engine import create_engine
from hposvc.jobs.spec import JobSpec
from hposvc.store import Store, StoreError, locate
from hposvc.tabular.wishes import Wishes
from tests.datasets.bad_files import csv

MOTO = Path(__file__).parents[1] / ".peers" / "moto" / "bin" / "moto_server"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert MOTO.exists(), "run: make .peers/moto/.installed"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("wb")
    server = subprocess.Popen([MOTO, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=10).close()
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT"), timeout=60).close()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {
                "AWS_ACCESS_KEY_ID": "somebody",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": url,
                "AWS_ALLOW_HTTP": "true",
            }.items():
                patch.setenv(name, value)
            yield "s3://bucket/hposvc"
    finally:
        server.terminate()
        server.wait()
        log.close()


def test_files_come_and_go(bucket: str, tmp_path: Path) -> None:
    store, here = Store(bucket), tmp_path / "here"
    here.write_bytes(bytes(range(256)) * 1000)
    url = store.put(here, "jobs/1/file")
    store.get(url, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == here.read_bytes()
    with store.open(url) as file:
        file.seek(1000)
        assert file.read(10) == here.read_bytes()[1000:1010]
    store.remove(url)
    store.remove(url)
    with pytest.raises(FileNotFoundError):
        store.get(url, tmp_path / "gone")


def test_a_data_set_lives_there(bucket: str, tmp_path: Path, migrated_sqlite: Path) -> None:
    for file in migrated_sqlite.parent.glob(f"{migrated_sqlite.name}*"):
        shutil.copy(file, tmp_path / file.name)
    engine = create_engine(f"sqlite:///{tmp_path / migrated_sqlite.name}")
    datasets = Datasets(engine, Store(bucket), tmp_path / "uploads")
    with datasets.incoming() as incoming:
        incoming.path.write_bytes(csv(60))
        found, new = datasets.add(incoming, sha256="0" * 64, name="a.csv", format_="csv", wishes=Wishes(label="y"))
    assert new
    assert datasets.preview(found.id, limit=1).rows == [[0, 0.5, "x"]]
    spec = JobSpec.model_validate({"kind": "data_reweighting", "dataset": {"id": found.id}})
    assert datasets.check(spec).spec.dataset.label == "y"
    datasets.remove(found.id)
    with pytest.raises(DatasetNotFound):
        datasets.get(found.id)
    filesystem, path = locate(f"{bucket}/datasets/{found.id}")
    assert not filesystem.exists(path)
    engine.dispose()


def test_a_store_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(StoreError, match="nonsense"):
        Store("nonsense://bucket").remove_all("x")
