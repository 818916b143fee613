"""Quotas and rate limits: what a tenant may have, that it is exact, and that others do not pay for it."""

from __future__ import annotations

import threading

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from api.http.problem_details import HTTPProblem
from api.middleware import auth
from api.middleware.limits import TokenBuckets
from api.staging import Staging
from hposvc.access import keys, tenants
from hposvc.access.tenants import QuotaExceeded, Quotas
from hposvc.db.clock import now
from hposvc.db.engine import write
from hposvc.db.tables import jobs as jobs_table
from hposvc.jobs.attempt import claim
from hposvc.jobs.queue import Publisher
from hposvc.jobs.service import Jobs
from hposvc.jobs.stored_file import StoredFile
from hposvc.jobs.sweeper import Sweeper, Swept
from hposvc.schema.job import JobResource
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import State
from tests.support.bad_files import NPZ, npz
from tests.support.harness import UncheckedJobs
from tests.support.problems import problem
from tests.support.serving import RESULT, SPEC, Server, succeeded

TINY = JobSpec.model_validate(SPEC)


def jobs_of(engine: sa.Engine, **quotas: int) -> Jobs:
    return UncheckedJobs(engine, quotas=Quotas(**quotas))


def test_queued_jobs(client: httpx.Client, server: Server) -> None:
    tenants.Tenants(server.engine).set_quotas("default", {"queued_jobs": 2})
    first = client.post("/v1/jobs", json=SPEC, headers={"Idempotency-Key": "first"})
    second = client.post("/v1/jobs", json=SPEC)
    answer = client.post("/v1/jobs", json=SPEC)
    document = problem(answer, 429, "quota-exceeded")
    assert document["quota"] == "queued_jobs"
    assert "2 of 2" in document["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    again = client.post("/v1/jobs", json=SPEC, headers={"Idempotency-Key": "first"})
    assert again.json()["id"] == first.json()["id"]  # asking for what was made takes no place
    assert client.post("/v1/jobs?dry_run=true", json=SPEC).status_code == 200
    assert client.get("/v1/tenant").json()["queued_jobs"] == {"used": 2, "limit": 2}
    client.post(f"/v1/jobs/{second.json()['id']}/cancel")
    third = client.post("/v1/jobs", json=SPEC)
    assert third.status_code == 202
    problem(client.post(f"/v1/jobs/{second.json()['id']}/retry"), 429, "quota-exceeded")
    client.post(f"/v1/jobs/{third.json()['id']}/pause")
    assert client.post(f"/v1/jobs/{second.json()['id']}/retry").status_code == 202
    problem(client.post(f"/v1/jobs/{third.json()['id']}/resume"), 429, "quota-exceeded")
    tenants.Tenants(server.engine).set_quotas("default", {"queued_jobs": None})  # back to the setting
    assert client.post(f"/v1/jobs/{third.json()['id']}/resume").status_code == 202


def test_the_last_place_is_taken_once(engine: sa.Engine) -> None:
    jobs = jobs_of(engine, queued_jobs=5)
    tenants.Tenants(engine).create("other")
    refused: list[QuotaExceeded] = []
    barrier = threading.Barrier(12)

    def submit() -> None:
        barrier.wait()
        try:
            jobs.submit(TINY)
        except QuotaExceeded as error:
            refused.append(error)

    threads = [threading.Thread(target=submit) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(jobs_table)).scalar_one() == 5
    jobs.submit(TINY, tenant="other")  # another tenant has places of its own


def test_stored_bytes(client: httpx.Client, server: Server) -> None:
    file = StoredFile("model.safetensors", "model", 1_000_000, "0" * 64, "file:///nowhere")
    job = succeeded(server.engine, RESULT, [file])
    tenants.Tenants(server.engine).set_quotas("default", {"stored_bytes": 1_000_000})
    found = client.get("/v1/tenant").json()["stored_bytes"]
    assert found["limit"] == 1_000_000 < found["used"] < 1_010_000  # with the spec
    assert problem(client.post("/v1/jobs", json=SPEC), 429, "quota-exceeded")["quota"] == "stored_bytes"
    client.delete(f"/v1/jobs/{job.id}")
    assert client.post("/v1/jobs", json=SPEC).status_code == 202


def test_specs_and_descriptions_count(client: httpx.Client, server: Server) -> None:
    def used() -> int:
        return int(client.get("/v1/tenant").json()["stored_bytes"]["used"])

    spec = client.post("/v1/jobs", json=SPEC).json()["spec"]
    of_spec = used()
    assert of_spec == len(JobSpec.model_validate(spec).model_dump_json())  # as it is stored, with every default
    wide = npz(X=np.zeros((10, 20_000), np.uint8) + np.arange(10, dtype=np.uint8)[:, None], y=np.arange(10) % 2)
    sent = client.post("/v1/datasets", content=wide, headers={"Content-Type": NPZ}).json()
    assert used() > of_spec + sent["size"] + 100_000  # of 20,000 names
    tenants.Tenants(server.engine).set_quotas("default", {"stored_bytes": used()})
    problem(client.post("/v1/jobs", json=SPEC), 429, "quota-exceeded")
    client.delete(f"/v1/datasets/{sent['id']}")
    assert used() == of_spec


def test_nothing_is_received_or_stored_for_a_tenant_without_room(client: httpx.Client, server: Server) -> None:
    """Not even the file as it came; one that turns out too large is not put into the store either."""
    content = b"age,target\n" + b"".join(b"%d,%d\n" % (number, number % 2) for number in range(60))
    store = server.settings.data_dir / "store"
    for limit in (0, 100):
        tenants.Tenants(server.engine).set_quotas("default", {"stored_bytes": limit})
        answer = client.post("/v1/datasets", content=content, headers={"Content-Type": "text/csv"})
        assert problem(answer, 429, "quota-exceeded")["quota"] == "stored_bytes"
        assert not list(store.rglob("*"))
        assert not list((server.settings.data_dir / "uploads").glob("ds_*"))


def test_uploads_under_way_are_bounded_by_bytes_for_each_tenant() -> None:
    staging = Staging(100)
    with staging.file("a") as first, staging.file("a") as second, staging.file("b") as other:
        first(60)
        with pytest.raises(HTTPProblem):
            second(60)
        second(40)
        other(100)
    with staging.file("a") as again:
        again(100)


def test_a_description_that_is_too_long_is_refused(client: httpx.Client) -> None:
    wide = npz(X=np.zeros((10, 800_000), np.uint8) + np.arange(10, dtype=np.uint8)[:, None], y=np.arange(10) % 2)
    document = problem(
        client.post("/v1/datasets", content=wide, headers={"Content-Type": NPZ}, timeout=60), 422, "invalid-dataset"
    )
    assert "4,194,304" in document["errors"][0]["message"]


def test_running_jobs_wait_for_one_of_their_own_to_end(engine: sa.Engine) -> None:
    """The worker drops the delivery, and the sweeper makes a new one when there is a place, and no more than fit."""
    jobs, publisher = jobs_of(engine), Publisher(engine)
    tenants.Tenants(engine).create("other")
    tenants.Tenants(engine).set_quotas("default", {"running_jobs": 1})
    mine = [jobs.submit(TINY) for _ in range(3)]
    others = [jobs.submit(TINY, tenant="other") for _ in range(2)]

    def take(job: JobResource, attempt: int = 1) -> object:
        return claim(engine, publisher, job.id, attempt, worker_id="w", lease_seconds=600)

    def used(job: JobResource) -> None:
        """The queue handed the delivery out, a while ago."""
        schema = "" if engine.dialect.name == "sqlite" else "dbos."
        with write(engine) as connection:
            connection.execute(
                sa.text(f"UPDATE {schema}workflow_status SET status = 'SUCCESS' WHERE workflow_uuid LIKE :id"),
                {"id": f"{job.id}:%"},
            )
            connection.execute(jobs_table.update().where(jobs_table.c.id == job.id).values(queued_at=now() - 999))

    def state(job: JobResource) -> tuple[str, int]:
        with engine.connect() as connection:
            row = connection.execute(
                sa.select(jobs_table.c.state, jobs_table.c.attempt).where(jobs_table.c.id == job.id)
            ).one()
        return row.state, row.attempt

    first = take(mine[0])
    assert first is not None
    assert take(mine[1]) is None
    assert take(mine[2]) is None
    assert take(others[0]) is not None  # no quota of its own
    assert take(others[1]) is not None
    used(mine[1])
    used(mine[2])
    assert Sweeper(engine, publisher).sweep(grace_seconds=60) == Swept(0, 0)  # there is no place yet
    first.succeed({"sentence": "s"}, [])  # type: ignore[attr-defined]
    assert Sweeper(engine, publisher).sweep(grace_seconds=60).undelivered == 1
    assert (state(mine[1]), state(mine[2])) == ((State.QUEUED, 2), (State.QUEUED, 1))
    assert take(mine[1], 2) is not None
    assert Sweeper(engine, publisher).sweep(grace_seconds=60) == Swept(0, 0)


def test_the_setting_holds_for_tenants_without_a_quota_of_their_own(engine: sa.Engine) -> None:
    jobs, publisher = jobs_of(engine), Publisher(engine)
    made = [jobs.submit(TINY) for _ in range(2)]
    taken = [
        claim(engine, publisher, job.id, 1, worker_id="w", lease_seconds=600, running_jobs=1) is not None
        for job in made
    ]
    assert taken == [True, False]


def test_a_rate_is_kept_by_tenant(client: httpx.Client, server: Server) -> None:
    tenants.Tenants(server.engine).create("other")
    tokens = {
        tenant: keys.Keys(server.engine).create(tenant=tenant, name=tenant, scope="read")[1]
        for tenant in ("default", "other")
    }
    tenants.Tenants(server.engine).set_quotas("default", {"requests_per_second": 0.01})

    def ask(tenant: str) -> httpx.Response:
        return client.get("/v1/tenant", headers={"Authorization": f"Bearer {tokens[tenant]}"})

    assert ask("default").status_code == 200
    answer = ask("default")
    assert problem(answer, 429, "too-many-requests")["detail"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert ask("other").status_code == 200


def test_somebody_who_tries_keys_is_slowed_down(
    client: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "UNAUTHENTICATED_PER_SECOND", 0.001)  # so that none come back while the test runs
    keys.Keys(server.engine).create(tenant="default", name="real", scope="read")
    answers = [client.get("/v1/jobs", headers={"Authorization": f"Bearer x{number}"}) for number in range(102)]
    assert [answer.status_code for answer in answers] == [401] * 100 + [429] * 2
    problem(answers[-1], 429, "too-many-requests")


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("api.middleware.limits.time.monotonic", lambda: clock[0])
    buckets = TokenBuckets()
    assert [buckets.take("a", 2, 3) for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a", 2, 3) == pytest.approx(0.5)
    assert buckets.take("b", 2, 3) == 0
    clock[0] += 0.5
    assert buckets.take("a", 2, 3) == 0
    assert buckets.take("a", 2, 3) > 0
    clock[0] += 1000
    assert [buckets.take("a", 2, 3) > 0 for _ in range(4)] == [False, False, False, True]
