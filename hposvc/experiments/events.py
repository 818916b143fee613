"""The history of experiments: written by whatever changes one, in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from hposvc.db.tables import experiment_events, experiments


class Event(NamedTuple):
    """What happened: the experiment's new state, something about a trial, or a note."""

    type: Literal["state", "trial", "note"]
    data: dict[str, Any]


def add_events(connection: sa.Connection, experiment_id: str, happened: Sequence[Event]) -> None:
    """Append to the history of an experiment, in order.

    The numbers come from the experiment's row, whose lock is kept until the commit: none is left out, so a reader that
    remembers the last one misses nothing.
    """
    if not happened:
        return
    mine, last = experiments.c.id == experiment_id, experiments.c.last_event
    change = experiments.update().where(mine).values(last_event=last + len(happened)).returning(last)
    first = connection.execute(change).scalar_one() - len(happened) + 1
    rows = [
        {"experiment_id": experiment_id, "seq": first + index, "type": event.type, "data": event.data}
        for index, event in enumerate(happened)
    ]
    connection.execute(experiment_events.insert(), rows)
