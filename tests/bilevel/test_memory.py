"""Memory does not grow with iterations, and grows with unrolled steps by copies of w alone."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hposvc.bilevel import LowerConfig, SolveConfig, Stop, Unrolled, hypergradient, initial_state, solve
from hposvc.bilevel.hypergradient import Products, SecondOrder
from hposvc.bilevel.runtime import jt
from tests.support.solving import reweighting

CONFIGS = {
    "one_step": SolveConfig(lower=LowerConfig(batch_size=12)),
    "unrolled": SolveConfig(estimator=Unrolled(), lower=LowerConfig(steps=3, momentum=0.5), certify_every=10),
}

LOOKED_AT = (1000, 5000)


def live() -> tuple[int, int]:
    """Live variables and live operations, once all that is unreachable is gone."""
    gc.collect()
    jt.sync_all(True)
    found = jt.liveness_info()
    return found["lived_vars"], found["lived_ops"]


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def watch(config: SolveConfig) -> list[tuple[int, int, float]]:
    """Live variables, live operations and resident megabytes after so many iterations of a tiny problem."""
    problem = reweighting()
    state = initial_state(problem, config)
    seen = []
    for end in LOOKED_AT:
        state.stopped_by = None
        for _ in solve(problem, replace(config, stop=Stop(iterations=end)), state):
            pass
        seen.append((*live(), resident_megabytes()))
    return seen


@pytest.mark.long
@pytest.mark.parametrize("name", CONFIGS)
def test_memory_is_flat_over_five_thousand_iterations(name: str) -> None:
    """In a process of its own, where no other test's kernels and data come and go."""
    program = f"import json; from tests.bilevel.test_memory import *; print(json.dumps(watch(CONFIGS[{name!r}])))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (vars_early, ops_early, before), (vars_late, ops_late, after) = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {before:.1f} MB after {LOOKED_AT[0]} iterations, {after:.1f} MB after {LOOKED_AT[1]}")
    assert (vars_late, ops_late) == (vars_early, ops_early)
    assert after - before < 2  # 4,000 iterations that each kept one array of one number would be 4,000 allocations


def test_a_hundred_unrolled_steps_hold_a_hundred_copies_of_w(monkeypatch: pytest.MonkeyPatch) -> None:
    """Throughout the reverse pass, a step adds the variables of its w, and no operation."""
    seen: list[tuple[int, int]] = []
    products = SecondOrder.products

    def counted(*args: Any, **keywords: Any) -> Products:
        found = jt.liveness_info()
        seen.append((found["lived_vars"], found["lived_ops"]))
        return products(*args, **keywords)

    monkeypatch.setattr(SecondOrder, "products", counted)
    problem, most = reweighting(), []
    for steps in (10, 100):
        config = SolveConfig(estimator=Unrolled(), lower=LowerConfig(learning_rate=0.1, steps=steps), radius=0.01)
        state = initial_state(problem, config)
        gc.collect()
        seen.clear()
        hypergradient(problem, config, state)
        assert len(seen) == steps
        most.append(np.max(seen, axis=0))
    variables, operations = most[1] - most[0]
    assert variables == 90 * len(state.w)
    assert operations <= 0
