"""A job as a notebook shows it, in each of its states."""

from __future__ import annotations

from typing import Any

from api.examples import JOB
from hposvc.schema.job import JobResource
from hposvc.schema.notebook import job_html
from tests.support.serving import RESULT


def html(**changes: Any) -> str:
    return job_html(JobResource.model_validate(JOB | changes))


def test_a_running_job_shows_how_far_it_is_and_its_curve() -> None:
    text = html()
    assert "<strong>digits with wrong labels</strong> · running · 120 of 500 iterations" in text
    assert "upper loss 0.4127, best 0.4127" in text
    assert 'aria-label="Upper loss from 2.3026 to 0.8113"' in text
    assert '<polyline points="0.0,0.0 80.0,' in text
    assert "160.0,32.0" in text  # the last point is the lowest
    assert "<table>" not in text


def test_values_that_are_not_finite_are_left_out_of_the_curve() -> None:
    lost = {"iteration": [1, 2, 3, 4], "upper_loss": [1.0, "NaN", "Infinity", 0.5]}
    text = html(sparkline=lost)
    assert '<polyline points="0.0,0.0 160.0,32.0"' in text
    assert "<svg" not in html(sparkline={"iteration": [1, 2], "upper_loss": [1.0, "NaN"]})


def test_a_finished_job_shows_what_it_found() -> None:
    text = html(state="succeeded", result=RESULT | {"warnings": ["Few <rows>."], "sentence": "a < b"})
    assert "· succeeded ·" in text
    assert "<p>a &lt; b</p>" in text
    assert "<th>test accuracy</th><th>test loss</th>" in text
    assert "<tr><td>Trusted rows only</td><td>94.17 %</td><td>0.2213</td></tr>" in text
    assert "<p>! Few &lt;rows&gt;.</p>" in text


def test_a_failed_job_shows_why_where_and_what_to_do() -> None:
    error = {"reason": "diverged", "message": "The upper loss is <NaN>.", "remedy": "Lower it.", "iteration": 1120}
    text = html(state="failed", error=error, latest={"upper_loss": "NaN", "hypergradient_norm": "Infinity"})
    assert "· failed ·" in text
    assert "<p>diverged at iteration 1,120: The upper loss is &lt;NaN&gt;. Lower it.</p>" in text
    assert "upper loss NaN, best 0.4127" in text


def test_a_job_that_has_not_begun_has_no_losses() -> None:
    nothing = {"upper_loss": None, "hypergradient_norm": None}
    waiting = {"state": "queued", "name": None, "progress": {"iteration": 0, "iterations": 500}}
    text = html(**waiting, latest=nothing, best={"upper_loss": None, "iteration": None})
    assert "<strong>data_reweighting</strong> · queued · 0 of 500 iterations" in text
    assert "upper loss" not in text
