"""What carries experiments on is killed at each of its points, and workers beside it: each trial is there exactly once,
and the answer is that of an experiment that nobody disturbed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hposvc import failpoints
from hposvc.access.tenants import Quotas
from hposvc.db.engine import create_engine, read
from hposvc.db.tables import experiments, jobs
from hposvc.experiments import queries
from hposvc.experiments.service import Experiments
from hposvc.schema.experiment_spec import ExperimentSpec
from hposvc.schema.experiments import ExperimentState
from tests.support.harness import Service, UncheckedJobs, eventually
from tests.support.storm import LEASE, kill_one

pytestmark = pytest.mark.durability

CARRYING = ("experiment.told", "experiment.before_commit", "experiment.committed")
SEED = "solver.seed"


def spec(number: int) -> ExperimentSpec:
    """A search over the seed of the tiny runner, which decides its losses."""
    job = {
        "kind": "data_reweighting",
        "dataset": {"id": "sklearn:iris"},
        "stop": {"iterations": 30},
        "checkpoint_every": 10,
        "max_attempts": 20,
    }
    plan = {"type": "search", "parameters": {SEED: {"low": 0, "high": 99, "whole": True}}, "jobs": number}
    return ExperimentSpec.model_validate({"name": "slow=0.002", "job": job, "plan": plan, "at_once": 3})


class Carrier:
    """A process that carries experiments on; whenever it has died, another one takes its place."""

    def __init__(self, service: Service, environment: dict[str, str]) -> None:
        self._service = service
        self._environment = environment
        self.deaths = 0
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.advancing_process", self._service.url],
            env=os.environ | self._environment,
        )

    def look(self) -> None:
        if self._process.poll() is not None:
            assert self._process.returncode == -signal.SIGKILL
            self.deaths += 1
            self._start()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def armed(folder: Path, points: tuple[str, ...]) -> dict[str, str]:
    folder.mkdir()
    return {"HPOSVC_FAILPOINTS": ",".join(points), "HPOSVC_FAILPOINTS_FIRED": str(folder)}


def answer(service: Service, experiment_id: str) -> list[tuple[Any, ...]]:
    """What an experiment found, trial by trial; each with a job of its own that ended as if nothing had happened."""
    trials = queries.trials_page(service.engine, experiment_id).items
    with read(service.engine) as connection:
        made = connection.execute(sa.select(jobs.c.id).where(jobs.c.experiment_id == experiment_id)).scalars().all()
    assert sorted(made) == sorted(trial.job or "" for trial in trials), "one job for each trial"
    for trial in trials:
        service.assert_succeeded_exactly(trial.job or "")
    history = queries.events(service.engine, experiment_id).items
    assert [event.seq for event in history] == list(range(1, len(history) + 1))
    told = sorted((event.data["number"], event.data["state"]) for event in history if event.type == "trial")
    assert told == sorted((trial.number, state) for trial in trials for state in ("queued", trial.state)), "told once"
    return [(trial.number, trial.parameters, trial.value, trial.state, trial.curve) for trial in trials]


def through(service: Service, experiment_id: str, carriers: list[Carrier]) -> None:
    """Wait until the experiment has ended, and put another carrier in the place of each that dies."""

    def ended() -> bool:
        for carrier in carriers:
            carrier.look()
        return queries.get(service.engine, experiment_id).finished_at is not None

    eventually(ended, lambda: f"{queries.get(service.engine, experiment_id)!r}\n{service.logs()}")


def test_killed_at_each_point_the_answer_is_the_same(service: Service, tmp_path: Path) -> None:
    asks = Experiments(service.engine, UncheckedJobs(service.engine), quotas=Quotas())
    undisturbed, disturbed = asks.submit(spec(6)).id, asks.submit(spec(6)).id
    with contextlib.ExitStack() as stack:
        fired = tmp_path / "fired"
        carriers = [Carrier(service, armed(fired, CARRYING))]
        stack.callback(carriers[0].kill)
        asks.pause(disturbed)
        eventually(lambda: (carriers[0].look(), (fired / CARRYING[0]).exists())[1], "it was told")
        asks.resume(disturbed)
        carriers.append(Carrier(service, {}))  # two at once
        stack.callback(carriers[1].kill)
        service.worker()
        doomed = service.worker()
        eventually(lambda: queries.get(service.engine, disturbed).trials.ended > 1, "some trials ended")
        doomed.kill()
        for experiment_id in (undisturbed, disturbed):
            through(service, experiment_id, carriers)
        assert {path.name for path in fired.iterdir()} == set(CARRYING)
        deaths = carriers[0].deaths
    first, second = answer(service, undisturbed), answer(service, disturbed)
    assert [trial[0] for trial in first] == list(range(6))
    assert first == second
    assert queries.get(service.engine, disturbed).state is ExperimentState.SUCCEEDED
    print(f"{service.engine.dialect.name}: {deaths} carriers killed, 12 trials each exactly once, the same answer")


@pytest.mark.long
def test_a_storm_of_sixty_kills(service: Service) -> None:
    """Carriers, workers and runners are killed at any moment, over as many experiments as that takes."""
    asks = Experiments(service.engine, UncheckedJobs(service.engine), quotas=Quotas())
    chance = random.Random(60)
    with contextlib.ExitStack() as stack:
        carriers = [Carrier(service, {}) for _ in range(2)]
        for carrier in carriers:
            stack.callback(carrier.kill)
        workers = [service.worker(**LEASE) for _ in range(2)]
        undisturbed = asks.submit(spec(12)).id
        through(service, undisturbed, carriers)
        disturbed = [asks.submit(spec(12)).id]
        killed = dict.fromkeys(("carrier", "supervisor", "runner"), 0)
        while sum(killed.values()) < 60:
            time.sleep(chance.uniform(0.05, 0.3))
            victim = chance.choices(list(killed), (1, 3, 3))[0]  # a carrier needs a while to start
            if victim == "carrier":
                chance.choice(carriers).kill()
            elif not kill_one(service, workers, victim, chance):
                continue
            killed[victim] += 1
            for carrier in carriers:
                carrier.look()
            workers = [service.worker(**LEASE) if worker.poll() is not None else worker for worker in workers]
            if queries.get(service.engine, disturbed[-1]).finished_at is not None:
                disturbed.append(asks.submit(spec(12)).id)
        through(service, disturbed[-1], carriers)
    expected = answer(service, undisturbed)
    assert len(expected) == 12
    for experiment_id in disturbed:
        assert answer(service, experiment_id) == expected
    print(f"{service.engine.dialect.name}: killed {killed}; {len(disturbed)} experiments of 12 trials, the same answer")


POINTS_OF_REQUESTS = [point for point in failpoints.EXPERIMENTS if point not in CARRYING]


@pytest.mark.parametrize("point", [*POINTS_OF_REQUESTS, *failpoints.EXPERIMENTS_REMOVED])
def test_a_request_is_done_whole_or_not_at_all(point: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = Experiments(service.engine, UncheckedJobs(service.engine), quotas=Quotas())
    is_submission = point.startswith("experiment.submit")
    given = None if is_submission else asks.submit(spec(3)).id
    if given is not None and point == "experiment.delete_before_commit":
        with service.engine.begin() as connection:
            connection.execute(experiments.update().values(state="cancelled"))
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(failpoints, "_armed", {point: 1})
        engine = create_engine(service.url)
        other = Experiments(engine, UncheckedJobs(engine), quotas=Quotas())
        if given is None:
            other.submit(spec(3), idempotency_key="one")
        elif point == "experiment.delete_before_commit":
            other.delete(given)
        else:
            other.pause(given)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with read(service.engine) as connection:
        kept = connection.execute(sa.select(experiments.c.id, experiments.c.state)).all()
    if given is None:
        assert len(kept) == (point == "experiment.submitted")
        again = asks.submit(spec(3), idempotency_key="one").id
        assert [item.id for item in queries.list_(service.engine).items] == [again], "one key, one experiment"
    else:
        state = "cancelled" if point == "experiment.delete_before_commit" else "running"
        assert [tuple(row) for row in kept] == [(given, state)]
