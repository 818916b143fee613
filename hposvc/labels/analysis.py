"""Which labels are wrong, where labels are classes.

A row has a true class c with probability q_c(x) and was given the label j with probability T[c, j]. Both are found by
turns, from models that have not seen the row (``cross_fit``). Nothing is claimed without evidence: the answer is an
average over how much of the noise that was found is really there, weighted by the likelihood of all labels, and "none
of it" is one of the amounts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from hposvc.labels import noise_matrix
from hposvc.labels.classifiers import TINY, Classifier, Floats, Integers, Parameters, join, one_hot, soft
from hposvc.labels.cross_fit import (
    Labels,
    Opinion,
    best_penalty,
    calibrate,
    cross_fit,
    forward,
    log_likelihood,
)
from hposvc.labels.explanation import (
    LEAST_SIGNAL,
    WIDENING,
    Explanation,
    WrongRows,
    first_noise,
    nearly_right,
    of_checked,
    posterior_of_all,
    without_features,
    wrong_of_all,
)
from hposvc.labels.forest import Forest
from hposvc.labels.judgement import Judgement, judge
from hposvc.labels.second_opinion import hear

PENALTIES = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
"""Penalties to try, from strong to weak: ½ · penalty · ‖W‖² beside the sum of the rows' losses."""

AMOUNTS = (1.2, 1.0, 0.85, 0.7, 0.5, 0.3, 0.15, 0.0)
"""Shares s of the noise that was found, T_s = (1 − s) I + s T."""

FEWEST_TO_OVERRULE = 20
"""So many trusted rows at least can speak against the model of the posterior."""


@dataclass(frozen=True)
class Effort:
    """How much is tried."""

    penalties: tuple[float, ...] = PENALTIES
    amounts: tuple[float, ...] = AMOUNTS
    turns: int = 4
    steps: int = 30
    most_work: float = 3e6  # rows · features · classes; more rows than that only see what was chosen


LINEAR = Effort()

FINAL_STEPS = 180
"""Of the model of a candidate, which is handed over."""


@dataclass(frozen=True)
class LabelAnalysis(Judgement):
    """What is known of n unchecked rows in k classes, with m trusted rows.

    Beside what is claimed of each row: ``opinion`` (n, k) is the probability of each class by the features alone,
    ``trusted_opinion`` (m, k) that of trusted rows; ``noise`` (k, k) is T. ``held_out`` has the loss of each trusted
    row under models that have not seen it, (m,), by candidate: ``posterior``, ``both`` (all labels taken as right)
    and, where there are trusted rows, ``trusted_only``; ``penalties`` has the penalty of each candidate.
    """

    opinion: Floats
    trusted_opinion: Floats
    noise: Floats
    held_out: dict[str, Floats]
    penalties: dict[str, float]


class _Start(NamedTuple):
    """Where a climb ended: its value L less T's optimism, and what it found."""

    value: float
    penalty: float
    noise: Floats
    opinion: Opinion
    optimism: float
    pseudo_rows: float


class _Average(NamedTuple):
    """Averages over the amounts of noise: weights and expected numbers of wrong rows by amount."""

    posterior: Floats
    noise: Floats
    weights: Floats
    numbers: Floats
    variances: Floats


def analyse(labels: Labels, classifier: Classifier, effort: Effort = LINEAR) -> LabelAnalysis:
    """Find T, q and the posterior of every row, by ``classifier`` and a forest.

    Costs a few hundred fits of rows · features · classes numbers, where there are more than ``effort.most_work`` on a
    part of the rows, then ten fits of all rows, and four forests.
    """
    return judged(labels, hear(labels, explain(labels, classifier, effort), Forest()).explanation)


def judged(labels: Labels, explanation: Explanation) -> LabelAnalysis:
    """What is claimed of each row by ``explanation``, which trusted rows correct."""
    return LabelAnalysis(
        **vars(judge(labels, explanation)),
        opinion=explanation.opinion.q,
        trusted_opinion=explanation.opinion.q_trusted,
        noise=explanation.noise,
        held_out=explanation.held_out,
        penalties=explanation.penalties,
    )


def explain(labels: Labels, classifier: Classifier, effort: Effort = LINEAR) -> Explanation:
    """How ``classifier`` alone explains the labels."""
    with threadpool_limits(1, user_api="blas"):  # many small products: a second thread costs more than it does
        n = len(labels.given)
        size = max(1000, int(effort.most_work // max(1, labels.features.shape[1] * labels.classes)))
        if n > size:
            chosen = np.random.default_rng(labels.seed).permutation(n)[:size]
            return _extend(labels, classifier, effort, labels.some(np.sort(chosen)))
        return _explain(labels, classifier, effort)[0]


def _explain(labels: Labels, classifier: Classifier, effort: Effort) -> tuple[Explanation, _Average]:
    plain = nearly_right(labels.classes)
    base = best_penalty(labels, classifier, effort.penalties, forward(labels, plain), plain, patience=8.0)
    starts, alone = [first_noise(labels, base[1])], None
    if len(labels.trusted):
        alone = trusted_alone(labels, classifier, effort.penalties, steps=effort.steps)
    if alone is not None and labels.has_judges:
        exact = soft(one_hot(labels.trusted, labels.classes))
        model = classifier.fit(labels.trusted_features, exact, alone[0], steps=2 * effort.steps)
        starts.insert(0, noise_matrix.fit(classifier.predict(model, labels.features), labels.given))
    start = max((_climb(labels, classifier, effort, noise, base) for noise in starts), key=lambda found: found.value)
    likeliest = max(start.value, log_likelihood(labels, base[1].q, base[1].q_trusted, plain))
    features_tell = likeliest - without_features(labels) >= LEAST_SIGNAL
    if not features_tell:
        effort = replace(effort, amounts=(0.0,))
    average = _over_amounts(labels, classifier, effort, start)
    penalty, opinion, posterior = _refine(labels, classifier, start, average)
    trusted = np.arange(len(labels.trusted)), labels.trusted
    held_out = {
        "posterior": -np.log(opinion.q_trusted[trusted] + TINY),
        "both": -np.log(base[1].q_trusted[trusted] + TINY),
    }
    penalties = {"posterior": penalty, "both": base[0], "all_rows": base[0]}
    if alone is not None:
        held_out["trusted_only"] = -np.log(alone[1][trusted] + TINY)
        penalties["trusted_only"] = alone[0]
    explanation = Explanation(
        opinion=opinion,
        posterior=posterior,
        noise=average.noise,
        wrong_rows=_interval(average, wrong_of_all(labels, posterior)[: len(labels.given)]),
        features_tell=features_tell,
        held_out=held_out,
        penalties=penalties,
    )
    return explanation, average


def _extend(labels: Labels, classifier: Classifier, effort: Effort, part: Labels) -> Explanation:
    """What was chosen on ``part`` of the rows, applied to all of them."""
    found, average = _explain(part, classifier, effort)
    penalty = found.penalties["posterior"]
    opinion = cross_fit(labels, classifier, penalty, forward(labels, found.noise), steps=effort.steps)
    posterior = noise_matrix.posterior(calibrate(labels, opinion, found.noise).q, found.noise, labels.given)
    opinion = cross_fit(labels, classifier, penalty, soft(posterior), starts=opinion.models, steps=effort.steps)
    last = calibrate(labels, opinion, found.noise)
    posterior = posterior_of_all(labels, last.q, last.q_trusted, found.noise)
    share = len(labels.given) / len(part.given)
    scaled = average._replace(numbers=average.numbers * share, variances=average.variances * share)
    trusted = np.arange(len(labels.trusted)), labels.trusted
    return replace(
        found,
        opinion=opinion,
        posterior=posterior,
        wrong_rows=_interval(scaled, wrong_of_all(labels, posterior)[: len(labels.given)]),
        held_out=found.held_out | {"posterior": -np.log(opinion.q_trusted[trusted] + TINY)},
    )


def fit_candidate(labels: Labels, classifier: Classifier, analysis: LabelAnalysis, name: str, steps: int) -> Parameters:
    """The model of a candidate on all its rows: ``posterior``, ``both``, ``all_rows`` or ``trusted_only``."""
    exact = soft(one_hot(labels.trusted, labels.classes))
    unchecked = {
        "posterior": analysis.posterior,
        "both": one_hot(labels.given, labels.classes),
        "all_rows": one_hot(labels.given, labels.classes),
    }
    if name == "trusted_only":
        features, rows = labels.trusted_features, exact
    elif name == "all_rows" or not len(labels.trusted):
        features, rows = labels.features, soft(unchecked[name])
    else:
        features = np.vstack([labels.features, labels.trusted_features])
        rows = join(soft(unchecked[name]), exact)
    with threadpool_limits(1, user_api="blas"):  # sums of float32 have other bits with another number of threads
        return classifier.fit(features, rows, analysis.penalties[name], steps=steps)


def trusted_alone(
    labels: Labels, classifier: Classifier, penalties: tuple[float, ...], *, steps: int
) -> tuple[float, Floats]:
    """The penalty of a model of the trusted rows alone, by folds, and the probabilities of held-out ones, (m, k)."""
    m, exact = len(labels.trusted), one_hot(labels.trusted, labels.classes)
    folds = np.random.default_rng(labels.seed).permutation(m) % min(10, m)
    kept = folds != np.arange(folds.max() + 1 if m > 1 else 0)[:, None]
    best: tuple[float, float, Floats] | None = None
    for penalty in penalties:
        q = np.full((m, labels.classes), 1 / labels.classes)
        models = classifier.fit_folds(labels.trusted_features, soft(exact), kept, penalty, steps=steps)
        for model, seen in zip(models, kept, strict=True):
            q[~seen] = classifier.predict(model, labels.trusted_features[~seen])
        value = float(np.log(q[np.arange(m), labels.trusted] + TINY).sum())
        if best is None or value > best[0]:
            best = value, penalty, q
    assert best is not None  # noqa: S101 - there is at least one penalty
    return best[1], best[2]


def _climb(
    labels: Labels, classifier: Classifier, effort: Effort, noise: Floats, base: tuple[float, Opinion]
) -> _Start:
    """By turns: q by forward correction in folds; temperature, shifts and T; the strength of T's prior."""
    penalty, opinion = base
    pseudo_rows, optimism = 1.0, 0.0
    for turn in range(effort.turns):
        losses = forward(labels, noise)
        if turn == 0:
            tried = [penalty * factor for factor in (30, 10, 3, 1, 0.3)]
            penalty, opinion = best_penalty(
                labels, classifier, tried, losses, noise, starts=opinion.models, patience=3.0
            )
        elif turn == 2:
            tried = [penalty * factor for factor in (3, 1, 1 / 3)]
            penalty, opinion = best_penalty(
                labels, classifier, tried, losses, noise, starts=opinion.models, patience=3.0
            )
        else:
            opinion = cross_fit(labels, classifier, penalty, losses, starts=opinion.models, steps=20)
        calibrated = calibrate(labels, opinion, noise, pseudo_rows=pseudo_rows, rounds=2, fit_noise=True)
        pseudo_rows, noise, optimism = noise_matrix.shrink(
            calibrated.q,
            labels.given,
            calibrated.noise,
            labels.folds,
            dominant=not labels.has_judges,
            checked=labels.checked,
        )
    value = log_likelihood(labels, opinion.q, opinion.q_trusted, noise) - optimism
    return _Start(value, penalty, noise, opinion, optimism, pseudo_rows)


def _over_amounts(labels: Labels, classifier: Classifier, effort: Effort, start: _Start) -> _Average:
    """Posterior and T averaged over the amounts of noise, each with the weight e^L of a model made for it."""
    k, opinion = labels.classes, start.opinion
    full = calibrate(labels, opinion, start.noise, pseudo_rows=start.pseudo_rows, rounds=2, fit_noise=True).noise
    values, posteriors, noises = [], [], []
    for amount in effort.amounts:
        noise = np.maximum((1 - amount) * np.eye(k) + amount * full, 1e-4)
        noise /= noise.sum(1, keepdims=True)
        opinion = cross_fit(labels, classifier, start.penalty, forward(labels, noise), starts=opinion.models, steps=20)
        found = calibrate(labels, opinion, noise)
        value = log_likelihood(labels, found.q, found.q_trusted, noise) - found.penalty
        values.append(value - amount * start.optimism + of_checked(labels, noise))
        posteriors.append(posterior_of_all(labels, found.q, found.q_trusted, noise))
        noises.append(noise)
    weights = np.exp(np.array(values) - max(values))
    weights /= weights.sum()
    wrong = 1 - np.array([each[np.arange(len(labels.given)), labels.given] for each in posteriors])
    return _Average(
        np.tensordot(weights, np.array(posteriors), 1),
        np.tensordot(weights, np.array(noises), 1),
        weights,
        wrong.sum(1),
        (wrong * (1 - wrong)).sum(1),
    )


def _refine(
    labels: Labels, classifier: Classifier, start: _Start, average: _Average, turns: int = 3
) -> tuple[float, Opinion, Floats]:
    """Let q learn the posterior as soft labels, by turns with T fixed; the answer is the geometric mean with the
    average.
    """
    n = len(labels.given)
    posterior, penalty, opinion = average.posterior, start.penalty, start.opinion
    for turn in range(turns):
        if turn == 0:
            tried = [penalty * factor for factor in (10, 3, 1, 0.3)]
            penalty, opinion = best_penalty(
                labels, classifier, tried, soft(posterior[:n]), average.noise, starts=opinion.models
            )
        else:
            opinion = cross_fit(labels, classifier, penalty, soft(posterior[:n]), starts=opinion.models, steps=15)
        found = calibrate(labels, opinion, average.noise)
        posterior = posterior_of_all(labels, found.q, found.q_trusted, average.noise)
    mean = np.sqrt(average.posterior * posterior)
    return penalty, opinion, mean / (mean.sum(1, keepdims=True) + TINY)


def _interval(average: _Average, wrong: Floats) -> WrongRows:
    """The expected number of wrong rows, and 5 % and 95 % of it over amounts of noise and the chance of each row."""
    centre, mean = float(wrong.sum()), float(average.weights @ average.numbers)
    variance = float(average.weights @ (average.numbers - mean) ** 2 + average.weights @ average.variances)
    half = 1.645 * WIDENING * float(np.sqrt(variance))
    return WrongRows(centre, max(0.0, min(centre, mean) - half), min(float(len(wrong)), max(centre, mean) + half))


def overrules(posterior: Floats, other: Floats) -> bool:
    """Whether held-out losses (m,) of another candidate are lower than those of the posterior by more than chance."""
    difference = posterior - other
    if len(difference) < FEWEST_TO_OVERRULE:
        return False
    return bool(difference.mean() > 2 * difference.std() / np.sqrt(len(difference)))


def worth_checking(wrong: Floats, count: int) -> Integers:
    """The rows whose check would tell most, (count,): those as likely wrong as right, by ``wrong`` (n,)."""
    return np.argsort(-wrong * (1 - wrong), kind="stable")[:count]
