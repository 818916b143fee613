"""What the page of a job says of a run that went wrong, or that did nothing: where, why, and what to do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from hposvc.schema.job import JobError
from tests.support.serving import RESULT, STRENGTHS, Server, curve, ranked_rows, running, succeeded, take_lambda

pytestmark = pytest.mark.browser

MARKS = "document.querySelector('#losses .plot').layout.annotations.map(mark => mark.text)"


def test_a_diverged_job_says_its_settings_and_leads_to_a_corrected_one(page: Page, server: Server) -> None:
    solver = {"upper": {"learning_rate": 1000}}
    job, attempt = running(server.engine, 20, solver=solver, name="much too fast")
    take_lambda(attempt, 20, np.full(40, np.nan), {"rows": 40}, "logistic")
    error = JobError(reason="diverged", message="upper_loss = nan.", remedy="Lower it.", iteration=21)
    attempt.fail(error)
    page.goto(f"/jobs/{job.id}")
    alert = page.locator("#notice").get_by_role("alert")
    expect(alert).to_contain_text("Diverged at iteration 21")
    expect(alert).to_contain_text("solver.upper.learning_rate 1000 (adam)")
    expect(alert).to_contain_text("solver.lower.learning_rate auto")
    expect(page.locator("#tiles")).to_contain_text("not finite after iteration 20")
    expect(page.locator("#entries")).to_be_visible()
    expect(page.locator("#histogram")).to_be_hidden()
    alert.get_by_role("link", name="Correct it in a new job").click()
    text = page.locator("#text")
    expect(text).to_have_attribute("data-ready", "true")
    lines = text.input_value().splitlines()
    assert lines[:2] == [f"# Corrected from {job.id}:", "# solver.upper.learning_rate: auto (was 1000)"]
    page.get_by_role("button", name="Check only").click()
    expect(page.locator("#answer")).to_contain_text("This spec is valid")


def test_overfitting_is_said_where_it_began_and_the_tuned_lambda_keeps_its_row(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 0, kind="regularization_tuning")
    rows = curve(1, 500)
    for row in rows:
        row["selection_loss"] = 0.4 + 0.0005 * abs((row["iteration"] or 0) - 22)
    attempt.record(rows)
    page.goto(f"/jobs/{job.id}")
    tiles, caption = page.locator("#tiles"), page.locator("#losses .caption")
    expect(tiles).to_contain_text("overfits since 22 · the best λ so far is that of 22")
    expect(tiles).not_to_contain_text("settled")
    expect(caption).to_contain_text("λ overfits the validation rows since iteration 22")
    assert page.evaluate(MARKS) == ["overfits from 22"]
    best = {"selection_loss": {"first": 0.411, "best": 0.4, "last": 0.639}, "best_iteration": 22}
    models = [*STRENGTHS["models"], {**STRENGTHS["models"][0], "name": "tuned_lambda", "label": "the tuned λ"}]
    result: dict[str, Any] = STRENGTHS | best | {"models": models, "handed_over": "single_strength"}
    attempt.succeed(result, [])
    expect(tiles).to_contain_text("overfits since 22 · the tuned λ is that of 22")
    expect(page.locator("#models tbody")).to_contain_text("The tuned λ")
    expect(page.locator("#models tbody .tag")).to_have_text(["handed over"])


def test_a_loss_that_falls_to_the_end_is_no_overfitting(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 0)
    rows = curve(1, 500)
    for row in rows:
        row["selection_loss"] = row["upper_loss"]
    attempt.record(rows)
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#tiles")).to_contain_text("settled")
    assert page.evaluate(MARKS) == []


def test_the_page_names_the_model_that_predicts_the_suspects(page: Page, server: Server, tmp_path: Path) -> None:
    result = RESULT | {"opinion": "models that have not seen the row"}
    job = succeeded(server.engine, result, [ranked_rows(tmp_path)])
    page.goto(f"/jobs/{job.id}")
    about = page.locator("#suspects-about")
    expect(about).to_contain_text("Predicted by models that have not seen the row, here and in the CSV files.")


def test_strengths_that_hardly_moved_are_said_to_be_so(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 20, kind="regularization_tuning")
    take_lambda(attempt, 20, np.array([-4.5, -4.499, -4.498, -4.497]), {"features": 4}, "log")
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#tiles")).to_contain_text("they hardly differ")
    expect(page.locator("#histogram .caption")).to_contain_text(
        "they hardly moved apart: the strongest is 0.3 % above the weakest"
    )
    ticks = page.evaluate("document.querySelector('#histogram .plot').layout.xaxis.ticktext")
    assert ticks == [f"{math.exp(-4.4985):.2g}"]
