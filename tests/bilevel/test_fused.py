"""The threaded kernels of a hidden layer compute what Jittor's own operations do."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from hposvc.bilevel import fused
from hposvc.bilevel.models import MLP, Activation, device_array
from hposvc.bilevel.runtime import jt

ROWS, FEATURES, OUTPUTS = 900, 7, 3  # enough rows for a second thread

HIDDEN = {"narrow product": (40,), "wide product before it": (40, 48)}


def outputs_and_gradients(model: MLP, dtype: str, scale: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    w = [device_array(a + 0.1 * rng.normal(size=a.shape), dtype) for a in model.initial(FEATURES, OUTPUTS, rng)]
    x = device_array(scale * rng.normal(size=(ROWS, FEATURES)), dtype)
    weights = device_array(rng.normal(size=(ROWS, OUTPUTS)), dtype)
    outputs = model.head(model.lift(w, x))
    return [v.numpy() for v in (outputs, *jt.grad((outputs * weights).sum(), w))]


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_same_outputs_and_gradients(
    hidden: tuple[int, ...], activation: Activation, dtype: str, tolerance: float
) -> None:
    model = MLP(hidden, activation)
    fast = outputs_and_gradients(model, dtype, 1.0)
    with fused.differentiable_twice():
        plain = outputs_and_gradients(model, dtype, 1.0)
    for a, b in zip(fast, plain, strict=True):
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_saturated_units_stay_finite(activation: Activation) -> None:
    for array in outputs_and_gradients(MLP((40,), activation), "float32", 1e4):
        assert np.isfinite(array).all()


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    openmp = ctypes.CDLL("libgomp.so.1")
    threads = openmp.omp_get_max_threads()
    found = []
    try:
        for count in (1, 2, 3):
            openmp.omp_set_num_threads(count)
            found.append(outputs_and_gradients(MLP((40, 48)), "float32", 1.0))
    finally:
        openmp.omp_set_num_threads(threads)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
