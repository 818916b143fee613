"""Ranked rows as JSON: whatever a column holds."""

from __future__ import annotations

import json
from datetime import date

import pyarrow as pa

from api.http import rows


def test_every_kind_of_value_is_json() -> None:
    table = pa.table(
        {
            "finite": [1.5, None, -2.0],
            "not finite": [1.5, float("nan"), float("inf")],
            "number": pa.array([1, None, 2**53], pa.int64()),
            "text": ['"', None, "Ærø\n"],
            "truth": [True, False, None],
            "code": pa.array(["a", "b", "a"]).dictionary_encode(),
            "day": [date(2026, 1, 2), None, date(1999, 12, 31)],
            "list": [[1.0, float("-inf")], [], None],
        }
    )
    sent = json.loads(b"".join(rows._json(iter(table.to_batches(2)))))
    wanted = {
        "finite": [1.5, None, -2.0],
        "not finite": [1.5, "NaN", "Infinity"],
        "number": [1, None, 2**53],
        "text": ['"', None, "Ærø\n"],
        "truth": [True, False, None],
        "code": ["a", "b", "a"],
        "day": ["2026-01-02", None, "1999-12-31"],
        "list": [[1.0, "-Infinity"], [], None],
    }
    assert {name: [row[name] for row in sent["items"]] for name in wanted} == wanted
    assert json.loads(b"".join(rows._json(iter([])))) == {"items": []}
