"""One hypergradient and one iteration at a fixed state, on the CPU and on CUDA.

``python -m tests.support.cuda_cases [name…]`` writes a line of JSON for each case.

Trajectories are not compared: what two devices round differently, warm-started networks carry elsewhere. Errors are
relative to float64 on the CPU, so that what finite differences lose to the rounding of float32 is seen on both.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hposvc.bilevel import (
    CNN,
    MLP,
    Aggregation,
    CrossEntropy,
    Huber,
    Implicit,
    LowerConfig,
    NoiseMatrixProblem,
    RegularizationProblem,
    ReweightingProblem,
    SolveConfig,
    SolverState,
    Stop,
    Unrolled,
    UpperConfig,
    hypergradient,
    initial_state,
    runtime,
    solve,
)
from hposvc.bilevel.arrays import Arrays
from hposvc.bilevel.problem import Supervised
from tests.support.stand_in import Counts

ROWS, FEATURES, CLASSES = 24, 6, 3
MANY = 4200  # so many that sums over their parts take a launch of their own

DEFAULT = SolveConfig()


@dataclass(frozen=True)
class Case:
    """A problem for each precision, and how it is solved."""

    problem: Callable[[Any], Supervised]
    config: SolveConfig = DEFAULT


def cases() -> Iterator[tuple[str, Case]]:
    """Each kind, granularity, model, activation, loss, estimator, oracle and optimizer at least once."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(ROWS, FEATURES)), np.arange(ROWS) % CLASSES
    rows, numbers = (features, labels), (features, rng.normal(size=ROWS))
    images = (rng.normal(size=(ROWS, 36)), labels)
    reach = {"train": rows, "upper_rows": rows, "selection": rows, "n_classes": CLASSES, "weight_decay": 1e-2}
    of_numbers = reach | {"train": numbers, "upper_rows": numbers, "selection": numbers, "n_classes": None}
    of_images = reach | {"train": images, "upper_rows": images, "selection": images}

    def reweighting(**own: Any) -> Callable[[Any], Supervised]:
        return lambda dtype: ReweightingProblem(**reach | own, dtype=dtype)

    def regularization(**own: Any) -> Callable[[Any], Supervised]:
        return lambda dtype: RegularizationProblem(**of_numbers | own, dtype=dtype)

    def noise(**own: Any) -> Callable[[Any], Supervised]:
        start = np.full((CLASSES, CLASSES), 0.1) + 0.7 * np.eye(CLASSES)
        return lambda dtype: NoiseMatrixProblem(**reach | {"start": start} | own, dtype=dtype)

    steps = LowerConfig(steps=3, momentum=0.9)
    bounded = UpperConfig(optimizer="momentum", clip_norm=1.0, bounds=(-9.0, 3.0))
    yield "reweighting, linear", Case(reweighting())
    yield "reweighting, MLP tanh", Case(reweighting(model=MLP((5,), "tanh")))
    yield "reweighting, MLP gelu of three layers", Case(reweighting(model=MLP((5, 4), "gelu")))
    yield "reweighting, MLP relu", Case(reweighting(model=MLP((5,))))
    yield "reweighting, wide MLP tanh", Case(reweighting(model=MLP((5, 40, 6), "tanh")))
    yield "reweighting, CNN", Case(reweighting(**of_images, model=CNN((6, 6, 1), (2,), hidden=(4,), activation="tanh")))
    yield "reweighting, dropout", Case(reweighting(model=MLP((8,), "tanh", dropout=0.5)))
    yield "reweighting, class weights", Case(reweighting(loss=CrossEntropy((1.0, 2.0, 0.5))))
    yield (
        "reweighting per class, exact",
        Case(reweighting(per="class", model=MLP((5,), "tanh")), SolveConfig(oracle="exact")),
    )
    many = (rng.normal(size=(MANY, FEATURES)), np.arange(MANY) % CLASSES)
    large = {"train": many, "upper_rows": many, "selection": None, "model": MLP((5,), "tanh")}
    yield "reweighting, many rows, exact", Case(reweighting(**large), SolveConfig(oracle="exact"))
    groups = {"per": "group", "row_groups": np.arange(ROWS) % 4}
    yield "reweighting per group, sgd", Case(reweighting(**groups), SolveConfig(upper=UpperConfig("sgd")))
    batches = SolveConfig(lower=LowerConfig(batch_size=8))
    yield "reweighting, mini-batches", Case(reweighting(model=MLP((5,), "tanh")), batches)
    unrolled = SolveConfig(estimator=Unrolled(), lower=steps)
    yield "reweighting, unrolled", Case(reweighting(model=MLP((5,), "tanh")), unrolled)
    truncated = SolveConfig(estimator=Unrolled(2), lower=steps, aggregation=Aggregation())
    yield "reweighting, truncated and aggregated", Case(reweighting(model=MLP((5,), "tanh")), truncated)
    learned = SolveConfig(estimator=Unrolled(), lower=steps, dynamic_initialization=0.1)
    yield "reweighting, learned start", Case(reweighting(model=MLP((5,), "tanh")), learned)
    yield "reweighting, neumann", Case(reweighting(model=MLP((5,), "tanh")), SolveConfig(Implicit("neumann", 5)))
    yield "reweighting, conjugate gradient", Case(reweighting(), SolveConfig(Implicit("cg", 5)))
    yield "reweighting, numbers", Case(reweighting(**of_numbers))
    yield "regularization, linear", Case(regularization())
    yield "regularization, classes", Case(regularization(**reach), SolveConfig(lower=LowerConfig(learning_rate=0.1)))
    yield "regularization per layer, l1", Case(regularization(per="layer", penalty="l1", model=MLP((5,), "tanh")))
    elastic = {"per": "parameter", "penalty": "elastic_net", "model": MLP((5,), "gelu")}
    yield "regularization per parameter", Case(regularization(**elastic), SolveConfig(upper=bounded))
    yield "regularization per model, Huber", Case(regularization(per="model", loss=Huber(0.5), model=MLP((5,), "tanh")))
    yield "regularization, unrolled", Case(regularization(model=MLP((5,), "tanh"), shrinkage=1e-2), unrolled)
    yield "noise matrix, linear", Case(noise(shrinkage=1e-2))
    yield "noise matrix, noisy upper rows", Case(noise(upper_noisy=True, selection=None, model=MLP((5,), "tanh")))


def estimate(case: Case, saved: bytes, dtype: str) -> tuple[Arrays, list[float], bytes]:
    """The hypergradient at a saved state, the values of the next iteration, and the state after it."""
    problem, state = case.problem(dtype), SolverState.from_bytes(saved)
    found = [a.numpy() for a in hypergradient(problem, case.config, state)]
    (batch,) = solve(problem, replace(case.config, stop=Stop(iterations=state.iteration + 1)), state)
    one = batch[0]
    values = [one.upper_loss, one.hypergradient_norm, one.lower_loss, one.upper_score, one.selection_loss or 0.0]
    return found, values, state.to_bytes()


def started(case: Case) -> bytes:
    """The state of ``case`` after two iterations."""
    problem = case.problem("float32")
    state = initial_state(problem, config := replace(case.config, stop=Stop(iterations=2)))
    for _ in solve(problem, config, state):
        pass
    state.stopped_by = None
    return state.to_bytes()


def in_float64(saved: bytes) -> bytes:
    """The same state in float64."""
    state = SolverState.from_bytes(saved)
    state.dtype = "float64"
    return SolverState.from_bytes(state.to_bytes()).to_bytes()


def gap(found: list[Any], reference: list[Any]) -> float:
    """‖a − b‖ / ‖b‖."""
    a, b = (np.concatenate([np.ravel(x) for x in each]).astype(np.float64) for each in (found, reference))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def compare(case: Case) -> dict[str, Any]:
    """How far either device is from float64, and from the other, also where CUDA has left the state."""
    runtime.start("cpu")
    saved = started(case)
    reference, values, _ = estimate(case, in_float64(saved), "float64")
    cpu, cpu_values, _ = estimate(case, saved, "float32")
    runtime.start("cuda")
    before = Counts.now()
    cuda, cuda_values, moved = estimate(case, saved, "float32")
    launches = Counts.now().since(before).launches
    further = [a.numpy() for a in hypergradient(*resumed(case, moved))]
    runtime.start("cpu")
    back = [a.numpy() for a in hypergradient(*resumed(case, moved))]
    return {
        "cpu": gap(cpu, reference),
        "cuda": gap(cuda, reference),
        "apart": gap(cuda, cpu),
        "cpu_values": gap(cpu_values, values),
        "cuda_values": gap(cuda_values, values),
        "back": gap(further, back),
        "launches": launches,
    }


def resumed(case: Case, saved: bytes) -> tuple[Supervised, SolveConfig, SolverState]:
    return case.problem("float32"), case.config, SolverState.from_bytes(saved)


def main(*names: str) -> None:
    runtime.start("cuda")
    for name, case in cases():
        if names and name not in names:
            continue
        began = time.monotonic()
        try:
            found = compare(case)
        except Exception as error:  # noqa: BLE001 - the others are to be seen, too
            found = {"failed": f"{type(error).__name__}: {error}"[-3000:]}
        print(json.dumps({"name": name, "seconds": round(time.monotonic() - began, 1)} | found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
