"""What is known of the labels before anything is tuned, and the kinds of λ that start there.

An analysis (``hposvc.labels``) gives every unchecked row the probability that its label is wrong, and the noise matrix.
Three kinds of λ start at it and are tuned by hypergradient against the trusted rows:

- ``noise_matrix``: how often rows of one class were given the label of another;
- ``opinion``: a weight for each label and each tenth of the probability that the label is right;
- ``posterior``: a weight for each row, which starts at that probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hposvc import training_data
from hposvc.bilevel import (
    Diverged,
    Huber,
    NoiseMatrixProblem,
    ReweightingProblem,
    SolveConfig,
    fit_likelihoods,
    fit_rows,
    initial_state,
    predict,
    solve,
)
from hposvc.bilevel.models import Model
from hposvc.labels import analysis as classes
from hposvc.labels import networks, numbers
from hposvc.labels.classifiers import Classifier, Floats, Integers, Parameters, RowLosses, SoftmaxRegression
from hposvc.labels.cross_fit import Labels
from hposvc.run.remembered import key_of, remembered
from hposvc.run.translation import config, model, supervised
from hposvc.schema.result import Tried
from hposvc.schema.spec import FROM_LABELS, JobSpec

LARGEST_LOGIT = 4.0
"""Weights start between σ(−4) = 0.018 and 0.982: further out, the hypergradient of a logit vanishes."""

TENTHS = 10

TRIAL_ITERATIONS = 60

SHRINKAGE = 1e-3
"""ρ of ρ‖λ − λ₀‖² for the kinds that start at the labels, where the job leaves it to us."""

LEAST_TRIAL_ROWS = 12
"""Fewer validation rows than this do not choose between kinds of λ."""

Problem = NoiseMatrixProblem | ReweightingProblem


def starts_at_labels(spec: JobSpec) -> bool:
    """Whether the job's λ starts at an analysis of its labels."""
    return spec.kind == "data_reweighting" and spec.per in FROM_LABELS


@dataclass(frozen=True)
class Labelling:
    """The analysis of the labels of a job.

    ``rows`` (n,) are the rows of the data set whose labels were not checked, in the order of the analysis: the training
    rows first.
    """

    spec: JobSpec
    dataset: training_data.Dataset
    splits: training_data.Splits

    @property
    def trusts_nobody(self) -> bool:
        """Whether no row is known to be right."""
        return self.spec.data.trusted == "unknown"

    @property
    def trusts_picked(self) -> bool:
        """Whether the trusted rows were picked for a review, which shows the most suspicious ones first."""
        return self.spec.data.trusted == "reviewed"

    @property
    def _were_wrong(self) -> NDArray[np.bool_] | None:
        """Which of the trusted rows were picked and corrected, (m,)."""
        corrected = self.dataset.were_wrong
        if corrected is None or not self.trusts_picked:
            return None
        rows: Integers = np.concatenate([part.rows for part in self._trusted])
        found: NDArray[np.bool_] = corrected[rows]
        return found

    @cached_property
    def rows(self) -> Integers:
        """The rows of the data set that were analysed, (n,)."""
        return np.concatenate([part.rows for part in self._unchecked])

    @property
    def _unchecked(self) -> list[training_data.Part]:
        splits = self.splits
        if not self.trusts_nobody:
            return [splits.train]
        return [part for part in (splits.train, splits.validation, splits.selection) if part is not None]

    @property
    def _trusted(self) -> list[training_data.Part]:
        splits = self.splits
        if self.trusts_nobody:
            return []
        return [part for part in (splits.validation, splits.selection) if part is not None]

    @cached_property
    def labels(self) -> Labels:
        """The labels as classes."""
        features, given = _stacked(self._unchecked, self.splits.train)
        trusted_features, trusted = _stacked(self._trusted, self.splits.train)
        return Labels(
            features,
            given,
            trusted_features,
            trusted,
            len(self.dataset.classes or ()),
            self._seed,
            picked=self.trusts_picked,
            were_wrong=self._were_wrong,
        )

    @cached_property
    def numeric_labels(self) -> numbers.NumericLabels:
        """The labels as numbers."""
        features, given = _stacked(self._unchecked, self.splits.train)
        trusted_features, trusted = _stacked(self._trusted, self.splits.train)
        return numbers.NumericLabels(features, given, trusted_features, trusted, self._seed, picked=self.trusts_picked)

    @property
    def _seed(self) -> int:
        return self.spec.solver.seed

    @cached_property
    def classifier(self) -> SoftmaxRegression | NetworkClassifier:
        """The job's model as the analysis needs it."""
        if self.spec.model.type == "linear":
            return SoftmaxRegression()
        return NetworkClassifier(model(self.spec.model, self.dataset.image_shape), self.spec.solver.dtype, self._seed)

    @cached_property
    def regressor(self) -> numbers.RobustRidge | NetworkRegressor:
        """The job's model as the analysis of numbers needs it."""
        if self.spec.model.type == "linear":
            return numbers.RobustRidge()
        return NetworkRegressor(model(self.spec.model, self.dataset.image_shape), self.spec.solver.dtype, self._seed)

    def candidate(self, name: str) -> Parameters:
        """The model of a candidate on all its rows: see :func:`hposvc.labels.analysis.fit_candidate`."""
        steps = classes.FINAL_STEPS if self.spec.model.type == "linear" else networks.FINAL_STEPS
        return remembered(
            key_of(self._key, name),
            lambda: classes.fit_candidate(self.labels, self.classifier, self.analysis, name, steps),
        )

    @cached_property
    def analysis(self) -> classes.LabelAnalysis:
        """What is known of labels that are classes. Takes seconds, and is the same each time."""

        def analyse() -> classes.LabelAnalysis:
            if isinstance(self.classifier, NetworkClassifier):
                return networks.analyse_network(self.labels, self.classifier)
            return classes.analyse(self.labels, self.classifier)

        return remembered(self._key, analyse)

    @cached_property
    def numeric(self) -> numbers.NumericAnalysis:
        """What is known of labels that are numbers."""
        return remembered(self._key, lambda: numbers.analyse(self.numeric_labels, self.regressor))

    @cached_property
    def _key(self) -> bytes:
        """Of all that an analysis depends on."""
        labels: Labels | numbers.NumericLabels = self.labels if self.dataset.classes else self.numeric_labels
        network = None if self.spec.model.type == "linear" else (self.spec.model, self.dataset.image_shape)
        precision = None if network is None else self.spec.solver.dtype
        arrays = labels.features, labels.given, labels.trusted_features, labels.trusted
        classes_ = self.dataset.classes and len(self.dataset.classes)
        picked = self.trusts_picked, self._were_wrong
        return key_of(*arrays, classes_, self._seed, network, precision, *picked)

    @property
    def found(self) -> classes.LabelAnalysis | numbers.NumericAnalysis:
        """The analysis, whichever it is."""
        return self.numeric if self.dataset.classes is None else self.analysis

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of λ that fit these labels, those with the fewest hyperparameters first."""
        if (self.trusts_nobody or self.trusts_picked) and self.dataset.classes is not None:
            return ("noise_matrix",)
        return ("opinion", "posterior") if self.dataset.classes is None else ("noise_matrix", "opinion", "posterior")

    def problem(self, per: str) -> Problem:
        """The bilevel problem whose λ is of the kind ``per``, from what the analysis found."""
        spec = self.spec
        decay, shrinkage = spec.solver.lower.weight_decay, spec.hyperparameters.shrinkage
        train = len(self.splits.train)
        penalty = self.numeric.penalty if self.dataset.classes is None else self.analysis.penalties["posterior"]
        common: dict[str, Any] = supervised(spec, self.dataset, self.splits) | {
            "weight_decay": max(penalty, 1e-3) / train if decay == "auto" else decay,
            "shrinkage": SHRINKAGE if shrinkage == "auto" else shrinkage,
        }
        if per == "noise_matrix":
            if self.trusts_nobody:
                common["selection"] = None
            return NoiseMatrixProblem(**common, start=self.analysis.noise, upper_noisy=self.trusts_nobody)
        if self.trusts_nobody and common["loss"] is None:
            common["loss"] = Huber()  # the upper rows have wrong labels, too
        right = 1 - self.found.probability_wrong[:train]
        if per == "posterior":
            return ReweightingProblem(**common, per="row", initial=_logits(right))
        groups = self.cells[0]
        means = np.bincount(groups, right) / np.bincount(groups)
        return ReweightingProblem(**common, per="group", row_groups=groups, initial=_logits(means))

    @cached_property
    def cells(self) -> tuple[Integers, list[str]]:
        """The cell of each training row, (n,), by label and tenth of the probability that it is right; their names."""
        train = len(self.splits.train)
        right = 1 - self.found.probability_wrong[:train]
        tenth = np.minimum((right * TENTHS).astype(np.int64), TENTHS - 1)
        classes_ = self.dataset.classes
        label = np.zeros(train, dtype=np.int64) if classes_ is None else self.splits.train.targets
        present, groups = np.unique(label * TENTHS + tenth, return_inverse=True)

        def name(cell: int) -> str:
            low = cell % TENTHS / TENTHS
            right_ = f"right with {low:.1f} to {low + 1 / TENTHS:.1f}"
            return right_ if classes_ is None else f"{classes_[cell // TENTHS]}, {right_}"

        return groups.astype(np.int64), [name(int(cell)) for cell in present]

    def choose(self) -> tuple[str, list[Tried]]:
        """The kind of λ for ``per: auto``, and what was tried, the best first.

        Each kind is tuned for some iterations against two thirds of the validation rows, or all of them where there are
        selection rows, and judged by its lowest loss on the others.
        """
        if len(self.kinds) == 1:
            return self.kinds[0], []
        settings = replace(config(self.spec), stop=replace(config(self.spec).stop, iterations=TRIAL_ITERATIONS))
        tried = []
        for per in self.kinds:
            trial = _with_judges(self.problem(per))
            if trial is None:
                return self.kinds[0], []
            losses = _selection_losses(trial, settings)
            count = sum(array.size for array in trial.initial_lambda())
            tried.append(Tried(per=per, hyperparameters=count, held_out_loss=min(losses, default=None)))
        tried.sort(key=lambda each: np.inf if each.held_out_loss is None else each.held_out_loss)
        return str(tried[0].per), tried


@dataclass(frozen=True)
class NetworkClassifier(Classifier):
    """A network as :class:`hposvc.labels.classifiers.Classifier`."""

    network: Model
    dtype: Any
    seed: int

    def fit(
        self,
        features: Floats,
        rows: RowLosses,
        penalty: float,
        *,
        start: Parameters | None = None,
        steps: int = 30,
    ) -> Parameters:
        """See :class:`hposvc.labels.classifiers.Classifier`."""
        return fit_likelihoods(
            self.network,
            features,
            rows.values,
            rows.noisy,
            penalty=penalty,
            start=start,
            dtype=self.dtype,
            seed=self.seed,
            iterations=steps,
        ).w

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """See :class:`hposvc.labels.classifiers.Classifier`."""
        return predict(self.network, parameters, features, self.dtype)


@dataclass(frozen=True)
class NetworkRegressor:
    """A network as :class:`hposvc.labels.numbers.Regressor`."""

    network: Model
    dtype: Any
    seed: int

    def fit(self, features: Floats, targets: Floats, weights: Floats, penalty: float) -> Parameters:
        """See :class:`hposvc.labels.numbers.Regressor`."""
        return fit_rows(
            self.network,
            (features, targets),
            None,
            loss=Huber(),
            row_weights=weights,
            weight_decay=penalty / weights.sum(),
            dtype=self.dtype,
            seed=self.seed,
        ).w

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """See :class:`hposvc.labels.numbers.Regressor`."""
        return predict(self.network, parameters, features, self.dtype)[:, 0]


def _stacked(parts: list[training_data.Part], like: training_data.Part) -> tuple[Floats, NDArray[Any]]:
    if not parts:
        return like.features[:0], like.targets[:0]
    return np.concatenate([part.features for part in parts]), np.concatenate([part.targets for part in parts])


def _logits(weights: Floats) -> Floats:
    w = np.clip(weights, 1e-6, 1 - 1e-6)
    return np.clip(np.log(w / (1 - w)), -LARGEST_LOGIT, LARGEST_LOGIT)


def _with_judges(problem: Problem) -> Problem | None:
    """``problem`` with selection rows: its own, or every third of its upper rows. None if there are too few."""
    features, targets = problem.upper_rows
    if problem.selection is not None:
        return problem
    if len(targets) < LEAST_TRIAL_ROWS:
        return None
    order = np.argsort(targets, kind="stable")
    judges, tuning = order[::3], np.delete(order, np.s_[::3])
    return replace(
        problem, upper_rows=(features[tuning], targets[tuning]), selection=(features[judges], targets[judges])
    )


def _selection_losses(problem: Problem, settings: SolveConfig) -> list[float]:
    state = initial_state(problem, settings)
    found: list[float | None] = []
    try:
        for batch in solve(problem, settings, state):
            found += [iteration.selection_loss for iteration in batch]
    except Diverged:
        return []  # a kind that diverges here is no choice; the job itself says where and why
    return [loss for loss in found if loss is not None and np.isfinite(loss)]


def noise_names(problem: NoiseMatrixProblem, known: Sequence[str]) -> list[str]:
    """The name of each entry of λ: a class, and the label that its rows were given."""
    return [f"{known[c]} → {known[j]}" for c, j in problem.pairs]
