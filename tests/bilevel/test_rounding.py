"""With every matrix product rounded to bf16, as on tensor cores, the hypergradient stays close to the exact one.

Products with the perturbed weights would lose the perturbation in their rounding. ``lift`` takes them for the weights
and for the direction apart, and the layers after the first for what was there before and for the difference: so the
difference of the two evaluations carries none of the rounding of what they share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hposvc.bilevel import (
    MLP,
    Linear,
    LowerConfig,
    ReweightingProblem,
    SolveConfig,
    SolverState,
    Stop,
    fused,
    hypergradient,
    initial_state,
    solve,
)
from hposvc.bilevel.arrays import device_array
from hposvc.bilevel.runtime import jt
from tests.support.references import Array, Measured, relative_error

ROWS, FEATURES, CLASSES = 500, 64, 10
CONFIG = SolveConfig(lower=LowerConfig(learning_rate=0.1), oracle="finite_difference")

ROUND = """
for (int64 i = 0; i < in0->num; i++) {
    unsigned bits;
    memcpy(&bits, in0_p + i, 4);
    bits += 0x7fff + ((bits >> 16) & 1);  // to the nearest, ties to even
    bits &= 0xffff0000u;
    memcpy(out0_p + i, &bits, 4);
}
"""


class Unlifted(ReweightingProblem):
    """The same losses with the perturbation in the weights themselves, W ± ηV, before any product."""

    def lift(self, w: list[Any], batch: Any) -> list[Any]:
        return list(w)

    def moved(self, u: list[Any], t: list[Any], step: Any) -> list[Any]:
        return [a + step * b for a, b in zip(u, t, strict=True)]

    def lower_loss(self, u: list[Any], lam: list[Any], batch: Any) -> Any:
        return super().lower_loss(super().lift(u, batch), lam, batch)


@pytest.fixture
def round_products(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call this to round from there on: both operands of each product, forward and backward."""
    plain = jt.matmul

    class Rounded(jt.Function):
        def execute(self, a: Any, b: Any) -> Any:
            self.operands = a, b
            return plain(bf16(a), bf16(b))

        def grad(self, g: Any) -> tuple[Any, Any]:
            a, b = self.operands
            return plain(bf16(g), bf16(b).transpose()), plain(bf16(a).transpose(), bf16(g))

    def start() -> None:
        monkeypatch.setattr(jt, "matmul", Rounded.apply)
        monkeypatch.setattr(fused, "usable", lambda: False)  # it multiplies without jt.matmul

    return start


def bf16(x: Any) -> Any:
    return jt.code(x.shape, "float32", [x], cpu_header="#include <string.h>", cpu_src=ROUND)


def problem_of(kind: type[ReweightingProblem], model: Linear | MLP, dtype: str) -> ReweightingProblem:
    rng = np.random.default_rng(0)
    labels, upper = rng.integers(0, CLASSES, ROWS), rng.integers(0, CLASSES, ROWS)
    centres = rng.normal(size=(CLASSES, FEATURES))
    return kind(
        train=(rng.normal(size=(ROWS, FEATURES)) + centres[labels], labels),
        upper_rows=(rng.normal(size=(ROWS, FEATURES)) + centres[upper], upper),
        n_classes=CLASSES,
        model=model,
        weight_decay=1 / ROWS,
        dtype=dtype,
    )


def state_at(problem: ReweightingProblem, w: list[Array], lam: list[Array]) -> SolverState:
    state = initial_state(problem, CONFIG)
    state.w, state.lam = ([device_array(a, problem.dtype) for a in arrays] for arrays in (w, lam))
    state.iteration = 1  # no radius is fitted there: rounded products have no second derivative to fit it to
    return state


def on_the_way(model: Linear | MLP) -> tuple[list[Array], list[Array], Array]:
    """The weights after twenty iterations, random λ, and the exact hypergradient there, in float64."""
    problem = problem_of(ReweightingProblem, model, "float64")
    state = initial_state(problem, CONFIG)
    list(solve(problem, replace(CONFIG, stop=Stop(iterations=20)), state))
    w, lam = [a.numpy() for a in state.w], [0.5 * np.random.default_rng(3).normal(size=ROWS)]
    exact = replace(CONFIG, oracle="exact")
    return w, lam, hypergradient(problem, exact, state_at(problem, w, lam))[0].numpy()


def test_the_rounding_is_that_of_bf16() -> None:
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -3.14159], dtype=np.float32)
    expected = np.array([1.0, 1.0, 1 + 2**-6, -3.140625], dtype=np.float32)
    np.testing.assert_array_equal(bf16(device_array(values, "float32")).numpy(), expected)


@pytest.mark.parametrize(
    ("model", "below"),
    [
        (Linear(), 0.02),
        (MLP((64,), "tanh"), 0.02),
        (MLP((64, 32), "tanh"), 0.02),
        (MLP((64,), "gelu"), 0.02),
        (MLP((64,), "relu"), 0.02),
        (MLP((256,), "relu"), 0.02),
    ],
)
def test_products_in_bf16_keep_the_hypergradient(
    model: Linear | MLP, below: float, round_products: Callable[[], None], measured: Measured
) -> None:
    w, lam, exact = on_the_way(model)
    problem = problem_of(ReweightingProblem, model, "float32")
    state = state_at(problem, w, lam)
    in_float32 = relative_error(hypergradient(problem, CONFIG, state)[0].numpy(), exact)
    round_products()
    name = "linear" if isinstance(model, Linear) else f"{model.activation} {model.hidden}"
    error = relative_error(hypergradient(problem, CONFIG, state)[0].numpy(), exact)
    assert error > in_float32, "nothing was rounded"
    measured("products in bf16, against the exact oracle in float64", name, error, below)


def test_perturbing_the_weights_before_the_product_loses_the_perturbation(
    round_products: Callable[[], None], measured: Measured
) -> None:
    w, lam, exact = on_the_way(Linear())
    lifted, plain = (problem_of(kind, Linear(), "float32") for kind in (ReweightingProblem, Unlifted))
    round_products()
    for radius in (0.001, 0.01):
        config = replace(CONFIG, radius=radius)
        ours, theirs = (
            relative_error(hypergradient(problem, config, state_at(problem, w, lam))[0].numpy(), exact)
            for problem in (lifted, plain)
        )
        measured("products in bf16, linear, by lift", f"radius {radius}", ours, 0.02)
        measured("the same by W ± ηV", f"radius {radius}", theirs, np.inf)
        assert theirs > 10 * ours
