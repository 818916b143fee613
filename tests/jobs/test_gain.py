"""What a list says that a job gained."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hposvc.jobs.gain import Gained, gained
from hposvc.schema.spec import Kind


def model(name: str, score: float | None, loss: float | None, label: str = "") -> dict[str, Any]:
    return {"name": name, "label": label or name, "test_score": score, "test_loss": loss}


@pytest.mark.parametrize(
    ("kind", "score_name", "models", "wanted"),
    [
        ("data_reweighting", "accuracy", [model("tuned", 0.95, 1), model("all", 0.9, 2)], Gained(0.05, "score")),
        ("data_reweighting", "accuracy", [model("tuned", 0.9, 1), model("all", 0.9, 2)], Gained(0.5, "loss")),
        ("data_reweighting", "r2", [model("tuned", 0.9, 3), model("all", 0.8, 2)], Gained(-0.5, "loss")),
        ("regularization_tuning", "accuracy", [model("tuned", 0.9, 1), model("a", 1, 4)], Gained(0.75, "loss")),
        ("regularization_tuning", "accuracy", [model("tuned", 0.9, math.nan), model("a", 1, 4)], None),
        ("data_reweighting", "accuracy", [model("tuned", 0.9, 1)], None),
        ("data_reweighting", "accuracy", [model("all", 0.9, 1)], None),
        ("data_reweighting", "accuracy", [], None),
        (
            "data_reweighting",
            "accuracy",
            [model("tuned", 0.9, 1, "tuned (nothing gained: all rows)"), model("all", 0.8, 2)],
            Gained(0.0, "score"),
        ),
    ],
)
def test_the_gain_is_over_the_best_other_candidate(
    kind: Kind, score_name: str, models: list[dict[str, Any]], wanted: Gained | None
) -> None:
    found = gained(kind, {"score_name": score_name, "models": models})
    assert found == (None if wanted is None else (pytest.approx(wanted.gain), wanted.gain_in))


def test_the_candidate_that_the_result_names_is_the_rival() -> None:
    models = [model("tuned", 0.9, 1), model("a", 0.8, 2), model("b", 0.85, 2)]
    found = gained("data_reweighting", {"score_name": "accuracy", "models": models, "best_rival": "a"})
    assert found is not None
    assert found.gain == pytest.approx(0.1)
