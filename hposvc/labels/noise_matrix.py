"""The noise matrix T: T[c, j] is the probability that a row of class c was given the label j.

With q_c(x) the probability of class c by the features, the label that was given has the probability Σ_c q_c(x) T[c, j],
and a row with features x and label j is of class c with the posterior probability q_c(x) T[c, j] / Σ (Dawid and Skene,
1979, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hposvc.labels.classifiers import TINY, Floats, Integers, one_hot

PSEUDO_ROWS = (1.0, 8.0, 64.0, 512.0)
"""Strengths of the prior of T, in rows for each class and label: held-out likelihood chooses."""


class Checked(NamedTuple):
    """What people found in rows that they picked: how many labels were right, and how many wrong, (k,) by class."""

    right: Floats
    wrong: Floats

    def log_likelihood(self, noise: Floats) -> float:
        """How likely ``noise`` (k, k) makes that, in nats."""
        own = np.diag(noise)
        return float(self.right @ np.log(own + TINY) + self.wrong @ np.log(1 - own + TINY))

    def counts(self, noise: Floats) -> Floats:
        """Rows by class and label that was given, (k, k): which wrong label it was is expected by ``noise``."""
        others = noise * (1 - np.eye(len(noise)))
        values: Floats = np.diag(self.right) + self.wrong[:, None] * others / (others.sum(1, keepdims=True) + TINY)
        return values


def log_likelihood(q: Floats, noise: Floats, given: Integers) -> Floats:
    """Log P(given label) of each row, (n,), for ``q`` (n, k), ``noise`` (k, k) and labels ``given`` (n,)."""
    values: Floats = np.log((q * noise[:, given].T).sum(1) + TINY)
    return values


def posterior(q: Floats, noise: Floats, given: Integers) -> Floats:
    """P(class | features, given label) of each row, (n, k)."""
    joint = q * noise[:, given].T
    values: Floats = joint / (joint.sum(1, keepdims=True) + TINY)
    return values


def uniform(classes: int, rate: float) -> Floats:
    """Labels wrong at ``rate``, each wrong class as likely as any other, (k, k)."""
    noise = np.full((classes, classes), rate / max(classes - 1, 1))
    np.fill_diagonal(noise, 1 - rate)
    return noise


def fit(
    q: Floats,
    given: Integers,
    start: Floats | None = None,
    *,
    pseudo_rows: float = 1.0,
    rounds: int = 200,
    dominant: bool = False,
    checked: Checked | None = None,
) -> Floats:
    """T by expectation–maximization with ``q`` fixed, and with the rows that were ``checked`` beside these.

    Its prior is worth ``pseudo_rows`` rows for each class and label, around uniform noise at the rate that was found.
    ``dominant`` holds that rows of a class are given no label more often than their own: where no row was checked,
    nothing else says which class is which.
    """
    k = q.shape[1]
    noise = 0.7 * np.eye(k) + 0.3 / k if start is None else start
    labels = one_hot(given, k)
    for _ in range(rounds):
        before = noise
        counts = posterior(q, noise, given).T @ labels
        if checked is not None:
            counts = counts + checked.counts(noise)
        rate = float(np.clip(1 - np.trace(counts) / max(counts.sum(), 1), 1e-3, 0.95))
        noise = counts + k * pseudo_rows * uniform(k, rate)
        noise = noise / noise.sum(1, keepdims=True)
        if dominant:
            noise = np.minimum(noise, np.diag(noise)[:, None])
            noise = noise / noise.sum(1, keepdims=True)
        if np.abs(noise - before).max() < 1e-4:
            break
    return noise


def shrink(
    q: Floats,
    given: Integers,
    start: Floats,
    folds: Integers,
    *,
    dominant: bool = False,
    checked: Checked | None = None,
) -> tuple[float, Floats, float]:
    """The prior's strength by the likelihood of held-out labels, T with it, and T's optimism.

    The optimism is how much more likely T makes the labels it was fitted to than held-out ones, in nats, at least 0.
    """
    best: tuple[float, float, Floats] | None = None
    for rows in PSEUDO_ROWS:
        noise = fit(q, given, start, pseudo_rows=rows, rounds=30, dominant=dominant, checked=checked)
        held_out = 0.0
        for fold in range(folds.max() + 1):
            kept = folds != fold
            fitted = fit(q[kept], given[kept], noise, pseudo_rows=rows, rounds=15, dominant=dominant, checked=checked)
            held_out += float(log_likelihood(q[~kept], fitted, given[~kept]).sum())
        if best is None or held_out > best[0]:
            best = held_out, rows, noise
    assert best is not None  # noqa: S101 - there is at least one strength
    held_out, rows, noise = best
    return rows, noise, max(0.0, float(log_likelihood(q, noise, given).sum()) - held_out)


def confident_joint(q: Floats, given: Integers) -> Floats:
    """A first T where no row is known to be right.

    A label counts for the likeliest of those classes whose probability is at least the mean that rows given that class
    have of it (Northcutt et al., 2021, "Confident Learning", section 3.1).
    """
    k = q.shape[1]
    present = [q[given == c, c].mean() if (given == c).any() else 1.0 for c in range(k)]
    sure = q >= np.array(present)
    rows = sure.any(1)
    counts = 0.5 * np.eye(k)
    np.add.at(counts, (np.where(sure, q, -1.0).argmax(1)[rows], given[rows]), 1.0)
    noise: Floats = counts / counts.sum(1, keepdims=True)
    return noise
