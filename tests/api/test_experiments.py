"""Experiments over HTTP and by the client: the same conventions as jobs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from hposvc.client import Client, ProblemError
from hposvc.jobs import queries
from tests.support.commands import until
from tests.support.experimenting import DECAY, JOB, REPEATS, SEARCH, by_decay
from tests.support.problems import problem
from tests.support.serving import Server, Worker, curve

SPEC: dict[str, Any] = {"name": "decay", "job": JOB, "plan": SEARCH | {"jobs": 4}, "at_once": 2}
URL = "/v1/experiments"


def work(engine: sa.Engine, experiment_id: str) -> None:
    """Compute the jobs of an experiment that wait."""
    for job in queries.list_(engine, experiment=experiment_id).items:
        if job.state == "queued":
            attempt = Worker(engine).take(job)
            attempt.record(curve(1, job.spec.stop.iterations))
            attempt.succeed(by_decay(job.spec), [])


def test_from_the_submission_to_the_answer(server: Server, client: httpx.Client) -> None:
    checked = client.post(URL, params={"dry_run": "true"}, json=SPEC).json()
    assert (checked["trials"], checked["spec"]["plan"]["sampler"]) == (4, "tpe")
    assert client.get(URL).json()["items"] == []
    accepted = client.post(URL, json=SPEC, headers={"Idempotency-Key": "one"})
    assert accepted.status_code == 202
    begun = accepted.json()
    assert accepted.headers["Location"] == f"{URL}/{begun['id']}" == begun["links"]["self"]
    assert client.post(URL, json=SPEC, headers={"Idempotency-Key": "one"}).json()["id"] == begun["id"]
    other = client.post(URL, json=SPEC | {"name": "other"}, headers={"Idempotency-Key": "one"})
    problem(other, 409, "idempotency-conflict")

    def ended() -> dict[str, Any] | None:
        work(server.engine, begun["id"])
        found: dict[str, Any] = client.get(begun["links"]["self"]).json()
        return found if found["finished_at"] else None

    done = until(ended, "the end")
    assert (done["state"], done["trials"]) == ("succeeded", {"planned": 4, "made": 4, "ended": 4})
    tag = client.get(begun["links"]["self"]).headers["ETag"]
    assert tag == f'"{done["version"]}"'
    assert client.get(begun["links"]["self"], headers={"If-None-Match": tag}).status_code == 304
    page = client.get(begun["links"]["trials"], params={"limit": 3})
    assert [trial["number"] for trial in page.json()["items"]] == [0, 1, 2]
    again = client.get(begun["links"]["trials"], params={"limit": 3}, headers={"If-None-Match": page.headers["ETag"]})
    assert again.status_code == 304
    rest = client.get(begun["links"]["trials"], params={"page": page.json()["next_page"]}).json()
    assert ([trial["number"] for trial in rest["items"]], rest["next_page"]) == ([3], None)
    assert client.get(begun["links"]["jobs"]).json()["total"] == 4
    shares = client.get(f"{begun['links']['self']}/importance").json()
    assert shares == {"evaluator": "mean_decrease_impurity", "trials": 4, "importance": {DECAY: pytest.approx(1.0)}}
    listed = client.get(URL).json()["items"]
    assert [(item["id"], item["result"]) for item in listed] == [(begun["id"], None)]
    problem(client.delete(begun["links"]["self"], headers={"If-Match": '"1"'}), 412, "precondition-failed")
    assert client.delete(begun["links"]["self"], headers={"If-Match": tag}).status_code == 204
    problem(client.get(begun["links"]["self"]), 404, "experiment-not-found")


def test_what_is_wrong_is_said_field_by_field(client: httpx.Client) -> None:
    def wrong(**changes: Any) -> dict[str, str]:
        answer = client.post(URL, json=SPEC | changes)
        found = problem(answer, 422, answer.json()["type"].removeprefix("/problems/"))
        return {error["field"]: error["message"] for error in found["errors"]}

    assert "job.stop.iterations" in wrong(job=JOB | {"stop": {"iterations": 0}})
    assert "job.hyperparameters.group_column" in wrong(job=JOB | {"hyperparameters": {"per": "group"}})
    assert "job.dataset.id" in wrong(job=JOB | {"dataset": {"id": "sklearn:nothing"}})
    assert "plan.type" in wrong(plan={"type": "guess"})
    assert "plan.jobs" in wrong(plan=SEARCH | {"jobs": 0})
    assert wrong(plan=SEARCH | {"parameters": {"solver.lowr.steps": {"choices": [1]}}}) == {
        "plan.parameters.solver.lowr.steps": "1: the job has no such field"
    }
    assert client.get("/v1/jobs").json()["items"] == []
    problem(client.get(URL, params={"page": "x"}), 422, "invalid-parameter")
    problem(client.get(f"{URL}/exp_0/trials"), 404, "experiment-not-found")


def test_the_client_steers_and_is_told_what_is_not_possible(server: Server) -> None:
    with Client(server.url) as client:
        calls = client.experiments
        begun = calls.repeat(JOB, 3, over="seed")
        assert (begun.spec.plan.type, begun.trials.planned) == ("repeat", 3)
        assert calls.pause(begun.id).state == "paused"
        with pytest.raises(ProblemError, match="cancel it first") as refused:
            calls.delete(begun.id)
        assert refused.value.status == 409
        assert calls.resume(begun.id).state == "running"
        assert calls.cancel(begun.id).state == "cancelling"
        assert calls.wait(begun.id, interval=0.05).state == "cancelled"
        assert {trial.state for trial in calls.trials(begun.id)} <= {"cancelled"}
        assert (calls.suspects(begun.id).repeats, calls.strengths(begun.id).items) == (0, [])
        assert calls.importance(begun.id).importance == {}
        assert [item.id for item in calls.list(state="cancelled")] == [begun.id]
        yaml = b"job: {kind: data_reweighting, dataset: {id: 'sklearn:iris'}}\nplan: {type: repeat}\n"
        assert calls.check(yaml).trials == 5
        calls.delete(begun.id)
        assert list(calls.list()) == []


def test_tenants_do_not_see_each_other(server: Server, client: httpx.Client) -> None:
    from hposvc.access.keys import Keys
    from hposvc.access.tenants import Tenants

    begun = client.post(URL, json=SPEC | {"plan": REPEATS}).json()
    Tenants(server.engine).create("others")
    _, key = Keys(server.engine).create(tenant="others", name="laptop", scope="submit")
    until(lambda: client.get(URL).status_code == 401, "keys are asked for")
    other = {"Authorization": f"Bearer {key}"}
    assert client.get(URL, headers=other).json()["items"] == []
    for path in ("", "/trials", "/importance", "/rows", "/strengths"):
        assert client.get(f"{URL}/{begun['id']}{path}", headers=other).status_code == 404, path
    for action in ("cancel", "pause", "resume"):
        assert client.post(f"{URL}/{begun['id']}/{action}", headers=other).status_code == 404
    assert client.delete(f"{URL}/{begun['id']}", headers=other).status_code == 404
