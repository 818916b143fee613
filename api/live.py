"""Waiting for changes of jobs and experiments: few queries for all who wait, and no thread or connection for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial

import sqlalchemy as sa
import structlog
from fastapi.responses import StreamingResponse

from api.http.problem_details import HTTPProblem
from api.news import Look
from api.turns import Turns
from hposvc.db.engine import read
from hposvc.db.tables import experiments, jobs
from hposvc.jobs.queries import Position

log = structlog.get_logger(__name__)

EVENT_STREAM = "text/event-stream"
POLL_SECONDS = 0.5
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

    async def changed(self, id_: str, known: Position, seconds: float) -> bool:
        """Wait until the job or experiment ``id_`` is no longer at ``known``, or is gone.

        False when it still is after ``seconds``, or when the place is over.
        """
        self._waiter = asyncio.Event()
        return not self.over and await self._live.changed(id_, known, seconds, self._waiter) and not self.over

    def end(self) -> None:
        """Give the place to somebody else."""
        self.over = True
        if self._waiter is not None:
            self._waiter.set()


class Live:
    """Who waits for which job or experiment, in one event loop. At most ``limit`` wait at a time.

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

    async def changed(self, id_: str, known: Position, seconds: float, event: asyncio.Event) -> bool:
        """Wait for ``event``, which is set when ``id_`` is no longer at ``known``; False if that takes ``seconds``."""
        waiter = (known, event)
        self._waiting.setdefault(id_, []).append(waiter)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                await waiter[1].wait()
        except TimeoutError:
            return False
        finally:
            self._waiting[id_].remove(waiter)
            if not self._waiting[id_]:
                del self._waiting[id_]
        return True

    async def _poll(self) -> None:
        while self._waiting:
            try:
                positions = await self._turns.run("", partial(self._positions, list(self._waiting)))
            except sa.exc.SQLAlchemyError as error:
                log.warning("the database does not answer", doing="live", error=type(error).__name__)
            else:
                for id_, waiters in self._waiting.items():
                    for known, event in waiters:
                        if positions.get(id_) != known:
                            event.set()
            await asyncio.sleep(POLL_SECONDS)

    def _positions(self, ids: list[str]) -> dict[str, Position]:
        positions: dict[str, Position] = {}
        with read(self._engine) as connection:
            for table, kind in ((jobs, "job_"), (experiments, "exp_")):
                mine = [id_ for id_ in ids if id_.startswith(kind)]
                columns = (table.c.id, table.c.version, table.c.last_event)
                for begin in range(0, len(mine), IN_LIMIT):
                    some = sa.select(*columns).where(table.c.id.in_(mine[begin : begin + IN_LIMIT]))
                    positions |= {row.id: Position(row.version, row.last_event) for row in connection.execute(some)}
        return positions

    def response(self, id_: str, look: Look, *, tenant: str) -> StreamingResponse:
        """The stream of ``id_`` as a response. Raises HTTPProblem when all places are taken."""
        if not self.has_room(tenant):
            raise self.refusal()
        headers = {"Vary": "Accept", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self.stream(id_, look, tenant=tenant), media_type=EVENT_STREAM, headers=headers)

    async def stream(self, id_: str, look: Look, *, tenant: str) -> AsyncIterator[str]:
        """Server-sent events about the job or experiment ``id_``: what ``look`` finds, then more as it comes.

        Ends when it has ended or is gone, and after LONGEST_SECONDS.
        """
        with self.place(tenant) as place:
            begun = time.monotonic()
            yield "retry: 2000\n\n"
            while not place.over and time.monotonic() - begun < LONGEST_SECONDS:
                try:
                    news = await self._turns.run(tenant, look)
                except LookupError:
                    yield "event: end\ndata: {}\n\n"
                    return
                for message in news.messages:
                    yield message
                if news.ended:
                    return
                if not news.more and not await place.changed(id_, news.position, KEEP_ALIVE_SECONDS):
                    yield ": still here\n\n"
