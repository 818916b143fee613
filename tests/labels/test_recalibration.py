"""Trusted rows correct what is said of the others: the truth is known here, because the rows are drawn from it."""

from __future__ import annotations

import numpy as np
import pytest

from hposvc.labels.classifiers import Floats
from hposvc.labels.recalibration import Scores, doubt, recalibrate


def scores(rng: np.random.Generator, rows: int, *, difficult: float) -> Floats:
    """Probabilities to be wrong, as a model gives them to right labels: high ones for a share of ``difficult`` rows."""
    return np.where(rng.random(rows) < difficult, rng.beta(6, 2, rows), rng.beta(1, 40, rows))


def alike(said: Floats) -> Scores:
    """The features say the same of these rows as the probabilities."""
    return Scores(said, np.log(said / (1 - said)))


def test_difficulty_that_trusted_rows_have_too_is_no_noise() -> None:
    """On average: a sample of 150 trusted rows is by chance less difficult than the others, or more."""
    shares = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        said, of_trusted = scores(rng, 2_000, difficult=0.15), scores(rng, 150, difficult=0.15)
        shares.append(recalibrate(alike(said), alike(of_trusted)).wrong.sum() / said.sum())
    assert np.mean(shares) < 0.35


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_are_wrong_are_counted_though_the_model_is_too_modest(seed: int) -> None:
    """A fifth of the rows are wrong and look like no right one, and the model believes one in nine of them to be."""
    rng = np.random.default_rng(seed)
    said = np.concatenate([rng.beta(1, 60, 1_600), rng.beta(2, 16, 400)])
    found = recalibrate(alike(said), alike(rng.beta(1, 60, 300)))
    assert said.sum() < 100
    assert 200 < found.wrong.sum() < 700
    assert (np.diff(found.wrong[np.argsort(said)]) >= 0).all()


def test_few_trusted_rows_leave_what_was_sure() -> None:
    rng = np.random.default_rng(0)
    said = np.concatenate([np.full(180, 0.002), np.full(20, 0.998)])
    found = recalibrate(alike(said), alike(rng.uniform(0.001, 0.003, 8)))
    assert found.wrong[180:].min() > 0.97
    assert found.wrong[:180].max() < 0.03
    assert found.weights.sum() == pytest.approx(1)


def test_wrong_rows_that_no_noise_matrix_describes_are_found_by_their_doubt() -> None:
    """The noise matrix says nothing, a fifth of the rows contradict their features, and hardly a trusted row does."""
    rng = np.random.default_rng(0)
    doubts = np.concatenate([rng.normal(-4, 1.5, 800), rng.normal(2, 1, 200)])
    nothing = np.full(1000, 0.002)
    found = recalibrate(Scores(nothing, doubts), Scores(nothing[:60], rng.normal(-4, 1.5, 60)))
    assert 120 < found.wrong.sum() < 280
    assert found.wrong[800:].mean() > 0.5
    assert found.wrong[:800].mean() < 0.1


def test_trusted_rows_with_the_same_doubt_say_that_it_is_difficulty() -> None:
    rng = np.random.default_rng(0)
    doubts = np.concatenate([rng.normal(-4, 1.5, 800), rng.normal(2, 1, 200)])
    nothing = np.full(1000, 0.002)
    found = recalibrate(Scores(nothing, doubts), Scores(nothing[:60], rng.choice(doubts, 60)))
    assert found.wrong.mean() < 0.03


def test_doubt_compares_the_label_with_the_likeliest_other_class() -> None:
    opinion = np.array([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(doubt(opinion, np.array([0, 2, 1])), [np.log(0.5), np.log(6), 9], atol=1e-4)
