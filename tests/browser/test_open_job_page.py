"""A page of a job that is opened as soon as the job is submitted, and left open until it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from hposvc.jobs import attempt as attempts
from tests.support.browser import Watch
from tests.support.serving import (
    GROUPS,
    RESULT,
    STRENGTHS,
    Server,
    Worker,
    curve,
    running,
    spread,
    strengths,
    submit,
    take_lambda,
    watch_lambda,
    weights_of_groups,
    weights_of_rows,
)

pytestmark = pytest.mark.browser

Report = Callable[[attempts.Attempt, Sequence[int]], None]
Left = Callable[[Path], attempts.StoredFile]


def rows(attempt: attempts.Attempt, at: Sequence[int]) -> None:
    watch_lambda(attempt, at)


def groups(attempt: attempts.Attempt, at: Sequence[int]) -> None:
    for iteration in at:
        take_lambda(attempt, iteration, spread(iteration, 2) + 5, {"groups": 2}, "logistic")


def features(attempt: attempts.Attempt, at: Sequence[int]) -> None:
    watch_lambda(attempt, at, "features")


def penalties(attempt: attempts.Attempt, at: Sequence[int]) -> None:
    for iteration in at:
        take_lambda(attempt, iteration, spread(iteration, 12), {"l2": 6, "l1": 6}, "log")


@pytest.mark.parametrize(
    ("kind", "hyperparameters", "report", "result", "left", "values"),
    [
        ("data_reweighting", {"per": "row"}, rows, RESULT, weights_of_rows, "1,079 weights"),
        ("data_reweighting", {"per": "class"}, groups, GROUPS, weights_of_groups, "2 weights"),
        ("regularization_tuning", {}, features, STRENGTHS, strengths, "6 strengths"),
        ("regularization_tuning", {"penalty": "elastic_net"}, penalties, STRENGTHS, strengths, "6 strengths"),
    ],
    ids=["rows", "groups", "features", "two penalties"],
)
def test_a_page_that_is_open_from_the_start_follows_the_job_to_its_end(
    kind: str,
    hyperparameters: dict[str, Any],
    report: Report,
    result: dict[str, Any],
    left: Left,
    values: str,
    page: Page,
    server: Server,
    tmp_path: Path,
) -> None:
    job = submit(server.engine, kind=kind, hyperparameters=hyperparameters, name="open all the time")
    page.goto(f"/jobs/{job.id}")
    about, tiles = page.locator("#about"), page.locator("#tiles")
    expect(about).to_contain_text("Queued")
    expect(page.locator("#notice")).to_contain_text("No worker is connected")
    attempt = Worker(server.engine).take(job)
    attempt.phase("solving")
    expect(about).to_contain_text("Running")
    report(attempt, [0])
    attempt.record(curve(1, 40))
    report(attempt, [20, 40])
    expect(tiles).to_contain_text("40 / 500")
    expect(page.locator("#history .caption")).to_have_text(f"{values} at 3 iterations")
    attempt.record(curve(41, 500))
    report(attempt, [500])
    expect(page.locator("#history .caption")).to_have_text(f"{values} at 4 iterations")
    attempt.succeed(result, [left(tmp_path)])
    expect(about).to_contain_text("Succeeded")
    expect(page.locator("#sentence")).to_have_text(result["sentence"])
    expect(page.locator("#histogram-title")).to_have_text("λ of the result")
    expect(page.locator("#connection")).to_be_hidden()


def test_a_fault_of_the_page_is_said_and_polled_past(page: Page, server: Server, watch: Watch) -> None:
    job, attempt = running(server.engine, 10)
    watch_lambda(attempt, [0, 10])
    nonsense = {"iteration": [0], "groups": [], "scale": "logistic", "probabilities": [], "next_after": 0}

    def garble(route: Route) -> None:
        route.fulfill(json=nonsense)

    page.route("**/hyperparameters/history**", garble)
    page.goto(f"/jobs/{job.id}")
    banner = page.locator("#unreachable")
    expect(banner).to_contain_text("This page has a fault.")
    expect(banner).to_contain_text("It tries again by itself.")
    expect(page.locator("#connection")).to_have_text("Fault")
    expect(page.locator("#losses .caption")).to_have_text("10 points")  # the other parts are there
    expect(page.locator("#events")).to_contain_text("Running")
    expect(page.locator("#spec")).to_contain_text("kind: data_reweighting")
    attempt.record(curve(11, 20))
    expect(page.locator("#losses .caption")).to_have_text("20 points")
    page.unroute("**/hyperparameters/history**")
    watch_lambda(attempt, [20])
    attempt.succeed(RESULT, [])
    expect(page.locator("#about")).to_contain_text("Succeeded")
    expect(banner).to_be_hidden()
    watch.forgive("console error: TypeError")
