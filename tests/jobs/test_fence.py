"""The fence, at the level of single writes: what a worker that lost its job tries, and what becomes of it."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import sqlalchemy as sa

from hposvc.db.clock import now
from hposvc.db.engine import read, write
from hposvc.db.tables import iteration_blocks, iterations
from hposvc.db.tables import jobs as jobs_table
from hposvc.jobs import hyperparameters, queries
from hposvc.jobs.attempt import Attempt, Fenced
from hposvc.jobs.iterations.blocks import FOLDED
from hposvc.jobs.queries import METRICS
from hposvc.jobs.queue import Publisher, deliveries
from hposvc.jobs.service import Jobs
from hposvc.jobs.stored_file import StoredFile
from hposvc.jobs.sweeper import Sweeper, Swept
from hposvc.schema.job import JobError
from hposvc.schema.states import State
from hposvc.snapshots import Group, Snapshot, take
from tests.support.harness import tiny_spec

Taking = Callable[..., Attempt | None]
ERROR = JobError(reason="r", message="m", remedy="do")
FILE = StoredFile("checkpoint-0000000001", "checkpoint", 3, "0" * 64, "file:///x", 1)

# Everything that a worker writes.
WRITES: dict[str, Callable[[Attempt], object]] = {
    "renew": lambda attempt: attempt.renew(60),
    "start": lambda attempt: attempt.start(None),
    "phase": lambda attempt: attempt.phase("solving"),
    "note": lambda attempt: attempt.note("info", "hello"),
    "record": lambda attempt: attempt.record(rows(1)),
    "snapshot": lambda attempt: attempt.snapshot(snapshot(1)),
    "checkpoint": lambda attempt: attempt.checkpoint(FILE),
    "succeed": lambda attempt: attempt.succeed({}, []),
    "fail": lambda attempt: attempt.fail(ERROR),
    "stopped": lambda attempt: attempt.stopped(),
    "release": lambda attempt: attempt.release(),
    "lose": lambda attempt: attempt.lose(ERROR),
}


def snapshot(iteration: int, value: float = 0.5) -> Snapshot:
    lam = np.array([value, -value])
    return take(iteration, lam, [Group("rows", 2)], "logistic", lambda place: {"name": f"row {place}"})


def rows(*numbers: int, loss: float = 0.5) -> list[dict[str, float | None]]:
    return [dict.fromkeys(METRICS, loss) | {"iteration": number} for number in numbers]


def everything(engine: sa.Engine) -> list[object]:
    """All rows of all our tables."""
    with read(engine) as connection:
        return [connection.execute(table.select()).all() for table in jobs_table.metadata.sorted_tables]


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("how", ["taken over", "cancelled", "lease ran out"])
def test_whoever_lost_the_job_writes_nothing(
    engine: sa.Engine,
    jobs: Jobs,
    publisher: Publisher,
    take: Taking,
    expire: Callable[[str], None],
    how: str,
    name: str,
) -> None:
    job_id = jobs.submit(tiny_spec()).id
    stale = take(job_id)
    assert stale is not None
    if how == "cancelled":
        jobs.cancel(job_id)
        stale.stopped()
    else:
        expire(job_id)
    if how == "taken over":
        Sweeper(engine, publisher).sweep(grace_seconds=60)
        assert take(job_id, 2, "worker-2") is not None
    before = everything(engine)
    with pytest.raises(Fenced, match=f"attempt 1 at job {job_id} is over"):
        WRITES[name](stale)
    assert everything(engine) == before


def test_a_delivery_is_taken_up_once_however_often_it_comes(jobs: Jobs, take: Taking) -> None:
    job_id = jobs.submit(tiny_spec()).id
    taken = [take(job_id, worker=f"worker-{n}") for n in range(3)]
    assert [attempt is not None for attempt in taken] == [True, False, False]


def test_a_delivery_of_a_cancelled_job_or_of_another_attempt_is_dropped(jobs: Jobs, take: Taking) -> None:
    job_id = jobs.submit(tiny_spec()).id
    assert take(job_id, 2) is None
    assert take("job_none") is None
    jobs.cancel(job_id)
    assert take(job_id) is None
    jobs.retry(job_id)
    assert take(job_id, 1) is None
    assert take(job_id, 2) is not None


def test_iterations_of_the_newest_attempt_replace_older_ones(
    engine: sa.Engine, jobs: Jobs, publisher: Publisher, take: Taking, expire: Callable[[str], None]
) -> None:
    job_id = jobs.submit(tiny_spec()).id
    first = take(job_id)
    assert first is not None
    first.record(rows(1, 2, 3, loss=math.nan))
    expire(job_id)
    Sweeper(engine, publisher).sweep(grace_seconds=60)
    second = take(job_id, 2)
    assert second is not None
    second.record(rows(2, loss=0.25))
    columns = queries.iterations(engine, job_id)
    assert columns.iteration == [1, 2, 3]
    assert [str(loss) for loss in columns.upper_loss] == ["nan", "0.25", "nan"]
    second.succeed({"loss": math.inf}, [])
    assert queries.iterations(engine, job_id).iteration == [1, 2], "what the final run did not reach is no part of it"
    job = queries.get(engine, job_id)
    assert job.result == {"loss": "Infinity"}
    assert (job.best.upper_loss, job.best.iteration) == (0.25, 2)


def test_the_tail_of_iterations_is_read_by_number(engine: sa.Engine, jobs: Jobs, take: Taking) -> None:
    job_id = jobs.submit(tiny_spec()).id
    attempt = take(job_id)
    assert attempt is not None
    empty = queries.iterations(engine, job_id)
    assert (empty.iteration, empty.total) == ([], 0)
    attempt.record(rows(*range(1, 11)))
    tail = queries.iterations(engine, job_id, after=7, limit=2)
    assert (tail.iteration, tail.next_after, tail.total) == ([8, 9], 9, 10)
    assert queries.iterations(engine, job_id, after=10).next_after == 10


def test_only_the_last_two_checkpoints_are_kept(jobs: Jobs, take: Taking) -> None:
    job_id = jobs.submit(tiny_spec()).id
    attempt = take(job_id)
    assert attempt is not None
    gone = [
        url
        for number in (1, 2, 10, 11)
        for url in attempt.checkpoint(
            StoredFile(f"checkpoint-{number:010d}", "checkpoint", 3, "0" * 64, f"file:///{number}", number)
        )
    ]
    assert gone == ["file:///1", "file:///2"]
    assert [file.iteration for file in attempt.checkpoints()] == [11, 10]


def test_three_lost_workers_fail_the_job_and_a_retry_starts_counting_anew(
    engine: sa.Engine, jobs: Jobs, publisher: Publisher, take: Taking, expire: Callable[[str], None]
) -> None:
    job_id = jobs.submit(tiny_spec(max_attempts=3)).id
    for number in (1, 2, 3):
        assert take(job_id, number) is not None
        assert Sweeper(engine, publisher).sweep(grace_seconds=60) == Swept(0, 0)
        expire(job_id)
        assert Sweeper(engine, publisher).sweep(grace_seconds=60) == Swept(1, 0)
    job = queries.get(engine, job_id)
    assert job.error is not None
    assert (job.state, job.error.reason, job.attempt) == (State.FAILED, "worker_lost", 3)
    jobs.retry(job_id)
    assert take(job_id, 4) is not None
    expire(job_id)
    Sweeper(engine, publisher).sweep(grace_seconds=60)
    assert queries.get(engine, job_id).state is State.QUEUED


def test_handing_back_pausing_and_resuming_cost_no_attempt(engine: sa.Engine, jobs: Jobs, take: Taking) -> None:
    job_id = jobs.submit(tiny_spec(max_attempts=1)).id
    number = 1
    for _ in range(3):
        attempt = take(job_id, number)
        assert attempt is not None
        attempt.release()
        jobs.pause(job_id)
        number = jobs.resume(job_id).attempt
    assert queries.get(engine, job_id).state is State.QUEUED


@pytest.mark.parametrize(("request_", "end"), [("cancel", State.CANCELLED), ("pause", State.PAUSED)])
def test_what_was_asked_of_a_lost_worker_is_done_by_the_sweeper(
    engine: sa.Engine,
    jobs: Jobs,
    publisher: Publisher,
    take: Taking,
    expire: Callable[[str], None],
    request_: str,
    end: State,
) -> None:
    job_id = jobs.submit(tiny_spec(max_attempts=1)).id
    assert take(job_id) is not None
    getattr(jobs, request_)(job_id)
    expire(job_id)
    Sweeper(engine, publisher).sweep(grace_seconds=60)
    assert queries.get(engine, job_id).state is end


def test_a_queued_job_that_nothing_will_deliver_is_enqueued_again(
    engine: sa.Engine, jobs: Jobs, publisher: Publisher, take: Taking
) -> None:
    waiting, undelivered = jobs.submit(tiny_spec()).id, jobs.submit(tiny_spec()).id
    with write(engine) as connection:
        table = deliveries(connection)
        connection.execute(table.update().where(table.c.workflow_uuid == f"{undelivered}:1").values(status="PENDING"))
    assert Sweeper(engine, publisher).sweep(grace_seconds=60) == Swept(0, 0), "it may be on its way"
    with write(engine) as connection:
        connection.execute(jobs_table.update().values(queued_at=now() - 61))
    assert Sweeper(engine, publisher).sweep(grace_seconds=60) == Swept(0, 1)
    assert Sweeper(engine, publisher).sweep(grace_seconds=60) == Swept(0, 0)
    assert take(undelivered, 1) is None
    assert take(undelivered, 2) is not None
    assert take(waiting, 1) is not None


def test_a_later_attempt_replaces_the_snapshots_that_it_passes_and_only_those(
    engine: sa.Engine, jobs: Jobs, publisher: Publisher, take: Taking, expire: Callable[[str], None]
) -> None:
    job_id = jobs.submit(tiny_spec()).id
    first = take(job_id)
    assert first is not None
    first.record(rows(*range(1, 31)))
    for iteration in (0, 10, 17, 20, 30):
        first.snapshot(snapshot(iteration, 1.0))
    expire(job_id)
    Sweeper(engine, publisher).sweep(grace_seconds=60)
    second = take(job_id, 2)
    assert second is not None

    def kept() -> list[tuple[int, float]]:
        found = hyperparameters.history(engine, job_id)
        highest = found.groups[0].lam[-1]
        return list(zip(found.iteration, highest, strict=True))

    second.snapshot(snapshot(10, 2.0))  # resumed from the checkpoint of iteration 10
    assert kept() == [(0, 1.0), (10, 2.0), (17, 1.0), (20, 1.0), (30, 1.0)]
    assert hyperparameters.current(engine, job_id).iteration == 10
    second.snapshot(snapshot(22, 2.0))
    second.snapshot(snapshot(22, 2.0))
    assert kept() == [(0, 1.0), (10, 2.0), (22, 2.0), (30, 1.0)]
    second.record(rows(*range(11, 26)))
    second.succeed({}, [])
    assert kept() == [(0, 1.0), (10, 2.0), (22, 2.0)]


@pytest.mark.parametrize("batch", [1, 7, 50, 333])
def test_blocks_are_those_of_the_iterations_however_these_came(
    engine: sa.Engine, jobs: Jobs, publisher: Publisher, take: Taking, expire: Callable[[str], None], batch: int
) -> None:
    job_id = jobs.submit(tiny_spec(stop={"iterations": 450})).id
    first = take(job_id)
    assert first is not None

    def record(attempt: Attempt, start: int, stop: int, loss: float) -> None:
        for begin in range(start, stop + 1, batch):
            attempt.record(rows(*range(begin, min(begin + batch, stop + 1)), loss=loss))

    record(first, 1, 350, 0.5)
    assert_blocks(engine, job_id, [0, 1, 2])
    expire(job_id)
    Sweeper(engine, publisher).sweep(grace_seconds=60)
    second = take(job_id, 2)
    assert second is not None
    record(second, 121, 250, 0.25)  # another device: other numbers
    assert_blocks(engine, job_id, [0, 1])
    record(second, 251, 399, 0.25)
    assert_blocks(engine, job_id, [0, 1, 2, 3])
    second.succeed({}, [])
    assert_blocks(engine, job_id, [0, 1, 2, 3])


def assert_blocks(engine: sa.Engine, job_id: str, numbers: list[int]) -> None:
    """These blocks are there, and each says what its iterations do."""
    with read(engine) as connection:
        query = iteration_blocks.select().where(iteration_blocks.c.job_id == job_id)
        found = connection.execute(query.order_by(iteration_blocks.c.block)).all()
        for block in found:
            inside = iterations.c.iteration.between(block.block * 100, block.block * 100 + 99)
            direct = connection.execute(sa.select(*FOLDED).where(iterations.c.job_id == job_id, inside)).one()
            assert tuple(block)[2:] == tuple(direct)
    assert [block.block for block in found] == numbers
