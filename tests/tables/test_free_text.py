"""Columns of free text: told from names and codes, and turned into features of their words."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load, save

from hposvc.tables import Encoding, fit
from hposvc.tables.free_text import MOST_CHARACTERS, MOST_DIMENSIONS, MOST_WORDS, fit_text
from hposvc.tables.ingest import ingest
from hposvc.tables.options import UploadOptions
from tests.support.reviews_of_products import BAD, GOOD, reviews_csv


def texts(**options: Any) -> list[str | None]:
    rows = csv.DictReader(io.StringIO(reviews_csv(**options).decode()))
    return [row["review"] or None for row in rows]


def column(values: list[Any]) -> Any:
    return pa.chunked_array([pa.array(values, pa.string())])


def described(values: list[str], tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The description of a file with this column, and of the column."""
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["number", "c"], *([i % 7, value] for i, value in enumerate(values))])
    whole = ingest(path, tmp_path / "stored", UploadOptions())
    return whole, whole["columns"][1]


def encoding_of(values: list[Any], training: int) -> Encoding:
    return fit({"c": column(values)}, {"c": "free text"}, {}, np.arange(training))


@pytest.mark.parametrize(
    ("values", "role", "said"),
    [
        (texts(), "feature", "free text: up to 200 features of its words"),
        ([f"customer {i}" for i in range(200)], "ignored", "nearly every row has a text of its own"),
        ([f"{i * 7919:08x}-{i * 104729:08x}-{i:04x}-a{i:03x}" for i in range(200)], "ignored", "text of its own"),
        ([f"see the page www.example.org/item/{i}.html" for i in range(200)], "ignored", "text of its own"),
        ([f"shop {i % 60} of the north" for i in range(400)], "feature", "of the 50 commonest of 60 categories"),
        ([text for text in texts(rows=120) if text] * 4, "feature", "free text"),
        (["a word of six in it " + "x" * (i % 40) for i in range(400)], "feature", "of 40 categories"),
    ],
    ids=["reviews", "names", "ids", "addresses", "names of categories", "repeated reviews", "few sentences"],
)
def test_it_is_told_from_names_and_categories(values: list[str], role: str, said: str, tmp_path: Path) -> None:
    whole, found = described(values, tmp_path)
    assert found["role"] == role
    assert said in found["treatment"]
    assert whole["texts"] == (["c"] if said.startswith("free text") else [])


def test_its_words_are_those_of_the_training_rows() -> None:
    values = [*texts(rows=100), "unheardof words only"]
    encoding = encoding_of(values, training=100)
    features, warnings = encoding.apply({"c": column(values)})
    assert features.shape == (101, 25)  # a dimension for four rows
    assert np.isclose(features[:100].var(axis=0).mean(), 1)
    assert not features[100].any()
    assert warnings == ["1 texts of 'c' have no word that the training rows taught"]
    assert not encoding.scaled.any()
    assert "25 features of" in encoding.described()[0]["treatment"]
    said = np.array([any(word in (text or "").lower() for word in GOOD) for text in values[:100]])
    weights = np.linalg.lstsq(features[:100], said - 0.5, rcond=None)[0]
    later = encoding.apply({"c": column([f"it was {GOOD[0]} {GOOD[1]}", f"it was {BAD[0]} {BAD[1]}"])})[0] @ weights
    assert later[0] > later[1]


def test_a_feature_says_where_it_is_missing() -> None:
    encoding = encoding_of(texts(rows=80, missing=9), training=80)
    features, warnings = encoding.apply({"c": column([None, "it was great"])})
    assert encoding.features[-1] == "c is missing"
    assert features[:, -1].tolist() == [1, 0]
    assert not features[0, :-1].any()
    assert warnings == []


def test_writing_it_down_as_arrays_changes_nothing() -> None:
    values = texts(rows=90)
    encoding = encoding_of(values, training=60)
    steps, arrays = json.loads(json.dumps(encoding.as_dict())), load(save(encoding.arrays()))
    again = Encoding.from_dict(steps, arrays)
    np.testing.assert_array_equal(again.apply({"c": column(values)})[0], encoding.apply({"c": column(values)})[0])
    alone = np.vstack([again.apply({"c": column([text])})[0] for text in values])
    np.testing.assert_array_equal(alone, encoding.apply({"c": column(values)})[0])
    assert again.features == encoding.features
    assert json.dumps(steps).count("great") == 0  # words are in the arrays


def test_texts_whose_words_never_recur_are_dropped() -> None:
    assert "no word of it" in encoding_of([f"w{i}a w{i}b" for i in range(40)], 40).described()[0]["treatment"]


def test_what_it_learns_is_bounded() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(30_000)]
    values = [" ".join(rng.choice(words, 300)) for _ in range(1000)] + ["w1 w2 " + "é" * 10**6, "w1 " * 10**6]
    found = fit_text("c", column(values), columns=1)
    assert found is not None
    assert (len(found.words), len(found.components)) == (MOST_WORDS, MOST_DIMENSIONS)
    shared = fit_text("c", column(values), columns=100)
    assert shared is not None
    assert (len(shared.words), len(shared.components)) == (500, 8)
    far = "w5 " * MOST_CHARACTERS + "w9"
    np.testing.assert_array_equal(found.apply(column([far]))[0], found.apply(column([far[:-3]]))[0])
