"""How connections are served: uvicorn's way, and none is held open by somebody who sends nothing."""

from __future__ import annotations

import asyncio
import resource
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # in which the whole head of a request must come
MOST_OPEN = 10_000  # connections of one process; beyond, requests get 503 at once
FILES_BESIDE = 500  # that one process has open besides
WAITING = 2048  # connections that the system holds until they are taken up
TAKEN_UP = 20  # connections at a time, before something else has its turn


class Connection(H11Protocol):
    """One connection. It is closed if the head of a request does not come, or a body goes on after its response."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_expecting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take up what came, and wait for the rest of a head if no request is under way."""
        super().handle_events()
        if self.cycle is None or self.cycle.response_complete:
            self._expect()
        else:
            self._stop_expecting()

    def _expect(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_expecting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """Uvicorn's server. asyncio takes up as many connections at a time as may wait for it: here, fewer."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve; after that let more connections wait."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(WAITING)


def config(app: FastAPI, **options: Any) -> uvicorn.Config:
    """Uvicorn's configuration for ``app``. Lets this process open as many files as the machine lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN + FILES_BESIDE
    files = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    files = soft if soft == resource.RLIM_INFINITY else max(soft, files)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    most = MOST_OPEN if files == resource.RLIM_INFINITY else min(MOST_OPEN, max(1, files - FILES_BESIDE))
    return uvicorn.Config(app, http=Connection, limit_concurrency=most, backlog=TAKEN_UP, **options)
