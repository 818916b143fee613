"""The result of a job in two or three sentences, and which of the rivals is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hposvc.schema import figures
from hposvc.schema.result import Candidate, WrongRows

Floats = NDArray[np.float64]

TITLES = {
    "tuned": "tuned",
    "tuned_lambda": "the tuned λ",
    "start": "λ as it started",
    "corrected": "labels corrected by their analysis",
    "per_feature": "a tuned strength for each feature",
    "averaged": "average of ridge, lasso and adaptive lasso",
    "ridge": "best ridge",
    "lasso": "best lasso",
    "adaptive_lasso": "best adaptive lasso",
    "all_rows": "all training rows as they came",
    "trusted_only": "trusted rows only",
    "both": "training and trusted rows together",
    "no_penalty": "no penalty",
    "single_strength": "best single strength",
}

OURS = ("tuned", "tuned_lambda", "start", "corrected", "averaged", "per_feature")
"""The candidates that are not rivals: what people would do instead."""


@dataclass(frozen=True)
class SentenceParts:
    """What the sentence speaks of: what was tuned, the candidate to begin from, and what decides between two."""

    what: str
    reference: str
    by: Literal["score", "loss"]


def best_of_rivals(models: Sequence[Candidate], by: Literal["score", "loss"]) -> str:
    """The name of the best rival: the highest test score of those shown, ties by test loss; or by loss alone."""

    def key(model: Candidate) -> tuple[float, float]:
        score = 0.0 if model.test_score is None else -figures.shown(model.test_score)
        return (score if by == "score" else 0.0, float("inf") if model.test_loss is None else model.test_loss)

    rivals = [model for model in models if model.name not in OURS]
    return str(min(rivals, key=key).name)


def compose(models: Sequence[Candidate], chosen: str, best_rival: str, parts: SentenceParts, score: str) -> str:
    """The sentence of a job that tuned weights or strengths."""
    what = parts.what
    if chosen == "averaged":
        models_ = "The average of ridge, lasso and adaptive lasso models, by how well they predict held-out rows,"
        verdict = f"{_verdict(models, best_rival, parts.by)} ({_told(models, best_rival, score)})"
        reference = _reference(models, best_rival, parts, score)
        return f"{models_} gives a test {_told(models, 'tuned', score)}: {verdict}. {reference}".strip()
    if chosen != "tuned":
        return (
            f"Nothing was gained: on the selection rows the {what} were no better than {TITLES[chosen]}, "
            f"so that is the answer, with test {_told(models, 'tuned', score)}."
        )
    gives = f"The {what} give a test {_told(models, 'tuned', score)}: {_verdict(models, best_rival, parts.by)}"
    return f"{gives} ({_told(models, best_rival, score)}). {_reference(models, best_rival, parts, score)}".strip()


def within_chance(ours: Floats, theirs: Floats) -> bool:
    """Whether the scores of the same rows by two models, (n,) each, differ by less than two standard errors."""
    difference = ours - theirs
    return bool(0 < abs(difference.mean()) <= 2 * difference.std() / np.sqrt(len(difference)))


def compose_of_labels(
    models: Sequence[Candidate],
    chosen: str,
    best_rival: str,
    wrong: WrongRows,
    suspects: int,
    *,
    score: str,
    trusted: int | None,
    picked: bool,
    by_chance: bool,
) -> str:
    """The sentence of a job that analysed its labels.

    ``trusted`` is None where no row is known to be right, ``picked`` says that a review picked them; ``by_chance`` is
    whether chance explains by how much the chosen candidate and the best rival differ on the test rows.
    """
    low, high, expected = (round(value or 0) for value in (wrong.low, wrong.high, wrong.expected))
    if wrong.cannot_be_told:
        found = f"The features say too little about the labels to tell how many of {wrong.rows:,} are wrong."
    elif high == 0 or expected == 0:
        found = f"No label of {wrong.rows:,} rows seems wrong (at most {high:,} may be)."
    else:
        found = (
            f"About {expected:,} of {wrong.rows:,} labels are wrong ({low:,} to {high:,} with 90 % confidence); "
            f"{figures.plural(suspects, 'row is a suspect', 'rows are suspects')}."
        )
    if chosen not in OURS:
        model = (
            f"Correcting labels gained nothing: on held-out trusted rows {TITLES[chosen]} were better by more than "
            f"chance, so that is the answer, with test {_told(models, 'tuned', score)}."
        )
    else:
        model = (
            f"The model trained with corrected labels has test {_told(models, 'tuned', score)}: "
            f"{_verdict(models, best_rival, 'score')} ({_told(models, best_rival, score)})"
            f"{', which may be chance' if by_chance else ''}."
        )
    if trusted is None:
        return (
            f"{found} {model} No row is known to be right, so test labels may be wrong, too: check some rows by hand "
            "(the result says which would tell most), and run the job again with them as trusted rows."
        )
    if picked:
        return (
            f"{found} {model} The test rows are reviewed rows, picked because their labels looked wrong: on other rows "
            "the model may do better."
        )
    return f"{found} {model}"


def _told(models: Sequence[Candidate], name: str, score: str) -> str:
    model = next(model for model in models if model.name == name)
    return f"{score} {figures.score(model.test_score or 0, score)} and loss {figures.number(model.test_loss or 0)}"


def _verdict(models: Sequence[Candidate], rival: str, by: Literal["score", "loss"]) -> str:
    by_name = {model.name: model for model in models}
    tuned, other = by_name["tuned"], by_name[rival]
    scores = tuple(figures.shown(model.test_score or 0) for model in (tuned, other))
    losses = tuned.test_loss or 0.0, other.test_loss or 0.0
    named = f"the best rival, {TITLES[rival]}"
    if by == "score" and scores[0] == scores[1]:
        return f"as good as {named}, with a {'lower' if losses[0] < losses[1] else 'higher'} loss"
    better = scores[0] > scores[1] if by == "score" else losses[0] < losses[1]
    return f"better than {named}" if better else f"no better than {named}"


def _reference(models: Sequence[Candidate], best_rival: str, parts: SentenceParts, score: str) -> str:
    if parts.reference == best_rival:
        return ""
    title = TITLES[parts.reference]
    return f"{title[0].upper()}{title[1:]}: {_told(models, parts.reference, score)}."
