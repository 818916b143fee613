"""This solver, through the same public functions that the service's worker calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from contender import Arrays, Iterate, layers, serve

from hposvc.bilevel import (
    MLP,
    Linear,
    LowerConfig,
    RegularizationProblem,
    ReweightingProblem,
    SolveConfig,
    Stop,
    UpperConfig,
    initial_state,
    runtime,
    solve,
)
from hposvc.bilevel.arrays import device_array


def prepare(arrays: Arrays, case: dict[str, Any]) -> Iterate:
    runtime.start()
    classes = int(arrays["y"].max()) + 1
    shared: dict[str, Any] = {
        "train": (arrays["X"], arrays["y"]),
        "upper_rows": (arrays["Xv"], arrays["yv"]),
        "model": MLP(tuple(case["hidden"])) if case["hidden"] else Linear(),
        "n_classes": classes,
    }
    if case["kind"] == "regularization_tuning":
        problem: Any = RegularizationProblem(**shared, initial=0.0)
    else:
        problem = ReweightingProblem(**shared)
    config = SolveConfig(
        oracle=case["variant"],
        radius=case["radius"],
        lower=LowerConfig(learning_rate=case["lower_learning_rate"], batch_size=case["batch"]),
        upper=UpperConfig(learning_rate=case["upper_learning_rate"]),
    )
    state = initial_state(problem, config)
    state.w = [device_array(np.asarray(w), "float32") for w in layers(arrays)]

    def iterate(count: int) -> tuple[float, float]:
        stop = Stop(iterations=state.iteration + count)
        state.stopped_by = None
        *_, last = [i for batch in solve(problem, replace(config, stop=stop), state) for i in batch]
        return last.upper_loss, last.hypergradient_norm

    return iterate


if __name__ == "__main__":
    serve(prepare)
