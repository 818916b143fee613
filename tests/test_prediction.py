"""The model that a job hands over predicts, with NumPy alone, exactly what its report says."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hposvc.bilevel import CNN, predict
from hposvc.prediction import ModelError, Predictor
from hposvc.run.run import Outcome, Run
from hposvc.schema.spec import DatasetSpec, JobSpec
from hposvc.tables import DataError
from hposvc.tables.ingest import ingest
from hposvc.tables.options import Reading, UploadOptions
from hposvc.tables.reading import read_table
from hposvc.training_data import Upload, check, load
from tests.support.reviews_of_products import reviews_csv

ROWS = 240


def people(path: Path, rows: int = ROWS, seed: int = 0) -> Path:
    """People with numbers, categories, dates, and holes in all of them."""
    rng = np.random.default_rng(seed)
    city = rng.choice(["Lima", "Oslo", "Rome", "Bern"], rows, p=[0.4, 0.3, 0.29, 0.01])
    age, active = rng.normal(40, 12, rows), rng.random(rows) < 0.5
    leaving = (age - 40) / 12 + np.select([city == "Lima", city == "Oslo"], [1, -1]) + active + rng.normal(0, 0.4, rows)
    lines = ["customer,age,city,since,active,income,churned"]
    for i in range(rows):
        hole = [rng.random() < 0.08 for _ in range(4)]
        values = (
            f"c{i}",
            "" if hole[0] else f"{age[i]:.3f}",
            "NA" if hole[1] else city[i],
            "" if hole[2] else f"2024-{1 + i % 12:02d}-07",
            "" if hole[3] else str(bool(active[i])).lower(),
            f"{1000 * leaving[i]:.2f}",
            "yes" if leaving[i] > 0.5 else "no",
        )
        lines.append(",".join(values))
    path.write_text("\n".join(lines) + "\n")
    return path


def images(path: Path) -> Path:
    rng = np.random.default_rng(3)
    y = np.arange(ROWS) % 3
    x = rng.integers(0, 60, (ROWS, 9, 8, 2))
    x[np.arange(ROWS), 2 * y + 1] += 90
    np.savez_compressed(path, X=x.astype(np.uint8), y=np.array(["cat", "dog", "eel"])[y])
    return path


def uploaded(path: Path, name: str = "ds_1", **options: Any) -> Upload:
    target = path.with_suffix(".stored")
    description = ingest(path, target, UploadOptions(**options))
    return Upload(name, path.name, description, partial(target.open, "rb"))


def solved(
    *uploads: Upload, kind: str = "data_reweighting", dataset: dict[str, Any] | None = None, **fields: Any
) -> Outcome:
    known = {upload.id: upload for upload in uploads}
    described = {"id": uploads[0].id} | (dataset or {})
    spec = JobSpec.model_validate({"kind": kind, "dataset": described, "stop": {"iterations": 4}, **fields})
    run = Run(check(spec, known).spec, uploads=known)
    for _ in run.iterations():
        pass
    return run.finish()


def assert_predicts_its_report(outcome: Outcome, path: Path) -> None:
    """From the file as it was sent, test rows give the report's score, and each the opinion in the list of rows."""
    rows = pq.read_table(io.BytesIO(outcome.artifacts["rows.parquet"]))
    predictor = Predictor.from_bytes(outcome.artifacts["model.safetensors"])
    table = read_table(path, predictor.reading)
    ids = predictor.predict({name: table[name] for name in table.column_names}).ids
    place = {row_id: index for index, row_id in enumerate(ids)}
    test = rows.filter(pc.equal(rows["part"], "test"))
    found = predictor.predict(
        {name: table[name].take([place[i] for i in test["row_id"].to_pylist()]) for name in table.column_names}
    )
    assert len(found.labels) == test.num_rows > 20
    if outcome.result["task"] == "classification":
        assert found.score == outcome.result["models"][0]["test_score"]
        assert found.labels.tolist() == test["predicted"].to_pylist()
        assert found.probabilities is not None
        np.testing.assert_allclose(found.probabilities.max(1), test["probability"].to_numpy(), atol=2e-6)
    else:
        assert found.score == pytest.approx(outcome.result["models"][0]["test_score"], abs=1e-5)
        np.testing.assert_allclose(found.labels, test["predicted"].to_numpy(), rtol=1e-4)


def test_free_text_beside_numbers(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(reviews_csv(ROWS, missing=5))
    outcome = solved(uploaded(path, label="opinion"), dataset={"categorical": ["stars"]})
    assert_predicts_its_report(outcome, path)
    assert outcome.result["models"][0]["test_score"] > 0.9  # the words tell it, and the stars do not
    said = {column["name"]: column["treatment"] for column in outcome.result["columns"]}
    assert "by TF-IDF and truncated SVD; a feature says where it is missing" in said["review"]


@pytest.mark.parametrize(
    "model",
    [
        {"type": "linear"},
        {"type": "mlp", "hidden": [8, 5], "activation": "gelu"},
        {"type": "mlp", "hidden": [6], "activation": "tanh"},
        {"type": "mlp", "hidden": [6]},
    ],
    ids=["linear", "gelu", "tanh", "relu"],
)
def test_classes_of_ones_own_csv(model: dict[str, Any], tmp_path: Path) -> None:
    path = people(tmp_path / "people.csv")
    outcome = solved(
        uploaded(path, label="churned", id_column="customer"),
        model=model,
        dataset={"features": ["age", "city", "since", "active"]},
    )
    assert_predicts_its_report(outcome, path)
    said = {column["name"]: column["treatment"] for column in outcome.result["columns"]}
    assert "one for all others" in said["city"]  # Bern is rare
    assert "one for missing" in said["city"]


def test_numbers_of_ones_own_csv(tmp_path: Path) -> None:
    path = people(tmp_path / "people.csv")
    outcome = solved(
        uploaded(path, label="income", id_column="customer"),
        kind="regularization_tuning",
        dataset={"features": ["age", "city", "active"]},
        solver={"dtype": "float64"},
    )
    assert outcome.result["task"] == "regression"
    assert {row["name"] for row in outcome.result["strengths"]} >= {"age", "city = Lima", "age is missing", "active"}
    assert_predicts_its_report(outcome, path)


def test_codes_are_categories_where_one_says_so(tmp_path: Path) -> None:
    path = people(tmp_path / "people.csv")
    lines = path.read_text().splitlines()
    codes = {"Lima": "51", "Oslo": "47", "Rome": "39", "Bern": "41", "NA": ""}
    path.write_text("\n".join(f"{line},{codes.get(line.split(',')[2], 'code')}" for line in lines) + "\n")
    upload = uploaded(path, label="churned", id_column="customer")
    features = ["age", "active", "code"]
    outcome = solved(upload, kind="regularization_tuning", dataset={"features": features, "categorical": ["code"]})
    assert {row["name"] for row in outcome.result["strengths"]} >= {
        "code = 39",
        "code = 47",
        "code = 51",
        "code = (other)",
    }
    assert_predicts_its_report(outcome, path)
    as_amount = solved(upload, kind="regularization_tuning", dataset={"features": features})
    assert {"code", "code is missing"} <= {row["name"] for row in as_amount.result["strengths"]}


@pytest.mark.parametrize(
    ("name", "said"), [("since", "holds date"), ("churned", "is no feature"), ("nowhere", "is no feature")]
)
def test_what_can_be_no_category_is_refused(name: str, said: str, tmp_path: Path) -> None:
    upload = uploaded(people(tmp_path / "people.csv"), label="churned", id_column="customer")
    spec = DatasetSpec(id=upload.id, categorical=["city", name])
    with pytest.raises(DataError) as refusal:
        load(spec, uploads={upload.id: upload})
    (problem,) = refusal.value.defects
    assert problem.field == "dataset.categorical.1"
    assert said in problem.message


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_convolutional_network_computes_what_it_does_in_training(activation: Literal["relu", "tanh"]) -> None:
    """Random parameters: training one takes long, and would show no more."""
    network = CNN((9, 8, 2), (3, 4), 3, (5,), activation)
    random = np.random.default_rng(0)
    w = [array + random.normal(0, 0.1, array.shape) for array in network.initial(144, 3, random)]
    x = random.normal(size=(20, 144))
    arrays = {f"{'bias' if i % 2 else 'weight'}.{i // 2}": array for i, array in enumerate(w)}
    description = {
        "model": {"type": "cnn", "channels": [3, 4], "kernel": 3, "hidden": [5], "activation": activation},
        "image_shape": [9, 8, 2],
        "dtype": "float32",
        "classes": ["cat", "dog", "eel"],
        "features": [f"pixel {i}" for i in range(144)],
        "encoding": [{"type": "block", "name": "X", "names": [f"pixel {i}" for i in range(144)], "fill": None}],
        "label": "y",
        "id_column": None,
        "target": {"mean": 0.0, "scale": 1.0},
    }
    predictor = Predictor(arrays | {"scaling.mean": np.zeros(144), "scaling.scale": np.ones(144)}, description)
    images = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 144)
    found = predictor.predict({"X": pa.chunked_array([images])})
    np.testing.assert_allclose(found.probabilities, predict(network, w, x), atol=1e-6)


def test_images_become_features_pixel_by_pixel(tmp_path: Path) -> None:
    path = images(tmp_path / "images.npz")
    dataset = load(DatasetSpec(id="ds_1"), uploads={"ds_1": uploaded(path)}).encoded(np.arange(100))
    with np.load(path) as stored:
        np.testing.assert_array_equal(dataset.features, stored["X"].reshape(ROWS, -1))
    assert dataset.image_shape == (9, 8, 2)
    assert dataset.feature_names[:3] == ("pixel 0 0 0", "pixel 0 0 1", "pixel 0 1 0")
    assert dataset.classes == ("cat", "dog", "eel")


def test_a_bundled_set(tmp_path: Path) -> None:
    spec = JobSpec.model_validate(
        {"kind": "data_reweighting", "dataset": {"id": "sklearn:wine"}, "stop": {"iterations": 3}}
    )
    run = Run(spec)
    for _ in run.iterations():
        pass
    outcome = run.finish()
    rows = pq.read_table(io.BytesIO(outcome.artifacts["rows.parquet"]))
    path = tmp_path / "wine.parquet"
    pq.write_table(rows, path)
    found = Predictor.from_bytes(outcome.artifacts["model.safetensors"]).predict(
        {name: rows[name] for name in rows.column_names}
    )
    # training rows carry the opinion of models that have not seen them
    seen_by_none = np.array(rows["part"].to_pylist()) != "train"
    assert (found.labels == np.array(rows["predicted"].to_pylist()))[seen_by_none].all()
    assert seen_by_none.sum() > 50


def test_three_files_are_one_data_set(tmp_path: Path) -> None:
    files = [
        people(tmp_path / f"{part}.csv", rows, seed)
        for seed, (part, rows) in enumerate([("train", 120), ("validation", 60), ("test", 40)])
    ]
    sets = [uploaded(path, f"ds_{i}", label="churned") for i, path in enumerate(files)]
    outcome = solved(*sets, dataset={"split": {"validation": "ds_1", "test": "ds_2"}, "features": ["age", "city"]})
    rows = pq.read_table(io.BytesIO(outcome.artifacts["rows.parquet"]))
    assert pc.value_counts(rows["part"]).to_pylist()[0] == {"values": "train", "counts": 120}
    test = read_table(files[2], Reading())
    found = Predictor.from_bytes(outcome.artifacts["model.safetensors"]).predict(
        {name: test[name] for name in test.column_names}
    )
    assert found.score == outcome.result["models"][0]["test_score"]
    lacking = tmp_path / "lacking.csv"
    lacking.write_text("age,churned\n" + "".join(f"{i},{'yes' if i % 2 else 'no'}\n" for i in range(20)))
    with pytest.raises(DataError, match=r"dataset\.split\.test: .*no column"):
        solved(
            *sets[:2],
            uploaded(lacking, "ds_9"),
            dataset={"split": {"validation": "ds_1", "test": "ds_9"}, "label": "churned"},
        )


def test_rows_are_ranked_with_ones_own_columns(tmp_path: Path) -> None:
    path = people(tmp_path / "people.csv")
    outcome = solved(uploaded(path, label="churned", id_column="customer"), dataset={"label_noise": {"rate": 0.2}})
    rows = pq.read_table(io.BytesIO(outcome.artifacts["rows.parquet"]))
    train = rows.filter(pc.equal(rows["part"], "train"))
    assert train["rank"].to_pylist() == list(range(1, train.num_rows + 1))
    weights = train["weight"].to_pylist()
    assert weights == sorted(weights)
    assert sorted(rows["customer"].to_pylist()) == sorted(f"c{i}" for i in range(ROWS))
    assert rows["row_id"].to_pylist() == rows["customer"].to_pylist()
    first = outcome.result["suspects"][0]
    assert (first["row_id"], first["label"]) == (rows["row_id"][0].as_py(), rows["label"][0].as_py())
    # What was planted is what the job learned from; the file's own column still has the truth.
    changed = pc.not_equal(train["label"], train["churned"])
    assert pc.sum(changed).as_py() == round(0.2 * train.num_rows)


@pytest.mark.parametrize("per", ["row", "posterior"])
def test_suspects_of_numbers_have_the_unit_of_their_labels(per: str, tmp_path: Path) -> None:
    path = people(tmp_path / "people.csv")
    upload = uploaded(path, label="income", id_column="customer")
    outcome = solved(upload, dataset={"features": ["age", "city"]}, hyperparameters={"per": per})
    rows = pq.read_table(io.BytesIO(outcome.artifacts["rows.parquet"]))
    known = {row["row_id"]: row for row in rows.to_pylist()}
    assert outcome.result["suspects"]
    for suspect in outcome.result["suspects"]:
        row = known[suspect["row_id"]]
        assert (suspect["label"], suspect["predicted"]) == (f"{row['label']:.6g}", f"{row['predicted']:.6g}")


def test_what_cannot_be_predicted_is_said_with_its_place(tmp_path: Path) -> None:
    path = people(tmp_path / "people.csv")
    model = solved(uploaded(path, label="churned"), dataset={"features": ["age", "city"]}).artifacts[
        "model.safetensors"
    ]
    predictor = Predictor.from_bytes(model)
    city = pa.chunked_array([["Lima", "Paris", None]])
    with pytest.raises(DataError, match="no column 'age'"):
        predictor.predict({"city": city})
    with pytest.raises(DataError, match="row 2 has 'forty'"):
        predictor.predict({"city": city, "age": pa.chunked_array([["40", "forty", "3"]])})
    assert len(predictor.predict({"city": city, "age": pa.chunked_array([["40", "", "3"]])}).labels) == 3
    assert (
        len(predictor.predict({"city": city.slice(0, 0), "age": pa.chunked_array([pa.array([], pa.string())])}).labels)
        == 0
    )
    with pytest.raises(ModelError):
        Predictor.from_bytes(b"not a model")
