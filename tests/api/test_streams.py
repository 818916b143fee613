"""Streams of events: what they carry, and that they resume where they broke."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import live
from hposvc.client import Client, StreamedEvent
from hposvc.jobs import queries
from tests.support.experimenting import JOB, SEARCH, by_decay
from tests.support.problems import problem
from tests.support.serving import (
    PATIENCE,
    RESULT,
    Server,
    Worker,
    curve,
    later,
    running,
    submit,
    succeeded,
)

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
            assert "Preference-Applied" not in waited.headers  # responded at once instead
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


def test_an_experiment_is_followed_to_its_end(client: httpx.Client, server: Server) -> None:
    with Client(server.url) as ours:
        begun = ours.experiments.submit({"name": "decay", "job": JOB, "plan": SEARCH | {"jobs": 3}, "at_once": 1})
        found: list[StreamedEvent] = []
        for event in ours.experiments.stream(begun.id):
            found.append(event)
            if event.data.get("data", {}).get("state") == "queued":
                job = queries.get(server.engine, event.data["data"]["job"])
                attempt = Worker(server.engine).take(job)
                attempt.record(curve(1, job.spec.stop.iterations))
                attempt.succeed(by_decay(job.spec), [])
        said = [(event.type, event.data.get("data", event.data)["state"]) for event in found]
        trials = [("trial", "queued"), ("trial", "succeeded")]
        assert sorted(said[1:-2]) == sorted(3 * trials)
        assert (said[0], said[-2:]) == (("state", "running"), [("state", "succeeded"), ("end", "succeeded")])
        history = ours.experiments.history(begun.id)
        assert [event.data for event in found[:-1]] == [item.model_dump(mode="json") for item in history.items]
        assert ours.experiments.history(begun.id, after=history.next_after).items == []
        last = str(history.next_after)
        assert list(ours.experiments.stream(begun.id, last=last)) == []  # 204: an EventSource asks no more
        rest = list(ours.experiments.stream(begun.id, last=str(history.next_after - 1)))
        assert [event.id for event in rest] == [last, last]
    missing = client.get("/v1/experiments/exp_0/events", headers={"Accept": "text/event-stream"})
    problem(missing, 404, "experiment-not-found")


def test_what_is_asked_of_an_experiment_is_in_its_history(client: httpx.Client) -> None:
    plan = SEARCH | {"jobs": 2}
    path = client.post("/v1/experiments", json={"job": JOB, "plan": plan}).json()["links"]["self"]
    for what in ("pause", "pause", "resume", "cancel"):
        client.post(f"{path}/{what}").raise_for_status()
    items = client.get(f"{path}/events").json()["items"]
    asked = [item["data"]["state"] for item in items if item["type"] == "state"][:4]
    assert asked == ["running", "paused", "running", "cancelling"]
