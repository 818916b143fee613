"""The result of a job whose λ starts at an analysis of its labels: candidates, suspects, and what to check next."""

from __future__ import annotations

import numpy as np

from hposvc.bilevel import ReweightingProblem, fit_likelihoods, predict
from hposvc.bilevel.arrays import Arrays
from hposvc.bilevel.problem import Rows
from hposvc.labels.analysis import overrules, worth_checking
from hposvc.labels.classifiers import one_hot
from hposvc.run.evaluation import (
    LISTED,
    About,
    Floats,
    Names,
    Report,
    fit_weighted,
    noise_scores,
    score_candidates,
    score_name,
    stack,
)
from hposvc.run.labelling import Labelling, Problem
from hposvc.run.sentence import TITLES, best_of_rivals, compose_of_labels, within_chance
from hposvc.schema.result import Suspect, WrongRows

HELD_OUT = {"posterior": "corrected", "both": "both", "trusted_only": "trusted_only"}
"""The candidates that an analysis of labels judges on held-out trusted rows, by its name for them and by ours."""

ENOUGH_TRUSTED = 10
"""Trusted rows for each class, from which on no row is proposed for a check."""


def corrected(labelling: Labelling, problem: Problem, lam: Arrays, about: About) -> Report:
    """Compare the models that allow for wrong labels with those that people would train instead.

    Labels ``corrected`` by the analysis are handed over unless held-out trusted rows speak for another candidate by
    more than chance (:func:`hposvc.labels.analysis.overrules`). The ``tuned`` λ is judged on the selection rows, by a
    model that has seen neither them nor a λ that was tuned on them. Rows that were picked for a review judge nothing.
    """
    fits = _fits_with_corrected(labelling, problem, lam)
    chosen, losses = "corrected", _held_out_means(labelling)
    if labelling.dataset.classes is not None and not labelling.trusts_picked:
        held_out = {HELD_OUT[name]: each for name, each in labelling.analysis.held_out.items()}
        for name in ("both", "trusted_only"):
            if name in fits and overrules(held_out[chosen], held_out[name]):
                chosen = name
    tuned = _tuned_on_selection(labelling, problem, lam)
    if tuned is not None and chosen == "corrected":
        ours, theirs = tuned
        losses["tuned"] = float(ours.mean())
        if overrules(theirs, ours):
            chosen = "tuned"
    models = score_candidates(problem, fits, about.test, losses, chosen)
    models[0] = models[0].model_copy(update={"label": f"handed over: {TITLES[chosen]}"})
    found = labelling.found
    wrong = WrongRows(
        expected=found.wrong_rows.expected,
        low=found.wrong_rows.low,
        high=found.wrong_rows.high,
        rows=len(found.probability_wrong),
        suspect_above=found.threshold,
    )
    best_rival = best_of_rivals(models, "score")
    trusted = None if labelling.trusts_nobody else len(labelling.labels.trusted) if problem.n_classes else 0
    return Report(
        models=models,
        handed_over=chosen,
        best_rival=best_rival,
        sentence=compose_of_labels(
            models,
            chosen,
            best_rival,
            wrong,
            int(found.suspects.sum()),
            score=score_name(problem),
            trusted=trusted,
            picked=labelling.trusts_picked,
            by_chance=within_chance(*(_row_scores(problem, fits[name], about.test) for name in (chosen, best_rival))),
        ),
        w=fits[chosen],
        weights=1 - found.probability_wrong[: problem.lower_rows],
        opinion="models that have not seen the row",
        suspects=_most_suspicious(labelling, about.names),
        suspects_total=int(found.suspects.sum()),
        noise=None
        if about.wrong is None
        else noise_scores(
            1 - found.probability_wrong[: problem.lower_rows], found.suspects[: problem.lower_rows], about.wrong
        ),
        wrong_rows=wrong,
        check_next=_check_next(labelling, about.names, trusted),
    )


def _row_scores(problem: Problem, w: Arrays, rows: Rows) -> Floats:
    """How good each prediction is: 1 if it is right, else 0; of numbers minus its squared error. Shape (n,)."""
    features, targets = rows
    said = predict(problem.model, w, features, problem.dtype)
    scores: Floats = -((said[:, 0] - targets) ** 2) if problem.n_classes is None else said.argmax(1) == targets
    return scores.astype(np.float64)


def _fits_with_corrected(labelling: Labelling, problem: Problem, lam: Arrays) -> dict[str, Arrays]:
    """Every candidate, trained on all rows that it may see."""
    tuned = _fit_tuned(labelling, problem, lam, without_selection=False)
    if labelling.dataset.classes is not None:
        names = {"corrected": "posterior", "trusted_only": "trusted_only", "both": "both", "all_rows": "all_rows"}
        if labelling.trusts_nobody:
            names = {"corrected": "posterior", "all_rows": "all_rows"}
        return {"tuned": tuned} | {name: labelling.candidate(of) for name, of in names.items()}
    labels, regressor, penalty = labelling.numeric_labels, labelling.regressor, labelling.numeric.penalty
    features = np.vstack([labels.features, labels.trusted_features])
    targets, exact = np.concatenate([labels.given, labels.trusted]), np.ones(len(labels.trusted))
    right = 1 - labelling.numeric.probability_wrong
    ones, zeros = np.ones(len(right)), np.zeros(len(right))
    weights = {"corrected": right, "trusted_only": zeros, "both": ones}
    if labelling.trusts_nobody:
        weights = {"corrected": right, "all_rows": ones}
    fits = {name: regressor.fit(features, targets, np.concatenate([w, exact]), penalty) for name, w in weights.items()}
    if "all_rows" not in fits:
        fits["all_rows"] = regressor.fit(labels.features, labels.given, ones, penalty)
    return {"tuned": tuned} | fits


def _fit_tuned(
    labelling: Labelling,
    problem: Problem,
    lam: Arrays,
    *,
    without_selection: bool,
) -> Arrays:
    """The model of the tuned λ, with the trusted rows (without the selection rows, to judge it on them)."""
    extra = None if labelling.trusts_nobody else problem.upper_rows
    if extra is not None and not without_selection:
        extra = stack(extra, problem.selection)
    if isinstance(problem, ReweightingProblem):
        return fit_weighted(problem, problem.row_weights(lam), extra)
    noise = problem.noise_matrix(lam)
    features, likelihoods = problem.train[0], noise[:, problem.train[1]].T
    noisy = np.ones(len(features), dtype=bool)
    if extra is not None:
        features = np.vstack([features, extra[0]])
        likelihoods = np.vstack([likelihoods, one_hot(extra[1], problem.n_outputs)])
        noisy = np.concatenate([noisy, np.zeros(len(extra[1]), dtype=bool)])
    return fit_likelihoods(
        problem.model,
        features,
        likelihoods,
        noisy,
        penalty=problem.weight_decay * problem.lower_rows,
        dtype=problem.dtype,
    ).w


def _tuned_on_selection(labelling: Labelling, problem: Problem, lam: Arrays) -> tuple[Floats, Floats] | None:
    """The losses of the selection rows by the model of the tuned λ, and by corrected labels, (s,) each."""
    judges = None if labelling.trusts_nobody or labelling.trusts_picked else problem.selection
    if judges is None or problem.n_classes is None:
        return None
    w = _fit_tuned(labelling, problem, lam, without_selection=True)
    features, targets = judges
    q = predict(problem.model, w, features, problem.dtype)[np.arange(len(targets)), targets]
    return -np.log(q + 1e-12), labelling.analysis.held_out["posterior"][-len(targets) :]


def _held_out_means(labelling: Labelling) -> dict[str, float]:
    """The mean loss of each candidate on trusted rows that it has not seen."""
    if labelling.dataset.classes is None or not len(labelling.labels.trusted):
        return {}
    return {HELD_OUT[name]: float(each.mean()) for name, each in labelling.analysis.held_out.items()}


def _most_suspicious(labelling: Labelling, names: Names) -> list[Suspect]:
    """The suspects, most suspicious first, at most ``LISTED``."""
    found = labelling.found
    order = np.argsort(-found.probability_wrong, kind="stable")[: min(LISTED, int(found.suspects.sum()))]
    suspects = []
    for rank, row in enumerate(order, start=1):
        if names.classes is None:
            predicted, probability = names.number(float(found.opinion[row])), None
        else:
            best = int(found.opinion[row].argmax())
            predicted, probability = names.classes[best], float(found.opinion[row, best])
        suspects.append(
            Suspect(
                rank=rank,
                row_id=names.row_ids[row],
                label=names.labels[row],
                weight=1 - float(found.probability_wrong[row]),
                predicted=predicted,
                predicted_probability=probability,
                probability_wrong=float(found.probability_wrong[row]),
            )
        )
    return suspects


def _check_next(labelling: Labelling, names: Names, trusted: int | None) -> list[str]:
    """Rows to check by hand where few or none are known to be right: those whose labels are the most doubtful."""
    enough = ENOUGH_TRUSTED * max(len(labelling.dataset.classes or ()), 2)
    wanted = enough - (trusted or 0)
    if wanted <= 0:
        return []
    rows = worth_checking(labelling.found.probability_wrong, min(wanted, LISTED))
    return [names.row_ids[row] for row in rows]
