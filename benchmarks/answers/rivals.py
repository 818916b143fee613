"""What people would do instead, on the arrays that a job learns from: runs in the rivals' environment.

Reads ``python rivals.py`` lines ``INPUT.npz`` from standard input; prints a line of JSON for each: measures by rival.
All rivals of labels share one model, logistic regression or a network of one hidden layer, whose penalty is chosen by
cross-validation on the labels as they were given.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import measures
import numpy as np
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import (
    ARDRegression,
    ElasticNetCV,
    LassoCV,
    LogisticRegression,
    LogisticRegressionCV,
    RidgeCV,
)
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Judged = dict[str, float]

FOLDS = 5
STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # C of logistic regression


def model_of(arrays: Arrays) -> Any:
    """The model that all rivals share, its penalty chosen on the labels as given."""
    if int(arrays["hidden"]):
        return MLPClassifier(
            (int(arrays["hidden"]),), early_stopping=len(arrays["given"]) > 200, max_iter=200, random_state=0
        )
    x, y = arrays["x"], arrays["given"]
    scores = {
        c: cross_val_score(LogisticRegression(C=c, max_iter=200), x, y, cv=3, scoring="neg_log_loss").mean()
        for c in STRENGTHS
    }
    return LogisticRegression(C=max(scores, key=lambda c: np.nan_to_num(scores[c], nan=-np.inf)), max_iter=500)


def probabilities(model: Any, x: Floats, classes: int) -> Floats:
    """What a fitted model says of ``x``, a column for every class, those included that it has not seen."""
    found = np.full((len(x), classes), 1e-9)
    found[:, model.classes_] = np.maximum(model.predict_proba(x), 1e-9)
    return found / found.sum(1, keepdims=True)


def cross_fitted(model: Any, arrays: Arrays, *, trusted: bool) -> Floats:
    """Probabilities of each row by models that have not seen it; with the trusted rows in every fold if asked for."""
    x, y, k = arrays["x"], arrays["given"], int(arrays["classes"])
    q = np.empty((len(y), k))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for kept, held_out in folds.split(x, y):
        features, labels = x[kept], y[kept]
        if trusted:
            features = np.vstack([features, arrays["x_trusted"]])
            labels = np.concatenate([labels, arrays["y_trusted"]])
        q[held_out] = probabilities(clone(model).fit(features, labels), x[held_out], k)
    return q


def judged(arrays: Arrays, suspicion: Floats, flagged: NDArray[np.bool_], test: Floats) -> Judged:
    """All measures of one rival."""
    return measures.of_ranking(suspicion, flagged, arrays["wrong"]) | measures.of_probabilities(test, arrays["y_test"])


def confident_learning(model: Any, arrays: Arrays, *, trusted: bool) -> Judged:
    """cleanlab: its issues are left out of the training rows (Northcutt et al., 2021)."""
    x, y, k = arrays["x"], arrays["given"], int(arrays["classes"])
    q = cross_fitted(model, arrays, trusted=trusted)
    flagged = find_label_issues(y, q, n_jobs=1)
    features, labels = x[~flagged], y[~flagged]
    if trusted:
        features = np.vstack([features, arrays["x_trusted"]])
        labels = np.concatenate([labels, arrays["y_trusted"]])
    test = probabilities(clone(model).fit(features, labels), arrays["x_test"], k)
    return judged(arrays, 1 - q[np.arange(len(y)), y], flagged, test)


def trusted_model(model: Any, arrays: Arrays) -> Judged:
    """What a model of the trusted rows alone says of the labels; that model is handed over."""
    x, y, k = arrays["x"], arrays["given"], int(arrays["classes"])
    if len(np.unique(arrays["y_trusted"])) < 2:
        return {}
    fitted = clone(model)
    if isinstance(fitted, MLPClassifier):
        fitted.set_params(early_stopping=False)
    fitted.fit(arrays["x_trusted"], arrays["y_trusted"])
    suspicion = 1 - probabilities(fitted, x, k)[np.arange(len(y)), y]
    return judged(arrays, suspicion, suspicion > 0.5, probabilities(fitted, arrays["x_test"], k))


def out_of_bag(model: Any, arrays: Arrays) -> Judged:
    """Data-OOB (Kwon and Zou, 2023): how many trees that have not seen a row vote for its label."""
    x, y, k = arrays["x"], arrays["given"], int(arrays["classes"])
    forest = RandomForestClassifier(200, oob_score=True, random_state=0).fit(x, y)
    votes = np.zeros((len(y), k))
    votes[:, forest.classes_] = np.nan_to_num(forest.oob_decision_function_)
    value = votes[np.arange(len(y)), y]
    flagged = votes.argmax(1) != y
    kept = clone(model).fit(x[~flagged], y[~flagged])
    return judged(arrays, 1 - value, flagged, probabilities(kept, arrays["x_test"], k))


def gold_loss_correction(model: Any, arrays: Arrays) -> Judged:
    """A noise matrix estimated on the trusted rows, and a model trained through it (Hendrycks et al., 2018)."""
    from scipy.optimize import minimize

    x, y, k = arrays["x"], arrays["given"], int(arrays["classes"])
    base = clone(model).fit(x, y)
    said = probabilities(base, arrays["x_trusted"], k)
    noise = np.eye(k)
    for c in range(k):
        if (arrays["y_trusted"] == c).any():
            noise[c] = said[arrays["y_trusted"] == c].mean(0)
    features = np.vstack([x, arrays["x_trusted"]])
    given = np.concatenate([noise.T[y], np.eye(k)[arrays["y_trusted"]]])  # P(label | class), (n, k)
    penalty = 1 / getattr(model, "C", 1.0)

    def softmax(w: Floats, rows: Floats) -> Floats:
        z = rows @ w[:-1] + w[-1]
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def loss(flat: Floats) -> tuple[float, Floats]:
        w = flat.reshape(-1, k)
        q = softmax(w, features)
        joint = q * given
        total = joint.sum(1, keepdims=True) + 1e-12
        residual = q - joint / total
        gradient = np.vstack([features.T @ residual + penalty * w[:-1], residual.sum(0)])
        return float(-np.log(total).sum() + penalty / 2 * (w[:-1] ** 2).sum()), gradient.ravel()

    w = minimize(loss, np.zeros((x.shape[1] + 1) * k), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    w = w.reshape(-1, k)
    posterior = softmax(w, x) * noise.T[y]
    suspicion = 1 - posterior[np.arange(len(y)), y] / (posterior.sum(1) + 1e-12)
    return judged(arrays, suspicion, suspicion > 0.5, softmax(w, arrays["x_test"]))


def all_rows(model: Any, arrays: Arrays) -> Judged:
    """No question asked: every label is taken as right, and rows are looked at in any order."""
    y, k = arrays["given"], int(arrays["classes"])
    suspicion = np.random.default_rng(0).random(len(y))
    test = probabilities(clone(model).fit(arrays["x"], y), arrays["x_test"], k)
    return judged(arrays, suspicion, np.zeros(len(y), dtype=bool), test)


def of_labels(arrays: Arrays) -> dict[str, Judged]:
    """Every rival on one cell."""
    methods: dict[str, Callable[[Any, Arrays], Judged]] = {
        "random": all_rows,
        "cleanlab": lambda model, arrays: confident_learning(model, arrays, trusted=False),
        "Data-OOB": out_of_bag,
    }
    if len(arrays["y_trusted"]):
        methods["cleanlab, trusted rows too"] = lambda model, arrays: confident_learning(model, arrays, trusted=True)
        methods["trusted model"] = trusted_model
        if not int(arrays["hidden"]):
            methods["noise matrix (GLC)"] = gold_loss_correction
    return _timed(model_of(arrays), methods, arrays)


def of_strengths(arrays: Arrays) -> dict[str, Judged]:
    """scikit-learn's cross-validated penalties, and Optuna's TPE over a strength for every feature in the same time."""
    x, y, x_test, y_test = (arrays[name] for name in ("x", "given", "x_test", "y_test"))
    if int(arrays["classes"]):

        def logistic(penalty: str) -> Callable[[Any, Arrays], Judged]:
            solver = LogisticRegressionCV(
                Cs=10,
                cv=5,
                scoring="neg_log_loss",
                solver="saga",
                tol=1e-2,
                max_iter=300,
                l1_ratios=[float(penalty == "l1")],
                use_legacy_attributes=False,
            )
            return lambda *_: measures.of_probabilities(
                probabilities(solver.fit(x, y), x_test, int(arrays["classes"])), y_test
            )

        return _timed(
            None, {"LogisticRegressionCV, l2": logistic("l2"), "LogisticRegressionCV, l1": logistic("l1")}, arrays
        )

    def mean_square(model: Any) -> Callable[[Any, Arrays], Judged]:
        return lambda *_: {"loss": float(((model.fit(x, y).predict(x_test) - y_test) ** 2).mean())}

    models = {
        "RidgeCV": RidgeCV(np.logspace(-3, 5, 33)),
        "LassoCV": LassoCV(cv=10),
        "ElasticNetCV": ElasticNetCV(cv=10, l1_ratio=[0.1, 0.5, 0.9, 1.0]),
        "ARDRegression": ARDRegression(),
    }
    methods = {name: mean_square(model) for name, model in models.items()}
    methods["Optuna (TPE), a strength for each feature"] = lambda *_: {
        "loss": searched(arrays, float(arrays["seconds"]))
    }
    return _timed(None, methods, arrays)


def searched(arrays: Arrays, seconds: float) -> float:
    """The test loss of ridge regression with a strength for each feature, by TPE over ten folds in ``seconds``."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    x, y = arrays["x"], arrays["given"]
    folds = np.arange(len(y)) % 10

    def fit(rows: NDArray[np.bool_], strengths: Floats) -> Floats:
        return np.linalg.solve(x[rows].T @ x[rows] + np.diag(strengths), x[rows].T @ y[rows])

    def loss(trial: Any) -> float:
        strengths = np.exp([trial.suggest_float(str(j), -3, 9) for j in range(x.shape[1])])
        return float(
            np.mean([((x[folds == f] @ fit(folds != f, strengths) - y[folds == f]) ** 2).mean() for f in range(10)])
        )

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(loss, timeout=seconds)
    strengths = np.exp([study.best_params[str(j)] for j in range(x.shape[1])])
    w = fit(np.ones(len(y), dtype=bool), strengths)
    return float(((arrays["x_test"] @ w - arrays["y_test"]) ** 2).mean())


def _timed(model: Any, methods: dict[str, Callable[[Any, Arrays], Judged]], arrays: Arrays) -> dict[str, Judged]:
    found = {}
    for name, method in methods.items():
        begun = time.perf_counter()
        values = method(model, arrays)
        if values:
            found[name] = values | {"seconds": time.perf_counter() - begun}
    return found


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for line in sys.stdin:
        with np.load(line.strip(), allow_pickle=False) as file:
            loaded = dict(file)
        print(json.dumps((of_strengths if str(loaded["question"]) == "strengths" else of_labels)(loaded)), flush=True)
