"""No page has a fault that axe-core calls serious, in either colour scheme; everything is reached by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.screenshots import SETTLED, stage
from tests.serving import RESULT, Server, running, succeeded, watch_lambda

pytestmark = pytest.mark.browser

GRAVE = {"serious", "critical"}


def faults(page: Page) -> list[str]:
    """What axe-core finds that is serious: rule, help, and the elements."""
    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{page.url}: {fault['id']}: {fault['help']}: {[node['html'][:200] for node in fault['nodes'][:3]]}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(page: Page, server: Server, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto("/")
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    found = faults(page)
    pages = stage(server) | {"docs": "/docs", "problem": "/problems/invalid-spec"}
    for path in pages.values():
        page.goto(path)
        page.wait_for_function("() => document.querySelector('main').innerText.length > 40")
        if path.startswith("/jobs/"):
            page.wait_for_function(SETTLED)
        page.evaluate("for (const details of document.querySelectorAll('.chart details')) details.open = true")
        found += faults(page)
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
