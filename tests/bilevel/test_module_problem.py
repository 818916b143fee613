"""Problems of one's own: hypergradients against closed forms, differences of the whole map, and built-in kinds."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

from hposvc.bilevel import (
    Aggregation,
    Implicit,
    LossError,
    LowerConfig,
    ModuleProblem,
    OneStep,
    SolveConfig,
    SolverState,
    Stop,
    Unrolled,
    hypergradient,
    initial_state,
    jt,
    solve,
)
from hposvc.bilevel.arrays import device_array
from tests.support.references import Measured, Ridge, relative_error
from tests.support.solving import flat, reweighting, run, timeless

ROWS, FEATURES = 24, 4


def data(seed: int, rows: int = ROWS) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, FEATURES))
    return {"x": x, "y": (x[:, :1] + 0.3 * rng.normal(size=(rows, 1))), "row": np.arange(rows)}


def squares(model: Any, batch: Any) -> Any:
    return (model(batch["x"]) - batch["y"]).sqr()


def weighted(model: Any, lam: Any, batch: Any) -> Any:
    return (jt.sigmoid(lam["w"])[batch["row"]].unsqueeze(1) * squares(model, batch)).mean()


def plain(model: Any, lam: Any, batch: Any) -> Any:
    return squares(model, batch).mean()


def net() -> Any:
    """A network with everything that is difficult: statistics of batches, dropout, and a layer that stays as it is."""

    class Net(jt.nn.Module):
        def __init__(self) -> None:
            self.first = jt.nn.Linear(FEATURES, 6)
            self.layer_norm = jt.nn.LayerNorm(6)
            self.batch_norm = jt.nn.BatchNorm(6)
            self.dropout = jt.nn.Dropout(0.4, is_train=True)
            self.frozen = jt.nn.Linear(6, 6)
            self.frozen.requires_grad_(False)
            self.pretrained = jt.nn.Linear(6, 6)
            for parameter in self.pretrained.parameters():
                parameter.stop_grad()
            self.last = jt.nn.Linear(6, 1)

        def execute(self, x: Any) -> Any:
            hidden = self.batch_norm(self.layer_norm(self.first(x)))
            return self.last(self.pretrained(self.dropout(jt.sigmoid(hidden))))

    jt.set_seed(3)
    return Net()


def own(**changes: Any) -> ModuleProblem:
    fields = {
        "model": net(),
        "hyperparameters": {"w": np.linspace(-1, 1, ROWS)},
        "lower_loss": weighted,
        "upper_loss": plain,
        "lower_data": data(1),
        "upper_data": data(2),
    }
    return ModuleProblem(**fields | changes)


class Affine:
    """A linear model as two arrays."""

    start: ClassVar = {"weight": np.full((FEATURES, 1), 0.3), "bias": 0.1}

    @staticmethod
    def loss(model: Any, lam: Any, batch: Any) -> Any:
        return (batch["x"] @ model["weight"] + model["bias"] - batch["y"]).sqr().mean()

    @classmethod
    def penalized(cls, model: Any, lam: Any, batch: Any) -> Any:
        penalty = (jt.exp(lam) * model["weight"].reshape([-1]).sqr()).sum() * jt.array([0.5], dtype="float64")
        return cls.loss(model, lam, batch) + penalty


@pytest.mark.parametrize("oracle", ["finite_difference", "exact"])
@pytest.mark.parametrize(
    "estimator",
    [OneStep(), Unrolled(), Unrolled(truncate=2), Implicit("cg", 20)],
    ids=["one", "all", "two", "implicit"],
)
def test_every_estimator_equals_the_closed_form_of_ridge(estimator: Any, oracle: Any, measured: Measured) -> None:
    lower, upper, lam = data(1), data(2), np.linspace(-2, 0, FEATURES)
    problem = ModuleProblem(
        model=Affine.start,
        hyperparameters=lam,
        lower_loss=Affine.penalized,
        upper_loss=Affine.loss,
        lower_data=lower,
        upper_data=upper,
        convex=True,
        smooth=True,
        dtype="float64",
    )
    ridge = Ridge(lower["x"], lower["y"][:, 0], upper["x"], upper["y"][:, 0])
    steps = 1 if isinstance(estimator, OneStep) else 5
    config = SolveConfig(estimator, oracle, lower=LowerConfig(0.1, 0.0, steps), radius=None)
    state = initial_state(problem, config)
    truncate = estimator.truncate if isinstance(estimator, Unrolled) else None
    theta, expected = ridge.unrolled(lam, np.append(np.full(FEATURES, 0.3), 0.1), 0.1, 0.0, steps, truncate)
    if isinstance(estimator, Implicit):
        expected = ridge.implicit(lam, theta)
    error = relative_error(flat(hypergradient(problem, config, state)), expected)
    measured("own problem against closed form, ridge", f"{estimator.name}, {oracle}", error, 1e-6)


@pytest.mark.parametrize("steps", [1, 3])
def test_with_normalization_and_dropout_it_is_the_derivative_of_what_the_solver_computes(
    steps: int, measured: Measured
) -> None:
    """Central differences of the upper loss that an iteration on mini-batches reports: they know of no formula."""
    problem = own(dtype="float64")
    config = SolveConfig(Unrolled(), "exact", lower=LowerConfig(0.2, steps=steps, batch_size=8), seed=4)
    state = initial_state(problem, config)
    exact = flat(hypergradient(problem, config, state))

    def upper_loss(lam: Any) -> float:
        moved = replace(state, lam=[device_array(lam, "float64")])
        return next(solve(problem, replace(config, stop=Stop(iterations=1)), moved))[0].upper_loss

    lam, step = flat(state.lam), 1e-5
    seen = np.flatnonzero(exact)[:5]
    differences = [(upper_loss(lam + step * e) - upper_loss(lam - step * e)) / (2 * step) for e in np.eye(ROWS)[seen]]
    assert relative_error(exact[seen], np.array(differences)) < 1e-6
    assert 0 < np.count_nonzero(exact) <= 8 * steps  # rows of no batch have no influence
    error = relative_error(flat(hypergradient(problem, replace(config, oracle="finite_difference"), state)), exact)
    measured("own problem against exact, LayerNorm, BatchNorm, dropout", f"float64, {steps} steps", error, 1e-5)


def test_solving_changes_nothing_of_the_module_until_it_is_stored() -> None:
    module = net()
    before = {name: array.numpy() for name, array in module.state_dict().items()}
    modes = [inner.__dict__.get("is_train") for inner in module.modules()]
    problem = own(model=module)
    assert problem.stochastic
    assert not any("frozen" in name or "pretrained" in name or "running" in name for name in problem.parameter_names)
    _, state = run(problem, SolveConfig(stop=Stop(iterations=3)))
    assert all((before[name] == array.numpy()).all() for name, array in module.state_dict().items())
    assert modes == [inner.__dict__.get("is_train") for inner in module.modules()]
    problem.store(state)
    changed = {name for name, array in module.state_dict().items() if (before[name] != array.numpy()).any()}
    assert "first.weight" in changed
    assert not any("frozen" in name or "pretrained" in name or "running" in name for name in changed)
    assert problem.hyperparameters["w"].shape == (ROWS,)


def test_a_module_above_mini_batches_and_everything_of_a_run_resumes_bit_for_bit() -> None:
    """λ are the parameters of a network that weighs rows by their loss; the run has all that a run can have."""
    jt.set_seed(1)
    above = jt.nn.Sequential(jt.nn.Linear(1, 3), jt.nn.Sigmoid(), jt.nn.Linear(3, 1))

    def lower(model: Any, weigh: Any, batch: Any) -> Any:
        losses = squares(model, batch)
        return (jt.sigmoid(weigh(losses.detach())) * losses).mean()

    problem = own(
        hyperparameters=above,
        lower_loss=lower,
        selection_data=data(5),
        score=lambda model, lam, batch: -plain(model, lam, batch),
    )
    assert problem.lambda_names == ["0.weight", "0.bias", "2.weight", "2.bias"]
    config = SolveConfig(
        Unrolled(truncate=1),
        lower=LowerConfig(momentum=0.5, steps=2, batch_size=8),
        stop=Stop(iterations=6, patience=50),
        certify_every=3,
    )
    whole, end = run(problem, config)
    state = initial_state(problem, config)
    half = [i for batch in islice(solve(problem, config, state), 3) for i in batch]
    rest, resumed = run(problem, config, SolverState.from_bytes(state.to_bytes()))
    assert timeless(half + rest) == timeless(whole)
    assert (flat(resumed.lam) == flat(end.lam)).all()
    assert (flat(end.lam) != np.concatenate([a.ravel() for a in problem.initial_lambda()])).any()
    assert whole[0].selection_loss is not None
    assert whole[0].upper_score == pytest.approx(-whole[0].upper_loss)
    assert [i.fd_relative_error is not None for i in whole] == [False, False, True] * 2


def test_it_gives_the_numbers_of_a_built_in_kind() -> None:
    built_in = reweighting()
    (x, y), (x_upper, y_upper) = built_in.train, built_in.upper_rows

    def losses(model: Any, batch: Any) -> Any:
        return jt.nn.cross_entropy_loss(batch["x"] @ model["W"] + model["b"], batch["y"], reduction="none")

    def lower(model: Any, lam: Any, batch: Any) -> Any:
        return (jt.sigmoid(lam) * losses(model, batch)).mean() + 0.5e-3 * model["W"].sqr().sum()

    problem = ModuleProblem(
        model={"W": np.zeros((4, 3)), "b": np.zeros(3)},
        hyperparameters=np.zeros(len(y)),
        lower_loss=lower,
        upper_loss=lambda model, lam, batch: losses(model, batch).mean(),
        lower_data={"x": x, "y": y},
        upper_data={"x": x_upper, "y": y_upper},
    )
    config = SolveConfig(stop=Stop(iterations=20))
    (ours, mine), (theirs, state) = run(problem, config), run(built_in, config)
    assert [i.upper_loss for i in ours] == pytest.approx([i.upper_loss for i in theirs], rel=1e-4)
    assert relative_error(flat(mine.lam), flat(state.lam)) < 1e-3


def test_an_aggregated_loss_of_ones_own_takes_the_place_of_the_mixture() -> None:
    config = SolveConfig(
        Unrolled(), lower=LowerConfig(0.1, steps=2), aggregation=Aggregation(0.7, 0.5), stop=Stop(iterations=3)
    )

    def mixture(model: Any, lam: Any, lower: Any, upper: Any, alpha: Any) -> Any:
        return alpha * weighted(model, lam, lower) + (1.0 - alpha) * plain(model, lam, upper)

    def other(model: Any, lam: Any, lower: Any, upper: Any, alpha: Any) -> Any:
        return weighted(model, lam, lower) + (1.0 - alpha) * plain(model, lam, upper)

    model = jt.nn.Linear(FEATURES, 1)
    losses = [
        [i.upper_loss for i in run(own(model=model, aggregated_loss=loss), config)[0]]
        for loss in (None, mixture, other)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[2] != pytest.approx(losses[0], rel=1e-3)


class Feed(NamedTuple):
    x: Any
    y: Any


def test_feeds_are_trees_and_mini_batches_take_some_rows_of_each_array() -> None:
    seen: list[Any] = []

    def lower(model: Any, lam: Any, batch: Any) -> Any:
        feed, options = batch
        seen.append((type(feed), len(feed.x), len(feed.y), options["name"], options.pop("gone")))
        return (jt.exp(lam) * (model(feed.x) - feed.y).sqr()).mean()

    made = data(1)
    problem = own(
        model=jt.nn.Linear(FEATURES, 1),
        hyperparameters=0.5,
        lower_loss=lower,
        lower_data=(Feed(made["x"], made["y"]), {"name": "mine", "gone": None}),
    )
    run(problem, SolveConfig(lower=LowerConfig(0.1, batch_size=5), stop=Stop(iterations=2)))
    assert problem.lower_rows == ROWS
    assert {(type_, name) for type_, _, _, name, _ in seen} == {(Feed, "mine")}
    assert {(x, y) for _, x, y, *_ in seen} == {(ROWS, ROWS), (5, 5)}


COUNT = iter(range(100))


def adds_in_place(model: Any, lam: Any, batch: Any) -> Any:
    x = batch["x"]
    x += 1
    return (lam["w"] * squares(model, batch).sum(1)).mean()


def assigns(model: Any, lam: Any, batch: Any) -> Any:
    model.weight = model.weight * 2
    return weighted(model, lam, batch)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lower_loss": lambda m, lam, b: lam["w"] * squares(m, b).sum(1)}, r"shape \(24,\), not one number"),
        ({"upper_loss": lambda m, lam, b: 0.5}, "upper_loss: it returns float"),
        ({"lower_loss": plain}, "does not depend on λ"),
        ({"lower_loss": lambda m, lam, b: (lam["w"] * b["y"].sum(1)).mean()}, "lower_loss: it does not depend on w"),
        ({"upper_loss": lambda m, lam, b: lam["w"].mean()}, "upper_loss: it does not depend on w"),
        ({"lower_loss": lambda m, lam, b: jt.log(-jt.exp(lam["w"]).mean()) * plain(m, lam, b)}, "is nan at the start"),
        ({"lower_loss": lambda m, lam, b: weighted(m, lam, b) * (1 + next(COUNT))}, "in one call and"),
        ({"lower_loss": adds_in_place}, "changes the arrays"),
        ({"lower_loss": assigns}, "another array in the place of weight"),
        ({"lower_data": data(1) | {"more": np.zeros(3)}}, "lower_data: the first axis .* more has 3"),
        ({"hyperparameters": {"w": "many"}}, "hyperparameters: w is a str"),
        ({"hyperparameters": {}}, "hyperparameters: there is no number"),
    ],
)
def test_what_is_wrong_with_a_problem_is_said_before_it_is_solved(changes: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        own(**{"model": jt.nn.Linear(FEATURES, 1)} | changes)
    loss = next(iter(changes))
    assert isinstance(caught.value, LossError) == loss.endswith("loss")
    assert not isinstance(caught.value, LossError) or (caught.value.loss == loss and caught.value.remedy)


def test_a_start_where_both_gradients_vanish_is_not_taken_for_independence() -> None:
    problem = ModuleProblem(
        model={"w": np.zeros(2)},
        hyperparameters={"a": np.zeros(2)},
        lower_loss=lambda model, lam, batch: (model["w"] - lam["a"]).sqr().sum(),
        upper_loss=lambda model, lam, batch: model["w"].sqr().sum(),
    )
    assert problem.lower_rows == 1


def test_an_error_in_a_loss_says_whose_it_is() -> None:
    with pytest.raises(KeyError) as caught:
        own(lower_loss=lambda model, lam, batch: lam["v"])
    assert "lower_loss of a ModuleProblem" in caught.value.__notes__[0]
