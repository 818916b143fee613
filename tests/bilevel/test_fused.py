"""The threaded kernels of a hidden layer and of cross-entropy compute what Jittor's own operations do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hposvc.bilevel import fused
from hposvc.bilevel.arrays import device_array
from hposvc.bilevel.losses import CrossEntropy
from hposvc.bilevel.models import MLP, Activation, Outputs
from hposvc.bilevel.runtime import jt
from tests.support import threads

ROWS, FEATURES, OUTPUTS = 900, 7, 3  # enough rows for a second thread

OURS = CrossEntropy()
HIDDEN = {"narrow product": (40,), "wide product before it": (40, 48)}


def outputs_and_gradients(model: MLP, dtype: str, scale: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    w = [device_array(a + 0.1 * rng.normal(size=a.shape), dtype) for a in model.initial(FEATURES, OUTPUTS, rng)]
    x = device_array(scale * rng.normal(size=(ROWS, FEATURES)), dtype)
    weights = device_array(rng.normal(size=(ROWS, OUTPUTS)), dtype)
    outputs = model.head(model.lift(w, x))
    return [v.numpy() for v in (outputs, *jt.grad((outputs * weights).sum(), w))]


def by_jittor(outputs: Outputs, labels: Any) -> Any:
    """Cross-entropy of each row in Jittor's own operations, as log(1 + Σ e^{z_c − z_label}) over the other classes.

    Its derivatives are sums of their probabilities: that of the label minus one is rounding alone where a row is sure.
    """
    logits = outputs.total()
    onehot = (jt.index(logits.shape, 1) == labels.reshape([-1, 1])).cast(logits.dtype)
    ahead = logits - (logits * onehot).sum(1).reshape([-1, 1])
    top = ahead.max(1, keepdims=True).stop_grad()  # at least 0; the loss does not depend on it, its rounding does
    others = (jt.exp(ahead - top) * (1 - onehot)).sum(1)
    top = top.reshape([-1])
    return jt.log(jt.exp(-top) + others) + top


def second_derivatives(
    classes: int, dtype: str, scale: float, loss: Callable[[Outputs, Any], Any] = OURS
) -> list[np.ndarray]:
    """Of weighted cross-entropies, along directions of z and the bias: by z, the bias and the weights."""
    rng = np.random.default_rng(0)
    z, along = (device_array(scale * rng.normal(size=(ROWS, classes)), dtype) for _ in range(2))
    bias, bias_along = (device_array(rng.normal(size=classes), dtype) for _ in range(2))
    weights = device_array(rng.random(ROWS), dtype)
    labels = jt.array(rng.integers(classes // 2, classes, ROWS).astype(np.int32))
    with fused.differentiable_twice():
        by_z, by_bias = jt.grad((loss(Outputs(z, bias), labels) * weights).sum(), [z, bias])
        directional = (by_z * along).sum() + (by_bias * bias_along).sum()
    return [v.numpy() for v in jt.grad(directional, [z, bias, weights])]


def losses_and_gradients(
    classes: int, dtype: str, scale: float, step: float, loss: Callable[[Outputs, Any], Any] = OURS
) -> list[np.ndarray]:
    """Of cross-entropy at z + step · t, with respect to z and the bias."""
    rng = np.random.default_rng(0)
    z, t = (device_array(scale * rng.normal(size=(ROWS, classes)), dtype) for _ in range(2))
    # Weights of one sign and labels of half the classes: the sums over rows do not cancel.
    bias, weights = device_array(rng.normal(size=classes), dtype), device_array(rng.random(ROWS), dtype)
    labels = jt.array(rng.integers(classes // 2, classes, ROWS).astype(np.int32))
    moved = fused.Moved(z, t, device_array(np.array([step]), dtype)) if step else z
    losses = loss(Outputs(moved, bias), labels)
    return [v.numpy() for v in (losses, *jt.grad((losses * weights).sum(), [z, bias]))]


def moved_outputs_and_gradients(hidden: tuple[int, ...], dtype: str) -> list[np.ndarray]:
    """Of a hidden layer at z + step · t."""
    rng = np.random.default_rng(0)
    model = MLP(hidden)
    w = [device_array(a + 0.1 * rng.normal(size=a.shape), dtype) for a in model.initial(FEATURES, OUTPUTS, rng)]
    z, t = (device_array(rng.normal(size=(ROWS, hidden[0])), dtype) for _ in range(2))
    weights = device_array(rng.normal(size=(ROWS, OUTPUTS)), dtype)
    outputs = model.head([fused.Moved(z, t, device_array(np.array([0.3]), dtype)), *w])
    return [v.numpy() for v in (outputs, *jt.grad((outputs * weights).sum(), [z, *w[1:]]))]


@pytest.mark.parametrize("step", [0, -0.3], ids=["plain", "moved"])
@pytest.mark.parametrize("classes", [2, 10, 70])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_same_losses_and_gradients(classes: int, dtype: str, tolerance: float, step: float) -> None:
    plain = losses_and_gradients(classes, dtype, 3.0, step, by_jittor)
    for twice in (False, True):
        with fused.differentiable_twice() if twice else contextlib.nullcontext():
            fast = losses_and_gradients(classes, dtype, 3.0, step)
        for a, b in zip(fast, plain, strict=True):
            assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@pytest.mark.parametrize("classes", [2, 10, 70])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_same_second_derivatives(classes: int, dtype: str, tolerance: float) -> None:
    plain = second_derivatives(classes, dtype, 3.0, by_jittor)
    for a, b in zip(second_derivatives(classes, dtype, 3.0), plain, strict=True):
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@pytest.mark.parametrize("twice", [False, True])
def test_the_gradient_of_a_row_that_is_sure_is_no_rounding(*, twice: bool) -> None:
    """The own probability minus one, in float32, has an error of 6e-8, which is all of it where p is 1 − 1e-8."""
    ahead = np.linspace(5, 18, ROWS)
    z = np.stack([ahead, np.zeros(ROWS), -np.ones(ROWS)], 1)
    true = -np.exp(-ahead) * (1 + np.exp(-1)) / (1 + np.exp(-ahead) * (1 + np.exp(-1)))
    scores = device_array(z, "float32")
    weights = device_array(np.ones(ROWS), "float32")
    with fused.differentiable_twice() if twice else contextlib.nullcontext():
        losses = CrossEntropy()(
            Outputs(scores, device_array(np.zeros(3), "float32")), jt.array(np.zeros(ROWS, dtype=np.int32))
        )
        gradient = jt.grad((losses * weights).sum(), scores)
    np.testing.assert_allclose(gradient.numpy()[:, 0], true, rtol=1e-5)
    np.testing.assert_allclose(gradient.numpy().sum(1), 0, atol=1e-9)
    if twice:  # what the weight of such a row does to its own score
        np.testing.assert_allclose(jt.grad(gradient[:, 0].sum(), weights).numpy(), true, rtol=1e-5)


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_a_moved_layer_is_the_layer_of_the_moved_array(hidden: tuple[int, ...], dtype: str, tolerance: float) -> None:
    fast = moved_outputs_and_gradients(hidden, dtype)
    with fused.differentiable_twice():
        plain = moved_outputs_and_gradients(hidden, dtype)
    for a, b in zip(fast, plain, strict=True):
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_row_with_a_broken_score_has_no_finite_loss(broken: float) -> None:
    z = np.random.default_rng(0).normal(size=(40, 5))
    z[7, 2] = broken
    scores = Outputs(device_array(z, "float32"), device_array(np.zeros(5), "float32"))
    losses = CrossEntropy()(scores, jt.array(np.zeros(40, dtype=np.int32))).numpy()
    np.testing.assert_array_equal(np.isfinite(losses), np.arange(40) != 7)


def test_a_row_is_correct_where_its_first_largest_output_is_its_label() -> None:
    outputs = np.array([[0.0, 2.0, 1.0], [1.0, 0.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    scores = Outputs(device_array(outputs, "float32"), device_array(np.array([0.0, 0.0, -2.5]), "float32"))
    labels = jt.array(np.array([1, 2, 0, 1], dtype=np.int32))
    np.testing.assert_array_equal(scores.correct(labels).numpy(), [1, 0, 1, 0])
    with fused.differentiable_twice():
        np.testing.assert_array_equal(scores.correct(labels).numpy(), [1, 0, 1, 0])


def test_saturated_losses_are_the_distance_to_the_largest_logit() -> None:
    losses, *gradients = losses_and_gradients(10, "float32", 1e4, 0)
    assert np.isfinite(losses).all()
    assert (losses >= 0).all()
    assert losses.max() > 1e4
    assert all(np.isfinite(gradient).all() for gradient in gradients)


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
    """The kernels' own sums never do. The products between them are oneDNN's, and on some processors they do."""
    losses, networks = [], []
    for count in threads.COUNTS:
        with threads.using(count):
            losses.append([*losses_and_gradients(70, "float32", 1.0, 0.1), *second_derivatives(70, "float32", 1.0)])
            networks.append([*outputs_and_gradients(MLP((40, 48)), "float32", 1.0)])
    same_products = threads.products_keep_bits()
    for other in losses[1:]:
        for a, b in zip(losses[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    for other in networks[1:]:
        for a, b in zip(networks[0], other, strict=True):
            if same_products:
                np.testing.assert_array_equal(a, b)
            else:
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(a).max())
