"""The whole way in a browser, by keyboard alone: upload, tune, review, tune again; with the real service."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import PATIENCE
from tests.support.commands import ServerProcess
from tests.support.reviewing import KINDS, flowers_csv

pytestmark = [pytest.mark.browser, pytest.mark.long]

WRONG = tuple(range(0, 150, 10))
REVIEWED = 50
SOLVED = 600_000  # milliseconds; the first job of a service waits until Jittor is there


@pytest.fixture
def up(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess("up", tmp_path / "data")
    yield server
    server.stop()


@pytest.fixture
def page(browser: Browser, up: ServerProcess) -> Iterator[Page]:
    context = browser.new_context(base_url=up.url, viewport={"width": 1280, "height": 900}, locale="en-US")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()


@pytest.fixture
def server(up: ServerProcess) -> ServerProcess:
    """What the console of the browser is watched for belongs to this service."""
    return up


def press(page: Page, role: Any, name: str) -> None:
    """Tab to what has this name, and press Enter."""
    target = page.get_by_role(role, name=name)
    expect(target).to_be_visible(timeout=SOLVED)
    for _ in range(120):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"{name} is not reached by Tab")


def truth_of(row: str) -> str:
    return KINDS[int(row.removeprefix("f-")) % 3]


def wrong_in(client: httpx.Client, path: str) -> set[str]:
    """The ids of the rows that a CSV file of the service labels wrong."""
    rows = csv.DictReader(io.StringIO(client.get(path).text))
    return {row["id"] for row in rows if row["kind"] != truth_of(row["id"])}


def job_of(page: Page, client: httpx.Client) -> dict[str, Any]:
    """The job of the page, once it has succeeded."""
    expect(page.locator("#about")).to_contain_text("Succeeded", timeout=SOLVED)
    found: dict[str, Any] = client.get(f"/v1/jobs/{page.url.rpartition('/')[2]}").json()
    return found


def test_upload_tune_review_and_tune_again_by_keyboard(page: Page, up: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "flowers.csv"
    file.write_bytes(flowers_csv(150, WRONG))
    page.on("filechooser", lambda chooser: None)
    page.goto("/datasets")
    expect(page.locator("#datasets")).to_contain_text("sklearn:iris")
    page.get_by_label("File").focus()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(file)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_contain_text("150 rows")
    label = page.get_by_label("Label: the column to predict")
    expect(label).to_be_focused()
    page.keyboard.type("kind")
    expect(label).to_have_value("kind")
    expect(page.locator("#begin-said")).to_contain_text("looks for wrong labels")
    press(page, "link", "Edit the specification")
    page.locator("#text[data-ready]").focus()
    page.keyboard.press("Control+End")
    page.keyboard.type("stop: {iterations: 5}\n")
    page.keyboard.press("Control+Enter")

    with httpx.Client(base_url=up.url, trust_env=False, timeout=60) as client:
        page.wait_for_url("**/jobs/job_*")
        first = job_of(page, client)
        press(page, "link", "Review the labels")
        title = page.locator("#row h2")
        for _ in range(REVIEWED):
            expect(title).to_contain_text("Row f-")
            row = title.inner_text().removeprefix("Row ")
            page.keyboard.type({"setosa": "s", "versicolor": "ve", "virginica": "vi"}[truth_of(row)])
            expect(title).not_to_have_text(f"Row {row}")
        expect(page.locator("#saved")).to_have_text("All saved", timeout=SOLVED)
        expect(page.locator("#counts")).to_contain_text(f"{REVIEWED} of ")
        press(page, "button", "Tune again")
        page.wait_for_url("**/jobs/job_*")
        again = job_of(page, client)
        assert again["id"] != first["id"]
        files = [f"/v1/datasets/{job['spec']['dataset']['id']}/file" for job in (first, again)]
        assert (len(wrong_in(client, files[0])), again["spec"]["dataset"]["trusted"]) == (len(WRONG), "reviewed")
        never_listed = wrong_in(client, f"/v1/jobs/{first['id']}/rows?part=test")
        assert wrong_in(client, files[1]) == never_listed  # all others were among the fifty
        scores = [job["result"]["models"][0]["test_score"] for job in (first, again)]
        assert scores[1] > scores[0]
        press(page, "link", "Review the labels")
        expect(page.locator("#rounds")).to_contain_text("flowers v2.csv")
