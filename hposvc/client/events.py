"""Server-sent events: the stream of a job or an experiment."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from hposvc.client.connection import ATTEMPTS, FIRST_PAUSE, TRY_AGAIN, Connection
from hposvc.client.errors import ProblemError, ServerUnreachableError

EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True)
class StreamedEvent:
    """One event of a stream; ``id`` is a place to go on from.

    ``type`` is state, note or end; of a job also lost or iterations, of an experiment also trial.
    """

    id: str
    type: str
    data: dict[str, Any]


def server_sent(lines: Iterable[str]) -> Iterator[StreamedEvent]:
    """The events in the lines of a stream, as the HTML standard has them read."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            if "data" in fields:
                yield StreamedEvent(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}


def stream(http: Connection, path: str, last: str | None) -> Iterator[StreamedEvent]:
    """The events of ``path`` as they come, until the last; a connection that breaks is taken up again.

    ``last`` is the id of the event after which to begin. Raises ServerUnreachableError, ProblemError.
    """
    failures = 0
    while True:
        headers = {"Accept": EVENT_STREAM} | ({"Last-Event-ID": last} if last else {})
        try:
            with http.stream(path, headers=headers) as response:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                for event in server_sent(response.iter_lines()):
                    failures, last = 0, event.id
                    yield event
                    if event.type == "end":
                        return
        except (ServerUnreachableError, ProblemError) as error:
            hopeless = isinstance(error, ProblemError) and error.status not in TRY_AGAIN
            if hopeless or failures + 1 >= ATTEMPTS:
                raise
        failures += 1
        time.sleep(FIRST_PAUSE * 2**failures)
