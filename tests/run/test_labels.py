"""Jobs whose λ starts at an analysis of their labels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from hposvc import training_data
from hposvc.bilevel import Diverged
from hposvc.labels import analysis, numbers
from hposvc.run import remembered
from hposvc.run.run import Run
from hposvc.schema.result import read_result
from hposvc.schema.spec import JobSpec


def spec(**fields: Any) -> JobSpec:
    dataset = {"id": "sklearn:wine", "split": {"train": 0.6, "validation": 0.2, "test": 0.2}} | fields.pop(
        "dataset", {}
    )
    return JobSpec.model_validate(
        {"kind": "data_reweighting", "dataset": dataset, "stop": {"iterations": 60}, **fields}
    )


def rows_of(artifact: bytes) -> dict[str, Any]:
    """The columns of the rows file; a probability that a row has not is NaN."""
    table = pq.read_table(io.BytesIO(artifact))
    texts = {name: np.array(table[name].to_pylist()) for name in ("row_id", "part")}
    numbers = ("weight", "probability_wrong", "suspect")
    return texts | {name: np.array(table[name].to_pylist(), dtype=float) for name in numbers}


def solved(spec_: JobSpec, **options: Any) -> Run:
    run = Run(spec_, **options)
    for _ in run.iterations():
        pass
    return run


NOISE = {"label_noise": {"rate": 0.3}}


def test_auto_says_what_it_chose_and_ranks_rows_by_probability() -> None:
    outcome = solved(spec(dataset=NOISE)).finish()
    result = read_result(outcome.result)
    assert [each.per for each in result.tried] == sorted(
        (each.per for each in result.tried), key=lambda per: [t.held_out_loss for t in result.tried if t.per == per]
    )
    assert {each.per for each in result.tried} == {"noise_matrix", "opinion", "posterior"}
    assert result.per == result.tried[0].per
    rows = rows_of(outcome.artifacts["rows.parquet"])
    train = {name: values[rows["part"] == "train"] for name, values in rows.items()}
    assert (np.diff(train["probability_wrong"]) <= 0).all()
    np.testing.assert_array_equal(train["suspect"] == 1, train["probability_wrong"] > result.wrong_rows.suspect_above)
    np.testing.assert_allclose(train["weight"], 1 - train["probability_wrong"])
    assert np.isnan(rows["probability_wrong"][rows["part"] == "test"]).all()
    assert [suspect.row_id for suspect in result.suspects] == train["row_id"][: len(result.suspects)].tolist()
    assert result.suspects_total == train["suspect"].sum()
    assert result.noise.f1 > 0.8
    assert result.handed_over in {"corrected", "tuned", "both", "trusted_only"}


@pytest.mark.parametrize("per", ["noise_matrix", "opinion", "posterior"])
def test_each_kind_lowers_the_upper_loss_and_resumes_bit_for_bit(per: str) -> None:
    wanted = spec(dataset=NOISE, hyperparameters={"per": per})
    whole = solved(wanted)
    first = Run(wanted)
    next(iter(first.iterations()))
    second = solved(wanted, checkpoint=first.checkpoint())
    ours, theirs = second.finish().result, whole.finish().result
    assert {**ours, "seconds": None} == {**theirs, "seconds": None}
    assert ours["upper_loss"]["best"] < ours["upper_loss"]["first"]
    assert ours["per"] == per
    if per != "posterior":
        values = [group["weight"] for group in ours["groups"]]  # shares of a noise matrix, or weights
        assert values == sorted(values, reverse=per == "noise_matrix")


def test_a_run_that_is_ended_keeps_that_in_its_checkpoint() -> None:
    run = Run(spec(hyperparameters={"per": "noise_matrix"}, stop={"iterations": 5_000}))
    next(run.iterations())
    run.end()
    done = run.iteration
    resumed = Run(run.spec, checkpoint=run.checkpoint())
    assert list(resumed.iterations()) == []
    result = read_result(resumed.finish().result)
    assert (result.stopped_by, result.iterations) == ("request", done)
    assert done < 5_000


def test_a_checkpoint_of_rows_from_before_goes_on_with_weights_of_rows() -> None:
    """What an earlier release stored has no kind of λ, and its default was one weight per row."""
    before = Run(spec(dataset=NOISE, hyperparameters={"per": "row"}))
    next(iter(before.iterations()))
    before._record.per = None
    resumed = solved(spec(dataset=NOISE), checkpoint=before.checkpoint())
    assert len(resumed.problem.initial_lambda()[0]) == len(resumed.problem.train[1])
    assert resumed.finish().result["wrong_rows"] is None


def test_where_nobody_knows_which_rows_to_trust_every_row_is_judged() -> None:
    """The labels of the validation rows are as wrong as those of the training rows."""
    clean = training_data.load(spec().dataset)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(clean.targets)) < 0.25
    labels = np.where(wrong, (clean.targets + rng.integers(1, 3, len(wrong))) % 3, clean.targets)
    columns = {name: clean.features[:, i] for i, name in enumerate(clean.feature_names)}
    names = np.array(clean.classes)[labels]
    table = training_data.Table("ds_test", "test", {**columns, "y": names}, {}, "y")
    unknown = spec(dataset={"id": "ds_test", "trusted": "unknown"})
    outcome = solved(unknown, dataset=training_data.select(table, unknown.dataset)).finish()
    result = read_result(outcome.result)
    rows = rows_of(outcome.artifacts["rows.parquet"])
    judged = ~np.isnan(rows["probability_wrong"])
    assert set(rows["part"][judged]) == {"train", "validation"}
    found, true = rows["suspect"][judged] == 1, wrong[rows["row_id"][judged].astype(int)]
    assert (found & true).sum() / true.sum() > 0.7
    assert (found & true).sum() / found.sum() > 0.7
    assert result.wrong_rows.low <= true.sum() <= result.wrong_rows.high
    assert "check" in result.sentence
    assert set(result.check_next) <= set(rows["row_id"][judged])
    assert result.check_next
    assert result.per == "noise_matrix"


def test_rows_that_a_column_marks_are_the_trusted_ones() -> None:
    clean = training_data.load(spec().dataset)
    columns: dict[str, Any] = {name: clean.features[:, i] for i, name in enumerate(clean.feature_names)}
    checked = np.arange(len(clean.targets)) % 4 == 0
    columns |= {"checked": np.where(checked, "Yes", ""), "y": np.array(clean.classes)[clean.targets]}
    table = training_data.Table("ds_test", "test", columns, {}, "y")
    marked = spec(dataset={"id": "ds_test", "trusted": {"column": "checked"}})
    dataset = training_data.select(table, marked.dataset)
    assert "checked" not in dataset.feature_names
    splits = training_data.prepare(dataset, marked).splits
    np.testing.assert_array_equal(np.sort(splits.train.rows), np.flatnonzero(~checked))
    assert len(splits.test) == round(checked.sum() / 2)


def test_numbers_are_judged_by_their_residuals() -> None:
    clean = training_data.load(spec(dataset={"id": "sklearn:diabetes"}).dataset)
    rng = np.random.default_rng(0)
    columns = {name: clean.features[:, i] for i, name in enumerate(clean.feature_names)}
    wrong = rng.random(len(clean.targets)) < 0.1
    labels = np.where(wrong, clean.targets + 600, clean.targets)
    table = training_data.Table("ds_test", "test", {**columns, "y": labels.astype(float)}, {}, "y")
    numbers = spec(dataset={"id": "ds_test", "trusted": "unknown"}, stop={"iterations": 5})
    outcome = solved(numbers, dataset=training_data.select(table, numbers.dataset)).finish()
    rows = rows_of(outcome.artifacts["rows.parquet"])
    judged = ~np.isnan(rows["probability_wrong"])
    found, true = rows["suspect"][judged] == 1, wrong[rows["row_id"][judged].astype(int)]
    assert (found & true).sum() / true.sum() > 0.9
    assert (found & true).sum() / found.sum() > 0.8


def test_a_job_that_diverges_keeps_its_iterations_whatever_its_trials_did() -> None:
    run = Run(spec(dataset=NOISE, solver={"lower": {"learning_rate": 1e9}}))
    kept: list[int] = []

    def keep_all() -> None:
        for batch in run.iterations():
            kept.extend(iteration.iteration for iteration in batch)

    with pytest.raises(Diverged) as failure:
        keep_all()
    assert kept == list(range(1, failure.value.iteration + 1))


def test_a_network_is_analysed_with_its_own_opinions() -> None:
    wanted = spec(dataset=NOISE, model={"type": "mlp", "hidden": [8]}, stop={"iterations": 10})
    result = read_result(solved(wanted).finish().result)
    assert result.noise.f1 > 0.7
    assert result.handed_over in {"corrected", "tuned", "both", "trusted_only"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"dataset": {"trusted": "unknown"}, "hyperparameters": {"per": "row"}}, "use auto or noise_matrix"),
        ({"dataset": {"trusted": "unknown"}, "kind": "regularization_tuning"}, "belongs to kind: data_reweighting"),
        ({"dataset": {"trusted": {"column": "a"}, "split": {"column": "b"}}}, "needs a random split"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spec(**fields)


def test_a_linear_job_hands_over_the_average_of_its_regularized_models() -> None:
    wanted = JobSpec.model_validate(
        {"kind": "regularization_tuning", "dataset": {"id": "sklearn:diabetes"}, "stop": {"iterations": 20}}
    )
    result = read_result(solved(wanted).finish().result)
    by_name = {model.name: model for model in result.models}
    assert result.handed_over == "averaged"
    assert by_name["tuned"].test_loss == by_name["averaged"].test_loss
    assert {"ridge", "lasso", "adaptive_lasso", "per_feature", "single_strength", "no_penalty"} <= set(by_name)
    assert result.best_rival == min(
        ("ridge", "lasso", "adaptive_lasso", "single_strength", "no_penalty"), key=lambda n: by_name[n].test_loss
    )
    chosen = wanted.model_copy(update={"hyperparameters": wanted.hyperparameters.model_copy(update={"per": "feature"})})
    assert read_result(solved(chosen).finish().result).handed_over != "averaged"


@pytest.mark.parametrize("dataset", ["sklearn:iris", "sklearn:diabetes"])
def test_what_is_remembered_of_the_labels_changes_no_number(dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs on the same labels share one analysis; other seeds and other models have their own."""
    module: Any = analysis if dataset == "sklearn:iris" else numbers
    analyses: list[int] = []
    find = module.analyse

    def counted(*given: Any) -> Any:
        analyses.append(1)
        return find(*given)

    monkeypatch.setattr(module, "analyse", counted)

    def files(**changes: Any) -> dict[str, bytes]:
        fields = {"kind": "data_reweighting", "dataset": {"id": dataset}, "stop": {"iterations": 3}}
        run = Run(JobSpec.model_validate(fields | changes))
        for _ in run.iterations():
            pass
        artifacts = dict(run.finish().artifacts)
        del artifacts["report.json"]  # says how long it took
        return artifacts

    remembered._found.clear()
    alone = files()
    other = files(solver={"lower": {"weight_decay": 0.1}})
    assert len(analyses) == 1
    assert other != alone
    assert files() == alone
    remembered._found.clear()
    assert files() == alone
    files(solver={"seed": 1})
    assert len(analyses) == 3
