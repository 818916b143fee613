"""Threads for the work of requests: each kind of work has its own, and the tenants take turns at them.

So nobody waits for another kind of work, and nobody for more than what a tenant may do at once.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from api.http.problem_details import HTTPProblem

Result = TypeVar("Result")

NICE = 5  # of threads; Linux has one for each
MOST_WAITING = 300  # requests of one tenant for one kind of work


class Turns:
    """``places`` threads for one kind of work, of which a tenant has at most ``each`` at a time.

    What more it asks for waits; as soon as a thread is free, the tenant has it that has waited longest for a turn. Of
    one tenant, ``most_waiting`` may wait; None where something else bounds them. Belongs to one event loop.
    """

    def __init__(self, places: int, each: int, most_waiting: int | None = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._threads = CapacityLimiter(places)
        self._free = places
        self._each = each
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # who had a turn stands at the end

    async def run(self, tenant: str, work: Callable[[], Result]) -> Result:
        """What ``work`` returns, called on a thread when it is the tenant's turn.

        Raises HTTPProblem when the tenant has too much waiting already.
        """
        await self._enter(tenant)
        try:
            return await to_thread.run_sync(partial(_yielding, work), limiter=self._threads)
        finally:
            self._leave(tenant)

    async def _enter(self, tenant: str) -> None:
        waiting = self._waiting.setdefault(tenant, deque())
        if self._most_waiting is not None and len(waiting) >= self._most_waiting:
            detail = f"{self._most_waiting} requests of yours wait for the same kind of work."
            raise HTTPProblem("too-many-requests", detail, headers={"Retry-After": "2"})
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was granted in the same moment
                self._leave(tenant)
            raise

    def _leave(self, tenant: str) -> None:
        self._free += 1
        self._running[tenant] -= 1
        self._running = +self._running  # forgets who has nothing here
        self._grant()

    def _grant(self) -> None:
        """Give the free threads to those whose turn it is."""
        granted = True
        while self._free and granted:
            granted = False
            for tenant, waiting in list(self._waiting.items()):
                while waiting and waiting[0].done():
                    waiting.popleft()  # its request gave up
                takes = bool(waiting) and self._free > 0 and self._running[tenant] < self._each
                if takes:
                    self._free -= 1
                    self._running[tenant] += 1
                    waiting.popleft().set_result(None)
                    granted = True
                if takes or not waiting:
                    del self._waiting[tenant]
                if takes and waiting:
                    self._waiting[tenant] = waiting


def _yielding(work: Callable[[], Result]) -> Result:
    """``work`` on a thread that yields the processor to the event loop, which everybody waits for."""
    thread = threading.get_native_id()
    if os.getpriority(os.PRIO_PROCESS, thread) < NICE:
        os.setpriority(os.PRIO_PROCESS, thread, NICE)
    return work()


@dataclass(frozen=True)
class Work:
    """The kinds of work of one API process. The database has connections for all of their threads together."""

    access: Turns = field(
        default_factory=lambda: Turns(2, 1)
    )  # whose a key is; for one that was not seen yet the "tenant" is an address
    health: Turns = field(default_factory=lambda: Turns(1, 1))
    live: Turns = field(default_factory=lambda: Turns(2, 1, None))  # of streams, of which there are max_streams
    documents: Turns = field(default_factory=lambda: Turns(2, 1))
    reads: Turns = field(default_factory=lambda: Turns(9, 2))
    changes: Turns = field(default_factory=lambda: Turns(4, 2))
    checks: Turns = field(default_factory=lambda: Turns(2, 1))  # what reads uploaded data, in a process for each
    uploads: Turns = field(default_factory=lambda: Turns(3, 1))
