"""What the charts of a job run across, and how they treat spikes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.serving import RESULT, Server, curve, running, watch_lambda, weights_of_rows

pytestmark = pytest.mark.browser

PLOT = "document.querySelector('#losses .plot')"
CAPTION = "#losses .caption"


def axis(page: Page, name: str) -> dict[str, Any]:
    return dict(
        page.evaluate(f"(({{ type, title, range }}) => ({{ type, title: title.text, range }}))({PLOT}.layout.{name})")
    )


def test_charts_run_across_log_iterations_or_seconds_and_the_address_holds_it(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 500, stop={"iterations": 600})
    page.goto(f"/jobs/{job.id}")
    expect(page.locator(CAPTION)).to_have_text("500 points")
    across = page.get_by_label("Across")
    across.select_option(label="Iterations, log")
    assert axis(page, "xaxis")["type"] == "log"
    across.select_option(label="Seconds of solving")
    expect(page).to_have_url(f"/jobs/{job.id}?x=seconds")
    assert axis(page, "xaxis")["title"] == "seconds of solving"
    last = f"{PLOT}.data.findLast(trace => trace.name).x.at(-1)"
    assert page.evaluate(last) == pytest.approx(500 * 0.0083)
    attempt.record(curve(501, 520))
    expect(page.locator(CAPTION)).to_have_text("520 points")
    assert page.evaluate(last) == pytest.approx(520 * 0.0083)  # new points have their seconds, too
    page.reload()
    expect(page.locator(CAPTION)).to_have_text("520 points")
    assert axis(page, "xaxis")["title"] == "seconds of solving"
    page.evaluate(
        f"Plotly.relayout({PLOT}, {{'xaxis.range[0]': {100 * 0.0083 - 1e-4}, 'xaxis.range[1]': {200 * 0.0083 + 1e-4}}})"
    )
    expect(page.locator(CAPTION)).to_have_text("101 points · iterations 100 to 200")


def test_lambda_runs_across_the_same_as_the_other_charts(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 500)
    watch_lambda(attempt, range(0, 501, 100))
    attempt.succeed(RESULT | {"best_iteration": 300}, [weights_of_rows(server.settings.data_dir)])
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("#history .caption")).to_contain_text("6 iterations")
    chart = "document.querySelector('#history .plot')"
    line = f"{chart}.data.find(trace => trace.name === 'median').x"
    mark = f"{chart}.layout.shapes[0].x0"
    assert (page.evaluate(line), page.evaluate(mark)) == (list(range(0, 501, 100)), 300)
    across = page.get_by_label("Across")
    across.select_option(label="Iterations, log")
    assert page.evaluate(f"{chart}.layout.xaxis.type") == "log"
    assert page.evaluate(f"{chart}.layout.annotations[0].x") == pytest.approx(math.log10(300))
    across.select_option(label="Seconds of solving")
    assert page.evaluate(f"{chart}.layout.xaxis.title.text") == "seconds of solving"
    assert page.evaluate(line) == pytest.approx([number * 0.0083 for number in range(0, 501, 100)])
    assert page.evaluate(mark) == pytest.approx(300 * 0.0083)


def test_one_of_a_thing_is_said_in_the_singular(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 1)
    watch_lambda(attempt, [0])
    page.goto(f"/jobs/{job.id}")
    expect(page.locator(CAPTION)).to_have_text("1 point")
    expect(page.locator("#history .caption")).to_have_text("1,079 weights at 1 iteration")


def test_a_noisy_line_is_smoothed_and_stays_in_sight(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 0)
    rows = curve(1, 300)
    for row in rows:
        row["upper_loss"] = 1 + 0.5 * (-1) ** int(row["iteration"] or 0)
    attempt.record(rows)
    page.goto(f"/jobs/{job.id}")
    expect(page.locator(CAPTION)).to_have_text("300 points")
    page.get_by_label("Smooth").check()
    expect(page).to_have_url(f"/jobs/{job.id}?smooth=1")
    line = page.evaluate(f"{PLOT}.data.find(trace => trace.name === 'Upper loss').y")
    assert max(line) - min(line) < 0.2  # of 1
    shown = page.evaluate(f"{PLOT}.data.map(trace => Math.max(...trace.y) - Math.min(...trace.y))")
    assert shown[0] == pytest.approx(1.0)  # as it was, faded behind it


def test_a_single_spike_does_not_flatten_the_rest(page: Page, server: Server) -> None:
    job, attempt = running(server.engine, 0)
    rows = curve(1, 500)
    rows[300]["upper_loss"] = 90.0
    attempt.record(rows)
    page.goto(f"/jobs/{job.id}")
    expect(page.locator(CAPTION)).to_contain_text("1 value up to 90.0000 is above the chart: Log shows it")
    assert axis(page, "yaxis")["range"][1] < 5
    assert page.evaluate(f"Math.max(...{PLOT}.data.flatMap(trace => trace.y))") == 90  # it is there, above the chart
    page.locator("#losses").get_by_role("button", name="Log scale").click()
    expect(page.locator(CAPTION)).to_have_text("500 points")
    assert axis(page, "yaxis")["type"] == "log"
