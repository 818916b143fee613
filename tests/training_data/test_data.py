"""What goes into a job: columns, divisions, planted noise, standardization, and every refusal at the door."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hposvc import training_data
from hposvc.schema.spec import DatasetSpec, JobSpec, LabelNoise
from hposvc.training_data import DataError, Dataset, Table, bundled, load, prepare, select
from hposvc.training_data.noise import plant


def job(dataset: str | dict[str, Any] = "sklearn:iris", kind: str = "data_reweighting", **fields: Any) -> JobSpec:
    described = {"id": dataset} if isinstance(dataset, str) else dataset
    return JobSpec.model_validate({"kind": kind, "dataset": described, **fields})


def table(rows: int = 60, **columns: Any) -> Table:
    rng = np.random.default_rng(0)
    filled = {"a": rng.normal(size=rows), "b": rng.normal(size=rows), "y": np.arange(rows) % 3}
    return Table("ds_test", "test", filled | columns, {}, "y")


def fields_of(error: pytest.ExceptionInfo[DataError]) -> set[str]:
    return {problem.field for problem in error.value.defects}


def test_every_bundled_set_fits_both_kinds_without_a_choice() -> None:
    for name in bundled.names():
        for kind in ("data_reweighting", "regularization_tuning"):
            training_data.check(job(name, kind))


def test_parts_are_disjoint_complete_and_stratified() -> None:
    spec = job("sklearn:digits")
    splits = prepare(load(spec.dataset), spec).splits
    assert splits.selection is not None
    parts = [splits.train, splits.validation, splits.selection, splits.test]
    rows = np.concatenate([part.rows for part in parts])
    assert sorted(rows) == list(range(1797))
    for part in parts:
        assert np.bincount(part.targets).min() >= 0.8 * len(part) / 10


def test_few_validation_rows_are_not_divided_further() -> None:
    assert prepare(load(job().dataset), job()).splits.selection is None


def test_same_spec_same_arrays_other_seed_other_rows() -> None:
    spec = job("sklearn:wine")
    first, again = (prepare(load(spec.dataset), spec).splits for _ in range(2))
    other_spec = job({"id": "sklearn:wine", "split": {"seed": 1}})
    other = prepare(load(other_spec.dataset), other_spec).splits
    np.testing.assert_array_equal(first.train.features, again.train.features)
    assert not np.array_equal(first.train.rows, other.train.rows)


def test_standardization_uses_training_rows_only_and_survives_constants() -> None:
    spec = job("sklearn:digits")  # its corner pixels are always 0
    splits = prepare(load(spec.dataset), spec).splits
    np.testing.assert_allclose(splits.train.features.mean(0), 0, atol=1e-12)
    deviations = splits.train.features.std(0)
    assert set(np.round(deviations, 12)) == {0.0, 1.0}
    assert np.isfinite(splits.test.features).all()
    dataset = load(spec.dataset)
    moved = dataset.features.copy()
    moved[splits.test.rows] += 1000.0
    again = prepare(replace(dataset, features=moved), spec).splits
    np.testing.assert_array_equal(again.train.features, splits.train.features)


def test_numeric_targets_are_standardized_and_recoverable() -> None:
    spec = job("sklearn:diabetes", "regularization_tuning")
    dataset, splits = load(spec.dataset), prepare(load(spec.dataset), spec).splits
    assert abs(splits.train.targets.mean()) < 1e-12
    recovered = splits.test.targets * splits.scaling.target_scale + splits.scaling.target_mean
    np.testing.assert_allclose(recovered, dataset.targets[splits.test.rows])


@given(rate=st.floats(0.01, 0.99), seed=st.integers(0, 2**31 - 1), classes=st.integers(2, 10), rows=st.integers(1, 50))
def test_noise_always_changes_the_label_and_says_how_often(rate: float, seed: int, classes: int, rows: int) -> None:
    labels = np.arange(rows) % classes
    noisy, planted = plant(labels, np.arange(rows), classes, rows, LabelNoise(rate=rate, seed=seed))
    np.testing.assert_array_equal(noisy != labels, planted.wrong)
    np.testing.assert_array_equal(planted.labels, labels)
    assert planted.changed == round(rate * rows)
    assert noisy.min() >= 0
    assert noisy.max() < classes


def test_noise_depends_on_its_own_seed_only() -> None:
    order = np.random.default_rng(1).permutation(40)
    labels = np.arange(40) % 4
    noise = LabelNoise(rate=0.5, seed=7)
    straight, _ = plant(labels, np.arange(40), 4, 40, noise)
    shuffled, _ = plant(labels[order], order, 4, 40, noise)
    np.testing.assert_array_equal(straight[order], shuffled)
    other, _ = plant(labels, np.arange(40), 4, 40, LabelNoise(rate=0.5, seed=8))
    assert not np.array_equal(straight, other)


def test_columns_take_the_roles_that_the_spec_gives_them() -> None:
    described = DatasetSpec(id="ds_test", label="kind", features=["a", "b"], id_column="name")
    columns = table(name=np.array([f"row {i}" for i in range(60)]), kind=np.array(["cat", "dog", "eel"] * 20))
    dataset = select(columns, described)
    assert dataset.feature_names == ("a", "b")
    assert dataset.classes == ("cat", "dog", "eel")
    assert dataset.row_ids[59] == "row 59"
    assert dataset.targets.tolist() == [0, 1, 2] * 20


def test_a_column_can_group_the_rows() -> None:
    columns = table(who=np.arange(60) % 4, kind=np.array(["cat", "dog", "eel"] * 20))
    dataset = select(columns, DatasetSpec(id="ds_test", label="y"), ["who"])
    assert dataset.feature_names == ("a", "b")
    assert dataset.group_names == ("0", "1", "2", "3")
    assert dataset.groups is not None
    np.testing.assert_array_equal(dataset.groups, np.arange(60) % 4)
    kept = select(columns, DatasetSpec(id="ds_test", label="y", features=["a", "who"]), ["who"])
    assert kept.feature_names == ("a", "who")
    kinds = select(columns, DatasetSpec(id="ds_test", label="y"), ["kind"])
    assert kinds.group_names == ("cat", "dog", "eel")
    assert kinds.groups is not None
    both = select(columns, DatasetSpec(id="ds_test", label="y"), ["who", "kind"])
    assert both.groups is not None
    seen = {both.group_names[group] for group in both.groups}
    assert seen == set(both.group_names)
    assert all(
        both.group_names[group] == f"{dataset.group_names[who]} · {kinds.group_names[kind]}"
        for group, who, kind in zip(both.groups, dataset.groups, kinds.groups, strict=True)
    )
    with pytest.raises(DataError) as error:
        select(columns, DatasetSpec(id="ds_test", label="y"), ["who", "whom"])
    assert fields_of(error) == {"hyperparameters.group_column"}
    training_data.check(job("sklearn:wine", hyperparameters={"per": "group", "group_column": "target"}))


@pytest.mark.parametrize(
    ("kind", "hyperparameters", "said"),
    [
        ("data_reweighting", {"per": "group"}, "hyperparameters.group_column"),
        ("data_reweighting", {"per": "row", "group_column": "b"}, "hyperparameters.group_column"),
        ("data_reweighting", {"penalty": "l1"}, "hyperparameters.penalty"),
        ("regularization_tuning", {"per": "group", "group_column": "b"}, "hyperparameters.per"),
    ],
)
def test_hyperparameters_that_do_not_fit_are_refused(kind: str, hyperparameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        job(kind=kind, hyperparameters=hyperparameters)


def test_a_column_can_divide_the_rows() -> None:
    parts = np.array(["train", "train", "train", "validation", "test", "validation"] * 10)
    spec = job({"id": "ds_test", "label": "y", "split": {"column": "part"}}, hyperparameters={"selection": 0.5})
    splits = prepare(select(table(part=parts), spec.dataset), spec).splits
    np.testing.assert_array_equal(splits.train.rows, np.flatnonzero(parts == "train"))
    np.testing.assert_array_equal(splits.test.rows, np.flatnonzero(parts == "test"))
    assert splits.selection is not None
    assert len(splits.validation) == len(splits.selection) == 10


@pytest.mark.parametrize("texts", [False, True])
def test_numbers_that_were_taken_for_classes_may_be_said_to_be_numbers(*, texts: bool) -> None:
    """Miles per gallon, say: few different whole numbers, some of them rare."""
    values = np.repeat(np.arange(11, 31), 3)
    values[-1] = 40
    labels = np.array([f"class {value}" for value in values]) if texts else values
    with pytest.raises(DataError) as error:
        prepare(select(table(y=labels), DatasetSpec(id="ds_test", label="y")), job("ds_test"))
    assert ("dataset.task: regression" in error.value.defects[0].remedy) is not texts


def test_an_unknown_data_set_lists_the_known() -> None:
    with pytest.raises(DataError) as error:
        training_data.check(job("sklearn:digit"))
    assert fields_of(error) == {"dataset.id"}
    assert "sklearn:digits" in error.value.defects[0].remedy


def test_all_unknown_columns_are_named_at_once() -> None:
    described = {"id": "sklearn:iris", "label": "species", "features": ["petal width (cm)", "x"], "id_column": "name"}
    with pytest.raises(DataError) as error:
        training_data.check(job(described))
    assert fields_of(error) == {"dataset.label", "dataset.features.1", "dataset.id_column"}
    assert all("petal length (cm)" in problem.remedy for problem in error.value.defects)


def long_table(**changes: Any) -> Dataset:
    described = DatasetSpec(id="ds_test", label="y")
    return select(table(**changes), described)


@pytest.mark.parametrize(
    ("columns", "described", "field"),
    [
        ({"a": np.full(60, np.nan)}, {}, "dataset.features"),
        ({"a": np.full(60, 1e200)}, {}, "dataset.features"),
        ({"t": np.array(["x"] * 60)}, {"features": ["t"]}, "dataset.features"),
        ({}, {"features": ["a", "a"]}, "dataset.features"),
        ({}, {"features": ["a", "y"]}, "dataset.features"),
        ({"y": np.full(60, np.inf)}, {}, "dataset.label"),
        ({"name": np.array(["same"] * 60)}, {"id_column": "name"}, "dataset.id_column"),
        ({}, {"categorical": ["a"]}, "dataset.categorical.0"),
    ],
)
def test_unusable_columns_are_refused(columns: dict[str, Any], described: dict[str, Any], field: str) -> None:
    with pytest.raises(DataError) as error:
        select(table(**columns), DatasetSpec(id="ds_test", label="y", **described))
    assert fields_of(error) == {field}


@pytest.mark.parametrize(
    ("columns", "fields", "expected"),
    [
        ({"y": np.arange(60)}, {}, "dataset.label"),  # as many classes as rows
        ({"y": np.zeros(60, dtype=int)}, {}, "dataset.label"),
        ({"y": np.zeros(60)}, {"kind": "regularization_tuning"}, "dataset.label"),
        ({"y": np.array([0, 1] * 29 + [2, 2])}, {}, "dataset.split"),  # two rows for three parts
        ({}, {"split": {"train": 0.96, "validation": 0.02, "test": 0.02}}, "dataset.split.validation"),
        ({}, {"split": {"train": 0.02, "validation": 0.49, "test": 0.49}}, "dataset.split.train"),
        ({}, {"hyperparameters": {"selection": 0.99}}, "hyperparameters.selection"),
        ({"y": np.arange(60.0)}, {"label_noise": {"rate": 0.1}}, "dataset.label_noise"),
        ({"y": np.arange(60.0)}, {"hyperparameters": {"per": "class"}}, "hyperparameters.per"),
        ({}, {"loss": {"type": "huber"}}, "loss.type"),
        ({"y": np.arange(60.0)}, {"loss": {"type": "cross_entropy"}}, "loss.type"),
        ({}, {"loss": {"type": "cross_entropy", "class_weights": {"3": 2}}}, "loss.class_weights.3"),
        (
            {"b": np.zeros(60)},
            {"hyperparameters": {"per": "group", "group_column": "b"}},
            "hyperparameters.group_column",
        ),
        (
            {},
            {"label_noise": {"rate": 0.1}, "hyperparameters": {"per": "group", "group_column": "y"}},
            "hyperparameters.group_column",
        ),
        ({}, {"solver": {"lower": {"batch_size": 100}}}, "solver.lower.batch_size"),
        ({}, {"solver": {"lower": {"batch_size": 35}}}, "solver.lower.batch_size"),  # 36 = 35 + 1
        ({}, {"model": {"type": "mlp", "hidden": [60_000, 60_000]}}, "model.hidden"),
        ({}, {"model": {"type": "cnn"}}, "model.type"),
    ],
)
def test_what_cannot_work_is_refused_at_the_door(
    columns: dict[str, Any], fields: dict[str, Any], expected: str
) -> None:
    described = {"id": "ds_test", "label": "y"}
    described |= {name: fields[name] for name in ("split", "label_noise") if name in fields}
    rest = {name: value for name, value in fields.items() if name not in described}
    spec = job(described, **rest)
    found = training_data.defects(select(table(**columns), spec.dataset, spec.hyperparameters.group_columns), spec)
    assert expected in {problem.field for problem in found}
    assert all(problem.message and problem.remedy for problem in found)


def test_too_many_activations_are_refused() -> None:
    dataset = long_table()
    many = replace(
        dataset,
        features=np.lib.stride_tricks.as_strided(np.zeros(2), (2_000_000, 2), (0, 8)),
        targets=np.arange(2_000_000) % 3,
    )
    found = training_data.defects(many, job({"id": "ds_test", "label": "y"}, model={"type": "mlp", "hidden": [1024]}))
    assert "solver.lower.batch_size" in {problem.field for problem in found}


@pytest.mark.parametrize(
    ("described", "model", "expected"),
    [
        ({"features": ["pixel_0_0", "pixel_0_1"]}, {}, "model.type"),  # what is left is no image
        ({}, {"channels": [4, 4, 4, 4]}, "model.channels"),  # 8 pixels are halved three times
        ({}, {"channels": [6_000]}, "model.channels"),
        ({}, {"hidden": [60_000, 60_000]}, "model.hidden"),
    ],
)
def test_a_network_that_does_not_fit_the_images_is_refused(
    described: dict[str, Any], model: dict[str, Any], expected: str
) -> None:
    spec = job({"id": "sklearn:digits", **described}, model={"type": "cnn", **model})
    with pytest.raises(DataError) as error:
        training_data.check(spec)
    assert fields_of(error) == {expected}
    training_data.check(job({"id": "sklearn:digits"}, model={"type": "cnn"}))


def test_a_class_that_no_training_row_has_is_refused() -> None:
    parts = np.array(["train", "train", "validation", "test"] * 15)
    labels = np.where(parts == "train", 0, np.arange(60) % 3)
    spec = job({"id": "ds_test", "label": "y", "split": {"column": "part"}})
    found = training_data.defects(select(table(part=parts, y=labels), spec.dataset), spec)
    assert [problem.field for problem in found] == ["dataset.split", "dataset.split"]


@pytest.mark.parametrize("values", [["train"] * 60, ["training", "validation", "test"] * 20])
def test_a_split_column_must_speak_of_all_parts(values: list[str]) -> None:
    spec = job({"id": "ds_test", "label": "y", "split": {"column": "part"}})
    found = training_data.defects(select(table(part=np.array(values)), spec.dataset), spec)
    assert {problem.field for problem in found} == {"dataset.split.column"}


def test_all_problems_are_told_together() -> None:
    spec = job(
        {"id": "sklearn:diabetes", "label_noise": {"rate": 0.5}},
        hyperparameters={"per": "class"},
        solver={"lower": {"batch_size": 1000}},
    )
    with pytest.raises(DataError) as error:
        training_data.check(spec)
    assert fields_of(error) == {"dataset.label_noise", "hyperparameters.per", "solver.lower.batch_size"}


def test_planted_noise_leaves_no_trace_in_what_the_solver_gets() -> None:
    """The same wrong labels, planted by us or already in the data, make the same arrays."""
    parts = np.array(["train", "train", "train", "validation", "test", "validation"] * 10)
    described = {"id": "ds_test", "label": "y", "split": {"column": "part"}}
    noisy_spec = job(described | {"label_noise": {"rate": 0.6}})
    clean = select(table(part=parts), noisy_spec.dataset)
    planted = prepare(clean, noisy_spec)
    labels = clean.targets.copy()
    labels[planted.splits.train.rows] = planted.splits.train.targets
    brought = prepare(replace(clean, targets=labels), job(described))
    assert brought.planted is None
    assert planted.planted is not None
    assert planted.planted.changed == 18
    for name in ("train", "validation", "test"):
        ours, theirs = getattr(planted.splits, name), getattr(brought.splits, name)
        for array in ("features", "targets", "rows"):
            np.testing.assert_array_equal(getattr(ours, array), getattr(theirs, array))


def test_data_needs_neither_jittor_nor_a_database() -> None:
    code = "import sys, hposvc.training_data; print(sorted({'jittor', 'sqlalchemy', 'fastapi'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
