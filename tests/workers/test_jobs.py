"""Jobs through one real worker process, on both databases."""

import os
from pathlib import Path

import pytest

from hposvc.jobs import queries
from hposvc.jobs.service import ASKED_TO_FINISH
from hposvc.schema.states import State
from tests.support.harness import Service, children_of, eventually, gone, tiny_spec

LONG = {"iterations": 300}  # so that a job is still under way when somebody asks something of it


def test_a_job_ends_with_its_result_its_files_and_every_iteration(crew: Service) -> None:
    job = crew.assert_succeeded_exactly(crew.jobs.submit(tiny_spec()).id)
    assert job.progress.iteration == 60
    assert job.best.upper_loss == min(queries.iterations(crew.engine, job.id).upper_loss)
    assert job.result is not None
    assert job.result["gap"] == "NaN"
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    files = {file.name: file for file in queries.artifacts(crew.engine, job.id)}
    assert sorted(files) == ["checkpoint-0000000050", "checkpoint-0000000060", "report.json"]
    report = crew.directory / files["report.json"].url.removeprefix(f"file://{crew.directory}/")
    assert report.stat().st_size == files["report.json"].size
    stored = sorted(path.name for path in report.parent.iterdir())
    assert stored == ["checkpoint-0000000050.safetensors", "checkpoint-0000000060.safetensors", "report.json"]
    crew.assert_history_is_sound([job.id])


def test_a_diverging_job_fails_and_keeps_its_iterations(crew: Service) -> None:
    job = crew.until_over(crew.jobs.submit(tiny_spec("diverge=23")).id)
    assert job.state is State.FAILED
    assert job.error is not None
    assert (job.error.reason, job.error.iteration) == ("diverged", 23)
    columns = queries.iterations(crew.engine, job.id)
    assert columns.iteration == list(range(1, 24))
    assert str(columns.upper_loss[-1]) == "nan"
    assert columns.hypergradient_norm[-1] == float("inf")
    assert '"upper_loss":"NaN"' in job.latest.model_dump_json()
    assert job.attempt == 1, "another attempt would end the same way"


# The behaviour of the runner, the reason that its owner reads, and what the message must say.
LOSSES = [
    ("crash=7", "runner_crashed", "SIGSEGV; its last words: about to crash"),
    ("exit=7", "runner_crashed", "status 3 and no result; its last words: something is wrong"),
    ("killed=7", "runner_killed", "SIGKILL"),
    ("garbage=7", "runner_misbehaved", "not JSON"),
    ("oversize=7", "runner_misbehaved", "a frame claims"),
    ("gap=7", "runner_misbehaved", "iteration 8 after iteration 6"),
    ("phases=7", "runner_misbehaved", "more than 100 phases"),
    ("twice=7", "runner_misbehaved", "'started' a second time"),
    ("flood=7", "runner_misbehaved", "more than 1000 notes"),
    ("hang=7", "runner_hung", "no sign of life for 6 s"),
]


@pytest.mark.parametrize(("behaviour", "reason", "message"), LOSSES, ids=[loss[0] for loss in LOSSES])
def test_a_runner_that_breaks_costs_one_attempt_with_a_reason(
    crew: Service, behaviour: str, reason: str, message: str
) -> None:
    attempts = 1 if reason == "runner_hung" else 2  # that one takes its time
    job = crew.until_over(crew.jobs.submit(tiny_spec(behaviour, max_attempts=attempts, checkpoint_every=1000)).id)
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error.reason == reason
    assert message in job.error.message
    assert job.error.remedy
    assert [attempt["outcome"] for attempt in crew.attempts(job.id)] == ["lost"] * attempts
    crew.assert_history_is_sound([job.id])


def test_of_a_flood_of_notes_only_the_first_are_kept(crew: Service) -> None:
    job = crew.until_over(crew.jobs.submit(tiny_spec("flood=7", max_attempts=1)).id)
    notes = crew.notes(job.id)
    assert len(notes) == 100
    assert notes[0] == "again"
    assert notes[-1] == "again (further notes of this attempt are not kept)"


@pytest.mark.parametrize("behaviour", ["crash=33 once", "exit=33 once", "garbage=33 once"])
def test_the_next_attempt_goes_on_from_the_checkpoint(crew: Service, behaviour: str) -> None:
    job = crew.assert_succeeded_exactly(crew.jobs.submit(tiny_spec(behaviour)).id)
    assert [attempt["outcome"] for attempt in crew.attempts(job.id)] == ["lost", "succeeded"]
    assert crew.attempts(job.id)[1]["resumed_from"] == 30


@pytest.mark.parametrize(
    ("behaviour", "reason", "message"),
    [("memory=7", "out_of_memory", "12 GiB"), ("fault=7", "internal", "RuntimeError: an unforeseen fault")],
)
def test_an_error_that_would_come_again_fails_the_job_at_once(
    crew: Service, behaviour: str, reason: str, message: str
) -> None:
    job = crew.until_over(crew.jobs.submit(tiny_spec(behaviour)).id)
    assert job.error is not None
    assert (job.state, job.error.reason) == (State.FAILED, reason)
    assert message in job.error.message
    # a machine that stood still may have cost an attempt its lease; the error itself is not tried again
    tried = [attempt for attempt in crew.attempts(job.id) if "lease" not in (attempt["message"] or "")]
    assert [attempt["outcome"] for attempt in tried] == ["failed"]


def test_a_runner_that_prints_without_end_is_heard_out(crew: Service) -> None:
    crew.assert_succeeded_exactly(crew.jobs.submit(tiny_spec("chatter=7")).id)


def test_a_running_job_is_cancelled_and_its_runner_is_free_when_it_says_so(crew: Service) -> None:
    job_id = crew.jobs.submit(tiny_spec("slow=0.02", stop={"iterations": 100_000})).id
    crew.until_iteration(job_id, 3)
    runner = min(children_of(crew.processes[0].pid))
    assert crew.jobs.cancel(job_id).state is State.CANCELLING
    assert crew.until_over(job_id).state is State.CANCELLED
    assert len(queries.iterations(crew.engine, job_id).iteration) >= 3
    crew.assert_succeeded_exactly(crew.jobs.submit(tiny_spec()).id)
    assert min(children_of(crew.processes[0].pid)) == runner


@pytest.mark.parametrize("behaviour", ["sleep=4", "sleep=4 deaf", "hang=4"])
def test_cancel_frees_the_device_even_when_the_runner_does_not_listen(crew: Service, behaviour: str) -> None:
    job_id = crew.jobs.submit(tiny_spec(f"slow=0.001 {behaviour}")).id
    crew.until_iteration(job_id, 3)
    runner = min(children_of(crew.processes[0].pid))
    crew.jobs.cancel(job_id)
    assert crew.until_over(job_id).state is State.CANCELLED
    assert gone(runner)


def test_a_job_that_is_not_done_in_time_keeps_what_it_has(crew: Service) -> None:
    job_id = crew.jobs.submit(tiny_spec("slow=0.02", stop={"iterations": 150}, time_limit=1.5)).id
    failed = crew.until_over(job_id)
    assert failed.error is not None
    assert (failed.state, failed.error.reason, failed.attempt) == (State.FAILED, "timed_out", 1)
    assert "1.5 s" in failed.error.message
    reached = failed.progress.iteration
    assert 0 < reached < 150
    crew.jobs.retry(job_id)
    crew.until(job_id, lambda job: job.attempt == 2 and job.progress.iteration > reached, "it goes on")
    assert crew.until_over(job_id).attempt == 2
    assert crew.attempts(job_id)[1]["resumed_from"] == reached
    crew.assert_history_is_sound([job_id])


def test_a_job_that_hangs_is_over_when_its_time_is(crew: Service) -> None:
    job_id = crew.jobs.submit(tiny_spec("slow=0.001 sleep=14 deaf", time_limit=1.0)).id
    crew.until_iteration(job_id, 3)
    runner = min(children_of(crew.processes[0].pid))
    failed = crew.until_over(job_id)
    assert failed.error is not None
    assert failed.error.reason == "timed_out"
    assert gone(runner)
    assert len([file for file in queries.artifacts(crew.engine, job_id) if file.kind == "checkpoint"]) == 1


def test_more_iterations_than_the_database_takes_one_by_one(crew: Service) -> None:
    """Thousands a second, written in batches: the lease, renewed between them, is never lost."""
    job_id = crew.jobs.submit(tiny_spec(stop={"iterations": 30_000}, checkpoint_every=10_000_000)).id
    crew.assert_succeeded_exactly(job_id)
    assert len(crew.attempts(job_id)) == 1


def test_a_paused_job_goes_on_with_the_same_numbers_and_says_where(crew: Service) -> None:
    job_id = crew.jobs.submit(tiny_spec("slow=0.02 moved", stop=LONG, checkpoint_every=1000)).id
    crew.until_iteration(job_id, 5)
    assert crew.jobs.pause(job_id).state is State.PAUSING
    paused = crew.until_state(job_id, State.PAUSED)
    assert paused.progress.iteration < LONG["iterations"]
    assert paused.worker is None
    assert crew.jobs.resume(job_id).attempt == 2
    crew.assert_succeeded_exactly(job_id)
    assert crew.attempts(job_id)[1]["resumed_from"] == paused.progress.iteration
    notes = [event.data["message"] for event in queries.events(crew.engine, job_id).items if event.type == "note"]
    assert notes == ["went on elsewhere"]


def test_a_job_that_is_to_finish_makes_its_result_of_the_iterations_that_are_done(crew: Service) -> None:
    job_id = crew.jobs.submit(tiny_spec("slow=0.02", stop={"iterations": 100_000}, checkpoint_every=1000)).id
    crew.until_iteration(job_id, 5)
    asked = crew.jobs.finish(job_id)
    assert (asked.state, asked.finish_early) == (State.RUNNING, True)
    job = crew.until_state(job_id, State.SUCCEEDED)
    assert job.result is not None
    assert 5 <= job.result["iterations"] == job.progress.iteration < 100_000
    assert crew.notes(job_id) == [ASKED_TO_FINISH]
    crew.assert_history_is_sound([job_id])


def test_a_paused_job_that_is_to_finish_does(crew: Service) -> None:
    job_id = crew.jobs.submit(tiny_spec("slow=0.02", stop={"iterations": 100_000}, checkpoint_every=1000)).id
    crew.until_iteration(job_id, 5)
    crew.jobs.pause(job_id)
    crew.until_state(job_id, State.PAUSED)
    assert crew.jobs.finish(job_id).state is State.QUEUED
    assert crew.until_state(job_id, State.SUCCEEDED).progress.iteration < 100_000
    crew.assert_history_is_sound([job_id])


def test_a_failed_job_is_retried_with_all_its_attempts(crew: Service) -> None:
    job_id = crew.jobs.submit(tiny_spec("crash=33 once", max_attempts=1)).id
    assert crew.until_over(job_id).state is State.FAILED
    retried = crew.jobs.retry(job_id)
    assert (retried.state, retried.error, retried.attempt) == (State.QUEUED, None, 2)
    crew.assert_succeeded_exactly(job_id)
    crew.assert_history_is_sound([job_id])


def test_a_retry_from_the_start_forgets_what_was_computed(crew: Service) -> None:
    job_id = crew.jobs.submit(tiny_spec("diverge=33 once", max_attempts=1)).id
    assert crew.until_over(job_id).state is State.FAILED
    old = [file.url for file in queries.artifacts(crew.engine, job_id)]
    assert len(old) == 2
    retried = crew.jobs.retry(job_id, from_start=True)
    assert (retried.progress.iteration, retried.best.upper_loss, retried.started_at) == (0, None, None)
    failed = crew.until_over(job_id)
    assert failed.error is not None
    assert failed.error.iteration == 33, "it begins anew, and so diverges anew"
    assert crew.attempts(job_id)[1]["resumed_from"] is None
    assert not any(Path(url.removeprefix("file://")).exists() for url in old)
    assert crew.jobs.retry(job_id).attempt == 3
    crew.assert_succeeded_exactly(job_id)
    assert crew.attempts(job_id)[2]["resumed_from"] == 30
    crew.assert_history_is_sound([job_id])


def test_a_damaged_checkpoint_falls_back_to_the_one_before(crew: Service) -> None:
    job_id = crew.jobs.submit(tiny_spec("slow=0.02", stop=LONG)).id
    crew.until_iteration(job_id, 32)
    crew.jobs.pause(job_id)
    crew.until_state(job_id, State.PAUSED)
    files = [file for file in queries.artifacts(crew.engine, job_id) if file.kind == "checkpoint"]
    before, newest = sorted(files, key=lambda file: file.iteration or 0)
    os.truncate(newest.url.removeprefix("file://"), newest.size // 2)
    crew.jobs.resume(job_id)
    crew.assert_succeeded_exactly(job_id)
    assert crew.attempts(job_id)[1]["resumed_from"] == before.iteration
    notes = [event.data["message"] for event in queries.events(crew.engine, job_id).items if event.type == "note"]
    assert notes == [f"the checkpoint of iteration {newest.iteration} is damaged; going further back"]


def test_the_worker_says_what_it_does(crew: Service) -> None:
    worker = eventually(lambda: queries.workers(crew.engine), "the worker reports")[0]
    assert worker.versions["jittor"]
    job_id = crew.jobs.submit(tiny_spec("slow=0.05")).id
    crew.until_iteration(job_id, 1)
    busy = queries.workers(crew.engine)[0]
    assert (busy.state, busy.job_id) == ("busy", job_id)
    assert crew.get(job_id).worker == busy.id
    crew.until_over(job_id)
    eventually(lambda: queries.workers(crew.engine)[0].state == "ready", "the worker is ready again")
