"""``radius: auto`` keeps the error of finite differences small, whatever the scale of the weights and of the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hposvc.bilevel import (
    MLP,
    Linear,
    LowerConfig,
    ReweightingProblem,
    SolveConfig,
    Stop,
    hypergradient,
    initial_state,
    solve,
)
from hposvc.bilevel.arrays import device_array
from hposvc.bilevel.oracle import automatic_radius
from tests.support.references import Measured, relative_error

MODELS = [Linear(), MLP((8,), "tanh"), MLP((16, 8), "tanh")]
SCALES = [1e-3, 1.0, 1e3, 1e4]


def clusters(model: Linear | MLP, data_scale: float = 1.0) -> ReweightingProblem:
    rng = np.random.default_rng(5)
    labels, upper = rng.integers(0, 3, 40), rng.integers(0, 3, 30)
    features, upper_features = (5 * np.eye(3, 4)[of] + rng.normal(size=(len(of), 4)) for of in (labels, upper))
    return ReweightingProblem(
        train=(data_scale * features, labels),
        upper_rows=(data_scale * upper_features, upper),
        n_classes=3,
        model=model,
    )


def error_at(problem: ReweightingProblem, scale: float, *, only_first: bool, fitted: bool = True) -> float:
    """The error in float32 against the exact oracle, with all weights, or those of the first layer, times ``scale``."""
    rng = np.random.default_rng(1)
    w = [a + 0.3 * rng.normal(size=a.shape) for a in problem.initial_w(rng)]
    scaled = [a * scale if i == 0 or not only_first else a for i, a in enumerate(w)]
    # A step that the scale calls for: the weights of scaled-up data, and only those, are small and move little.
    rate = 0.1 * min(1.0, scale**2) if only_first else 0.1
    config = SolveConfig(lower=LowerConfig(learning_rate=rate), oracle="finite_difference")
    state = initial_state(problem, config)
    state.w = [device_array(a, "float32") for a in scaled]
    state.lam = [device_array(0.5 * rng.normal(size=problem.lower_rows), "float32")]
    exact = hypergradient(problem, replace(config, oracle="exact"), state)[0].numpy()
    assert np.linalg.norm(exact) > 1e-6
    if not fitted:
        config = replace(config, radius=float(automatic_radius(state.w).numpy()[0]))
    return relative_error(hypergradient(problem, config, state)[0].numpy(), exact)


def name_of(model: Linear | MLP) -> str:
    return "linear" if isinstance(model, Linear) else f"{model.activation} {model.hidden}"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scale", SCALES)
def test_weights_of_any_scale(model: Linear | MLP, scale: float, measured: Measured) -> None:
    error = error_at(clusters(model), scale, only_first=False)
    measured(f"float32, radius auto, weights × s, {name_of(model)}", f"s = {scale:g}", error, 1e-3)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scale", SCALES)
def test_data_of_any_scale_with_the_weights_that_undo_it(model: Linear | MLP, scale: float, measured: Measured) -> None:
    """The same function of unscaled data, where 1 + ‖w‖ is off by the scale."""
    error = error_at(clusters(model, 1 / scale), scale, only_first=True)
    measured(f"float32, radius auto, weights × s and data / s, {name_of(model)}", f"s = {scale:g}", error, 1e-3)


@pytest.mark.parametrize("scale", SCALES)
def test_a_run_adapts_its_radius_before_the_first_step(scale: float) -> None:
    config = SolveConfig(
        lower=LowerConfig(learning_rate=0.1), certify_every=1, certify_against="exact", stop=Stop(iterations=1)
    )
    problem = clusters(MLP((8,), "tanh"))
    state = initial_state(problem, config)
    state.w = [a * scale for a in state.w]
    (record,) = next(solve(problem, config, state))
    assert record.fd_relative_error < 1e-3


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_the_formula_alone_would_not_do(scale: float) -> None:
    assert error_at(clusters(MLP((8,), "tanh"), 1 / scale), scale, only_first=True, fitted=False) > 0.1
