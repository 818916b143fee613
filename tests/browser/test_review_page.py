"""The page Review: rows one after the other by keyboard, many at once, with undo; nothing is lost on the way."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import Watch, faults
from tests.support.reviewing import decide, judged_images, judged_job, judged_numbers, judged_texts, relabel, right
from tests.support.reviews_of_products import GOOD, OTHERS
from tests.support.serving import Server, succeeded

pytestmark = pytest.mark.browser


class Reviewed:
    """A finished job about flowers, and what is decided about its data set."""

    def __init__(self, client: httpx.Client, job: str) -> None:
        self.client = client
        self.path = f"/jobs/{job}/review"
        self.dataset: str = client.get(f"/v1/jobs/{job}").json()["spec"]["dataset"]["id"]

    @property
    def decided(self) -> dict[str, tuple[str, str | None]]:
        found = self.client.get(f"/v1/datasets/{self.dataset}/reviews").json()["items"]
        return {item["row"]: (item["decision"], item["relabelled_to"]) for item in found}


@pytest.fixture
def flowers(server: Server) -> Any:
    """Rows 3, 10, 17 and 31 are labelled wrong, and come first."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        yield Reviewed(client, judged_job(server, client))


def shows(page: Page, row: str) -> Locator:
    """The card, once it shows the row."""
    expect(page.locator("#row h2")).to_have_text(f"Row {row}")
    return page.locator("#row")


def saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("All saved")


def test_rows_are_decided_by_keyboard_alone(page: Page, flowers: Reviewed) -> None:
    page.goto(flowers.path)
    card = shows(page, "f-03")
    expect(card).to_be_focused()
    expect(card.locator(".verdict")).to_contain_text("99.0 %")
    expect(card).to_contain_text("The opinion is that of models that have not seen the row.")
    expect(card.locator("tr.against")).to_have_count(2)  # length and width; a text that no other row has says nothing
    page.keyboard.press("s")  # one letter tells setosa from the others
    shows(page, "f-10")
    page.keyboard.type("v")
    expect(page.locator(".said")).to_contain_text("versicolor, virginica")
    page.keyboard.type("e")
    shows(page, "f-17")
    page.keyboard.press("Delete")
    shows(page, "f-31")
    page.keyboard.press("?")
    page.keyboard.press("Enter")  # the next one is right
    saved(page)
    first = next(row for row, (decision, _) in flowers.decided.items() if decision == "right")
    assert flowers.decided == {
        "f-03": ("relabel", "setosa"),
        "f-10": ("relabel", "versicolor"),
        "f-17": ("drop", None),
        "f-31": ("unsure", None),
        first: ("right", None),
    }
    expect(page.locator("#counts")).to_contain_text("5 of 60 decided · 1 right · 2 relabelled · 1 dropped · 1 unsure")
    expect(page.locator("#similar")).to_contain_text("setosa")
    page.keyboard.press("Backspace")  # undo goes back to the row
    shows(page, first)
    saved(page)
    assert first not in flowers.decided
    page.keyboard.press("ArrowLeft")
    expect(shows(page, "f-31").locator(".said")).to_contain_text("unsure")
    page.keyboard.press("3")  # the number of virginica among the classes
    saved(page)
    assert flowers.decided["f-31"] == ("right", None)  # it is labelled so


def test_free_text_is_readable_and_its_words_against_the_label_are_marked(page: Page, server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        job = judged_texts(server, client)
    page.goto(f"/jobs/{job}/review")
    marks = shows(page, "r3").locator(".values mark")  # a good review that is labelled bad
    expect(marks.first).to_be_visible()
    assert {word.lower() for word in marks.all_inner_texts()} <= {*GOOD, *OTHERS}
    assert {word.lower() for word in marks.all_inner_texts()} & {*GOOD}
    expect(page.locator(".values caption")).to_contain_text("more usual among rows labelled good than bad")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert faults(page) == []
    page.keyboard.press("g")
    shows(page, "r10")
    expect(page.locator("#similar")).to_be_visible()


def test_rows_most_worth_checking_come_first_when_asked(page: Page, flowers: Reviewed) -> None:
    page.goto(flowers.path)
    shows(page, "f-03")  # wrong with 99 %
    page.get_by_label("First").select_option("most worth checking")
    page.wait_for_url("**order=worth_checking*")
    expect(page.locator("#row .verdict")).to_contain_text("26.2 %")
    page.reload()
    expect(page.locator("#row .verdict")).to_contain_text("26.2 %")


def test_more_rows_come_when_few_are_left(page: Page, server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        job = judged_job(server, client, rows=2300)
    page.goto(f"/jobs/{job}/review")
    expect(page.locator("#counts")).to_contain_text("of 1,000 decided")
    page.get_by_label("Labelled").select_option("setosa")
    page.get_by_role("button", name="setosa → virginica").click()  # two rows: more are asked for
    expect(page.locator("#counts")).to_contain_text("of 2,300 decided")


def test_many_are_accepted_with_their_number_said_first_and_undone(page: Page, flowers: Reviewed) -> None:
    page.goto(flowers.path)
    shows(page, "f-03")
    page.get_by_role("button", name="Accept many").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("4 rows that are not decided")
    dialog.get_by_label("in percent").fill("97.5")
    expect(dialog).to_contain_text("2 rows that are not decided")
    assert flowers.decided == {}
    dialog.get_by_role("button", name="Relabel").click()
    saved(page)
    assert flowers.decided == {"f-03": ("relabel", "setosa"), "f-10": ("relabel", "versicolor")}
    page.locator("#notice").get_by_role("button", name="Undo").click()
    saved(page)
    assert flowers.decided == {}


def test_a_pair_of_label_and_opinion_is_a_filter(page: Page, flowers: Reviewed) -> None:
    page.goto(flowers.path)
    shows(page, "f-03")
    page.get_by_role("button", name="setosa → virginica").click()
    shows(page, "f-17")
    expect(page.locator("#row .card-heading")).to_contain_text("1 of 1")
    page.reload()
    shows(page, "f-17")  # the address holds the view
    page.get_by_role("button", name="All", exact=True).click()
    shows(page, "f-03")


def test_two_reviewers_are_told_of_each_other(page: Page, flowers: Reviewed, browser: Browser, server: Server) -> None:
    other = browser.new_context(base_url=server.url, locale="en-US").new_page()
    for each in (page, other):
        each.goto(flowers.path)
        shows(each, "f-03")
    page.keyboard.press("s")
    saved(page)
    other.keyboard.press("Delete")
    expect(other.locator("#notice")).to_contain_text("said relabel, setosa of row f-03. Yours was not kept.")
    saved(other)
    assert flowers.decided == {"f-03": ("relabel", "setosa")}
    other.context.close()


def test_decisions_wait_for_a_service_that_is_gone(page: Page, flowers: Reviewed, server: Server, watch: Watch) -> None:
    page.goto(flowers.path)
    shows(page, "f-03")
    watch.offline = True
    server.stop()
    page.keyboard.press("s")
    shows(page, "f-10")
    page.keyboard.type("ve")
    expect(page.locator("#saved")).to_contain_text("2 not saved")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".said")).to_contain_text("on its way")
    server.start()
    saved(page)
    assert flowers.decided == {"f-03": ("relabel", "setosa"), "f-10": ("relabel", "versicolor")}


def test_a_version_is_made_and_the_next_job_trusts_its_rows(page: Page, flowers: Reviewed, watch: Watch) -> None:
    page.goto(flowers.path)
    shows(page, "f-03")
    page.get_by_role("button", name="Tune again").click()
    expect(page.locator("#notice")).to_contain_text("nobody has decided about a row")
    watch.forgive("422")
    page.locator("#row").focus()
    page.keyboard.type("s")
    shows(page, "f-10")
    for _ in range(30):
        page.keyboard.press("Enter")
    saved(page)
    page.get_by_role("button", name="New version").click()
    expect(page.locator("#notice")).to_contain_text("flowers v2.csv is made: 60 rows")
    with page.expect_download() as download:
        page.locator("#notice").get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "flowers v2.csv"
    page.get_by_role("button", name="Tune again").click()
    page.wait_for_url("**/jobs/job_*")
    expect(page.locator("#about")).to_contain_text("Queued")
    job = flowers.client.get(f"/v1/jobs/{page.url.rpartition('/')[2]}").json()
    assert job["name"] == "flowers v2.csv"
    spec = job["spec"]["dataset"]
    version = flowers.client.get(f"/v1/datasets/{spec['id']}").json()
    assert (version["parent"], version["reviewed"]["relabel"], spec["trusted"]) == (flowers.dataset, 1, "reviewed")
    page.goto("/datasets")
    line = page.locator(f"#datasets tr[data-dataset={version['id']}]")
    expect(line).to_contain_text(f"version 2 of {flowers.dataset}1 relabelled, 0 dropped")
    assert faults(page) == []


def test_the_rounds_stand_side_by_side_with_what_each_found(page: Page, flowers: Reviewed, server: Server) -> None:
    decide(flowers.client, f"/v1/datasets/{flowers.dataset}", relabel("f-03", "setosa"), right("f-10"))
    made = flowers.client.post(f"/v1/datasets/{flowers.dataset}/versions").json()
    again = judged_job(server, flowers.client, dataset=made["id"])
    page.goto(f"/jobs/{again}/review")
    shows(page, "f-03")
    lines = page.locator("#rounds tbody tr")
    expect(lines.nth(0)).to_have_text("flowers.csv600––495.56 % accuracy")
    expect(lines.nth(1)).to_have_text("flowers v2.csv60210495.56 % accuracy")


def test_the_job_leads_to_the_review_and_others_say_why_not(
    page: Page, flowers: Reviewed, server: Server, watch: Watch
) -> None:
    page.goto(flowers.path.removesuffix("/review"))
    page.get_by_role("link", name="Review the labels").click()
    shows(page, "f-03")
    bundled = succeeded(server.engine, {"task": "classification", "sentence": "Done.", "models": [], "warnings": []})
    page.goto(f"/jobs/{bundled.id}/review")
    expect(page.locator("#missing")).to_contain_text("comes with the service")
    page.goto("/jobs/job_none/review")
    expect(page.locator("#missing")).to_contain_text("no job job_none")
    watch.forgive("404")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(
    page: Page, flowers: Reviewed, scheme: Any, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto(flowers.path)
    shows(page, "f-03")
    page.keyboard.press("s")
    saved(page)
    found = faults(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Accept many").click()
    found += faults(page)
    assert not found, "\n".join(found)


def test_images_are_shown_large(page: Page, server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        job = judged_images(server, client)
    page.goto(f"/jobs/{job}/review")
    picture = shows(page, "3").locator(".large canvas")
    expect(picture).to_have_attribute("aria-label", "Row 3 as an image")
    box = picture.bounding_box()
    assert box is not None
    assert box["width"] >= 250
    page.keyboard.press("0")  # a class that is a digit is typed
    shows(page, "10")
    saved(page)


def test_numbers_are_typed(page: Page, server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        found = Reviewed(client, judged_numbers(server, client))
        page.goto(found.path)
        expect(shows(page, "p-00").locator(".verdict")).to_contain_text("500.25")
        page.keyboard.type("-1.5")
        expect(page.locator(".said")).to_contain_text("Enter takes this number")
        page.keyboard.press("Enter")
        shows(page, "p-01")
        page.keyboard.press("Enter")
        saved(page)
        assert found.decided == {"p-00": ("relabel", "-1.5"), "p-01": ("right", None)}
