"""A file of a model that nobody's job wrote: an error that says so, whatever it holds."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save

from hposvc.prediction import ModelError, Predictor

COLUMNS = {name: pa.chunked_array([[1.0, 2.0, 3.0]]) for name in ("a", "b")}
DESCRIPTION: dict[str, Any] = {
    "dtype": "float32",
    "features": ["a", "b"],
    "encoding": None,
    "classes": ["x", "y"],
    "target": {"mean": 0.0, "scale": 1.0},
    "label": "label",
    "id_column": None,
    "model": {"type": "linear"},
    "image_shape": None,
    "reading": {},
}


def model(description: dict[str, Any], shape: tuple[int, ...] = (2, 2)) -> bytes:
    arrays = {
        "weight.0": np.ones(shape, np.float32),
        "bias.0": np.ones(2, np.float32),
        "scaling.mean": np.zeros(2),
        "scaling.scale": np.ones(2),
    }
    return save(arrays, {"description": json.dumps(description)})


def test_one_that_is_in_order_predicts() -> None:
    assert len(Predictor.from_bytes(model(DESCRIPTION)).predict(COLUMNS).labels) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"dtype": "no such type"},
        {"dtype": None, "features": None},
        {"reading": ["of another kind"]},
        {"model": {"type": "mlp", "activation": "no such function"}},
        {"model": {"type": "cnn", "channels": [3], "kernel": 3}, "image_shape": [7, 7, 1]},
        {"model": None},
        {"classes": ["one of two"]},
        {"classes": None, "target": None},
        {"encoding": {"steps": 5}},
        {"encoding": [{"kind": "number"}]},
        {"label": ["a"]},
        {"classes": ["x", "y", "z"]},
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        Predictor.from_bytes(model(DESCRIPTION | wrong)).predict(COLUMNS)


@pytest.mark.parametrize("shape", [(3, 2), (2,), (2, 5), (2, 2, 2)])
def test_so_are_parameters_of_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError):
        Predictor.from_bytes(model(DESCRIPTION, shape)).predict(COLUMNS)
