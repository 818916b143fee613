"""The live view: what it says of workers, queue and jobs, and how rates come about."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from hposvc.jobs.resources import WorkerResource
from hposvc.top import Glance, duration, parse, show

TEXT = """\
# TYPE hposvc_jobs gauge
hposvc_jobs{state="running"} 3.0
hposvc_jobs{state="queued"} 12.0
# TYPE hposvc_queue_depth gauge
hposvc_queue_depth{needs="any"} 10.0
hposvc_queue_depth{needs="cuda"} 2.0
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
    return Glance(at, numbers, [worker("w1", 1), worker("w2", 90, job_id=None)], [])


def drawn(*glances: Glance) -> str:
    console = Console(file=io.StringIO(), width=140)
    show(iter(glances), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_one_look_says_who_works_on_what_and_what_waits() -> None:
    text = drawn(glance(0.0, 100))
    assert "3 running" in text
    assert "12 queued (2 cuda)" in text
    assert "oldest waits  2 h" in text
    assert "2 wait for a worker that is not there" in text
    assert "w1" in text
    assert "silent" in text  # w2, whatever it said of itself
    assert "Nothing runs." in text
    assert "does not answer" not in text


def test_the_rate_is_over_the_time_between_two_looks() -> None:
    assert "iterations  –" in drawn(glance(0.0, 100))
    assert "iterations  250/s" in drawn(glance(0.0, 100), glance(2.0, 600))


def test_a_database_that_is_away_is_said() -> None:
    assert "the database does not answer" in drawn(glance(0.0, 0, up=0))


def test_spans_of_time_are_short() -> None:
    assert [duration(seconds) for seconds in (-1, 7, 119, 720, 10_800, 432_000)] == [
        "0 s", "7 s", "119 s", "12 min", "3 h", "5 d",
    ]  # fmt: skip
