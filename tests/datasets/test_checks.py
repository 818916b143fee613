"""Uploaded data is read for a check, or to be looked at, by a process that knows little and may take little."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hposvc import confined
from hposvc.confined import Bounds, forking
from hposvc.datasets import confined_reading
from hposvc.storage.environment import of_store
from tests.support.bad_files import CSV, NPZ, PARQUET, npz
from tests.support.harness import children_of, eventually, gone
from tests.support.problems import problem
from tests.support.serving import SPEC

CHILD = "tests.support.environment_of_child"
ENOUGH = Bounds(seconds=60, memory=2**32)
FILE = b"age,target\n" + b"".join(b"%d,%d\n" % (number, number % 2) for number in range(60))


def long_labels() -> bytes:
    """A file of a few kB, whose labels are 300 MB where each is a string of its own."""
    sink = io.BytesIO()
    rows = pa.table({"age": [1, 2] * 200_000, "target": ["a" * 190, "b" * 190] * 200_000})
    pq.write_table(rows, sink)
    return sink.getvalue()


def uploaded(client: httpx.Client, content: bytes = FILE, media_type: str = CSV) -> str:
    answer = client.post("/v1/datasets", content=content, headers={"Content-Type": media_type})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


def on(dataset: str) -> dict[str, Any]:
    return SPEC | {"dataset": {"id": dataset}}


def test_the_process_gets_bounds_and_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPOSVC_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    found = confined.call(CHILD, "say", ENOUGH, {"FOR_IT": "1"})
    assert {"FOR_IT"} <= {*found["variables"]} <= {"FOR_IT", "LC_CTYPE", *confined.KEPT, *confined.FRUGAL}
    assert "secret" not in str(found)
    assert found["memory"] == ENOUGH.memory
    with pytest.raises(confined.TooLargeError):
        confined.call(CHILD, "grow", ENOUGH)
    with pytest.raises(confined.CrashedError):
        confined.call(CHILD, "die", ENOUGH)
    with pytest.raises(confined.TooSlowError):
        confined.call(CHILD, "linger", Bounds(seconds=1, memory=2**32))
    assert children_of(found["parent"]) == [], "it is gone by then"


def test_processes_are_forked_from_one_server_and_have_nothing_of_it_or_of_each_other() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: confined.call(CHILD, "say", ENOUGH, {f"N{number}": "1"}), range(8)))
    assert len({each["pid"] for each in found}) == 8
    assert len({each["parent"] for each in found}) == 1
    for number, each in enumerate(found):
        assert {name for name in each["variables"] if name.startswith("N")} == {f"N{number}"}
        assert each["files"] == [0, 1, 2, 3, 4], "the last one is that with which it lists them"
    server = found[0]["parent"]
    assert b"N0=" not in Path(f"/proc/{server}/environ").read_bytes()
    assert children_of(server) == []
    os.kill(server, signal.SIGKILL)
    assert confined.call(CHILD, "print", ENOUGH)["parent"] != server


def test_a_server_that_does_not_respond_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    forking.end()
    monkeypatch.setattr(forking, "STARTS_WITHIN", 5.0)
    server = confined.call(CHILD, "say", ENOUGH)["parent"]
    os.kill(server, signal.SIGSTOP)
    assert confined.call(CHILD, "say", ENOUGH)["parent"] != server
    assert gone(server)
    forking.end()  # the next one waits as long as usual


def test_the_server_and_its_children_end_with_whoever_asked() -> None:
    script = f"""
from hposvc import confined
print(confined.call({CHILD!r}, "say", confined.Bounds(60, 2**32))["parent"], flush=True)
confined.call({CHILD!r}, "linger", confined.Bounds(600, 2**32))
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = int(process.stdout.readline())
        eventually(lambda: children_of(server), "a child")
        children = children_of(server)
        process.kill()
    for pid in (server, *children):
        eventually(lambda pid=pid: gone(pid), f"the end of {pid}")  # type: ignore[misc]


def test_it_starts_where_another_thread_holds_a_lock_that_a_fork_waits_for() -> None:
    """Libraries with threads of their own have such locks; a child between fork and exec would wait for ever."""
    script = f"""
import os, threading
from hposvc import confined
held = threading.Lock()
held.acquire()
os.register_at_fork(after_in_child=held.acquire)
print(confined.call({CHILD!r}, "say", confined.Bounds(60, 2**32))["memory"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=100, check=True)
    assert int(done.stdout) == 2**32


def test_it_gets_the_keys_of_its_own_store_only() -> None:
    names = ("AWS_SECRET_ACCESS_KEY", "GOOGLE_API_KEY", "HTTPS_PROXY", "HOME", "HPOSVC_STORE_URL")
    variables = dict.fromkeys(names, "x")
    assert of_store("file:///srv/store", variables) == {}
    assert {*of_store("s3://bucket", variables)} == {"AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "HOME"}
    assert {*of_store("gs://bucket", variables)} == {"GOOGLE_API_KEY", "HTTPS_PROXY", "HOME"}


@pytest.mark.parametrize(
    ("bounds", "said"),
    [(Bounds(120, 2**30), "memory"), (Bounds(0, 2**32), "more than 0 s")],
    ids=["memory", "time"],
)
def test_data_that_takes_too_much_is_refused(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, bounds: Bounds, said: str
) -> None:
    dataset = uploaded(client, long_labels(), PARQUET)
    monkeypatch.setattr(confined_reading, "BOUNDS", bounds)
    for query in ("", "?dry_run=true"):
        document = problem(client.post(f"/v1/jobs{query}", json=on(dataset)), 422, "invalid-spec")
        assert said in document["errors"][0]["message"]
        assert "fewer rows" in document["errors"][0]["remedy"]
    assert client.post("/v1/jobs?dry_run=true", json=SPEC).status_code == 200  # that one comes with the service


def test_rows_of_uploaded_images_are_shown_as_they_came(client: httpx.Client) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 4, 5)).astype(np.uint8)
    dataset = uploaded(client, npz(X=pixels, y=np.arange(40) % 2), NPZ)
    job = client.post("/v1/jobs", json=on(dataset)).json()["id"]
    found = client.get(f"/v1/jobs/{job}/rows/features", params={"id": ["7", "0", "none"]}).json()
    assert [row["id"] for row in found["items"]] == ["7", "0"]
    assert found["items"][0]["values"] == pixels[7].ravel().tolist()
    assert found["image"]["low"] == pixels.min()
    assert (found["image"]["height"], found["image"]["width"]) == (4, 5)
