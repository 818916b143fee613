"""The page of one job in a browser, in every state that it was designed for."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from hposvc.fleet.workers import Fleet, WorkerReport
from hposvc.schema.job import JobError
from tests.support.browser import Watch, set_hidden
from tests.support.serving import (
    FEATURES,
    GROUPS,
    RESULT,
    STRENGTHS,
    Server,
    checkpoint,
    curve,
    diverged,
    drift,
    ranked_rows,
    running,
    spread,
    strengths,
    submit,
    succeeded,
    take_lambda,
    watch_lambda,
    weights_of_groups,
    weights_of_rows,
)

pytestmark = pytest.mark.browser

DRAWN = """figure => {
  const line = document.querySelector(figure + " .plot").data.findLast(trace => trace.name);
  return [line.x.length, line.x.at(-1)];
}"""


def caption(page: Page, figure: str) -> Locator:
    return page.locator(f"{figure} .caption")


def test_the_charts_of_a_running_job_grow(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 30, name="growing")
    page.goto(f"/jobs/{job.id}")
    expect(caption(page, "#losses")).to_have_text("30 points")
    attempt.record(curve(31, 90))
    expect(caption(page, "#losses")).to_have_text("90 points")
    expect(caption(page, "#norm")).to_have_text("90 points")
    assert page.evaluate(DRAWN, "#norm") == [90, 90]
    expect(page.locator("#tiles")).to_contain_text("90 / 500")
    expect(page.locator("#tiles")).to_contain_text(f"{curve(90, 90)[0]['upper_loss']:.4f}")
    attempt.succeed(RESULT, [])
    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    expect(page.locator("#about")).to_contain_text("Succeeded")


def test_nothing_is_asked_once_a_job_has_ended(page: Page, server: Server, watch: Watch) -> None:
    job = succeeded(server.engine, RESULT)
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#spec")).to_contain_text("kind: data_reweighting")
    page.wait_for_load_state("networkidle")
    before = len(watch.requests)
    page.wait_for_timeout(3000)  # three polls, if there were any
    assert len(watch.requests) == before


def test_an_unreachable_service_is_said_and_recovered_from(page: Page, server: Server, watch: Watch) -> None:
    job, attempt = running(server.engine, 10)
    page.goto(f"/jobs/{job.id}")
    expect(caption(page, "#losses")).to_have_text("10 points")
    watch.offline = True
    server.stop()
    expect(page.get_by_text("The service does not respond.")).to_be_visible()
    expect(page.get_by_text("This page shows the data of")).to_be_visible()
    expect(caption(page, "#losses")).to_have_text("10 points")
    attempt.record(curve(11, 25))
    server.start()
    expect(caption(page, "#losses")).to_have_text("25 points")
    expect(page.get_by_text("The service does not respond.")).to_be_hidden()


@pytest.mark.parametrize("part", ["spec", "events", "iterations"])
def test_a_part_that_did_not_come_is_asked_for_again(page: Page, server: Server, watch: Watch, part: str) -> None:
    job, attempt = running(server.engine, 10)
    attempt.fail(JobError(reason="out_of_memory", message="The runner was killed.", remedy="Use batches."))
    lost = 0

    def lose(route: Route) -> None:
        nonlocal lost
        lost += 1
        route.abort() if lost <= 2 else route.fallback()

    watch.offline = True
    page.route(re.compile(rf"/v1/jobs/{job.id}/{part}"), lose)
    page.goto(f"/jobs/{job.id}")
    expect(caption(page, "#losses")).to_have_text("10 points")
    expect(page.locator("#spec")).to_contain_text("sklearn:iris")
    expect(page.locator("#events")).to_contain_text("Failed")
    expect(page.locator("#unreachable")).to_be_hidden()
    assert lost == 3


def test_an_answer_that_is_an_error_is_said_and_recovered_from(page: Page, server: Server, watch: Watch) -> None:
    job, attempt = running(server.engine, 10)
    page.goto(f"/jobs/{job.id}")
    expect(caption(page, "#losses")).to_have_text("10 points")
    problem = {"title": "Too many requests", "detail": "At most 50 a second.", "status": 429}
    page.route("**/v1/**", lambda route: route.fulfill(status=429, json=problem))
    attempt.record(curve(11, 25))
    banner = page.locator("#unreachable")
    expect(banner).to_contain_text("Too many requests. At most 50 a second. This page shows the data of")
    page.unroute("**/v1/**")
    expect(caption(page, "#losses")).to_have_text("25 points")
    expect(banner).to_be_hidden()
    watch.forgive("429")


def test_a_failed_job_says_why_and_what_to_do(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 5)
    attempt.fail(JobError(reason="out_of_memory", message="The runner was killed at 31 GiB.", remedy="Use batches."))
    page.goto(f"/jobs/{job.id}")
    alert = page.locator("#notice").get_by_role("alert")
    expect(alert).to_contain_text("Out of memory")
    expect(alert).to_contain_text("The runner was killed at 31 GiB.")
    expect(alert).to_contain_text("What to do: Use batches.")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#about")).to_contain_text("Queued")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()


def test_a_diverged_job_shows_where_it_broke(page: Page, server: Server) -> None:
    job = diverged(server.engine, at=120)
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#notice").get_by_role("alert")).to_contain_text("Diverged at iteration 120")
    expect(caption(page, "#losses")).to_contain_text("upper loss is NaN or infinite from iteration 120")
    expect(page.locator("#losses .plot").get_by_text("NaN or ∞")).to_be_visible()
    expect(page.locator("#tiles")).to_contain_text("NaN")
    expect(page.locator("#tiles")).to_contain_text("not to be trusted · ≤ 0.0025 % while it was finite")
    lines = page.evaluate("document.querySelector('#losses .plot').layout.shapes.map(shape => shape.x0)")
    assert lines == [120]
    gap = page.evaluate("document.querySelector('#losses .plot').data[0].y.at(-1)")
    assert gap is None  # a gap, not a zero
    page.locator("#losses summary").click()
    expect(page.locator("#losses .data tbody tr").first).to_contain_text("NaN")


def test_a_queued_job_says_what_it_waits_for(page: Page, server: Server) -> None:
    job = submit(server.engine)
    page.goto(f"/jobs/{job.id}")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("No worker is connected")
    expect(notice).to_contain_text("hposvc worker")
    report = WorkerReport(
        id="w", host="gpu-1", device="cpu", versions={}, state="compiling", progress_message="63 of 150"
    )
    Fleet(server.engine).beat(report)
    expect(notice).to_contain_text("gpu-1: 63 of 150")
    Fleet(server.engine).beat(
        WorkerReport(id="w", host="gpu-1", device="cpu", versions={}, state="busy", job_id="job_x", offers=("any",))
    )
    expect(notice).to_contain_text("The only worker is busy")
    expect(page.locator("#losses")).to_contain_text("No iterations yet")


def test_a_running_job_says_what_it_does(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 0)
    attempt.phase("loading")
    page.goto(f"/jobs/{job.id}")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Running on worker-1")
    expect(notice).to_contain_text("reads the data")
    attempt.phase("solving")
    expect(notice).to_contain_text("first iteration")
    attempt.record(curve(1, 5))
    expect(notice).to_be_empty()
    attempt.phase("refitting")
    expect(notice).to_contain_text("trained from scratch")


def test_actions_ask_the_service(page: Page, server: Server) -> None:
    job = submit(server.engine)
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#notice")).to_contain_text("It uses no worker")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#about")).to_contain_text("Queued")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#about")).to_contain_text("Queued")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator("#about")).to_contain_text("Cancelled")
    expect(page.locator("#events")).to_contain_text("Cancelled")


def test_the_candidate_that_is_handed_over_stands_in_one_row(page: Page, server: Server) -> None:
    tuned, *others = RESULT["models"]
    handed_over = tuned | {"label": "handed over: labels corrected by their analysis"}
    corrected = tuned | {"name": "corrected", "label": "labels corrected by their analysis"}
    result = RESULT | {"models": [handed_over, corrected, *others], "handed_over": "corrected"}
    page.goto(f"/jobs/{succeeded(server.engine, result).id}")
    expect(page.locator("#models tbody tr")).to_have_count(1 + len(others))
    expect(page.locator("#models")).to_contain_text("labels corrected", ignore_case=True)


def test_a_running_job_is_asked_to_finish_now(page: Page, server: Server) -> None:
    job, _ = running(server.engine, 5)
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("button", name="Finish now").click()
    expect(page.locator("#notice")).to_contain_text("The result is made of those that are done.")
    expect(page.get_by_role("button", name="Finish now")).to_have_count(0)
    expect(page.locator("#events")).to_contain_text("asked to finish now")


def test_an_action_that_came_too_late_is_explained(page: Page, server: Server, watch: Watch) -> None:
    job, attempt = running(server.engine, 5)
    page.goto(f"/jobs/{job.id}")
    pause = page.get_by_role("button", name="Pause")
    expect(pause).to_be_visible()
    set_hidden(page, hidden=True)  # so that it does not learn what happens meanwhile
    page.wait_for_load_state("networkidle")
    attempt.succeed(RESULT, [])
    pause.click()
    expect(page.locator("#refusal")).to_contain_text("cannot pause job")
    watch.forgive("409")
    set_hidden(page, hidden=False)
    expect(page.locator("#about")).to_contain_text("Succeeded")
    expect(page.locator("#refusal")).to_contain_text("cannot pause job")  # until it was read


def test_the_answer_of_a_reweighting_job(page: Page, server: Server, tmp_path: Path) -> None:
    job = succeeded(server.engine, RESULT)
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#sentence")).to_have_text(RESULT["sentence"])
    models = page.locator("#models tbody tr")
    expect(models).to_have_count(4)
    expect(models.first).to_contain_text("95.56 %")  # the best first
    expect(models.first).to_contain_text("tuned")
    suspects = page.locator("#suspects tbody tr")
    expect(suspects).to_have_count(10)
    expect(suspects.first).to_contain_text("397")
    page.get_by_role("button", name="Show 50 rows").click()
    expect(suspects).to_have_count(50)
    expect(page.locator("#noise")).to_contain_text("98.1 %")
    with page.expect_download() as download:
        page.locator("#suspects").get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "suspects.csv")
    with (tmp_path / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row_id"] for row in rows] == [item["row_id"] for item in RESULT["suspects"]]


def test_rows_to_look_at_come_with_their_own_columns(page: Page, server: Server, tmp_path: Path) -> None:
    own: dict[str, Any] = {"<b>town</b>": ["Oslo", None] * 25, "income": [1234.5678 + row for row in range(50)]}
    own |= {f"more {number}": range(50) for number in range(30)}
    job = succeeded(server.engine, RESULT, [ranked_rows(tmp_path, **own)])
    page.goto(f"/jobs/{job.id}")
    table = page.locator("#suspects table")
    expect(table.locator("thead")).to_contain_text("<b>town</b>")
    first, second = table.locator("tbody tr").first, table.locator("tbody tr").nth(1)
    expect(first).to_contain_text("Oslo")
    expect(first).to_contain_text("1234.57")
    expect(second.locator(".own").first).to_have_text("–")
    expect(table.locator("caption")).to_have_text("12 more of your columns are in the CSV of all rows.")
    assert page.evaluate("document.documentElement.scrollWidth") == 1280  # the table scrolls, not the page
    with page.expect_download() as download:
        page.get_by_role("link", name="All rows").click()
    assert b"more 29" in Path(download.value.path()).read_bytes().splitlines()[0]


def test_the_address_holds_the_view(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 500, stop={"iterations": 600})
    watch_lambda(attempt, (0, 500))
    page.goto(f"/jobs/{job.id}?from=100&to=200")
    expect(caption(page, "#losses")).to_have_text("101 points · iterations 100 to 200")
    expect(page.locator("#tiles")).to_contain_text("262 × smaller than at the start")  # of all of it
    page.locator("#losses").get_by_role("button", name="Log scale").click()
    page.locator("#norm").get_by_role("button", name="Log scale").click()
    page.get_by_role("button", name="Highest").click()
    expect(page).to_have_url(f"/jobs/{job.id}?from=100&to=200&losses=log&norm=linear&order=highest")
    page.reload()
    expect(caption(page, "#losses")).to_have_text("101 points · iterations 100 to 200")
    expect(page.get_by_role("heading", name="The highest weights so far")).to_be_visible()
    axes = ["losses", "norm"]
    assert page.evaluate("ids => ids.map(id => document.querySelector(`#${id} .plot`).layout.yaxis.type)", axes) == [
        "log",
        "linear",
    ]
    attempt.record(curve(501, 520))
    expect(page.locator("#tiles")).to_contain_text("520 / 600")
    expect(caption(page, "#losses")).to_have_text("101 points · iterations 100 to 200")  # it stands still
    page.locator("#losses").get_by_role("button", name="Show all").click()
    expect(caption(page, "#losses")).to_have_text("520 points")
    expect(page).to_have_url(f"/jobs/{job.id}?losses=log&norm=linear&order=highest")
    page.goto(f"/jobs/{job.id}?from=x&to=3&losses=cubic&order=middle")  # nonsense is passed over
    expect(caption(page, "#losses")).to_have_text("520 points")


def test_the_answer_of_a_job_that_weighs_groups(page: Page, server: Server, tmp_path: Path) -> None:
    job = succeeded(server.engine, GROUPS, [weights_of_groups(tmp_path)])
    page.goto(f"/jobs/{job.id}")
    groups = page.locator("#entries tbody tr")
    expect(groups).to_have_count(2)
    expect(page.get_by_role("heading", name="The lowest weights")).to_be_visible()
    expect(groups.first).to_contain_text("annotator 7")
    expect(groups.first).to_contain_text("0.1091")
    expect(groups.last).to_contain_text("1,012")
    expect(page.locator("#suspects")).to_be_hidden()
    expect(page.locator("#history")).to_be_hidden()  # a job from before there were snapshots


def test_the_answer_of_a_regularization_job(page: Page, server: Server, tmp_path: Path) -> None:
    job, attempt = running(server.engine, 500, kind="regularization_tuning")
    watch_lambda(attempt, range(0, 501, 50), "features")
    attempt.succeed(STRENGTHS, [strengths(tmp_path)])
    page.goto(f"/jobs/{job.id}")
    entries = page.locator("#entries tbody tr")
    expect(entries).to_have_count(6)
    expect(entries.first).to_contain_text("mean fractal dimension")
    expect(page.locator("#warnings")).to_contain_text(STRENGTHS["warnings"][0])
    expect(page.locator("#suspects")).to_be_hidden()
    expect(page.locator("#noise")).to_be_hidden()
    lines = page.evaluate("document.querySelector('#history .plot').data.map(({ name, y }) => [name, y.at(-1)])")
    assert [name for name, _ in lines] == list(FEATURES)
    assert [value for _, value in lines] == pytest.approx(np.exp(spread(500)), rel=1e-5)
    expect(page.locator("#tiles")).to_contain_text("−6.6 % loss")
    expect(page.locator("#tiles")).to_contain_text("Strengths: 6")


def test_lambda_moves_while_a_job_runs(page: Page, server: Server, tmp_path: Path) -> None:
    job, attempt = running(server.engine, 100, dataset={"id": "sklearn:digits"})
    watch_lambda(attempt, (0, 50, 100))
    page.goto(f"/jobs/{job.id}")
    expect(caption(page, "#history")).to_have_text("1,079 weights at 3 iterations")
    expect(page.get_by_role("heading", name="The lowest weights so far")).to_be_visible()
    first = page.locator("#entries tbody tr").first
    expect(first.get_by_role("img")).to_be_visible()  # digits are images
    lit = "canvas => canvas.getContext('2d').getImageData(0, 0, 8, 8).data.filter((value, at) => at % 4 < 3 && value)"
    assert len(first.locator("canvas").evaluate(lit)) > 20
    attempt.record(curve(101, 150))
    watch_lambda(attempt, (150,))
    expect(caption(page, "#history")).to_have_text("1,079 weights at 4 iterations")
    median = page.evaluate("document.querySelector('#history .plot').data.at(-1).y.at(-1)")
    assert median == pytest.approx(float(np.median(1 / (1 + np.exp(-drift(150))))), rel=1e-5)
    page.get_by_role("button", name="Highest").click()
    expect(page.get_by_role("heading", name="The highest weights so far")).to_be_visible()
    highest = 1 / (1 + np.exp(-drift(150).max()))
    expect(first).to_contain_text(f"{highest:.4f}")
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#entries tbody tr")).to_have_count(50)
    attempt.succeed(RESULT, [weights_of_rows(tmp_path)])
    expect(page.locator("#histogram-title")).to_have_text("λ of the result")
    page.locator("#histogram summary").click()
    expect(page.locator("#histogram .data tbody tr")).to_have_count(32)


def test_every_value_of_a_running_job_is_paged(page: Page, server: Server, watch: Watch, tmp_path: Path) -> None:
    job, attempt = running(server.engine, 100, dataset={"id": "sklearn:digits"})
    watch_lambda(attempt, (0, 100))
    page.goto(f"/jobs/{job.id}")
    about, place = page.locator("#entries-about"), page.locator("#place")
    rows = page.locator("#entries tbody tr")
    page.get_by_role("button", name="Page through all 1,079").click()
    expect(about).to_contain_text("after the first checkpoint")
    expect(rows).to_have_count(10)
    watch.forgive("409")
    attempt.checkpoint(checkpoint(tmp_path, 100))
    page.get_by_role("button", name="Back to the newest").click()
    page.get_by_role("button", name="Page through all 1,079").click()
    expect(place).to_have_text("1 to 50 of 1,079")
    expect(about).to_contain_text("After iteration 100, the newest checkpoint")
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()
    attempt.record(curve(101, 200))
    watch_lambda(attempt, (200,))
    attempt.checkpoint(checkpoint(tmp_path, 200))
    expect(caption(page, "#histogram")).to_contain_text("after iteration 200")  # the rest of the page goes on
    page.get_by_role("button", name="Next").click()
    expect(place).to_have_text("51 to 100 of 1,079")
    wanted = np.sort(drift(100))[50:100]
    shown = [float(cell.replace("−", "-")) for cell in rows.locator("td:last-child").all_inner_texts()]
    assert shown == pytest.approx(wanted, abs=1e-4)
    page.get_by_role("button", name="Previous").click()
    expect(place).to_have_text("1 to 50 of 1,079")
    expect(about).to_contain_text("After iteration 100")
    attempt.checkpoint(checkpoint(tmp_path, 300))
    page.get_by_role("button", name="Next").click()
    expect(about).to_contain_text("After iteration 100")
    page.get_by_role("button", name="Next").click()
    expect(about).to_contain_text("The job has a newer checkpoint")
    watch.forgive("410")
    expect(about).to_contain_text("After iteration 300")
    expect(place).to_have_text("1 to 50 of 1,079")
    page.get_by_role("button", name="Highest").click()
    expect(page.get_by_role("heading", name="All weights, the highest first")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="All weights, the highest first")).to_be_visible()
    attempt.succeed(RESULT, [weights_of_rows(tmp_path)])
    expect(about).to_have_text("Of the result.")
    for _ in range(21):
        page.get_by_role("button", name="Next").click()
    expect(place).to_have_text("1,051 to 1,079 of 1,079")
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("button", name="Only the first").click()
    expect(rows).to_have_count(10)


def test_suspects_that_are_no_training_rows_have_their_columns_too(page: Page, server: Server, tmp_path: Path) -> None:
    count = len(RESULT["suspects"])
    parts = ["train"] * (count - 3) + ["validation", "validation", "selection"]
    wrong = {"expected": 20, "low": 10, "high": 30, "rows": 1436, "suspect_above": 0.5}
    rows = ranked_rows(tmp_path, part=parts, town=["Oslo"] * count)
    job = succeeded(server.engine, RESULT | {"wrong_rows": wrong}, [rows])
    page.goto(f"/jobs/{job.id}")
    page.locator("#all-suspects").click()
    expect(page.locator("#suspects td.own")).to_have_text(["Oslo"] * count)
    with page.expect_download() as download:
        page.get_by_role("link", name="All rows").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 1 + count


def test_a_noise_matrix_is_told_in_shares(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 100)
    for iteration, shares in ((0, (0.02, 0.1)), (100, (0.01, 0.25))):
        lam = np.log(np.array(shares) / (1 - np.array(shares)))
        take_lambda(attempt, iteration, lam, {"noise matrix": 2}, "logistic")
    page.goto(f"/jobs/{job.id}")
    tile = page.locator("#tiles .tile", has_text="Noise matrix")
    expect(tile).to_contain_text("25.0 %")
    expect(tile).not_to_contain_text("½")
    expect(page.get_by_role("heading", name="The highest shares so far")).to_be_visible()
    expect(page.locator("#entries-about")).to_contain_text("the share that was labelled b")
    tile.get_by_role("link", name="Noise matrix").click()
    expect(page.locator("#noise-matrix")).to_be_visible()


@pytest.mark.parametrize(("start", "said"), [((0.8, 0.8), "all started at 0.8"), ((0.3, 0.8), "now 0.4 to 0.6")])
def test_where_weights_started_is_said_where_it_was_one_place(
    page: Page, server: Server, start: tuple[float, float], said: str
) -> None:
    job, attempt = running(server.engine, 100)
    for iteration, weights in ((0, start), (100, (0.4, 0.6))):
        lam = np.log(np.array(weights) / (1 - np.array(weights)))
        take_lambda(attempt, iteration, lam, {"opinions": 2}, "logistic")
    page.goto(f"/jobs/{job.id}")
    tile = page.locator("#tiles .tile", has_text="Weights of 2 opinions")
    expect(tile).to_contain_text(said)
    expect(tile.locator(".under")).to_contain_text("now 0.4 to 0.6")
    assert ("started" in tile.inner_text()) == (start[0] == start[1])


def test_a_job_at_a_glance(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 500)
    watch_lambda(attempt, (0, 500))
    page.goto(f"/jobs/{job.id}")
    tiles = page.locator("#tiles")
    expect(tiles).to_contain_text("120 it/s")  # by the solver's clock: this job was played within a moment
    expect(tiles).to_contain_text("settled")
    expect(tiles).to_contain_text("262 × smaller than at the start")
    expect(tiles).to_contain_text("to be trusted")
    expect(tiles).to_contain_text("Weights of 1,079 rows")
    below = int((drift(500) < 0).sum())
    expect(tiles).to_contain_text(f"{below} below ½")
    expect(tiles).to_contain_text("known at the end")
    expect(caption(page, "#certificate")).to_have_text(
        "checked at 10 of 500 points · good up to 1 %, not to be trusted from 10 %"
    )
    levels = page.evaluate(
        "(({ annotations, yaxis }) => [annotations.map(mark => mark.text), yaxis.range])"
        "(document.querySelector('#certificate .plot').layout)"
    )
    assert levels[0] == ["1 %", "10 %"]
    assert levels[1][1] >= -1  # both lines are within the chart
    attempt.succeed(RESULT, [])
    expect(tiles).to_contain_text("+1.39 points")


def test_a_rival_that_is_as_accurate_is_measured_by_its_loss(page: Page, server: Server) -> None:
    tuned, others = RESULT["models"][0], RESULT["models"][1:]
    started = others[1] | {"label": "λ as it started", "test_score": tuned["test_score"], "test_loss": 0.2343}
    job = succeeded(server.engine, RESULT | {"models": [tuned, started, others[0]]})
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#tiles")).to_contain_text("−20.0 % loss")
    expect(page.locator("#tiles")).to_contain_text("95.56 %, as accurate: λ as it started")
    expect(page.locator("#models")).to_contain_text("λ as it started")


def test_an_error_of_the_hypergradient_that_is_too_large_is_said(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 40)
    rows = curve(41, 60)
    rows[5]["fd_relative_error"] = 0.4
    attempt.record(rows)
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#tiles")).to_contain_text("not to be trusted")
    expect(page.locator("#tiles")).to_contain_text("40.00 %")


def test_the_error_after_lambda_has_settled_is_not_held_against_a_job(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 40)
    rows = curve(41, 60)
    rows[2]["fd_relative_error"] = 0.002
    rows[5] |= {"fd_relative_error": 0.4, "hypergradient_norm": 1e-9}
    attempt.record(rows)
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#tiles")).to_contain_text("≤ 0.20 %to be trusted · relative, the largest before λ settled")


@pytest.mark.parametrize(
    ("solver", "said"),
    [({}, "checked about ten times in a run"), ({"certify_every": 0}, "not checked: certify_every: 100")],
)
def test_before_the_first_certificate_the_page_says_when_there_is_one(
    page: Page, server: Server, solver: dict[str, Any], said: str
) -> None:
    job, _ = running(server.engine, 20, solver=solver)
    page.goto(f"/jobs/{job.id}")
    expect(caption(page, "#losses")).to_have_text("20 points")
    expect(page.locator("#tiles")).to_contain_text(said)
    expect(page.locator("#certificate")).to_be_hidden()


def test_a_lost_worker_is_said(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 5, max_attempts=1)
    attempt.lose(JobError(reason="worker_lost", message="No sign of worker-1 for 60 s.", remedy="Look at it; retry."))
    page.goto(f"/jobs/{job.id}")
    alert = page.locator("#notice").get_by_role("alert")
    expect(alert).to_contain_text("Worker lost")
    expect(alert).to_contain_text("No sign of worker-1 for 60 s.")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_whoever_is_not_known_is_sent_to_the_login(page: Page, server: Server, watch: Watch) -> None:
    job = submit(server.engine)
    answer = {"type": "/problems/x", "title": "Who are you?", "status": 401, "detail": "x"}
    page.route("**/v1/**", lambda route: route.fulfill(status=401, json=answer))
    page.route("**/login?*", lambda route: route.fulfill(body="<title>Log in</title>", content_type="text/html"))
    page.goto(f"/jobs/{job.id}")
    page.wait_for_url(f"**/login?next=%2Fjobs%2F{job.id}")
    watch.forgive("401")


def test_the_spec_can_be_copied(page: Page, server: Server) -> None:
    job = succeeded(server.engine, RESULT, name="copy me")
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("button", name="YAML").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("kind: data_reweighting\nname: copy me\n")
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_role("button", name="Copied").last).to_be_visible()
    assert f"curl -X POST {server.url}/v1/jobs" in page.evaluate("navigator.clipboard.readText()")


def test_the_data_of_a_chart_as_table_and_file(page: Page, server: Server, tmp_path: Path) -> None:
    job = succeeded(server.engine, RESULT)
    page.goto(f"/jobs/{job.id}")
    page.locator("#norm summary").click()
    expect(page.locator("#norm .data tbody tr")).to_have_count(100)
    expect(page.locator("#norm .data tbody tr").first).to_contain_text("500")
    with page.expect_download() as download:
        page.locator("#norm").get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "norm.csv")
    with (tmp_path / "norm.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["hypergradient_norm"]) for row in rows] == [row["hypergradient_norm"] for row in curve(1, 500)]
    with page.expect_download() as download:
        page.locator("#norm").get_by_role("button", name="PNG").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_the_norm_is_logarithmic_until_asked_otherwise(page: Page, server: Server) -> None:
    job = succeeded(server.engine, RESULT)
    page.goto(f"/jobs/{job.id}")
    button = page.locator("#norm").get_by_role("button", name="Log scale")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(caption(page, "#norm")).to_have_text("500 points")
    axis = "document.querySelector('#norm .plot').layout.yaxis.type"
    assert page.evaluate(axis) == "log"
    button.click()
    assert page.evaluate(axis) == "linear"


def test_a_long_run_is_thinned_openly_and_zooming_shows_every_point(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 0, stop={"iterations": 20_000})
    rows = curve(1, 20_000)
    rows[12_344]["upper_loss"] = 50.0
    for begin in range(0, len(rows), 5000):
        attempt.record(rows[begin : begin + 5000])
    attempt.succeed(RESULT, [])
    page.goto(f"/jobs/{job.id}")
    expect(caption(page, "#losses")).to_contain_text("1,000 of 20,000 points")
    highest = (
        "Math.max(...document.querySelector('#losses .plot').data.flatMap(trace => trace.y.filter(Number.isFinite)))"
    )
    assert page.evaluate(highest) == 50.0  # one iteration of twenty thousand
    page.wait_for_load_state("networkidle")  # what comes later moves the chart
    area = page.locator("#losses .plot .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.60, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.63, middle, steps=5)
    page.mouse.up()
    expect(caption(page, "#losses")).to_contain_text("iterations 1")
    expect(caption(page, "#losses")).not_to_contain_text("of 20,000")
    count, _ = page.evaluate(DRAWN, "#losses")
    assert 400 < count < 1000
    assert page.evaluate(highest) == 50.0
    page.locator("#losses").get_by_role("button", name="Show all").click()
    expect(caption(page, "#losses")).to_contain_text("1,000 of 20,000 points")


def test_the_theme_follows_the_system_and_the_switch(page: Page, server: Server) -> None:
    job = succeeded(server.engine, RESULT)
    background = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    page.goto(f"/jobs/{job.id}")
    dark = page.evaluate(background)
    page.emulate_media(color_scheme="light")
    assert page.evaluate(background) != dark
    for _ in range(2):
        page.get_by_role("button", name="Theme").click()
    assert page.evaluate(background) == dark
    page.reload()
    assert page.evaluate(background) == dark  # kept


def test_an_unknown_job_is_said(page: Page, watch: Watch) -> None:
    page.goto("/jobs/job_0")
    expect(page.get_by_role("heading", name="No such job")).to_be_visible()
    watch.forgive("404")


def test_nothing_is_cut_off_on_a_phone(page: Page, server: Server) -> None:
    job = diverged(server.engine, name="x" * 200, tags=["t" * 64])
    done = succeeded(server.engine, RESULT)
    page.set_viewport_size({"width": 390, "height": 800})
    for job_id in (job.id, done.id):
        page.goto(f"/jobs/{job_id}")
        expect(caption(page, "#norm")).to_contain_text("points")
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_single_point_is_visible(page: Page, server: Server) -> None:
    job, _ = running(server.engine, 1)
    page.goto(f"/jobs/{job.id}")
    expect(caption(page, "#losses")).to_have_text("1 point")
    assert page.locator("#losses .plot .points path").count() >= 1
    assert math.isfinite(page.evaluate("document.querySelector('#losses .plot').data[0].y[0]"))
