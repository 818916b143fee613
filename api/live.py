"""Waiting for changes of jobs: one query for all who wait, and neither a thread nor a connection for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import structlog
from anyio import to_thread

from api.http.problem_details import HTTPProblem
from hposvc.db.engine import read
from hposvc.db.tables import jobs
from hposvc.jobs import queries
from hposvc.jobs.queries import JobNotFound, Position
from hposvc.schema.iterations import IterationColumns
from hposvc.schema.job import EventResource
from hposvc.schema.states import TERMINAL

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
BATCH = 1000  # events, or iterations, in one reading
KEEP_ALIVE_SECONDS = 15.0
LONGEST_SECONDS = 600.0  # then a stream ends and the client takes it up again, with a key that is looked at anew
IN_LIMIT = 500  # ids in one IN (…)


class Live:
    """Who waits for which job, in one event loop. At most ``limit`` wait at a time."""

    def __init__(self, engine: sa.Engine, limit: int) -> None:
        self._engine = engine
        self._limit = limit
        self._open = 0
        self._waiting: dict[str, list[tuple[Position, asyncio.Event]]] = {}
        self._poller: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether no other request may wait."""
        return self._open >= self._limit

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who wait. Raises HTTPProblem when all are taken."""
        if self.full:
            detail = f"{self._limit} streams are open on this server, which is the most (HPOSVC_MAX_STREAMS)."
            raise HTTPProblem("too-many-streams", detail, headers={"Retry-After": "5"})
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def changed(self, job_id: str, known: Position, seconds: float) -> bool:
        """Wait until the job is no longer at ``known``, or is gone; False when it still is after ``seconds``."""
        waiter = (known, asyncio.Event())
        self._waiting.setdefault(job_id, []).append(waiter)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                await waiter[1].wait()
        except TimeoutError:
            return False
        finally:
            self._waiting[job_id].remove(waiter)
            if not self._waiting[job_id]:
                del self._waiting[job_id]
        return True

    async def _poll(self) -> None:
        while self._waiting:
            try:
                positions = await to_thread.run_sync(self._positions, list(self._waiting))
            except sa.exc.SQLAlchemyError as error:
                log.warning("the database does not answer", doing="live", error=type(error).__name__)
            else:
                for job_id, waiters in self._waiting.items():
                    for known, event in waiters:
                        if positions.get(job_id) != known:
                            event.set()
            await asyncio.sleep(POLL_SECONDS)

    def _positions(self, ids: list[str]) -> dict[str, Position]:
        columns = (jobs.c.id, jobs.c.version, jobs.c.last_event)
        positions: dict[str, Position] = {}
        with read(self._engine) as connection:
            for begin in range(0, len(ids), IN_LIMIT):
                some = sa.select(*columns).where(jobs.c.id.in_(ids[begin : begin + IN_LIMIT]))
                positions |= {row.id: Position(row.version, row.last_event) for row in connection.execute(some)}
        return positions

    async def stream(self, job_id: str, *, tenant: str, after_event: int, after_iteration: int) -> AsyncIterator[str]:
        """Server-sent events: the job's history and its iterations beyond those named, then each as it comes.

        The id of each names both, ``EVENT.ITERATION``, so that a client goes on where it was. Ends with the event
        ``end`` when the job has ended, and without one after LONGEST_SECONDS.
        """

        def look() -> tuple[Position, str, list[EventResource], IterationColumns]:
            # The state first: if it is a last one, everything that belongs to it is read after it.
            position, state = queries.position(self._engine, job_id, tenant=tenant)
            events = queries.events(self._engine, job_id, tenant=tenant, after=after_event, limit=BATCH)
            found = queries.iterations(self._engine, job_id, tenant=tenant, after=after_iteration, limit=BATCH)
            return position, state, events.items, found

        with self.place():
            begun = time.monotonic()
            yield "retry: 2000\n\n"
            while time.monotonic() - begun < LONGEST_SECONDS:
                try:
                    position, state, events, columns = await to_thread.run_sync(look)
                except JobNotFound:
                    yield "event: end\ndata: {}\n\n"
                    return
                if columns.iteration:
                    after_iteration = columns.next_after
                    data = columns.model_dump_json(exclude={"buckets", "downsampled"})
                    yield message("iterations", f"{after_event}.{after_iteration}", data)
                for event in events:
                    after_event = event.seq
                    yield message(event.type, f"{after_event}.{after_iteration}", event.model_dump_json())
                if len(events) == BATCH or len(columns.iteration) == BATCH:
                    continue
                if state in TERMINAL:
                    yield message("end", f"{after_event}.{after_iteration}", f'{{"state": "{state}"}}')
                    return
                if not await self.changed(job_id, position, KEEP_ALIVE_SECONDS):
                    yield ": still here\n\n"


def message(event: str, id_: str, data: str) -> str:
    """One server-sent event; ``data`` is JSON on one line."""
    return f"id: {id_}\nevent: {event}\ndata: {data}\n\n"
