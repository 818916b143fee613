"""Waiting for changes of jobs: one query for all who wait, and neither a thread nor a connection for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial

import sqlalchemy as sa
import structlog

from api.http.problem_details import HTTPProblem
from api.turns import Turns
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


class Place:
    """A place among those who wait, of ``tenant``. When it is ``over``, somebody else has it."""

    def __init__(self, live: Live, tenant: str) -> None:
        self.tenant = tenant
        self.over = False
        self._live = live
        self._waiter: asyncio.Event | None = None

    async def changed(self, job_id: str, known: Position, seconds: float) -> bool:
        """Wait until the job is no longer at ``known``, or is gone; False when it still is after ``seconds``, or when
        the place is over.
        """
        self._waiter = asyncio.Event()
        return not self.over and await self._live.changed(job_id, known, seconds, self._waiter) and not self.over

    def end(self) -> None:
        """Give the place to somebody else."""
        self.over = True
        if self._waiter is not None:
            self._waiter.set()


class Live:
    """Who waits for which job, in one event loop. At most ``limit`` wait at a time.

    When all places are taken, a tenant that has fewer than another takes one over, the oldest of the tenant that has
    most: a stream ends early, and is to be taken up again; a request that waits is responded to.
    """

    def __init__(self, engine: sa.Engine, limit: int, turns: Turns) -> None:
        self._engine = engine
        self._limit = limit
        self._turns = turns
        self._places: dict[str, list[Place]] = {}
        self._waiting: dict[str, list[tuple[Position, asyncio.Event]]] = {}
        self._poller: asyncio.Task[None] | None = None

    def has_room(self, tenant: str) -> bool:
        """Whether another request of the tenant may wait."""
        return sum(map(len, self._places.values())) < self._limit or self._greedier(tenant) is not None

    def _greedier(self, tenant: str) -> list[Place] | None:
        """The places of a tenant that has more than this one would have with one of them."""
        most = max(self._places.values(), key=len, default=[])
        return most if len(most) > len(self._places.get(tenant, [])) + 1 else None

    def refusal(self) -> HTTPProblem:
        """The problem of who finds no place."""
        detail = f"{self._limit} streams are open on this server, which is the most (HPOSVC_MAX_STREAMS)."
        return HTTPProblem("too-many-streams", detail, headers={"Retry-After": "5"})

    @contextmanager
    def place(self, tenant: str) -> Iterator[Place]:
        """A place among those who wait. Raises HTTPProblem when all are taken."""
        if not self.has_room(tenant):
            raise self.refusal()
        if sum(map(len, self._places.values())) >= self._limit and (greedier := self._greedier(tenant)):
            greedier.pop(0).end()
        mine = self._places.setdefault(tenant, [])
        place = Place(self, tenant)
        mine.append(place)
        try:
            yield place
        finally:
            if place in mine:
                mine.remove(place)
            if not mine:
                self._places.pop(tenant, None)

    async def changed(self, job_id: str, known: Position, seconds: float, event: asyncio.Event) -> bool:
        """Wait for ``event``, which is set when the job is no longer at ``known``; False if that takes ``seconds``."""
        waiter = (known, event)
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
                positions = await self._turns.run("", partial(self._positions, list(self._waiting)))
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

        with self.place(tenant) as place:
            begun = time.monotonic()
            yield "retry: 2000\n\n"
            while not place.over and time.monotonic() - begun < LONGEST_SECONDS:
                try:
                    position, state, events, columns = await self._turns.run(tenant, look)
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
                if not await place.changed(job_id, position, KEEP_ALIVE_SECONDS):
                    yield ": still here\n\n"


def message(event: str, id_: str, data: str) -> str:
    """One server-sent event; ``data`` is JSON on one line."""
    return f"id: {id_}\nevent: {event}\ndata: {data}\n\n"
