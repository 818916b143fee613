"""Reading jobs: lists and their pages, one job, its iterations whole and folded, its history and files."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from hposvc.fleet.workers import Fleet, WorkerReport
from hposvc.jobs.queries import METRICS
from hposvc.jobs.stored_file import StoredFile
from tests.support.problems import problem
from tests.support.reviewing import judged_job
from tests.support.serving import RESULT, Server, curve, diverged, running, submit, succeeded


def names(answer: httpx.Response) -> list[str]:
    return [job["name"] for job in answer.json()["items"]]


def test_pages_show_every_job_once_newest_first_while_new_ones_arrive(client: httpx.Client, server: Server) -> None:
    for number in range(7):
        submit(server.engine, name=f"job {number}")
    page = client.get("/v1/jobs", params={"limit": 3}).json()
    seen = page["items"]
    submit(server.engine, name="late")  # does not shift what follows
    while page["next_page"]:
        page = client.get("/v1/jobs", params={"limit": 3, "page": page["next_page"]}).json()
        seen += page["items"]
    assert [job["name"] for job in seen] == [f"job {number}" for number in reversed(range(7))]


def test_a_page_token_of_somebody_else_is_refused(client: httpx.Client) -> None:
    for token in ("x", "bnVsbA==", "W10=", "é", "WyJhIiwgMV0="):
        document = problem(client.get("/v1/jobs", params={"page": token}), 422, "invalid-parameter")
        assert document["errors"][0]["field"] == "page"


def test_filters(client: httpx.Client, server: Server) -> None:
    submit(server.engine, name="Alpha 100%", tags=["red", "blue"])
    submit(server.engine, name="beta", tags=["blue"], kind="regularization_tuning")
    running(server.engine, 1, name="gamma")

    def found(**filters: str) -> list[str]:
        return names(client.get("/v1/jobs", params=filters))

    assert found(state="running") == ["gamma"]
    assert found(kind="regularization_tuning") == ["beta"]
    assert found(tag="blue") == ["beta", "Alpha 100%"]
    assert found(tag="blu") == []
    assert found(text="ALPHA") == ["Alpha 100%"]
    assert found(text="0%") == ["Alpha 100%"]
    assert found(text="%") == ["Alpha 100%"]  # no wildcard
    assert found(text="beta", tag="red") == []


def test_bad_parameters_are_named(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine)
    for path, field in (
        ("/v1/jobs?limit=0", "limit"),
        ("/v1/jobs?limit=many", "limit"),
        ("/v1/jobs?state=dancing", "state"),
        ("/v1/jobs?kind=x", "kind"),
        ("/v1/jobs?text=a%00b", "text"),
        ("/v1/jobs?tag=a%00b", "tag"),
        (f"/v1/jobs/{job.id}/iterations?after=-2", "after"),
        (f"/v1/jobs/{job.id}/iterations?limit=100000000", "limit"),
        (f"/v1/jobs/{job.id}/iterations?max_points=0", "max_points"),
        (f"/v1/jobs/{job.id}/iterations?from={10**40}", "from"),
        (f"/v1/jobs/{job.id}/events?after=x", "after"),
    ):
        assert problem(client.get(path), 422, "invalid-parameter")["errors"][0]["field"] == field


def test_an_unknown_job_is_not_found_in_every_call(client: httpx.Client) -> None:
    for job_id in ("job_0", "%F0%9F%92%A3", "x" * 64):
        for rest in ("", "/iterations", "/iterations?max_points=5", "/events", "/artifacts", "/artifacts/a", "/spec"):
            problem(client.get(f"/v1/jobs/{job_id}{rest}"), 404, "job-not-found")
        for action in ("cancel", "pause", "resume", "retry"):
            problem(client.post(f"/v1/jobs/{job_id}/{action}"), 404, "job-not-found")


def test_an_unchanged_job_is_not_sent_again(client: httpx.Client, server: Server) -> None:
    job, attempt = running(server.engine, 3)
    for path in (f"/v1/jobs/{job.id}", "/v1/jobs"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(path, headers={"If-None-Match": f'W/{first.headers["ETag"]}, "x"'}).status_code == 304
    tags = {path: client.get(path).headers["ETag"] for path in (f"/v1/jobs/{job.id}", "/v1/jobs")}
    attempt.record(curve(4, 5))
    for path, tag in tags.items():
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_running_job_tells_its_progress(client: httpx.Client, server: Server) -> None:
    job, _ = running(server.engine, 40)
    shown = client.get(f"/v1/jobs/{job.id}").json()
    rows = curve(1, 40)
    assert shown["state"] == "running"
    assert shown["worker"] == "worker-1"
    assert shown["progress"] == {"iteration": 40, "iterations": 500}
    assert shown["latest"]["upper_loss"] == rows[-1]["upper_loss"]
    assert shown["best"]["upper_loss"] == min(row["upper_loss"] or 0 for row in rows)
    assert shown["started_at"]
    assert shown["finished_at"] is None


def test_a_result_is_on_the_job_and_not_in_the_list(client: httpx.Client, server: Server) -> None:
    job = succeeded(server.engine, RESULT)
    shown = client.get(f"/v1/jobs/{job.id}").json()
    assert (shown["state"], shown["result"]) == ("succeeded", RESULT)
    assert client.get("/v1/jobs").json()["items"][0]["result"] is None


def test_the_tail_of_the_iterations_leaves_nothing_out(client: httpx.Client, server: Server) -> None:
    job, attempt = running(server.engine, 25)
    path = f"/v1/jobs/{job.id}/iterations"
    first = client.get(path, params={"limit": 10}).json()
    second = client.get(path, params={"after": first["next_after"]}).json()
    attempt.record(curve(26, 30))
    third = client.get(path, params={"after": second["next_after"]}).json()
    last = client.get(path, params={"after": third["next_after"]}).json()
    assert [*first["iteration"], *second["iteration"], *third["iteration"]] == list(range(1, 31))
    assert (last["iteration"], last["next_after"], last["total"]) == ([], 30, 30)
    rows = curve(1, 30)
    for name in METRICS:
        assert first[name] + second[name] + third[name] == [row[name] for row in rows]


def test_numbers_that_are_not_finite_have_names(client: httpx.Client, server: Server) -> None:
    job = diverged(server.engine, at=50)
    shown = client.get(f"/v1/jobs/{job.id}").json()
    assert shown["latest"] == {"upper_loss": "NaN", "hypergradient_norm": "Infinity"}
    assert shown["error"]["reason"] == "diverged"
    assert shown["error"]["iteration"] == 50
    columns = client.get(f"/v1/jobs/{job.id}/iterations").json()
    assert columns["upper_loss"][-1] == "NaN"
    assert all(isinstance(value, float) for value in columns["upper_loss"][:-1])


def folded(rows: list[dict[str, Any]], start: int, width: int, name: str) -> dict[str, list[Any]]:
    """The buckets of one metric, the slow and obvious way."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["iteration"] - start) // width, []).append(row)

    def over(choose: Any, group: list[dict[str, Any]]) -> float | None:
        finite = [row[name] for row in group if row[name] is not None and math.isfinite(row[name])]
        return choose(finite) if finite else None

    return {
        "first": [group[0][name] for group in groups.values()],
        "min": [over(min, group) for group in groups.values()],
        "max": [over(max, group) for group in groups.values()],
        "nonfinite": [
            sum(row[name] is not None and not math.isfinite(row[name]) for row in group) for group in groups.values()
        ],
    }


def test_a_long_run_is_folded_without_losing_a_spike(client: httpx.Client, server: Server) -> None:
    job, attempt = running(server.engine, 0, stop={"iterations": 5000})
    rows = curve(1, 2503)
    rows[1234]["upper_loss"] = 77.0
    rows[2000]["upper_loss"] = math.nan
    rows[2001]["hypergradient_norm"] = -math.inf
    for begin in range(0, len(rows), 500):
        attempt.record(rows[begin : begin + 500])
    path = f"/v1/jobs/{job.id}/iterations"
    whole = client.get(path, params={"max_points": 100}).json()
    width = math.ceil(2503 / 100)
    assert whole["downsampled"] is True
    assert (whole["total"], whole["next_after"]) == (2503, 2503)
    assert whole["iteration"] == [min(low + width - 1, 2503) for low in range(1, 2504, width)]
    assert whole["buckets"]["first_iteration"] == list(range(1, 2504, width))
    assert sum(whole["buckets"]["count"]) == 2503
    for name in ("upper_loss", "hypergradient_norm", "lower_loss", "selection_loss"):
        assert whole["buckets"][name] == folded(rows, 1, width, name)
    assert max(whole["buckets"]["upper_loss"]["max"]) == 77.0

    near = client.get(path, params={"max_points": 100, "from": 1200, "to": 1260}).json()
    assert near["downsampled"] is False
    assert near["buckets"] is None
    assert near["iteration"] == list(range(1200, 1261))
    assert near["upper_loss"][35] == 77.0
    assert near["total"] == 2503
    stretch = client.get(path, params={"max_points": 10, "from": 2000}).json()
    assert stretch["buckets"]["first_iteration"][0] == 2000
    assert stretch["iteration"][-1] == 2503
    beyond = client.get(path, params={"from": 9000}).json()
    assert (beyond["iteration"], beyond["total"]) == ([], 2503)


def test_a_job_without_iterations_has_empty_columns(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine)
    for query in ("", "?max_points=10"):
        columns = client.get(f"/v1/jobs/{job.id}/iterations{query}").json()
        assert (columns["iteration"], columns["upper_loss"], columns["total"], columns["next_after"]) == ([], [], 0, -1)


def test_the_history_of_a_job(client: httpx.Client, server: Server) -> None:
    job, attempt = running(server.engine, 1)
    attempt.note("warning", "something to know")
    events = client.get(f"/v1/jobs/{job.id}/events").json()
    assert [event["seq"] for event in events["items"]] == [1, 2, 3, 4]
    assert [event["data"].get("state") for event in events["items"]] == ["queued", "starting", "running", None]
    assert events["items"][3]["data"]["message"] == "something to know"
    assert client.get(f"/v1/jobs/{job.id}/events", params={"after": events["next_after"]}).json()["items"] == []


def test_actions_change_the_state_and_may_be_repeated(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine)
    for action, state in (
        ("pause", "paused"),
        ("pause", "paused"),
        ("resume", "queued"),
        ("cancel", "cancelled"),
        ("cancel", "cancelled"),
        ("retry", "queued"),
    ):
        answer = client.post(f"/v1/jobs/{job.id}/{action}")
        assert (answer.status_code, answer.json()["state"]) == (202, state)
    done = succeeded(server.engine, RESULT)
    for action in ("cancel", "pause", "resume", "retry"):
        document = problem(client.post(f"/v1/jobs/{done.id}/{action}"), 409, "illegal-transition")
        assert document["state"] == "succeeded"


def test_files_are_listed_and_downloaded(client: httpx.Client, server: Server, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40
    stored = tmp_path / "store" / "report.json"
    stored.parent.mkdir()
    stored.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    job = succeeded(server.engine, RESULT, [StoredFile("report.json", "report", len(content), digest, stored.as_uri())])
    listed = client.get(f"/v1/jobs/{job.id}/artifacts").json()["items"]
    assert [(item["name"], item["size"], item["sha256"]) for item in listed] == [("report.json", len(content), digest)]
    whole = client.get(listed[0]["url"])
    assert whole.content == content
    assert 'filename="report.json"' in whole.headers["Content-Disposition"]
    part = client.get(listed[0]["url"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])
    problem(client.get(f"/v1/jobs/{job.id}/artifacts/..%2f..%2fsecret"), 404, "not-found")
    problem(client.get(f"/v1/jobs/{job.id}/artifacts/model.safetensors"), 404, "artifact-not-found")
    stored.unlink()
    problem(client.get(listed[0]["url"]), 410, "artifact-missing")


def test_workers_say_what_they_do(client: httpx.Client, server: Server) -> None:
    assert client.get("/v1/workers").json() == {"items": []}
    report = WorkerReport(
        id="w1", host="h", device="cpu", versions={"jittor": "1"}, state="compiling", progress_message="63 of 150"
    )
    Fleet(server.engine).beat(report)
    worker = client.get("/v1/workers").json()["items"][0]
    assert (worker["id"], worker["state"], worker["progress_message"]) == ("w1", "compiling", "63 of 150")


def test_every_listed_dataset_can_be_used(client: httpx.Client) -> None:
    items = {item["id"]: item for item in client.get("/v1/datasets").json()["items"]}
    assert (items["sklearn:digits"]["rows"], items["sklearn:digits"]["features"]) == (1797, 64)
    assert items["sklearn:diabetes"]["task"] == "regression"
    assert items["sklearn:diabetes"]["classes"] is None
    for dataset_id in items:
        spec = {"kind": "regularization_tuning", "dataset": {"id": dataset_id}}
        assert client.post("/v1/jobs?dry_run=true", json=spec).status_code == 200


def test_rows_come_in_pages_and_in_two_orders(client: httpx.Client, server: Server) -> None:
    path = f"/v1/jobs/{judged_job(server, client)}/rows"

    def read(**parameters: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = client.get(path, params={"format": "json", **parameters}).json()["items"]
        return items

    for order in ("suspicious", "worth_checking"):
        whole = read(order=order)
        assert len(whole) == 60
        pages = [row for offset in range(0, 80, 20) for row in read(order=order, limit=20, offset=offset)]
        assert pages == whole
        assert read(order=order, part="test") == []
        wrong = np.array([row["probability_wrong"] for row in whole])
        told = wrong if order == "suspicious" else wrong * (1 - wrong)
        assert (np.diff(told) <= 1e-12).all()
