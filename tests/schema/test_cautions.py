"""What a result says about the settings that made it."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import pytest

from hposvc.schema.cautions import Seen, Sizes, of_own_problem, of_run, of_selection, of_spec
from hposvc.schema.spec import JobSpec

ENOUGH = Sizes(upper_rows=100, hyperparameters=30)


class Record(NamedTuple):
    upper_loss: float = 1.0
    hypergradient_norm: float = 1.0
    fd_relative_error: float | None = None


def spec(kind: str = "regularization_tuning", **fields: Any) -> JobSpec:
    return JobSpec.model_validate({"kind": kind, "dataset": {"id": "sklearn:wine"}, **fields})


def seen(*records: Record, **known: Any) -> Seen:
    found = Seen(**known)
    for record in records:
        found = found.after(record)
    return found


CHANGING = [Record(1 / k, 1 / k) for k in range(1, 21)]
CONSTANT = [Record(1 / k, 0.5) for k in range(1, 21)]


@pytest.mark.parametrize(
    ("settings", "sizes", "what_was_seen", "said"),
    [
        ({"lower": {"learning_rate": 0.1}}, ENOUGH, seen(*CHANGING, largest_stable_rate=0.01), "largest stable step"),
        ({"upper": {"learning_rate": 6}}, ENOUGH, seen(*CHANGING), "with adam, 6 moves λ by up to 6"),
        ({"upper": {"learning_rate": 600, "optimizer": "sgd"}}, ENOUGH, seen(*CHANGING), "moved λ by 1.1e+02"),
        ({"upper": {"learning_rate": 0.1}}, ENOUGH, seen(Record(1.0), Record(2.0)), "rose from 1.0000 to 2.0000"),
        ({"radius": 3.0}, ENOUGH, seen(Record(fd_relative_error=0.3)), "off by up to 30 %: solver.radius 3"),
        ({}, ENOUGH, seen(Record(fd_relative_error=0.3)), "use float64"),
        ({}, ENOUGH, seen(*CONSTANT), "the same in all 20 iterations"),
        ({}, ENOUGH, seen(Record(hypergradient_norm=0.0)), "no influence on the upper loss"),
    ],
)
def test_what_can_be_seen_is_said(settings: dict[str, Any], sizes: Sizes, what_was_seen: Seen, said: str) -> None:
    (sentence,) = of_run(spec(solver=settings), sizes, what_was_seen, "iterations")
    assert said in sentence


def test_an_error_is_told_while_lambda_moves_and_not_after_it_has_settled() -> None:
    before, after = Record(0.9, 1e-2, 0.3), Record(0.9, 1e-4, 0.3)
    assert len([*of_run(spec(), ENOUGH, seen(Record(), before), "iterations")]) == 1
    assert [*of_run(spec(), ENOUGH, seen(Record(), after), "iterations")] == []


@pytest.mark.parametrize("level", ["lower", "upper"])
def test_a_learning_rate_of_a_thousand_is_doubted_before_the_job_runs(level: str) -> None:
    doubtful = spec(solver={level: {"learning_rate": 1000}})
    (sentence,) = of_spec(doubtful, ENOUGH)
    assert f"solver.{level}.learning_rate" in sentence
    assert "1000" in sentence
    again = list(of_run(doubtful, ENOUGH, seen(*CHANGING, largest_stable_rate=0.5), "iterations"))
    assert again == [sentence]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_steps_that_nothing_bounds_are_doubted_before_the_job_runs_and_measured_after(optimizer: str) -> None:
    steps = {"learning_rate": 1000, "optimizer": optimizer}
    (sentence,) = of_spec(spec(solver={"upper": steps}), ENOUGH)
    assert f"solver.upper.learning_rate: with {optimizer}, 1000 moves λ by 1000 times the hypergradient" in sentence
    assert "clip_norm" in sentence
    assert not list(of_spec(spec(solver={"upper": steps | {"clip_norm": 0.001}}), ENOUGH))
    assert not list(of_spec(spec(solver={"upper": steps | {"learning_rate": "auto"}}), ENOUGH))
    tiny = [Record(1 / k, 1e-4 / k) for k in range(1, 21)]
    assert not list(of_run(spec(solver={"upper": steps}), ENOUGH, seen(*tiny), "iterations"))


@pytest.mark.parametrize("level", ["lower", "upper"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_learning_rate_of_a_thousand_is_doubted_for_an_own_problem_too(level: str, optimizer: str) -> None:
    def custom(rate: float) -> JobSpec:
        levels = {"upper": {"optimizer": optimizer}, "lower": {}}
        solver = levels | {level: levels[level] | {"learning_rate": rate}}
        return JobSpec.model_validate({"kind": "custom", "problem": "mine:curve", "solver": solver})

    (sentence,) = of_own_problem(custom(1000))
    assert f"solver.{level}.learning_rate: 1000" in sentence
    assert not list(of_own_problem(custom(0.1)))


def test_a_selection_loss_that_rose_is_overfitting_and_one_that_trembles_is_not() -> None:
    (sentence,) = of_selection(22, 0.5, 0.4, 0.6)
    assert "since iteration 22" in sentence
    assert "rose from 0.4000 to 0.6000" in sentence
    assert not list(of_selection(495, 0.5, 0.4, 0.401))
    assert not list(of_selection(22, 0.4001, 0.4, 0.4002))


def test_few_rows_for_many_strengths_are_a_caution_only_without_shrinkage() -> None:
    few = Sizes(upper_rows=20, hyperparameters=30)
    (sentence,) = of_spec(spec(hyperparameters={"shrinkage": 0}), few)
    assert "20 validation rows judge 30 strengths" in sentence
    assert not list(of_spec(spec(), few))
    assert not list(of_spec(spec(hyperparameters={"shrinkage": 0}), ENOUGH))


@pytest.mark.parametrize("kind", ["data_reweighting", "regularization_tuning"])
def test_sensible_settings_are_left_without_a_word(kind: str) -> None:
    chosen = {"lower": {"learning_rate": 0.01}, "upper": {"learning_rate": 0.1, "optimizer": "sgd", "clip_norm": 1.0}}
    shown = seen(*CHANGING, *(Record(0.01, 0.01, 1e-4) for _ in range(3)), largest_stable_rate=0.02)
    assert not list(chain(of_run(spec(kind), ENOUGH, shown, "iterations"),
                          of_run(spec(kind, solver=chosen), ENOUGH, shown, "iterations")))  # fmt: skip
