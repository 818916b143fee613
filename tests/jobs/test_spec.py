"""What a spec says about combinations of fields, whatever the data set is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hposvc.schema.spec import JobSpec

CNN, THINNED = {"type": "cnn"}, {"type": "mlp", "dropout": 0.5}


def spec(**fields: Any) -> JobSpec:
    return JobSpec.model_validate({"kind": "regularization_tuning", "dataset": {"id": "sklearn:digits"}, **fields})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": CNN, "hyperparameters": {"per": "feature"}}, "use layer, model or parameter"),
        ({"model": CNN | {"dropout": 0.5}, "solver": {"estimator": "implicit"}}, "set dropout: 0"),
        ({"model": THINNED, "solver": {"estimator": "implicit"}}, "set dropout: 0"),
        ({"model": CNN, "solver": {"estimator": "implicit", "implicit": {"method": "cg"}}}, "use neumann"),
    ],
)
def test_what_no_formula_covers_is_refused_with_a_remedy(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        spec(**fields)


def test_what_is_tuned_by_default_depends_on_the_model() -> None:
    assert spec().per == spec(model=THINNED).per == "feature"
    assert spec(model=CNN).per == "layer"
    assert spec(model=CNN, kind="data_reweighting").per == "auto"
