"""The outer loop: what it records, when it ends, and that stopping and resuming changes nothing."""

from __future__ import annotations

import gc
import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from hposvc.bilevel import (
    MLP,
    Diverged,
    Implicit,
    Iteration,
    LowerConfig,
    RegularizationProblem,
    Schedule,
    SolveConfig,
    SolverState,
    Stop,
    Unrolled,
    UpperConfig,
    fit,
    initial_state,
    solve,
    stopping,
)
from hposvc.bilevel.objectives import batch_rows
from hposvc.bilevel.runtime import jt
from tests.support.solving import reweighting, run, timeless


def test_wrong_labels_end_with_small_weights() -> None:
    problem = reweighting(rows=120)
    iterations, state = run(problem, SolveConfig(stop=Stop(iterations=200)))
    weights = problem.row_weights([state.lam[0].numpy()])
    assert np.mean(weights[:48] < 0.5) > 0.9
    assert np.mean(weights[48:] > 0.5) > 0.9
    assert iterations[-1].upper_loss < iterations[0].upper_loss
    assert [i.iteration for i in iterations] == list(range(1, 201))


def test_more_strengths_than_rows_lower_the_upper_loss() -> None:
    rng = np.random.default_rng(0)
    x, x_upper = rng.normal(size=(40, 30)), rng.normal(size=(40, 30))
    y, y_upper = x[:, 0] + 0.5 * rng.normal(size=40), x_upper[:, 0] + 0.5 * rng.normal(size=40)
    problem = RegularizationProblem(train=(x, y), upper_rows=(x_upper, y_upper), n_classes=None, initial=-4.0)
    iterations, state = run(problem, SolveConfig(warm_start=True, stop=Stop(iterations=200)))
    assert iterations[-1].upper_loss < 0.6 * iterations[0].upper_loss
    strengths = state.lam[0].numpy()
    assert strengths[0] < np.median(strengths[1:])


def test_the_automatic_lower_rate_is_stable_where_the_smoothed_l1_curves() -> None:
    """From weights far from 0, where it is flat, through 0, where it curves 25 times as much as the loss of data."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(100, 8))
    y = x[:, 0] + 0.5 * rng.normal(size=100)
    problem = RegularizationProblem(train=(x, y), upper_rows=(x, y), n_classes=None, penalty="l1", initial=-0.7)
    config = SolveConfig(upper=UpperConfig(learning_rate=1e-9), stop=Stop(iterations=300))
    state = initial_state(problem, config)
    state.w = [jt.array(rng.normal(size=a.shape).astype(np.float32)) for a in state.w]
    iterations, state = run(problem, config, state)
    solution = fit(problem, problem.initial_lambda())
    assert iterations[-1].lower_loss == pytest.approx(solution.loss, rel=1e-4)
    assert float(state.curvature[0].numpy()[0]) > 8 * np.linalg.eigvalsh(2 * x.T @ x / 100)[-1]
    tail = np.array([i.lower_loss for i in iterations[100:]])
    assert np.diff(tail).max() < 1e-6


CONFIGURATIONS = {
    "one_step, momentum": SolveConfig(lower=LowerConfig(momentum=0.5)),
    "mini-batches": SolveConfig(lower=LowerConfig(batch_size=12)),
    "unrolled, mini-batches, sgd": SolveConfig(
        estimator=Unrolled(2), lower=LowerConfig(batch_size=12, steps=3), upper=UpperConfig(optimizer="sgd")
    ),
    "dynamic initialization": SolveConfig(
        estimator=Unrolled(),
        lower=LowerConfig(steps=2),
        dynamic_initialization=0.1,
        upper=UpperConfig(optimizer="momentum"),
    ),
    "implicit, schedules": SolveConfig(
        estimator=Implicit("cg", 3),
        lower=LowerConfig(schedule=Schedule("cosine")),
        upper=UpperConfig(schedule=Schedule("exponential"), bounds=(-2, 2), clip_norm=1e-3),
    ),
}


@pytest.mark.parametrize("config", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_a_resumed_run_is_bit_identical(config: SolveConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "FLUSH_ITERATIONS", 7)  # stops in the middle of an epoch of three batches
    problem = reweighting()
    config = replace(config, certify_every=5, stop=Stop(iterations=25))
    whole, end = run(problem, config)

    state = initial_state(problem, config)
    before = [i for batch in islice(solve(problem, config, state), 1) for i in batch]
    assert 0 < len(before) < 25
    resumed = SolverState.from_bytes(state.to_bytes())
    after, resumed_end = run(reweighting(), config, resumed)

    assert timeless(before + after) == timeless(whole)
    resumed_end.seconds = end.seconds
    assert resumed_end.to_bytes() == end.to_bytes()


def test_a_damaged_state_is_refused() -> None:
    with pytest.raises(ValueError, match="not a saved solver state"):
        SolverState.from_bytes(b"something else entirely")


def test_a_run_that_blows_up_says_where_and_keeps_what_came_before() -> None:
    problem = reweighting()
    config = SolveConfig(lower=LowerConfig(learning_rate=1e25), stop=Stop(iterations=100))
    seen: list[Iteration] = []
    iterations = (i for batch in solve(problem, config, initial_state(problem, config)) for i in batch)
    with pytest.raises(Diverged) as caught:
        seen.extend(iterations)
    assert caught.value.iteration == seen[-1].iteration == len(seen) < 100
    assert not all(math.isfinite(v) for v in caught.value.values.values())
    assert all(math.isfinite(i.upper_loss) for i in seen[:-1])


def test_patience_counts_from_the_best_iteration() -> None:
    problem = reweighting()
    config = SolveConfig(stop=Stop(iterations=400, patience=5, min_delta=1e-3))
    iterations, state = run(problem, config)
    assert state.stopped_by == "patience"
    best = min(i.upper_loss for i in iterations[:-5])
    assert all(i.upper_loss > best - 1e-3 for i in iterations[-5:])


def test_a_small_hypergradient_ends_the_run() -> None:
    problem = reweighting()
    iterations, state = run(problem, SolveConfig(stop=Stop(iterations=400, hypergradient_tolerance=1e-3)))
    assert state.stopped_by == "hypergradient_tolerance"
    assert iterations[-1].hypergradient_norm <= 1e-3 < iterations[-2].hypergradient_norm


def test_shrinkage_is_the_distance_of_lambda_from_its_start() -> None:
    """Its mean counts as well as its spread."""
    rng = np.random.default_rng(2)
    rows = (rng.normal(size=(20, 3)), rng.normal(size=20))
    lam, losses = np.array([-1.0, -4.0, -2.0]), []
    for shrinkage in (0.0, 0.5):
        problem = RegularizationProblem(
            train=rows, upper_rows=rows, n_classes=None, initial=-4.0, shrinkage=shrinkage, dtype="float64"
        )
        w = [jt.array(a) for a in problem.initial_w(rng)]
        losses.append(problem.upper(w, [jt.array(lam)]).loss.numpy()[0])
    assert losses[1] - losses[0] == pytest.approx(0.5 * (3**2 + 0 + 2**2))


def test_a_hyperparameter_without_influence_ends_the_run() -> None:
    """A lower step that moves nothing: the squares of the hypergradient vanish in float32."""
    iterations, state = run(
        reweighting(), SolveConfig(lower=LowerConfig(learning_rate=1e-30), stop=Stop(iterations=400))
    )
    assert state.stopped_by == "zero_hypergradient"
    assert [i.hypergradient_norm for i in iterations] == [0.0] * 10


def test_influence_that_is_lost_later_ends_the_run_at_a_fixed_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the clock says: the values are read each iteration, or in batches."""
    config = SolveConfig(lower=LowerConfig(schedule=Schedule("exponential", final=1e-38)), stop=Stop(iterations=400))
    ends = []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr(stopping, "FLUSH_SECONDS", seconds)
        iterations, state = run(reweighting(), config)
        assert state.stopped_by == "zero_hypergradient"
        assert iterations[0].hypergradient_norm > 0
        ends.append(timeless(iterations))
    assert ends[0] == ends[1]


def test_time_ends_the_run() -> None:
    problem = reweighting()
    config = SolveConfig(stop=Stop(iterations=10**6, max_seconds=0.2))
    iterations, state = run(problem, config)
    assert state.stopped_by == "max_seconds"
    assert iterations[-1].seconds >= 0.2


def test_the_best_by_selection_is_kept() -> None:
    problem = reweighting()
    config = SolveConfig(stop=Stop(iterations=60))
    iterations, state = run(problem, config)
    best = min(iterations, key=lambda i: i.selection_loss)
    assert (state.best_iteration, state.best_value) == (best.iteration, best.selection_loss)
    _, at_best = run(problem, replace(config, stop=Stop(iterations=best.iteration - 1)))
    assert np.array_equal(state.best_lam[0].numpy(), at_best.lam[0].numpy())


def test_bounds_hold() -> None:
    problem = reweighting()
    _, state = run(problem, SolveConfig(upper=UpperConfig(bounds=(-0.2, 0.1)), stop=Stop(iterations=30)))
    lam = state.lam[0].numpy()
    assert lam.min() == np.float32(-0.2)
    assert lam.max() == np.float32(0.1)


def test_an_automatic_rate_is_the_inverse_curvature() -> None:
    """Ridge regression with a known Hessian: power iteration finds its largest eigenvalue."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8)) * np.arange(1, 9)
    problem = RegularizationProblem(train=(x, x[:, 0]), upper_rows=(x, x[:, 0]), n_classes=None, initial=0.0)
    state = initial_state(problem, SolveConfig())
    design = np.hstack([x, np.ones((200, 1))])
    hessian = 2 * design.T @ design / 200 + np.diag([1.0] * 8 + [0.0])
    largest = np.linalg.eigvalsh(hessian)[-1]
    assert 0.8 * largest < float(state.curvature[0].numpy()[0]) <= 1.001 * largest


def test_the_two_radius_gap_bounds_the_error_within_a_small_factor() -> None:
    problem = reweighting(model=MLP((8,), "tanh"))
    config = SolveConfig(certify_every=1, stop=Stop(iterations=30), radius=0.3)
    gaps = [i.fd_relative_error for i in run(problem, config)[0]]
    errors = [i.fd_relative_error for i in run(problem, replace(config, certify_against="exact"))[0]]
    ratios = np.array(gaps) / np.array(errors)
    assert 0.5 < np.median(ratios) < 5


def test_memory_is_flat() -> None:
    problem = reweighting()
    config = SolveConfig(lower=LowerConfig(batch_size=12), stop=Stop(iterations=130))
    state = initial_state(problem, config)
    counts = []
    iterations = solve(problem, replace(config, stop=Stop(iterations=30)), state)
    list(iterations)
    for end in (80, 130):
        state.stopped_by = None
        list(solve(problem, replace(config, stop=Stop(iterations=end)), state))
        gc.collect()
        jt.sync_all(True)
        live = jt.liveness_info()
        counts.append((live["lived_vars"], live["lived_ops"]))
    assert counts[0] == counts[1]


def test_products_run_in_onednn() -> None:
    problem = reweighting(rows=64, model=MLP((32,)))
    config = SolveConfig(lower=LowerConfig(learning_rate=0.1), radius=0.01, stop=Stop(iterations=2))
    state = initial_state(problem, config)
    with jt.profile_scope() as report:
        list(solve(problem, config, state))
    names, counts = [row[0] for row in report[1:]], [int(row[2]) for row in report[1:]]
    products = sum(count for name, count in zip(names, counts, strict=True) if name.startswith("mkl_matmul"))
    # Per iteration: 5 with the data (the perturbed passes share theirs), and 1 to score the selection rows. The second
    # layer has 3 columns, so its products are part of the pass over the hidden units.
    assert products == 2 * (5 + 1)


def test_batches_of_an_epoch_share_no_row() -> None:
    epochs = [[batch_rows(10, 3, seed=1, step=3 * epoch + k) for k in range(3)] for epoch in range(2)]
    for epoch in epochs:
        rows = np.concatenate(epoch)
        assert len(set(rows.tolist())) == 9
    assert not np.array_equal(epochs[0], epochs[1])
    assert batch_rows(10, None, seed=1, step=0) is None
