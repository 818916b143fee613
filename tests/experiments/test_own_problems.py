"""Experiments over own problems: what the plan may change, what trials are compared by, and what they show together."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from hposvc.access.tenants import Quotas
from hposvc.experiments.service import Experiments
from hposvc.fleet import problems
from hposvc.fleet.problems import Description
from hposvc.jobs.queries import METRICS
from hposvc.jobs.service import Jobs
from hposvc.schema.experiment_spec import ExperimentSpec
from hposvc.schema.spec import JobSpec
from hposvc.tables.defects import DataError
from tests.support.experimenting import Laboratory

NAME = "my_package:few_shot"
PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "shots": {"type": "integer", "default": 5, "minimum": 1},
        "layer2Units": {"type": "integer", "default": 8},
    },
}
DEFAULTS = {"solver": {"estimator": "unrolled", "lower": {"steps": 4}}, "stop": {"iterations": 54}}
GRID = {"type": "grid", "parameters": {"parameters.shots": {"choices": [1, 5]}, "solver.lower.steps": {"choices": [2]}}}


@pytest.fixture
def lab(engine: sa.Engine) -> Laboratory:
    problems.report(engine, [Description(NAME, "1.2.0", "Learns.", PARAMETERS, DEFAULTS)])
    made = Laboratory(engine)
    made.jobs = Jobs(engine)  # which checks
    made.experiments = Experiments(engine, made.jobs, quotas=Quotas())
    made.advancing._jobs = made.jobs
    return made


def experiment(plan: dict[str, Any]) -> ExperimentSpec:
    return ExperimentSpec.model_validate({"job": {"kind": "custom", "problem": NAME}, "plan": plan})


def found(spec: JobSpec) -> dict[str, Any]:
    """The result of a problem without selection rows, which is best with one shot."""
    best = 0.1 * spec.parameters["shots"] + spec.solver.seed / 100
    return {
        "problem": NAME,
        "stopped_by": "iterations",
        "iterations": spec.stop.iterations,
        "best_iteration": 1,
        "seconds": 1.0,
        "sentence": "It learned.",
        "upper_loss": {"first": 1.0, "last": best, "best": best},
        "hypergradient_norm": {"first": 1.0, "last": 0.1},
        "warnings": [],
    }


def play(lab: Laboratory, plan: dict[str, Any]) -> Any:
    begun = lab.experiments.submit(experiment(plan))
    for _ in range(20):
        lab.advancing.advance()
        seen = lab.get(begun.id)
        if seen.finished_at is not None:
            return seen
        for trial in lab.waiting(begun.id):
            job = lab.jobs_of(trial)
            attempt, outcome = lab.worker.take(job), found(job.spec)
            attempt.record([dict.fromkeys(METRICS) | {"iteration": 1, "upper_loss": outcome["upper_loss"]["best"]}])
            attempt.succeed(outcome, [])
    raise AssertionError("it does not end")


def test_a_grid_over_parameters_keeps_the_defaults_of_the_problem(lab: Laboratory) -> None:
    ended = play(lab, GRID)
    trials = lab.trials(ended.id)
    jobs = [lab.jobs_of(trial).spec for trial in trials]
    assert [job.parameters for job in jobs] == [{"shots": shots, "layer2Units": 8} for shots in (1, 5)]
    assert {(job.solver.estimator, job.solver.lower.steps, job.stop.iterations) for job in jobs} == {
        ("unrolled", 2, 54)
    }
    assert ended.best is not None
    assert ended.best.parameters["parameters.shots"] == 1
    assert ended.result is not None
    assert ended.result.sentence.startswith("Trial 0 has the lowest upper loss of 2, 0.1000.")


def test_repeats_show_the_loss_that_they_are_compared_by(lab: Laboratory) -> None:
    ended = play(lab, {"type": "repeat", "repeats": 3})
    assert [lab.jobs_of(trial).spec.solver.seed for trial in lab.trials(ended.id)] == [0, 1, 2]
    assert ended.result is not None
    together = ended.result.repeated
    assert together is not None
    assert together.value is not None
    assert (together.repeats, together.value.mean) == (3, pytest.approx(0.51))
    assert "Over 3 repeats, the lowest loss of the iterations is 0.5100 ± 0.0100" in ended.result.sentence


@pytest.mark.parametrize(
    ("parameters", "field", "says"),
    [
        ({"parameters.shots": {"choices": [1, 0]}}, "plan.parameters.parameters.shots", "less than the minimum"),
        ({"parameters.shoes": {"choices": [1]}}, "plan.parameters.parameters.shoes", "'shoes' was unexpected"),
        ({"parameters.layer2Units": {"low": 0.5, "high": 9}}, "plan.parameters.parameters.layer2Units", "0.5 is not"),
        ({"problem": {"choices": ["a:b"]}}, "plan.parameters.problem", "the problem must be the same"),
    ],
)
def test_a_value_that_the_problem_does_not_take_is_refused_at_once(
    lab: Laboratory, parameters: dict[str, Any], field: str, says: str
) -> None:
    kind = "search" if "low" in str(parameters) else "grid"
    with pytest.raises(DataError) as refusal:
        lab.experiments.check(experiment({"type": kind, "parameters": parameters}))
    assert (refusal.value.defects[0].field, says in refusal.value.defects[0].message) == (field, True)
