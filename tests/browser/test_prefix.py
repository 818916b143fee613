"""The dashboard below a path of a proxy: everything that a browser asks for lies there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from hposvc.access import keys
from tests.support.browser import Watch
from tests.support.serving import RESULT, Server, succeeded

pytestmark = pytest.mark.browser

ROOT = "/tools/hposvc"


@pytest.fixture
def server(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Server]:
    for file in migrated_sqlite.parent.glob(f"{migrated_sqlite.name}*"):
        shutil.copy(file, tmp_path / file.name)
    with Server(f"sqlite:///{tmp_path / migrated_sqlite.name}", tmp_path, root_path=ROOT) as server:
        yield server


def test_a_walk_through_the_pages(page: Page, server: Server, watch: Watch) -> None:
    job = succeeded(server.engine, RESULT, name="mine")
    token = keys.Keys(server.engine).create(tenant="default", name="my laptop", scope="submit")[1]
    page.goto(f"{ROOT}/jobs/{job.id}")
    expect(page).to_have_url(re.compile(f"{ROOT}/login\\?next=/jobs/{job.id}$"))
    page.get_by_label("Your key").fill(token)
    page.get_by_label("Your key").press("Enter")
    expect(page).to_have_url(re.compile(f"{ROOT}/jobs/{job.id}$"))
    expect(page.get_by_role("heading", name="mine")).to_be_visible()
    page.get_by_role("link", name="Start another job from this one").click()
    expect(page).to_have_url(re.compile(f"{ROOT}/new\\?from={job.id}$"))
    expect(page.get_by_label("Specification")).not_to_be_empty()
    page.get_by_role("button", name="Submit").click()
    expect(page).to_have_url(re.compile(f"{ROOT}/jobs/job_"))
    for name in ("Jobs", "Experiments", "Data sets", "Workers"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=name, exact=True).first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile(f"{ROOT}/login$"))
    asked = {urlsplit(request.url).path for request in watch.requests if request.url.startswith("http")}
    assert [path for path in asked if not path.startswith(f"{ROOT}/")] == []
    watch.forgive("401")
