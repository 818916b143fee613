"""The problems that are timed: arrays made once, from a seed, and handed to every contender as one file."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One problem size; shapes are rows × columns of the training part, the validation part is as large.

    ``hidden`` empty means a linear model; ``batch`` ``None`` means full batches. Reweighting has one λ per
    training row, regularization one log-strength per feature. ``upper_learning_rate`` is one at which nobody diverges.
    """

    name: str
    rows: int
    columns: int
    classes: int = 10
    hidden: tuple[int, ...] = ()
    batch: int | None = None
    kind: str = "data_reweighting"
    validation_rows: int | None = None
    upper_learning_rate: float = 0.05


CASES = {
    case.name: case
    for case in (
        Case("digits", 1078, 64, validation_rows=359),
        Case("linear", 5_000, 784),
        Case("mlp-256", 5_000, 784, hidden=(256,)),
        Case("mlp-1024", 5_000, 784, hidden=(1024,)),
        Case("minibatch", 50_000, 784, hidden=(256,), batch=1_000, validation_rows=1_000),
        Case("rows-200k", 200_000, 50, hidden=(), validation_rows=5_000),
        Case("features-50k", 500, 50_000, classes=2, kind="regularization_tuning", upper_learning_rate=1e-4),
    )
}

LOWER_LEARNING_RATE = 0.05
RADIUS = 0.01


def write(case: Case, path: Path, seed: int = 0) -> None:
    """Write the arrays of ``case`` to the ``.npz`` file ``path``: X, y, Xv, yv, W0… b0…, λ, and the batches' rows."""
    random = np.random.default_rng(seed)
    rows_above = case.validation_rows or case.rows
    arrays: dict[str, Any] = {
        "X": random.standard_normal((case.rows, case.columns), dtype=np.float32),
        "y": random.integers(0, case.classes, case.rows),
        "Xv": random.standard_normal((rows_above, case.columns), dtype=np.float32),
        "yv": random.integers(0, case.classes, rows_above),
    }
    widths = (case.columns, *case.hidden, case.classes)
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        arrays[f"W{layer}"] = random.standard_normal((fan_in, fan_out), dtype=np.float32) / np.float32(fan_in**0.5)
        arrays[f"b{layer}"] = np.zeros(fan_out, dtype=np.float32)
    arrays["lam"] = np.zeros(case.rows if case.kind == "data_reweighting" else case.columns, dtype=np.float32)
    np.savez(path, **arrays)


def describe(case: Case) -> dict[str, Any]:
    """The case as plain values, for the contenders' command lines and the result file."""
    return asdict(case)
