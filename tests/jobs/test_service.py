import threading

import pytest
import sqlalchemy as sa

from hposvc.db.engine import read
from hposvc.db.tables import metadata
from hposvc.jobs import queries
from hposvc.jobs.queries import JobNotFound
from hposvc.jobs.service import IdempotencyConflict, IllegalTransition, Jobs
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import State
from hposvc.training_data import DataError
from tests.support.harness import tiny_spec


def counts(engine: sa.Engine) -> dict[str, int]:
    with read(engine) as connection:
        deliveries = "workflow_status" if engine.dialect.name == "sqlite" else "dbos.workflow_status"
        names = [name for name in metadata.tables if name != "tenants"] + [deliveries]
        return {name: connection.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names}


def test_a_submitted_job_is_queued_with_its_defaults_filled_in(engine: sa.Engine, jobs: Jobs) -> None:
    job = jobs.submit(tiny_spec("hello", tags=["a", "ü"], priority=7))
    assert (job.state, job.attempt, job.name, job.tags) == (State.QUEUED, 1, "hello", ["a", "ü"])
    assert job.spec.solver.upper.optimizer == "adam"
    assert job.progress.iterations == 60
    assert queries.get(engine, job.id) == job
    assert [event.data for event in queries.events(engine, job.id).items] == [{"state": "queued"}]


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": {"id": "sklearn:nothing"}},
        {"dataset": {"id": "sklearn:iris", "label": "nonsense"}},
        {"dataset": {"id": "sklearn:diabetes"}},  # numbers have no classes to reweight by
    ],
)
def test_a_spec_that_does_not_fit_its_data_leaves_no_row(engine: sa.Engine, changes: dict[str, object]) -> None:
    spec = JobSpec.model_validate(
        {"kind": "data_reweighting", "hyperparameters": {"per": "class"}, "dataset": {"id": "sklearn:iris"}} | changes
    )
    with pytest.raises(DataError):
        Jobs(engine).submit(spec, idempotency_key="k")
    assert set(counts(engine).values()) == {0}


def test_one_idempotency_key_makes_one_job(engine: sa.Engine, jobs: Jobs) -> None:
    first = jobs.submit(tiny_spec(), idempotency_key="key")
    assert jobs.submit(tiny_spec(), idempotency_key="key") == first
    with pytest.raises(IdempotencyConflict, match=f"'key' belongs to job {first.id}"):
        jobs.submit(tiny_spec("another"), idempotency_key="key")
    assert counts(engine)["jobs"] == 1


def test_a_key_used_by_many_at_once_makes_one_job(engine: sa.Engine, jobs: Jobs) -> None:
    found: list[str] = []
    barrier = threading.Barrier(8)

    def submit() -> None:
        barrier.wait()
        found.append(jobs.submit(tiny_spec(), idempotency_key="key").id)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert {name: n for name, n in counts(engine).items() if n} == {
        "jobs": 1, "events": 1, "idempotency_keys": 1, list(counts(engine))[-1]: 1,
    }  # fmt: skip


def test_requests_may_be_repeated_and_illegal_ones_name_the_state(jobs: Jobs) -> None:
    job_id = jobs.submit(tiny_spec()).id
    paused = jobs.pause(job_id)
    assert paused.state is State.PAUSED
    assert jobs.pause(job_id) == paused
    resumed = jobs.resume(job_id)
    assert (resumed.state, resumed.attempt) == (State.QUEUED, 2)
    assert jobs.resume(job_id) == resumed
    cancelled = jobs.cancel(job_id)
    assert cancelled.state is State.CANCELLED
    assert cancelled.finished_at is not None
    assert jobs.cancel(job_id) == cancelled
    for request in (jobs.pause, jobs.resume):
        with pytest.raises(IllegalTransition, match="it is cancelled"):
            request(job_id)
    retried = jobs.retry(job_id)
    assert (retried.state, retried.attempt, retried.finished_at) == (State.QUEUED, 3, None)
    assert jobs.retry(job_id) == retried


def test_another_tenants_job_is_not_there(engine: sa.Engine, jobs: Jobs) -> None:
    job_id = jobs.submit(tiny_spec()).id
    for request in (jobs.cancel, jobs.pause, jobs.resume, jobs.retry):
        with pytest.raises(JobNotFound, match=f"there is no job {job_id}"):
            request(job_id, tenant="other")
    for query in (queries.get, queries.events, queries.iterations, queries.artifacts):
        with pytest.raises(JobNotFound):
            query(engine, job_id, tenant="other")
    assert queries.list_(engine, tenant="other").items == []
