"""The delivery engine, DBOS Transact, behind a handful of functions.

DBOS keeps a durable queue in the service's own database and hands each delivery to one worker. It only delivers:
the row in ``jobs`` decides whether a delivery is still valid (see ``hposvc.jobs.attempt``). Its recovery and its
cancellation are never used: a delivery is for one attempt, and a lost attempt is enqueued again as the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, WorkflowSerializationFormat

from hposvc.db.tables import jobs
from hposvc.jobs.single_delivery import SingleDelivery
from hposvc.schema.capabilities import ANY

# Fixed: a delivery must reach workers of any version. A change of meaning of the arguments takes a new number.
APPLICATION_NAME = "hposvc"
APPLICATION_VERSION = "1"
QUEUE = "hposvc_jobs"  # for jobs that any worker can do; see queue_of
DELIVERY = "hposvc_delivery"
POLL_SECONDS = 0.25

HIGHEST_PRIORITY = 1000  # of a job, where larger is sooner; DBOS counts the other way, from 1

# DBOS reports every start and stop of a queue; only its warnings matter here.
logging.getLogger("dbos").setLevel(logging.WARNING)


def delivery_id(job_id: str, attempt: int) -> str:
    """The name of the delivery of one attempt; enqueuing it twice is the same as once."""
    return f"{job_id}:{attempt}"


def queue_of(needs: str) -> str:
    """The queue of the jobs that need this of a worker: see ``hposvc.schema.capabilities``."""
    return QUEUE if needs == ANY else f"{QUEUE}_{needs}"


class Publisher:
    """Enqueues deliveries inside the caller's transactions."""

    def __init__(self, engine: sa.Engine) -> None:
        self._client = DBOSClient(system_database_engine=engine, application_name=APPLICATION_NAME, lazy=True)

    def enqueue(
        self, connection: sa.Connection, job_id: str, attempt: int, *, priority: int, tenant: str, created_at: float
    ) -> None:
        """Deliver this attempt to one worker, once ``connection`` commits.

        Higher priorities go first, then older jobs by ``created_at``, so that a lost attempt does not cost a job its
        place; tenants take turns, each being a partition of the queue.
        """
        needs = connection.execute(sa.select(jobs.c.needs).where(jobs.c.id == job_id)).scalar() or ANY
        self._client.enqueue_in_transaction(
            connection,
            {
                "queue_name": queue_of(needs),
                "workflow_name": DELIVERY,
                "workflow_id": delivery_id(job_id, attempt),
                "app_version": APPLICATION_VERSION,
                "priority": _queued_priority(priority),
                "queue_partition_key": tenant,
                "serialization_type": WorkflowSerializationFormat.PORTABLE,
            },
            job_id,
            attempt,
        )
        # DBOS notes the time by itself, but in whole seconds on SQLite, and anew for each attempt.
        table = deliveries(connection)
        connection.execute(
            table.update()
            .where(table.c.workflow_uuid == delivery_id(job_id, attempt))
            .values(created_at=int(created_at * 1000))
        )

    def reprioritize(self, connection: sa.Connection, job_id: str, attempt: int, priority: int) -> None:
        """Give a delivery that still waits the place of another priority."""
        table = deliveries(connection)
        connection.execute(
            table.update()
            .where(table.c.workflow_uuid == delivery_id(job_id, attempt), table.c.status == "ENQUEUED")
            .values(priority=_queued_priority(priority))
        )


def _queued_priority(priority: int) -> int:
    return HIGHEST_PRIORITY + 1 - priority


def deliveries(connection: sa.Connection) -> sa.TableClause:
    """The queue's table of deliveries: the columns ``workflow_uuid``, ``status``, ``priority`` and ``created_at``."""
    schema = None if connection.dialect.name == "sqlite" else "dbos"
    columns = ("workflow_uuid", "status", "priority", "created_at")
    return sa.table("workflow_status", *map(sa.column, columns), schema=schema)


class Consumer:
    """Receives deliveries in this process, one at a time, until it is closed. One per process: DBOS is a singleton."""

    def __init__(
        self,
        url: sa.URL,
        worker_id: str,
        deliver: Callable[[str, int], None],
        offers: Collection[str] = (ANY,),
    ) -> None:
        """Start receiving what needs one of ``offers``.

        ``deliver(job_id, attempt)`` runs on a thread of the queue; while it runs, nothing comes. Raises Fault
        before anything is started: another version of DBOS is installed.
        """
        SingleDelivery.check()
        config: DBOSConfig = {
            "name": APPLICATION_NAME,
            "system_database_url": url.render_as_string(hide_password=False),
            "application_version": APPLICATION_VERSION,
            "executor_id": worker_id,  # new with every process, so DBOS finds nothing to recover
            "run_migrations": False,
            "use_listen_notify": False,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
        self._dbos = DBOS(config=config)
        self._single = SingleDelivery()

        def delivery(job_id: str, attempt: int) -> None:
            with self._single.under_way():
                deliver(job_id, attempt)

        DBOS.workflow(name=DELIVERY)(delivery)
        queues = [queue_of(name) for name in offers]
        DBOS.listen_queues(queues)
        DBOS.launch()
        self._single.patch(self._dbos)
        for queue in queues:
            DBOS.register_queue(
                queue, worker_concurrency=1, partition_worker_concurrency=1, polling_interval_sec=POLL_SECONDS
            )

    def pause(self) -> None:
        """Receive nothing more; a delivery that is under way goes on."""
        self._single.stop()

    def close(self) -> None:
        """Stop receiving. Returns when the queue's threads are gone; a delivery that still runs is left alone."""
        DBOS.destroy(destroy_registry=True)
