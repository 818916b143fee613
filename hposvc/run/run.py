"""One job from its spec to its answer, in this process: what the worker's child runs, and what a notebook can.

    run = Run(spec)
    for batch in run.iterations():
        ...
    outcome = run.finish()

Planted label noise is kept apart from everything that is optimized, and is looked at only to score the finished report.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from hposvc import snapshots, training_data
from hposvc.bilevel import (
    Iteration,
    RegularizationProblem,
    ReweightingProblem,
    SolverState,
    evaluate,
    largest_stable_rate,
    runtime,
)
from hposvc.bilevel.arrays import Arrays
from hposvc.bilevel.radius import configured_oracle
from hposvc.bilevel.stopping import FLUSH_ITERATIONS
from hposvc.run import evaluation
from hposvc.run.artifacts import HyperparameterTable, Problem, listed, model_file, parquet, rows_table, strongest
from hposvc.run.corrected import corrected
from hposvc.run.labelling import Labelling, starts_at_labels
from hposvc.run.outcome import Outcome
from hposvc.run.record import RunRecord
from hposvc.run.solving import Solving, flat, record_of, started, unpacked
from hposvc.run.translation import config, problem
from hposvc.schema import cautions
from hposvc.schema.result import Column, Ends, JobResult, LossEnds, Tried
from hposvc.schema.spec import JobSpec

# The test loss is looked at this often along the path: whatever the clock says, a batch ends at each of its multiples.
TEST_EVERY = FLUSH_ITERATIONS


class Run(Solving):
    """A job that is being solved. ``checkpoint`` continues an earlier run of the same spec, bit for bit on the CPU.

    ``uploads`` are the data sets by id that ``spec`` may name beside the bundled ones. ``dataset`` is learned from in
    the place of the one that ``spec`` names: a notebook may bring its own arrays.

    Raises:
        DataError: the spec does not fit its data.
        ValueError: ``checkpoint`` was not made by :meth:`checkpoint`.
    """

    def __init__(
        self,
        spec: JobSpec,
        checkpoint: bytes | None = None,
        *,
        uploads: Mapping[str, training_data.Upload] | None = None,
        dataset: training_data.Dataset | None = None,
    ) -> None:
        runtime.start(_device(spec), spec.solver.seed)
        self.spec = spec
        if dataset is None:
            dataset = training_data.load(spec.data, spec.hyperparameters.group_columns, uploads)
        found = training_data.defects(dataset, spec)
        if found:
            raise training_data.DataError(found)
        prepared = training_data.prepare(dataset, spec)
        self._dataset = prepared.dataset
        self._splits, self._planted = prepared.splits, prepared.planted
        self._config = config(spec)
        self._labelling = Labelling(spec, self._dataset, self._splits) if starts_at_labels(spec) else None
        self.notes: list[str] = []
        if checkpoint is None:
            self._record = self._begin()
        else:
            state, saved = unpacked(checkpoint)
            self._record = record_of(saved)
            self.notes = self._record.moved_here()
            if self._record.per is None and starts_at_labels(spec):  # of a release whose λ never started at labels
                self._labelling = None
                self.spec = spec = _with_per(spec, "row")
                self._config = config(spec)
        self._problem: Problem = self._problem_at(self._record)
        self._state = started(self._problem, self._config) if checkpoint is None else SolverState.from_bytes(state)
        if checkpoint is None and spec.solver.lower.learning_rate != "auto":
            stable = largest_stable_rate(self._problem, self._config, self._state)
            self._record.seen = cautions.Seen(largest_stable_rate=stable)

    def _begin(self) -> RunRecord:
        """Where λ starts: at the labels, at weights of 1/2, or at a good single strength; unless the spec says."""
        spec, labelling = self.spec, self._labelling
        if labelling is not None:
            per, tried = labelling.choose() if spec.per == "auto" else (spec.per, [])
            return RunRecord(0.0, per=per, tried=[each.model_dump() for each in tried])
        given = None if spec.hyperparameters.initial == "auto" else spec.hyperparameters.initial
        unstarted = problem(spec, self._dataset, self._splits, 0.0)
        if isinstance(unstarted, ReweightingProblem):
            return RunRecord(given or 0.0, per=spec.per)
        singles = evaluation.single_strengths(unstarted)
        return RunRecord(singles.mean if given is None else given, singles.best, per=spec.per)

    def _problem_at(self, record: RunRecord) -> Problem:
        if self._labelling is None or record.per is None:
            return problem(self.spec, self._dataset, self._splits, record.start)
        return self._labelling.problem(record.per)

    @property
    def problem(self) -> Problem:
        """The problem that is being solved: all that the solver sees of the data."""
        return self._problem

    def iterations(self, ends: Collection[int] = ()) -> Iterator[list[Iteration]]:
        """Solve, in batches, of which one ends at each of the iterations ``ends``.

        To pause, stop asking: :meth:`checkpoint` then holds everything up to here.

        Raises:
            Diverged: a value became infinite or NaN; everything up to there was yielded.
        """
        for batch in super().iterations(ends):
            self._look_at_test_rows(batch[-1])
            yield batch

    def checkpoint(self) -> bytes:
        """Everything that continuing needs, as bytes without code in them; and λ by name, for whoever looks on."""
        return self.saved(self._entries)

    def snapshot(self) -> snapshots.Snapshot:
        """λ as it is now, in short."""
        scale: snapshots.Scale = "log" if isinstance(self._problem, RegularizationProblem) else "logistic"
        entries = self._entries

        def describe(index: int) -> dict[str, Any]:
            return {column: values[index].as_py() for column, values in entries.items()}

        return snapshots.take(self._state.iteration, flat(self._state.lam), self._table.groups(), scale, describe)

    def finish(self) -> Outcome:
        """Train the candidates, compare them, rank the rows: the result and its files. Needs at least one iteration."""
        record, problem_ = self._record, self._problem
        if record.first is None or record.last is None:
            raise RuntimeError("There is nothing to report before the first iteration.")
        lam = [array.numpy().astype(np.float64) for array in self._state.best_lam]
        table = self._table.at(lam)
        report = self._report(lam)
        grouped = not isinstance(problem_, RegularizationProblem) and getattr(problem_, "per", "group") != "row"
        result = JobResult(
            stopped_by=self._state.stopped_by,
            iterations=self._state.iteration,
            oracle=configured_oracle(self._config, self._state.fitted).oracle,
            best_iteration=self._state.best_iteration,
            seconds=self._state.seconds,
            task=self._dataset.task,
            score_name="accuracy" if self._dataset.task == "classification" else "r2",
            upper_loss=LossEnds(
                first=record.first["upper_loss"], last=record.last["upper_loss"], best=record.best_upper_loss
            ),
            hypergradient_norm=Ends(first=record.first["hypergradient_norm"], last=record.last["hypergradient_norm"]),
            selection_loss=None
            if problem_.selection is None
            else LossEnds(
                first=record.first["selection_loss"], last=record.last["selection_loss"], best=self._state.best_value
            ),
            rows=len(self._splits.train),
            strengths=strongest(table, problem_.parts) if isinstance(problem_, RegularizationProblem) else None,
            groups=listed(table) if grouped else None,
            columns=None
            if self._dataset.encoding is None
            else [Column(**c) for c in self._dataset.encoding.described()],
            sentence=report.sentence,
            models=report.models,
            handed_over=report.handed_over,
            best_rival=report.best_rival,
            per=record.per or self.spec.per,
            tried=[Tried(**each) for each in record.tried],
            wrong_rows=report.wrong_rows,
            suspects_total=report.suspects_total,
            suspects=report.suspects,
            opinion=report.opinion,
            check_next=report.check_next,
            noise=report.noise,
            warnings=[*self._dataset.cautions, *report.warnings, *self._cautions()],
        ).model_dump(mode="python")
        path = json.dumps({**result, "path": record.path}, indent=2, ensure_ascii=False)
        rows = rows_table(problem_, self._dataset, self._splits, report.w, report.weights, self._labelling)
        return Outcome(
            result,
            {
                "report.json": path.encode(),
                "hyperparameters.parquet": parquet(table),
                "rows.parquet": parquet(rows),
                "model.safetensors": model_file(self.spec, self._dataset, self._splits, report.w),
            },
        )

    def _report(self, lam: Arrays) -> evaluation.Report:
        problem_ = self._problem
        wrong = None if self._planted is None else self._planted.wrong
        about = evaluation.About((self._splits.test.features, self._splits.test.targets), self._names, wrong)
        if self._labelling is not None and not isinstance(problem_, RegularizationProblem):
            return corrected(self._labelling, problem_, lam, about)
        if isinstance(problem_, ReweightingProblem):
            return evaluation.reweighting(problem_, lam, about)
        if isinstance(problem_, RegularizationProblem):
            settings = self.spec.hyperparameters
            chosen_here = settings.per is None and settings.penalty == "l2" and evaluation.can_average(problem_)
            return evaluation.regularization(problem_, lam, about.test, self._record.single, averaged=chosen_here)
        raise TypeError(problem_)

    def _cautions(self) -> Iterator[str]:
        upper = self._problem
        sizes = cautions.Sizes(len(upper.upper_rows[1]), sum(array.size for array in upper.initial_lambda()))
        yield from cautions.of_run(self.spec, sizes, self._record.seen, self._state.stopped_by)
        first, last = ((each or {}).get("selection_loss") for each in (self._record.first, self._record.last))
        if first is not None and last is not None:
            yield from cautions.of_selection(self._state.best_iteration, first, self._state.best_value, last)

    def _look_at_test_rows(self, newest: Iteration) -> None:
        if newest.iteration % TEST_EVERY == 0:
            w = [array.numpy() for array in self._state.w]
            test = (self._splits.test.features, self._splits.test.targets)
            scores = evaluate(
                self._problem.model, w, test, self._problem.n_classes, self._problem.dtype, loss=self._problem.loss
            )
            self._record.path.append(
                {
                    "iteration": newest.iteration,
                    "upper_loss": newest.upper_loss,
                    "selection_loss": newest.selection_loss,
                    "test_loss": scores.loss,
                }
            )

    @cached_property
    def _names(self) -> evaluation.Names:
        """Of the training rows, or of all that were analysed, the training rows first."""
        rows = self._splits.train.rows if self._labelling is None else self._labelling.rows
        classes, scaling = self._dataset.classes, self._splits.scaling
        if classes:
            train = self._splits.train
            given = np.concatenate([train.targets, self._dataset.targets[rows[len(train) :]]])
            labels = [classes[label] for label in given]
        else:
            labels = [f"{y:.6g}" for y in self._dataset.targets[rows]]
        ids = [str(self._dataset.row_ids[row]) for row in rows]
        return evaluation.Names(ids, labels, classes, scaling.target_mean, scaling.target_scale)

    @cached_property
    def _table(self) -> HyperparameterTable:
        return HyperparameterTable(self._problem, self._dataset, self._splits, self._names, self._labelling)

    @cached_property
    def _entries(self) -> dict[str, pa.Array]:
        return self._table.entries()


def _device(spec: JobSpec) -> runtime.Device | None:
    """What the job is computed on; None is what this process was started for."""
    device = spec.resources.device
    if device == "auto":
        return "cpu" if spec.solver.dtype == "float64" else None
    return device


def _with_per(spec: JobSpec, per: str) -> JobSpec:
    settings = spec.hyperparameters.model_copy(update={"per": per})
    return spec.model_copy(update={"hyperparameters": settings})
