"""The delivery engine, DBOS Transact, behind a handful of functions.

DBOS keeps a durable queue in the service's own database and hands each delivery to one worker. It only delivers:
the row in ``jobs`` decides whether a delivery still means anything (see ``hposvc.jobs.attempt``). Its recovery and its
cancellation are never relied on: a delivery is for one attempt, and a lost attempt is enqueued anew as the next.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, WorkflowSerializationFormat

from hposvc.db.tables import jobs
from hposvc.schema.capabilities import ANY

# Fixed: a delivery must reach workers of any version. A change of meaning of the arguments takes a new number.
APPLICATION_NAME = "hposvc"
APPLICATION_VERSION = "1"
QUEUE = "hposvc_jobs"  # for jobs that any worker can do; see queue_of
DELIVERY = "hposvc_delivery"
POLL_SECONDS = 0.25

HIGHEST_PRIORITY = 1000  # of a job, where larger is sooner; DBOS counts the other way, from 1

# A worker that dies keeps its deliveries to itself, so the names of DBOS's logger are ours to quieten.
logging.getLogger("dbos").setLevel(logging.WARNING)
log = logging.getLogger(__name__)


def delivery_id(job_id: str, attempt: int) -> str:
    """The name of the delivery of one attempt; enqueuing it twice is the same as once."""
    return f"{job_id}:{attempt}"


def queue_of(needs: str) -> str:
    """The queue of the jobs that need this of a worker: see ``hposvc.schema.capabilities``."""
    return QUEUE if needs == ANY else f"{QUEUE}_{needs}"


class QueueError(RuntimeError):
    """The delivery engine that is installed is not one that this version can use; the message says what to do."""


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

        ``deliver(job_id, attempt)`` runs on a thread of the queue; while it runs, nothing comes. Raises QueueError
        before anything is started.
        """
        _Gate.check()
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

        self._gate = _Gate()

        def delivery(job_id: str, attempt: int) -> None:
            with self._gate.occupied():
                deliver(job_id, attempt)

        DBOS.workflow(name=DELIVERY)(delivery)
        queues = [queue_of(name) for name in offers]
        DBOS.listen_queues(queues)
        DBOS.launch()
        self._gate.guard(self._dbos)
        for queue in queues:
            DBOS.register_queue(
                queue, worker_concurrency=1, partition_worker_concurrency=1, polling_interval_sec=POLL_SECONDS
            )

    def pause(self) -> None:
        """Receive nothing more; a delivery that is under way goes on."""
        self._gate.shut()

    def close(self) -> None:
        """Stop receiving. Returns when the queue's threads are gone; a delivery that still runs is left alone."""
        DBOS.destroy(destroy_registry=True)


class _Gate:
    """One delivery at a time over all queues. DBOS counts what runs for each queue apart, so a worker that listens to
    several would take one of each and keep them from others that are idle.
    """

    DOOR = "start_queued_workflows"
    LOOKOUT = "dequeue_scopes"  # what a queue's thread calls first, four times a second
    BUSY_SECONDS = 1.0  # between two looks for work that could not be taken, at the most
    START_SECONDS = 10.0  # between taking a delivery and its start; one that does not start is forgotten

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._running = 0
        self._claimed_at = -float("inf")
        self._shut = False

    @classmethod
    def check(cls) -> None:
        """Raise QueueError unless DBOS takes deliveries out of its queues where this expects it."""
        try:
            database = import_module("dbos._sys_db").SystemDatabase
            there = hasattr(database, cls.DOOR) and hasattr(database, cls.LOOKOUT)
        except (ImportError, AttributeError):
            there = False
        if not there:
            raise QueueError(
                f"DBOS {version('dbos')} takes deliveries out of its queues in another way than this version of hposvc "
                "knows, so a worker could not keep to one job at a time. Run: pip install 'dbos>=3.4,<3.5'"
            )

    def guard(self, dbos: DBOS) -> None:
        """Stand before whatever takes deliveries out of this process's queues.

        DBOS 3.4 limits what runs for each queue (``worker_concurrency``), and nothing over all queues of a process.
        """
        database: Any = dbos._sys_db  # noqa: SLF001 - there is no public place for it
        take, look = getattr(database, self.DOOR), getattr(database, self.LOOKOUT)

        def take_one(*arguments: Any, **options: Any) -> tuple[list[str], Any]:
            with self._lock:
                if self._shut or self._running or time.monotonic() - self._claimed_at < self.START_SECONDS:
                    return [], "worker_concurrency"
                taken: tuple[list[str], Any] = take(*arguments, **options)
                if taken[0]:
                    self._claimed_at = time.monotonic()
                return taken

        def look_when_idle(*arguments: Any) -> Any:
            self._idle.wait(self.BUSY_SECONDS)  # looking all the same took 2 % of a processor from the job
            return look(*arguments)

        setattr(database, self.DOOR, take_one)
        setattr(database, self.LOOKOUT, look_when_idle)

    @contextlib.contextmanager
    def occupied(self) -> Iterator[None]:
        """While a delivery is under way."""
        with self._lock:
            if self._claimed_at == -float("inf"):
                log.error("a delivery came past the gate: this worker may take several jobs at once. Report it.")
            self._running += 1
            self._idle.clear()
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._claimed_at = -float("inf")
                if not self._running:
                    self._idle.set()

    def shut(self) -> None:
        """Let nothing through any more."""
        with self._lock:
            self._shut = True
