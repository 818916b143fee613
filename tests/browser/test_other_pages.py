"""New job, Datasets, Workers and the reference, in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from hposvc.db.tables import workers
from hposvc.fleet.workers import Fleet, WorkerReport
from hposvc.jobs import queries
from hposvc.jobs.service import Jobs
from tests.support.browser import Watch, faults, people
from tests.support.serving import Server, running, submit

pytestmark = pytest.mark.browser


def open_new(page: Page, query: str = "") -> None:
    page.goto(f"/new{query}")
    expect(page.locator("#text[data-ready]")).to_be_visible()


def test_a_job_is_written_checked_and_submitted(page: Page, server: Server) -> None:
    open_new(page)
    page.get_by_role("button", name="Check only").click()
    expect(page.get_by_text("This spec is valid")).to_be_visible()
    assert queries.list_(server.engine).items == []
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="digits with wrong labels")).to_be_visible()
    assert [job.name for job in queries.list_(server.engine).items] == ["digits with wrong labels"]


def test_doubtful_settings_are_said_when_a_job_is_checked(page: Page) -> None:
    open_new(page)
    page.get_by_role("textbox").fill(
        "kind: data_reweighting\ndataset: {id: 'sklearn:iris'}\nsolver: {upper: {learning_rate: 50}}\n"
    )
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("This spec is valid")).to_be_visible()
    expect(page.get_by_text("solver.upper.learning_rate: with adam, 50 moves")).to_be_visible()


def test_every_example_is_valid(page: Page) -> None:
    open_new(page)
    for name in ("Find wrong labels", "Tune penalties"):
        page.get_by_role("button", name=name).click()
        page.get_by_role("button", name="Check only").click()
        expect(page.get_by_text("This spec is valid")).to_be_visible()


def test_a_wrong_field_is_named_with_its_remedy(page: Page, server: Server, watch: Watch) -> None:
    open_new(page)
    page.locator("#text").fill("kind: data_reweighting\ndataset: {id: 'sklearn:digitz'}\nstop: {iteration: 5}\n")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#answer")).to_contain_text("stop.iteration is not a known field")
    expect(page.locator("#answer")).to_contain_text("Did you mean 'iterations'?")
    watch.forgive("422")
    page.locator("#text").fill("kind: [")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answer")).to_contain_text("Not YAML that can be read")
    watch.forgive("400")
    assert queries.list_(server.engine).items == []


def test_an_old_job_is_the_start_of_a_new_one(page: Page, server: Server) -> None:
    job = submit(server.engine, name="<b>old</b>", tags=["kept"])
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("link", name="Use for a new job").click()
    expect(page.locator("#text[data-ready]")).to_have_value(text_of(page, job.id))
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#about")).to_contain_text("Queued")
    newest = queries.list_(server.engine).items[0]
    assert newest.id != job.id
    assert newest.spec == job.spec


def text_of(page: Page, job_id: str) -> str:
    return page.request.get(f"/v1/jobs/{job_id}/spec").text()


def test_a_dataset_leads_to_a_job(page: Page) -> None:
    page.goto("/datasets")
    row = page.locator("#datasets tbody tr", has_text="sklearn:diabetes")
    expect(row).to_contain_text("442")
    expect(row).to_contain_text("regression")
    row.get_by_role("link", name="New job").click()
    page.get_by_role("button", name="Check only").click()
    expect(page.get_by_text("This spec is valid")).to_be_visible()


def test_workers_and_their_heartbeats(page: Page, server: Server) -> None:
    page.goto("/workers")
    expect(page.get_by_role("heading", name="No worker is connected")).to_be_visible()
    job, _ = running(server.engine, 1)
    Fleet(server.engine).beat(
        WorkerReport(id="w1", host="gpu-1", device="cuda", versions={}, state="busy", job_id=job.id)
    )
    Fleet(server.engine).beat(
        WorkerReport(id="w2", host="gpu-2", device="cpu", versions={"jittor": "1.3"}, state="ready")
    )
    with server.engine.begin() as connection:
        connection.execute(sa.update(workers).where(workers.c.id == "w2").values(heartbeat_at=1.0))
    page.reload()
    first = page.locator("#workers tbody tr", has_text="w1")
    expect(first).to_contain_text("Busy")
    expect(page.locator("#workers tbody tr", has_text="w2")).to_contain_text("No heartbeat")
    first.get_by_role("link", name=job.id).click()
    expect(page.locator("#about")).to_contain_text("Running")


def test_no_page_is_cut_off_on_a_phone(page: Page, server: Server) -> None:
    submit(server.engine)
    page.set_viewport_size({"width": 390, "height": 800})
    for path in ("/", "/new", "/datasets", "/workers", "/docs", "/problems/invalid-spec"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path


def test_a_dataset_is_uploaded_looked_at_used_and_deleted(
    page: Page, server: Server, tmp_path: Path, watch: Watch
) -> None:
    page.goto("/datasets")
    answer = page.locator("#answer")
    broken = tmp_path / "broken.csv"
    broken.write_text("age,town,churned\n41,Rome,no\n38,Oslo, of all places,yes\n")
    page.get_by_label("File").set_input_files(broken)
    page.get_by_role("button", name="Upload").click()
    expect(answer).to_contain_text("line 3")
    expect(answer.locator(".faults .under")).not_to_be_empty()  # how to mend it
    watch.forgive("422")
    assert "broken.csv" not in page.locator("#datasets").inner_text()
    page.get_by_label("File").set_input_files(people(tmp_path / "<i>people<i>.csv", 400))
    page.get_by_role("button", name="Upload").click()
    expect(answer).to_contain_text("<i>people<i>.csv: 400 rows")
    row = page.locator("#datasets tr[data-dataset]", has_text="<i>people<i>.csv")
    columns = page.locator("#datasets .inside tbody tr")
    expect(columns).to_have_count(3)
    expect(columns.nth(1)).to_contain_text("town")
    page.reload()  # the address says what is open
    expect(columns).to_have_count(3)
    row.get_by_role("button", name="Columns").click()
    expect(columns).to_have_count(0)
    row.get_by_role("button", name="Tune with").click()
    begin = page.locator("#begin")
    expect(begin.locator("tbody tr")).to_have_count(6)  # the first rows
    expect(begin.get_by_label("Id:").locator("option")).to_have_text(["rows are numbered"])
    begin.get_by_label("Label:").select_option("age")
    begin.get_by_label("Groups").select_option("town")
    expect(begin).to_contain_text("a weight for each group")
    expect(begin.locator("th.chosen")).to_have_text(["age", "town"])
    begin.get_by_label("Groups").select_option("")
    begin.get_by_label("Label:").select_option("churned")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert faults(page) == []
    begin.get_by_role("button", name="Tune").click()
    expect(page.locator("#about")).to_contain_text("Queued")
    job = queries.list_(server.engine).items[0]
    assert (job.spec.dataset.id[:3], job.spec.dataset.label) == ("ds_", "churned")
    page.goto("/datasets")
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it").click()
    row.get_by_role("button", name="Delete").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(answer).to_contain_text(job.id)  # which waits, and needs it
    watch.forgive("409")
    expect(row).to_be_visible()
    Jobs(server.engine).cancel(job.id)
    row.get_by_role("button", name="Delete").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    page.reload()
    expect(page.locator("#datasets")).to_contain_text("sklearn:iris")
    expect(row).to_have_count(0)


def test_how_far_an_upload_is_and_that_it_can_be_stopped(page: Page, tmp_path: Path) -> None:
    slow = page.context.new_cdp_session(page)
    slow.send("Network.enable")
    slow.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 500_000},
    )
    page.goto("/datasets")
    page.get_by_label("File").set_input_files(people(tmp_path / "people.csv", 200_000))
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#sent")).to_have_text(re.compile(r"[1-9][\d.]* [kM]B of 2.\d MB sent"))
    assert 0 < page.locator("#sending progress").evaluate("bar => bar.value") < 1
    expect(page.get_by_role("button", name="Upload")).to_be_disabled()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#answer")).to_contain_text("Nothing was stored")
    expect(page.locator("#sending")).to_be_hidden()
    page.reload()
    expect(page.locator("#datasets")).to_contain_text("sklearn:iris")
    expect(page.locator("#datasets")).not_to_contain_text("people.csv")
