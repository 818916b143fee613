"""One delivery at a time over all queues of a worker: two private methods of DBOS replaced, and one called.

DBOS limits what runs for each queue (``worker_concurrency``), and nothing over all queues of a process. A worker that
listens to several queues would take one delivery of each, work on one, and keep the others from idle workers.
``tests/jobs/test_single_delivery.py`` holds what is assumed here against the installed version of DBOS;
``docs/decisions/one-delivery-over-all-queues.md`` says why, and what was asked of its authors.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any

from dbos import DBOS

from hposvc.faults import Fault

CLAIM_METHOD = "start_queued_workflows"  # takes deliveries out of one queue; returns their ids, and why no more
POLL_METHOD = "dequeue_scopes"  # what the thread of a queue calls first, four times a second
COUNT_METHOD = "count_for_queue"  # how many deliveries of one queue this process has, until their end is noted
ENOUGH = "worker_concurrency"  # the reason that CLAIM_METHOD returns when a worker has enough to do
BUSY_SECONDS = 1.0  # the longest time between two polls while nothing can be taken
NOTED_SECONDS = 0.005  # between two looks whether DBOS has noted the end of a delivery
START_SECONDS = 10.0  # between claiming a delivery and its start; after that, it is no longer waited for

log = logging.getLogger(__name__)


class SingleDelivery:
    """Lets one claim through at a time: none while a delivery is under way, and none after ``stop``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._running = 0
        self._claimed_at = -float("inf")
        self._stopped = False

    @staticmethod
    def check() -> None:
        """Raise Fault unless DBOS has the three methods."""
        try:
            database = import_module("dbos._sys_db").SystemDatabase
            counted = import_module("dbos._core").ActiveWorkflowById
            there = all(
                hasattr(owner, method)
                for owner, method in ((database, CLAIM_METHOD), (database, POLL_METHOD), (counted, COUNT_METHOD))
            )
        except (ImportError, AttributeError):
            there = False
        if not there:
            raise Fault(
                f"DBOS {version('dbos')} takes deliveries out of its queues in a way that this version of hposvc does "
                "not know, so a worker could not keep to one job at a time",
                "Run: pip install 'dbos>=3.4,<3.5'",
            )

    def patch(self, dbos: DBOS) -> None:
        """Replace two methods in the one database object of this process."""
        database: Any = dbos._sys_db  # noqa: SLF001 - there is no public place for it
        count: Callable[[str], int] = getattr(dbos._active_workflows_set, COUNT_METHOD)  # noqa: SLF001
        claim, poll = getattr(database, CLAIM_METHOD), getattr(database, POLL_METHOD)

        def claim_one(*arguments: Any, **options: Any) -> tuple[list[str], Any]:
            with self._lock:
                if self._stopped or self._running or time.monotonic() - self._claimed_at < START_SECONDS:
                    return [], ENOUGH
                claimed: tuple[list[str], Any] = claim(*arguments, **options)
                if claimed[0]:
                    self._claimed_at = time.monotonic()
                return claimed

        def poll_when_idle(queue_name: str) -> Any:
            # Polling all the same took 2 % of a processor from the job; nothing is taken while DBOS counts a delivery,
            # and it does so until it has noted the end, a moment after the function.
            deadline = time.monotonic() + BUSY_SECONDS
            while (left := deadline - time.monotonic()) > 0:
                if self._idle.wait(left) and not count(queue_name):
                    break
                time.sleep(NOTED_SECONDS)
            return poll(queue_name)

        setattr(database, CLAIM_METHOD, claim_one)
        setattr(database, POLL_METHOD, poll_when_idle)

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """While a delivery is worked on."""
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

    def stop(self) -> None:
        """Let nothing through any more."""
        with self._lock:
            self._stopped = True
