"""Databases and disks that fail for a while."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.db.engine import write
from hposvc.jobs import queries
from hposvc.jobs.queue import APPLICATION_VERSION, DELIVERY, QUEUE, Publisher
from hposvc.schema.states import State
from tests.support.harness import Service, eventually, tiny_spec
from tests.support.postgresql import PostgreSQL

pytestmark = [pytest.mark.durability, pytest.mark.slow]


@pytest.fixture
def own_server() -> PostgreSQL:
    """A server that only this test stops and starts."""
    server = PostgreSQL()
    server.start()
    return server


def test_postgresql_is_restarted_again_and_again_under_load(
    own_server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> None:
    url = own_server.create("restarted")
    migrate.upgrade(url)
    service = Service(url, tmp_path_factory.mktemp("restarted"))
    try:
        job_ids = [service.jobs.submit(tiny_spec("slow=0.02", max_attempts=20)).id for _ in range(6)]
        for _ in range(2):
            service.worker()
        for round_ in range(4):
            service.until_iteration(job_ids[round_], 5)
            own_server.restart("immediate" if round_ % 2 else "fast")
        for job_id in job_ids:
            service.assert_succeeded_exactly(job_id)
        service.assert_history_is_sound(job_ids)
        assert all(process.poll() is None for process in service.processes), "the workers recover by themselves"
        print("postgresql restarted 4 times: 0 jobs lost")
    finally:
        service.close()
        own_server.remove()


def test_every_delivery_comes_three_times(service: Service) -> None:
    publisher = Publisher(service.engine)
    job_ids = [service.jobs.submit(tiny_spec("slow=0.005")).id for _ in range(6)]
    for copy in range(2):
        for job_id in job_ids:
            with write(service.engine) as connection:
                publisher._client.enqueue_in_transaction(
                    connection,
                    {
                        "queue_name": QUEUE,
                        "workflow_name": DELIVERY,
                        "workflow_id": f"copy {copy} of {job_id}",
                        "app_version": APPLICATION_VERSION,
                        "queue_partition_key": "default",
                    },
                    job_id,
                    1,
                )
    for _ in range(2):
        service.worker()
    for job_id in job_ids:
        service.assert_succeeded_exactly(job_id)
        assert len(service.attempts(job_id)) == 1
    service.assert_history_is_sound(job_ids)


def test_a_full_disk_costs_checkpoints_but_not_the_job(service: Service) -> None:
    service.worker()
    job_id = service.jobs.submit(tiny_spec("full=5")).id
    service.assert_succeeded_exactly(job_id)
    notes = [event.data for event in queries.events(service.engine, job_id).items if event.type == "note"]
    assert notes
    assert all(note["level"] == "warning" and "no checkpoint at iteration" in note["message"] for note in notes)


def test_a_database_that_takes_no_writes_stops_the_job_until_it_does(service: Service) -> None:
    """As when its disk is full: the worker lets go of the job before the lease runs out, and goes on afterwards."""
    service.worker()
    job_id = service.jobs.submit(tiny_spec("slow=0.02", max_attempts=20)).id
    service.until_iteration(job_id, 5)
    with write(service.engine) as connection:
        if service.engine.dialect.name == "postgresql":
            connection.execute(sa.text("LOCK TABLE jobs IN SHARE MODE"))
        eventually(lambda: "could not be renewed in time" in service.logs(), "the worker lets go of the job")
    service.assert_succeeded_exactly(job_id)
    assert [attempt["outcome"] for attempt in service.attempts(job_id)] == ["lost", "succeeded"]
    service.assert_history_is_sound([job_id])


def test_a_full_disk_under_the_database_delays_the_job_and_costs_it_nothing(service: Service) -> None:
    worker = service.worker(lease=30.0)
    job_id = service.jobs.submit(tiny_spec("slow=0.02", max_attempts=20, checkpoint_every=1000)).id
    service.until_iteration(job_id, 5)
    with full(service, worker.pid):
        eventually(lambda: "the database does not answer" in service.logs(), "a write fails")
        assert service.get(job_id).state is State.RUNNING
    service.assert_succeeded_exactly(job_id)
    assert [attempt["outcome"] for attempt in service.attempts(job_id)] == ["succeeded"]
    assert worker.poll() is None
    service.assert_history_is_sound([job_id])


@contextlib.contextmanager
def full(service: Service, pid: int) -> Iterator[None]:
    """No room for what the worker writes: by the kernel on SQLite, by the error of its server on PostgreSQL."""
    if service.engine.dialect.name == "sqlite":
        log = Path(f"{service.engine.url.database}-wal").stat().st_size  # of SQLite: it grows by every write
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (log, resource.RLIM_INFINITY))
        yield
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return
    refuse = "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'"
    with write(service.engine) as connection:
        connection.exec_driver_sql(
            f"CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {refuse}; END $$;"
            "CREATE TRIGGER no_space BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION no_space()"
        )
    yield
    with write(service.engine) as connection:
        connection.exec_driver_sql("DROP FUNCTION no_space() CASCADE")
