"""Upper update rules against the same rules in NumPy."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from hposvc.bilevel import Schedule, fused
from hposvc.bilevel.arrays import device_array
from hposvc.bilevel.optimizers import Moments, clip, initial_moments, update

GRADIENTS = np.array([[1.0, -2e-6, 0.5], [3.0, -1e-6, -0.5], [-1.0, -4e-6, 0.1]])


def moved(optimizer: Literal["sgd", "momentum", "adam"], rate: float) -> np.ndarray:
    lam = [device_array(np.zeros(3), "float64")]
    moments = initial_moments(optimizer, lam)
    for k, gradient in enumerate(GRADIENTS, start=1):
        lam, moments = update(optimizer, lam, [device_array(gradient, "float64")], moments, rate=rate, k=k)
    return np.asarray(lam[0].numpy())


def test_sgd() -> None:
    np.testing.assert_allclose(moved("sgd", 0.1), -0.1 * GRADIENTS.sum(0), rtol=1e-14)


def test_momentum() -> None:
    np.testing.assert_allclose(moved("momentum", 0.1), -0.1 * (np.array([2.71, 1.9, 1.0]) @ GRADIENTS), rtol=1e-14)


def test_adam_moves_small_gradients_as_far_as_large_ones() -> None:
    first, second, lam = np.zeros(3), np.zeros(3), np.zeros(3)
    for k, gradient in enumerate(GRADIENTS, start=1):
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        lam -= 0.1 * (first / (1 - 0.9**k)) / np.sqrt(second / (1 - 0.999**k))
    np.testing.assert_allclose(moved("adam", 0.1), lam, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)])
def test_adam_in_one_kernel_is_adam_in_operations(dtype: str, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    lam, h = ([device_array(rng.normal(size=size), dtype) for size in (40_000, 3)] for _ in range(2))
    moments = Moments(
        [device_array(rng.normal(size=size), dtype) for size in (40_000, 3)],
        [device_array(rng.random(size), dtype) for size in (40_000, 3)],
    )
    fast = update("adam", lam, h, moments, rate=0.1, k=7)
    with fused.differentiable_twice():
        plain = update("adam", lam, h, moments, rate=0.1, k=7)
    for ours, theirs in zip((fast[0], *fast[1]), (plain[0], *plain[1]), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("limit", "expected"), [(1.0, [0.6, 0.8]), (10.0, [3.0, 4.0])])
def test_clipping_keeps_the_direction(limit: float, expected: list[float]) -> None:
    np.testing.assert_allclose(clip([device_array(np.array([3.0, 4.0]), "float64")], limit)[0].numpy(), expected)


def test_schedules_go_from_one_to_their_final_factor() -> None:
    for kind in ("cosine", "exponential"):
        schedule = Schedule(kind, final=0.01)
        values = [schedule(k, 11) for k in range(11)]
        assert values[0] == 1.0
        assert values[-1] == pytest.approx(0.01)
        assert values == sorted(values, reverse=True)
    assert Schedule()(7, 11) == 1.0
