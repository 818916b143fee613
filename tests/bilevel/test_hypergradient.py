"""The hypergradient against closed forms, central differences and the exact oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hposvc.bilevel import (
    MLP,
    Aggregation,
    CrossEntropy,
    Huber,
    Implicit,
    Linear,
    LowerConfig,
    OneStep,
    RegularizationProblem,
    SolveConfig,
    Stop,
    Unrolled,
    hypergradient,
    initial_state,
    solve,
)
from hposvc.bilevel.arrays import device_array
from hposvc.bilevel.curvature import CURVATURE_EVERY
from hposvc.bilevel.oracle import directional_derivative, step_sizes
from hposvc.bilevel.runtime import jt
from tests.support.references import Array, Measured, relative_error, ridge
from tests.support.solving import central_differences, classes, estimate, flat, started, upper_loss_of

RATE = 0.05


def ridge_problem(lam: float = -1.0) -> RegularizationProblem:
    data = ridge()
    return RegularizationProblem(
        train=(data.x, data.y), upper_rows=(data.x_upper, data.y_upper), n_classes=None, initial=lam, dtype="float64"
    )


@pytest.mark.parametrize("oracle", ["finite_difference", "exact"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_unrolled_is_the_derivative_of_ridge_regression(
    steps: int, momentum: float, oracle: str, measured: Measured
) -> None:
    problem, reference = ridge_problem(), ridge()
    config = SolveConfig(
        estimator=Unrolled(), oracle=oracle, lower=LowerConfig(learning_rate=RATE, momentum=momentum, steps=steps)
    )
    state = started(problem, config)
    _, expected = reference.unrolled(flat(state.lam), flat(state.w), RATE, momentum, steps)
    error = relative_error(estimate(problem, config, state), expected)
    measured(f"ridge regression, momentum {momentum}, {oracle}, against the closed form", f"K = {steps}", error, 1e-10)


@pytest.mark.parametrize(("steps", "truncate"), [(5, 1), (5, 3), (20, 7)])
def test_truncation_counts_the_last_steps(steps: int, truncate: int, measured: Measured) -> None:
    problem, reference = ridge_problem(), ridge()
    config = SolveConfig(
        estimator=Unrolled(truncate=truncate), lower=LowerConfig(learning_rate=RATE, momentum=0.5, steps=steps)
    )
    state = started(problem, config)
    _, expected = reference.unrolled(flat(state.lam), flat(state.w), RATE, 0.5, steps, truncate)
    error = relative_error(estimate(problem, config, state), expected)
    measured("ridge regression, truncated, against the closed form", f"{truncate} of {steps} steps", error, 1e-10)


def test_one_step_is_unrolled_with_one_step() -> None:
    problem = ridge_problem()
    config = SolveConfig(oracle="finite_difference", estimator=OneStep(), lower=LowerConfig(learning_rate=RATE))
    state = started(problem, config)
    unrolled = replace(config, estimator=Unrolled())
    assert np.array_equal(estimate(problem, config, state), estimate(problem, unrolled, state))


@pytest.mark.parametrize("oracle", ["finite_difference", "exact"])
@pytest.mark.parametrize("estimator", [Implicit("cg", terms=12), Implicit("neumann", terms=600)])
def test_implicit_is_the_implicit_function_theorem(estimator: Implicit, oracle: str, measured: Measured) -> None:
    problem, reference = ridge_problem(), ridge()
    config = SolveConfig(estimator=estimator, oracle=oracle, lower=LowerConfig(learning_rate=0.2, steps=400))
    state = started(problem, config)
    theta, _ = reference.unrolled(flat(state.lam), flat(state.w), 0.2, 0.0, 400)
    expected = reference.implicit(flat(state.lam), theta)
    error = relative_error(estimate(problem, config, state), expected)
    measured("ridge regression, implicit, against the inverse Hessian", f"{estimator.method}, {oracle}", error, 1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_conjugate_gradient_stops_where_only_rounding_is_left(dtype: str) -> None:
    """Seven unknowns are solved in seven terms: fifty more must not change the answer."""
    problem = replace(ridge_problem(), dtype=dtype)
    config = SolveConfig(
        oracle="finite_difference", estimator=Implicit("cg", terms=10), lower=LowerConfig(learning_rate=0.2)
    )
    state = started(problem, config)
    longer = replace(config, estimator=Implicit("cg", terms=60))
    error = relative_error(estimate(problem, longer, state), estimate(problem, config, state))
    assert error < (1e-3 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("name", ["ridge", "logistic"])
def test_more_unrolled_steps_come_closer_to_the_implicit_estimate(name: str, measured: Measured) -> None:
    problem = ridge_problem() if name == "ridge" else replace(classes(30, 6, "float64"), weight_decay=0.5)
    lower = LowerConfig(learning_rate=0.2 if name == "ridge" else 0.5)
    implicit = SolveConfig(
        oracle="finite_difference", estimator=Implicit("cg", terms=25), lower=replace(lower, steps=1000)
    )
    state = started(problem, implicit)
    limit = estimate(problem, implicit, state)
    errors = []
    for steps, below in ((25, 1.0), (100, 0.1), (400, 1e-4)):
        config = SolveConfig(oracle="finite_difference", estimator=Unrolled(), lower=replace(lower, steps=steps))
        errors.append(relative_error(estimate(problem, config, state), limit))
        measured(f"{name} regression, unrolled against implicit", f"K = {steps}", errors[-1], below)
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("model", [Linear(), MLP((4,), "tanh"), MLP((4, 3), "gelu")])
@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_classification_agrees_with_central_differences_of_the_whole_map(
    model: Linear | MLP, steps: int, measured: Measured
) -> None:
    problem = classes(8, 0, "float64", model=model)
    config = SolveConfig(
        oracle="finite_difference", estimator=Unrolled(), lower=LowerConfig(learning_rate=0.5, steps=steps)
    )
    state = started(problem, config)
    error = relative_error(estimate(problem, config, state), central_differences(problem, config, state))
    name = "logistic regression" if isinstance(model, Linear) else f"{model.activation} network {model.hidden}"
    measured(f"{name}, against central differences of the whole map", f"K = {steps}", error, 1e-6)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_learned_start_descends_the_derivative_of_the_whole_map(steps: int, measured: Measured) -> None:
    """Dynamic initialization: one iteration moves w₀ by its rate times dF/dw₀, here by central differences."""
    problem, rate = classes(8, 0, "float64"), 0.1
    config = SolveConfig(
        estimator=Unrolled(),
        lower=LowerConfig(learning_rate=0.5, steps=steps),
        dynamic_initialization=rate,
        stop=Stop(iterations=1),
    )
    state = started(problem, config)
    start, shapes = flat(state.w), [a.shape for a in state.w]
    lam, ends = state.lam, np.cumsum([np.prod(shape) for shape in shapes])[:-1]

    def upper_loss(values: Array) -> float:
        parts = zip(np.split(values, ends), shapes, strict=True)
        return upper_loss_of(problem, config, [device_array(a.reshape(shape), "float64") for a, shape in parts], lam)

    expected = [(upper_loss(start + e) - upper_loss(start - e)) / 2e-5 for e in 1e-5 * np.eye(len(start))]
    list(solve(problem, config, state))
    error = relative_error((start - flat(state.w)) / rate, np.array(expected))
    measured("logistic regression, dF/dw₀ of a learned start, against central differences", f"K = {steps}", error, 1e-6)


@pytest.mark.parametrize("steps", [1, 3])
def test_weights_of_groups_agree_with_central_differences_of_the_whole_map(steps: int) -> None:
    problem = classes(8, 0, "float64", per="group", row_groups=np.array([0, 1, 1, 0, 2, 0, 2, 1]))
    config = SolveConfig(
        oracle="finite_difference", estimator=Unrolled(), lower=LowerConfig(learning_rate=0.5, steps=steps)
    )
    state = started(problem, config)
    expected = central_differences(problem, config, state)
    assert expected.shape == (3,)
    assert relative_error(estimate(problem, config, state), expected) < 1e-6


@pytest.mark.parametrize("penalty", ["l1", "elastic_net"])
@pytest.mark.parametrize("per", ["model", "layer", "feature", "parameter"])
def test_every_penalty_agrees_with_central_differences_of_the_whole_map(per: str, penalty: str) -> None:
    """Three steps from weights of the size of ε, where the smoothed l1 curves most."""
    problem = replace(ridge_problem(), per=per, penalty=penalty)
    config = SolveConfig(
        oracle="finite_difference", estimator=Unrolled(), lower=LowerConfig(learning_rate=0.01, steps=3)
    )
    state = started(problem, config)
    state.w = [a * device_array(np.array([0.03]), "float64") for a in state.w]
    expected = central_differences(problem, config, state)
    assert expected.size == sum(np.prod(shape) for shape in problem.shapes())
    exact = estimate(problem, replace(config, oracle="exact"), state)
    assert relative_error(exact, expected) < 1e-6
    assert relative_error(estimate(problem, config, state), exact) < 1e-5


@pytest.mark.parametrize("steps", [1, 3])
def test_weighted_classes_agree_with_central_differences_of_the_whole_map(steps: int) -> None:
    problem = classes(8, 0, "float64", loss=CrossEntropy((0.2, 1.0, 3.0)))
    config = SolveConfig(
        oracle="finite_difference", estimator=Unrolled(), lower=LowerConfig(learning_rate=0.5, steps=steps)
    )
    state = started(problem, config)
    expected = central_differences(problem, config, state)
    assert relative_error(estimate(problem, config, state), expected) < 1e-6
    plain = replace(problem, loss=None)
    assert relative_error(estimate(plain, config, state), expected) > 0.1


@pytest.mark.parametrize("steps", [1, 3])
def test_the_huber_loss_agrees_with_central_differences_of_the_whole_map(steps: int) -> None:
    problem = replace(ridge_problem(), loss=Huber(1.0))
    config = SolveConfig(
        oracle="finite_difference", estimator=Unrolled(), lower=LowerConfig(learning_rate=RATE, steps=steps)
    )
    state = started(problem, config)
    expected = central_differences(problem, config, state)
    assert relative_error(estimate(problem, config, state), expected) < 1e-6
    plain = replace(problem, loss=None)
    assert relative_error(estimate(plain, config, state), expected) > 0.1


@pytest.mark.parametrize("per", ["model", "layer", "feature", "parameter"])
def test_both_oracles_agree_on_every_granularity_of_strengths(per: str) -> None:
    base = classes(30, 1)
    problem = RegularizationProblem(
        train=base.train, upper_rows=base.upper_rows, n_classes=3, per=per, model=MLP((6,), "tanh"), shrinkage=1e-3
    )
    config = SolveConfig(oracle="finite_difference", lower=LowerConfig(learning_rate=0.2))
    state = started(problem, config)
    exact = estimate(problem, replace(config, oracle="exact"), state)
    assert relative_error(estimate(problem, config, state), exact) < 1e-4


@pytest.mark.parametrize("model", [Linear(), MLP((16,), "tanh"), MLP((16,), "gelu"), MLP((16, 8), "tanh")])
@pytest.mark.parametrize("per", ["row", "class"])
def test_finite_differences_agree_with_the_exact_oracle_in_float32(
    model: Linear | MLP, per: str, measured: Measured
) -> None:
    problem = classes(60, 2, model=model, per=per)
    config = SolveConfig(oracle="finite_difference", lower=LowerConfig(learning_rate=0.2))
    state = started(problem, config)
    error = relative_error(estimate(problem, config, state), estimate(problem, replace(config, oracle="exact"), state))
    name = "linear" if isinstance(model, Linear) else f"{model.activation} {model.hidden}"
    measured("float32, finite differences against the exact oracle", f"{name}, per {per}", error, 1e-4)


def test_the_error_falls_with_the_square_of_the_radius(measured: Measured) -> None:
    problem = classes(40, 3, "float64", model=MLP((6,), "tanh"))
    config = SolveConfig(oracle="finite_difference", lower=LowerConfig(learning_rate=0.2))
    state = started(problem, config)
    exact = estimate(problem, replace(config, oracle="exact"), state)
    radii = np.array([0.2, 0.1, 0.05, 0.025])
    errors = [relative_error(estimate(problem, replace(config, radius=float(r)), state), exact) for r in radii]
    for radius, error in zip(radii, errors, strict=True):
        measured("float64, tanh network, against the exact oracle", f"radius {radius}", error, 1e-2)
    slope = np.polyfit(np.log(radii), np.log(errors), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.1)


def test_the_product_with_a_known_hessian() -> None:
    """f(w, λ) = ½ wᵀAw + λᵀBw: H_ww p = Ap and H_λw p = Bp, by both oracles, whatever the lift."""
    rng = np.random.default_rng(0)
    a, b, w, lam, p = (rng.normal(size=shape) for shape in ((5, 5), (3, 5), (5, 1), (3, 1), (5, 1)))
    a = a + a.T
    device = {name: device_array(x, "float64") for name, x in {"a": a, "b": b, "w": w, "lam": lam, "p": p}.items()}
    half = device_array(np.array([0.5]), "float64")

    def loss(u: list[object]) -> object:
        quadratic = half * (u[0] * jt.matmul(device["a"], u[0])).sum()
        return quadratic + (device["lam"] * jt.matmul(device["b"], u[0])).sum()

    for oracle in ("finite_difference", "exact"):
        steps = step_sizes([device["p"]], device_array(np.array([0.1]), "float64"))
        along = directional_derivative(loss, [device["w"]], [device["p"]], oracle, steps)
        mixed, hessian = jt.grad(along, [device["lam"], device["w"]])
        np.testing.assert_allclose(hessian.numpy(), a @ p, rtol=1e-11)
        np.testing.assert_allclose(mixed.numpy(), b @ p, rtol=1e-11)


def test_a_zero_direction_gives_a_zero_product() -> None:
    """Upper rows that the model fits exactly: ∇F = 0, so nothing moves λ, and nothing is NaN."""
    data = ridge()
    problem = RegularizationProblem(
        train=(data.x, data.y), upper_rows=(np.zeros((4, 6)), np.zeros(4)), n_classes=None, dtype="float64"
    )
    config = SolveConfig(oracle="finite_difference", lower=LowerConfig(learning_rate=1e-30))
    state = initial_state(problem, config)
    assert np.array_equal(estimate(problem, config, state), np.zeros(6))


@pytest.mark.parametrize("estimator", [OneStep(), Unrolled(), Implicit("cg", 5), Implicit("neumann", 5)])
def test_estimating_twice_gives_the_same_answer_and_leaves_the_model_alone(
    estimator: OneStep | Unrolled | Implicit,
) -> None:
    problem = classes(30, 4)
    steps = 1 if isinstance(estimator, OneStep) else 3
    config = SolveConfig(
        oracle="finite_difference", estimator=estimator, lower=LowerConfig(learning_rate=0.2, steps=steps)
    )
    state = started(problem, config)
    before = state.to_bytes()
    first = estimate(problem, config, state)
    assert np.array_equal(first, estimate(problem, config, state))
    assert state.to_bytes() == before


def test_aggregation_differentiates_the_aggregated_objective(measured: Measured) -> None:
    """One step on αf + (1 − α)F from w, by central differences of the map it makes of λ."""
    data = ridge()
    problem, alpha = ridge_problem(), 0.7
    config = SolveConfig(
        estimator=Unrolled(), lower=LowerConfig(learning_rate=RATE, steps=2), aggregation=Aggregation(alpha, 0.5)
    )
    state = started(problem, config)
    theta0 = flat(state.w)

    def upper_loss(lam: Array) -> float:
        theta = theta0
        for k in range(2):
            a = alpha * 0.5**k
            matrix, vector = data.system(lam)
            theta = theta - RATE * (a * (matrix @ theta - vector) + (1 - a) * data.upper_gradient(theta))
        design = np.hstack([data.x_upper, np.ones((len(data.x_upper), 1))])
        return float(np.mean((design @ theta - data.y_upper) ** 2))

    lam = flat(state.lam)
    expected = [(upper_loss(lam + e) - upper_loss(lam - e)) / 2e-6 for e in 1e-6 * np.eye(len(lam))]
    error = relative_error(estimate(problem, config, state), np.array(expected))
    measured("ridge regression, aggregated, against central differences", "K = 2", error, 1e-6)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"estimator": OneStep(), "lower": LowerConfig(steps=2)}, "use unrolled"),
        ({"estimator": Unrolled(truncate=3), "lower": LowerConfig(steps=2)}, "lower truncate"),
        (
            {"estimator": Unrolled(truncate=1), "lower": LowerConfig(steps=2), "dynamic_initialization": 0.1},
            "without truncate",
        ),
        ({"estimator": Implicit(), "dynamic_initialization": 0.1}, "does not depend on its start"),
        ({"estimator": Implicit(), "aggregation": Aggregation()}, "use unrolled"),
    ],
)
def test_what_no_formula_covers_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SolveConfig(**fields)


def test_a_hypergradient_is_that_of_the_next_iteration() -> None:
    """At every iteration: also where the curvature is measured again, and with it the automatic lower rate."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)), rng.normal(size=40)
    problem = RegularizationProblem(
        train=(x[:20], y[:20]), upper_rows=(x[20:], y[20:]), n_classes=None, initial=1.0, dtype="float64"
    )
    state = initial_state(problem, SolveConfig())
    for k in range(2 * CURVATURE_EVERY + 2):
        config = SolveConfig(stop=Stop(iterations=k + 1))
        before = replace(state)
        estimated = np.linalg.norm(flat(hypergradient(problem, config, state)))
        assert all(now is then for now, then in zip(vars(state).values(), vars(before).values(), strict=True))
        ((iteration,),) = solve(problem, config, state)
        assert iteration.iteration == k + 1
        assert iteration.hypergradient_norm == pytest.approx(estimated, rel=1e-9)
        state.stopped_by = None
