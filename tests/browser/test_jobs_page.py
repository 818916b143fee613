"""The list of jobs in a browser."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from hposvc.db.engine import write
from hposvc.db.tables import jobs as jobs_table
from hposvc.schema.job import JobError
from tests.support.browser import Watch
from tests.support.serving import RESULT, Server, curve, diverged, running, submit, succeeded

pytestmark = pytest.mark.browser


def row(page: Page, name: str) -> Locator:
    return page.locator("#jobs tbody tr", has=page.get_by_role("link", name=name, exact=True))


def test_an_empty_list_says_how_to_begin(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    expect(page.get_by_text("hposvc submit examples/digits_reweighting.yaml")).to_be_visible()
    page.get_by_role("button", name="Copy the command").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "hposvc submit examples/digits_reweighting.yaml"


def test_a_row_says_where_its_job_stands(page: Page, server: Server) -> None:
    succeeded(server.engine, RESULT, name="done", tags=["digits"])
    diverged(server.engine, at=120, name="broken")
    _, attempt = running(server.engine, 40, name="live")
    page.goto("/")
    expect(row(page, "done")).to_contain_text("Succeeded")
    expect(row(page, "done")).to_contain_text("digits")
    expect(row(page, "broken")).to_contain_text("Diverged")
    expect(row(page, "broken")).to_contain_text("0.5000")  # its best loss
    expect(row(page, "live")).to_contain_text("Running")
    expect(row(page, "live")).to_contain_text("40 / 500")
    expect(row(page, "live")).to_contain_text(f"{curve(40, 40)[0]['upper_loss']:.4f}")
    attempt.record(curve(41, 77))
    expect(row(page, "live")).to_contain_text("77 / 500")
    submit(server.engine, name="new")
    expect(row(page, "new")).to_contain_text("Queued")
    expect(page.locator("#jobs tbody tr").first).to_contain_text("new")


def test_the_filter_lives_in_the_address(page: Page, server: Server) -> None:
    submit(server.engine, name="apple", tags=["fruit"])
    submit(server.engine, name="carrot", kind="regularization_tuning")
    running(server.engine, 1, name="plum", tags=["fruit"])
    rows = page.locator("#jobs tbody tr")
    page.goto("/")
    expect(rows).to_have_count(3)
    page.get_by_label("Search by name").fill("ar")
    expect(rows).to_have_count(1)
    expect(page).to_have_url("/?text=ar")
    page.get_by_role("button", name="Clear").click()
    expect(rows).to_have_count(3)
    page.get_by_label("Tag", exact=True).fill("fruit")
    page.get_by_role("combobox", name="State").select_option("queued")
    expect(rows).to_have_count(1)
    page.reload()
    expect(rows).to_have_count(1)
    expect(row(page, "apple")).to_be_visible()
    page.get_by_role("combobox", name="State").select_option("failed")
    expect(page.get_by_role("heading", name="No job matches this filter")).to_be_visible()


def test_the_list_is_ordered_by_what_the_address_says(page: Page, server: Server) -> None:
    _, attempt = running(server.engine, 400, name="best")
    running(server.engine, 10, name="behind")
    submit(server.engine, name="not begun", priority=5)
    names = page.locator("#jobs .name a")
    page.goto("/")
    expect(names).to_have_text(["not begun", "behind", "best"])
    page.get_by_label("Order").select_option("best_upper_loss")
    expect(page).to_have_url("/?order=best_upper_loss")
    expect(names).to_have_text(["best", "behind", "not begun"])
    page.reload()
    expect(names).to_have_text(["best", "behind", "not begun"])
    attempt.fail(JobError(reason="internal", message="x", remedy="y"))
    page.get_by_role("combobox", name="State").select_option("queued")
    expect(names).to_have_text(["not begun"])
    page.get_by_role("button", name="Clear").click()
    expect(page).to_have_url("/")
    expect(names).to_have_text(["not begun", "behind", "best"])


def test_a_column_sorts_the_list_and_the_number_of_jobs_is_said(page: Page, server: Server) -> None:
    submit(server.engine, name="banana", dataset={"id": "sklearn:wine"})
    submit(server.engine, name="apple", dataset={"id": "sklearn:iris"})
    running(server.engine, 300, name="cherry", dataset={"id": "sklearn:digits"})
    diverged(server.engine, at=120, name="damson", dataset={"id": "sklearn:breast_cancer"})
    page.goto("/")
    names, head = page.locator("#jobs .name a"), page.locator("#jobs thead")
    expect(page.locator("#total")).to_have_text("4")
    expect(names).to_have_text(["damson", "cherry", "apple", "banana"])
    for column, order, wanted in (
        ("Job", "name", ["apple", "banana", "cherry", "damson"]),
        ("Data set", "dataset", ["damson", "cherry", "apple", "banana"]),
        ("State", "state", ["damson", "banana", "apple", "cherry"]),
        ("Progress", "progress", ["cherry", "damson", "apple", "banana"]),
        ("Best loss", "best_upper_loss", ["cherry", "damson", "banana", "apple"]),
        ("Submitted", "", ["damson", "cherry", "apple", "banana"]),
        ("Submitted", "oldest", ["banana", "apple", "cherry", "damson"]),
    ):
        head.get_by_role("button", name=column).click()
        expect(names).to_have_text(wanted)
        expect(page).to_have_url(f"/?order={order}" if order else "/")
        expect(head.locator("[aria-sort]")).to_have_count(1)
    expect(names).to_have_text(["banana", "apple", "cherry", "damson"])
    page.get_by_label("Search by name").fill("iris")
    expect(page.locator("#total")).to_have_text("1")


def test_an_uploaded_data_set_is_called_by_its_name(page: Page, server: Server) -> None:
    table = "age,kind\n" + "".join(f"{row},{'ab'[row % 2]}\n" for row in range(40))
    params = {"name": "customers.csv"}
    sent = page.request.post("/v1/datasets", params=params, data=table, headers={"Content-Type": "text/csv"})
    dataset = sent.json()["id"]
    page.goto("/datasets")
    page.get_by_role("button", name="Tune with customers.csv").click()
    page.get_by_role("button", name="Tune", exact=True).click()
    page.wait_for_url("**/jobs/job_*")
    expect(page.locator("#name")).to_have_text("customers.csv")
    expect(page.locator("#about").get_by_title(dataset)).to_have_text("customers.csv")
    submit(server.engine, name=None, dataset={"id": dataset, "label": "kind"})
    page.goto("/")
    for name in ("customers.csv", "Data reweighting of customers.csv"):
        expect(row(page, name).get_by_title(dataset)).to_have_text("customers.csv")


def test_what_a_job_gained_stands_in_the_list_and_sorts_it(page: Page, server: Server) -> None:
    def result(score: float) -> dict[str, Any]:
        tuned, *others = RESULT["models"]
        return RESULT | {"models": [tuned | {"test_score": score}, *others], "best_rival": "trusted_only"}

    for name, score in (("harm", 0.9), ("much", 0.99), ("some", 0.95)):
        succeeded(server.engine, result(score), name=name)
    submit(server.engine, name="not yet")
    page.goto("/")
    names, gains = page.locator("#jobs .name a"), page.locator("#jobs .gain-cell")
    expect(gains).to_have_text(["–", "+0.83 points", "+4.83 points", "−4.17 points"])
    page.locator("#jobs thead").get_by_role("button", name="Gain").click()
    expect(names).to_have_text(["much", "some", "harm", "not yet"])
    expect(page.locator("#jobs thead [aria-sort=descending]")).to_have_text("Gain")
    expect(page).to_have_url("/?order=gain")


def test_older_jobs_are_one_click_away(page: Page, server: Server) -> None:
    for number in range(60):
        submit(server.engine, name=f"job {number}")
    page.goto("/")
    rows = page.locator("#jobs tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Show more jobs").click()
    expect(rows).to_have_count(60)
    expect(page.get_by_role("button", name="Show more jobs")).to_be_hidden()


def test_a_name_is_text_and_nothing_else(page: Page, server: Server) -> None:
    name = "<img src=x onerror=alert(1)>"
    job = submit(server.engine, name=name, tags=["<b>bold</b>"])
    page.goto("/")
    expect(row(page, name)).to_contain_text("<b>bold</b>")
    assert page.locator("#jobs img, #jobs b").count() == 0
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    expect(page).to_have_url(f"/jobs/{job.id}")
    assert page.locator("main img").count() == 0


def test_the_page_works_by_keyboard(page: Page, server: Server) -> None:
    job = submit(server.engine, name="reached by Tab")
    page.goto("/")
    expect(row(page, "reached by Tab")).to_be_visible()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "reached by Tab":
            break
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"/jobs/{job.id}")


def test_nothing_is_cut_off_on_a_phone(page: Page, server: Server) -> None:
    succeeded(server.engine, RESULT, name="a job with a name that is far too long for a phone " * 3, tags=["t" * 60])
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/")
    expect(page.get_by_text("Succeeded").last).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_an_unchanged_list_is_answered_without_a_body(page: Page, server: Server) -> None:
    running(server.engine, 3, name="still")
    page.goto("/")
    expect(row(page, "still")).to_be_visible()
    with page.expect_response(lambda response: "/v1/jobs?" in response.url and response.status == 304):
        pass


def test_a_curve_stands_beside_each_job_and_grows(page: Page, server: Server) -> None:
    _, attempt = running(server.engine, 40, name="live")
    page.goto("/")
    line = row(page, "live").locator("polyline")
    expect(line).to_have_count(1)

    def right() -> float:
        return float((line.get_attribute("points") or "").split()[-1].split(",")[0])

    assert right() == pytest.approx(96 * 40 / 500, abs=0.1)  # as far as the job is
    attempt.record(curve(41, 250))
    expect(row(page, "live")).to_contain_text("250 / 500")
    assert right() == pytest.approx(48, abs=0.1)


def test_chosen_jobs_are_compared(page: Page, server: Server) -> None:
    for name in ("one", "two", "three"):
        running(server.engine, 20, name=name)
    page.goto("/")
    link = page.locator("#compare")
    page.get_by_label("Choose one").check()
    expect(link).to_be_hidden()
    page.get_by_label("Choose three").check()
    expect(link).to_have_text("Compare 2 jobs")
    link.click()
    expect(page.locator("#results thead")).to_contain_text("one")
    expect(page.locator("#results thead")).not_to_contain_text("two")


def test_thousands_of_jobs_are_listed_a_page_at_a_time(page: Page, server: Server, watch: Watch) -> None:
    first = succeeded(server.engine, RESULT, name="copied")
    with write(server.engine) as connection:
        row = dict(connection.execute(jobs_table.select().where(jobs_table.c.id == first.id)).mappings().one())
        copies = [
            row | {"id": f"job_{number:020d}", "name": f"job {number}", "created_at": row["created_at"] - number}
            for number in range(3000)
        ]
        connection.execute(jobs_table.insert(), copies)
    page.goto("/")
    rows = page.locator("#jobs tbody tr")
    expect(rows).to_have_count(50)  # however many there are
    page.get_by_label("Search by name").fill("job 299")
    expect(rows).to_have_count(11)
    page.get_by_role("button", name="Clear").click()
    expect(rows).to_have_count(50)
    for shown in (100, 150):
        page.get_by_role("button", name="Show more jobs").click()
        expect(rows).to_have_count(shown)
    last = [request.url for request in watch.requests if "/v1/jobs?" in request.url][-1]
    assert "limit=150" in last  # one request, however many pages are shown
