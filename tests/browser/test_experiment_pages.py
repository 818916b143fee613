"""The pages of experiments in a browser: the list, a search, repeats, and what a person does there."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Watch
from tests.support.experimenting import DECAY, SEARCH, Laboratory, by_decay, experiment, staged
from tests.support.serving import Server

pytestmark = pytest.mark.browser

LOSSES = "() => [...document.querySelectorAll('.trials tbody tr')].map((row) => row.children[{}].textContent)"


def test_a_search_is_shown_from_its_answer_to_its_trials(page: Page, server: Server, tmp_path: Path) -> None:
    search, repeats = staged(server.engine)
    trials = Laboratory(server.engine).trials(search)
    page.goto("/experiments")
    expect(page.locator("#experiments tbody tr")).to_have_count(2)
    page.get_by_role("link", name="model and weight decay").click()
    expect(page.locator("#sentence")).to_contain_text("Being the best of 12, it is partly luck")
    best = min(trials, key=lambda trial: trial.value or 9)
    expect(page.locator(".tile", has_text="Lowest loss")).to_contain_text(f"{best.value:.4f}Trial {best.number}")
    rows = page.locator(".trials tbody tr")
    expect(rows).to_have_count(12)
    expect(rows.first).to_contain_text(f"Trial {best.number}")
    page.get_by_role("button", name="weight decay").click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("weight decay")
    decays = [float(text) for text in page.evaluate(LOSSES.replace("{}", "3"))]
    assert decays == sorted(decays)
    page.get_by_role("button", name="weight decay").click()
    expect(page).to_have_url(f"/experiments/{search}?sort=-{DECAY}")
    page.reload()
    expect(page.locator("th[aria-sort=descending]")).to_have_text("weight decay")
    page.locator("#columns summary").click()
    page.get_by_label("Seconds").uncheck()
    expect(page.locator(".trials thead")).not_to_contain_text("Seconds")
    lines = page.locator("svg.parallel polyline")
    expect(lines).to_have_count(12)
    assert lines.last.get_attribute("class") == "good"
    assert f"Trial {best.number}:" in (lines.last.text_content() or "")
    expect(page.locator("#importance tbody tr")).to_have_count(3)
    expect(page.locator("#importance tbody tr").first).to_contain_text("weight decay")
    page.locator("#importance select").select_option("fanova")
    expect(page.locator("#best .caption")).to_have_text("12 trials with a loss")
    steps = page.evaluate("document.querySelector('#best .plot').data[1].y")
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == best.value
    steps = page.locator("#next li")
    expect(steps.first.get_by_role("link")).to_have_attribute("href", f"/jobs/{best.job}")
    expect(steps.last.get_by_role("link")).to_have_attribute("href", f"/new?from={best.job}")
    with page.expect_download() as download:
        page.locator("#trial-tools").get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(newline="") as file:
        assert {float(row["value"]) for row in csv.DictReader(file)} == {trial.value for trial in trials}

    page.goto(f"/experiments/{repeats}")
    expect(page.locator("#rivals tbody tr").first).to_contain_text("Trusted rows only")
    expect(page.locator("#rivals tbody tr").first).to_contain_text("5 of 5")
    expect(page.locator("#curves .legend")).to_contain_text("mean of 5 repeats")
    expect(page.locator(".trials thead")).to_contain_text("split seed")
    expect(page.locator("#parallel")).to_be_hidden()
    expect(page.locator("#next li").first).to_contain_text("a suspect in most repeats")
    expect(page.locator("#next").get_by_role("link", name="Start another job like these")).to_be_visible()


def test_an_experiment_grows_and_is_steered(page: Page, server: Server, watch: Watch) -> None:
    lab = Laboratory(server.engine)
    begun = lab.experiments.submit(experiment(SEARCH, name="<b>live</b>", at_once=2))
    page.goto(f"/experiments/{begun.id}")
    expect(page.get_by_role("heading", name="<b>live</b>")).to_be_visible()
    expect(page.locator(".trials tbody tr")).to_have_count(2)
    expect(page.locator("#next")).to_be_hidden()
    lab.play(lab.waiting(begun.id)[0], by_decay)
    expect(page.locator(".tile", has_text="Trials")).to_contain_text("1 of 8")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#about")).to_contain_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#about")).to_contain_text("Running")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("#about")).to_contain_text("Cancelled")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="No experiments yet")).to_be_visible()
    page.goto(f"/experiments/{begun.id}")
    expect(page.get_by_role("heading", name="No such experiment")).to_be_visible()
    watch.forgive("404")


def test_a_search_is_read_on_a_phone_without_moving_the_page_sideways(page: Page, server: Server) -> None:
    search, _ = staged(server.engine)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/experiments/{search}")
    expect(page.locator("svg.parallel")).to_be_visible()
    expect(page.locator("#importance tbody tr")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
