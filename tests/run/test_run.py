"""A job from its spec to its answer, without a service."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save
from sklearn.utils.class_weight import compute_class_weight

from hposvc import snapshots, training_data
from hposvc.bilevel import CNN, Iteration
from hposvc.cli import render
from hposvc.files.tensors import metadata
from hposvc.run.run import Outcome, Run
from hposvc.schema.spec import JobSpec
from tests.support.references import forward

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str, seed: int = 0, iterations: int | None = None) -> JobSpec:
    spec: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    spec["dataset"]["split"] = {"seed": seed}
    if "label_noise" in spec["dataset"]:
        spec["dataset"]["label_noise"]["seed"] = seed
    if iterations is not None:
        spec["stop"] = {"iterations": iterations}
    return JobSpec.model_validate(spec)


def small(kind: str, **fields: Any) -> JobSpec:
    dataset: dict[str, Any] = {"id": "sklearn:breast_cancer"}
    if kind == "data_reweighting":
        dataset["label_noise"] = {"rate": 0.3}
        fields = {"hyperparameters": {"per": "row"}} | fields
    elif "per" not in fields.get("hyperparameters", {}):
        fields["hyperparameters"] = {"per": "feature"} | fields.get("hyperparameters", {})
    return JobSpec.model_validate({"kind": kind, "dataset": dataset, "stop": {"iterations": 60}, **fields})


def solved(spec: JobSpec) -> tuple[Run, list[Iteration]]:
    run = Run(spec)
    return run, [iteration for batch in run.iterations() for iteration in batch]


def models(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in outcome.result["models"]}


def values(iterations: list[Iteration]) -> list[tuple[float | int | None, ...]]:
    return [(i.iteration, i.upper_loss, i.hypergradient_norm, i.lower_loss, i.selection_loss) for i in iterations]


@pytest.mark.parametrize("kind", ["data_reweighting", "regularization_tuning"])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(kind: str) -> None:
    spec = small(kind)
    whole, iterations = solved(spec)
    first = Run(spec)
    before: list[Iteration] = []
    for batch in first.iterations():
        before += batch
        break
    assert 0 < first.iteration < 60
    second = Run(spec, checkpoint=first.checkpoint())
    after = [iteration for batch in second.iterations() for iteration in batch]
    assert values(before + after) == values(iterations)
    ours, theirs = second.finish(), whole.finish()
    assert {**ours.result, "seconds": None} == {**theirs.result, "seconds": None}
    reports = [json.loads(outcome.artifacts.pop("report.json")) for outcome in (ours, theirs)]
    assert reports[0]["path"] == reports[1]["path"]
    assert len(reports[0]["path"]) == 1
    assert ours.artifacts == theirs.artifacts


def test_a_run_that_goes_on_with_other_threads_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = small("data_reweighting")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    first = Run(spec)
    next(first.iterations())
    assert (first.notes, Run(spec, checkpoint=first.checkpoint()).notes) == ([], [])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    second = Run(spec, checkpoint=first.checkpoint())
    (note,) = second.notes
    assert note.startswith("went on with 1 thread in the place of 2: the last digits of its numbers may differ")
    assert Run(spec, checkpoint=second.checkpoint()).notes == []


@pytest.mark.parametrize("kind", ["data_reweighting", "regularization_tuning"])
def test_the_result_is_json_and_finishing_twice_gives_the_same(kind: str) -> None:
    run, iterations = solved(small(kind))
    first, second = run.finish(), run.finish()
    assert first.artifacts == second.artifacts
    assert json.loads(json.dumps(first.result, allow_nan=False)) == json.loads(json.dumps(second.result))
    result = first.result
    assert result["stopped_by"] == "iterations"
    assert result["iterations"] == 60
    assert result["upper_loss"]["best"] == min(i.upper_loss for i in iterations)
    assert json.loads(first.artifacts["report.json"])["path"][0]["iteration"] == 50


def test_the_model_predicts_from_raw_features_as_reported() -> None:
    spec = small("regularization_tuning")
    run, _ = solved(spec)
    outcome = run.finish()
    tensors = load_tensors(outcome.artifacts["model.safetensors"])
    dataset = training_data.load(spec.dataset)
    test = training_data.prepare(dataset, spec).splits.test
    scaled = (dataset.features[test.rows] - tensors["scaling.mean"]) / tensors["scaling.scale"]
    predicted = (scaled @ tensors["weight.0"] + tensors["bias.0"]).argmax(1)
    file = outcome.artifacts["model.safetensors"]
    header = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])
    assert json.loads(header["__metadata__"]["description"])["classes"] == ["malignant", "benign"]
    assert np.mean(predicted == test.targets) == pytest.approx(models(outcome)["tuned"]["test_score"])


def test_hyperparameters_are_named_and_ranked() -> None:
    run, _ = solved(small("data_reweighting"))
    outcome = run.finish()
    table = pq.read_table(io.BytesIO(outcome.artifacts["hyperparameters.parquet"])).to_pydict()
    assert list(table) == ["row_id", "label", "lambda", "weight"]
    assert len(set(table["row_id"])) == outcome.result["rows"] == 341
    suspects = outcome.result["suspects"]
    assert [row["weight"] for row in suspects] == sorted(row["weight"] for row in suspects)
    assert suspects[0]["weight"] == min(table["weight"]) < 0.5
    assert suspects[0]["label"] in {"malignant", "benign"}
    noise = outcome.result["noise"]
    assert noise["planted"] == 102
    assert noise["auc"] > 0.8

    run, _ = solved(small("regularization_tuning"))
    outcome = run.finish()
    table = pq.read_table(io.BytesIO(outcome.artifacts["hyperparameters.parquet"])).to_pydict()
    assert table["feature"][0] == "mean radius"
    np.testing.assert_allclose(np.exp(table["lambda"]), table["strength"])
    assert outcome.result["strengths"][0]["strength"] == max(table["strength"])
    assert outcome.result["noise"] is outcome.result["suspects"] is None


def test_planted_noise_is_nowhere_in_the_problem() -> None:
    """A clean run of the same labels solves the same problem: what was planted has no other way in than the labels."""
    spec = small("data_reweighting")
    run = Run(spec)
    prepared = training_data.prepare(training_data.load(spec.dataset), spec)
    assert prepared.planted is not None
    assert not any(isinstance(value, training_data.PlantedNoise) for value in vars(run.problem).values())
    features, labels = run.problem.train
    np.testing.assert_array_equal(labels, prepared.splits.train.targets)
    np.testing.assert_array_equal(features, prepared.splits.train.features)
    wrong = prepared.planted.wrong
    assert not any(
        np.array_equal(column, wrong) or np.array_equal(column, ~wrong) for column in features.astype(float).T
    )


def test_tuning_that_does_not_help_is_not_handed_over() -> None:
    """With λ pushed to the strongest penalty by its start, the best single strength is the answer, and it says so."""
    spec = small("regularization_tuning", hyperparameters={"initial": 8.0}, stop={"iterations": 2})
    run, _ = solved(spec)
    outcome = run.finish()
    tuned, single = models(outcome)["tuned"], models(outcome)["single_strength"]
    assert tuned["test_loss"] == single["test_loss"]
    assert "Nothing was gained" in outcome.result["sentence"]
    assert "nothing gained" in tuned["label"]


def test_a_start_that_tuning_made_worse_is_the_answer() -> None:
    """λ moved by 6 in each of two steps."""
    spec = small(
        "regularization_tuning",
        hyperparameters={"shrinkage": 0, "initial": -4.0},
        solver={"upper": {"learning_rate": 6}},
        stop={"iterations": 2},
    )
    run, _ = solved(spec)
    outcome = run.finish()
    candidates = models(outcome)
    assert {"tuned", "tuned_lambda", "start", "single_strength", "no_penalty"} == set(candidates)
    best = min(("start", "single_strength"), key=lambda name: candidates[name]["selection_loss"])
    assert candidates["tuned"]["selection_loss"] <= candidates[best]["selection_loss"]
    said = " ".join(outcome.result["warnings"])
    assert "moves λ by up to 6" in said


def test_the_tuned_lambda_keeps_a_row_where_another_candidate_is_handed_over() -> None:
    """λ moved by 6 in each of two steps is worse than before: its own row says by how much."""
    spec = small("regularization_tuning", hyperparameters={"initial": 8.0}, stop={"iterations": 2})
    outcome = solved(spec)[0].finish()
    candidates = models(outcome)
    assert candidates["tuned_lambda"]["selection_loss"] > candidates["tuned"]["selection_loss"]
    assert candidates["tuned_lambda"]["test_loss"] > candidates["tuned"]["test_loss"]
    assert outcome.result["best_rival"] == "single_strength"  # not one of ours


@pytest.mark.parametrize("dataset", ["sklearn:breast_cancer", "sklearn:diabetes"])
def test_the_list_of_suspects_and_the_table_of_rows_say_the_same(dataset: str) -> None:
    """A weight for each of few rows hardly moves in five iterations: another candidate is handed over."""
    spec = small("data_reweighting", stop={"iterations": 5})
    changes: dict[str, Any] = {"id": dataset}
    if dataset == "sklearn:diabetes":
        changes["label_noise"] = None
    spec = spec.model_copy(update={"dataset": spec.dataset.model_copy(update=changes)})
    outcome = solved(spec)[0].finish()
    assert outcome.result["opinion"].startswith("the model that is handed over")
    agree(outcome)


@pytest.mark.parametrize("trusted", [None, "unknown"])
def test_suspects_by_models_that_have_not_seen_the_row_are_those_of_the_table(trusted: str | None) -> None:
    """What the default kind of λ says, and a job that trusts no row."""
    dataset: dict[str, Any] = {"id": "sklearn:iris", "label_noise": {"rate": 0.3}, "trusted": trusted}
    if trusted is None:
        del dataset["trusted"]
    spec = JobSpec.model_validate({"kind": "data_reweighting", "dataset": dataset, "stop": {"iterations": 5}})
    outcome = solved(spec)[0].finish()
    assert outcome.result["opinion"] == "models that have not seen the row"
    agree(outcome)


def agree(outcome: Outcome) -> None:
    """Assert that the suspects of a result are there, and that rows.parquet says the same of them."""
    table = pq.read_table(io.BytesIO(outcome.artifacts["rows.parquet"])).to_pydict()
    said = {
        str(row): (predicted, probability)
        for row, predicted, probability in zip(
            table["row_id"], table["predicted"], table.get("probability", table["predicted"]), strict=True
        )
    }
    assert outcome.result["suspects"]
    for suspect in outcome.result["suspects"]:
        predicted, probability = said[suspect["row_id"]]
        if suspect["predicted_probability"] is None:
            assert float(suspect["predicted"]) == pytest.approx(predicted, rel=1e-4)
        else:
            assert (suspect["predicted"], suspect["predicted_probability"]) == (predicted, pytest.approx(probability))


def test_a_lambda_that_overfits_is_said_with_the_iteration_of_the_result() -> None:
    spec = JobSpec.model_validate(
        {
            "kind": "regularization_tuning",
            "dataset": {"id": "sklearn:wine", "split": {"train": 0.3, "validation": 0.4, "test": 0.3}},
            "hyperparameters": {"per": "parameter", "shrinkage": 0, "selection": 0.5},
            "solver": {"upper": {"learning_rate": 2}},
            "stop": {"iterations": 40},
        }
    )
    run, iterations = solved(spec)
    result = run.finish().result
    losses = [i.selection_loss for i in iterations if i.selection_loss is not None]
    lowest = iterations[int(np.argmin(losses))].iteration
    assert losses[-1] > 1.1 * min(losses)
    assert result["best_iteration"] == lowest
    said = [warning for warning in result["warnings"] if "overfits" in warning]
    assert len(said) == 1
    assert f"since iteration {lowest}:" in said[0]


def test_a_run_certifies_about_ten_hypergradients_and_moves_as_if_it_did_not() -> None:
    certified = solved(small("data_reweighting", stop={"iterations": 200}))[1]
    plain = solved(small("data_reweighting", stop={"iterations": 200}, solver={"certify_every": 0}))[1]
    errors = [i.fd_relative_error for i in certified if i.fd_relative_error is not None]
    assert len(errors) == 10
    assert max(errors) < 0.1
    assert all(i.fd_relative_error is None for i in plain)
    assert values(certified) == values(plain)


def test_a_run_without_influence_ends_and_says_why() -> None:
    run, iterations = solved(
        small("data_reweighting", solver={"lower": {"learning_rate": 1e-30}}, stop={"iterations": 400})
    )
    assert len(iterations) < 400
    result = run.finish().result
    assert result["stopped_by"] == "zero_hypergradient"
    assert any("no influence on the upper loss" in warning for warning in result["warnings"])


def test_a_lower_step_beyond_the_stable_one_is_said_after_a_resume_too() -> None:
    spec = small("data_reweighting", solver={"lower": {"learning_rate": 3.0}}, stop={"iterations": 20})
    first = Run(spec)
    next(first.iterations())
    second = Run(spec, checkpoint=first.checkpoint())
    list(second.iterations())
    assert any("the largest stable step" in warning for warning in second.finish().result["warnings"])


def test_without_selection_rows_the_report_says_so() -> None:
    run, _ = solved(small("regularization_tuning", hyperparameters={"selection": 0}, stop={"iterations": 5}))
    outcome = run.finish()
    assert outcome.result["selection_loss"] is None
    assert any("set aside for selection" in warning for warning in outcome.result["warnings"])


def test_regression_and_class_weights_are_reported_too() -> None:
    run, _ = solved(
        JobSpec.model_validate(
            {"kind": "data_reweighting", "dataset": {"id": "sklearn:diabetes"}, "stop": {"iterations": 20}}
        )
    )
    result = run.finish().result
    assert result["score_name"] == "r2"
    assert result["noise"] is None
    run, _ = solved(small("data_reweighting", hyperparameters={"per": "class"}, stop={"iterations": 20}))
    outcome = run.finish()
    assert outcome.result["suspects"] is None
    table = pq.read_table(io.BytesIO(outcome.artifacts["hyperparameters.parquet"])).to_pydict()
    assert table["class"] == ["malignant", "benign"]


def test_the_huber_loss_resists_wrong_targets() -> None:
    """A tenth of the training targets is wrong by several times their range; R² is measured on right ones."""
    scores = {}
    for loss in ({"type": "squared_error"}, {"type": "huber", "delta": 0.1}):
        spec = small("regularization_tuning", dataset={"id": "sklearn:diabetes"}, loss=loss, stop={"iterations": 20})
        dataset = training_data.load(spec.dataset)
        rows = training_data.prepare(dataset, spec).splits.train.rows
        targets = dataset.targets.copy()
        targets[np.random.default_rng(0).choice(rows, len(rows) // 10, replace=False)] += 1_000
        run = Run(spec, dataset=replace(dataset, targets=targets))
        for _ in run.iterations():
            pass
        scores[loss["type"]] = models(run.finish())["tuned"]["test_score"]
    assert scores["huber"] > 0.3 > scores["squared_error"]


def test_class_weights_are_balanced_or_given_and_raise_recall() -> None:
    """One class in ten is rare; counting it more makes the answer predict it more often, and scores stay plain."""
    rng = np.random.default_rng(0)
    rare = rng.random(600) < 0.1
    x = rng.normal(size=600) + 1.5 * rare
    table = training_data.Table("ds_test", "test", {"x": x, "y": np.where(rare, "rare", "common")}, {}, "y")
    recalls = []
    for class_weights in (None, "balanced", {"rare": 9}):
        spec = small(
            "regularization_tuning",
            dataset={"id": "ds_test", "label": "y"},
            loss={"type": "cross_entropy", "class_weights": class_weights},
            stop={"iterations": 5},
        )
        run = Run(spec, dataset=training_data.select(table, spec.dataset))
        labels = run.problem.train[1]
        if class_weights == "balanced":
            expected = compute_class_weight("balanced", classes=np.arange(2), y=labels)
            np.testing.assert_allclose(run.problem.loss.class_weights, expected)
        elif class_weights:
            common, weight = run.problem.loss.class_weights
            assert weight == pytest.approx(9 * common)
            assert np.mean([(common, weight)[label] for label in labels]) == pytest.approx(1)
        for _ in run.iterations():
            pass
        outcome = run.finish()
        tensors = load_tensors(outcome.artifacts["model.safetensors"])
        scaled = (x - tensors["scaling.mean"]) / tensors["scaling.scale"]
        predicted = (scaled[:, None] @ tensors["weight.0"] + tensors["bias.0"]).argmax(1)
        recalls.append(np.mean(predicted[rare] == 1))
        rows = training_data.prepare(training_data.select(table, spec.dataset), spec).splits.test.rows
        assert models(outcome)["tuned"]["test_score"] == pytest.approx(np.mean(predicted[rows] == rare[rows]))
    assert recalls[0] < 0.4
    assert min(recalls[1:]) > 0.6


def test_the_annotator_who_guesses_gets_the_smallest_weight() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 500)
    who = rng.choice(["ann", "bob", "cat", "eve"], 500)
    parts = rng.choice(["train", "validation", "test"], 500, p=[0.6, 0.2, 0.2])
    x = rng.normal(size=(500, 3)) + 2 * np.eye(3)[labels]
    guessed = (who == "eve") & (parts == "train")
    columns = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "who": who, "part": parts}
    table = training_data.Table(
        "ds_test", "test", columns | {"y": np.where(guessed, rng.integers(0, 3, 500), labels)}, {}, "y"
    )
    spec = small(
        "data_reweighting",
        dataset={"id": "ds_test", "label": "y", "split": {"column": "part"}},
        hyperparameters={"per": "group", "group_column": "who"},
    )
    run = Run(spec, dataset=training_data.select(table, spec.dataset, ["who"]))
    for _ in run.iterations():
        pass
    outcome = run.finish()
    first, *others = outcome.result["groups"]
    assert first["name"] == "eve"
    assert first["weight"] < 0.3
    assert first["rows"] == guessed.sum()
    assert min(group["weight"] for group in others) > 0.5
    assert pq.read_table(io.BytesIO(outcome.artifacts["hyperparameters.parquet"])).column_names[0] == "group"
    console = Console(file=io.StringIO())
    console.print(render.results(outcome.result))
    assert "eve" in console.file.getvalue()


def test_l1_strengths_hold_the_weights_of_noise_at_zero() -> None:
    """Forty columns, of which two count, and a hundred training rows; l2 leaves all of them in the model."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 40))
    columns = {f"{'signal' if j < 2 else 'noise'} {j}": x[:, j] for j in range(40)}
    table = training_data.Table("ds_test", "test", columns | {"y": x[:, 0] + x[:, 1] + rng.normal(size=400)}, {}, "y")
    found = {}
    for penalty, parts in (("l2", ["l2"]), ("l1", ["l1"]), ("elastic_net", ["l2", "l1"])):
        spec = small(
            "regularization_tuning",
            dataset={"id": "ds_test", "label": "y", "split": {"train": 0.25, "validation": 0.5, "test": 0.25}},
            hyperparameters={"penalty": penalty},
            stop={"iterations": 80},
        )
        run = Run(spec, dataset=training_data.select(table, spec.dataset))
        for _ in run.iterations():
            pass
        outcome = run.finish()
        weights = np.abs(load_tensors(outcome.artifacts["model.safetensors"])["weight.0"][:, 0])
        found[penalty] = weights
        strengths = pq.read_table(io.BytesIO(outcome.artifacts["hyperparameters.parquet"])).to_pydict()
        assert strengths["penalty"] == [part for part in parts for _ in range(40)]
        assert strengths["feature"] == list(columns) * len(parts)
        listed = outcome.result["strengths"]
        assert [part for part, _ in groupby(row["penalty"] for row in listed)] == parts
        absolute = [row["name"] for row in listed if row["penalty"] == "l1"]
        assert not absolute or absolute[0].startswith("noise")
        print(penalty, weights[:2].round(4), np.median(weights[2:]).round(4), outcome.result["sentence"])
    assert found["l1"][:2].min() > 0.4
    assert np.median(found["l1"][2:]) < 0.005
    assert np.median(found["l2"][2:]) > 0.01


def test_a_spec_that_does_not_fit_its_data_never_starts() -> None:
    with pytest.raises(training_data.DataError):
        Run(small("regularization_tuning", solver={"lower": {"batch_size": 100_000}}))


@pytest.mark.parametrize("kind", ["data_reweighting", "regularization_tuning"])
def test_a_checkpoint_shows_lambda_by_name_to_whoever_looks_on(kind: str) -> None:
    run, _ = solved(small(kind))
    shown = pq.read_table(io.BytesIO(load_tensors(run.checkpoint())[snapshots.IN_CHECKPOINT].tobytes())).to_pydict()
    answer = pq.read_table(io.BytesIO(run.finish().artifacts["hyperparameters.parquet"])).to_pydict()
    first, *others = [name for name in answer if name not in {"lambda", "weight", "strength"}]
    assert shown["name"] == answer[first]
    assert {name: shown[name] for name in others} == {name: answer[name] for name in others}
    taken = run.snapshot().detail
    assert [(shown["name"][place["place"]], shown["lambda"][place["place"]]) for place in taken["lowest"]] == [
        (place["name"], place["lam"]) for place in taken["lowest"]
    ]


def test_a_checkpoint_with_fields_that_this_release_does_not_know_is_refused() -> None:
    """As no checkpoint is: then the worker begins anew."""
    content = Run(small("regularization_tuning")).checkpoint()
    progress = json.loads(metadata(content)["progress"]) | {"of_another_release": 1}
    changed = save(load_tensors(content), {"progress": json.dumps(progress)})
    with pytest.raises(ValueError, match="of_another_release"):
        Run(small("regularization_tuning"), checkpoint=changed)


def test_bytes_that_are_no_checkpoint_are_refused() -> None:
    with pytest.raises(ValueError, match="not a checkpoint"):
        Run(small("regularization_tuning"), checkpoint=b"\x00" * 32)


@pytest.mark.slow
def test_wrong_digits_are_found_and_the_cleaned_model_beats_the_trusted_rows() -> None:
    outcomes = []
    for seed in range(3):
        run, _ = solved(example("digits_reweighting", seed))
        outcomes.append(run.finish())
    for outcome in outcomes:
        assert outcome.result["noise"]["f1"] >= 0.95
    tuned, trusted = (
        np.mean([models(outcome)[name]["test_score"] for outcome in outcomes]) for name in ("tuned", "trusted_only")
    )
    assert tuned >= trusted


@pytest.mark.slow
def test_a_convolutional_network_learns_digits_despite_wrong_labels() -> None:
    _, iterations = solved(
        JobSpec.model_validate(
            {
                "kind": "data_reweighting",
                "dataset": {"id": "sklearn:digits", "label_noise": {"rate": 0.4}},
                "model": {"type": "cnn", "channels": [8, 16], "hidden": []},
                "hyperparameters": {"per": "row"},
                "solver": {"lower": {"momentum": 0.9}},
                "stop": {"iterations": 300},
            }
        )
    )
    assert iterations[-1].selection_loss is not None
    assert iterations[-1].selection_loss < 0.1 * iterations[0].upper_loss
    assert iterations[-1].upper_score > 0.95


@pytest.mark.slow
def test_the_file_of_a_convolutional_network_predicts_as_reported() -> None:
    spec = JobSpec.model_validate(
        {
            "kind": "data_reweighting",
            "dataset": {"id": "sklearn:digits", "split": {"train": 0.1, "validation": 0.05, "test": 0.85}},
            "model": {"type": "cnn", "channels": [4], "hidden": [8]},
            "stop": {"iterations": 5},
        }
    )
    run, _ = solved(spec)
    outcome = run.finish()
    score = models(outcome)["tuned"]["test_score"]
    assert score > 0.7
    tensors = load_tensors(outcome.artifacts["model.safetensors"])
    loaded = training_data.load(spec.dataset)
    test = training_data.prepare(loaded, spec).splits.test
    scaled = (loaded.features[test.rows] - tensors["scaling.mean"]) / tensors["scaling.scale"]
    w = [tensors[f"{part}.{layer}"] for layer in range(3) for part in ("weight", "bias")]
    network = CNN(loaded.image_shape, (4,), hidden=(8,))
    predicted = forward(network, w, scaled, activate=lambda z: np.maximum(z, 0)).argmax(1)
    assert np.mean(predicted == test.targets) == pytest.approx(score, abs=2e-3)


@pytest.mark.slow
def test_strengths_per_feature_are_no_worse_than_a_single_one() -> None:
    losses: dict[str, list[float]] = {"tuned": [], "single_strength": [], "no_penalty": []}
    for seed in range(5):
        run, _ = solved(example("breast_cancer_regularization", seed))
        outcome = run.finish()
        upper = outcome.result["upper_loss"]
        assert upper["best"] < upper["first"]
        for name, found in losses.items():
            found.append(models(outcome)[name]["test_loss"])
    assert np.mean(losses["tuned"]) <= np.mean(losses["single_strength"])
    assert np.mean(losses["tuned"]) <= np.mean(losses["no_penalty"])
