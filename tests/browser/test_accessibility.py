"""No page has a fault that axe-core calls serious, in either colour scheme; everything is reached by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from hposvc.access import keys
from tests.support.browser import Watch, faults, people
from tests.support.predicting import job_with_model
from tests.support.reviewing import judged_texts
from tests.support.screenshots import SETTLED, stage
from tests.support.serving import RESULT, Server, checkpoint, running, succeeded, watch_lambda

pytestmark = pytest.mark.browser

SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@SCHEMES
def test_axe_finds_nothing_serious_on_any_page(page: Page, server: Server, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto("/")
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    found = faults(page)
    pages = stage(server) | {"docs": "/docs", "problem": "/problems/invalid-spec"}
    ids = [pages[name].removeprefix("/jobs/") for name in ("job-succeeded", "job-running", "job-diverged", "job-lost")]
    pages |= {f"compare {many}": f"/compare?jobs={','.join(ids[:many])}" for many in (2, 4)}
    for path in pages.values():
        page.goto(path)
        page.wait_for_function("() => document.querySelector('main').innerText.length > 40")
        if path.startswith("/jobs/"):
            page.wait_for_function(SETTLED)
        if path.startswith("/compare"):
            expect(page.locator("#lines .caption")).to_contain_text("points")
        page.evaluate("for (const details of document.querySelectorAll('.chart details')) details.open = true")
        found += faults(page)
    assert not found, "\n".join(found)


@SCHEMES
def test_axe_finds_nothing_serious_in_what_appears_when_asked(
    page: Page, server: Server, watch: Watch, tmp_path: Path, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    found = []
    page.goto("/compare")
    expect(page.get_by_role("heading", name="Nothing to compare yet")).to_be_visible()
    found += faults(page)
    page.goto("/workers")
    expect(page.get_by_role("heading", name="No worker is connected")).to_be_visible()
    found += faults(page)
    page.goto("/?state=failed")
    expect(page.get_by_role("heading", name="No job matches this filter")).to_be_visible()
    found += faults(page)
    page.goto("/jobs/job_0")
    expect(page.get_by_role("heading", name="No such job")).to_be_visible()
    found += faults(page)
    page.goto("/compare?jobs=job_0")
    expect(page.locator("#refusal")).to_contain_text("no job job_0")
    found += faults(page)
    page.goto("/new")
    page.locator("#text[data-ready]").fill(
        "kind: data_reweighting\ndataset: {id: 'sklearn:digitz'}\nstop: {iteration: 5}\n"
    )
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#answer")).to_contain_text("stop.iteration is not a known field")
    found += faults(page)
    page.goto("/datasets")
    for name in ("broken", "people"):
        file = people(tmp_path / f"{name}.csv", 60)
        file.write_text(file.read_text() + ("1,2\n" if name == "broken" else ""))
        page.get_by_label("File").set_input_files(file)
        page.get_by_role("button", name="Upload").click()
        expect(page.locator("#answer")).to_contain_text("line 62" if name == "broken" else "60 rows")
        found += faults(page)
    expect(page.locator("#begin tbody tr")).to_have_count(6)
    found += faults(page)
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        texts = judged_texts(server, client)
    page.goto(f"/jobs/{texts}/review")
    expect(page.locator(".values mark").first).to_be_visible()
    found += faults(page)
    page.goto(f"/jobs/{job_with_model(server, tmp_path)}")
    expect(page.locator("#predict")).to_be_visible()
    found += faults(page)
    page.goto("/datasets")
    page.get_by_role("button", name="Delete people.csv").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found += faults(page)
    job, attempt = running(server.engine, 100, dataset={"id": "sklearn:digits"})
    watch_lambda(attempt, (0, 100))
    attempt.checkpoint(checkpoint(tmp_path, 100))
    page.goto(f"/jobs/{job.id}?values=all&from=10&to=50")
    expect(page.locator("#place")).to_have_text("1 to 50 of 1,079")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found += faults(page)
    page.get_by_role("button", name="Keep it").click()
    watch.offline = True
    server.stop()
    expect(page.get_by_text("The service does not respond.")).to_be_visible()
    found += faults(page)
    server.start()
    for status in ("404", "422"):
        watch.forgive(status)
    assert not found, "\n".join(found)


@SCHEMES
def test_axe_finds_nothing_serious_where_one_signs_in(page: Page, server: Server, watch: Watch, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    token = keys.Keys(server.engine).create(tenant="default", name="my laptop", scope="submit")[1]
    page.goto("/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    found = faults(page)
    page.get_by_label("Your key").fill("hposvc_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("status").filter(has_text="The key is not valid")).to_be_visible()
    found += faults(page)
    page.get_by_label("Your key").fill(token)
    page.get_by_label("Your key").press("Enter")
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    page.goto("/login")
    expect(page.get_by_role("heading", name="Signed in")).to_be_visible()
    found += faults(page)
    watch.forgive("401")
    assert not found, "\n".join(found)


def test_everything_on_the_page_of_a_job_is_reached_by_tab(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 500)
    watch_lambda(attempt, (0, 500))
    attempt.succeed(RESULT, [])
    page.goto(f"/jobs/{job.id}")
    page.wait_for_function(SETTLED)
    page.wait_for_load_state("networkidle")
    reached: set[str] = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.innerText.trim() || document.activeElement.ariaLabel || ''"))
    visible = page.locator("main button:visible, main a:visible, main summary:visible").all()
    wanted = {control.inner_text().strip() for control in visible}
    assert wanted - reached == set()


def test_a_chart_is_read_without_seeing_it(page: Page, server: Server) -> None:
    job = succeeded(server.engine, RESULT)
    page.goto(f"/jobs/{job.id}")
    figure = page.get_by_role("figure", name="Hypergradient norm")
    expect(figure).to_contain_text("500 points")
    summary = figure.locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(figure.get_by_role("table")).to_contain_text("500")


def test_axe_finds_a_fault_that_was_planted(page: Page) -> None:
    page.goto("/workers")
    expect(page.get_by_role("heading", name="No worker is connected")).to_be_visible()
    assert not faults(page)
    page.evaluate("document.querySelector('main').append(document.createElement('input'))")
    assert any("label" in str(fault) for fault in faults(page))
