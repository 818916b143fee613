"""Real jobs, solved with Jittor by a real worker, against the same spec run without the service."""

from __future__ import annotations

import os
import signal

import pytest

from hposvc.jobs import hyperparameters, queries
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import State
from tests.support.harness import Service, children_of
from tests.support.in_process import assert_equal_to_in_process

pytestmark = pytest.mark.slow


def digits(**changes: object) -> JobSpec:
    fields = {
        "kind": "data_reweighting",
        "dataset": {"id": "sklearn:digits", "label_noise": {"rate": 0.6}},
        "stop": {"iterations": 120},
        "checkpoint_every": 20,
    }
    return JobSpec.model_validate(fields | changes)


def until_attempt_goes_on(service: Service, job_id: str, attempt: int) -> None:
    """Wait until that attempt has come further than the job was."""
    reached = service.get(job_id).progress.iteration
    service.until(
        job_id,
        lambda job: job.attempt == attempt and job.state is State.RUNNING and job.progress.iteration > reached,
        f"attempt {attempt} goes on",
    )


def test_the_database_holds_the_numbers_of_the_same_run_without_the_service(service: Service) -> None:
    service.worker(real=True, lease=60, hang=120)
    assert_equal_to_in_process(service, service.jobs.submit(digits()).id)
    diverging = service.until_over(service.jobs.submit(digits(solver={"lower": {"learning_rate": 1e9}})).id)
    assert diverging.state is State.FAILED
    assert diverging.error is not None
    assert diverging.error.reason == "diverged"
    kept = queries.iterations(service.engine, diverging.id).iteration
    assert kept == list(range(1, (diverging.error.iteration or 0) + 1))


@pytest.mark.long
@pytest.mark.durability
def test_a_job_that_was_killed_paused_and_handed_back_ends_like_one_that_was_not(service: Service) -> None:
    first = service.worker(real=True, hang=120)
    job_id = service.jobs.submit(digits(stop={"iterations": 5000})).id  # long enough to be interrupted three times
    service.until_iteration(job_id, 60)
    os.kill(min(children_of(first.pid)), signal.SIGKILL)
    until_attempt_goes_on(service, job_id, 2)
    service.jobs.pause(job_id)
    service.until_state(job_id, State.PAUSED)
    whole = hyperparameters.current(service.engine, job_id, order="lowest", whole=True, limit=2000)
    assert whole.iteration == service.get(job_id).progress.iteration  # a pause leaves a checkpoint, with all of λ
    assert (len(whole.items), whole.complete, whole.final) == (whole.size, True, False)
    extremes = hyperparameters.current(service.engine, job_id, order="lowest")
    assert [(item.name, item.label) for item in extremes.items] == [
        (item.name, item.label) for item in whole.items[:50]
    ]
    assert [item.lam for item in extremes.items] == [item.lam for item in whole.items[:50]]
    service.jobs.resume(job_id)
    until_attempt_goes_on(service, job_id, 3)
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    service.worker(real=True, hang=120)
    assert_equal_to_in_process(service, job_id)
    assert [attempt["outcome"] for attempt in service.attempts(job_id)] == ["lost", "paused", "released", "succeeded"]
    service.assert_history_is_sound([job_id])
