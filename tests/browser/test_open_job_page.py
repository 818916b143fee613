"""A page of a job that is opened as soon as the job is submitted, and left open until it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from hposvc.fleet import problems
from hposvc.fleet.problems import Description
from hposvc.jobs import attempt as attempts
from hposvc.jobs.service import Jobs
from hposvc.schema.spec import JobSpec
from tests.support.browser import Watch
from tests.support.serving import (
    GROUPS,
    RESULT,
    STRENGTHS,
    Server,
    Worker,
    answer,
    curve,
    running,
    spread,
    strengths,
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


def starts(attempt: attempts.Attempt, at: Sequence[int]) -> None:
    for iteration in at:
        take_lambda(attempt, iteration, spread(iteration, 40), {"start.in": 30, "start.out": 10}, "linear")


def values_of_starts(folder: Path) -> attempts.StoredFile:
    """λ of an own problem, as a worker leaves it."""
    return answer(folder, {"name": [f"start {place}" for place in range(40)], "lambda": spread(500, 40)})


def weights(per: str) -> dict[str, Any]:
    return {"kind": "data_reweighting", "dataset": {"id": "sklearn:iris"}, "hyperparameters": {"per": per}}


def penalized(**hyperparameters: Any) -> dict[str, Any]:
    return {
        "kind": "regularization_tuning",
        "dataset": {"id": "sklearn:iris"},
        "hyperparameters": hyperparameters,
    }


OWN = {"kind": "custom", "problem": "pack:starts", "name": "an own problem"}
OWN_RESULT: dict[str, Any] = {
    "problem": "pack:starts",
    "stopped_by": "iterations",
    "iterations": 500,
    "best_iteration": 500,
    "seconds": 4.2,
    "sentence": "The error on new tasks is half of that from a random start.",
    "upper_loss": {"first": 2.1, "last": 0.2, "best": 0.2},
    "hypergradient_norm": {"first": 0.2, "last": 0.01},
    "numbers": [{"name": "error on new tasks", "value": 0.412}],
    "tables": [],
    "warnings": [],
}


@pytest.mark.parametrize(
    ("spec", "report", "result", "left", "values"),
    [
        (weights("row"), rows, RESULT, weights_of_rows, "1,079 weights"),
        (weights("class"), groups, GROUPS, weights_of_groups, "2 weights"),
        (penalized(), features, STRENGTHS, strengths, "6 strengths"),
        (penalized(penalty="elastic_net"), penalties, STRENGTHS, strengths, "6 strengths"),
        (OWN, starts, OWN_RESULT, values_of_starts, "30 values of λ"),
    ],
    ids=["rows", "groups", "features", "two penalties", "own problem"],
)
def test_a_page_that_is_open_from_the_start_follows_the_job_to_its_end(
    spec: dict[str, Any],
    report: Report,
    result: dict[str, Any],
    left: Left,
    values: str,
    page: Page,
    server: Server,
    tmp_path: Path,
) -> None:
    version = None
    if "problem" in spec:
        version = "1.0.0"
        problems.report(server.engine, [Description(spec["problem"], version, "", {"type": "object"}, {}, None)])
    job = Jobs(server.engine).submit(JobSpec.model_validate(spec | {"stop": {"iterations": 500}}))
    page.goto(f"/jobs/{job.id}")
    about, tiles = page.locator("#about"), page.locator("#tiles")
    expect(about).to_contain_text("Queued")
    expect(page.locator("#notice")).to_contain_text("No worker is connected")
    attempt = Worker(server.engine).take(job, version)
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
