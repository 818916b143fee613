"""Trusted rows correct what is said of the others: the truth is known here, because the rows are drawn from it."""

from __future__ import annotations

import numpy as np
import pytest

from hposvc.labels.classifiers import Floats
from hposvc.labels.recalibration import recalibrate


def scores(rng: np.random.Generator, rows: int, *, difficult: float) -> Floats:
    """Probabilities to be wrong, as a model gives them to right labels: high ones for a share of ``difficult`` rows."""
    return np.where(rng.random(rows) < difficult, rng.beta(6, 2, rows), rng.beta(1, 40, rows))


def test_difficulty_that_trusted_rows_have_too_is_no_noise() -> None:
    """On average: a sample of 150 trusted rows is by chance less difficult than the others, or more."""
    shares = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        said, of_trusted = scores(rng, 2_000, difficult=0.15), scores(rng, 150, difficult=0.15)
        shares.append(recalibrate(said, of_trusted).wrong.sum() / said.sum())
    assert np.mean(shares) < 0.35


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_are_wrong_are_counted_though_the_model_is_too_modest(seed: int) -> None:
    """A fifth of the rows are wrong and look like no right one, and the model believes one in nine of them to be."""
    rng = np.random.default_rng(seed)
    said = np.concatenate([rng.beta(1, 60, 1_600), rng.beta(2, 16, 400)])
    found = recalibrate(said, rng.beta(1, 60, 300))
    assert said.sum() < 100
    assert 200 < found.wrong.sum() < 700
    assert (np.diff(found.wrong[np.argsort(said)]) >= 0).all()


def test_few_trusted_rows_leave_what_was_sure() -> None:
    rng = np.random.default_rng(0)
    said = np.concatenate([np.full(180, 0.002), np.full(20, 0.998)])
    found = recalibrate(said, rng.uniform(0.001, 0.003, 8))
    assert found.wrong[180:].min() > 0.97
    assert found.wrong[:180].max() < 0.03
    assert found.weights.sum() == pytest.approx(1)
