"""A trial of a search that stops poor ones waits at its looks: a poor one does no iteration beyond."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.background import Repeated
from hposvc.access.tenants import Quotas
from hposvc.experiments import queries
from hposvc.experiments.advance import Advancing
from hposvc.experiments.service import Experiments
from hposvc.schema.experiment_spec import ExperimentSpec
from hposvc.schema.states import State
from tests.support.harness import Service, UncheckedJobs, eventually, tiny_spec

ITERATIONS = 108  # of each trial
LOOK = 36  # of successive halving: after a third


@pytest.fixture
def advancing(service: Service) -> Iterator[None]:
    """Experiments are carried on, as by an API."""
    carries_on = Repeated("experiments", Advancing(service.engine, UncheckedJobs(service.engine)).advance, 0.05)
    carries_on.start()
    yield
    carries_on.stop()


def search(pruner: str, jobs: int) -> ExperimentSpec:
    job = tiny_spec(stop={"iterations": ITERATIONS}).model_dump(mode="json", exclude={"name"}, exclude_unset=True)
    plan = {
        "type": "search",
        "parameters": {"solver.seed": {"low": 0, "high": 99, "whole": True}},
        "sampler": "random",
        "pruner": pruner,
        "jobs": jobs,
    }
    return ExperimentSpec.model_validate({"name": "plain", "job": job, "plan": plan, "at_once": 1})


@pytest.mark.usefixtures("advancing")
def test_poor_trials_end_where_they_were_judged(service: Service) -> None:
    """The tiny runner is through with all iterations before anybody could look, unless it waits."""
    service.worker()
    asks = Experiments(service.engine, UncheckedJobs(service.engine), quotas=Quotas())
    begun = asks.submit(search("successive_halving", 9)).id
    eventually(lambda: queries.get(service.engine, begun).finished_at is not None, service.logs)
    trials = queries.trials_page(service.engine, begun).items
    done = {trial.number: service.get(trial.job or "").progress.iteration for trial in trials}
    assert {trial.state for trial in trials} == {"succeeded", "pruned"}
    for trial in trials:
        assert done[trial.number] == (LOOK if trial.state == "pruned" else ITERATIONS)
    best = min(trial.value for trial in trials if trial.value is not None)
    assert min(trial.curve[-1] for trial in trials if trial.state == "pruned") > best


def test_where_nobody_judges_a_trial_goes_on(service: Service) -> None:
    """No API runs after the trial was made."""
    asks = Experiments(service.engine, UncheckedJobs(service.engine), quotas=Quotas())
    begun = asks.submit(search("successive_halving", 1)).id
    Advancing(service.engine, UncheckedJobs(service.engine)).advance()
    (trial,) = queries.trials_page(service.engine, begun).items
    service.worker(judge=0.2)
    service.assert_succeeded_exactly(trial.job or "")


def test_a_trial_that_waits_can_be_paused_and_goes_on_where_it_was(service: Service) -> None:
    asks = Experiments(service.engine, UncheckedJobs(service.engine), quotas=Quotas())
    begun = asks.submit(search("median", 1)).id
    carries_on = Advancing(service.engine, UncheckedJobs(service.engine))
    carries_on.advance()
    (trial,) = queries.trials_page(service.engine, begun).items
    service.worker(judge=240.0)
    first = 16  # the end of the fourth slice
    service.until_iteration(trial.job or "", first)
    service.jobs.pause(trial.job or "")
    service.until_state(trial.job or "", State.PAUSED)
    assert service.get(trial.job or "").progress.iteration == first, "it did not go on meanwhile"
    service.jobs.resume(trial.job or "")
    carries_on.advance()
    eventually(lambda: (carries_on.advance(), service.get(trial.job or "").finished_at)[1], service.logs)
    service.assert_succeeded_exactly(trial.job or "")
