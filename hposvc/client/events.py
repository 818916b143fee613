"""Server-sent events: the stream of a job."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StreamedEvent:
    """One event of a stream: ``type`` is state, note, lost, iterations or end; ``id`` a place to go on from."""

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
