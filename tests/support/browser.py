"""Chromium, what a page did in it, and what a person does there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page, Request

CHROMIUM = os.environ.get("HPOSVC_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
REMEDY = (
    "Chromium was not found. Install it (Debian: apt-get install chromium) or set HPOSVC_TEST_CHROMIUM to its path. "
    "These tests are never skipped."
)
PATIENCE = 30_000  # milliseconds, for two cores that do something else as well


class Watch:
    """What a page did: requests, the most of them that asked the interface at once, and what must not have happened."""

    def __init__(self, page: Page, origin: str) -> None:
        self.requests: list[Request] = []
        self.faults: list[str] = []
        self.offline = False
        self.most_at_once = 0
        self._under_way: set[Request] = set()
        self._origin = origin
        page.on("request", self._request)
        for over in ("requestfinished", "requestfailed"):
            page.on(over, self._over)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))

    def _request(self, request: Request) -> None:
        self.requests.append(request)
        if "/v1/" in request.url:
            self._under_way.add(request)
            self.most_at_once = max(self.most_at_once, len(self._under_way))
        if not request.url.startswith((self._origin, "data:", "blob:")):
            self.faults.append(f"another origin: {request.url}")

    def _over(self, request: Request) -> None:
        self._under_way.discard(request)

    def _console(self, message: ConsoleMessage) -> None:
        # The browser itself reports a connection that is refused, reset or left without an answer, each by a name of
        # its own (net::ERR_CONNECTION_REFUSED, net::ERR_EMPTY_RESPONSE, …); no page can prevent that.
        if not (self.offline and "net::ERR_" in message.text):
            self.faults.append(f"console {message.type}: {message.text}")

    def forgive(self, text: str) -> None:
        """Forget faults with this text: the browser reports every status of 400 and more on its console."""
        self.faults = [fault for fault in self.faults if text not in fault]


def faults(page: Page) -> list[str]:
    """What axe-core finds that is serious: rule, help, and the elements."""
    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{page.url}: {fault['id']}: {fault['help']}: {[node['html'][:200] for node in fault['nodes'][:3]]}"
        for fault in found["violations"]
        if fault["impact"] in {"serious", "critical"}
    ]


def people(path: Path, rows: int) -> Path:
    """A table that a job can learn from: who left, by age and town."""
    lines = ["age,town,churned"]
    lines += [
        f"{20 + number % 50},{'Rome' if number % 3 else 'Oslo'},{'yes' if number % 50 > 24 else 'no'}"
        for number in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def set_hidden(page: Page, *, hidden: bool) -> None:
    """What a browser does when another tab is chosen; a headless one never hides a page by itself."""
    page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
