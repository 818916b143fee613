"""Workers that are stopped, killed and frozen while they hold a job, on both databases."""

import os
import signal
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy as sa

from hposvc.db.tables import artifacts
from hposvc.jobs import queries
from hposvc.jobs.stored_file import CHECKPOINT
from hposvc.schema.states import State
from tests.support.harness import Service, children_of, eventually, freeze, gone, tiny_spec
from workers.checkpoints import is_due

LONG = {"iterations": 150}


def test_sigterm_hands_the_job_back_and_loses_nothing(service: Service) -> None:
    first = service.worker()
    job_id = service.jobs.submit(tiny_spec("slow=0.02", stop=LONG, checkpoint_every=1000)).id
    service.until_iteration(job_id, 10)
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    handed_back = service.get(job_id)
    assert (handed_back.state, handed_back.attempt) == (State.QUEUED, 2)
    assert queries.workers(service.engine) == []
    service.worker()
    service.assert_succeeded_exactly(job_id)
    attempts = service.attempts(job_id)
    assert [attempt["outcome"] for attempt in attempts] == ["released", "succeeded"]
    assert attempts[1]["resumed_from"] == handed_back.progress.iteration
    service.assert_history_is_sound([job_id])


def test_sigterm_hands_back_the_job_of_a_runner_that_does_not_listen(service: Service) -> None:
    worker = service.worker(drain=2.0)
    job_id = service.jobs.submit(tiny_spec("slow=0.002 sleep=24 deaf", stop=LONG)).id
    service.until_iteration(job_id, 20)
    runner = min(children_of(worker.pid))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert gone(runner)
    handed_back = service.get(job_id)
    assert (handed_back.state, handed_back.attempt) == (State.QUEUED, 2)
    assert [attempt["outcome"] for attempt in service.attempts(job_id)] == ["released"], "it costs the job nothing"


def test_a_runner_that_takes_too_much_memory_costs_one_attempt(service: Service) -> None:
    service.worker(memory_limit=400 * 2**20)
    job = service.until_over(service.jobs.submit(tiny_spec("greed=15 once", checkpoint_every=5)).id)
    service.assert_succeeded_exactly(job.id)
    lost, done = service.attempts(job.id)
    assert (lost["outcome"], done["outcome"]) == ("lost", "succeeded")
    assert "and a job on this worker may take 0.390625" in lost["message"]


def test_out_of_memory_the_kernel_ends_the_runner_before_the_worker(service: Service) -> None:
    worker = service.worker()
    job_id = service.jobs.submit(tiny_spec("slow=0.05")).id
    service.until_iteration(job_id, 1)

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    def runners_go_first() -> bool:
        """The spare runner needs a moment to start, and sets its score then."""
        return all(score(pid) > score(worker.pid) for pid in children_of(worker.pid))

    eventually(runners_go_first, "the kernel would end a runner first")


def test_sigterm_while_nothing_runs(service: Service) -> None:
    worker = service.worker()
    eventually(lambda: [w.state for w in queries.workers(service.engine)] == ["ready"], "the worker is ready")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert queries.workers(service.engine) == []


@pytest.mark.parametrize("victim", ["runner", "supervisor"])
def test_helpers_that_the_runner_has_forked_die_with_it(service: Service, victim: str) -> None:
    worker = service.worker()
    job_id = service.jobs.submit(tiny_spec("slow=0.02 helper=5", stop=LONG, checkpoint_every=1000)).id
    service.until_iteration(job_id, 10)
    runner = min(children_of(worker.pid))
    (helper,) = children_of(runner)
    os.kill(runner if victim == "runner" else worker.pid, signal.SIGKILL)
    eventually(lambda: gone(runner) and gone(helper), "both are gone")


@pytest.mark.parametrize("victim", ["runner", "supervisor"])
def test_kill_9_in_the_middle_of_a_job(service: Service, victim: str) -> None:
    first = service.worker()
    job_id = service.jobs.submit(tiny_spec("slow=0.02", stop=LONG)).id
    service.until_iteration(job_id, 25)
    runners = children_of(first.pid)
    if victim == "runner":
        os.kill(min(runners), signal.SIGKILL)
    else:
        first.kill()
        first.wait()
        eventually(lambda: all(gone(pid) for pid in runners), "runners die with their supervisor")
        service.worker()
    service.assert_succeeded_exactly(job_id)
    assert [attempt["outcome"] for attempt in service.attempts(job_id)] == ["lost", "succeeded"]
    assert service.attempts(job_id)[1]["resumed_from"] >= 20
    service.assert_history_is_sound([job_id])


def test_a_supervisor_that_was_frozen_past_its_lease_writes_nothing_more(service: Service) -> None:
    frozen = service.worker()
    job_id = service.jobs.submit(tiny_spec("slow=0.02", stop=LONG)).id
    service.until_iteration(job_id, 25)
    runners = children_of(frozen.pid)
    freeze(service, frozen.pid)
    service.worker()
    service.until(job_id, lambda job: job.attempt == 2, "the job goes to another worker")
    os.kill(frozen.pid, signal.SIGCONT)
    eventually(lambda: gone(min(runners)), "the runner of the lost attempt is gone")
    service.assert_succeeded_exactly(job_id)
    assert [attempt["outcome"] for attempt in service.attempts(job_id)] == ["lost", "succeeded"]
    assert frozen.poll() is None, "the worker goes on with other jobs"
    service.assert_history_is_sound([job_id])


def test_a_job_whose_workers_all_die_fails_as_worker_lost(service: Service) -> None:
    job_id = service.jobs.submit(tiny_spec("slow=0.02", stop={"iterations": 100_000})).id
    for attempt in (1, 2, 3):
        worker = service.worker()
        # a machine that stood still may have cost an attempt more
        service.until(job_id, lambda job, n=attempt: job.attempt >= n and job.state is not State.QUEUED, "it runs")
        worker.kill()
        worker.wait()
    service.worker()
    job = service.until_over(job_id)
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error.reason == "worker_lost"
    assert "lease" in job.error.message
    assert [attempt["outcome"] for attempt in service.attempts(job_id)] == ["lost", "lost", "lost"]
    service.assert_history_is_sound([job_id])


def test_cancel_and_pause_of_a_job_whose_worker_is_dead(service: Service) -> None:
    doomed = service.worker()
    for request, end in ((service.jobs.cancel, State.CANCELLED), (service.jobs.pause, State.PAUSED)):
        job_id = service.jobs.submit(tiny_spec("slow=0.02", stop={"iterations": 100_000})).id
        service.until_iteration(job_id, 3)
        doomed.kill()
        doomed.wait()
        request(job_id)
        doomed = service.worker()
        service.until_state(job_id, end)
        service.assert_history_is_sound([job_id])


def test_a_job_whose_worker_dies_before_it_could_finish_does_with_the_next_one(service: Service) -> None:
    doomed = service.worker()
    job_id = service.jobs.submit(tiny_spec("slow=0.02", stop={"iterations": 100_000})).id
    service.until_iteration(job_id, 3)
    doomed.kill()
    doomed.wait()
    service.jobs.finish(job_id)
    service.worker()
    done = service.until_state(job_id, State.SUCCEEDED).progress.iteration
    assert 3 <= done < 100_000
    service.assert_history_is_sound([job_id])


def test_a_queued_job_is_cancelled_paused_and_resumed_without_a_worker(service: Service) -> None:
    job_id = service.jobs.submit(tiny_spec()).id
    assert service.jobs.pause(job_id).state is State.PAUSED
    assert service.jobs.resume(job_id).state is State.QUEUED
    cancelled = service.jobs.submit(tiny_spec()).id
    assert service.jobs.cancel(cancelled).state is State.CANCELLED
    service.worker()
    service.assert_succeeded_exactly(job_id)
    assert service.get(cancelled).state is State.CANCELLED
    assert service.attempts(cancelled) == []


def test_several_workers_share_the_jobs(service: Service) -> None:
    job_ids = [service.jobs.submit(tiny_spec("slow=0.01")).id for _ in range(8)]
    for _ in range(2):
        service.worker()
    workers = {service.assert_succeeded_exactly(job_id).worker for job_id in job_ids}
    assert len(workers) == 2
    assert all(len(service.attempts(job_id)) == 1 for job_id in job_ids)


def test_checkpoints_by_the_clock_keep_a_job_whose_worker_is_killed(service: Service) -> None:
    """``checkpoint_every: auto``, which is what a job has that does not say."""
    worker = service.worker()
    job_id = service.jobs.submit(tiny_spec("slow=0.05", stop=LONG, checkpoint_every="auto")).id
    with service.engine.connect() as connection:
        is_checkpoint = (artifacts.c.job_id == job_id) & (artifacts.c.kind == CHECKPOINT)
        newest = sa.select(sa.func.max(artifacts.c.iteration)).where(is_checkpoint)
        kept = eventually(lambda: connection.execute(newest).scalar() or connection.rollback(), "a checkpoint")
    worker.kill()
    worker.wait()
    service.worker()
    service.assert_succeeded_exactly(job_id)
    assert service.attempts(job_id)[1]["resumed_from"] >= kept


@pytest.mark.parametrize(
    ("every", "iterations", "seconds", "writing", "due"),
    [
        (10, 9, 1e6, 0.0, False),
        (10, 10, 0.0, 1e6, True),
        ("auto", 1000, 1.9, 0.001, False),
        ("auto", 1, 2.0, 0.001, True),
        ("auto", 1, 9.9, 0.2, False),  # no more than a fiftieth of the time
        ("auto", 1, 10.1, 0.2, True),
        ("auto", 0, 1e6, 0.0, False),  # nothing new
    ],
)
def test_when_a_checkpoint_is_due(
    every: int | Literal["auto"], iterations: int, seconds: float, writing: float, due: bool
) -> None:
    assert is_due(every, iterations=iterations, seconds=seconds, writing=writing) is due
