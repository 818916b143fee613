"""What is seen of every request: an id, a log line, and its part in the metrics. Its span is FastAPI's own."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import ApiMetrics
from api.middleware.guard import READING
from hposvc import logs

log = structlog.get_logger(__name__)

REQUEST_ID = "X-Request-ID"
WELL_FORMED = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observing:
    """ASGI middleware, around all others. A well-formed X-Request-ID is kept; any other request gets a new one."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        request_id = given if WELL_FORMED.fullmatch(given) else f"req_{secrets.token_hex(10)}"
        scope.setdefault("state", {})["request_id"] = request_id
        method = scope["method"] if scope["method"] in METHODS else "other"
        status = 500  # an unexpected exception is handled outside of this

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        begun = time.perf_counter()
        self.metrics.in_progress.inc()
        with logs.bound(request_id=request_id):
            try:
                await self.app(scope, receive, answered)
            finally:
                seconds = time.perf_counter() - begun
                route = getattr(scope.get("route"), "path", "unmatched")
                self.metrics.in_progress.dec()
                self.metrics.requests.labels(method, route, str(status)).inc()
                self.metrics.durations.labels(method, route).observe(seconds)
                quiet = status < 400 and method in READING  # an open page asks once a second
                say = log.error if status >= 500 else log.debug if quiet else log.info
                say("request", method=method, path=scope["path"], status=status, seconds=round(seconds, 6))
