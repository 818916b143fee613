"""A path that a proxy puts before those of the service: taken off what comes in, put before what leads back."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEADING_BACK = ("Location", "Content-Location")


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

        async def led_back(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in LEADING_BACK:
                    if headers.get(name, "").startswith("/"):
                        headers[name] = self.root + headers[name]
            await send(message)

        await self.app(scope, receive, led_back)
