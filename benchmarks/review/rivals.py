"""The same reviewer in other orders: by chance, and as cleanlab ranks rows. Runs in the rivals' environment.

Reads the path of an NPZ file from standard input, and prints a line of JSON: by order, the wrong rows left and the test
accuracy before the first round and after each. The model is logistic regression, its penalty chosen by cross-validation
on the labels as they stand.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_val_score

Arrays = dict[str, NDArray[Any]]
Integers = NDArray[np.int64]
STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # C of logistic regression


def fitted(x: Any, labels: Integers) -> LogisticRegression:
    """Logistic regression with the best penalty."""
    scores = [
        cross_val_score(LogisticRegression(C=c, max_iter=300), x, labels, cv=3, scoring="neg_log_loss").mean()
        for c in STRENGTHS
    ]
    return LogisticRegression(C=STRENGTHS[int(np.nanargmax(scores))], max_iter=500).fit(x, labels)


def by_cleanlab(x: Any, labels: Integers, model: LogisticRegression) -> Integers:
    """Rows as cleanlab ranks them: its issues first, then all by the quality of the label."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    codes = np.unique(labels, return_inverse=True)[1]
    q = cross_val_predict(LogisticRegression(C=model.C, max_iter=500), x, codes, cv=folds, method="predict_proba")
    issues = find_label_issues(codes, q, n_jobs=1)
    return np.lexsort((get_label_quality_scores(codes, q), ~issues))


def by_chance(x: Any, labels: Integers, _: LogisticRegression) -> Integers:
    """Rows in an order that knows nothing."""
    return np.random.default_rng(0).permutation(len(labels))


def reviewed(arrays: Arrays, order: Callable[[Any, Integers, LogisticRegression], Integers]) -> list[list[float]]:
    """Wrong rows left and test accuracy, before the first round and after each."""
    x, truth = arrays["x"], arrays["truth"]
    labels, checked = arrays["given"].copy(), np.zeros(len(truth), dtype=bool)
    found = []
    for _ in range(int(arrays["rounds"]) + 1):
        model = fitted(x, labels)
        accuracy = float(model.score(arrays["x_test"], arrays["y_test"]))
        found.append([int((labels != truth).sum()), accuracy])
        ranked = order(x, labels, model)
        looked_at = ranked[~checked[ranked]][: int(arrays["rows"])]
        labels[looked_at], checked[looked_at] = truth[looked_at], True
    return found


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for line in sys.stdin:
        with np.load(line.strip(), allow_pickle=False) as file:
            loaded = dict(file)
        print(
            json.dumps({"cleanlab": reviewed(loaded, by_cleanlab), "chance": reviewed(loaded, by_chance)}), flush=True
        )
