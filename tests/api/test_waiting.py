"""Waiting for a change of a job, with ``Prefer: wait``."""

from __future__ import annotations

import httpx

from hposvc.jobs.service import Jobs
from tests.support.problems import problem
from tests.support.serving import (
    PATIENCE,
    RESULT,
    Server,
    curve,
    later,
    running,
    succeeded,
)


def test_an_answer_comes_when_something_changed(client: httpx.Client, server: Server) -> None:
    job, attempt = running(server.engine, 3)
    path = f"/v1/jobs/{job.id}"
    tag = client.get(path).headers["ETag"]
    act = later(0.3, lambda: attempt.record(curve(4, 6)))
    answer = client.get(path, headers={"Prefer": "wait=30", "If-None-Match": tag}, timeout=PATIENCE)
    act.join()
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert answer.json()["progress"]["iteration"] == 6


def test_nothing_changed_is_said_after_the_time_that_was_asked_for(client: httpx.Client, server: Server) -> None:
    job, _ = running(server.engine, 3)
    path = f"/v1/jobs/{job.id}"
    tag = client.get(path).headers["ETag"]
    answer = client.get(path, headers={"Prefer": "respond-async, wait=1", "If-None-Match": tag}, timeout=PATIENCE)
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (304, "wait=1")
    # What the client does not have yet needs no waiting for, and nor does a job that has ended.
    assert client.get(path, headers={"Prefer": "wait=60", "If-None-Match": '"0"'}, timeout=5).status_code == 200
    ended = succeeded(server.engine, RESULT)
    assert client.get(f"/v1/jobs/{ended.id}", headers={"Prefer": "wait=60"}, timeout=5).status_code == 200
    for wish in ("wait", "wait=", "wait=-1", "wait=x", "wait=1e9", ""):
        assert client.get(f"/v1/jobs/{job.id}", headers={"Prefer": wish}, timeout=5).status_code == 200


def test_a_deleted_job_wakes_those_who_wait_for_it(client: httpx.Client, server: Server) -> None:
    job = succeeded(server.engine, RESULT)
    tag = client.get(f"/v1/jobs/{job.id}").headers["ETag"]
    act = later(0.3, lambda: Jobs(server.engine).delete(job.id, tenant="default"))
    headers = {"Prefer": "wait=30", "If-None-Match": tag}
    problem(client.get(f"/v1/jobs/{job.id}", headers=headers, timeout=PATIENCE), 404, "job-not-found")
    act.join()
