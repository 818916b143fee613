"""What is made of columns: by the training rows only, and the same for every row that comes later."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from hposvc.tables import Encoding, Kind, fit


def fitted(values: list[object], kind: Kind, training: int | None = None) -> Encoding:
    rows = np.arange(len(values) if training is None else training)
    return fit({"c": pa.chunked_array([values])}, {"c": kind}, {}, rows)


def test_what_is_missing_becomes_the_median_of_the_training_rows() -> None:
    encoding = fitted([1.0, None, 3.0, 100.0, None], "number", training=3)
    features, _ = encoding.apply({"c": pa.chunked_array([[None, 7.0]])})
    assert encoding.features == ("c", "c is missing")
    assert features.tolist() == [[2.0, 1.0], [7.0, 0.0]]
    assert encoding.scaled.tolist() == [True, False]


def test_categories_are_those_of_the_training_rows_and_others_share_a_feature() -> None:
    values = ["red"] * 5 + ["blue"] * 4 + ["rare"] + ["late"] * 9
    encoding = fitted(list(values), "text", training=10)
    assert encoding.features == ("c = blue", "c = red", "c = (other)")
    features, warnings = encoding.apply({"c": pa.chunked_array([["red", "late", "never", None]])})
    assert features.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert warnings == []


def test_two_categories_are_one_feature_and_strangers_are_told() -> None:
    encoding = fitted(["no", "yes"] * 5, "text")
    features, warnings = encoding.apply({"c": pa.chunked_array([["yes", "no", "perhaps"]])})
    assert (encoding.features, features.tolist()) == (("c = yes",), [[1], [0], [0]])
    assert warnings == ["1 values of 'c' were not among the training rows: they count as none"]


def test_at_most_fifty_categories_have_a_feature_each() -> None:
    encoding = fitted([f"v{i % 80:02d}" for i in range(800)], "text")
    assert len(encoding.features) == 51


def test_columns_that_say_nothing_are_dropped_with_the_reason() -> None:
    for values, kind, reason in (
        ([1.0] * 9 + [2.0], "number", "same value"),
        ([None] * 9 + [2.0], "number", "no value"),
        ([f"name {i}" for i in range(200)], "text", "text of its own"),
        (["a"] * 9 + ["b"], "text", "same value"),
    ):
        encoding = fitted(values, kind, training=len(values) - 1)  # type: ignore[arg-type]
        assert encoding.features == ()
        assert reason in encoding.described()[0]["treatment"]


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", "d", ""])), min_size=8, max_size=40))
def test_writing_an_encoding_down_changes_nothing(values: list[str | None]) -> None:
    columns = {
        "c": pa.chunked_array([pa.array(values, pa.string())]),
        "n": pa.chunked_array([pa.array([*range(len(values))])]),
    }
    encoding = fit(columns, {"c": "text", "n": "integer"}, {}, np.arange(6))
    again = Encoding.from_dict(json.loads(json.dumps(encoding.as_dict())))
    np.testing.assert_array_equal(again.apply(columns)[0], encoding.apply(columns)[0])
    assert again.features == encoding.features
