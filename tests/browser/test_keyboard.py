"""Every page is worked by keyboard alone: all of it is reached, focus is not lost, dialogs keep it and give it back."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from hposvc.access import keys
from hposvc.fleet.workers import Fleet, WorkerReport
from hposvc.jobs import queries
from tests.support.browser import Watch, people
from tests.support.screenshots import SETTLED
from tests.support.serving import RESULT, Server, checkpoint, curve, running, submit, succeeded, watch_lambda

pytestmark = pytest.mark.browser

MANY = 120  # no page has that many stops


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus."""
    expect(target).to_be_visible()
    for _ in range(MANY):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{target} is not reached by Tab")


def test_the_content_is_one_key_away(page: Page, server: Server) -> None:
    job = submit(server.engine)
    for path in ("/", "/new", "/datasets", "/workers", "/docs", "/login", "/compare", f"/jobs/{job.id}"):
        page.goto(path)
        expect(page.locator("main h1, main h2").first).to_be_attached()
        page.evaluate("document.activeElement.blur()")  # the page to sign in begins in its field
        skip = page.get_by_role("link", name="Skip to the content")
        skip.focus() if path == "/login" else page.keyboard.press("Tab")
        expect(skip).to_be_focused()
        expect(skip).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()


def test_signing_in_and_out(page: Page, server: Server, watch: Watch) -> None:
    token = keys.Keys(server.engine).create(tenant="default", name="my laptop", scope="submit")[1]
    page.goto("/")
    expect(page.get_by_label("Your key")).to_be_focused()
    page.keyboard.type(token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    page.goto("/login")
    tab_to(page, page.get_by_role("button", name="Sign out"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your key")).to_be_focused()
    watch.forgive("401")


def test_a_job_is_written_and_submitted(page: Page, server: Server, watch: Watch) -> None:
    page.goto("/new")
    text = page.locator("#text[data-ready]")
    tab_to(page, page.get_by_role("button", name="Tune penalties"))
    page.keyboard.press("Enter")
    expect(text).to_be_focused()
    check = page.get_by_role("button", name="Check only")
    tab_to(page, check)
    page.keyboard.press("Space")
    expect(page.get_by_text("This spec is valid")).to_be_visible()
    expect(check).to_be_focused()
    text.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("kind: [")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answer")).to_contain_text("Not YAML")
    expect(text).to_be_focused()  # to be mended at once
    watch.forgive("400")
    page.keyboard.press("Control+A")
    page.keyboard.type("kind: data_reweighting\ndataset: {id: 'sklearn:iris'}\n")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#about")).to_contain_text("Queued")
    assert len(queries.list_(server.engine).items) == 1


def test_a_dataset_is_uploaded_and_deleted(page: Page, tmp_path: Path) -> None:
    page.on("filechooser", lambda chooser: None)  # from now on the browser opens none of its own
    page.goto("/datasets")
    expect(page.locator("#datasets")).to_contain_text("sklearn:iris")
    tab_to(page, page.get_by_label("File"))
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(people(tmp_path / "people.csv", 60))
    tab_to(page, page.get_by_role("button", name="Upload"))
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_contain_text("60 rows")
    label = page.get_by_label("Label: the column to predict")
    expect(label).to_be_focused()
    page.keyboard.type("churned")
    expect(label).to_have_value("churned")
    columns = page.get_by_role("button", name="Columns of people.csv")
    tab_to(page, columns)
    page.keyboard.press("Space")
    expect(columns).to_have_attribute("aria-expanded", "false")
    expect(columns).to_be_focused()
    delete = page.get_by_role("button", name="Delete people.csv")
    tab_to(page, delete)
    page.keyboard.press("Enter")
    keeps_the_focus(page, page.get_by_role("dialog"), "Keep it", opener=delete)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("dialog").get_by_role("button", name="Delete")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_contain_text("people.csv is deleted")
    expect(delete).to_have_count(0)
    assert page.evaluate("document.activeElement !== document.body")


def keeps_the_focus(page: Page, dialog: Locator, first: str, opener: Locator) -> None:
    """An open dialog begins at its harmless button, keeps Tab inside, and gives the focus back on Escape."""
    expect(dialog.get_by_role("button", name=first)).to_be_focused()
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()


def test_a_job_is_cancelled_and_retried_and_escape_changes_nothing(page: Page, server: Server) -> None:
    job = submit(server.engine)
    page.goto(f"/jobs/{job.id}")
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    tab_to(page, cancel)
    page.keyboard.press("Enter")
    keeps_the_focus(page, page.get_by_role("dialog"), "Keep it", opener=cancel)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Cancel the job")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#about")).to_contain_text("Cancelled")
    retry = page.get_by_role("button", name="Retry")
    expect(retry).to_be_focused()  # Cancel is no more
    page.keyboard.press("Enter")
    expect(page.locator("#about")).to_contain_text("Queued")
    tab_to(page, cancel)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")  # though the last answer to this question was yes
    expect(cancel).to_be_focused()
    assert queries.get(server.engine, job.id).state == "queued"


def test_looking_closer_at_a_stretch_and_back(page: Page, server: Server) -> None:
    job = succeeded(server.engine, RESULT)
    page.goto(f"/jobs/{job.id}")
    caption = page.locator("#losses .caption")
    expect(caption).to_have_text("500 points")
    first, last = (page.locator(f"#stretch input[name={name}]") for name in ("from", "to"))
    expect(last).to_have_value("500")
    tab_to(page, first)
    page.keyboard.type("100")
    page.keyboard.press("Tab")
    page.keyboard.type("50")
    page.keyboard.press("Enter")
    assert last.evaluate("input => input.validationMessage") == "It must be greater than the first iteration."
    page.keyboard.press("Control+A")
    page.keyboard.type("150")
    page.keyboard.press("Enter")
    expect(caption).to_have_text("51 points · iterations 100 to 150")
    tab_to(page, page.locator("#losses").get_by_role("button", name="Show all"))
    page.keyboard.press("Enter")
    expect(caption).to_have_text("500 points")


def test_every_value_is_ordered_and_paged(page: Page, server: Server, tmp_path: Path) -> None:
    job, attempt = running(server.engine, 100)
    watch_lambda(attempt, (0, 100))
    attempt.checkpoint(checkpoint(tmp_path, 100))
    page.goto(f"/jobs/{job.id}")
    page.wait_for_function(SETTLED)
    tab_to(page, page.get_by_role("button", name="Highest"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The highest weights so far")).to_be_visible()
    tab_to(page, page.get_by_role("button", name="Page through all"))
    page.keyboard.press("Enter")
    place, ahead, back = page.locator("#place"), page.locator("#next-entries"), page.locator("#previous-entries")
    expect(place).to_have_text("1 to 50 of 1,079")
    tab_to(page, ahead)
    page.keyboard.press("Enter")
    expect(place).to_have_text("51 to 100 of 1,079")
    expect(ahead).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(place).to_have_text("1 to 50 of 1,079")
    expect(back).to_be_disabled()
    expect(ahead).to_be_focused()


def test_jobs_are_compared(page: Page, server: Server) -> None:
    jobs = [running(server.engine, 30, name=name) for name in ("one", "two", "three")]
    page.goto("/")
    for name in ("three", "two", "one"):
        box = page.get_by_label(f"Choose {name}")
        tab_to(page, box)
        page.keyboard.press("Space")
        expect(box).to_be_checked()
    tab_to(page, page.get_by_role("link", name="Compare 3 jobs"))
    page.keyboard.press("Enter")
    caption = page.locator("#lines .caption")
    expect(caption).to_have_text("points: 30 of 30, 30 of 30, 30 of 30")
    tab_to(page, page.get_by_label("Metric"))
    page.keyboard.type("Hypergradient norm")
    expect(page.get_by_role("heading", name="Hypergradient norm")).to_be_visible()
    log = page.get_by_label("Log scale")
    checked = log.is_checked()
    tab_to(page, log)
    page.keyboard.press("Space")
    assert log.is_checked() != checked
    tab_to(page, page.locator("#stretch input[name=from]"))
    page.keyboard.type("10")
    page.keyboard.press("Tab")
    page.keyboard.type("20")
    page.keyboard.press("Enter")
    expect(caption).to_contain_text("iterations 10 to 20")
    ids = ",".join(job.id for job, _ in reversed(jobs))
    log_scale = int(not checked)
    expect(page).to_have_url(f"/compare?jobs={ids}&metric=hypergradient_norm&log={log_scale}&from=10&to=20")
    leave = page.get_by_role("button", name="Leave out two")
    tab_to(page, leave)
    jobs[0][1].record(curve(31, 60))  # and so the table is drawn anew
    expect(page.locator("#results")).to_contain_text("60")
    expect(leave).to_be_focused()
    page.keyboard.press("Enter")
    expect(leave).to_have_count(0)
    tab_to(page, page.locator("#lines summary"))
    page.keyboard.press("Enter")
    expect(page.locator("#lines .data tbody tr").first).to_be_visible()


def test_the_focus_stays_where_it_is_while_lists_change(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 30, name="live")
    Fleet(server.engine).beat(
        WorkerReport(id="w1", host="gpu-1", device="cuda", versions={}, state="busy", job_id=job.id)
    )
    page.goto("/")
    link = page.get_by_role("link", name="live", exact=True)
    tab_to(page, link)
    submit(server.engine, name="new")
    attempt.record(curve(31, 90))
    expect(page.locator("#jobs")).to_contain_text("90 / 500")
    expect(page.get_by_role("link", name="new", exact=True)).to_be_visible()
    expect(link).to_be_focused()
    page.goto("/workers")
    link = page.get_by_role("link", name=job.id)
    tab_to(page, link)
    Fleet(server.engine).beat(WorkerReport(id="w0", host="gpu-2", device="cuda", versions={}, state="ready"))
    expect(page.locator("#workers")).to_contain_text("gpu-2")
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#about")).to_contain_text("Running")
