"""Wrong labels where the model is a network: what a linear model cannot see, and more rows than are trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from hposvc.labels import networks
from hposvc.labels.classifiers import Floats, Integers, Parameters, RowLosses, SoftmaxRegression
from hposvc.labels.cross_fit import Labels

TRUSTED = 40


class Quadratic:
    """Softmax regression on features and their squares; counts the rows that it is trained on."""

    def __init__(self) -> None:
        self.linear = SoftmaxRegression()
        self.rows: list[int] = []

    def fit(
        self, features: Floats, rows: RowLosses, penalty: float, *, start: Parameters | None = None, steps: int = 30
    ) -> Parameters:
        self.rows.append(len(features))
        return self.linear.fit(self._expanded(features), rows, penalty, start=start, steps=steps)

    def fit_folds(
        self,
        features: Floats,
        rows: RowLosses,
        kept: NDArray[np.bool_],
        penalty: float,
        *,
        starts: Sequence[Parameters] | None = None,
        steps: int = 30,
    ) -> list[Parameters]:
        self.rows += kept.sum(1).tolist()
        return self.linear.fit_folds(self._expanded(features), rows, kept, penalty, starts=starts, steps=steps)

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        return self.linear.predict(parameters, self._expanded(features))

    def _expanded(self, features: Floats) -> Floats:
        return np.hstack([features, features**2])


def rings(rows: int, rate: float, seed: int = 0) -> tuple[Labels, Integers]:
    """Two classes, one around the other, ``rate`` of whose labels are wrong: no line divides them. And the truth."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows + TRUSTED, 2))
    truth = ((features**2).sum(1) > 1.4).astype(np.int64)
    given = truth[:rows].copy()
    wrong = rng.choice(rows, round(rate * rows), replace=False)
    given[wrong] = 1 - given[wrong]
    return Labels(features[:rows], given, features[rows:], truth[rows:], 2), truth[:rows]


def test_a_network_sees_what_a_linear_model_does_not() -> None:
    labels, truth = rings(600, 0.2)
    found = networks.analyse_network(labels, Quadratic())
    wrong = labels.given != truth
    assert roc_auc_score(wrong, found.probability_wrong) > 0.95
    assert (found.suspects & wrong).sum() > 0.7 * found.suspects.sum() > 0
    assert found.wrong_rows.low <= wrong.sum() <= found.wrong_rows.high
    assert found.held_out["posterior"].mean() < found.held_out["both"].mean()


def test_nothing_is_claimed_of_right_labels() -> None:
    labels, _ = rings(600, 0.0)
    found = networks.analyse_network(labels, Quadratic())
    assert found.suspects.mean() <= 0.03


def test_many_rows_are_asked_about_by_networks_that_were_trained_on_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MOST_WORK", 4000.0)  # a thousand rows of two features and two classes
    labels, truth = rings(2500, 0.2)
    network = Quadratic()
    found = networks.analyse_network(labels, network)
    assert max(network.rows) <= 1000 + TRUSTED
    assert found.probability_wrong.shape == found.suspects.shape == (2500,)
    assert roc_auc_score(labels.given != truth, found.probability_wrong) > 0.95
