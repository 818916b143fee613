"""A path that a proxy puts before those of the service: taken off what comes in, put before what leads back."""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEADING_BACK = ("Location", "Content-Location")
PROBLEM = "application/problem+json"


class Prefix:
    """ASGI middleware. Whether the proxy takes ``root`` off itself or not, routes see paths without it."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self.app = app
        self.root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as if the service stood at the top of its host."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == self.root or scope["path"].startswith(f"{self.root}/"):
            raw = scope.get("raw_path") or b""
            scope["path"] = scope["path"].removeprefix(self.root) or "/"
            scope["raw_path"] = raw.removeprefix(self.root.encode()) or b"/"

        problem: Message | None = None  # the start of one, until its body comes, whole

        async def led_back(message: Message) -> None:
            nonlocal problem
            if problem is not None and message.get("body"):
                message = {**message, "body": self._explained(message["body"])}
                MutableHeaders(scope=problem)["Content-Length"] = str(len(message["body"]))
            if problem is not None:
                await send(problem)
                problem = None
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in LEADING_BACK:
                    if headers.get(name, "").startswith("/"):
                        headers[name] = self.root + headers[name]
                if Headers(raw=message["headers"]).get("Content-Type") == PROBLEM:
                    problem = message
                    return
            await send(message)

        await self.app(scope, receive, led_back)

    def _explained(self, body: bytes) -> bytes:
        """A problem document whose ``type`` leads to its page from outside, too.

        RFC 9457, section 3.1.1: a relative reference is resolved against the address of the request, and should be a
        full path.
        """
        document: dict[str, Any] = json.loads(body)
        document |= {name: self.root + document[name] for name in ("type", "instance") if name in document}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
