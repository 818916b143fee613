"""A real Chromium, watched: whatever it says on its console or asks of another origin fails the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.browser import CHROMIUM, PATIENCE, REMEDY, Watch
from tests.support.serving import Server

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")  # not the session: while Playwright runs, the queue's tests cannot start theirs
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        raise RuntimeError(REMEDY)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def server(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Server]:
    """The service on a fresh SQLite database: what a page shows does not depend on the database."""
    for file in migrated_sqlite.parent.glob(f"{migrated_sqlite.name}*"):
        shutil.copy(file, tmp_path / file.name)
    with Server(f"sqlite:///{tmp_path / migrated_sqlite.name}", tmp_path) as server:
        yield server


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900}, locale="en-US")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()


@pytest.fixture(autouse=True)
def watch(page: Page, server: Server) -> Iterator[Watch]:
    watch = Watch(page, server.url)
    yield watch
    assert watch.faults == []
