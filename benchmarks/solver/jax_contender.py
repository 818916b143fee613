"""The same one-step loop in JAX, each iteration one compiled function: double backward and finite differences.

Usage: ``python jax_contender.py CASE_JSON``, with ``variant`` one of fd, exact in the JSON.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from contender import Arrays, Iterate, batches, layers, serve

Loss = Callable[..., Any]


class Carried(NamedTuple):
    """What goes from one iteration to the next: weights, λ, and Adam's moments of λ with their number."""

    w: Any
    lam: Any
    first: Any
    second: Any
    count: Any


def prepare(arrays: Arrays, case: dict[str, Any]) -> Iterate:
    several = str(case["threads"] > 1).lower()
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={several}"
    import jax  # reads the flags
    from jax import numpy as jnp

    hypergradient = hypergradient_of(case, *losses_of(arrays, case))

    @partial(jax.jit, donate_argnums=0)
    def iteration(carried: Carried, chosen: Any) -> tuple[Carried, Any, Any]:
        loss, gradient, following = hypergradient(carried.w, carried.lam, chosen)
        count = carried.count + 1
        first = 0.9 * carried.first + 0.1 * gradient
        second = 0.999 * carried.second + 0.001 * gradient**2
        size = jnp.sqrt(second / (1 - 0.999**count)) + 1e-8
        lam = carried.lam - case["upper_learning_rate"] * first / (1 - 0.9**count) / size
        return Carried(following, lam, first, second, count), loss, jnp.sqrt((gradient**2).sum())

    lam = jnp.asarray(arrays["lam"])
    w = [jnp.asarray(part) for part in layers(arrays)]
    carried = Carried(w, lam, jnp.zeros_like(lam), jnp.zeros_like(lam), jnp.float32(0))
    following_rows = batches(len(arrays["X"]), case["batch"])

    def iterate(count: int) -> tuple[float, float]:
        nonlocal carried
        for _ in range(count):
            carried, loss, norm = iteration(carried, following_rows())
        return float(loss), float(norm)

    return iterate


def losses_of(arrays: Arrays, case: dict[str, Any]) -> tuple[Loss, Loss]:
    """The lower loss of w, λ and the rows of a batch, and the upper loss of w."""
    import jax
    from jax import numpy as jnp

    x, xv, y, yv = (jnp.asarray(arrays[name]) for name in ("X", "Xv", "y", "yv"))

    def row_losses(w: Any, rows: Any, labels: Any) -> Any:
        for weight, bias in zip(w[:-2:2], w[1:-2:2], strict=True):
            rows = jax.nn.relu(rows @ weight + bias)
        logits = rows @ w[-2] + w[-1]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)[:, 0]

    def lower(w: Any, lam: Any, chosen: Any) -> Any:
        rows, labels = (x, y) if chosen is None else (x[chosen], y[chosen])
        losses = row_losses(w, rows, labels)
        if case["kind"] == "regularization_tuning":
            return losses.mean() + 0.5 * (jnp.exp(lam) * (w[0] ** 2).sum(1)).sum()
        return (jax.nn.sigmoid(lam if chosen is None else lam[chosen]) * losses).mean()

    return lower, lambda w: row_losses(w, xv, yv).mean()


def hypergradient_of(case: dict[str, Any], lower: Loss, upper: Loss) -> Loss:
    """A function of w, λ and the rows of a batch: the upper loss, its hypergradient, and w after the step."""
    import jax
    from jax import numpy as jnp

    step, radius = case["lower_learning_rate"], case["radius"]

    def stepped(w: Any, lam: Any, chosen: Any) -> Any:
        return [p - step * g for p, g in zip(w, jax.grad(lower)(w, lam, chosen), strict=True)]

    def exact(w: Any, lam: Any, chosen: Any) -> tuple[Any, Any, Any]:
        def after(lam: Any) -> tuple[Any, Any]:
            following = stepped(w, lam, chosen)
            return upper(following), following

        (loss, following), gradient = jax.value_and_grad(after, has_aux=True)(lam)
        return loss, gradient, following

    def finite_difference(w: Any, lam: Any, chosen: Any) -> tuple[Any, Any, Any]:
        following = stepped(w, lam, chosen)
        loss, v = jax.value_and_grad(upper)(following)
        eta = radius / jnp.sqrt(sum((part**2).sum() for part in v))
        high, low = (
            jax.grad(lower, 1)([p + sign * eta * d for p, d in zip(w, v, strict=True)], lam, chosen) for sign in (1, -1)
        )
        return loss, -step * (high - low) / (2 * eta), following

    return {"exact": exact, "fd": finite_difference}[case["variant"]]


if __name__ == "__main__":
    serve(prepare)
