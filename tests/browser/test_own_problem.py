"""Own problems in a browser: found on the page New job, waited for, and their results on the page of the job."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from hposvc.fleet import problems
from hposvc.fleet.problems import Description
from hposvc.fleet.workers import Fleet, WorkerReport
from hposvc.jobs.service import Jobs
from hposvc.schema.job import JobResource
from hposvc.schema.spec import JobSpec
from tests.support.browser import Watch
from tests.support.serving import Server, Worker, curve, submit, take_lambda

pytestmark = pytest.mark.browser

NAME = "my_package:few_shot"
PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "shots": {"type": "integer", "default": 5, "minimum": 1, "description": "Examples of each task."},
        "label": {"type": "string", "default": "a # b"},
    },
}
SUMMARY = "Learns where a network starts, so that a few examples are enough."
RESULT: dict[str, Any] = {
    "problem": NAME,
    "stopped_by": "iterations",
    "iterations": 60,
    "best_iteration": 58,
    "seconds": 1.2,
    "sentence": "The error on new tasks is half of that from a random start.",
    "upper_loss": {"first": 2.1, "last": 0.8, "best": 0.8},
    "hypergradient_norm": {"first": 0.1, "last": 0.01},
    "numbers": [{"name": "error on new tasks", "value": 0.412}],
    "tables": [
        {"title": "Error by start", "columns": ["start", "error"], "rows": [["<b>random</b>", 0.83], ["learned", None]]}
    ],
    "warnings": [],
}


def report(server: Server, *, fault: str | None = None) -> None:
    problems.report(server.engine, [Description(NAME, "1.2.0", SUMMARY, PARAMETERS, {}, fault)])


def worker(server: Server, *offers: str) -> None:
    versions = {name: "1.2.0" for name in offers if ":" in name}
    Fleet(server.engine).beat(WorkerReport("worker-1", "host", "cpu", versions, "ready", offers=("any", *offers)))


def own(server: Server, **changes: Any) -> JobResource:
    spec = {"kind": "custom", "problem": NAME, "stop": {"iterations": 60}, **changes}
    return Jobs(server.engine).submit(JobSpec.model_validate(spec))


def test_a_job_begins_from_what_is_installed_and_says_which_parameter_is_wrong(
    server: Server, page: Page, watch: Watch
) -> None:
    report(server)
    worker(server, NAME)
    page.goto("/new")
    expect(page.locator("#problems")).to_contain_text(SUMMARY)
    page.get_by_role("button", name=NAME).click()
    text = page.locator("#text")
    assert text.input_value().splitlines()[:4] == [
        "kind: custom",
        f"problem: {NAME}",
        "parameters:",
        "  shots: 5 # Examples of each task.",
    ]
    page.get_by_role("button", name="Check only").click()
    expect(page.locator("#answer")).to_contain_text("This spec is valid")
    text.fill(text.input_value().replace("shots: 5", "shots: 0"))
    page.get_by_role("button", name="Check only").click()
    expect(page.locator("#answer")).to_contain_text("parameters.shots")
    expect(page.locator("#answer")).to_contain_text("less than the minimum")
    watch.forgive("422")


def test_a_problem_that_cannot_be_used_says_why(server: Server, page: Page) -> None:
    report(server, fault="no licence")
    page.goto("/new")
    expect(page.locator("#problems")).to_contain_text("no licence")
    expect(page.get_by_role("button", name=NAME)).to_have_count(0)


def test_a_job_says_that_it_waits_for_a_worker_with_its_problem(server: Server, page: Page) -> None:
    report(server)
    worker(server)
    page.goto(f"/jobs/{own(server).id}")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Waiting for a worker with the problem")
    expect(notice).to_contain_text(f"No live worker has {NAME} installed.")


def test_the_result_of_the_problem_is_shown_with_its_own_tables(server: Server, page: Page) -> None:
    report(server)
    worker(server, NAME)
    job = own(server, tags=["shots"])
    attempt = Worker(server.engine).take(job, "1.2.0")
    attempt.record([row | {"upper_score": None} for row in curve(1, 60)])
    take_lambda(attempt, 60, np.linspace(-2, 3, 40), {"start.in": 30, "start.out": 10}, "linear")
    attempt.succeed(RESULT, ())
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#name")).to_have_text(NAME)
    expect(page.locator("#about")).to_contain_text(f"{NAME} 1.2.0")
    expect(page.locator("#sentence")).to_have_text(RESULT["sentence"])
    models = page.locator("#models")
    expect(models).to_contain_text("error on new tasks")
    expect(models.get_by_role("table", name="Error by start")).to_contain_text("<b>random</b>")
    expect(models.locator("tbody tr").nth(1)).to_contain_text("–")
    expect(page.locator("#tiles")).to_contain_text("Error on new tasks")
    expect(page.locator("#tiles")).to_contain_text("λ: 40")
    expect(page.locator("#entries-heading")).to_contain_text("λ")
    expect(page.locator("#next")).not_to_contain_text("hposvc predict")
    page.goto("/")
    expect(page.get_by_role("row").nth(1)).to_contain_text(NAME)
    page.goto(f"/v1/jobs/{job.id}/report")
    expect(page.locator("body")).to_contain_text("<b>random</b>")


def test_a_job_on_data_still_names_its_data_set(server: Server, page: Page) -> None:
    worker(server)
    page.goto(f"/jobs/{submit(server.engine).id}")
    expect(page.locator("#about")).to_contain_text("sklearn:")
