"""Notes on the page of a job: written, rendered without harm, and never lost to somebody else's."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Watch
from tests.support.serving import RESULT, Server, running, succeeded

pytestmark = pytest.mark.browser

HOSTILE = """\
# Tried <img src=x onerror="document.title='owned'">

<script>document.title = "owned"</script>

[click](javascript:document.title='owned') [paper](https://example.com/paper) [other job](/jobs/job_1)
"""


def test_notes_are_written_by_keyboard_and_rendered_without_harm(page: Page, server: Server) -> None:
    job = succeeded(server.engine, RESULT, name="with notes")
    page.goto(f"/jobs/{job.id}")
    notes = page.locator("#notes")
    expect(notes).to_contain_text("What you tried, and why")
    notes.get_by_role("button", name="Write").press("Enter")
    field = notes.get_by_label("Notes in Markdown")
    expect(field).to_be_focused()
    field.fill(HOSTILE)
    field.press("Control+Enter")
    expect(notes.get_by_role("heading", level=3)).to_contain_text("Tried <img src=x")
    expect(notes.get_by_role("button", name="Write")).to_be_focused()
    assert notes.locator(".written").locator("img, script, [onerror]").count() == 0
    expect(notes.get_by_role("link")).to_have_text(["paper", "other job"])
    paper = notes.get_by_role("link", name="paper")
    assert "noopener" in (paper.get_attribute("rel") or "")
    assert paper.get_attribute("target") == "_blank"
    page.reload()
    expect(notes.get_by_role("heading", level=3)).to_contain_text("Tried <img src=x")
    expect(page).to_have_title("with notes · Succeeded · hposvc")


def test_notes_of_two_people_are_both_kept(page: Page, server: Server, watch: Watch) -> None:
    job, _ = running(server.engine, 5)
    page.goto(f"/jobs/{job.id}")
    notes = page.locator("#notes")
    notes.get_by_role("button", name="Write").click()
    notes.get_by_label("Notes in Markdown").fill("mine")
    httpx.put(f"{server.url}/v1/jobs/{job.id}/notes", json={"text": "theirs"}, trust_env=False).raise_for_status()
    notes.get_by_role("button", name="Save").click()
    expect(notes.get_by_role("alert")).to_contain_text("Somebody else changed the notes")
    expect(notes.get_by_label("Notes in Markdown")).to_have_value("mine\n\n---\n\ntheirs")
    notes.get_by_role("button", name="Save").click()
    expect(notes.locator(".written p")).to_have_text(["mine", "theirs"])
    watch.forgive("412")


def test_what_is_being_written_can_be_left(page: Page, server: Server) -> None:
    job = succeeded(server.engine, RESULT)
    page.goto(f"/jobs/{job.id}")
    notes = page.locator("#notes")
    notes.get_by_role("button", name="Write").click()
    notes.get_by_label("Notes in Markdown").fill("not so")
    notes.get_by_label("Notes in Markdown").press("Escape")
    expect(notes.get_by_role("button", name="Write")).to_be_focused()
    expect(notes).to_contain_text("What you tried, and why")
