"""From an experiment to the specs of its trials, and what is refused of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hposvc.experiments import plans
from hposvc.tables.defects import DataError
from tests.support.experimenting import DECAY, SEARCH, experiment

MODELS = [{"type": "linear"}, {"type": "mlp", "hidden": [8]}]


def refused(plan: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(DataError) as refusal:
        plans.check(experiment(plan, **fields))
    return [(defect.field.removeprefix("plan.parameters."), defect.message) for defect in refusal.value.defects]


def test_a_grid_is_every_combination_and_each_is_a_whole_job() -> None:
    spec = experiment(
        {"type": "grid", "parameters": {"model": {"choices": MODELS}, DECAY: {"choices": [0.1, "auto"]}}}, name="g"
    )
    plans.check(spec)
    jobs = [plans.job_of_trial(spec, n, plans.fixed_parameters(spec, n)) for n in range(spec.planned)]
    assert [(job.model.type, job.solver.lower.weight_decay) for job in jobs] == [
        ("linear", 0.1),
        ("linear", "auto"),
        ("mlp", 0.1),
        ("mlp", "auto"),
    ]
    assert [job.name for job in jobs] == ["g · 0", "g · 1", "g · 2", "g · 3"]


@pytest.mark.parametrize(
    ("over", "seeds"),
    [("split", [(3, 0), (4, 0)]), ("seed", [(3, 0), (3, 1)]), ("both", [(3, 0), (4, 1)])],
)
def test_repeats_count_up_the_seeds(over: str, seeds: list[tuple[int, int]]) -> None:
    job = {"kind": "data_reweighting", "dataset": {"id": "sklearn:iris", "split": {"seed": 3}}}
    spec = experiment({"type": "repeat", "repeats": 2, "over": over}, job=job)
    jobs = [plans.job_of_trial(spec, n, plans.fixed_parameters(spec, n)) for n in range(2)]
    assert [(job.dataset.split.seed, job.solver.seed) for job in jobs] == seeds  # type: ignore[union-attr]


def test_a_setting_that_does_not_fit_is_named_with_a_remedy() -> None:
    def said(path: str, setting: dict[str, Any]) -> list[tuple[str, str]]:
        return refused({"type": "search", "parameters": {path: setting}})

    assert said("solver.lower.weight_decoy", {"low": 0, "high": 1}) == [
        ("solver.lower.weight_decoy", "0.0: the job has no such field")
    ]
    assert said("model.hidden", {"choices": [[8]]}) == [("model.hidden", "[8]: the job has no such field")]
    assert said(DECAY, {"low": -1, "high": 1})[0][0] == DECAY
    assert "must be a valid integer" in said("solver.lower.steps", {"low": 1, "high": 9})[0][1]
    assert said("model", {"choices": [{"type": "tree"}]})[0][0] == "model"
    assert "the data must be the same" in said("dataset.split.seed", {"low": 0, "high": 9, "whole": True})[0][1]
    both = {"model": {"choices": MODELS}, "model.dropout": {"low": 0, "high": 0.5}}
    assert refused({"type": "search", "parameters": both}) == [
        ("model.dropout", "lies within model, which is set, too")
    ]
    plans.check(
        experiment({"type": "search", "parameters": {"solver.lower.steps": {"low": 1, "high": 9, "whole": True}}})
    )


def test_repeats_need_a_split_that_can_be_drawn_again() -> None:
    job = {"kind": "data_reweighting", "dataset": {"id": "sklearn:iris", "split": {"column": "part"}}}
    assert refused({"type": "repeat"}, job=job)[0][0] == "plan.over"
    plans.check(experiment({"type": "repeat", "over": "seed"}, job=job))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"low": 1, "high": 1}, "low must be less"),
        ({"low": 0, "high": 1, "log": True}, "needs low > 0"),
        ({"low": 0.5, "high": 2, "whole": True}, "whole ends"),
    ],
)
def test_ranges_are_ranges(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        experiment(SEARCH | {"parameters": {DECAY: setting}})


def test_a_grid_has_its_limit() -> None:
    many = {f"solver.{name}": {"choices": list(range(30))} for name in ("a", "b", "c")}
    with pytest.raises(ValidationError, match="27,000 combinations"):
        experiment({"type": "grid", "parameters": many})
