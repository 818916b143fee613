"""What is new about a job or an experiment since the last look, as server-sent events."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from hposvc.experiments import queries as experiment_queries
from hposvc.jobs import queries
from hposvc.jobs.queries import Position
from hposvc.schema.experiments import ENDED
from hposvc.schema.states import TERMINAL

BATCH = 1000  # events, or iterations, in one reading


class News(NamedTuple):
    """The ``messages`` since the last look, and the ``position`` that they lead to.

    ``more`` says that the next look finds more at once, ``ended`` that there is nothing to come.
    """

    position: Position
    messages: list[str]
    more: bool
    ended: bool


Look = Callable[[], News]
"""Each call says what is new since the one before. Raises LookupError when there is no such thing any more."""


def of_job(engine: sa.Engine, job_id: str, *, tenant: str, after_event: int, after_iteration: int) -> Look:
    """News of a job: its history and its iterations. The id of each message names both, ``EVENT.ITERATION``."""

    def look() -> News:
        nonlocal after_event, after_iteration
        # The state first: if it is a last one, everything that belongs to it is read after it.
        position, state = queries.position(engine, job_id, tenant=tenant)
        events = queries.events(engine, job_id, tenant=tenant, after=after_event, limit=BATCH).items
        columns = queries.iterations(engine, job_id, tenant=tenant, after=after_iteration, limit=BATCH)
        messages = []
        if columns.iteration:
            after_iteration = columns.next_after
            data = columns.model_dump_json(exclude={"buckets", "downsampled"})
            messages.append(message("iterations", f"{after_event}.{after_iteration}", data))
        for event in events:
            after_event = event.seq
            messages.append(message(event.type, f"{after_event}.{after_iteration}", event.model_dump_json()))
        more = len(events) == BATCH or len(columns.iteration) == BATCH
        ended = state in TERMINAL and not more
        if ended:
            messages.append(message("end", f"{after_event}.{after_iteration}", f'{{"state": "{state}"}}'))
        return News(position, messages, more, ended)

    return look


def of_experiment(engine: sa.Engine, experiment_id: str, *, tenant: str, after: int) -> Look:
    """News of an experiment: its history. The id of each message is the number of the event."""

    def look() -> News:
        nonlocal after
        position, state = experiment_queries.position(engine, experiment_id, tenant=tenant)  # first, as above
        events = experiment_queries.events(engine, experiment_id, tenant=tenant, after=after, limit=BATCH).items
        messages = []
        for event in events:
            after = event.seq
            messages.append(message(event.type, str(after), event.model_dump_json()))
        more = len(events) == BATCH
        ended = state in ENDED and not more
        if ended:
            messages.append(message("end", str(after), f'{{"state": "{state}"}}'))
        return News(position, messages, more, ended)

    return look


def message(event: str, id_: str, data: str) -> str:
    """One server-sent event; ``data`` is JSON on one line."""
    return f"id: {id_}\nevent: {event}\ndata: {data}\n\n"
