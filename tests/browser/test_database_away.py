"""A page that waits while PostgreSQL is restarted under it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from hposvc.db import migrate
from tests.support.browser import Watch
from tests.support.postgresql import PostgreSQL
from tests.support.serving import RESULT, Server, curve, running

pytestmark = pytest.mark.browser


@pytest.fixture
def database() -> Iterator[PostgreSQL]:
    """A PostgreSQL server of its own, to be restarted."""
    database = PostgreSQL()
    database.start()
    yield database
    database.remove()


@pytest.fixture
def server(database: PostgreSQL, tmp_path: Path) -> Iterator[Server]:
    url = database.create("restarted")
    migrate.upgrade(url)
    with Server(url, tmp_path) as server:
        yield server


def test_a_page_goes_on_after_postgresql_was_restarted(
    page: Page, server: Server, database: PostgreSQL, watch: Watch
) -> None:
    job, attempt = running(server.engine, 20, name="patient")
    page.goto(f"/jobs/{job.id}")
    expect(page.get_by_role("heading", name="patient")).to_be_visible()
    expect(page.get_by_text("20 / 500").first).to_be_visible()
    database.stop("immediate")
    expect(page.get_by_text("The service does not respond.")).to_be_visible()
    database.start()
    attempt.record(curve(21, 40))
    expect(page.get_by_text("40 / 500").first).to_be_visible()
    expect(page.get_by_text("The service does not respond.")).to_be_hidden()
    attempt.record(curve(41, 500))
    attempt.succeed(RESULT, [])
    expect(page.get_by_text(RESULT["sentence"]).first).to_be_visible()
    watch.forgive("503")
    watch.forgive("net::ERR_")
