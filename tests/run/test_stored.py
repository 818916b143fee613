"""What the release before stored is read: results of each kind, and a checkpoint that goes on with the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hposvc.run.run import Run
from hposvc.schema.numbers import to_json
from hposvc.schema.result import JobResult, read_result
from hposvc.schema.spec import JobSpec

STORED = Path(__file__).parent / "stored"


def stored(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((STORED / f"{name}.json").read_text())
    return document


def assert_within(old: Any, new: Any, where: str) -> None:
    """Everything of ``old`` is in ``new``, which may have more fields."""
    if isinstance(old, dict):
        for key, value in old.items():
            assert key in new, f"{where}.{key}"
            assert_within(value, new[key], f"{where}.{key}")
    elif isinstance(old, list):
        assert len(old) == len(new), where
        for place, (before, after) in enumerate(zip(old, new, strict=True)):
            assert_within(before, after, f"{where}[{place}]")
    else:
        assert old == new, where


@pytest.mark.parametrize("name", ["rows", "classes", "numbers"])
def test_a_result_of_the_release_before_loses_nothing(name: str) -> None:
    result = stored(name)["result"]
    assert_within(result, to_json(read_result(result).model_dump()), name)
    assert not read_result(result).missing
    jsonschema.validate(result, JobResult.model_json_schema())  # what the OpenAPI document says of it


def test_a_checkpoint_of_the_release_before_goes_on_with_the_same_numbers() -> None:
    """Its specification names no kind of λ, which meant a weight per row; today the default is another."""
    before = stored("rows")
    run = Run(JobSpec.model_validate(before["spec"]), checkpoint=(STORED / "rows.checkpoint").read_bytes())
    losses = [iteration.upper_loss for batch in run.iterations() for iteration in batch]
    assert losses == pytest.approx(before["upper_losses"], rel=1e-4)
    result = run.finish().result
    assert [suspect["row_id"] for suspect in result["suspects"]][:5] == [
        suspect["row_id"] for suspect in before["result"]["suspects"]
    ]
