"""The model of a finished job on rows that it has not seen, with NumPy, from ``model.safetensors``.

The file holds the parameters, the scaling of the features, and what was done to each column, so that a row is treated
exactly as the rows were that the model learned from. Free text takes scikit-learn, too, which splits it into words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.numpy import load

from hposvc.files.tensors import metadata
from hposvc.tables import DataError, Defect, Encoding
from hposvc.tables.encoding import Numeric
from hposvc.tables.kinds import (
    Column,
    Floats,
    Kind,
    UnfitValueError,
    as_numbers,
    as_text,
    kind_of,
    parsed,
    tidy,
)
from hposvc.tables.label import class_name
from hposvc.tables.options import Reading

BATCH_ROWS = 8192
Values = NDArray[Any]


class ModelError(ValueError):
    """The file is no model of a job."""


@dataclass(frozen=True)
class Predictions:
    """What the model says of n rows: ``labels`` (n,) of classes or numbers, and ``probabilities`` (n, k) of classes.

    ``score`` is the accuracy or R² where the rows came with labels, ``warnings`` what to know about them.
    """

    labels: Values
    probabilities: Floats | None
    classes: tuple[str, ...] | None
    ids: Values
    score: float | None
    score_name: str
    warnings: list[str]

    def table(self) -> pa.Table:
        """One line a row: its id, what is predicted, and the probability of every class."""
        columns: dict[str, Any] = {"row_id": self.ids, "predicted": self.labels}
        if self.probabilities is not None and self.classes is not None:
            columns |= {f"probability of {name}": self.probabilities[:, i] for i, name in enumerate(self.classes)}
        return pa.table(columns)


class Predictor:
    """A trained model. Safe to share between threads."""

    def __init__(self, arrays: Mapping[str, Values], description: Mapping[str, Any]) -> None:
        self.description = description
        layers = sum(name.startswith("weight.") for name in arrays)
        self._dtype = np.dtype(description["dtype"])
        self._layers = [
            (arrays[f"weight.{i}"].astype(self._dtype), arrays[f"bias.{i}"].astype(self._dtype)) for i in range(layers)
        ]
        self._mean, self._scale = arrays["scaling.mean"], arrays["scaling.scale"]
        steps = description["encoding"]
        self.encoding = (
            Encoding(
                tuple(
                    Numeric(name, "number", float(fill), indicator=False)
                    for name, fill in zip(description["features"], self._mean, strict=True)
                )
            )
            if steps is None
            else Encoding.from_dict(steps, arrays)
        )
        self.classes = None if description["classes"] is None else tuple(description["classes"])
        outputs = self._layers[-1][0].shape[1]
        if outputs != len(self.classes or "1"):
            raise ValueError(f"{outputs} outputs for {len(self.classes or '1')} classes")

    @classmethod
    def from_bytes(cls, content: bytes) -> Predictor:
        """The model in the bytes of ``model.safetensors``. Raises ModelError."""
        try:
            model = cls(load(content), json.loads(metadata(content)["description"]))
            _ = model.reading
        except Exception as error:
            raise ModelError(f"not a model of a job: {error!r}") from error
        return model

    def predict(self, columns: Mapping[str, Column]) -> Predictions:
        """Predict the rows of ``columns`` (Arrow, by name; text is read as what each should be).

        Raises DataError: a column that the model needs is missing, or holds something else than it should; ModelError:
        the parts of the model do not fit together.
        """
        try:
            return self._predict(self.tidied(columns))
        except DataError:
            raise
        except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
            raise ModelError(f"its parts do not fit together: {error!r}") from error

    def _predict(self, columns: Mapping[str, Column]) -> Predictions:
        features, warnings = self.encoding.apply(columns)
        outputs = np.concatenate(
            [self._outputs(features[start : start + BATCH_ROWS]) for start in range(0, len(features), BATCH_ROWS)]
            or [np.empty((0, len(self.classes or "1")))]
        )
        probabilities, labels = (
            None,
            outputs[:, 0] * self.description["target"]["scale"] + self.description["target"]["mean"],
        )
        if self.classes is not None:
            odds = np.exp(outputs - outputs.max(1, keepdims=True))
            probabilities = odds / odds.sum(1, keepdims=True)
            labels = np.array(self.classes)[outputs.argmax(1)]
        truth = self._truth(columns, warnings)
        id_column = self.description["id_column"]
        ids = np.arange(len(features)).astype(str)
        if id_column in columns:
            ids = np.array(as_text(columns[id_column]).to_pylist(), dtype=object)
        return Predictions(
            labels=labels,
            probabilities=probabilities,
            classes=self.classes,
            ids=ids,
            score=None if truth is None or not len(truth) else _score(labels, truth),
            score_name="R²" if self.classes is None else "accuracy",
            warnings=warnings,
        )

    @property
    def reading(self) -> Reading:
        """How the text of a file is read, as that of the training rows was."""
        said = dict(self.description.get("reading", {}))
        kept = ("missing_values", "missing_in", "encoding", "header")
        shape = self.description.get("image_shape")
        reading = Reading.from_dict({name: said[name] for name in kept if name in said})
        return reading if shape is None else replace(reading, image_shape=(shape[0], shape[1], shape[2]))

    def tidied(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Columns of text without blanks around it, and null where it stands for a missing value; others as they are.

        ``columns`` may be an Arrow table's.
        """
        reading = self.reading
        return {
            name: tidy(column, reading.missing_of(name)) if kind_of(column.type) == "text" else column
            for name, column in columns.items()
        }

    def _truth(self, columns: Mapping[str, Column], warnings: list[str]) -> Values | None:
        """The labels that the rows came with, if all of them did and all are known."""
        name = self.description["label"]
        column = columns.get(name)
        if column is None or column.null_count:
            return None
        notation = self.description.get("reading", {}).get("label_notation")
        if self.classes is None:
            try:
                return as_numbers(column, "number", notation)
            except UnfitValueError as error:
                defect = Defect(f"columns.{name}", str(error), "write numbers, or leave the label out")
                raise DataError([defect]) from None
        kind: Kind = self.description.get("label_kind") or "text"
        if kind != "text" and kind_of(column.type) == "text":
            with suppress(UnfitValueError):
                column = parsed(column, kind, notation)
        text = as_text(column).to_pylist()
        if not set(text) <= set(self.classes):
            text = [_plain(value) for value in text]  # codes of classes, or floats that stand for them
        unknown = sorted(set(text) - set(self.classes))
        if unknown:
            shown = ", ".join(map(repr, unknown[:5])) + ", …" * (len(unknown) > 5)
            warnings.append(
                f"There is no score: the label {name!r} has {shown}, and the model knows "
                f"{', '.join(map(repr, self.classes[:5]))}{', …' * (len(self.classes) > 5)}. Write them alike for one."
            )
            return None
        return np.array(text)

    def _outputs(self, features: Floats) -> Floats:
        x = ((features - self._mean) / self._scale).astype(self._dtype)
        model = self.description["model"]
        activate = ACTIVATIONS[model.get("activation", "relu")]
        layers = self._layers
        if model["type"] == "cnn":
            maps = x.reshape(len(x), *self.description["image_shape"])
            for weight, bias in layers[: len(model["channels"])]:
                maps = _average(activate(_convolve(maps, weight, model["kernel"]) + bias))
            x, layers = maps.reshape(len(x), -1), layers[len(model["channels"]) :]
        for i, (weight, bias) in enumerate(layers):
            x = (activate(x) if i else x) @ weight + bias
        return x.astype(np.float64)


def _score(labels: Values, truth: Values) -> float:
    if np.issubdtype(truth.dtype, np.number):
        return float(1 - np.mean((labels - truth) ** 2) / (np.var(truth) or 1.0))
    return float(np.mean(labels == truth))


def _plain(value: str | None) -> str:
    try:
        return class_name(float(str(value)))
    except ValueError:
        return str(value).lower() if str(value).lower() in ("true", "false") else str(value)


def _relu(z: Values) -> Values:
    return np.maximum(z, 0)


def _gelu(z: Values) -> Values:
    """The tanh form (Hendrycks and Gimpel, 2016), as in training."""
    half: Values = 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi).astype(z.dtype) * (z + 0.044715 * z**3)))
    return half.astype(z.dtype)


ACTIVATIONS: dict[str, Any] = {"relu": _relu, "gelu": _gelu, "tanh": np.tanh}


def _convolve(images: Values, weight: Values, kernel: int) -> Values:
    """Cross-correlation (n, H, W, c) with (k²·c, o), zeros beyond the border: (n, H, W, o)."""
    n, height, width, channels = images.shape
    reach = kernel // 2
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    weights = weight.reshape(kernel, kernel, channels, -1)
    out = np.zeros((n, height, width, weight.shape[1]), images.dtype)
    for y in range(kernel):
        for x in range(kernel):
            out += padded[:, y : y + height, x : x + width] @ weights[y, x]
    return out


def _average(maps: Values) -> Values:
    """Means over 2 × 2 pixels, an odd last row or column left out."""
    n, height, width, channels = maps.shape
    h, w = height // 2, width // 2
    means: Values = maps[:, : 2 * h, : 2 * w].reshape(n, h, 2, w, 2, channels).mean((2, 4))
    return means
