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


def model(description: dict[str, Any], shape: tuple[int, ...] = (2, 2), arrays: dict[str, Any] | None = None) -> bytes:
    arrays = (arrays or {}) | {
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


TEXT: dict[str, Any] = {"encoding": [{"type": "text", "name": "t", "missing": False}], "features": ["1", "2"]}
LEARNED = {
    "text.0.words": np.frombuffer(b"bad\ngood\nso", np.uint8),
    "text.0.idf": np.ones(3, np.float32),
    "text.0.components": np.ones((2, 3), np.float32),
}
TEXTS = {"t": pa.chunked_array([["so good", "unheard"]])}


def test_one_of_free_text_predicts() -> None:
    assert len(Predictor.from_bytes(model(DESCRIPTION | TEXT, arrays=LEARNED)).predict(TEXTS).labels) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"text.0.words": np.frombuffer(b"bad\nbad\nso", np.uint8)},
        {"text.0.words": np.frombuffer(b"\xff\xfe\n\n", np.uint8)},
        {"text.0.words": np.zeros((2, 2), np.float32)},
        {"text.0.words": np.empty(0, np.uint8)},
        {"text.0.idf": np.ones(2, np.float32)},
        {"text.0.idf": np.array([1, np.nan, 1], np.float32)},
        {"text.0.components": np.ones((2, 2), np.float32)},
        {"text.0.components": np.ones((3, 3), np.float32)},
        {"text.0.components": np.ones(3, np.float32)},
        {"text.0.components": np.full((2, 3), np.inf, np.float32)},
        {name.replace("0", "1"): array for name, array in LEARNED.items()} | dict.fromkeys(LEARNED),
    ],
    ids=str,
)
def test_what_was_learned_of_texts_must_fit_together(wrong: dict[str, Any]) -> None:
    arrays = {name: array for name, array in (LEARNED | wrong).items() if array is not None}
    with pytest.raises(ModelError):
        Predictor.from_bytes(model(DESCRIPTION | TEXT, arrays=arrays)).predict(TEXTS)


@pytest.mark.parametrize("shape", [(3, 2), (2,), (2, 5), (2, 2, 2)])
def test_so_are_parameters_of_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError):
        Predictor.from_bytes(model(DESCRIPTION, shape)).predict(COLUMNS)
