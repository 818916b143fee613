"""Checks before every route: the host, the site a request comes from, the size of its body; and safe headers."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problem_details import HTTPProblem
from api.middleware.headers import SECURITY_HEADERS

MAX_BODY = 1024 * 1024

BODY_SECONDS = 60.0  # for which a body may come as slowly as it likes; after that it has to keep a pace
BODY_BYTES_PER_SECOND = 10_000

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def is_address(host: str) -> bool:
    """Whether a host is an IP address, which no other site can let its own name mean."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware. ``hosts``: names served beside the loopback ones; ``addresses``: whether IP addresses are, too.

    ``largest`` are the bytes that a body may have for paths, with ``*`` for an id, where that is not ``MAX_BODY``.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str] = (),
        largest: Mapping[str, int] | None = None,
        *,
        addresses: bool = False,
    ) -> None:
        self.app = app
        self.hosts = frozenset(hosts)
        self.addresses = addresses
        self.largest = dict(largest or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with a problem, or pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        largest = next((most for path, most in self.largest.items() if fnmatchcase(scope["path"], path)), MAX_BODY)
        problem = (
            self._unknown_host(headers) or self._cross_site(scope["method"], headers) or _too_large(headers, largest)
        )
        if problem:
            await problem.response(scope["path"])(scope, receive, _secured(send))
        else:
            await self.app(scope, _counted(receive, largest), _secured(send))

    def _unknown_host(self, headers: Headers) -> HTTPProblem | None:
        """A page of another site whose name was re-pointed at this machine (DNS rebinding) still sends its own name."""
        try:
            host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:  # half an IPv6 address
            host = ""
        if is_loopback(host) or host in self.hosts or (self.addresses and is_address(host)):
            return None
        detail = f"This server serves no host {host[:100]!r}. If that is its name, HPOSVC_HOSTS must say so."
        return HTTPProblem("unknown-host", detail)

    def _cross_site(self, method: str, headers: Headers) -> HTTPProblem | None:
        """A form on another site may post here without asking; browsers say where it came from."""
        if method in READING:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        try:
            own = origin is None or urlsplit(origin).netloc == headers.get("host")
        except ValueError:
            own = False
        if own and site in ("same-origin", "none"):
            return None
        return HTTPProblem("cross-site-request", f"A page of {origin or 'another site'} may not change anything here.")


def _too_large(headers: Headers, largest: int) -> HTTPProblem | None:
    length = headers.get("content-length", "0")
    return _body_too_large(largest) if length.isdigit() and int(length) > largest else None


def _body_too_large(largest: int) -> HTTPProblem:
    return HTTPProblem("body-too-large", f"The body is larger than {largest:,} bytes.", headers={"Connection": "close"})


TOO_SLOW = HTTPProblem(
    "request-failed",
    f"The body did not come within {BODY_SECONDS:.0f} s and at {BODY_BYTES_PER_SECOND // 1000} kB/s after that.",
    status=408,
    headers={"Connection": "close"},
)


def _counted(receive: Receive, largest: int) -> Receive:
    """Stop a body that grows too large, because one sent in chunks names no length, or that comes too slowly."""
    seen, whole = 0, False
    begun = time.monotonic()

    async def counted() -> Message:
        nonlocal seen, whole
        if whole:
            return await receive()  # which tells when the client is gone
        try:
            async with asyncio.timeout(begun + BODY_SECONDS + seen / BODY_BYTES_PER_SECOND - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise TOO_SLOW from None
        whole = not message.get("more_body", False)
        seen += len(message.get("body", b""))
        if seen > largest:
            raise _body_too_large(largest)
        return message

    return counted


def _secured(send: Send) -> Send:
    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return secured
