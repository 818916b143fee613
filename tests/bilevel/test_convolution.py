"""The convolutional network against NumPy, against central differences, and between both oracles."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hposvc.bilevel import (
    CNN,
    LowerConfig,
    OneStep,
    RegularizationProblem,
    ReweightingProblem,
    SolveConfig,
    Stop,
    Unrolled,
    initial_state,
    solve,
)
from hposvc.bilevel.arrays import device_array
from hposvc.bilevel.runtime import jt
from tests.support.references import forward, relative_error
from tests.support.solving import central_differences, estimate, images, started

SMALL = CNN((4, 4, 1), channels=(3, 2), hidden=(4,), activation="tanh")


def problem(rows: int, dtype: str = "float32", model: CNN = SMALL) -> ReweightingProblem:
    x, labels = images(2 * rows, model.image)
    return ReweightingProblem(
        train=(x[:rows], labels[:rows]),
        upper_rows=(x[rows:], labels[rows:]),
        n_classes=2,
        model=model,
        weight_decay=0.01,
        dtype=dtype,
    )


@pytest.mark.parametrize(
    "model", [SMALL, CNN((5, 7, 2), channels=(3, 2), kernel=5, hidden=(), activation="tanh")], ids=["even", "odd"]
)
def test_the_network_is_the_one_in_numpy(model: CNN) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, math.prod(model.image)))
    w = [a + rng.normal(size=a.shape) for a in model.initial(x.shape[1], 3, rng)]
    device = [device_array(a, "float64") for a in w]
    outputs = model.head(model.lift(device, device_array(x, "float64"))).numpy()
    np.testing.assert_allclose(outputs, forward(model, w, x), rtol=1e-12, atol=1e-12)


def test_its_hypergradient_is_the_derivative_of_the_whole_map() -> None:
    config = SolveConfig(
        oracle="finite_difference", estimator=Unrolled(), lower=LowerConfig(learning_rate=0.5, steps=2)
    )
    small = problem(8, "float64")
    state = started(small, config)
    assert relative_error(estimate(small, config, state), central_differences(small, config, state)) < 1e-6


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_both_oracles_agree_in_float32(steps: int) -> None:
    config = SolveConfig(
        oracle="finite_difference", estimator=Unrolled(), lower=LowerConfig(learning_rate=0.2, steps=steps)
    )
    many = problem(60)
    state = started(many, config)
    error = relative_error(estimate(many, config, state), estimate(many, replace(config, oracle="exact"), state))
    assert error < 1e-4


@pytest.mark.parametrize("oracle", ["finite_difference", "exact"])
def test_every_convolution_runs_in_onednn(oracle: str) -> None:
    many = problem(60)
    config = SolveConfig(
        estimator=OneStep(), oracle=oracle, lower=LowerConfig(learning_rate=0.1), stop=Stop(iterations=1)
    )
    state = initial_state(many, config)
    with jt.profile_scope() as report:
        list(solve(many, config, state))
    counts = {row[0]: int(row[2]) for row in report[1:]}
    written = sum(n for name, n in counts.items() if "DIM=7" in name)  # images by kernels have seven dimensions
    assert written == sum(n for name, n in counts.items() if name.startswith("mkl_conv")) > 0


def test_strengths_per_parameter_are_named_and_strengths_per_feature_refused() -> None:
    base = problem(20)
    fields = {"train": base.train, "upper_rows": base.upper_rows, "n_classes": 2, "model": SMALL}
    parameters = RegularizationProblem(**fields, per="parameter")
    names = parameters.names([f"pixel {i}" for i in range(16)])
    assert [len(group) for group in names] == [lam.size for lam in parameters.initial_lambda()]
    assert names[0][0] == "pixel (-1, -1) channel 0 → layer 0 unit 0"
    assert names[1][-1] == "layer 0 (+1, +1) channel 2 → layer 1 unit 1"
    with pytest.raises(ValueError, match="per: feature"):
        RegularizationProblem(**fields, per="feature").initial_lambda()


def test_an_image_that_cannot_be_halved_so_often_is_refused() -> None:
    with pytest.raises(ValueError, match="use fewer"):
        CNN((8, 7, 1), channels=(2, 2, 2))
