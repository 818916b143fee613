"""One tenant does its worst with a valid key; meanwhile another one, health and the memory of the API are looked at."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import sqlalchemy as sa

from hposvc.access import keys, tenants
from hposvc.db.engine import create_engine, write
from hposvc.db.tables import jobs
from hposvc.jobs.service import Jobs
from hposvc.schema.spec import JobSpec
from hposvc.webhooks.service import MOST as MOST_WEBHOOKS
from hposvc.webhooks.service import Webhooks
from tests.support.commands import ServerProcess, until
from tests.support.environment import without_settings
from tests.support.receiver import Receiver
from tests.support.serving import SPEC

MEMORY = 600 * 2**20
JOBS = 100_000
ROUNDS = 4
PATIENCE = 60.0


class Abuse:
    """An API with many jobs of one tenant, which does its worst when told to, and a client of another tenant."""

    def __init__(self, database_url: str, folder: Path, scale: float) -> None:
        engine = create_engine(database_url)
        tenants.Tenants(engine).create("neighbour")
        tokens = {
            tenant: keys.Keys(engine).create(tenant=tenant, name="k", scope="submit")[1]
            for tenant in ("default", "neighbour")
        }
        fill(engine, round(JOBS * scale))
        self.receiver = Receiver()
        self.deaf = socket.create_server(("127.0.0.1", 0), backlog=1000)  # it takes connections up, and says nothing
        hooks = Webhooks(engine)
        hooks.add("neighbour", self.receiver.url, secret=None, private=True)
        for number in range(MOST_WEBHOOKS):
            url = f"http://127.0.0.1:{self.deaf.getsockname()[1]}/{number}"
            hooks.add("default", url, secret=None, private=True)
        engine.dispose()
        self.server = ServerProcess(
            "api", folder / "data", HPOSVC_DATABASE_URL=database_url, HPOSVC_WEBHOOKS_PRIVATE="true"
        )
        self._abuser = subprocess.Popen(
            ["nice", sys.executable, "-m", "tests.support.abuser", self.server.url, tokens["default"], str(scale)],
            cwd=Path(__file__).parents[2],
            env=without_settings(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        shown = {"Authorization": f"Bearer {tokens['neighbour']}"}
        self.client = httpx.Client(base_url=self.server.url, headers=shown, trust_env=False, timeout=PATIENCE)

    def tell(self, word: str, wanted: str) -> None:
        """Let the one that abuses go or rest, and wait until it does."""
        assert self._abuser.stdin is not None
        assert self._abuser.stdout is not None
        self._abuser.stdin.write(f"{word}\n")
        self._abuser.stdin.flush()
        assert self._abuser.stdout.readline() == f"{wanted}\n"

    def outcome(self) -> dict[str, int]:
        """How many responses of each status the one that abuses got."""
        said, _ = self._abuser.communicate(timeout=PATIENCE * 2)
        counts: dict[str, int] = json.loads(said)
        return counts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._abuser.kill()
        self._abuser.wait()
        self.client.close()
        self.server.stop()
        self.deaf.close()
        self.receiver.close()


def fill(engine: sa.Engine, number: int) -> None:
    """That many jobs of the default tenant that were cancelled long ago."""
    model = Jobs(engine).submit(JobSpec.model_validate(SPEC))
    Jobs(engine).cancel(model.id)
    with write(engine) as connection:
        row = dict(connection.execute(jobs.select().where(jobs.c.id == model.id)).mappings().one())
        copies = [row | {"id": f"job_{count:020x}", "created_at": float(count)} for count in range(number)]
        connection.execute(jobs.insert(), copies)


def served(client: httpx.Client, method: str, path: str, times: int, **options: Any) -> list[float]:
    """How long each request took; all of them must be served."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        answer = client.request(method, path, **options)
        seconds.append(time.perf_counter() - begun)
        assert answer.status_code in (200, 202), (path, answer.text)
    return seconds


def told(abuse: Abuse) -> float:
    """How long after the end of a job its message came."""
    job = abuse.client.post("/v1/jobs", json=SPEC).json()["id"]
    assert abuse.client.post(f"/v1/jobs/{job}/cancel").status_code == 202
    begun = time.perf_counter()
    until(lambda: any(job.encode() in body for _, _, body in list(abuse.receiver.received)), "the message")
    return time.perf_counter() - begun


def peak(pid: int) -> int:
    """The most memory that a process has held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def percentile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]


@pytest.mark.slow
def test_others_are_served_while_one_tenant_has_everything_under_way(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The short form: all kinds of abuse at once, and nobody else waits for their end or is refused."""
    with Abuse(database_url, tmp_path, 0.02) as abuse:
        abuse.tell("go", "begun")
        paths = ("/healthz", "/readyz", "/v1/jobs", "/v1/tenant", "/v1/datasets")
        with ThreadPoolExecutor(len(paths) + 2) as pool:
            asked = {path: pool.submit(served, abuse.client, "GET", path, 8) for path in paths}
            asked["submit"] = pool.submit(served, abuse.client, "POST", "/v1/jobs", 4, json=SPEC)
            assert pool.submit(told, abuse).result() < PATIENCE
            seconds = Seconds({name: future.result() for name, future in asked.items()})
        assert [len(found) for found in seconds.values()] == [8] * len(paths) + [4]
        assert abuse.client.get("/v1/jobs").json()["total"] == 5  # only its own
        memory = peak(abuse.server.process.pid)
        counts = abuse.outcome()
        assert "Traceback" not in abuse.server.log.read_text()
    with capsys.disabled():
        print(f"\n{database_url.partition(':')[0]}, the short form: peak of the API {memory / 2**20:.0f} MB")
        for name, found in seconds.items():
            print(f"{name:>12}: {shown(found)}")
    assert memory < MEMORY
    assert not [name for name in counts if name.split()[-1].startswith("5")], counts


@pytest.mark.long
def test_one_tenant_at_its_worst(database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole form; prints latencies with and without abuse, by turns, and the memory.

    ``pytest -m "slow or long" tests/api/test_abuse.py`` runs both forms.
    """
    with Abuse(database_url, tmp_path, 1) as abuse:
        alone = Seconds()
        alone.ask(abuse, 5)  # a first time; it is not counted
        alone, under_attack = Seconds(), Seconds()
        for _ in range(ROUNDS):
            alone.ask(abuse, 8)
            abuse.tell("go", "begun")
            under_attack.ask(abuse, 16)
            abuse.tell("rest", "resting")
        memory = peak(abuse.server.process.pid)
        counts = abuse.outcome()
        log = abuse.server.log.read_text()
    with capsys.disabled():
        print(f"\n{database_url.partition(':')[0]}: peak of the API {memory / 2**20:.0f} MB")
        for name, found in under_attack.items():
            print(f"{name:>7}: {shown(found)}; alone: {shown(alone[name])}")
        print(f"the abuser got {counts}")
    assert memory < MEMORY
    assert not [name for name in counts if name.split()[-1].startswith("5")], counts
    assert "Traceback" not in log


class Seconds(dict[str, list[float]]):
    """How long requests took, by kind."""

    def ask(self, abuse: Abuse, seconds: float) -> None:
        """Send requests of each kind for so long, one at a time of each."""
        done = threading.Event()

        def keep_asking(name: str, ask: Callable[[], list[float]]) -> None:
            while not done.wait(0.05):
                self.setdefault(name, []).extend(ask())

        kinds = {
            "jobs": partial(served, abuse.client, "GET", "/v1/jobs", 1),
            "tenant": partial(served, abuse.client, "GET", "/v1/tenant", 1),
            "submit": partial(served, abuse.client, "POST", "/v1/jobs", 1, json=SPEC),
            "health": partial(served, abuse.client, "GET", "/healthz", 1),
            "ready": partial(served, abuse.client, "GET", "/readyz", 1),
            "webhook": lambda: [told(abuse)],
        }
        with ThreadPoolExecutor(len(kinds)) as pool:
            asking = [pool.submit(keep_asking, name, ask) for name, ask in kinds.items()]
            done.wait(seconds)
            done.set()
            for future in asking:
                future.result()


def shown(seconds: list[float]) -> str:
    return (
        f"{len(seconds):4} times, median {percentile(seconds, 0.5):.3f} s, p99 {percentile(seconds, 0.99):.3f} s, "
        f"worst {max(seconds):.3f} s"
    )
