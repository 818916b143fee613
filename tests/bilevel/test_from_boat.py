"""The two examples of boat-jit, run here, against what boat-jit 1.1.1 computed for them (docs/from-boat.md).

``benchmarks/boat_jit_examples.py`` made the file, in an environment of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hposvc.bilevel import LowerConfig, ModuleProblem, SolveConfig, Stop, Unrolled, UpperConfig, jt
from tests.support.boat_examples import EXAMPLES, Example
from tests.support.references import Array, Measured, relative_error
from tests.support.solving import estimate, flat, initial_state, run

FIXTURE = Path(__file__).parent / "fixtures" / "boat_jit_examples.npz"


@pytest.fixture(scope="module")
def recorded() -> dict[str, Array]:
    with np.load(FIXTURE) as file:
        return {name: file[name].astype(np.float64) for name in file.files}


@pytest.fixture(scope="module", params=EXAMPLES)
def named(request: pytest.FixtureRequest) -> tuple[str, Example, ModuleProblem]:
    example = EXAMPLES[request.param](jt)
    return request.param, example, problem(example)


def problem(example: Example) -> ModuleProblem:
    def lower_loss(model: Any, lam: Any, batch: Any) -> Any:
        loss = example.lower_loss(model, lam, batch)
        if not example.weight_decay:
            return loss
        moved = [array for name, array in model.named_parameters() if "running" not in name]
        return loss + 0.5 * example.weight_decay * sum(array.sqr().sum() for array in moved)

    return ModuleProblem(
        model=example.below,
        hyperparameters=example.above,
        lower_loss=lower_loss,
        upper_loss=example.upper_loss,
        lower_data=example.lower_data,
        upper_data=example.upper_data,
    )


def config(example: Example, iterations: int = 1, momentum: float = 0.0) -> SolveConfig:
    return SolveConfig(
        oracle="exact",
        lower=LowerConfig(example.lower_rate, momentum, steps=1),
        upper=UpperConfig("sgd", example.upper_rate),
        stop=Stop(iterations=iterations),
    )


def test_both_give_the_same_numbers_at_one_lower_step(
    named: tuple[str, Example, ModuleProblem], recorded: dict[str, Array], measured: Measured
) -> None:
    """The hypergradient at the start, then λ and w after each of five iterations."""
    name, example, own = named
    h = estimate(own, config(example), initial_state(own, config(example)))
    what = "the examples of boat-jit 1.1.1, run here"
    measured(what, f"{name}, hypergradient", relative_error(h, recorded[f"{name}/hypergradient"]), 1e-4)
    for done in (1, 5):
        _, state = run(own, config(example, done))
        for kept, ours in (("lambda", state.lam), ("w", state.w)):
            error = relative_error(flat(ours), recorded[f"{name}/{kept}"][done - 1])
            measured(what, f"{name}, {kept} after {done}", error, 1e-3)
    if example.momentum:  # boat-jit begins each iteration without it, so that one lower step never has any
        _, state = run(own, config(example, 5, example.momentum))
        assert relative_error(flat(state.w), recorded[f"{name}/w"][4]) > 1e-3


@pytest.mark.parametrize("named", ["l2"], indirect=True)
def test_what_the_page_says_of_wrong_numbers_is_what_was_recorded(
    named: tuple[str, Example, ModuleProblem], recorded: dict[str, Array], measured: Measured
) -> None:
    _, example, own = named
    five = SolveConfig(Unrolled(), "exact", lower=LowerConfig(example.lower_rate, steps=5))
    exact = estimate(own, five, initial_state(own, five))
    what = "boat-jit 1.1.1, against the exact hypergradient"
    theirs = relative_error(recorded["wrong/five_steps"], exact)
    measured(what, "FD at five lower steps", theirs, float("inf"))
    assert theirs > 0.1
    twice = relative_error(recorded["wrong/twice"], recorded["wrong/once"])
    measured(what, "FD with return_grad, second call", twice, float("inf"))
    assert twice > 0.5
    adam, h = recorded["wrong/adam"], recorded["l2/hypergradient"]
    assert relative_error(adam, -0.01 * h) < 1e-3  # a plain gradient step; Adam moves every λ by 0.01
