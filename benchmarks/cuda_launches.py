"""Launches, waits and copies of an iteration on CUDA, counted by the stand-in: ``python -m benchmarks.cuda_launches``.

Needs the wheels of ``make cuda``, and no GPU. Sizes are small: counts do not depend on them.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from tests.support import stand_in

ITERATIONS = 20
CASES: dict[str, dict[str, Any]] = {
    "linear, a weight for each row": {"rows": 120, "columns": 64, "classes": 10},
    "256 hidden units, a weight for each row": {"rows": 200, "columns": 40, "classes": 10, "hidden": 256},
    "the same with mini-batches": {"rows": 400, "columns": 40, "classes": 10, "hidden": 256, "batch": 100},
    "linear, a strength for each feature": {"rows": 100, "columns": 60, "classes": 2, "regularization": True},
}


def count(name: str, *, automatic: bool) -> dict[str, Any]:
    """What an iteration of the case asks of the device, on average."""
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

    runtime.start("cuda")
    case, rng = CASES[name], np.random.default_rng(0)
    rows = (rng.standard_normal((case["rows"], case["columns"])), rng.integers(0, case["classes"], case["rows"]))
    kind: Any = RegularizationProblem if case.get("regularization") else ReweightingProblem
    model = MLP((case["hidden"],)) if "hidden" in case else Linear()
    problem = kind(train=rows, upper_rows=rows, model=model, n_classes=case["classes"])
    lower = LowerConfig(learning_rate="auto" if automatic else 0.05, batch_size=case.get("batch"))
    config = SolveConfig(radius=None if automatic else 0.01, lower=lower, upper=UpperConfig(learning_rate=0.05))
    state = initial_state(problem, config)

    def go(iterations: int) -> None:
        state.stopped_by = None
        for _ in solve(problem, replace(config, stop=Stop(iterations=state.iteration + iterations)), state):
            pass

    go(25)  # past the fits of the radius at the first iterations
    before = stand_in.Counts.now()
    ctypes.CDLL("libcudart.so.13").stand_in_report()
    go(ITERATIONS)
    done = stand_in.Counts.now().since(before)
    if "-v" in sys.argv:
        ctypes.CDLL("libcudart.so.13").stand_in_report()
    per_iteration = {field: round(getattr(done, field) / ITERATIONS, 1) for field in done._fields[:5]}
    return {"case": name, "automatic": automatic} | per_iteration


def main() -> None:
    if "LD_LIBRARY_PATH" not in os.environ or "stand-in" not in os.environ["LD_LIBRARY_PATH"]:
        command = [sys.executable, "-m", "benchmarks.cuda_launches", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env=stand_in.variables(), check=False).returncode)
    print("| case | rates | launches | waits | uploads | downloads | copies |\n|---|---|---:|---:|---:|---:|---:|")
    for name in [argument for argument in sys.argv[1:] if argument in CASES] or CASES:
        for automatic in (False, True):
            found = count(name, automatic=automatic)
            cells = [found["case"], "automatic" if automatic else "fixed", *list(found.values())[2:]]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
