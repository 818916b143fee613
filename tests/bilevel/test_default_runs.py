"""Everything automatic, on the bundled sets: the hypergradients are right, and the error bar says how right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hposvc.bilevel import LowerConfig, Stop, initial_state, solve
from hposvc.bilevel.state import SeriesDiverges
from tests.support.bundled import LINEAR, ROWS, STRENGTHS, Errors, bundled, errors_of
from tests.support.references import Array, Measured

RELU, TANH = {"type": "mlp", "hidden": [32]}, {"type": "mlp", "hidden": [32], "activation": "tanh"}
CNN = {"type": "cnn", "channels": [4]}
UNROLLED = {"estimator": "unrolled", "lower": {"steps": 5}}
NEUMANN = {"estimator": "implicit"}
MODELS = {"linear": LINEAR, "relu (32,)": RELU, "tanh (32,)": TANH, "cnn (4,)": CNN}
SETS = ("breast_cancer", "digits", "diabetes", "wine", "iris")

# A bar is taken as right within this factor, at this share of iterations.
FACTOR, SHARE = 5, 0.95


def median_and_largest(what: str, case: str, errors: Errors, below: float, measured: Measured) -> None:
    measured(f"{what}, {errors.oracle}", f"{case}, median", float(np.median(errors.true)), below)
    measured(f"{what}, {errors.oracle}", f"{case}, largest", float(errors.true.max()), below)


def within(errors: list[Errors]) -> float:
    ratios: Array = np.concatenate([each.bar / each.true for each in errors])
    return float(np.mean((ratios > 1 / FACTOR) & (ratios < FACTOR)))


@pytest.mark.parametrize(
    ("dataset", "model", "solver"),
    [
        ("breast_cancer", "linear", {}),
        ("diabetes", "linear", {"lower": {"batch_size": 32}}),
        ("digits", "relu (32,)", {}),
        ("digits", "tanh (32,)", {}),
        ("diabetes", "relu (32,)", UNROLLED),
        ("wine", "relu (32,)", NEUMANN),
    ],
)
def test_hypergradients_of_row_weights(dataset: str, model: str, solver: dict[str, Any], measured: Measured) -> None:
    problem, config = bundled(ROWS, dataset, MODELS[model], **solver)
    errors = errors_of(problem, config, 150)
    case = " ".join([dataset, model, solver.get("estimator", ""), "batches" if "batch_size" in str(solver) else ""])
    median_and_largest("float32, default runs, per row", case.strip(), errors, 1e-2, measured)


def test_the_error_bar_is_about_the_whole_hypergradient() -> None:
    """Strengths end where its two parts cancel, to a ten thousandth of either. The bar says so."""
    cases = [(ROWS, "breast_cancer"), (STRENGTHS, "breast_cancer"), (STRENGTHS, "wine"), (STRENGTHS, "digits")]
    errors = [errors_of(*bundled(job, dataset, LINEAR), 300) for job, dataset in cases]
    assert max(each.true.max() for each in errors[1:]) > 1e-3, "nothing cancels"
    assert within(errors) >= SHARE


@pytest.mark.long
def test_the_whole_grid(measured: Measured) -> None:
    """``docs/errors.md`` shows it: all sets, both kinds, all models, with the settings of a default job."""
    everything: list[Errors] = []
    for dataset in SETS:
        for name, model in MODELS.items():
            if "cnn" in name and dataset != "digits":
                continue
            for job in (ROWS, STRENGTHS):
                errors = errors_of(*bundled(job, dataset, model), 500)
                everything.append(errors)
                per = "per row" if job is ROWS else "strengths"
                limit = 1e-2 if job is ROWS else np.inf  # strengths: what cancels is left with the rounding of float32
                median_and_largest(f"float32, default runs, {per}", f"{dataset} {name}", errors, limit, measured)
    measured(f"default runs: share of error bars off by more than {FACTOR}", "all", 1 - within(everything), 1 - SHARE)


@pytest.mark.parametrize("model", [LINEAR, TANH])
def test_strengths_of_any_size_overflow_nothing(model: dict[str, Any]) -> None:
    problem, config = bundled(STRENGTHS, "diabetes", model)
    problem = replace(problem, initial=50.0)
    config = replace(config, stop=Stop(iterations=30))
    state = initial_state(problem, config)
    assert all(np.isfinite(i.upper_loss) for batch in solve(problem, config, state) for i in batch)


def test_a_neumann_series_that_diverges_is_refused() -> None:
    problem, config = bundled(ROWS, "wine", LINEAR, estimator="implicit")
    initial_state(problem, config)
    with pytest.raises(SeriesDiverges, match=r"diverges at 5, which is above .*at most half"):
        initial_state(problem, replace(config, lower=LowerConfig(learning_rate=5.0)))
