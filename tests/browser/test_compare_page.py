"""Several jobs side by side in a browser."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from hposvc.fleet import problems
from hposvc.fleet.problems import Description
from hposvc.jobs.service import Jobs
from hposvc.schema.job import JobResource
from hposvc.schema.spec import JobSpec
from tests.support.browser import Watch
from tests.support.serving import RESULT, Server, Worker, curve, diverged, running, succeeded

pytestmark = pytest.mark.browser

LINES = """() => document.querySelector("#lines .plot").data.filter(({ name }) => name)
  .map(({ name, x, y }) => [name, x.length, x.at(-1), y.at(-1)])"""


def test_lines_results_and_differences(page: Page, server: Server) -> None:
    live, attempt = running(server.engine, 60, name="<b>live</b>", solver={"seed": 1})
    done = succeeded(server.engine, RESULT, name="done")
    page.goto(f"/compare?jobs={live.id},{done.id}")
    expect(page.locator("#lines .caption")).to_have_text("points: 60 of 60, 500 of 500")
    assert [line[1:3] for line in page.evaluate(LINES)] == [[60, 60], [500, 500]]
    expect(page.locator("#lines .legend")).to_contain_text("<b>live</b>")
    expect(page.locator("#results")).to_contain_text("95.56 %")
    expect(page.locator("#results")).to_contain_text("94.17 %: Trusted rows only")
    expect(page.locator("#results tr", has_text="Gain over it")).to_contain_text("+1.39 points")
    differing = page.locator("#differences tbody tr")
    expect(differing).to_have_count(1)
    expect(differing).to_contain_text("solver.seed")
    attempt.record(curve(61, 90))
    expect(page.locator("#lines .caption")).to_have_text("points: 90 of 90, 500 of 500")  # it grows
    assert page.locator("#comparison b").count() == 0


def test_the_address_holds_the_view(page: Page, server: Server, tmp_path: Path) -> None:
    first, second = (succeeded(server.engine, RESULT, name=name) for name in ("one", "two"))
    page.goto(f"/compare?jobs={first.id},{second.id}")
    page.get_by_label("Metric").select_option("hypergradient_norm")
    page.locator("select[name=by]").select_option("seconds")
    page.get_by_label("Log scale").check()
    expect(page).to_have_url(f"/compare?jobs={first.id},{second.id}&metric=hypergradient_norm&by=seconds&log=1")
    page.reload()
    expect(page.get_by_role("heading", name="Hypergradient norm")).to_be_visible()
    row = curve(500, 500)[0]
    expect(page.locator("#lines .caption")).to_contain_text("500 of 500")
    assert page.evaluate(LINES)[0][2:] == [row["seconds"], row["hypergradient_norm"]]
    assert page.evaluate("document.querySelector('#lines .plot').layout.yaxis.type") == "log"
    with page.expect_download() as download:
        page.locator("#lines").get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "lines.csv")
    with (tmp_path / "lines.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1000
    assert float(rows[-1]["hypergradient_norm"]) == row["hypergradient_norm"]
    page.get_by_role("button", name="Leave out").last.click()
    expect(page.locator("#results thead")).not_to_contain_text("two")
    expect(page).to_have_url(f"/compare?jobs={first.id}&metric=hypergradient_norm&by=seconds&log=1")


def test_zooming_shows_finer_points(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 0, name="long", stop={"iterations": 20_000})
    rows = curve(1, 20_000)
    rows[12_344]["upper_loss"] = 50.0
    for begin in range(0, len(rows), 5000):
        attempt.record(rows[begin : begin + 5000])
    page.goto(f"/compare?jobs={job.id}&log=0")
    expect(page.locator("#lines .caption")).to_contain_text("500 of 20,000 · bands are min to max")
    highest = "Math.max(...document.querySelector('#lines .plot').data.flatMap(({ y }) => y.filter(Number.isFinite)))"
    assert page.evaluate(highest) == 50.0
    page.evaluate(
        "Plotly.relayout(document.querySelector('#lines .plot'), {'xaxis.range[0]': 12100, 'xaxis.range[1]': 12500})"
    )
    expect(page.locator("#lines .caption")).to_contain_text("iterations 12,100 to 12,500")
    assert page.evaluate(LINES)[0][1] == 401
    assert page.evaluate(highest) == 50.0
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#lines .caption")).to_contain_text("500 of 20,000")


def test_lines_are_smoothed_run_across_log_iterations_and_no_spike_flattens_them(page: Page, server: Server) -> None:
    spiky, attempt = running(server.engine, 0, name="spiky")
    rows = curve(1, 500)
    for row in rows:
        row["upper_loss"] = 1 + 0.5 * (-1) ** int(row["iteration"] or 0)
    rows[300]["upper_loss"] = 90.0
    attempt.record(rows)
    short, attempt = running(server.engine, 0, name="short")
    attempt.record([row | {"upper_loss": 4.0} for row in curve(1, 4)])
    address = f"/compare?jobs={spiky.id},{short.id}"
    page.goto(address)
    caption = page.locator("#lines .caption")
    expect(caption).to_contain_text("1 value up to 90.0000 is above the chart: Log scale shows it")
    plot = "document.querySelector('#lines .plot')"
    assert 4 < page.evaluate(f"{plot}.layout.yaxis.range[1]") < 6  # the short line is in sight
    page.get_by_label("Smooth").check()
    expect(page).to_have_url(f"{address}&smooth=1")
    raw, smooth = page.evaluate(f"{plot}.data.slice(0, 2).map(({{ y }}) => y[100] - y[101])")
    assert abs(raw) == pytest.approx(1)
    assert abs(smooth) < 0.2
    page.locator("select[name=by]").select_option("log")
    expect(page).to_have_url(f"{address}&by=log&smooth=1")
    expect(caption).to_contain_text("points: 500 of 500")
    page.wait_for_function(f"() => {plot}.layout.xaxis.type === 'log'")
    page.evaluate(f"Plotly.relayout({plot}, {{'xaxis.range[0]': 1, 'xaxis.range[1]': 2}})")
    expect(caption).to_contain_text("iterations 10 to 100")
    page.reload()
    expect(caption).to_contain_text("iterations 10 to 100")
    expect(page.get_by_label("Smooth")).to_be_checked()
    page.get_by_label("Log scale").check()
    expect(caption).not_to_contain_text("above the chart")


def test_what_cannot_be_compared_is_said(page: Page, server: Server, watch: Watch) -> None:
    page.goto("/compare")
    expect(page.get_by_role("heading", name="Nothing to compare yet")).to_be_visible()
    job = diverged(server.engine, name="broken")
    page.goto(f"/compare?jobs={job.id},job_0")
    expect(page.locator("#refusal")).to_contain_text("no job job_0")
    watch.forgive("404")
    page.goto(f"/compare?jobs={job.id}")
    expect(page.locator("#results")).to_contain_text("Diverged")
    expect(page.get_by_label("Log scale")).to_be_checked()  # its values need it


def test_the_best_is_marked_only_among_jobs_of_the_same_data_and_score(page: Page, server: Server) -> None:
    better = {**RESULT, "models": [{**RESULT["models"][0], "test_score": 0.99}, *RESULT["models"][1:]]}
    one = succeeded(server.engine, RESULT, name="one")
    two = succeeded(server.engine, better, name="two", solver={"seed": 1})
    other = succeeded(server.engine, better, name="other", dataset={"id": "sklearn:wine"})
    row = page.locator("#results tr", has_text="Test accuracy, tuned")
    page.goto(f"/compare?jobs={one.id},{two.id}")
    expect(row.locator(".best")).to_have_text(["99.00 %"])
    expect(page.locator("#unlike")).to_be_empty()
    page.goto(f"/compare?jobs={one.id},{other.id}")
    expect(row).to_contain_text("99.00 %")
    expect(page.locator("#results .best")).to_have_count(0)
    expect(page.locator("#unlike")).to_contain_text("no value is marked as the best")


def test_the_best_is_not_marked_among_jobs_that_optimize_different_things(page: Page, server: Server) -> None:
    def own(problem: str, **parameters: int) -> JobResource:
        spec = {"kind": "custom", "problem": problem, "parameters": parameters, "stop": {"iterations": 500}}
        job = Jobs(server.engine).submit(JobSpec.model_validate(spec))
        Worker(server.engine).take(job, "1.0.0").record(curve(1, 20 + len(job.spec.parameters or {})))
        return job

    problem = [Description(name, "1.0.0", "", {"type": "object"}, {}, None) for name in ("pack:one", "pack:two")]
    problems.report(server.engine, problem)
    one, two, three = own("pack:one"), own("pack:two"), own("pack:one", shots=3)
    losses = [
        running(
            server.engine, at, kind="regularization_tuning", dataset={"id": "sklearn:diabetes"}, loss={"type": loss}
        )
        for at, loss in ((20, "squared_error"), (40, "huber"))
    ]
    for jobs, reason in (
        ([one, two], "The jobs differ in problem,"),
        ([one, three], "The jobs differ in parameters,"),
        ([job for job, _ in losses], "The jobs differ in loss,"),
    ):
        page.goto(f"/compare?jobs={','.join(job.id for job in jobs)}")
        expect(page.locator("#unlike")).to_have_text(f"{reason} so no value is marked as the best.")
        expect(page.locator("#results .best")).to_have_count(0)


def test_a_comparison_is_read_on_a_phone_without_moving_it_sideways(page: Page, server: Server) -> None:
    jobs = [succeeded(server.engine, RESULT, name=f"job number {n}", solver={"seed": n}) for n in range(4)]
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"/compare?jobs={','.join(job.id for job in jobs)}")
    expect(page.locator("#results")).to_contain_text("95.56 %")
    for part in ("#results", "#differences"):
        assert page.locator(part).evaluate("box => box.scrollWidth - box.clientWidth") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    label = page.locator("#results tbody tr").first.locator("td").nth(2).get_attribute("data-label")
    assert label == "job number 2"
