"""What the sentence of a result says, and when it says that a difference may be chance."""

from __future__ import annotations

import numpy as np
import pytest

from hposvc.run.sentence import SentenceParts, compose, compose_of_labels, within_chance
from hposvc.schema.result import Candidate, WrongRows

MODELS = [
    Candidate(name="tuned", test_score=0.95, test_loss=0.2),
    Candidate(name="both", test_score=0.9, test_loss=0.3),
    Candidate(name="trusted_only", test_score=0.9, test_loss=0.4),
]
WRONG = WrongRows(expected=20.2, low=11.0, high=31.9, rows=100)


@pytest.mark.parametrize(
    ("only_ours", "only_theirs", "rows", "chance"),
    [(1, 0, 36, True), (12, 9, 359, True), (30, 5, 359, False), (5, 30, 359, False), (4, 4, 100, False)],
)
def test_models_that_disagree_on_few_rows_may_differ_by_chance(
    only_ours: int, only_theirs: int, rows: int, *, chance: bool
) -> None:
    """Rows that only one of the two models gets right; where they are as many, nothing differs."""
    ours, theirs = np.ones(rows), np.ones(rows)
    theirs[:only_ours] = 0
    ours[only_ours : only_ours + only_theirs] = 0
    assert within_chance(ours, theirs) is chance


@pytest.mark.parametrize("by_chance", [True, False])
def test_the_sentence_says_how_many_labels_are_wrong_and_whether_a_gain_may_be_chance(*, by_chance: bool) -> None:
    said = compose_of_labels(
        MODELS, "corrected", "both", WRONG, 19, score="accuracy", trusted=10, picked=False, by_chance=by_chance
    )
    assert "About 20 of 100 labels are wrong (11 to 32 with 90 % confidence); 19 rows are suspects." in said
    assert "better than the best rival, training and trusted rows together (accuracy 90.00 % and loss 0.3000)" in said
    assert said.endswith("which may be chance." if by_chance else "loss 0.3000).")


def test_the_sentence_says_when_the_number_of_wrong_labels_cannot_be_told() -> None:
    open_ended = WrongRows(expected=1.5, low=0, high=100, rows=100)
    said = compose_of_labels(
        MODELS, "corrected", "both", open_ended, 0, score="accuracy", trusted=10, picked=False, by_chance=False
    )
    assert said.startswith("The features say too little about the labels to tell how many of 100 are wrong. ")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (0.93601, "as good as the best rival"),
        (0.9361, "no better than"),
        (0.9359, "better than the best"),
    ],
)
def test_what_reads_the_same_is_as_good(other: float, said: str) -> None:
    models = [
        Candidate(name="tuned", label="tuned", test_score=0.936, test_loss=0.2),
        Candidate(name="all_rows", label="all", test_score=other, test_loss=0.3),
    ]
    parts = SentenceParts("tuned weights", "all_rows", "score")
    sentence = compose(models, "tuned", "all_rows", parts, "accuracy")
    assert said in sentence
    assert "accuracy 93.60 %" in sentence
