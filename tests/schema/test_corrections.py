"""What a new job changes that comes after one that diverged."""

from __future__ import annotations

from typing import Any

import pytest

from hposvc.schema.corrections import calmer
from hposvc.schema.spec import JobSpec


@pytest.mark.parametrize(
    ("solver", "changed"),
    [
        ({"upper": {"learning_rate": 1000}}, ["solver.upper.learning_rate: auto (was 1000)"]),
        (
            {"lower": {"learning_rate": 50}, "upper": {"learning_rate": 7.5}},
            ["solver.lower.learning_rate: auto (was 50)", "solver.upper.learning_rate: auto (was 7.5)"],
        ),
        ({}, ["solver.upper.learning_rate: 0.01 (was auto)", "solver.upper.bounds: -10 to 10 (was none)"]),
        (
            {"dynamic_initialization": {"learning_rate": 2.0}},
            ["solver.dynamic_initialization.learning_rate: 0.2 (was 2)"],
        ),
    ],
)
def test_steps_become_calmer_and_each_change_is_told(solver: dict[str, Any], changed: list[str]) -> None:
    spec = JobSpec.model_validate(
        {"kind": "data_reweighting", "dataset": {"id": "sklearn:iris"}, "solver": solver, "tags": ["kept"]}
    )
    corrected, changes = calmer(spec)
    assert [str(change) for change in changes] == changed
    assert corrected != spec
    assert corrected.model_dump(exclude={"solver"}) == spec.model_dump(exclude={"solver"})
