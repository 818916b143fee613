"""What HTTP promises: waiting, streams that resume, formats, preconditions, orders, ranges; and deleting for good."""

from __future__ import annotations

import csv
import io
import json
import math
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import sqlalchemy as sa

from api import live
from hposvc.db.engine import write
from hposvc.db.tables import DELETED, events, iterations, jobs, metadata
from hposvc.jobs import removal
from hposvc.jobs.attempt import StoredFile
from hposvc.jobs.queries import METRICS
from hposvc.jobs.service import Jobs
from hposvc.schema.job import JobResource
from hposvc.schema.spec import JobSpec
from hposvc.storage.store import Store
from tests.api.problems import problem
from tests.serving import RESULT, SPEC, Server, Worker, curve, diverged, running, submit, succeeded

PATIENCE = 30.0


def later(seconds: float, act: Callable[[], object]) -> threading.Timer:
    """Something that happens while the test waits for an answer."""
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


# --- waiting -----------------------------------------------------------------------------------------------------


def test_an_answer_comes_when_something_changed(client: httpx.Client, server: Server) -> None:
    job, attempt = running(server.engine, 3)
    path = f"/v1/jobs/{job.id}"
    tag = client.get(path).headers["ETag"]
    act = later(0.3, lambda: attempt.record(curve(4, 6)))
    answer = client.get(path, headers={"Prefer": "wait=30", "If-None-Match": tag}, timeout=PATIENCE)
    act.join()
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert answer.json()["progress"]["iteration"] == 6


def test_nothing_changed_is_said_after_the_time_that_was_asked_for(client: httpx.Client, server: Server) -> None:
    job, _ = running(server.engine, 3)
    path = f"/v1/jobs/{job.id}"
    tag = client.get(path).headers["ETag"]
    answer = client.get(path, headers={"Prefer": "respond-async, wait=1", "If-None-Match": tag}, timeout=PATIENCE)
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (304, "wait=1")
    # What the client does not have yet needs no waiting for, and nor does a job that has ended.
    assert client.get(path, headers={"Prefer": "wait=60", "If-None-Match": '"0"'}, timeout=5).status_code == 200
    ended = succeeded(server.engine, RESULT)
    assert client.get(f"/v1/jobs/{ended.id}", headers={"Prefer": "wait=60"}, timeout=5).status_code == 200
    for wish in ("wait", "wait=", "wait=-1", "wait=x", "wait=1e9", ""):
        assert client.get(f"/v1/jobs/{job.id}", headers={"Prefer": wish}, timeout=5).status_code == 200


def test_a_deleted_job_wakes_those_who_wait_for_it(client: httpx.Client, server: Server) -> None:
    job = succeeded(server.engine, RESULT)
    tag = client.get(f"/v1/jobs/{job.id}").headers["ETag"]
    act = later(0.3, lambda: removal.delete(server.engine, job.id, tenant="default"))
    headers = {"Prefer": "wait=30", "If-None-Match": tag}
    problem(client.get(f"/v1/jobs/{job.id}", headers=headers, timeout=PATIENCE), 404, "job-not-found")
    act.join()


# --- streams -----------------------------------------------------------------------------------------------------

Event = dict[str, Any]


def stream(response: httpx.Response) -> Iterator[Event]:
    """The server-sent events of an answer, as the standard has them read."""
    event: Event = {}
    for line in response.iter_lines():
        if not line:
            if "data" in event:
                yield event | {"data": json.loads(event["data"])}
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


def opened(client: httpx.Client, job_id: str, last: str | None = None) -> Any:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    return client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers, timeout=PATIENCE)


def numbers(found: list[Event]) -> list[int]:
    return [number for event in found if event["event"] == "iterations" for number in event["data"]["iteration"]]


def states(found: list[Event]) -> list[str]:
    return [event["data"]["data"]["state"] for event in found if event["event"] == "state"]


def test_a_stream_carries_iterations_and_states_to_the_end(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine)

    def work() -> None:
        attempt = Worker(server.engine).take(job)
        attempt.record(curve(1, 5))
        attempt.record(curve(6, 9))
        attempt.succeed(RESULT, [])

    act = later(0.3, work)
    with opened(client, job.id) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-store"
        found = list(stream(response))
    act.join()
    assert states(found) == ["queued", "starting", "running", "succeeded"]
    assert numbers(found) == list(range(1, 10))
    assert (found[-1]["event"], found[-1]["data"]) == ("end", {"state": "succeeded"})


def test_a_stream_that_broke_goes_on_where_it_was(client: httpx.Client, server: Server) -> None:
    job, attempt = running(server.engine, 7)
    with opened(client, job.id) as response:
        reader = stream(response)
        first: list[Event] = []
        while not (len(numbers(first)) == 7 and len(states(first)) == 3):
            first.append(next(reader))
    attempt.record(curve(8, 10))
    attempt.succeed(RESULT, [])
    with opened(client, job.id, first[-1]["id"]) as response:
        second = list(stream(response))
    assert numbers(first) + numbers(second) == list(range(1, 11))
    assert states(first) + states(second) == ["queued", "starting", "running", "succeeded"]
    with opened(client, job.id, second[-1]["id"]) as response:
        assert response.status_code == 204  # there is nothing more to come: do not ask again


def test_every_event_s_id_is_a_place_to_go_on_from(client: httpx.Client, server: Server) -> None:
    job = succeeded(server.engine, RESULT)
    with opened(client, job.id) as response:
        whole = list(stream(response))
    for place, event in enumerate(whole[:-1]):
        with opened(client, job.id, event["id"]) as response:
            rest = list(stream(response))
        assert numbers(whole[: place + 1]) + numbers(rest) == list(range(1, 501))
        assert states(whole[: place + 1]) + states(rest) == states(whole)
    for wrong in ("x", "1", "1.--2", "1.2.3", "9" * 30 + ".1", "-1.0"):
        headers = {"Accept": "text/event-stream", "Last-Event-ID": wrong}
        answer = client.get(f"/v1/jobs/{job.id}/events", headers=headers)
        assert problem(answer, 422, "invalid-parameter")["errors"][0]["field"] == "last-event-id"


def test_many_who_watch_cost_one_query_and_no_thread_each(database_url: str, tmp_path: Path) -> None:
    watchers = 60
    with Server(database_url, tmp_path, max_streams=watchers) as server:
        job, attempt = running(server.engine, 1)
        limits = httpx.Limits(max_connections=None)
        with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE, limits=limits) as client:
            threads = threading.active_count()
            connections = [opened(client, job.id) for _ in range(watchers)]
            readers = [stream(connection.__enter__()) for connection in connections]
            for reader in readers:
                while next(reader)["event"] != "iterations":
                    pass
            # the thread pool of the server has 40 threads at most, however many watch
            assert threading.active_count() - threads <= 41
            with opened(client, job.id) as refused:
                refused.read()
                problem(refused, 429, "too-many-streams")
                assert refused.headers["Retry-After"]
            assert client.get(f"/v1/jobs/{job.id}").status_code == 200  # others are served meanwhile
            waited = client.get(f"/v1/jobs/{job.id}", headers={"Prefer": "wait=30"}, timeout=5)
            assert "Preference-Applied" not in waited.headers  # answered at once instead
            attempt.succeed(RESULT, [])
            for reader in readers:
                assert list(reader)[-1]["event"] == "end"
            for connection in connections:
                connection.__exit__(None, None, None)
            with opened(client, job.id) as response:  # their places are free again
                assert list(stream(response))[-1]["event"] == "end"


def test_a_stream_ends_after_its_time_and_can_be_taken_up(
    client: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LONGEST_SECONDS", 0.5)
    monkeypatch.setattr(live, "KEEP_ALIVE_SECONDS", 0.2)
    job, _ = running(server.engine, 2)
    with opened(client, job.id) as response:
        text = response.read().decode()
    assert ": still here" in text
    assert "event: end" not in text


# --- formats -----------------------------------------------------------------------------------------------------


def test_iterations_as_csv_lines_and_arrow_are_the_same_numbers(client: httpx.Client, server: Server) -> None:
    job = diverged(server.engine, at=60)
    path = f"/v1/jobs/{job.id}/iterations"
    as_json = client.get(path).json()
    text = client.get(path, headers={"Accept": "text/csv"})
    assert text.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(text.text)))
    lines = [
        json.loads(line) for line in client.get(path, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    ]
    with pa.ipc.open_stream(
        client.get(path, headers={"Accept": "application/vnd.apache.arrow.stream"}).content
    ) as reader:
        table = reader.read_all()
    for name in ("iteration", *METRICS):
        expected = as_json[name]
        assert [line[name] for line in lines] == expected
        for read, value in zip([row[name] for row in rows], expected, strict=True):
            assert (read == "") if value is None else (float(read) == float(value) or math.isnan(float(value)))
        for read, value in zip(table[name].to_pylist(), expected, strict=True):
            assert (read is None) if value is None else (read == float(value) or math.isnan(float(value)))


def test_other_formats_hold_everything_unless_asked_otherwise(
    client: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, attempt = running(server.engine, 0, stop={"iterations": 30_000})
    for begin in range(1, 12_001, 3000):
        attempt.record(curve(begin, begin + 2999))
    path = f"/v1/jobs/{job.id}/iterations"
    assert len(client.get(path).json()["iteration"]) == 10_000

    def lines(**params: int) -> list[str]:
        return client.get(path, params=params, headers={"Accept": "text/csv"}).text.splitlines()[1:]

    assert [int(line.split(",")[0]) for line in lines()] == list(range(1, 12_001))
    assert len(lines(limit=5)) == 5
    assert len(lines(after=11_990)) == 10
    assert len(lines(max_points=100)) <= 100


def test_the_best_of_the_formats_that_are_accepted(client: httpx.Client, server: Server) -> None:
    job, _ = running(server.engine, 2)
    path = f"/v1/jobs/{job.id}/iterations"
    for accept, given in (
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/csv;q=0.1, application/json;q=0.2", "application/json"),
        ("application/x-ndjson, */*;q=0.1", "application/x-ndjson"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;q=0, */*", "text/csv"),
    ):
        answer = client.get(path, headers={"Accept": accept})
        assert answer.headers["Content-Type"].split(";")[0] == given, accept
        assert "Accept" in answer.headers["Vary"]
    for accept in ("image/png", "text/csv;q=0", "application/json;q=nonsense"):
        detail = problem(client.get(path, headers={"Accept": accept}), 406, "not-acceptable")["detail"]
        assert "text/csv" in detail


# --- lists -------------------------------------------------------------------------------------------------------


def test_lists_by_time_order_and_several_states(client: httpx.Client, server: Server) -> None:
    made = [submit(server.engine, name=name, priority=priority) for name, priority in (("a", 0), ("b", 5), ("c", 5))]
    low, _ = running(server.engine, 30, name="low")
    high, _ = running(server.engine, 3, name="high")
    with write(server.engine) as connection:
        for number, job in enumerate((*made, low, high)):
            connection.execute(jobs.update().where(jobs.c.id == job.id).values(created_at=1_700_000_000.0 + number))

    def found(**params: Any) -> str:
        return " ".join(job["name"] for job in client.get("/v1/jobs", params=params).json()["items"])

    assert found() == "high low c b a"
    assert found(order="oldest") == "a b c low high"
    assert found(order="priority") == "c b high low a"
    assert found(order="best_upper_loss").split()[:2] == ["low", "high"]
    assert found(state=["queued", "running"], order="oldest") == "a b c low high"
    assert found(state="queued") == "c b a"
    moment = datetime.fromtimestamp(1_700_000_002, UTC)
    assert found(created_after=moment.isoformat()) == "high low c"
    assert found(created_before=moment.isoformat()) == "b a"
    assert found(created_after=moment.isoformat(), created_before="2023-11-14T23:13:23+01:00") == "c"
    for wrong in ("yesterday", "2023-11-14T23:13:23", "99999-01-01T00:00:00Z", "NaN"):
        answer = client.get("/v1/jobs", params={"created_after": wrong})
        assert problem(answer, 422, "invalid-parameter")["errors"][0]["field"] == "created_after"


@pytest.mark.parametrize("order", ["newest", "oldest", "priority", "best_upper_loss"])
def test_pages_of_every_order_show_each_job_once(client: httpx.Client, server: Server, order: str) -> None:
    for number in range(6):
        submit(server.engine, name=f"{number}", priority=number % 2)
    running(server.engine, 3, name="6")
    whole = [job["id"] for job in client.get("/v1/jobs", params={"order": order}).json()["items"]]
    paged, page = [], None
    while True:
        params = {"order": order, "limit": "2"} | ({"page": page} if page else {})
        answer = client.get("/v1/jobs", params=params).json()
        paged += [job["id"] for job in answer["items"]]
        if (page := answer["next_page"]) is None:
            break
        other = "oldest" if order != "oldest" else "newest"
        document = problem(client.get("/v1/jobs", params={"order": other, "page": page}), 422, "invalid-parameter")
        assert order in document["detail"]
    assert paged == whole
    assert len(set(paged)) == 7


# --- changing and deleting ---------------------------------------------------------------------------------------


def priority_of_delivery(server: Server, job: JobResource) -> int:
    schema = "" if server.engine.dialect.name == "sqlite" else "dbos."
    query = sa.text(f"SELECT priority FROM {schema}workflow_status WHERE workflow_uuid = :id")
    with server.engine.connect() as connection:
        return int(connection.execute(query, {"id": f"{job.id}:{job.attempt}"}).scalar_one())


def test_name_tags_and_priority_can_be_changed(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine, name="before", tags=["a"], priority=1)
    path = f"/v1/jobs/{job.id}"
    before = priority_of_delivery(server, job)
    answer = client.patch(path, json={"name": "after"})
    assert (answer.json()["name"], answer.json()["tags"]) == ("after", ["a"])
    assert priority_of_delivery(server, job) == before
    answer = client.patch(
        path, json={"tags": ["b", "c"], "priority": 100}, headers={"If-Match": answer.headers["ETag"]}
    )
    assert (answer.json()["tags"], answer.json()["spec"]["priority"]) == (["b", "c"], 100)
    assert priority_of_delivery(server, job) == before - 99
    assert client.patch(path, json={"name": None}).json()["name"] is None
    assert client.get(f"{path}/spec").text.count("before") == 0


def test_a_change_for_an_older_version_is_refused(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine)
    path = f"/v1/jobs/{job.id}"
    old = client.get(path).headers["ETag"]
    client.patch(path, json={"name": "somebody else's"})
    for call in (client.build_request("PATCH", path, json={"name": "mine"}), client.build_request("DELETE", path)):
        call.headers["If-Match"] = old
        answer = client.send(call)
        problem(answer, 412, "precondition-failed")
    assert client.get(path).json()["name"] == "somebody else's"
    for wrong in ('"x"', 'W/"1"', '""', '"-1"', "-1"):
        problem(client.patch(path, json={"name": "mine"}, headers={"If-Match": wrong}), 412, "precondition-failed")
    for any_version in ({}, {"If-Match": "*"}):
        assert client.patch(path, json={"name": "mine"}, headers=any_version).status_code == 200


def left(server: Server) -> dict[str, int]:
    """Rows by table, tenants and workers apart."""
    with server.engine.connect() as connection:
        return {
            table.name: count
            for table in metadata.sorted_tables
            if table.name not in ("tenants", "workers")
            and (count := connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
        }


def ended(server: Server, tmp_path: Path, rows: int = 20) -> tuple[JobResource, Store, list[Path]]:
    """A job that left rows in every table of its own, and files in the store."""
    store = Store((tmp_path / "store").as_uri())
    job = Jobs(server.engine).submit(JobSpec.model_validate(SPEC), idempotency_key="once")
    attempt = Worker(server.engine).take(job)
    for begin in range(1, rows, 1000):
        attempt.record(curve(begin, min(begin + 999, rows)))
    local = tmp_path / "file"
    local.write_text("content")
    files = [
        StoredFile(name, kind, 7, "0" * 64, store.put(local, f"jobs/{job.id}/1/{name}"), 5)
        for name, kind in (("report.json", "report"), ("checkpoint-5", "checkpoint"))
    ]
    attempt.succeed(RESULT, files)
    return job, store, [tmp_path / "store" / "jobs" / job.id / "1" / file.name for file in files]


def test_a_deleted_job_is_gone_with_everything_that_it_left(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    job, store, files = ended(server, tmp_path)
    path = f"/v1/jobs/{job.id}"
    assert all(file.exists() for file in files)
    answer = client.delete(path, headers={"If-Match": client.get(path).headers["ETag"]})
    assert (answer.status_code, answer.content) == (204, b"")
    for rest in ("", "/iterations", "/events", "/artifacts", "/artifacts/report.json", "/spec"):
        problem(client.get(path + rest), 404, "job-not-found")
    problem(client.delete(path), 404, "job-not-found")
    problem(client.post(f"{path}/retry"), 404, "job-not-found")
    assert client.get("/v1/jobs").json()["items"] == []
    removal.purge(server.engine, store)  # what the server does every half minute
    assert left(server) == {}
    assert not any(file.exists() for file in files)
    again = client.post("/v1/jobs", json=SPEC, headers={"Idempotency-Key": "once"})
    assert (again.status_code, again.json()["id"] == job.id) == (202, False)


def test_only_what_has_ended_can_be_deleted(client: httpx.Client, server: Server) -> None:
    waiting = submit(server.engine)
    busy, _ = running(server.engine, 2)
    for job, state in ((waiting, "queued"), (busy, "running")):
        document = problem(client.delete(f"/v1/jobs/{job.id}"), 409, "job-not-finished")
        assert document["state"] == state
        assert client.get(f"/v1/jobs/{job.id}").status_code == 200
    client.post(f"/v1/jobs/{waiting.id}/cancel")
    assert client.delete(f"/v1/jobs/{waiting.id}").status_code == 204


@pytest.mark.parametrize("where", ["store", "iterations", "jobs"])
def test_a_deletion_that_was_interrupted_is_finished_later(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(removal, "CHUNK", 7)
    job, store, files = ended(server, tmp_path)
    removal.delete(server.engine, job.id, tenant="default")

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if where == "store":
            patch.setattr(Store, "remove", die)
        else:
            real = removal._remove_rows

            def until(engine: sa.Engine, table: sa.Table, order: Any, job_id: str) -> None:
                if where == "iterations" or table is events:
                    die()
                real(engine, table, order, job_id)

            patch.setattr(removal, "_remove_rows", until)
        with pytest.raises(Killed):
            removal.purge(server.engine, store)
    with server.engine.connect() as connection:
        owner = connection.execute(sa.select(jobs.c.tenant_id)).scalar_one_or_none()
        rows = connection.execute(sa.select(sa.func.count()).select_from(iterations)).scalar_one()
    assert owner == (None if where == "store" else DELETED)  # files go last
    assert rows == (20 if where == "iterations" else 0)
    removal.purge(server.engine, store)
    assert left(server) == {}
    assert not any(file.exists() for file in files)


# --- files -------------------------------------------------------------------------------------------------------


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
