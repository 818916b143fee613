"""λ over HTTP: of a running job and of an answer, over time; rows of the dataset; several jobs side by side."""

from __future__ import annotations

import base64
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from hposvc import snapshots
from tests.support.problems import problem
from tests.support.serving import (
    RESULT,
    ROWS,
    STRENGTHS,
    Server,
    checkpoint,
    curve,
    diverged,
    drift,
    running,
    spread,
    strengths,
    submit,
    succeeded,
    watch_lambda,
    weights_of_groups,
    weights_of_rows,
)


def test_before_the_first_snapshot_there_is_nothing(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine)
    found = client.get(f"/v1/jobs/{job.id}/hyperparameters").json()
    assert (found["iteration"], found["size"], found["groups"], found["items"]) == (None, 0, [], [])
    history = client.get(f"/v1/jobs/{job.id}/hyperparameters/history").json()
    assert (history["iteration"], history["groups"], history["next_after"]) == ([], [], -1)


def test_a_running_job_shows_its_extremes_and_says_that_the_rest_comes_later(
    client: httpx.Client, server: Server
) -> None:
    job, attempt = running(server.engine, 60)
    watch_lambda(attempt, (0, 30, 60))
    path = f"/v1/jobs/{job.id}/hyperparameters"
    lam = np.sort(drift(60))
    lowest = client.get(path, params={"order": "lowest", "limit": 50}).json()
    assert (lowest["iteration"], lowest["final"], lowest["scale"], lowest["size"]) == (60, False, "logistic", ROWS)
    assert [item["lam"] for item in lowest["items"]] == pytest.approx(lam[:50])
    assert [item["value"] for item in lowest["items"]] == pytest.approx(1 / (1 + np.exp(-lam[:50])))
    assert {"name", "label"} <= lowest["items"][0].keys()
    highest = client.get(path, params={"order": "highest", "limit": 3}).json()
    assert [item["lam"] for item in highest["items"]] == pytest.approx(lam[::-1][:3])
    (group,) = highest["groups"]
    assert group["quantiles"]["lam"] == pytest.approx(np.quantile(lam, snapshots.PROBABILITIES), rel=1e-6)
    assert sum(group["histogram"]["counts"]) == ROWS
    assert client.get(path, params={"limit": 0}).json()["items"] == []
    assert (lowest["complete"], lowest["next_page"]) == (False, None)
    for wanted in ({}, {"order": "lowest", "limit": 51}, {"order": "lowest", "whole": True}):
        detail = problem(client.get(path, params=wanted), 409, "hyperparameters-not-ready")["detail"]
        assert "the first is due after some seconds" in detail
        assert "1,079 values only the 50 lowest" in detail


def pages(client: httpx.Client, path: str, **params: str | int) -> list[dict[str, Any]]:
    """Every page from the first on."""
    found = [client.get(path, params=params).json()]
    while found[-1]["next_page"]:
        found.append(client.get(path, params=params | {"page": found[-1]["next_page"]}).json())
    return found


def test_all_values_of_a_running_job_are_paged_while_it_goes_on(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    job, attempt = running(server.engine, 100)
    watch_lambda(attempt, (0, 100))
    attempt.checkpoint(checkpoint(tmp_path, 100))
    path = f"/v1/jobs/{job.id}/hyperparameters"
    first = client.get(path, params={"limit": 400}).json()  # as they came: no snapshot has that
    attempt.record(curve(101, 230))
    watch_lambda(attempt, (200, 230))
    attempt.checkpoint(checkpoint(tmp_path, 200))
    second = client.get(path, params={"limit": 400, "page": first["next_page"]}).json()
    third = client.get(path, params={"limit": 400, "page": second["next_page"]}).json()
    assert [page["iteration"] for page in (first, second, third)] == [100, 100, 100]
    assert third["next_page"] is None
    lam = [item["lam"] for page in (first, second, third) for item in page["items"]]
    assert lam == pytest.approx(drift(100))  # not one of another iteration
    assert first["groups"][0]["quantiles"]["lam"] == pytest.approx(np.quantile(drift(100), snapshots.PROBABILITIES))
    assert first["items"][1] == second["items"][0] | {"name": "397", "label": "7"} | {
        name: first["items"][1][name] for name in ("lam", "value")
    }
    for order, expected in (("lowest", np.sort(drift(200))), ("highest", np.sort(drift(200))[::-1])):
        found = pages(client, path, order=order, whole=True, limit=1000)
        assert [item["lam"] for page in found for item in page["items"]] == pytest.approx(expected)
        assert {(page["iteration"], page["final"], page["complete"]) for page in found} == {(200, False, True)}
    newest = client.get(path, params={"order": "lowest", "limit": 10}).json()
    assert (newest["iteration"], newest["complete"]) == (230, False)
    attempt.checkpoint(checkpoint(tmp_path, 300))
    detail = problem(
        client.get(path, params={"limit": 400, "page": first["next_page"]}), 410, "hyperparameters-moved-on"
    )["detail"]
    assert "has gone on since the first page" in detail
    assert client.get(path, params={"limit": 0}).json()["items"] == []


def test_pages_of_a_job_that_began_again_are_not_mixed_with_those_from_before(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    job, attempt = running(server.engine, 100)
    watch_lambda(attempt, (0, 100))
    before = checkpoint(tmp_path, 100)
    attempt.checkpoint(before)
    path = f"/v1/jobs/{job.id}/hyperparameters"
    first = client.get(path, params={"limit": 400}).json()
    again = checkpoint(tmp_path, 90)  # other values, recorded for the same iteration
    attempt.checkpoint(replace(again, name=before.name, iteration=100))
    problem(client.get(path, params={"limit": 400, "page": first["next_page"]}), 410, "hyperparameters-moved-on")
    fresh = client.get(path, params={"limit": 1}).json()
    assert fresh["items"][0]["lam"] == pytest.approx(drift(90)[0])


def test_few_values_are_paged_as_long_as_their_snapshot_is_the_newest(client: httpx.Client, server: Server) -> None:
    job, attempt = running(server.engine, 60, kind="regularization_tuning")
    watch_lambda(attempt, (0, 60), "features")
    path = f"/v1/jobs/{job.id}/hyperparameters"
    found = pages(client, path, limit=4)
    assert [item["lam"] for page in found for item in page["items"]] == pytest.approx(spread(60))
    assert all(page["complete"] for page in found)
    watch_lambda(attempt, (70,), "features")
    problem(client.get(path, params={"limit": 4, "page": found[0]["next_page"]}), 410, "hyperparameters-moved-on")


def test_a_token_that_is_not_of_this_service_is_refused(client: httpx.Client, server: Server, tmp_path: Path) -> None:
    job = succeeded(server.engine, RESULT, [weights_of_rows(tmp_path)])
    path = f"/v1/jobs/{job.id}/hyperparameters"
    token = client.get(path, params={"order": "lowest"}).json()["next_page"]
    made_up = [
        base64.urlsafe_b64encode(text.encode()).decode() for text in ("[]", '["", "given", 1]', '["a", "given", -1]')
    ]
    for page in ("x", "é", *made_up):
        problem(client.get(path, params={"page": page}), 422, "invalid-parameter")
    detail = problem(client.get(path, params={"page": token}), 422, "invalid-parameter")["detail"]
    assert "belongs to order=lowest" in detail
    other = succeeded(server.engine, RESULT, [weights_of_groups(tmp_path)])
    wrong = client.get(f"/v1/jobs/{other.id}/hyperparameters", params={"order": "lowest", "page": token})
    problem(wrong, 410, "hyperparameters-moved-on")


def test_the_history_has_a_tail(client: httpx.Client, server: Server) -> None:
    job, attempt = running(server.engine, 60)
    watch_lambda(attempt, (0, 30, 60))
    path = f"/v1/jobs/{job.id}/hyperparameters/history"
    whole = client.get(path).json()
    assert whole["iteration"] == [0, 30, 60]
    (group,) = whole["groups"]
    medians = [float(np.median(drift(iteration))) for iteration in (0, 30, 60)]
    assert group["lam"][whole["probabilities"].index(0.5)] == pytest.approx(medians, rel=1e-6)
    assert whole["values"] is None
    tail = client.get(path, params={"after": 30}).json()
    assert (tail["iteration"], tail["next_after"]) == ([60], 60)
    assert tail["groups"][0]["lam"] == [[line[-1]] for line in group["lam"]]


def test_few_hyperparameters_are_kept_one_by_one(client: httpx.Client, server: Server) -> None:
    job, attempt = running(server.engine, 60, kind="regularization_tuning")
    watch_lambda(attempt, (0, 60), "features")
    history = client.get(f"/v1/jobs/{job.id}/hyperparameters/history").json()
    values = np.exp([spread(0), spread(60)]).T
    assert np.array(history["values"]) == pytest.approx(values, rel=1e-5)
    found = client.get(f"/v1/jobs/{job.id}/hyperparameters").json()
    assert found["scale"] == "log"
    assert [item["name"] for item in found["items"]] == history["names"]
    assert [item["value"] for item in found["items"]] == pytest.approx(np.exp(spread(60)))


def test_the_answer_is_paged_in_any_order(client: httpx.Client, server: Server, tmp_path: Path) -> None:
    job = succeeded(server.engine, RESULT, [weights_of_rows(tmp_path)])
    path = f"/v1/jobs/{job.id}/hyperparameters"
    lam = drift(500)
    for order, expected in (("given", lam), ("lowest", np.sort(lam)), ("highest", np.sort(lam)[::-1])):
        found = pages(client, path, order=order, limit=400)
        assert [item["lam"] for page in found for item in page["items"]] == pytest.approx(expected)
        assert {(page["final"], page["iteration"]) for page in found} == {(True, RESULT["best_iteration"])}


def test_a_file_that_is_gone_is_said(client: httpx.Client, server: Server, tmp_path: Path) -> None:
    file = weights_of_rows(tmp_path)
    job = succeeded(server.engine, RESULT, [file])
    Path(file.url.removeprefix("file://")).unlink()
    problem(client.get(f"/v1/jobs/{job.id}/hyperparameters"), 410, "artifact-missing")
    damaged, attempt = running(server.engine, 100)
    watch_lambda(attempt, (0, 100))
    file = checkpoint(tmp_path, 100)
    attempt.checkpoint(file)
    for content in (b"", b"\xff" * 64, b"\2" + bytes(7) + b"{}"):
        Path(file.url.removeprefix("file://")).write_bytes(content)
        problem(client.get(f"/v1/jobs/{damaged.id}/hyperparameters"), 410, "artifact-missing")


def test_rows_are_images_where_the_dataset_holds_them(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine, dataset={"id": "sklearn:digits"})
    found = client.get(f"/v1/jobs/{job.id}/rows/features", params={"id": ["1154", "3", "no row"]}).json()
    assert [(row["id"], row["label"]) for row in found["items"]] == [("1154", "8"), ("3", "3")]
    assert found["image"] == {"height": 8, "width": 8, "channels": 1, "low": 0.0, "high": 16.0}
    assert len(found["items"][0]["values"]) == 64
    flowers = submit(server.engine)
    plain = client.get(f"/v1/jobs/{flowers.id}/rows/features", params={"id": "0"}).json()
    assert plain["image"] is None
    assert plain["items"] == [{"id": "0", "label": "setosa", "values": [5.1, 3.5, 1.4, 0.2]}]
    problem(client.get(f"/v1/jobs/{job.id}/rows/features"), 422, "invalid-parameter")
    problem(client.get(f"/v1/jobs/{job.id}/rows/features", params={"id": ["1"] * 101}), 422, "invalid-parameter")


def test_whoever_asks_for_an_unknown_job_is_told(client: httpx.Client) -> None:
    for rest in ("/hyperparameters", "/hyperparameters/history", "/rows/features?id=1"):
        problem(client.get(f"/v1/jobs/job_0{rest}"), 404, "job-not-found")
    problem(client.get("/v1/compare?jobs=job_0"), 404, "job-not-found")


def test_jobs_are_compared(client: httpx.Client, server: Server, tmp_path: Path) -> None:
    slow, _ = running(server.engine, 80, name="slow", solver={"upper": {"learning_rate": 0.01}})
    fast = succeeded(server.engine, RESULT, name="fast", solver={"upper": {"learning_rate": 0.1}})
    broken = diverged(server.engine, at=60, solver={"upper": {"learning_rate": 9}})
    ids = f"{slow.id},{fast.id},{broken.id}"
    found = client.get("/v1/compare", params={"jobs": ids}).json()
    assert [job["id"] for job in found["jobs"]] == ids.split(",")
    assert found["differences"] == [{"field": "solver.upper.learning_rate", "values": [0.01, 0.1, 9.0]}]
    first, second, third = found["jobs"]
    assert first["value"] == [row["upper_loss"] for row in curve(1, 80)]
    assert first["seconds"] == [row["seconds"] for row in curve(1, 80)]
    assert first["result"] is None
    assert second["result"]["tuned"]["test_score"] == RESULT["models"][0]["test_score"]
    assert second["result"]["best_rival"]["name"] == "trusted_only"
    assert third["value"][-1] == "NaN"
    assert third["error"]["reason"] == "diverged"
    near = client.get("/v1/compare", params={"jobs": fast.id, "metric": "lower_loss", "from": 11, "to": 20}).json()
    assert near["jobs"][0]["iteration"] == list(range(11, 21))
    folded = client.get("/v1/compare", params={"jobs": fast.id, "max_points": 50}).json()["jobs"][0]
    assert (len(folded["iteration"]), folded["total"], folded["downsampled"]) == (50, 500, True)
    assert max(folded["max"]) == max(row["upper_loss"] or 0 for row in curve(1, 500))
    other = succeeded(
        server.engine,
        STRENGTHS,
        [strengths(tmp_path)],
        kind="regularization_tuning",
        solver={"upper": {"learning_rate": 0.1}},
    )
    fields = client.get("/v1/compare", params={"jobs": f"{fast.id},{other.id}"}).json()["differences"]
    assert {difference["field"] for difference in fields} == {"kind"}
    (judged,) = client.get("/v1/compare", params={"jobs": other.id}).json()["jobs"]
    assert judged["result"]["best_rival"]["name"] == "single_strength"  # by test loss


def test_too_many_jobs_or_none_are_refused(client: httpx.Client) -> None:
    for jobs in ("", ",", ",".join(f"job_{number}" for number in range(9))):
        assert problem(client.get("/v1/compare", params={"jobs": jobs}), 422, "invalid-parameter")["errors"]


def test_a_spike_is_seen_at_every_zoom_and_blocks_hide_nothing(client: httpx.Client, server: Server) -> None:
    total = 12_345
    job, attempt = running(server.engine, 0, stop={"iterations": total})
    rows = curve(1, total)
    rows[8_000]["upper_loss"] = 50.0  # iteration 8001
    rows[9_999]["lower_loss"] = math.nan  # iteration 10,000
    for begin in range(0, total, 1234):
        attempt.record(rows[begin : begin + 1234])
    for start, stop, points in (
        (None, None, 100),
        (None, None, 7),
        (7_001, 12_345, 20),
        (7_950, 8_050, 10),
        (8_001, 8_001, 5),
        (1, 12_299, 45),
    ):
        params = {"max_points": points} | ({} if start is None else {"from": start, "to": stop})
        found = client.get(f"/v1/jobs/{job.id}/iterations", params=params).json()
        inside = rows[(start or 1) - 1 : stop or total]
        assert len(found["iteration"]) <= points
        assert found["iteration"][-1] == inside[-1]["iteration"]
        if not found["downsampled"]:
            assert 50.0 in found["upper_loss"]
            continue
        buckets = found["buckets"]
        assert buckets["first_iteration"][0] == inside[0]["iteration"]
        assert sum(buckets["count"]) == len(inside)
        for place, (first, last) in enumerate(zip(buckets["first_iteration"], found["iteration"], strict=True)):
            values = [row["upper_loss"] for row in rows[first - 1 : last]]
            assert buckets["count"][place] == len(values)
            assert (buckets["upper_loss"]["min"][place], buckets["upper_loss"]["max"][place]) == (
                min(value for value in values if value is not None),
                max(value for value in values if value is not None),
            )
        assert max(buckets["upper_loss"]["max"]) == 50.0
        broken = [place for place, counted in enumerate(buckets["lower_loss"]["nonfinite"]) if counted]
        assert len(broken) == ((stop or total) >= 10_000)
