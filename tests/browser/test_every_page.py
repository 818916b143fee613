"""What holds on every page: the policy of what it may load, and manners: live, never two requests at once, quiet when
hidden, patient while the service is gone.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

from hposvc.datasets.service import Datasets
from hposvc.fleet.workers import Fleet, WorkerReport
from hposvc.reviews.service import By, Reviews
from hposvc.schema.reviews import RowDecision
from hposvc.storage.store import Store
from tests.support.browser import Watch, set_hidden
from tests.support.experimenting import SEARCH, Laboratory, by_decay, experiment
from tests.support.reviewing import judged_job
from tests.support.screenshots import stage
from tests.support.serving import Server, curve, running

pytestmark = pytest.mark.browser

LIVE = pytest.mark.parametrize("name", ["jobs", "job", "compare", "workers", "experiments", "experiment", "review"])
News = Callable[[int], None]


def a_live_page(name: str, page: Page, server: Server) -> tuple[str, Callable[[int], str], News]:
    """The path of a page about something that runs, how it says that it is at a number, and what brings it there."""
    if name in ("experiments", "experiment"):
        return a_live_experiment(name, server)
    if name == "review":
        return a_review(server)
    job, attempt = running(server.engine, 10, name="live")

    def report(number: int) -> None:
        Fleet(server.engine).beat(WorkerReport(f"worker-{number}", "gpu-1", "cpu", {}, "busy", job_id=job.id))

    def record(number: int) -> None:
        attempt.record(curve(number - 9, number))

    report(10)
    if name == "workers":
        return "/workers", lambda number: f"worker-{number}", report
    paths = {"jobs": "/", "job": f"/jobs/{job.id}", "compare": f"/compare?jobs={job.id}"}
    said = {"jobs": "{} / 500", "job": "{} / 500", "compare": "points: {0} of {0}"}
    return paths[name], said[name].format, record


def a_live_experiment(name: str, server: Server) -> tuple[str, Callable[[int], str], News]:
    """One trial ends for every ten of the number."""
    lab = Laboratory(server.engine)
    begun = lab.experiments.submit(experiment(SEARCH, name="live", at_once=8))

    lab.advancing.advance()

    def bring(number: int) -> None:
        while len(lab.waiting(begun.id)) > 8 - number // 10:
            lab.play(lab.waiting(begun.id)[0], by_decay)

    bring(10)
    path = "/experiments" if name == "experiments" else f"/experiments/{begun.id}"
    return path, lambda number: f"{number // 10} of 8", bring


def a_review(server: Server) -> tuple[str, Callable[[int], str], News]:
    """Somebody else decides as many rows as the number."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        job = judged_job(server, client)
        dataset = client.get(f"/v1/jobs/{job}").json()["spec"]["dataset"]["id"]
    store = Store(server.settings.store_url)
    reviews = Reviews(server.engine, Datasets(server.engine, store, server.settings.data_dir / "uploads"))

    def bring(number: int) -> None:
        rows = [RowDecision(row=f"f-{row:02d}", decision="right") for row in range(number)]
        reviews.decide(dataset, rows, By())

    bring(10)
    return f"/jobs/{job}/review", "{} of 60 decided".format, bring


@LIVE
def test_a_live_page_grows_and_is_quiet_while_hidden(name: str, page: Page, server: Server, watch: Watch) -> None:
    path, says, bring = a_live_page(name, page, server)
    main = page.locator("main")
    page.goto(path)
    expect(main).to_contain_text(says(10))
    bring(20)
    expect(main).to_contain_text(says(20))
    page.wait_for_load_state("networkidle")
    set_hidden(page, hidden=True)
    page.wait_for_timeout(1000)  # what is under way ends
    before = len(watch.requests)
    bring(30)
    page.wait_for_timeout(2500)  # two polls, if there were any
    assert len(watch.requests) == before
    set_hidden(page, hidden=False)
    expect(main).to_contain_text(says(30))


@LIVE
def test_requests_never_overlap(name: str, page: Page, server: Server, watch: Watch) -> None:
    path, says, bring = a_live_page(name, page, server)
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    slow = {"offline": False, "latency": 400, "downloadThroughput": -1, "uploadThroughput": -1}
    line.send("Network.emulateNetworkConditions", slow)
    page.goto(path)
    expect(page.locator("main")).to_contain_text(says(10))
    for turn in range(4):
        bring(20 + 10 * turn)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        if name == "jobs":
            page.get_by_label("Search by name").fill("live"[:turn])
        if name == "job":
            page.locator("#stretch input[name=from]").fill(str(turn))
            page.get_by_role("button", name="Show", exact=True).click()
        if name == "compare":
            page.get_by_label("Metric").select_option(index=turn)
        page.wait_for_timeout(250)
    expect(page.locator("main")).to_contain_text(says(50))
    assert watch.most_at_once == 1


@LIVE
def test_a_service_that_is_gone_is_said_and_waited_for(name: str, page: Page, server: Server, watch: Watch) -> None:
    path, says, bring = a_live_page(name, page, server)
    main = page.locator("main")
    page.goto(path)
    expect(main).to_contain_text(says(10))
    watch.offline = True
    server.stop()
    expect(page.get_by_text("This page shows the data of")).to_be_visible()
    expect(main).to_contain_text(says(10))
    bring(20)
    server.start()
    expect(main).to_contain_text(says(20))
    expect(page.get_by_text("This page shows the data of")).to_be_hidden()


def test_a_page_may_load_nothing_from_elsewhere_and_nothing_that_it_may_not_use(
    page: Page, server: Server, watch: Watch
) -> None:
    paths = stage(server) | {"docs": "/docs", "problem": "/problems/invalid-spec", "none": "/compare"}
    for path in paths.values():
        answer = page.goto(path)
        assert answer is not None
        policy = {
            words[0]: words[1:]
            for words in map(str.split, (answer.header_value("content-security-policy") or "").split(";"))
            if words
        }
        assert policy["default-src"] == ["'self'"], path
        assert "script-src" not in policy, path  # and so scripts have no exception
        assert policy["frame-ancestors"] == ["'none'"], path
        page.wait_for_load_state("networkidle")
        unused = page.locator(
            "link[rel=preload]"
        )  # browsers warn where it is not used within seconds, and charts may wait
        assert unused.count() == 0, path
    assert watch.faults == []
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    assert page.evaluate("window.ran === undefined")  # and what it forbids does not happen
    watch.forgive("Content Security Policy")
