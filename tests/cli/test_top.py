"""The live view: what it says of workers, queue and jobs, and how rates come about."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from rich.console import Console

from api.examples import JOB
from hposvc.cli.top import Glance, duration, glances, offers_in_short, parse, show
from hposvc.client import Client
from hposvc.schema.job import JobResource
from hposvc.schema.workers import WorkerResource
from tests.support.commands import ServerProcess

TEXT = """\
# TYPE hposvc_jobs gauge
hposvc_jobs{state="running"} 3.0
hposvc_jobs{state="queued"} 12.0
# TYPE hposvc_queue_depth gauge
hposvc_queue_depth{needs="any"} 10.0
hposvc_queue_depth{needs="cuda"} 2.0
# TYPE hposvc_workers_offering gauge
hposvc_workers_offering{needs="any"} 1.0
# TYPE hposvc_queue_unmet gauge
hposvc_queue_unmet 2.0
# TYPE hposvc_queue_oldest_seconds gauge
hposvc_queue_oldest_seconds{needs="cuda"} 7300.0
# TYPE hposvc_database_up gauge
hposvc_database_up UP
# TYPE hposvc_iterations counter
hposvc_iterations_total ITERATIONS
# TYPE hposvc_http_requests counter
hposvc_http_requests_total{method="GET",route="/",status="200"} 5.0
"""


def worker(name: str, seconds_ago: float, **fields: object) -> WorkerResource:
    values = {
        "id": name, "host": "gpu-1", "device": "cuda", "state": "busy", "job_id": "job_1", "progress_message": None,
        "versions": {}, "heartbeat_at": datetime.now(UTC) - timedelta(seconds=seconds_ago), "offers": ["any", "cuda"],
    }  # fmt: skip
    return WorkerResource.model_validate(values | fields)


def glance(at: float, iterations: int, up: int = 1) -> Glance:
    numbers = parse(TEXT.replace("ITERATIONS", str(iterations)).replace("UP", str(up)))
    workers = [worker("w1", 1), worker("w2", 90, job_id=None)]
    running = [JobResource.model_validate(JOB | {"state": "pausing", "name": "a long name " * 9})]
    return Glance(at, numbers, workers, running, "http://127.0.0.1:1")


def drawn(*glances: Glance, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(iter(glances), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_one_look_says_who_works_on_what_and_what_waits() -> None:
    text = drawn(glance(0.0, 100))
    assert "hposvc at http://127.0.0.1:1" in text
    assert "3 running, 12 queued (2 cuda), 0 succeeded, 0 failed" in text
    assert "oldest queued job waits  2 h" in text
    assert "2 queued jobs wait for a worker that is not there, one that offers: cuda" in text
    assert "w1" in text
    assert "silent" in text  # w2, whatever it said of itself
    assert "does not answer" not in text
    assert "pausing" in text
    assert re.search(r"\d+/[\d,]+ +\d+ %", text)


@pytest.mark.parametrize("width", [80, 200])
def test_ids_are_whole_and_nothing_wraps_on_a_narrow_terminal(width: int) -> None:
    text = drawn(glance(0.0, 100), width=width)
    assert JOB["id"] in text
    assert len(text.splitlines()) == len(drawn(glance(0.0, 100), width=1000).splitlines())


def test_an_idle_service_says_how_to_start() -> None:
    text = drawn(Glance(0.0, {("hposvc_database_up", ""): 1.0, ("hposvc_iterations_total", ""): 12_345.0}, [], []))
    assert "No worker is there. Start one: hposvc worker" in text
    assert "Nothing runs." in text
    assert "oldest queued job waits  –" in text
    assert "iterations  12,345" in text


def test_the_rate_is_over_the_time_between_two_looks() -> None:
    assert "iterations  100" in drawn(glance(0.0, 100))
    assert "/s" not in drawn(glance(0.0, 100), glance(2.0, 600))  # too little time: the counts come every five seconds
    assert "iterations  250/s" in drawn(glance(0.0, 100), glance(20.0, 5_100))
    assert "iterations  10/s" in drawn(glance(0.0, 0), glance(80.0, 5_000), glance(100.0, 5_200))


def test_a_service_that_goes_away_is_said_and_what_it_said_last_is_kept(api: ServerProcess) -> None:
    with Client(api.url) as client:
        seen = glances(client, 0.01, limit=5)
        first = next(seen)
        assert first.silent is None
        client._http.client.close()
        client._http.client = httpx.Client(base_url="http://127.0.0.1:9", trust_env=False)
        later = next(seen)
    assert later.silent is not None
    assert later.numbers == first.numbers
    assert "It has not responded for" in drawn(first, later)


@pytest.mark.parametrize(
    ("offers", "short"),
    [
        (("any",), "any"),
        (("any", "cpu", "any-large", "cpu-large"), "cpu, large"),
        (("any", "cuda", "cuda-large", "cuda-huge", "cpu"), "cuda, cpu, huge"),
    ],
)
def test_offers_in_short(offers: tuple[str, ...], short: str) -> None:
    assert offers_in_short(offers) == short


def test_a_database_that_is_away_is_said() -> None:
    assert "the database does not answer" in drawn(glance(0.0, 0, up=0))


def test_spans_of_time_are_short() -> None:
    assert [duration(seconds) for seconds in (-1, 7, 119, 720, 10_800, 432_000)] == [
        "0 s", "7 s", "119 s", "12 min", "3 h", "5 d",
    ]  # fmt: skip
