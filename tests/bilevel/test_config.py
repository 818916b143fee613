"""A spec and the solver's configuration refuse the same combinations, for the same reason."""

from __future__ import annotations

from itertools import product

import pytest
from pydantic import ValidationError

from hposvc.bilevel import Aggregation, Implicit, LowerConfig, OneStep, SolveConfig, Unrolled
from hposvc.schema.spec import DynamicInitializationSpec, GdaSpec, LowerSpec, SolverSpec

ESTIMATORS = (OneStep(), Unrolled(), Unrolled(1), Unrolled(2), Unrolled(3), Implicit())
COMBINATIONS = list(product(ESTIMATORS, (1, 2, 3), (None, 0.1), (None, Aggregation())))


def refusal_by_config(
    estimator: OneStep | Unrolled | Implicit, steps: int, start: float | None, aggregation: Aggregation | None
) -> str | None:
    try:
        SolveConfig(
            estimator=estimator,
            lower=LowerConfig(steps=steps),
            dynamic_initialization=start,
            aggregation=aggregation,
        )
    except ValueError as error:
        return str(error)
    return None


def refusal_by_spec(
    estimator: OneStep | Unrolled | Implicit, steps: int, start: float | None, aggregation: Aggregation | None
) -> str | None:
    try:
        SolverSpec(
            estimator=estimator.name,
            truncate=estimator.truncate if isinstance(estimator, Unrolled) else None,
            lower=LowerSpec(steps=steps),
            dynamic_initialization=None if start is None else DynamicInitializationSpec(learning_rate=start),
            gda=None if aggregation is None else GdaSpec(),
        )
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    return None


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_spec_and_the_solver_refuse_the_same(combination: tuple) -> None:
    assert refusal_by_config(*combination) == refusal_by_spec(*combination)


def test_some_combinations_are_refused_and_some_are_not() -> None:
    refused = [refusal_by_config(*combination) is not None for combination in COMBINATIONS]
    assert 0 < sum(refused) < len(refused)
