"""Random sequences of what people and workers do, against a model of a few lines, on both databases."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hposvc.db import migrate
from hposvc.db.clock import now
from hposvc.db.engine import create_engine, read, write
from hposvc.db.tables import jobs as jobs_table
from hposvc.jobs import queries
from hposvc.jobs.attempt import Attempt, Fenced, claim
from hposvc.jobs.queries import METRICS
from hposvc.jobs.queue import Publisher
from hposvc.jobs.service import IllegalTransition
from hposvc.jobs.stored_file import StoredFile
from hposvc.jobs.sweeper import Sweeper
from hposvc.schema.job import JobError
from hposvc.schema.states import HELD, TERMINAL, State
from tests.support.harness import UncheckedJobs, tiny_spec
from tests.support.postgresql import PostgreSQL

MAX_ATTEMPTS = 3


@dataclass
class Model:
    """What a job should be."""

    state: State = State.QUEUED
    attempt: int = 1
    losses: int = 0
    iteration: int = 0  # of the newest write
    holder: int | None = None  # the attempt whose writes count
    checkpoints: list[int] = field(default_factory=list)

    def released(self, *, lost: bool) -> None:
        """The worker is gone; what happens depends on what was asked of it."""
        self.holder = None
        self.losses += lost
        if self.state is State.PAUSING:
            self.state = State.PAUSED
        elif self.state is State.CANCELLING:
            self.state = State.CANCELLED
        elif lost and self.losses >= MAX_ATTEMPTS:
            self.state = State.FAILED
        else:
            self.queue()

    def queue(self) -> None:
        self.state = State.QUEUED
        self.attempt += 1


class Machine(RuleBasedStateMachine):
    url: str

    submitted = Bundle("submitted")
    claimed = Bundle("claimed")

    def __init__(self) -> None:
        super().__init__()
        self.engine = create_engine(self.url)
        self.publisher = Publisher(self.engine)
        self.jobs = UncheckedJobs(self.engine)
        self.models: dict[str, Model] = {}
        with write(self.engine) as connection:
            connection.execute(jobs_table.delete())  # of the example before

    def teardown(self) -> None:
        self.engine.dispose()

    @initialize(target=submitted)
    def submit_one(self) -> str:
        return self.submit()

    @precondition(lambda self: len(self.models) < 2)  # few jobs, so that much happens to each
    @rule(target=submitted)
    def submit_another(self) -> str:
        return self.submit()

    def submit(self) -> str:
        job_id = self.jobs.submit(tiny_spec(max_attempts=MAX_ATTEMPTS)).id
        self.models[job_id] = Model()
        return job_id

    @rule(target=claimed, job_id=submitted, age=st.integers(0, 2))
    def deliver(self, job_id: str, age: int) -> object:
        """Any delivery that was ever made may come, again and late."""
        return self.claim(job_id, age) or multiple()

    def claim(self, job_id: str, age: int) -> Attempt | None:
        model = self.models[job_id]
        number = max(1, model.attempt - age)
        attempt = claim(self.engine, self.publisher, job_id, number, worker_id="w", lease_seconds=600)
        assert (attempt is not None) == (model.state is State.QUEUED and number == model.attempt)
        if attempt is not None:
            model.state, model.holder = State.STARTING, number
        return attempt

    def write(self, claimed: Attempt, name: str, *arguments: object) -> Model | None:
        """Let a worker write; the model, if the write should count."""
        model = self.models[claimed.job_id]
        if claimed.number == model.holder:
            getattr(claimed, name)(*arguments)
            return model
        with pytest.raises(Fenced):
            getattr(claimed, name)(*arguments)
        return None

    @rule(claimed=claimed)
    def renew(self, claimed: Attempt) -> None:
        self.write(claimed, "renew", 600)

    @rule(claimed=claimed)
    def start(self, claimed: Attempt) -> None:
        model = self.models[claimed.job_id]
        if model.state is not State.RUNNING and self.write(claimed, "start", None) and model.state is State.STARTING:
            model.state = State.RUNNING

    @rule(claimed=claimed, count=st.integers(1, 5))
    def record(self, claimed: Attempt, count: int) -> None:
        first = self.models[claimed.job_id].iteration + 1
        rows = [dict.fromkeys(METRICS, 0.5) | {"iteration": n} for n in range(first, first + count)]
        if model := self.write(claimed, "record", rows):
            model.iteration += count

    @rule(claimed=claimed)
    def checkpoint(self, claimed: Attempt) -> None:
        iteration = self.models[claimed.job_id].iteration
        url = f"file:///{claimed.number}/{iteration}"
        file = StoredFile(f"checkpoint-{iteration:010d}", "checkpoint", 1, "s", url, iteration)
        if (model := self.write(claimed, "checkpoint", file)) and iteration not in model.checkpoints:
            model.checkpoints = [*model.checkpoints, iteration][-2:]

    @rule(claimed=claimed)
    def stopped(self, claimed: Attempt) -> None:
        """The runner says that it stopped; a worker says so only when it was asked to."""
        ends = {State.PAUSING: State.PAUSED, State.CANCELLING: State.CANCELLED}
        model = self.models[claimed.job_id]
        if claimed.number == model.holder and model.state not in ends:
            with pytest.raises(IllegalTransition):
                claimed.stopped()
        elif self.write(claimed, "stopped"):
            model.state, model.holder = ends[model.state], None

    @rule(claimed=claimed)
    def succeed(self, claimed: Attempt) -> None:
        if model := self.write(claimed, "succeed", {}, []):
            model.state, model.holder = State.SUCCEEDED, None

    @rule(claimed=claimed)
    def fail(self, claimed: Attempt) -> None:
        if model := self.write(claimed, "fail", JobError(reason="r", message="m", remedy="r")):
            model.state, model.holder = State.FAILED, None

    @rule(claimed=claimed)
    def lose(self, claimed: Attempt) -> None:
        self.lose_as(claimed)

    def lose_as(self, claimed: Attempt) -> None:
        if model := self.write(claimed, "lose", JobError(reason="r", message="m", remedy="r")):
            model.released(lost=True)

    @rule(job_id=submitted)
    def crash(self, job_id: str) -> None:
        """A delivery that comes in time, to a runner that dies at once."""
        attempt = self.claim(job_id, 0)
        if attempt is not None:
            self.lose_as(attempt)

    @rule(claimed=claimed)
    def release(self, claimed: Attempt) -> None:
        if model := self.write(claimed, "release"):
            model.released(lost=False)

    @rule(job_id=submitted)
    def expire(self, job_id: str) -> None:
        """From here on the worker writes nothing more, whether somebody has noticed or not."""
        with write(self.engine) as connection:
            held = jobs_table.update().where(jobs_table.c.id == job_id, jobs_table.c.state.in_(HELD))
            connection.execute(held.values(lease_until=now() - 1))
        self.models[job_id].holder = None

    @rule()
    def sweep(self) -> None:
        abandoned = [model for model in self.models.values() if model.state in HELD and model.holder is None]
        assert Sweeper(self.engine, self.publisher).sweep(grace_seconds=600).lost == len(abandoned)
        for model in abandoned:
            model.released(lost=True)

    def request(self, job_id: str, action: str, moves: dict[State, State], **options: bool) -> Model:
        model = self.models[job_id]
        if model.state in moves:
            assert getattr(self.jobs, action)(job_id, **options).state is moves[model.state]
            model.state = moves[model.state]
        else:
            with pytest.raises(IllegalTransition):
                getattr(self.jobs, action)(job_id, **options)
        return model

    @rule(job_id=submitted)
    def cancel(self, job_id: str) -> None:
        rest = dict.fromkeys((State.QUEUED, State.PAUSED, State.CANCELLED), State.CANCELLED)
        self.request(job_id, "cancel", rest | dict.fromkeys(HELD, State.CANCELLING))

    @rule(job_id=submitted)
    def pause(self, job_id: str) -> None:
        held = dict.fromkeys((State.STARTING, State.RUNNING, State.PAUSING), State.PAUSING)
        self.request(job_id, "pause", held | dict.fromkeys((State.QUEUED, State.PAUSED), State.PAUSED))

    @rule(job_id=submitted)
    def resume(self, job_id: str) -> None:
        was = self.models[job_id].state
        same = {state: state for state in (State.QUEUED, State.STARTING, State.RUNNING)}
        model = self.request(job_id, "resume", same | {State.PAUSED: State.QUEUED})
        model.attempt += was is State.PAUSED

    @rule(job_id=submitted, from_start=st.booleans())
    def retry(self, job_id: str, from_start: bool) -> None:
        was = self.models[job_id].state
        same = {state: state for state in (State.QUEUED, State.STARTING, State.RUNNING)}
        moves = same | dict.fromkeys((State.FAILED, State.CANCELLED), State.QUEUED)
        model = self.request(job_id, "retry", moves, from_start=from_start)
        if was in TERMINAL and model.state is State.QUEUED:
            model.attempt += 1
            model.losses = 0
            if from_start:
                model.iteration, model.checkpoints = 0, []

    @invariant()
    def the_database_agrees(self) -> None:
        with read(self.engine) as connection:
            for job_id, model in self.models.items():
                row = connection.execute(sa.select(jobs_table).where(jobs_table.c.id == job_id)).one()
                assert (row.state, row.attempt, row.losses, row.iteration) == (
                    model.state,
                    model.attempt,
                    model.losses,
                    model.iteration,
                )
                assert (row.lease_until is not None) == (row.state in HELD)
        for job_id, model in self.models.items():
            assert queries.iterations(self.engine, job_id).iteration == list(range(1, model.iteration + 1))
            seqs = [event.seq for event in queries.events(self.engine, job_id).items]
            assert seqs == list(range(1, len(seqs) + 1))
            kept = [file.iteration for file in Attempt(self.engine, self.publisher, job_id, 0, {}).checkpoints()]
            assert kept == model.checkpoints[::-1], "the newest two to resume from"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        directory: Path = tmp_path_factory.mktemp("machine")
        url = f"sqlite:///{directory / 'hposvc.sqlite3'}"
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.create(f"machine_{secrets.token_hex(6)}")
    migrate.upgrade(url)
    return url


@pytest.mark.durability
@pytest.mark.slow
def test_jobs_behave_like_the_model(shared_database: str) -> None:
    class OnThisDatabase(Machine):
        url = shared_database

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
