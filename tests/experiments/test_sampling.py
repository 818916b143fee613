"""What Optuna draws and stops depends on the trials alone, and is worth having."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hposvc.experiments import sampling
from hposvc.experiments.trials import Trial
from hposvc.schema.experiment_spec import SearchPlan

PLAN = SearchPlan.model_validate(
    {
        "type": "search",
        "parameters": {
            "solver.lower.weight_decay": {"low": 1e-5, "high": 1.0, "log": True},
            "solver.lower.steps": {"low": 1, "high": 10, "whole": True},
            "model": {"choices": [{"type": "linear"}, {"type": "mlp", "hidden": [8]}]},
        },
    }
)


def loss(trial: Trial) -> float:
    """Best at a weight decay of 0.01, whatever the steps, and better for the linear model."""
    worse = 0.5 * (trial.parameters["model"]["type"] != "linear")
    return worse + (math.log10(trial.parameters["solver.lower.weight_decay"]) + 2) ** 2


def search(plan: SearchPlan, number: int, at_once: int = 3) -> list[Trial]:
    """A search whose trials end in order."""
    trials: list[Trial] = []
    for n in range(number):
        trial = Trial(n, sampling.ask(plan, n, trials, at_once), state="succeeded")
        trials.append(replace(trial, value=loss(trial)))
    return trials


def test_what_is_drawn_does_not_depend_on_how_fast_trials_are() -> None:
    trials = search(PLAN, 24)
    for number in (12, 23):  # the last two trials before may still run, or have ended
        running = [
            replace(trial, state=None, value=None) if trial.number > number - 3 else trial for trial in trials[:number]
        ]
        assert sampling.ask(PLAN, number, running, 3) == trials[number].parameters
    assert all(isinstance(trial.parameters["solver.lower.steps"], int) for trial in trials)
    assert {trial.parameters["model"]["type"] for trial in trials} == {"linear", "mlp"}
    other = search(PLAN.model_copy(update={"seed": 1}), 2)
    assert other[0].parameters != trials[0].parameters


def test_trials_before_are_learned_from() -> None:
    """Later trials lie nearer to the best values than random ones do, over several seeds."""
    better = 0
    for seed in range(5):
        plan = PLAN.model_copy(update={"seed": seed})
        at_random = search(plan.model_copy(update={"sampler": "random"}), 40)[20:]
        learned = search(plan, 40)[20:]
        median = [sorted(map(loss, trials))[10] for trials in (learned, at_random)]
        better += median[0] < median[1]
    assert better >= 4


@pytest.mark.parametrize("pruner", ["median", "successive_halving", "hyperband"])
def test_poor_trials_are_stopped_and_good_ones_are_not(pruner: str) -> None:
    plan = PLAN.model_copy(update={"pruner": pruner, "sampler": "random"})
    ended = [replace(trial, curve=[loss(trial) + 1 / step for step in range(1, 28)]) for trial in search(plan, 15)]
    values = sorted(trial.value or 0.0 for trial in ended)

    def stopped(level: float) -> list[int]:
        """The slices at which a trial at this level is stopped, were it to go on."""
        found = []
        for step in range(1, 27):
            curve = [level + 1 / k for k in range(1, step + 1)]
            new = Trial(15, ended[0].parameters, curve=curve)
            if sampling.poor(plan, [*ended, new], {15: step - 1}):
                found.append(step)
        return found

    assert stopped(values[0] - 1) == []
    assert stopped(values[-1] + 1), "the worst of all is stopped"
    assert sampling.poor(PLAN, [*ended, Trial(15, ended[0].parameters, curve=[99.0] * 20)], {15: 0}) == set()


@pytest.mark.parametrize("evaluator", ["fanova", "mean_decrease_impurity"])
def test_importance_is_that_of_the_settings_that_matter(evaluator: sampling.Evaluator) -> None:
    trials = search(PLAN.model_copy(update={"sampler": "random"}), 60)
    number, shares = sampling.importance(PLAN, trials, evaluator)
    assert number == 60
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "solver.lower.weight_decay"
    assert shares["solver.lower.steps"] < 0.15
    assert sampling.importance(PLAN, trials[:3], evaluator) == (3, {})


def test_fanova_of_a_long_search_looks_at_some_of_its_trials() -> None:
    trials = search(PLAN.model_copy(update={"sampler": "random"}), 450)
    number, shares = sampling.importance(PLAN, trials, "fanova")
    assert number == 150
    assert next(iter(shares)) == "solver.lower.weight_decay"
