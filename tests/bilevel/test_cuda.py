"""The same solver on a GPU; skipped, and said so, where there is none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hposvc.machine import cuda

OBSTACLES = "; ".join(obstacle.message for obstacle in cuda.obstacles())

SCRIPT = """
import json, sys
import numpy as np
from hposvc.bilevel import LowerConfig, MLP, ReweightingProblem, SolveConfig, Stop, initial_state, runtime, solve
runtime.start("cuda")
rng = np.random.default_rng(0)
rows = (rng.normal(size=(60, 8)), np.arange(60) % 3)
problem = ReweightingProblem(train=rows, upper_rows=rows, model=MLP((16,), "tanh"), n_classes=3)
found = {}
for device in ("cuda", "cpu"):
    runtime.start(device)
    config = SolveConfig(lower=LowerConfig(learning_rate=0.1), stop=Stop(iterations=20))
    state = initial_state(problem, config)
    found[device] = [i.hypergradient_norm for batch in solve(problem, config, state) for i in batch]
print("FOUND", json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(bool(OBSTACLES), reason=f"no GPU that Jittor can use: {OBSTACLES}")
def test_a_gpu_gives_the_hypergradients_of_the_cpu() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout.split("FOUND")[1])
    assert len(found["cuda"]) == 20
    assert found["cuda"] == pytest.approx(found["cpu"], rel=1e-2)
