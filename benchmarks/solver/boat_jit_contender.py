"""The seed: boat-jit's ``FD`` operation with one lower step, as shipped, or with its leak worked around.

As shipped, each iteration's hypergradient keeps the graph of all iterations before; the work-around drops the
buffer by hand before each iteration. ``hypergradient`` is also what makes the fixture that our tests compare with.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

os.environ.setdefault("nvcc_path", "")
os.environ.setdefault("use_mpi", "0")
os.environ.setdefault("use_parallel_op_compiler", "0")
import jittor as jt

signal.signal(signal.SIGINT, signal.default_int_handler)
import boat_jit
from contender import Arrays, Iterate, layers, serve


class Model(jt.Module):
    """The layers by name, since the seed patches modules, not parameter lists."""

    def __init__(self, w: list[Any]) -> None:
        super().__init__()
        self.depth = len(w) // 2
        for layer in range(self.depth):
            linear = jt.nn.Linear(*w[2 * layer].shape)
            linear.weight.update(jt.array(w[2 * layer].T.copy(), dtype=str(w[2 * layer].dtype)))
            linear.bias.update(jt.array(w[2 * layer + 1], dtype=str(w[2 * layer].dtype)))
            setattr(self, f"layer{layer}", linear)

    def execute(self, x: Any) -> Any:
        for layer in range(self.depth - 1):
            x = jt.nn.relu(getattr(self, f"layer{layer}")(x))
        return getattr(self, f"layer{self.depth - 1}")(x)


class Hyperparameters(jt.Module):
    def __init__(self, lam: Any) -> None:
        super().__init__()
        self.lam = jt.array(lam, dtype=str(lam.dtype))


def lower(feed: dict[str, Any], above: Any, below: Any, **_: Any) -> Any:
    score = below(feed["data"])
    if feed["loss"] == "squared_error":
        losses = (score - feed["target"]).sqr().sum(1)
    else:
        losses = jt.nn.cross_entropy_loss(score, feed["target"], reduction="none")
    return (jt.sigmoid(above.lam) * losses).mean()


def upper(feed: dict[str, Any], above: Any, below: Any, **_: Any) -> Any:
    score = below(feed["data"])
    if feed["loss"] == "squared_error":
        return (score - feed["target"]).sqr().sum(1).mean()
    return jt.nn.cross_entropy_loss(score, feed["target"])


def build(
    arrays: Arrays,
    *,
    lower_learning_rate: float,
    upper_learning_rate: float,
    radius: float,
    loss: str = "cross_entropy",
    return_grad: bool = False,
) -> Any:
    """The seed's problem object, its two feeds, and λ."""
    below, above = Model(layers(arrays)), Hyperparameters(arrays["lam"])
    config = {
        "gm_op": ["NGD"], "na_op": ["FD"], "fo_op": None,
        "lower_level_model": below, "upper_level_model": above,
        "lower_level_var": list(below.parameters()), "upper_level_var": list(above.parameters()),
        "lower_level_opt": jt.nn.SGD(list(below.parameters()), lr=lower_learning_rate),
        "upper_level_opt": jt.nn.SGD(list(above.parameters()), lr=upper_learning_rate),
        "lower_iters": 1, "FD": {"r": radius}, "RGT": {"truncate_iter": 0},
        "GDA": {"alpha_init": 0.0, "alpha_decay": 0.9},
        "DI": {"lr": 0.1}, "accumulate_grad": False, "return_grad": return_grad, "copy_last_param": True,
        "device": "cpu", "loss_log_path": str(Path(mkdtemp()) / "loss.json"),
    }  # fmt: skip
    functions = {
        "lower_level_loss": {"function": f"{__name__}.lower", "params": {}},
        "upper_level_loss": {"function": f"{__name__}.upper", "params": {}},
    }
    problem = boat_jit.Problem(config, functions)
    problem.build_ll_solver()
    problem.build_ul_solver()
    feeds = tuple(
        {"data": jt.array(arrays[x], dtype=str(arrays[x].dtype)), "target": jt.array(arrays[y]), "loss": loss}
        for x, y in (("X", "y"), ("Xv", "yv"))
    )
    return problem, feeds, above


def prepare(arrays: Arrays, case: dict[str, Any]) -> Iterate:
    problem, (below_feed, above_feed), above = build(
        arrays,
        lower_learning_rate=case["lower_learning_rate"],
        upper_learning_rate=case["upper_learning_rate"],
        radius=case["radius"],
    )

    def iterate(count: int) -> tuple[float, float]:
        norm = 0.0
        for index in range(count):
            if case["variant"] == "worked_around" and hasattr(above.lam, "_custom_grad"):
                del above.lam._custom_grad
            problem._log_results.clear()
            problem.run_iter(below_feed, above_feed, index)
        gradient = above.lam._custom_grad.numpy()
        norm = float((gradient.astype("float64") ** 2).sum() ** 0.5)
        return problem.loss_history[-1]["ul_loss"], norm

    return iterate


if __name__ == "__main__":
    serve(prepare)
