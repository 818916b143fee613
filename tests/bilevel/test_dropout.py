"""Dropout: the same units for a lower step and for everything that differentiates it, others for every step."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count, islice

import numpy as np
import pytest

from hposvc.bilevel import (
    CNN,
    MLP,
    Implicit,
    LowerConfig,
    ReweightingProblem,
    SolveConfig,
    SolverState,
    Stop,
    Unrolled,
    evaluate,
    fit,
    fit_rows,
    initial_state,
    solve,
    stopping,
)
from hposvc.bilevel.arrays import Var, device_array
from hposvc.bilevel.problem import Batch
from tests.support.references import relative_error
from tests.support.solving import classes, estimate, flat, images, reweighting, run, started, timeless

THINNED = MLP((16,), "tanh", dropout=0.5)


class FreshUnits(ReweightingProblem):
    """What must not be done: other units at every evaluation."""

    def lower_loss(self, u: list[Var], lam: list[Var], batch: Batch) -> Var:
        return super().lower_loss(u, lam, self.lower_batch(None, (1, next(DRAWS))))


DRAWS = count()


@pytest.mark.parametrize("steps", [1, 5])
def test_both_oracles_agree_because_they_see_the_same_units(steps: int) -> None:
    config = SolveConfig(estimator=Unrolled(), lower=LowerConfig(learning_rate=0.2, steps=steps))
    problem = classes(60, 2, model=THINNED)
    state = started(problem, config)
    exact = estimate(problem, replace(config, oracle="exact"), state)
    assert relative_error(estimate(problem, config, state), exact) < 1e-3
    fresh = FreshUnits(**{name: getattr(problem, name) for name in ("train", "upper_rows", "n_classes", "model")})
    assert relative_error(estimate(fresh, replace(config, radius=0.01), state), exact) > 1


def test_its_hypergradient_is_the_derivative_of_what_the_solver_computes() -> None:
    """Central differences of the upper loss that one iteration of two lower steps on mini-batches reports."""
    problem = classes(12, 0, "float64", model=THINNED)
    lower = LowerConfig(learning_rate=0.5, steps=2, batch_size=6)
    config = SolveConfig(estimator=Unrolled(), lower=lower, stop=Stop(iterations=1))
    state = started(problem, config)
    lam, saved = flat(state.lam), state.to_bytes()

    def upper_loss(values: np.ndarray) -> float:
        moved = SolverState.from_bytes(saved)
        moved.lam = [device_array(values, "float64")]
        (batch,) = solve(problem, config, moved)
        return batch[0].upper_loss

    expected = [(upper_loss(lam + e) - upper_loss(lam - e)) / 2e-5 for e in 1e-5 * np.eye(len(lam))]
    assert relative_error(estimate(problem, config, state), np.array(expected)) < 1e-6


@pytest.mark.parametrize("model", [THINNED, CNN((4, 4, 1), channels=(4,), hidden=(32,), dropout=0.25)])
def test_units_are_a_function_of_the_step(model: MLP | CNN) -> None:
    x, labels = images(200)
    problem = ReweightingProblem(train=(x, labels), upper_rows=(x, labels), n_classes=2, model=model)

    def kept(step: int) -> np.ndarray:
        return np.concatenate([units.numpy() for units in problem.lower_batch(None, (0, step)).kept], 1)

    assert np.array_equal(kept(3), kept(3))
    assert 0.4 < np.mean(kept(3) == kept(4)) < 0.7  # as often as independent draws agree
    assert np.mean(kept(3)) == pytest.approx(1 - model.dropout, abs=0.02)
    assert problem.lower_batch(None).kept == ()


def test_thinned_activations_keep_their_expectation() -> None:
    """With an identity for activation on positive inputs, outputs average to those of the whole network."""
    rng = np.random.default_rng(0)
    model, rows = MLP((8,), dropout=0.3), 20_000
    w = [np.abs(rng.normal(size=a.shape)) for a in model.initial(3, 2, rng)]
    u = model.lift([device_array(a, "float32") for a in w], device_array(np.ones((rows, 3)), "float32"))
    thinned = model.head(u, [device_array(units, "float32") for units in model.draw(rows, rng)]).numpy()
    np.testing.assert_allclose(thinned.mean(0), model.head(u).numpy()[0], rtol=0.01)
    assert thinned.std(0).min() > 0.1


def test_scores_and_the_upper_loss_use_every_unit() -> None:
    thinned = reweighting(model=MLP((8,), dropout=0.5))
    whole = replace(thinned, model=MLP((8,)))
    config = SolveConfig(lower=LowerConfig(learning_rate=1e-30), stop=Stop(iterations=1))
    (one,), (other,) = (run(problem, config)[0] for problem in (thinned, whole))
    assert (one.upper_loss, one.upper_score, one.selection_loss) == (
        pytest.approx(other.upper_loss, rel=1e-6),
        other.upper_score,
        pytest.approx(other.selection_loss, rel=1e-6),
    )
    assert abs(one.lower_loss - other.lower_loss) > 1e-3


@pytest.mark.parametrize("model", [MLP((8,), dropout=0.5), CNN((2, 2, 1), channels=(4,), hidden=(8,), dropout=0.5)])
def test_a_resumed_run_is_bit_identical(model: MLP | CNN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "FLUSH_ITERATIONS", 7)  # in the middle of an epoch
    monkeypatch.setattr(stopping, "FLUSH_SECONDS", math.inf)  # however long kernels take to compile
    problem = reweighting(model=model)
    lower = LowerConfig(batch_size=12, steps=2)
    config = SolveConfig(estimator=Unrolled(), lower=lower, certify_every=5, stop=Stop(iterations=20))
    whole, end = run(problem, config)
    state = initial_state(problem, config)
    before = [i for batch in islice(solve(problem, config, state), 1) for i in batch]
    assert len(before) == 7
    after, resumed = run(reweighting(model=model), config, SolverState.from_bytes(state.to_bytes()))
    assert timeless(before + after) == timeless(whole)
    resumed.seconds = end.seconds
    assert resumed.to_bytes() == end.to_bytes()


def test_refits_train_with_dropout_and_give_the_same_answer_again() -> None:
    problem = reweighting(rows=120, noise=0.0, model=MLP((8,), dropout=0.5))
    found, again = (fit(problem, problem.initial_lambda(), iterations=200) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(found.w, again.w, strict=True))
    weighted = fit_rows(problem.model, problem.train, 3, weight_decay=1e-3, iterations=200)
    whole = fit_rows(MLP((8,)), problem.train, 3, weight_decay=1e-3, iterations=200)
    for w in (found.w, weighted.w):
        assert evaluate(problem.model, w, problem.upper_rows, 3).score > 0.95
        # Fewer units than trained: the same loss on training rows would mean that none was ever dropped.
        assert (
            evaluate(problem.model, w, problem.train, 3).loss
            > 1.1 * evaluate(MLP((8,)), whole.w, problem.train, 3).loss
        )


def test_the_implicit_estimator_is_refused() -> None:
    with pytest.raises(ValueError, match="use one_step or unrolled"):
        initial_state(classes(20, 0, model=THINNED), SolveConfig(estimator=Implicit()))
