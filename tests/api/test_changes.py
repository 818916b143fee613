"""Changing a job, preconditions, and deleting it for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from hposvc.db.tables import DELETED, events, iterations, jobs, metadata
from hposvc.jobs import removal
from hposvc.jobs.service import Jobs
from hposvc.jobs.stored_file import StoredFile
from hposvc.schema.job import JobResource
from hposvc.schema.spec import JobSpec
from hposvc.storage.store import Store
from tests.support.problems import problem
from tests.support.serving import RESULT, SPEC, Server, Worker, curve, running, submit


def priority_of_delivery(server: Server, job: JobResource) -> int:
    schema = "" if server.engine.dialect.name == "sqlite" else "dbos."
    query = sa.text(f"SELECT priority FROM {schema}workflow_status WHERE workflow_uuid = :id")
    with server.engine.connect() as connection:
        return int(connection.execute(query, {"id": f"{job.id}:{job.attempt}"}).scalar_one())


def test_name_tags_and_priority_can_be_changed(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine, name="before", tags=["a"], priority=1)
    path = f"/v1/jobs/{job.id}"
    before = priority_of_delivery(server, job)
    answer = client.patch(path, json={"name": "after"})
    assert (answer.json()["name"], answer.json()["tags"]) == ("after", ["a"])
    assert priority_of_delivery(server, job) == before
    answer = client.patch(
        path, json={"tags": ["b", "c"], "priority": 100}, headers={"If-Match": answer.headers["ETag"]}
    )
    assert (answer.json()["tags"], answer.json()["spec"]["priority"]) == (["b", "c"], 100)
    assert priority_of_delivery(server, job) == before - 99
    assert client.patch(path, json={"name": None}).json()["name"] is None
    assert client.get(f"{path}/spec").text.count("before") == 0


def test_a_change_for_an_older_version_is_refused(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine)
    path = f"/v1/jobs/{job.id}"
    old = client.get(path).headers["ETag"]
    client.patch(path, json={"name": "somebody else's"})
    for call in (client.build_request("PATCH", path, json={"name": "mine"}), client.build_request("DELETE", path)):
        call.headers["If-Match"] = old
        answer = client.send(call)
        problem(answer, 412, "precondition-failed")
    assert client.get(path).json()["name"] == "somebody else's"
    for wrong in ('"x"', 'W/"1"', '""', '"-1"', "-1"):
        problem(client.patch(path, json={"name": "mine"}, headers={"If-Match": wrong}), 412, "precondition-failed")
    for any_version in ({}, {"If-Match": "*"}):
        assert client.patch(path, json={"name": "mine"}, headers=any_version).status_code == 200


def left(server: Server) -> dict[str, int]:
    """Rows by table, tenants and workers apart."""
    with server.engine.connect() as connection:
        return {
            table.name: count
            for table in metadata.sorted_tables
            if table.name not in ("tenants", "workers")
            and (count := connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
        }


def ended(server: Server, tmp_path: Path, rows: int = 20) -> tuple[JobResource, Store, list[Path]]:
    """A job that left rows in every table of its own, and files in the store."""
    store = Store((tmp_path / "store").as_uri())
    job = Jobs(server.engine).submit(JobSpec.model_validate(SPEC), idempotency_key="once")
    attempt = Worker(server.engine).take(job)
    for begin in range(1, rows, 1000):
        attempt.record(curve(begin, min(begin + 999, rows)))
    local = tmp_path / "file"
    local.write_text("content")
    files = [
        StoredFile(name, kind, 7, "0" * 64, store.put(local, f"jobs/{job.id}/1/{name}"), 5)
        for name, kind in (("report.json", "report"), ("checkpoint-5", "checkpoint"))
    ]
    attempt.succeed(RESULT, files)
    return job, store, [tmp_path / "store" / "jobs" / job.id / "1" / file.name for file in files]


def test_a_deleted_job_is_gone_with_everything_that_it_left(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    job, store, files = ended(server, tmp_path)
    path = f"/v1/jobs/{job.id}"
    assert all(file.exists() for file in files)
    answer = client.delete(path, headers={"If-Match": client.get(path).headers["ETag"]})
    assert (answer.status_code, answer.content) == (204, b"")
    for rest in ("", "/iterations", "/events", "/artifacts", "/artifacts/report.json", "/spec"):
        problem(client.get(path + rest), 404, "job-not-found")
    problem(client.delete(path), 404, "job-not-found")
    problem(client.post(f"{path}/retry"), 404, "job-not-found")
    assert client.get("/v1/jobs").json()["items"] == []
    removal.Removal(server.engine, store).purge()  # what the server does every half minute
    assert left(server) == {}
    assert not any(file.exists() for file in files)
    again = client.post("/v1/jobs", json=SPEC, headers={"Idempotency-Key": "once"})
    assert (again.status_code, again.json()["id"] == job.id) == (202, False)


def test_only_what_has_ended_can_be_deleted(client: httpx.Client, server: Server) -> None:
    waiting = submit(server.engine)
    busy, _ = running(server.engine, 2)
    for job, state in ((waiting, "queued"), (busy, "running")):
        document = problem(client.delete(f"/v1/jobs/{job.id}"), 409, "job-not-finished")
        assert document["state"] == state
        assert client.get(f"/v1/jobs/{job.id}").status_code == 200
    client.post(f"/v1/jobs/{waiting.id}/cancel")
    assert client.delete(f"/v1/jobs/{waiting.id}").status_code == 204


@pytest.mark.parametrize("where", ["store", "iterations", "jobs"])
def test_a_deletion_that_was_interrupted_is_finished_later(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(removal, "CHUNK_OF_A_JOB", 7)
    job, store, files = ended(server, tmp_path)
    Jobs(server.engine).delete(job.id, tenant="default")

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if where == "store":
            patch.setattr(Store, "remove", die)
        else:
            real = removal._remove_in_chunks

            def until(engine: sa.Engine, table: sa.Table, order: Any, job_id: str) -> None:
                if where == "iterations" or table is events:
                    die()
                real(engine, table, order, job_id)

            patch.setattr(removal, "_remove_in_chunks", until)
        with pytest.raises(Killed):
            removal.Removal(server.engine, store).purge()
    with server.engine.connect() as connection:
        owner = connection.execute(sa.select(jobs.c.tenant_id)).scalar_one_or_none()
        rows = connection.execute(sa.select(sa.func.count()).select_from(iterations)).scalar_one()
    assert owner == (None if where == "store" else DELETED)  # files go last
    assert rows == (20 if where == "iterations" else 0)
    removal.Removal(server.engine, store).purge()
    assert left(server) == {}
    assert not any(file.exists() for file in files)
