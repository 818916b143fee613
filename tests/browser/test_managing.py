"""What is done to jobs in the dashboard: rename, tag, delete, several at once, the report, the words, signing out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from hposvc.access import keys
from hposvc.jobs import queries
from tests.support.browser import Watch, faults
from tests.support.experimenting import staged
from tests.support.predicting import job_with_model
from tests.support.reviewing import judged_job
from tests.support.reviews_of_products import reviews_csv
from tests.support.serving import RESULT, Server, running, submit, succeeded

pytestmark = pytest.mark.browser

DASHBOARD = Path(__file__).parents[2] / "api" / "dashboard"


def names(server: Server) -> dict[str, str]:
    return {str(job.name): job.state for job in queries.list_(server.engine).items}


def test_a_job_is_renamed_tagged_and_deleted(page: Page, server: Server) -> None:
    job = succeeded(server.engine, RESULT, name="before", tags=["old"])
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog", name="Name and tags")
    expect(dialog.get_by_label("Name")).to_have_value("before")
    dialog.get_by_role("button", name="Leave as it is").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Edit").click()
    dialog.get_by_label("Name").fill("<i>after</i>")
    dialog.get_by_label("Tags").fill("new, second one,")
    dialog.get_by_label("Tags").press("Enter")
    expect(page.get_by_role("heading", name="<i>after</i>", exact=True)).to_be_visible()
    expect(page.locator("#about .tag")).to_have_text(["new", "second one"])
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it").click()
    assert names(server) == {"<i>after</i>": "succeeded"}
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the job").click()
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    assert names(server) == {}


def test_a_file_of_rows_is_predicted(page: Page, server: Server, tmp_path: Path, watch: Watch) -> None:
    job = job_with_model(server, tmp_path)
    page.goto(f"/jobs/{job}")
    steps = page.locator("#next")
    expect(steps.get_by_role("link", name="Predict other rows")).to_have_attribute("href", "#predict")
    steps.get_by_role("button", name="Copy").click()
    expect(steps.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == f"hposvc predict {job} FILE"
    form = page.locator("#predict")
    rows = tmp_path / "later.csv"
    rows.write_bytes(b"stars\n1\n2\n")
    form.get_by_label("File of rows").set_input_files(rows)
    form.get_by_role("button", name="Predict").click()
    expect(form).to_contain_text("there is no column 'review'")
    watch.forgive("422")
    rows.write_bytes(reviews_csv(40, seed=7))
    form.get_by_label("File of rows").set_input_files(rows)
    with page.expect_download() as download:
        form.get_by_role("button", name="Predict").click()
    assert download.value.suggested_filename == "later predicted.csv"
    assert len(Path(download.value.path()).read_text().splitlines()) == 41
    expect(form).to_contain_text(re.compile(r"40 rows are predicted, accuracy \d+\.\d\d %"))
    assert [fault for fault in faults(page) if "predict" in fault] == []


def test_a_view_of_the_jobs_is_saved_and_forgotten(page: Page, server: Server) -> None:
    for name in ("apples", "pears"):
        submit(server.engine, name=name)
    page.goto("/")
    expect(page.locator("#views")).to_be_hidden()
    page.get_by_label("Search by name").fill("pear")
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Save this view").click()
    dialog = page.get_by_role("dialog", name="Save this view")
    dialog.get_by_label("Name").fill("<b>fruit</b>")
    dialog.get_by_label("Name").press("Enter")
    page.goto("/")
    expect(page.locator("#jobs tbody tr")).to_have_count(2)
    page.locator("#views").get_by_role("link", name="<b>fruit</b>").click()
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    expect(page.get_by_label("Search by name")).to_have_value("pear")
    assert [fault for fault in faults(page) if "views" in fault] == []
    page.get_by_role("button", name="Forget the view <b>fruit</b>").click()
    expect(page.locator("#views")).to_be_hidden()
    page.reload()
    expect(page.locator("#views")).to_be_hidden()


def test_a_job_that_runs_cannot_be_deleted_but_edited(page: Page, server: Server, watch: Watch) -> None:
    job, _ = running(server.engine, 5, name="runs")
    page.goto(f"/jobs/{job.id}")
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_be_hidden()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Tags, with commas").fill("x" * 65)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#refusal")).to_contain_text("tags")
    watch.forgive("422")


def test_the_report_is_one_click_away(page: Page, server: Server) -> None:
    job = succeeded(server.engine, RESULT, name="to print")
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("link", name="Report to print").click()
    expect(page.get_by_role("heading", name="to print")).to_be_visible()
    expect(page.get_by_text(RESULT["sentence"])).to_be_visible()


def test_a_result_says_what_to_do_next(page: Page, server: Server) -> None:
    job = succeeded(server.engine, RESULT | {"check_next": ["7", "12"]})
    page.goto(f"/jobs/{job.id}")
    steps = page.locator("#next")
    expect(steps).to_contain_text("A check of these rows would tell most: 7, 12.")
    expect(steps.get_by_text("Predict other rows")).to_be_hidden()  # its model is gone
    steps.get_by_role("link", name="Start another job").click()
    expect(page.locator("#text")).to_have_value(re.compile("kind: data_reweighting"))


def test_several_jobs_are_deleted_unless_it_is_taken_back(page: Page, server: Server) -> None:
    page.clock.install()
    for name in ("one", "two"):
        succeeded(server.engine, RESULT, name=name)
    submit(server.engine, name="waits")
    page.goto("/")
    for name in ("one", "two", "waits"):
        page.get_by_label(f"Choose {name}").check()
    expect(page.get_by_role("button", name="Cancel 1 job")).to_be_visible()
    page.get_by_role("button", name="Delete 2 jobs").click()
    rows = page.locator("#jobs tbody tr")
    expect(page.locator("#bulk")).to_contain_text("2 jobs will be deleted in a moment.")
    expect(rows).to_have_count(1)
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#bulk")).to_contain_text("Nothing was changed.")
    expect(rows).to_have_count(3)
    page.clock.fast_forward(20_000)
    assert names(server) == {"one": "succeeded", "two": "succeeded", "waits": "queued"}
    for name in ("one", "two"):
        page.get_by_label(f"Choose {name}").check()
    page.get_by_role("button", name="Delete 2 jobs").click()
    expect(rows).to_have_count(1)
    page.clock.fast_forward(20_000)
    expect(page.locator("#bulk")).to_contain_text("2 jobs are deleted.")
    assert names(server) == {"waits": "queued"}


def test_what_waits_happens_when_the_page_is_left(page: Page, server: Server) -> None:
    submit(server.engine, name="waits")
    page.goto("/")
    page.get_by_label("Choose waits").check()
    page.get_by_role("button", name="Cancel 1 job").click()
    expect(page.locator("#bulk")).to_contain_text("1 job will be cancelled in a moment.")
    page.goto("/workers")
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    page.goto("/")
    expect(page.locator("#jobs tbody tr")).to_contain_text("Cancelled")


def test_what_is_refused_is_said_job_by_job(page: Page, server: Server, watch: Watch) -> None:
    page.clock.install()
    job, attempt = running(server.engine, 5, name="ended meanwhile")
    submit(server.engine, name="still there")
    page.goto("/")
    for name in ("ended meanwhile", "still there"):
        page.get_by_label(f"Choose {name}").check()
    page.get_by_role("button", name="Cancel 2 jobs").click()
    attempt.succeed(RESULT, [])
    page.clock.fast_forward(20_000)
    expect(page.locator("#bulk")).to_contain_text("1 of 2 jobs is cancelled.")
    expect(page.locator("#bulk li")).to_contain_text(f"ended meanwhile: cannot cancel job {job.id}")
    watch.forgive("409")


def test_every_link_to_a_word_leads_to_its_meaning(page: Page, server: Server) -> None:
    known = {
        id_
        for part in json.loads((DASHBOARD / "glossary.json").read_text())
        for term in part["terms"]
        for id_ in term["ids"]
    }
    assert {"upper-loss", "lower-level", "trusted-rows", "worker"} <= known
    templates = "".join(file.read_text() for file in (DASHBOARD / "templates").glob("*.html"))
    linked = set(re.findall(r'/glossary#([\w-]+)"', templates)) | set(
        re.findall(r'chart\("\w+", "[^"]+", "([\w-]+)"\)', templates)
    )
    assert linked
    assert linked <= known
    job, _ = running(server.engine, 20)
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#losses .caption")).to_have_text("20 points")
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        judged = judged_job(server, client)
    search, repeats = staged(server.engine, 4)
    for path, said, words in (
        ("/", "#words", {"upper-loss", "gain", "rival"}),
        (f"/compare?jobs={job.id},{judged}", "#results table", {"rival", "gain", "suspect"}),
        (f"/jobs/{judged}/review", "#row .verdict", {"opinion"}),
        (f"/experiments/{search}", "#tiles .tile", {"selection-loss", "trial"}),
        (f"/experiments/{repeats}", "#rivals table", {"rival"}),
        (f"/jobs/{job.id}", "#losses svg", {"upper-loss", "gain"}),
    ):
        page.goto(path)
        expect(page.locator(said).first).to_be_visible()
        links = page.locator("a.term").all()
        found = {(link.get_attribute("href") or "").removeprefix("/glossary#") for link in links}
        assert words <= found <= known, path
    page.locator("#tiles").get_by_role("link", name="Upper loss").click()
    expect(page.locator("#upper-loss + dd")).to_contain_text("λ moves to reduce it")
    expect(page.locator("#upper-loss")).to_be_in_viewport()


def test_the_header_says_who_is_signed_in_and_signs_out(page: Page, server: Server, watch: Watch) -> None:
    token = keys.Keys(server.engine).create(tenant="default", name="my laptop", scope="submit")[1]
    page.goto("/login")
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    page.get_by_label("Your key").fill(token)
    page.get_by_label("Your key").press("Enter")
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    expect(page.get_by_role("banner")).to_contain_text("my laptop")
    page.get_by_role("banner").get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/login$"))
    page.goto("/workers")
    expect(page).to_have_url(re.compile("/login"))
    watch.forgive("401")
