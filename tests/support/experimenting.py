"""Experiments for tests: specs, and jobs that are played to their end."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from hposvc.access.tenants import Quotas
from hposvc.experiments import queries
from hposvc.experiments.advance import Advancing
from hposvc.experiments.service import Experiments
from hposvc.jobs import queries as job_queries
from hposvc.schema.experiment_spec import ExperimentSpec
from hposvc.schema.experiments import ExperimentResource, TrialResource
from hposvc.schema.job import JobResource
from hposvc.schema.spec import JobSpec
from tests.support.harness import UncheckedJobs
from tests.support.serving import RESULT, Worker, curve

JOB: dict[str, Any] = {"kind": "data_reweighting", "dataset": {"id": "sklearn:iris"}, "stop": {"iterations": 54}}
DECAY = "solver.lower.weight_decay"
UPPER = "solver.upper.learning_rate"
SEARCH: dict[str, Any] = {"type": "search", "parameters": {DECAY: {"low": 1e-4, "high": 1.0, "log": True}}, "jobs": 8}
REPEATS: dict[str, Any] = {"type": "repeat", "repeats": 4}


def experiment(plan: dict[str, Any], **fields: Any) -> ExperimentSpec:
    """An experiment over a small job."""
    return ExperimentSpec.model_validate({"job": JOB, "plan": plan} | fields)


class Laboratory:
    """A database with what makes experiments, and what carries them on."""

    def __init__(self, engine: sa.Engine, quotas: Quotas | None = None) -> None:
        self.engine = engine
        self.jobs = UncheckedJobs(engine, quotas=quotas or Quotas())
        self.experiments = Experiments(engine, self.jobs, quotas=quotas or Quotas())
        self.advancing = Advancing(engine, self.jobs)
        self.worker = Worker(engine)

    def get(self, experiment_id: str) -> ExperimentResource:
        return queries.get(self.engine, experiment_id)

    def trials(self, experiment_id: str) -> list[TrialResource]:
        return queries.trials_page(self.engine, experiment_id).items

    def waiting(self, experiment_id: str) -> list[TrialResource]:
        """The trials whose jobs nobody has taken."""
        return [trial for trial in self.trials(experiment_id) if trial.state == "queued"]

    def play(self, trial: TrialResource, result: Callable[[JobSpec], dict[str, Any]]) -> None:
        """Compute the job of a trial, as a worker does."""
        job = self.jobs_of(trial)
        attempt = self.worker.take(job)
        outcome = result(job.spec)
        attempt.record(curve(1, job.spec.stop.iterations, floor=outcome["models"][0]["selection_loss"]))
        attempt.succeed(outcome, [])

    def jobs_of(self, trial: TrialResource) -> JobResource:
        assert trial.job is not None
        return job_queries.get(self.engine, trial.job)

    def run(self, experiment_id: str, result: Callable[[JobSpec], dict[str, Any]]) -> ExperimentResource:
        """Carry the experiment on to its end, each job at once."""
        for _ in range(1000):
            self.advancing.advance()
            found = self.get(experiment_id)
            if found.finished_at is not None:
                return found
            for trial in self.waiting(experiment_id):
                self.play(trial, result)
        raise AssertionError("it does not end")


def found(selection_loss: float = 0.2, test_score: float = 0.95, rival: float = 0.9) -> dict[str, Any]:
    """A result whose tuned model has these figures, and whose best rival has that test score."""
    result = copy.deepcopy(RESULT)
    tuned, *others = result["models"]
    tuned |= {"selection_loss": selection_loss, "test_score": test_score}
    for model in others:
        model["test_score"] = rival - (0.1 if model["name"] != "trusted_only" else 0)
    return result


WIDTHS = [{"type": "linear"}, {"type": "mlp", "hidden": [32]}, {"type": "mlp", "hidden": [128]}]


def staged(engine: sa.Engine, trials: int = 12) -> tuple[str, str]:
    """The ids of a search and of repeats that have ended, as a page shows them."""
    lab = Laboratory(engine)
    parameters = {"model": {"choices": WIDTHS}, **SEARCH["parameters"], UPPER: {"low": 0.01, "high": 1.0}}
    plan = SEARCH | {"parameters": parameters, "jobs": trials, "sampler": "random"}
    search = lab.experiments.submit(experiment(plan, name="model and weight decay", tags=["iris"], at_once=20))
    repeats = lab.experiments.submit(experiment(REPEATS | {"repeats": 5}, name="iris over five splits"))
    lab.run(search.id, lambda spec: by_decay(spec, worse=0.3 * (spec.model.type == "linear")))
    lab.run(repeats.id, lambda spec: found(0.2 + 0.02 * (spec.solver.seed % 3), 0.95 + 0.002 * spec.solver.seed, 0.94))
    return search.id, repeats.id


def by_decay(spec: JobSpec, worse: float = 0.0) -> dict[str, Any]:
    """A result that is best at a weight decay of 0.01."""
    decay = float(spec.solver.lower.weight_decay)
    loss = 0.1 + worse + (math.log10(decay) + 2) ** 2
    return found(selection_loss=loss, test_score=1 - loss / 8)
