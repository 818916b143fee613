"""One tenant that asks for much keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from api.http.problem_details import HTTPProblem
from api.turns import MOST_WAITING, Turns, Work
from hposvc import confined
from hposvc.access import keys, tenants
from hposvc.jobs.service import Jobs
from hposvc.schema.spec import JobSpec
from hposvc.tables.defects import DataError, Defect
from hposvc.tables.ingest import ingest
from tests.support.problems import problem
from tests.support.serving import SPEC, Server, running

PATIENCE = 30.0
FILE = b"age,target\n" + b"".join(b"%d,%d\n" % (number, number % 2) for number in range(40))


@pytest.fixture
def headers(server: Server) -> dict[str, dict[str, str]]:
    """What shows the key of each of two tenants."""
    tenants.Tenants(server.engine).create("other")
    return {tenant: shown(server, tenant) for tenant in ("default", "other")}


def shown(server: Server, tenant: str) -> dict[str, str]:
    token = keys.Keys(server.engine).create(tenant=tenant, name=tenant, scope="submit")[1]
    return {"Authorization": f"Bearer {token}"}


def test_uploads_of_one_tenant_keep_nobody_waiting(
    server: Server, headers: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 of them are under way, and none ends before everything else was responded to."""
    go_on = threading.Event()

    def held_up(*arguments: Any) -> dict[str, Any]:
        if b"mine" in arguments[0].read_bytes():
            assert go_on.wait(PATIENCE * 2)
            raise DataError([Defect("body", "it was held up", "send it again")])
        return ingest(*arguments)

    monkeypatch.setattr("hposvc.datasets.service.ingest", held_up)
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE * 3, limits=limits) as client:

        def upload(tenant: str, column: bytes) -> int:
            content = FILE.replace(b"age", column)
            sent = headers[tenant] | {"Content-Type": "text/csv"}
            return client.post("/v1/datasets", content=content, headers=sent).status_code

        with ThreadPoolExecutor(60) as pool:
            mine = [pool.submit(upload, "default", b"mine%d" % number) for number in range(60)]
            try:
                for path in ("/healthz", "/readyz", "/v1/jobs", "/v1/datasets", "/v1/tenant"):
                    for sent in headers.values():  # the one that uploads may look, too
                        answer = client.get(path, headers=sent, timeout=PATIENCE)
                        assert answer.status_code == 200, path
                assert client.post("/v1/jobs", json=SPEC, headers=headers["other"]).status_code == 202
                assert upload("other", b"size") == 201
                assert not any(future.done() for future in mine)
            finally:
                go_on.set()
            assert [future.result() for future in mine] == [422] * 60


def test_checks_of_one_tenant_keep_nobody_waiting(
    server: Server, headers: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has four under way on uploaded data, of which one runs, and none ends before the others' did."""
    go_on, begun, lock = threading.Event(), [], threading.Lock()
    call = confined.call

    def held_up(module: str, command: Any, *arguments: Any) -> Any:
        if command.get("spec", {}).get("name") == "mine":
            with lock:
                begun.append(command)
            assert go_on.wait(PATIENCE * 2)
        return call(module, command, *arguments)

    monkeypatch.setattr(confined, "call", held_up)
    with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE * 3) as client:
        data = {}
        for tenant, sent in headers.items():
            answer = client.post("/v1/datasets", content=FILE, headers=sent | {"Content-Type": "text/csv"})
            data[tenant] = answer.json()["id"]

        def submit(tenant: str, name: str, dataset: str) -> int:
            spec = SPEC | {"name": name, "dataset": {"id": dataset}}
            return client.post("/v1/jobs", json=spec, headers=headers[tenant]).status_code

        with ThreadPoolExecutor(4) as pool:
            mine = [pool.submit(submit, "default", "mine", data["default"]) for _ in range(4)]
            try:
                assert submit("other", "theirs", data["other"]) == 202
                assert submit("default", "another", "sklearn:iris") == 202
                assert client.get("/v1/jobs", headers=headers["default"]).status_code == 200
                assert len(begun) == 1
            finally:
                go_on.set()
            assert [future.result() for future in mine] == [202] * 4


@contextmanager
def watching(client: httpx.Client, job_id: str, headers: dict[str, str]) -> Iterator[Iterator[str]]:
    asked = headers | {"Accept": "text/event-stream"}
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=asked) as response:
        assert response.status_code == 200, response.read()
        lines = response.iter_lines()
        while "iterations" not in next(lines):
            pass
        yield lines


def test_a_tenant_that_has_every_stream_gives_some_to_others(database_url: str, tmp_path: Any) -> None:
    with Server(database_url, tmp_path, max_streams=4) as server, ExitStack() as open_:
        tenants.Tenants(server.engine).create("other")
        tokens = {tenant: shown(server, tenant) for tenant in ("default", "other")}
        mine, attempt = running(server.engine, 2)
        theirs = submit_for(server, "other")
        client = open_.enter_context(httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE))
        first, *_ = [open_.enter_context(watching(client, mine.id, tokens["default"])) for _ in range(4)]
        full = client.get(f"/v1/jobs/{mine.id}/events", headers=tokens["default"] | {"Accept": "text/event-stream"})
        problem(full, 429, "too-many-streams")
        asked = tokens["other"] | {"Accept": "text/event-stream"}
        with client.stream("GET", f"/v1/jobs/{theirs}/events", headers=asked) as response:
            assert response.status_code == 200
            assert list(first)[-1] != "event: end"  # the oldest of the greediest ended, to be taken up again
        attempt.succeed({"sentence": "s"}, [])


def submit_for(server: Server, tenant: str) -> str:
    return Jobs(server.engine).submit(JobSpec.model_validate(SPEC), tenant=tenant).id


def test_tenants_take_turns_and_none_has_more_than_its_share() -> None:
    order: list[str] = []
    together: list[int] = []
    busy = 0
    lock = threading.Lock()

    def work(tenant: str) -> None:
        nonlocal busy
        with lock:
            busy += 1
            together.append(busy)
            order.append(tenant)
        with lock:
            busy -= 1

    async def main() -> None:
        turns = Turns(1, 1)
        greedy = [asyncio.create_task(turns.run("a", lambda: work("a"))) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.gather(*(turns.run(tenant, lambda tenant=tenant: work(tenant)) for tenant in "bc"))
        greedy[-1].cancel()
        await asyncio.gather(*greedy, return_exceptions=True)

    asyncio.run(main())
    assert set(order[:4]) == {"a", "b", "c"}
    assert order.count("a") == 19
    assert max(together) == 1


def test_who_has_too_much_waiting_is_told_to_come_back() -> None:
    go_on = threading.Event()

    async def main() -> None:
        turns = Turns(2, 1)
        waiting = [asyncio.create_task(turns.run("a", go_on.wait)) for _ in range(MOST_WAITING + 1)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPProblem) as raised:
            await turns.run("a", go_on.wait)
        assert raised.value.kind.slug == "too-many-requests"
        assert await turns.run("b", lambda: "served") == "served"
        go_on.set()
        assert all(await asyncio.gather(*waiting))

    asyncio.run(main())


def test_every_stream_that_found_a_place_gets_its_turn() -> None:
    """How many there are is bounded elsewhere. One that was refused its turn broke off, with an error in the log."""
    go_on = threading.Event()

    async def main() -> None:
        turns = Work().live
        waiting = [asyncio.create_task(turns.run("a", go_on.wait)) for _ in range(MOST_WAITING + 10)]
        await asyncio.sleep(0)
        go_on.set()
        assert all(await asyncio.gather(*waiting))

    asyncio.run(main())
