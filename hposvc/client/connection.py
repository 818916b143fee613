"""Requests to one service: repeated where that is safe, with errors that say what is wrong."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from hposvc import __version__
from hposvc.client.errors import ProblemError, Repeated, ServerUnreachableError, document_of

ATTEMPTS = 4
FIRST_PAUSE = 0.25  # seconds before the first retry; doubled for each one after
LONGEST_PAUSE = 10.0
TRY_AGAIN = frozenset({429, 502, 503, 504})


class Connection:
    """The service at ``url``, with ``key`` in each request; ``timeout`` is in seconds."""

    def __init__(self, url: str, key: str | None, timeout: float) -> None:
        self.url = url
        self.timeout = timeout
        self.client = httpx.Client(
            base_url=url,
            timeout=timeout,
            headers={"User-Agent": f"hposvc/{__version__}"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            trust_env=False,  # a proxy has no business between a person and the service on the same machine
        )

    def call(self, method: str, path: str, *, lost: bool = True, **request: Any) -> Any:
        """The decoded response of ``send``, None if there is nothing in it."""
        response = self.send(method, path, lost=lost, **request)
        empty = response.status_code in (httpx.codes.NO_CONTENT, httpx.codes.NOT_MODIFIED)
        return None if empty else response.json()

    def once(self, method: str, path: str, **request: Any) -> Any:
        """``call`` for what must not happen twice: repeated only when the service said that it did nothing."""
        return self.call(method, path, lost=False, **request)

    def remove(self, path: str) -> None:
        """Delete what is at ``path``. That it is gone after a request whose response got lost is no error."""
        try:
            self.call("DELETE", path)
        except Repeated as error:
            if error.problem.status != httpx.codes.NOT_FOUND:
                raise error.problem from error

    @contextlib.contextmanager
    def stream(self, path: str, **request: Any) -> Iterator[httpx.Response]:
        """A response that is read in pieces, requested once. Raises ProblemError, ServerUnreachableError."""
        try:
            with self.client.stream("GET", path, **request) as response:
                if not response.is_success:
                    response.read()
                    raise ProblemError(response.status_code, document_of(response))
                yield response
        except httpx.TransportError as error:
            raise self.unreachable(error) from error

    def unreachable(self, error: httpx.TransportError) -> ServerUnreachableError:
        """What a network error means."""
        return ServerUnreachableError(self.url, str(error) or type(error).__name__)

    def send(
        self,
        method: str,
        path: str,
        *,
        lost: bool = True,
        body: Callable[[], Iterator[bytes]] | None = None,
        **request: Any,
    ) -> httpx.Response:
        """The response. Repeated while the service is busy and, with ``lost``, after none came: reads, actions that
        are idempotent, submits with a key, uploads, whose content is one data set. ``body`` begins anew each time.
        """
        pause = FIRST_PAUSE
        unanswered = False
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                if body is not None:
                    request["content"] = body()
                response = self.client.request(method, path, **request)
            except httpx.TransportError as error:
                if last or not lost:
                    raise self.unreachable(error) from error
                unanswered = True
            else:
                if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
                    return response
                if last or response.status_code not in TRY_AGAIN:
                    problem = ProblemError(response.status_code, document_of(response))
                    raise Repeated(problem) if unanswered and method == "DELETE" else problem
                pause = max(pause, _retry_after(response))
            time.sleep(min(pause, LONGEST_PAUSE))
            pause *= 2
        raise AssertionError("the last attempt returns or raises")


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else 0.0
