"""States that an earlier revision stored: read as they were, written as they were, and continued."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from hposvc.bilevel import MLP, LowerConfig, ReweightingProblem, SolveConfig, SolverState, Stop, solve
from hposvc.files.tensors import metadata

FIXTURES = Path(__file__).parent / "fixtures"

CONFIG = SolveConfig(lower=LowerConfig(momentum=0.5, batch_size=8), stop=Stop(iterations=25))


def problem() -> ReweightingProblem:
    """The problem whose states revision 4d12360 stored: at iteration 12, and at its end, 25."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(60, 4))
    labels = (features @ rng.normal(size=(4, 3))).argmax(1)
    train, upper, selection = ((features[i::3], labels[i::3]) for i in range(3))
    return ReweightingProblem(train=train, upper_rows=upper, selection=selection, model=MLP((6,), "tanh"), n_classes=3)


@pytest.mark.parametrize("name", ["state_before", "state_after"])
def test_a_stored_state_is_written_as_it_was(name: str) -> None:
    """Bit for bit, but for numbers that a later revision has added."""
    stored = (FIXTURES / f"{name}.safetensors").read_bytes()
    written = SolverState.from_bytes(stored).to_bytes()
    for key, array in load(stored).items():
        np.testing.assert_array_equal(load(written)[key], array)
    before, after = (json.loads(metadata(state)["numbers"]) for state in (stored, written))
    assert before.items() <= after.items()


def test_a_stored_state_goes_on() -> None:
    state = SolverState.from_bytes((FIXTURES / "state_before.safetensors").read_bytes())
    assert (state.iteration, state.stopped_by) == (12, "iterations")
    state = replace(state, stopped_by=None)
    iterations = [iteration for batch in solve(problem(), CONFIG, state) for iteration in batch]
    assert [iteration.iteration for iteration in iterations] == list(range(13, 26))

    expected = SolverState.from_bytes((FIXTURES / "state_after.safetensors").read_bytes())
    for name in ("iteration", "lower_steps", "best_iteration", "upper_rate", "stopped_by", "dtype"):
        assert getattr(state, name) == getattr(expected, name)
    # The radius is fitted to rounding, and that of the cross-entropy's gradient has become smaller since.
    assert state.radius_factor in (expected.radius_factor / 2, expected.radius_factor)
    assert state.best_value == pytest.approx(expected.best_value, rel=1e-4)
    # Another processor or another compiler rounds differently, so that this is no comparison of bits.
    for name in ("w", "velocity", "lam", "first_moment", "second_moment", "best_lam", "curvature"):
        for array, other in zip(getattr(state, name), getattr(expected, name), strict=True):
            scale = np.abs(other.numpy()).max()
            np.testing.assert_allclose(array.numpy(), other.numpy(), rtol=1e-3, atol=1e-4 * scale)


def test_a_state_with_fields_that_this_release_does_not_know_is_refused() -> None:
    content = (FIXTURES / "state_before.safetensors").read_bytes()
    numbers = json.loads(metadata(content)["numbers"]) | {"of_another_release": 1}
    with pytest.raises(ValueError, match="not a saved solver state"):
        SolverState.from_bytes(save(load(content), {"numbers": json.dumps(numbers)}))
