"""What a result means: candidates trained from scratch, compared on rows that they have not seen, and ranked rows.

Every candidate is trained to convergence and scored on the test rows. Which candidate is handed over is decided on
selection rows alone, and doing without tuning is always among the candidates: nobody gets a tuned answer that does not
help. The decay of the weights is a prior, so it stays the same in total however many rows a candidate learns from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hposvc.bilevel.arrays import Arrays
from hposvc.bilevel.folds import held_out_losses
from hposvc.bilevel.losses import CrossEntropy, SquaredError
from hposvc.bilevel.problem import Rows, Supervised
from hposvc.bilevel.regularization import RegularizationProblem
from hposvc.bilevel.reweighting import ReweightingProblem
from hposvc.bilevel.train import Scores, evaluate, fit, fit_rows, predict
from hposvc.run.sentence import OURS, TITLES, SentenceParts, best_of_rivals, compose
from hposvc.schema.result import Candidate, Noise, Suspect, WrongRows
from hposvc.strengths.averaging import as_parameters, average

Floats = NDArray[np.float64]

LISTED = 50

NO_PENALTY = -50.0
"""The λ that stands for no penalty: a strength of e⁻⁵⁰."""

PRECISIONS = np.geomspace(1e-2, 1e4, 31)
"""What a single strength is chosen from, as n e^λ: the precision of the prior that n rows stand beside. Weights on
standardized features are then of the order of 10 at most and of 0.01 at least.
"""

FORMS = ("ridge", "lasso", "adaptive lasso")
"""The forms of penalty whose best models stand beside their average."""

MOST_AVERAGED = 500_000
"""Rows · features · outputs up to which linear models are averaged: some seconds."""

FOLDS, ENOUGH_ROWS = 5, 1000
"""A single strength is cross-validated in so many folds where fewer validation rows than that would choose it."""

# Each point starts from the model of the point before it, which is close.
GRID_ITERATIONS = 100


@dataclass(frozen=True)
class Names:
    """How people know the rows (ids and labels), the classes, and numbers: targets are ``number · scale + mean``."""

    row_ids: Sequence[str]
    labels: Sequence[str]
    classes: Sequence[str] | None
    mean: float = 0.0
    scale: float = 1.0

    def number(self, value: float) -> str:
        """A standardized target as people know it."""
        return f"{value * self.scale + self.mean:.6g}"


@dataclass(frozen=True)
class About:
    """What a report needs beside the problem: test rows, names, and planted errors, which only score."""

    test: Rows
    names: Names
    wrong: NDArray[np.bool_] | None = None


class SingleStrengths(NamedTuple):
    """One λ for everything: the ``best`` of a grid, and the ``mean`` of the grid weighted by held-out likelihood.

    The loss is flat around its best point, which falls anywhere along the flat part; the mean falls in its middle. The
    likelihood is that of the rows of one fold: of all of them together it would be surer than they are, sharing models.
    """

    best: float
    mean: float


@dataclass(frozen=True)
class Report:
    """What the candidates showed. ``models`` holds the one that is handed over first; ``w`` are its parameters."""

    models: list[Candidate]
    handed_over: str
    best_rival: str
    sentence: str
    w: Arrays
    weights: Floats | None = None
    opinion: str | None = None
    suspects: list[Suspect] | None = None
    suspects_total: int = 0
    noise: Noise | None = None
    wrong_rows: WrongRows | None = None
    check_next: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def reweighting(problem: ReweightingProblem, lam: Arrays, about: About) -> Report:
    """Refit with the weights σ(λ), beside those λ started with, all rows as they came, trusted rows only, and both.

    Trusted rows enter at full weight. Where there are selection rows to judge it, a single row's weight is multiplied
    by the squared probability that a first refit gives to its label, which takes out wrong rows that no trusted row
    spoke against. ``wrong`` (n,) marks planted errors; it is used for their scores and nothing else.
    """
    test, names, wrong = about.test, about.names, about.wrong
    trusted = stack(problem.upper_rows, problem.selection)
    weights, equal = problem.row_weights(lam), problem.row_weights(problem.initial_lambda())
    lost = weights < equal
    ones, zeros = np.ones(problem.lower_rows), np.zeros(problem.lower_rows)
    rivals = {"start": equal, "trusted_only": zeros, "both": ones}

    def refits(extra: Rows) -> dict[str, Arrays]:
        recipes = {"tuned": _weights_times_opinion(problem, weights, extra), **rivals}
        return {name: fit_weighted(problem, row_weights, extra) for name, row_weights in recipes.items()}

    fits = refits(trusted)
    judged = _judge(
        problem,
        fits | {"all_rows": fit_weighted(problem, ones, None)},
        {} if problem.selection is None else refits(problem.upper_rows),
        test,
        SentenceParts("tuned weights", reference="all_rows", by="score"),
    )
    if problem.per != "row":
        return replace(judged, weights=weights)
    opinion = predict(problem.model, judged.w, problem.train[0], problem.dtype)
    return replace(
        judged,
        weights=weights,
        opinion=f"the model that is handed over ({TITLES[judged.handed_over]})",
        suspects=_suspects(weights, lost, opinion, names),
        suspects_total=int(lost.sum()),
        noise=None if wrong is None else noise_scores(weights, lost, wrong),
    )


def regularization(
    problem: RegularizationProblem, lam: Arrays, test: Rows, single: float, *, averaged: bool = False
) -> Report:
    """Refit at λ, beside the λ it started with, no penalty, and the best ``single`` one (:func:`single_strengths`).

    Every candidate learns from training and validation rows together, as whoever uses the answer would. ``averaged``
    adds the models that few hyperparameters give a linear model, by cross-validation on all these rows, and hands over
    their average (:mod:`hposvc.strengths.averaging`).
    """
    validation = stack(problem.upper_rows, problem.selection)
    everything = replace(problem, train=stack(problem.train, validation))
    recipes = {
        "tuned": lam,
        "start": problem.initial_lambda(),
        "single_strength": [np.full(array.shape, single) for array in lam],
    }
    no_penalty = [np.full(array.shape, NO_PENALTY) for array in lam]
    fits = {name: fit(everything, strengths).w for name, strengths in (recipes | {"no_penalty": no_penalty}).items()}
    parts = SentenceParts("tuned strengths", reference="no_penalty", by="loss")
    if averaged:
        found = average(*everything.train)
        fits["per_feature"] = fits["tuned"]
        for each in found.candidates:
            if each.form in FORMS:
                fits[each.form.replace(" ", "_")] = as_parameters(each.model)
        fits["averaged"] = as_parameters(found.model)
        return _handed_over(problem, fits, {"averaged": found.loss}, "averaged", test, parts)
    return _judge(
        problem,
        fits,
        {} if problem.selection is None else {name: fit(problem, strengths).w for name, strengths in recipes.items()},
        test,
        parts,
    )


def can_average(problem: RegularizationProblem) -> bool:
    """Whether the averaged linear models fit the problem: a linear model, a natural loss, and not too much work."""
    rows = len(problem.train[1]) + len(problem.upper_rows[1])
    work = rows * problem.train[0].shape[1] * problem.n_outputs
    natural = problem.loss is None or problem.loss in (CrossEntropy(), SquaredError())
    return problem.convex and natural and work <= MOST_AVERAGED


def single_strengths(problem: RegularizationProblem) -> SingleStrengths:
    """Choose one λ for everything from ``PRECISIONS``.

    Few rows choose by luck, so a linear model is cross-validated on training, validation and selection rows together
    where there are fewer than ``ENOUGH_ROWS`` to validate it. Otherwise the validation and selection rows choose.
    """
    validation = stack(problem.upper_rows, problem.selection)
    everything = stack(problem.train, validation)
    grid = np.log(PRECISIONS / len(everything[1]))
    if problem.convex and len(validation[1]) < ENOUGH_ROWS:
        losses = held_out_losses(problem, everything, grid, folds=FOLDS, seed=0, iterations=GRID_ITERATIONS)
        judges = len(everything[1]) / FOLDS
    else:
        losses, judges = _validation_losses(problem, validation, grid), len(validation[1])
    lowest = float(losses.min())
    excess: Floats = judges * (losses - lowest)
    if problem.n_classes is None:
        excess /= 2 * max(lowest, 1e-300)  # Gaussian errors of that variance, with wider tails for the Huber loss
    likelihood = np.exp(-excess)
    return SingleStrengths(float(grid[losses.argmin()]), float(grid @ likelihood / likelihood.sum()))


def _validation_losses(problem: RegularizationProblem, validation: Rows, grid: Floats) -> Floats:
    losses: Floats = np.empty(len(grid))
    w: Arrays | None = None
    for i in reversed(range(len(grid))):  # from strong to weak: each fit starts from the simpler model before it
        w = fit(problem, [np.full(shape, grid[i]) for shape in problem.shapes()], w=w, iterations=GRID_ITERATIONS).w
        losses[i] = _evaluate(problem, w, validation).loss
    return losses


def noise_scores(weights: Floats, flagged: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> Noise:
    """Precision, recall and F1 of ``flagged`` for ``wrong`` rows, and the area under the ROC curve of −weight."""
    hits, planted = int((flagged & wrong).sum()), int(wrong.sum())
    precision = hits / max(1, int(flagged.sum()))
    recall = hits / max(1, planted)
    ranks = _ranks(-weights)
    # Mann and Whitney: the chance that a wrong row is suspected more than a right one.
    pairs = planted * (len(wrong) - planted)
    above = float(ranks[wrong].sum()) - planted * (planted + 1) / 2
    return Noise(
        planted=planted,
        flagged=int(flagged.sum()),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / max(precision + recall, 1e-12),
        auc=above / pairs if pairs else 0.5,
    )


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, with the mean of theirs for equal values.

    As ``scipy.stats.rankdata`` has them, whose import alone takes each job a third of a second of a processor.
    """
    _, place, number = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(number) - (number - 1) / 2)[place]
    return ranks


def fit_weighted(problem: Supervised, row_weights: Floats, extra: Rows | None) -> Arrays:
    """Train on the training rows at ``row_weights``, without those of weight 0, and on ``extra`` rows at weight 1."""
    kept = row_weights > 0
    rows = (problem.train[0][kept], problem.train[1][kept])
    weights = row_weights[kept]
    if extra is not None:
        rows, weights = stack(rows, extra), np.concatenate([weights, np.ones(len(extra[1]))])
    decay = problem.weight_decay * problem.lower_rows / weights.sum()
    return fit_rows(
        problem.model,
        rows,
        problem.n_classes,
        loss=problem.loss,
        row_weights=weights,
        weight_decay=decay,
        dtype=problem.dtype,
    ).w


def _evaluate(problem: Supervised, w: Arrays, rows: Rows) -> Scores:
    return evaluate(problem.model, w, rows, problem.n_classes, problem.dtype, loss=problem.loss)


def _weights_times_opinion(problem: ReweightingProblem, weights: Floats, trusted: Rows) -> Floats:
    """Row weights times the squared probability that a model trained with them gives to each row's label."""
    if problem.per != "row" or problem.n_classes is None or problem.selection is None:
        return weights
    w = fit_weighted(problem, weights, trusted)
    probabilities = predict(problem.model, w, problem.train[0], problem.dtype)
    believed: Floats = weights * probabilities[np.arange(len(weights)), problem.train[1]] ** 2
    return believed


def _judge(
    problem: Supervised, fits: Mapping[str, Arrays], compared: Mapping[str, Arrays], test: Rows, parts: SentenceParts
) -> Report:
    """Hand over whichever of the candidates ``compared``, trained without the selection rows, is best on those rows.

    ``fits`` are the candidates trained on everything. Without selection rows the tuned one is the answer.
    """
    losses: dict[str, float] = {}
    if problem.selection is not None:
        losses = {name: _evaluate(problem, w, problem.selection).loss for name, w in compared.items()}
    return _handed_over(problem, fits, losses, min(losses, key=lambda name: losses[name], default="tuned"), test, parts)


def _handed_over(
    problem: Supervised,
    fits: Mapping[str, Arrays],
    losses: Mapping[str, float],
    chosen: str,
    test: Rows,
    parts: SentenceParts,
) -> Report:
    models = score_candidates(problem, fits, test, losses, chosen)
    best_rival = best_of_rivals(models, parts.by)
    return Report(
        models=models,
        handed_over=chosen,
        best_rival=best_rival,
        sentence=compose(models, chosen, best_rival, parts, score_name(problem)),
        w=fits[chosen],
        warnings=_unguarded(problem),
    )


def score_candidates(
    problem: Supervised,
    fits: Mapping[str, Arrays],
    test: Rows,
    selection_losses: Mapping[str, float | None],
    chosen: str,
) -> list[Candidate]:
    """Losses and scores of trained candidates, first the ``chosen`` one, which is handed over as ``tuned``.

    Where that is another than the tuned λ, the tuned λ keeps a row of its own.
    """
    shown = {**fits, "tuned": fits[chosen]}
    if chosen not in ("tuned", "averaged"):  # the average has it as ``per_feature``
        shown["tuned_lambda"] = fits["tuned"]
        selection_losses = {**selection_losses, "tuned_lambda": selection_losses.get("tuned")}
    candidates = []
    for name, w in shown.items():
        train, held_out = (_evaluate(problem, w, rows) for rows in (problem.train, test))
        label = TITLES[name] if name != "tuned" or chosen == "tuned" else _instead(chosen)
        selection = selection_losses.get(chosen if name == "tuned" else name)
        candidates.append(
            Candidate(
                name=name,
                label=label,
                train_loss=train.loss,
                selection_loss=selection,
                test_loss=held_out.loss,
                test_score=held_out.score,
            )
        )
    return candidates


def _suspects(weights: Floats, lost: NDArray[np.bool_], opinion: Floats, names: Names) -> list[Suspect]:
    order = np.argsort(weights, kind="stable")
    found = []
    for rank, row in enumerate(order[: min(LISTED, int(lost.sum()))], start=1):
        if names.classes is None:
            predicted, probability = names.number(float(opinion[row, 0])), None
        else:
            best = int(opinion[row].argmax())
            predicted, probability = names.classes[best], float(opinion[row, best])
        found.append(
            Suspect(
                rank=rank,
                row_id=names.row_ids[row],
                label=names.labels[row],
                weight=float(weights[row]),
                predicted=predicted,
                predicted_probability=probability,
            )
        )
    return found


def score_name(problem: Supervised) -> str:
    """What the score is, for people."""
    return "R²" if problem.n_classes is None else "accuracy"


def _unguarded(problem: Supervised) -> list[str]:
    if problem.selection is not None:
        return []
    warning = (
        f"None of the {len(problem.upper_rows[1])} validation rows were set aside for selection, so whether tuning "
        "helped was not checked on rows that it had not seen: compare the test losses."
    )
    return [warning]


def stack(rows: Rows, more: Rows | None) -> Rows:
    """The rows of both."""
    if more is None:
        return rows
    return np.concatenate([rows[0], more[0]]), np.concatenate([rows[1], more[1]])


def _instead(chosen: str) -> str:
    """The label of the model that is handed over in the place of the tuned one."""
    title = TITLES[chosen]
    return f"handed over: {title}" if chosen in OURS else f"tuned (nothing gained: {title})"
