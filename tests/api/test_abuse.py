"""One tenant does its worst with a valid key; meanwhile another one, health and the memory of the API are looked at."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hposvc.access import keys, tenants
from hposvc.db.engine import create_engine
from tests.support.commands import ServerProcess
from tests.support.environment import without_settings
from tests.support.serving import SPEC

MEMORY = 600 * 2**20
PATIENCE = 60.0


@contextmanager
def abused(database_url: str, folder: Path, scale: float) -> Iterator[tuple[ServerProcess, httpx.Client, Any]]:
    """An API under abuse of one tenant, a client of another one, and the process that abuses."""
    engine = create_engine(database_url)
    tenants.Tenants(engine).create("neighbour")
    tokens = {
        tenant: keys.Keys(engine).create(tenant=tenant, name="k", scope="submit")[1]
        for tenant in ("default", "neighbour")
    }
    engine.dispose()
    server = ServerProcess("api", folder / "data", HPOSVC_DATABASE_URL=database_url)
    abuser = subprocess.Popen(
        ["nice", sys.executable, "-m", "tests.support.abuser", server.url, tokens["default"], str(scale)],
        cwd=Path(__file__).parents[2],
        env=without_settings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert abuser.stdout is not None
        assert abuser.stdout.readline() == "begun\n"
        shown = {"Authorization": f"Bearer {tokens['neighbour']}"}
        with httpx.Client(base_url=server.url, headers=shown, trust_env=False, timeout=PATIENCE) as client:
            yield server, client, abuser
    finally:
        abuser.kill()
        abuser.wait()
        server.stop()


def outcome(abuser: Any) -> dict[str, int]:
    """How many responses of each status the one that abuses got."""
    said, _ = abuser.communicate(timeout=PATIENCE * 2)
    counts: dict[str, int] = json.loads(said)
    return counts


def peak(pid: int) -> int:
    """The most memory that a process has held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def served(client: httpx.Client, method: str, path: str, times: int, **options: Any) -> list[float]:
    """How long each request took; all of them must be served."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        answer = client.request(method, path, **options)
        seconds.append(time.perf_counter() - begun)
        assert answer.status_code in (200, 202), (path, answer.text)
    return seconds


def percentile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]


@pytest.mark.slow
def test_others_are_served_while_one_tenant_has_everything_under_way(database_url: str, tmp_path: Path) -> None:
    """The short form: all kinds of abuse at once, and nobody else waits for their end or is refused."""
    with abused(database_url, tmp_path, 0.02) as (server, client, abuser):
        paths = ("/healthz", "/v1/jobs", "/v1/tenant", "/v1/datasets")
        with ThreadPoolExecutor(len(paths) + 1) as pool:
            looks = [pool.submit(served, client, "GET", path, 8) for path in paths]
            sent = pool.submit(served, client, "POST", "/v1/jobs", 4, json=SPEC)
            assert [len(future.result()) for future in looks] == [8] * len(paths)
            assert len(sent.result()) == 4
        assert client.get("/v1/jobs").json()["total"] == 4  # only its own
        assert peak(server.process.pid) < MEMORY
        counts = outcome(abuser)
    assert not [name for name in counts if name.split()[-1].startswith("5")], counts


@pytest.mark.long
def test_one_tenant_at_its_worst(database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole form; prints latencies and memory."""
    with abused(database_url, tmp_path, 1) as (server, client, abuser):
        done = threading.Event()
        seconds: dict[str, list[float]] = {"GET": [], "POST": [], "health": []}

        def keep_asking(name: str, method: str, path: str, **options: Any) -> None:
            while not done.wait(0.05):
                seconds[name] += served(client, method, path, 1, **options)

        with ThreadPoolExecutor(5) as pool:
            asking = [
                pool.submit(keep_asking, "GET", "GET", "/v1/jobs"),
                pool.submit(keep_asking, "GET", "GET", "/v1/tenant"),
                pool.submit(keep_asking, "POST", "POST", "/v1/jobs", json=SPEC),
                pool.submit(keep_asking, "health", "GET", "/healthz"),
            ]
            done.wait(60)
            done.set()
            for future in asking:
                future.result()
        memory = peak(server.process.pid)
        counts = outcome(abuser)
    with capsys.disabled():
        print(f"\n{database_url.partition(':')[0]}: peak of the API {memory / 2**20:.0f} MB")
        for name, found in seconds.items():
            print(
                f"{name:>6}: {len(found):5} requests, median {percentile(found, 0.5):.3f} s, "
                f"p99 {percentile(found, 0.99):.3f} s, worst {max(found):.3f} s"
            )
        print(f"the abuser got {counts}")
    assert memory < MEMORY
    assert not [name for name in counts if name.split()[-1].startswith("5")], counts
