"""The store on S3, as moto plays it: a real server."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from hposvc.datasets.errors import DatasetNotFound
from hposvc.datasets.service import Datasets
from hposvc.db.engine import create_engine
from hposvc.jobs.stored_file import StoredFile
from hposvc.schema.spec import JobSpec
from hposvc.storage import aws_credentials
from hposvc.storage.store import Store, StoreError, locate
from hposvc.tables.options import UploadOptions
from tests.support.bad_files import csv
from tests.support.environment import FOUND
from tests.support.harness import Service, tiny_spec
from tests.support.moto import Moto, moto
from tests.support.serving import PATIENCE, RESULT, Server, succeeded


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def bucket(server: Moto, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return f"s3://{server.bucket}/hposvc"


def test_files_come_and_go(bucket: str, tmp_path: Path) -> None:
    store, here = Store(bucket), tmp_path / "here"
    here.write_bytes(bytes(range(256)) * 1000)
    url = store.put(here, "jobs/1/file")
    store.get(url, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == here.read_bytes()
    with store.open(url) as file:
        file.seek(1000)
        assert file.read(10) == here.read_bytes()[1000:1010]
        file.seek(-3, os.SEEK_END)
        assert file.read() == here.read_bytes()[-3:]
        assert file.read() == b""
    store.remove(url)
    store.remove(url)
    with pytest.raises(FileNotFoundError):
        store.get(url, tmp_path / "gone")


def test_a_file_of_several_parts_is_whole(bucket: str, tmp_path: Path) -> None:
    """Stores take large files in parts of some megabytes, and answer in such."""
    store, here = Store(bucket), tmp_path / "here"
    here.write_bytes(random.Random(0).randbytes(23_000_001))
    url = store.put(here, "jobs/1/large")
    store.get(url, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == here.read_bytes()
    with store.open(url) as file:
        assert file.read() == here.read_bytes()


def test_what_is_below_a_key_goes_and_nothing_beside_it(bucket: str, tmp_path: Path) -> None:
    store, here = Store(bucket), tmp_path / "here"
    here.write_text("")
    below = [store.put(here, f"many/1/{number}") for number in range(1001)]  # S3 lists and removes 1,000 at a time
    beside = store.put(here, "many/12/0")
    store.remove_all("many/1")
    filesystem, path = locate(f"{bucket}/many/1")
    assert not filesystem.exists(path)
    with pytest.raises(FileNotFoundError):
        store.open(below[-1])
    assert store.open(beside).read() == b""


def test_a_data_set_lives_there(bucket: str, tmp_path: Path, migrated_sqlite: Path) -> None:
    for file in migrated_sqlite.parent.glob(f"{migrated_sqlite.name}*"):
        shutil.copy(file, tmp_path / file.name)
    engine = create_engine(f"sqlite:///{tmp_path / migrated_sqlite.name}")
    datasets = Datasets(engine, Store(bucket), tmp_path / "uploads")
    with datasets.incoming() as incoming:
        incoming.path.write_bytes(csv(60))
        found, new = datasets.add(incoming, sha256="0" * 64, name="a.csv", options=UploadOptions(label="y"))
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


def put_in_a_process(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Store a file, in a process that has only these variables of AWS."""
    (tmp_path / "here").write_text("hello")
    code = (
        "import sys; from pathlib import Path; from hposvc.storage.store import Store\n"
        "Store(sys.argv[1]).put(Path('here'), 'a')"
    )
    clean = {name: value for name, value in FOUND.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-c", code, variables.pop("url")],
        env=clean | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"} | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("where", ["AWS_SHARED_CREDENTIALS_FILE", "HOME"])
def test_keys_are_read_from_the_file_of_aws_s_own_tools(server: Moto, tmp_path: Path, where: str) -> None:
    """And an endpoint without TLS is used when it is written so. Neither is obstore's own doing."""
    file = tmp_path / ("keys" if where != "HOME" else ".aws/credentials")
    file.parent.mkdir(exist_ok=True)
    file.write_text("[default]\naws_access_key_id = x\n[ours]\naws_access_key_id = a\naws_secret_access_key = %b\n")
    variables = {"AWS_ENDPOINT_URL": server.url, "AWS_REGION": "us-east-1", "AWS_PROFILE": "ours"}
    if where != "HOME":
        variables[where] = str(file)
    run = put_in_a_process(tmp_path, url=f"s3://{server.bucket}/{where}", **variables)
    assert run.returncode == 0, run.stderr
    keys = aws_credentials.options({"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_PROFILE": "ours"})
    assert keys == {"config": {"aws_access_key_id": "a", "aws_secret_access_key": "%b"}}


@pytest.mark.long
def test_whoever_stored_a_file_ends_well(server: Moto, tmp_path: Path) -> None:
    """A thread of an object store's that still runs Python while the process ends aborts it, one time in twenty."""
    url, variables = f"s3://{server.bucket}/ends", server.variables
    with ThreadPoolExecutor(4) as processes:
        runs = list(processes.map(lambda _: put_in_a_process(tmp_path, url=url, **variables), range(100)))
    assert [(run.returncode, run.stderr) for run in runs if run.returncode] == []


WRONG_FILES = [
    (None, "is not there"),
    ("[other]\naws_access_key_id = hunter2\n", "has no profile [default]"),
    ("[default]\naws_access_key_id = hunter2\n", "has no aws_secret_access_key"),
    ("hunter2 = hunter2\n", "is not a file of credentials, at line 1"),
]


@pytest.mark.parametrize(("content", "message"), WRONG_FILES, ids=[message for _, message in WRONG_FILES])
def test_a_file_of_keys_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "credentials"
    if content is not None:
        file.write_text(content)
    with pytest.raises(aws_credentials.CredentialsError, match=re.escape(message)) as caught:
        aws_credentials.options({"AWS_SHARED_CREDENTIALS_FILE": str(file)})
    assert "hunter2" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_variables_go_before_files(tmp_path: Path) -> None:
    assert aws_credentials.options({"AWS_ACCESS_KEY_ID": "a", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path)}) == {}
    assert (
        aws_credentials.options({"HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": "a", "AWS_ENDPOINT_URL": "https://x"})
        == {}
    )


# a store that refuses


def test_what_the_store_says_is_an_error_of_files(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("hello")
    missing = Store("s3://no-such-bucket/jobs")
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/jobs/a: .*404"):
        missing.put(tmp_path / "here", "a")
    with pytest.raises(OSError, match="no-such-bucket"):
        missing.get("s3://no-such-bucket/jobs/a", tmp_path / "there")
    with pytest.raises(StoreError):
        missing.remove_all("jobs")


def test_the_api_says_that_the_store_does_not_answer(bucket: str, migrated_sqlite: Path, tmp_path: Path) -> None:
    for file in migrated_sqlite.parent.glob(f"{migrated_sqlite.name}*"):
        shutil.copy(file, tmp_path / file.name)
    with Server(f"sqlite:///{tmp_path / migrated_sqlite.name}", tmp_path) as api:
        file = StoredFile("report.json", "report", 2, "0" * 64, "s3://no-such-bucket/report.json")
        job = succeeded(api.engine, RESULT, [file])
        answer = httpx.get(f"{api.url}/v1/jobs/{job.id}/artifacts/report.json", trust_env=False, timeout=PATIENCE)
        assert answer.status_code == 503
        assert answer.json()["type"] == "/problems/store-unavailable"
        assert answer.headers["Retry-After"]


def test_a_job_whose_files_cannot_be_stored_says_so(bucket: str, migrated_sqlite: Path, tmp_path: Path) -> None:
    """Its checkpoints are only missed; without its result it comes to nothing, and says why."""
    for file in migrated_sqlite.parent.glob(f"{migrated_sqlite.name}*"):
        shutil.copy(file, tmp_path / file.name)
    service = Service(f"sqlite:///{tmp_path / migrated_sqlite.name}", tmp_path, "s3://no-such-bucket")
    try:
        service.worker()
        job = service.until_over(service.jobs.submit(tiny_spec(max_attempts=1)).id)
        assert job.error is not None
        assert job.error.reason == "store_unavailable"
        assert "no-such-bucket" in job.error.message
        assert "\n" not in job.error.message
        assert job.progress.iteration == 60
        assert any("could not be stored" in note for note in service.notes(job.id))
    finally:
        service.close()
