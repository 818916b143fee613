"""What the queue promises: order by priority and age, fair turns between tenants, nothing delivered by a rollback."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from dbos._sys_db import SystemDatabase

from hposvc.db.engine import read, write
from hposvc.db.tables import jobs as jobs_table
from hposvc.db.tables import tenants
from hposvc.faults import Fault
from hposvc.jobs import single_delivery
from hposvc.jobs.queue import POLL_SECONDS, QUEUE, Consumer, Publisher
from hposvc.jobs.service import Jobs
from hposvc.jobs.single_delivery import BUSY_SECONDS
from tests.support.harness import eventually, tiny_spec


class Deliveries:
    """What a worker is given, in order."""

    def __init__(self, engine: sa.Engine) -> None:
        self.received: list[str] = []
        self._consumer = Consumer(engine.url, f"worker-{secrets.token_hex(4)}", self._deliver)

    def _deliver(self, job_id: str, attempt: int) -> None:
        assert attempt == 1
        self.received.append(job_id)

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def add_tenant(engine: sa.Engine) -> None:
    with write(engine) as connection:
        connection.execute(tenants.insert().values(id="small", name="Small"))


def test_higher_priorities_come_first_and_then_older_jobs(engine: sa.Engine, jobs: Jobs) -> None:
    order = [0, 5, -3, 5, 0, 1000, -1000]
    ids = [jobs.submit(tiny_spec(priority=priority)).id for priority in order]
    deliveries = Deliveries(engine)
    eventually(lambda: len(deliveries.received) == len(ids), "all are delivered")
    deliveries.close()
    assert deliveries.received == [ids[index] for index in (5, 1, 3, 0, 4, 2, 6)]


def by_age(engine: sa.Engine, job_ids: list[str]) -> bool:
    """Whether no job stands before an older one; deliveries know the millisecond."""
    with read(engine) as connection:
        submitted = dict(connection.execute(sa.select(jobs_table.c.id, jobs_table.c.created_at)).all())
    times = [int(1000 * submitted[job_id]) for job_id in job_ids]
    return times == sorted(times)


def test_one_tenant_cannot_starve_another(engine: sa.Engine, jobs: Jobs, add_tenant: None) -> None:
    """Ten of a small tenant are done long before the two hundred that a large one submitted first."""
    del add_tenant
    large = [jobs.submit(tiny_spec(priority=1000)).id for _ in range(200)]
    small = [jobs.submit(tiny_spec(), tenant="small").id for _ in range(10)]
    deliveries = Deliveries(engine)
    eventually(lambda: set(small) <= set(deliveries.received), "the small tenant is served")
    deliveries.close()
    assert by_age(engine, [job_id for job_id in deliveries.received if job_id in small])
    served = deliveries.received[: deliveries.received.index(small[-1])]
    assert len(set(served) & set(large)) < 100


def test_what_is_rolled_back_is_never_delivered(engine: sa.Engine, publisher: Publisher) -> None:
    def interrupted() -> None:
        with write(engine) as connection:
            publisher.enqueue(connection, "job_rolled_back", 1, priority=0, tenant="default", created_at=1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with write(engine) as connection:
        for _ in range(2):
            publisher.enqueue(connection, "job_committed", 1, priority=0, tenant="default", created_at=1.0)
    deliveries = Deliveries(engine)
    eventually(lambda: deliveries.received, "the committed one is delivered")
    deliveries.close()
    assert deliveries.received == ["job_committed"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_engine_that_takes_deliveries_in_another_way_is_refused_before_anything_starts(
    engine: sa.Engine, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as renamed:
        renamed.setattr(SystemDatabase, "take_workflows", SystemDatabase.start_queued_workflows, raising=False)
        renamed.delattr(SystemDatabase, "start_queued_workflows")
        with pytest.raises(Fault) as refused:
            Deliveries(engine)
        assert "pip install 'dbos" in refused.value.remedy
    job = jobs.submit(tiny_spec())
    deliveries = Deliveries(engine)
    eventually(lambda: deliveries.received, "nothing of the first was left behind")
    deliveries.close()
    assert deliveries.received == [job.id]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_delivery_that_comes_past_the_gate_is_said(
    engine: sa.Engine, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    """As if DBOS had found another way: the gate stands before a function that nobody calls."""
    deliveries = Deliveries(engine)
    jobs.submit(tiny_spec())
    eventually(lambda: deliveries.received, "it is delivered")
    assert "past the gate" not in caplog.text
    deliveries._consumer._dbos._sys_db.__dict__.pop("start_queued_workflows")
    jobs.submit(tiny_spec())
    eventually(lambda: len(deliveries.received) == 2, "it is delivered, too")
    deliveries.close()
    assert "past the gate" in caplog.text


def on_each_look(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Call ``do`` before each look at our queue. DBOS has a queue of its own, with a thread of its own."""
    scopes = SystemDatabase.dequeue_scopes

    def noted(self: SystemDatabase, queue_name: str) -> list[str | None]:
        if queue_name == QUEUE:
            do()
        return scopes(self, queue_name)

    monkeypatch.setattr(SystemDatabase, "dequeue_scopes", noted)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_busy_worker_leaves_the_database_alone_and_goes_on_when_it_is_free(
    engine: sa.Engine, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    on_each_look(monkeypatch, lambda: looks.append(time.monotonic()))
    at_work, done = threading.Event(), threading.Event()

    class Busy(Deliveries):
        def _deliver(self, job_id: str, attempt: int) -> None:
            at_work.set()
            assert done.wait(240)
            super()._deliver(job_id, attempt)

    deliveries = Busy(engine)
    ids = [jobs.submit(tiny_spec()).id for _ in range(2)]
    assert at_work.wait(240)
    looks.clear()
    eventually(lambda: len(looks) >= 4, "the queue is looked at")
    busy = min(later - earlier for earlier, later in itertools.pairwise(looks[:4]))
    done.set()
    eventually(lambda: deliveries.received == ids, "both are delivered")
    deliveries.close()
    assert busy > 0.9 * BUSY_SECONDS > POLL_SECONDS


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_next_delivery_comes_with_the_look_that_follows_the_end_of_the_one_before(
    engine: sa.Engine, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look before DBOS has noted the end would be in vain, and cost the time to the next one."""
    in_vain: list[str] = []
    awaited, ended, looked = threading.Event(), threading.Event(), threading.Event()
    note = SystemDatabase.update_workflow_outcome

    def noted_late(*arguments: Any, **options: Any) -> Any:
        """As on a busy machine: until somebody looks, or long after somebody would have."""
        looked.wait(2 * POLL_SECONDS)
        return note(*arguments, **options)

    class Idle(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if not self.is_set():
                awaited.set()
            return super().wait(timeout)

    class Slow(Deliveries):
        def __init__(self, engine: sa.Engine) -> None:
            super().__init__(engine)
            self._consumer._single._idle = Idle()
            self._consumer._single._idle.set()

        def is_counted(self) -> bool:
            return self._consumer._dbos._active_workflows_set.count_for_queue(QUEUE) > 0

        def _deliver(self, job_id: str, attempt: int) -> None:
            for event in (awaited, ended, looked):
                event.clear()
            assert awaited.wait(240), "the thread of the queue waits for the end"
            super()._deliver(job_id, attempt)
            ended.set()

    def look() -> None:
        if ended.is_set() and deliveries.is_counted():
            in_vain.append(deliveries.received[-1])
            looked.set()

    monkeypatch.setattr(single_delivery, "BUSY_SECONDS", 60.0)  # however busy the machine is
    monkeypatch.setattr(SystemDatabase, "update_workflow_outcome", noted_late)
    on_each_look(monkeypatch, look)
    deliveries = Slow(engine)
    ids = [jobs.submit(tiny_spec()).id for _ in range(4)]
    eventually(lambda: deliveries.received == ids, "all are delivered")
    deliveries.close()
    assert in_vain == []
