"""What holds for every problem, looked for with hypothesis: few examples, of which only sizes and values vary."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hposvc.bilevel import (
    LowerConfig,
    OneStep,
    RegularizationProblem,
    ReweightingProblem,
    SolveConfig,
    Unrolled,
    hypergradient,
    initial_state,
)
from hposvc.bilevel.arrays import device_array
from tests.support.references import Array, Ridge, relative_error

EXAMPLES = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
Dtype = Literal["float32", "float64"]
dtypes = st.sampled_from(["float32", "float64"])
seeds = st.integers(0, 2**16)
scales = st.sampled_from([1e-3, 1.0, 1e3])


def rows(rng: np.random.Generator, count: int, features: int, labels: list[int], scale: float) -> tuple[Array, Array]:
    targets = rng.choice(labels, count)
    return scale * (rng.normal(size=(count, features)) + targets[:, None]), targets


def weighted(
    seed: int, count: int, features: int, *, scale: float = 1.0, dtype: Dtype = "float64", only: str = ""
) -> ReweightingProblem:
    """Three classes, of which the part ``only`` knows a single one."""
    rng = np.random.default_rng(seed)
    labels = {part: [1] if part == only else [0, 1, 2] for part in ("train", "upper")}
    return ReweightingProblem(
        train=rows(rng, count, features, labels["train"], scale),
        upper_rows=rows(rng, count, features, labels["upper"], scale),
        n_classes=3,
        weight_decay=0.01,
        dtype=dtype,
    )


def at_random(problem: ReweightingProblem, config: SolveConfig, scale: float = 1.0) -> Array:
    """The hypergradient at random w and λ that depend on the sizes alone; w undoes the ``scale`` of the data."""
    rng = np.random.default_rng(0)
    state = initial_state(problem, config)
    weight, bias = (0.5 * rng.normal(size=a.shape) for a in problem.initial_w(rng))
    state.w = [device_array(a, problem.dtype) for a in (weight / scale, bias)]
    state.lam = [device_array(0.5 * rng.normal(size=problem.lower_rows), problem.dtype)]
    return hypergradient(problem, config, state)[0].numpy()


def config(oracle: str = "finite_difference", scale: float = 1.0) -> SolveConfig:
    return SolveConfig(oracle=oracle, lower=LowerConfig(learning_rate=0.1 / max(1.0, scale) ** 2))


@given(seed=seeds, count=st.integers(2, 60), features=st.integers(2, 12), scale=scales, dtype=dtypes)
@EXAMPLES
def test_both_oracles_agree_at_every_shape_scale_and_precision(
    seed: int, count: int, features: int, scale: float, dtype: Dtype
) -> None:
    problem = weighted(seed, count, features, scale=scale, dtype=dtype)
    exact = at_random(problem, config("exact", scale), scale)
    found = at_random(problem, config(scale=scale), scale)
    assert relative_error(found, exact) < (1e-3 if dtype == "float32" else 1e-7)


@given(seed=seeds, count=st.integers(2, 30), only=st.sampled_from(["train", "upper"]), dtype=dtypes)
@EXAMPLES
def test_a_part_with_a_single_class_is_a_problem_like_any_other(seed: int, count: int, only: str, dtype: Dtype) -> None:
    problem = weighted(seed, count, 4, only=only, dtype=dtype)
    exact = at_random(problem, config("exact"))
    assert np.linalg.norm(exact) > 0
    assert relative_error(at_random(problem, config()), exact) < (1e-3 if dtype == "float32" else 1e-7)


@given(seed=seeds, value=st.sampled_from([-3.0, 0.0, 1.0]), dtype=dtypes)
@EXAMPLES
def test_a_constant_feature_is_a_second_bias(seed: int, value: float, dtype: Dtype) -> None:
    problem = weighted(seed, 20, 4, dtype=dtype)
    for features, _ in (problem.train, problem.upper_rows):
        features[:, 1] = value
    exact = at_random(problem, config("exact"))
    assert relative_error(at_random(problem, config()), exact) < (1e-3 if dtype == "float32" else 1e-7)


@given(seed=seeds, count=st.integers(3, 40))
@EXAMPLES
def test_a_hypergradient_moves_with_its_row(seed: int, count: int) -> None:
    """Rows in another order, each with its λ, have the same hypergradients in that order."""
    problem = weighted(seed, count, 4)
    order = np.random.default_rng(seed).permutation(count)
    shuffled = replace(problem, train=(problem.train[0][order], problem.train[1][order]))
    rng = np.random.default_rng(1)
    w, lam = [rng.normal(size=a.shape) for a in problem.initial_w(rng)], rng.normal(size=count)
    found = []
    for each, values in ((problem, lam), (shuffled, lam[order])):
        state = initial_state(each, config())
        state.w = [device_array(a, "float64") for a in w]
        state.lam = [device_array(values, "float64")]
        found.append(hypergradient(each, config(), state)[0].numpy())
    assert relative_error(found[1], found[0][order]) < 1e-8


@given(
    seed=seeds, count=st.integers(2, 30), features=st.integers(2, 12), shift=st.sampled_from([0.0, 1e3]), dtype=dtypes
)
@EXAMPLES
def test_an_upper_loss_that_nothing_moves_has_no_hypergradient(
    seed: int, count: int, features: int, shift: float, dtype: Dtype
) -> None:
    """Trusted rows that are predicted without error: ∇F = 0, the direction is zero, and nothing is NaN."""
    rng = np.random.default_rng(seed)
    problem = RegularizationProblem(
        train=(rng.normal(size=(count, features)) + shift, np.zeros(count)),
        upper_rows=(np.zeros((count, features)), np.zeros(count)),
        n_classes=None,
        dtype=dtype,
    )
    state = initial_state(problem, config())
    assert np.array_equal(hypergradient(problem, config(), state)[0].numpy(), np.zeros(features))


@given(
    seed=seeds,
    count=st.integers(2, 40),
    features=st.integers(2, 10),
    strength=st.sampled_from([-20.0, -1.0, 3.0]),
    steps=st.integers(1, 6),
    momentum=st.sampled_from([0.3, 0.9]),
)
@EXAMPLES
def test_ridge_regression_of_every_shape_and_strength(
    seed: int, count: int, features: int, strength: float, steps: int, momentum: float
) -> None:
    """Fewer rows than features too, by the closed form."""
    rng = np.random.default_rng(seed)
    x, x_upper = rng.normal(size=(count, features)), rng.normal(size=(count, features))
    reference = Ridge(x, rng.normal(size=count), x_upper, rng.normal(size=count))
    problem = RegularizationProblem(
        train=(x, reference.y), upper_rows=(x_upper, reference.y_upper), n_classes=None, dtype="float64"
    )
    estimator = OneStep() if steps == 1 else Unrolled()
    chosen = SolveConfig(
        oracle="finite_difference",
        estimator=estimator,
        lower=LowerConfig(learning_rate=0.01, momentum=momentum, steps=steps),
    )
    state = initial_state(problem, chosen)
    theta, lam = rng.normal(size=features + 1), strength + rng.normal(size=features)
    state.w = [device_array(theta[:-1, None], "float64"), device_array(theta[-1:], "float64")]
    state.lam = [device_array(lam, "float64")]
    _, expected = reference.unrolled(lam, theta, 0.01, momentum, steps)
    assert relative_error(hypergradient(problem, chosen, state)[0].numpy(), expected) < 1e-7
