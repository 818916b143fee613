"""One job from its spec to its answer, in this process: what the worker's child runs, and what a notebook can.

    run = Run(spec)
    for batch in run.iterations():
        ...
    outcome = run.finish()

Planted label noise is kept apart from everything that is optimized, and is looked at only to score the finished report.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import load, save

from hposvc import snapshots, training_data
from hposvc.bilevel import (
    CNN,
    MLP,
    Aggregation,
    CrossEntropy,
    Huber,
    Implicit,
    Iteration,
    Linear,
    Lower,
    OneStep,
    RegularizationProblem,
    ReweightingProblem,
    Schedule,
    SolveConfig,
    SolverState,
    SquaredError,
    Stop,
    Unrolled,
    Upper,
    evaluate,
    initial_state,
    largest_stable_rate,
    predict,
    report,
    runtime,
    solve,
)
from hposvc.bilevel.losses import Loss
from hposvc.bilevel.models import Arrays, Model
from hposvc.bilevel.solve import FLUSH_ITERATIONS
from hposvc.schema import cautions
from hposvc.schema.spec import JobSpec, LossSpec, ModelSpec, ScheduleSpec, SolverSpec

# The penalty on ‖λ − λ₀‖² where the job leaves it to us; docs/decisions/guarding-the-upper-level.md measures both.
SHRINKAGE = {"data_reweighting": 0.0, "regularization_tuning": 1e-2}

# The test loss is looked at this often along the path: whatever the clock says, a batch ends at each of its multiples.
TEST_EVERY = FLUSH_ITERATIONS


@dataclass(frozen=True)
class Outcome:
    """``result`` is ready for JSON, ``artifacts`` are files by name."""

    result: dict[str, Any]
    artifacts: dict[str, bytes]


@dataclass
class Progress:
    """What the report needs of the run so far; saved with every checkpoint.

    ``start`` is the initial value of every λ, ``single`` the λ of the best single strength where
    strengths are tuned.
    """

    start: float
    single: float = 0.0
    path: list[dict[str, float | int | None]] = field(default_factory=list)
    first: dict[str, float | None] | None = None
    last: dict[str, float | None] | None = None
    best_upper_loss: float | None = None
    seen: cautions.Seen = field(default_factory=cautions.Seen)


class Run:
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
        device = spec.resources.device
        runtime.start(None if device == "auto" else device, spec.solver.seed)
        self.spec = spec
        if dataset is None:
            dataset = training_data.load(spec.dataset, spec.hyperparameters.group_columns, uploads)
        found = training_data.defects(dataset, spec)
        if found:
            raise training_data.DataError(found)
        prepared = training_data.prepare(dataset, spec)
        self._dataset = prepared.dataset
        self._splits, self._planted = prepared.splits, prepared.planted
        self._config = config(spec)
        if checkpoint is None:
            self._progress = _start(spec, problem(spec, self._dataset, self._splits, 0.0))
        else:
            arrays, numbers = _unpack(checkpoint)
            self._progress = Progress(**numbers | {"seen": cautions.Seen(**numbers["seen"])})
        self._problem = problem(spec, self._dataset, self._splits, self._progress.start)
        self._state = (
            initial_state(self._problem, self._config) if checkpoint is None else SolverState.from_bytes(arrays)
        )
        if checkpoint is None and spec.solver.lower.learning_rate != "auto":
            stable = largest_stable_rate(self._problem, self._config, self._state)
            self._progress.seen = cautions.Seen(largest_stable_rate=stable)

    @property
    def iteration(self) -> int:
        """How many iterations are done."""
        return self._state.iteration

    @property
    def problem(self) -> ReweightingProblem | RegularizationProblem:
        """The problem that is being solved: all that the solver sees of the data."""
        return self._problem

    def iterations(self) -> Iterator[list[Iteration]]:
        """Solve, in batches. To pause, stop asking: :meth:`checkpoint` then holds everything up to here.

        Raises:
            Diverged: a value became infinite or NaN; everything up to there was yielded.
        """
        for batch in solve(self._problem, self._config, self._state):
            self._note(batch)
            yield batch

    def checkpoint(self) -> bytes:
        """Everything that continuing needs, as bytes without code in them; and λ by name, for whoever looks on."""
        named = _parquet(pa.table(self._entries | {"lambda": self._lambda()}))
        state = self._state.to_bytes()
        return bytes(
            save(
                {
                    name: np.frombuffer(content, dtype=np.uint8)
                    for name, content in (("state", state), (snapshots.IN_CHECKPOINT, named))
                },
                metadata={"progress": json.dumps(asdict(self._progress))},
            )
        )

    def snapshot(self) -> snapshots.Snapshot:
        """λ as it is now, in short."""
        scale: snapshots.Scale = "logistic" if isinstance(self._problem, ReweightingProblem) else "log"
        entries = self._entries

        def describe(index: int) -> dict[str, Any]:
            return {column: values[index].as_py() for column, values in entries.items()}

        return snapshots.take(self._state.iteration, self._lambda(), self._lambda_groups(), scale, describe)

    def finish(self) -> Outcome:
        """Refit, compare, rank: the answer and its files. Needs at least one iteration."""
        if self._progress.first is None or self._progress.last is None:
            raise RuntimeError("There is nothing to report before the first iteration.")
        lam = [array.numpy().astype(np.float64) for array in self._state.best_lam]
        test = (self._splits.test.features, self._splits.test.targets)
        table = self._table(lam)
        if isinstance(self._problem, ReweightingProblem):
            wrong = None if self._planted is None else self._planted.wrong
            found = report.reweighting(self._problem, lam, test, self._names(), wrong)
            strengths = None
            groups = None if self._problem.per == "row" else _lightest(table)
        else:
            found = report.regularization(self._problem, lam, test, self._progress.single)
            strengths, groups = _strongest(table, self._problem.parts), None
        first, last = self._progress.first, self._progress.last
        result = {
            "stopped_by": self._state.stopped_by,
            "iterations": self._state.iteration,
            "best_iteration": self._state.best_iteration,
            "seconds": self._state.seconds,
            "task": self._dataset.task,
            "score_name": "accuracy" if self._dataset.task == "classification" else "r2",
            "upper_loss": {
                "first": first["upper_loss"],
                "last": last["upper_loss"],
                "best": self._progress.best_upper_loss,
            },
            "hypergradient_norm": {"first": first["hypergradient_norm"], "last": last["hypergradient_norm"]},
            "selection_loss": None
            if self._problem.selection is None
            else {"first": first["selection_loss"], "last": last["selection_loss"], "best": self._state.best_value},
            "rows": len(self._splits.train),
            "strengths": strengths,
            "groups": groups,
            "columns": None if self._dataset.encoding is None else self._dataset.encoding.described(),
            **found.as_dict(),
        }
        result["warnings"] = [*result["warnings"], *self._cautions()]
        return Outcome(
            result,
            {
                "report.json": json.dumps(
                    {**result, "path": self._progress.path}, indent=2, ensure_ascii=False
                ).encode(),
                "hyperparameters.parquet": _parquet(table),
                "rows.parquet": _parquet(self._rows(found.w, lam)),
                "model.safetensors": self._model(found.w),
            },
        )

    def _cautions(self) -> Iterator[str]:
        problem = self._problem
        sizes = cautions.Sizes(len(problem.upper_rows[1]), sum(array.size for array in problem.initial_lambda()))
        return cautions.of_run(self.spec, sizes, self._progress.seen, self._state.stopped_by)

    def _note(self, batch: list[Iteration]) -> None:
        progress = self._progress
        for iteration in batch:
            progress.seen = progress.seen.after(iteration)
            values = {name: getattr(iteration, name) for name in ("upper_loss", "hypergradient_norm", "selection_loss")}
            progress.first, progress.last = progress.first or values, values
            best = progress.best_upper_loss
            progress.best_upper_loss = iteration.upper_loss if best is None else min(best, iteration.upper_loss)
        newest = batch[-1]
        if newest.iteration % TEST_EVERY == 0:
            w = [array.numpy() for array in self._state.w]
            test = (self._splits.test.features, self._splits.test.targets)
            scores = evaluate(
                self._problem.model, w, test, self._problem.n_classes, self._problem.dtype, loss=self._problem.loss
            )
            progress.path.append(
                {
                    "iteration": newest.iteration,
                    "upper_loss": newest.upper_loss,
                    "selection_loss": newest.selection_loss,
                    "test_loss": scores.loss,
                }
            )

    def _lambda(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """All of λ (n,), in the order of ``_entries``."""
        return np.concatenate([array.numpy().astype(np.float64).ravel() for array in self._state.lam])

    def _names(self) -> report.Names:
        rows, targets = self._splits.train.rows, self._splits.train.targets
        classes = self._dataset.classes
        labels = [classes[label] for label in targets] if classes else [f"{y:.6g}" for y in self._dataset.targets[rows]]
        return report.Names([str(self._dataset.row_ids[row]) for row in rows], labels, classes)

    @cached_property
    def _entries(self) -> dict[str, pa.Array]:
        """What each entry of λ is about, by column: its ``name``, and what else is known of it."""
        table = self._table(self._problem.initial_lambda())
        return {
            "name" if position == 0 else column: table[column]
            for position, column in enumerate(table.column_names)
            if column not in {"lambda", "weight", "strength"}
        }

    def _lambda_groups(self) -> list[snapshots.Group]:
        """The arrays of λ by name."""
        problem = self._problem
        sizes = [array.size for array in problem.initial_lambda()]
        if isinstance(problem, ReweightingProblem):
            names = [{"row": "rows", "class": "classes", "group": "groups"}[problem.per]]
        else:
            arrays = len(sizes) // len(problem.parts)
            kinds = {"feature": ["features", "later layers"], "parameter": [f"layer {i}" for i in range(arrays)]}
            known = kinds.get(problem.per, ["layers" if problem.per == "layer" else "model"])[:arrays]
            names = [
                f"{part} of {name}" if len(problem.parts) > 1 else name for part in problem.parts for name in known
            ]
        return [snapshots.Group(name, size) for name, size in zip(names, sizes, strict=True)]

    def _table(self, lam: Arrays) -> pa.Table:
        """A row for every entry of λ, in the order of its elements; what it is about stands in the first column."""
        if isinstance(self._problem, ReweightingProblem):
            return self._weights_table(lam, self._problem)
        return self._strengths_table(lam, self._problem)

    def _weights_table(self, lam: Arrays, problem: ReweightingProblem) -> pa.Table:
        weights = problem.row_weights(lam)
        names = self._names()
        if problem.per != "row":
            known = self._dataset.classes or () if problem.per == "class" else self._group_names()
            rows = np.bincount(problem.groups, minlength=len(lam[0]))
            return pa.table({problem.per: list(known), "rows": rows, "lambda": lam[0], "weight": _logistic(lam[0])})
        return pa.table({"row_id": names.row_ids, "label": names.labels, "lambda": lam[0], "weight": weights})

    def _group_names(self) -> list[str]:
        """The groups that have training rows, in the order of λ."""
        groups = self._dataset.groups
        present = [] if groups is None else np.unique(groups[self._splits.train.rows])
        return [self._dataset.group_names[group] for group in present]

    def _strengths_table(self, lam: Arrays, problem: RegularizationProblem) -> pa.Table:
        names = [name for group in problem.names(self._dataset.feature_names) for name in group]
        flat = np.concatenate([array.ravel() for array in lam])
        penalties = np.repeat(problem.parts, len(names))
        return pa.table(
            {"feature": names * len(problem.parts), "penalty": penalties, "lambda": flat, "strength": np.exp(flat)}
        )

    def _rows(self, w: Arrays, lam: Arrays) -> pa.Table:
        """Every row with its weight, if it has one, and what the handed-over model says about it."""
        parts = {name: getattr(self._splits, name) for name in ("train", "validation", "selection", "test")}
        opinions = {
            name: predict(self._problem.model, w, part.features, self._problem.dtype)
            for name, part in parts.items()
            if part is not None
        }
        weights = self._problem.row_weights(lam) if isinstance(self._problem, ReweightingProblem) else None
        return training_data.ranked(self._dataset, self._splits, opinions, weights)

    def _model(self, w: Arrays) -> bytes:
        """The handed-over model with all that predicting from raw columns takes: see ``hposvc.prediction``."""
        scaling = self._splits.scaling
        arrays = {f"{'weight' if i % 2 == 0 else 'bias'}.{i // 2}": np.ascontiguousarray(a) for i, a in enumerate(w)}
        arrays |= {"scaling.mean": scaling.mean, "scaling.scale": scaling.scale}
        description = {
            "model": self.spec.model.model_dump(),
            "image_shape": self._dataset.image_shape,
            "task": self._dataset.task,
            "features": self._dataset.feature_names,
            "encoding": None if self._dataset.encoding is None else self._dataset.encoding.as_dict(),
            "label": self._dataset.target_name,
            "id_column": self._dataset.id_name,
            "dtype": self.spec.solver.dtype,
            "classes": self._dataset.classes,
            "target": {"mean": scaling.target_mean, "scale": scaling.target_scale},
        }
        # One entry, because safetensors writes several in any order.
        return bytes(save(arrays, metadata={"description": json.dumps(description)}))


def config(spec: JobSpec) -> SolveConfig:
    """What the spec says about the solver, in the solver's own terms."""
    solver, lower, upper, stop = spec.solver, spec.solver.lower, spec.solver.upper, spec.stop
    start, gda = solver.dynamic_initialization, solver.gda
    return SolveConfig(
        estimator=_estimator(solver),
        oracle=solver.oracle,
        radius=None if solver.radius == "auto" else solver.radius,
        lower=Lower(lower.learning_rate, lower.momentum, lower.steps, lower.batch_size, _schedule(lower.schedule)),
        upper=Upper(upper.optimizer, upper.learning_rate, upper.bounds, upper.clip_norm, _schedule(upper.schedule)),
        stop=Stop(stop.iterations, stop.max_seconds, stop.patience, stop.min_delta, stop.hypergradient_tolerance),
        dynamic_initialization=None if start is None else start.learning_rate,
        aggregation=None if gda is None else Aggregation(gda.alpha_init, gda.alpha_decay),
        certify_every=solver.certify_every,
        certify_against=solver.certify_against,
        warm_start=spec.kind == "regularization_tuning",
        seed=solver.seed,
    )


def _estimator(solver: SolverSpec) -> OneStep | Unrolled | Implicit:
    if solver.estimator == "unrolled":
        return Unrolled(solver.truncate)
    if solver.estimator == "implicit":
        return Implicit() if solver.implicit is None else Implicit(solver.implicit.method, solver.implicit.terms)
    return OneStep()


def _schedule(schedule: ScheduleSpec) -> Schedule:
    return Schedule(schedule.kind, schedule.final)


def problem(
    spec: JobSpec, dataset: training_data.Dataset, splits: training_data.Splits, start: float
) -> ReweightingProblem | RegularizationProblem:
    """The bilevel problem of ``spec`` on ``splits``, with every λ at ``start``. It knows nothing of planted noise."""
    settings, decay = spec.hyperparameters, spec.solver.lower.weight_decay
    selection = splits.selection
    common: dict[str, Any] = {
        "train": (splits.train.features, splits.train.targets),
        "upper_rows": (splits.validation.features, splits.validation.targets),
        "selection": None if selection is None else (selection.features, selection.targets),
        "model": _model(spec.model, dataset.image_shape),
        "n_classes": None if dataset.classes is None else len(dataset.classes),
        "loss": _loss(spec.loss, dataset.classes, splits.train.targets),
        "shrinkage": SHRINKAGE[spec.kind] if settings.shrinkage == "auto" else settings.shrinkage,
        "dtype": spec.solver.dtype,
        "initial": start,
        "per": spec.per,
    }
    if spec.kind == "data_reweighting":
        # The prior that weights are of the order of one, on standardized features.
        automatic = 1 / len(splits.train)
        groups = dataset.groups if spec.per == "group" else None
        # Groups without training rows have no weight.
        present = None if groups is None else np.unique(groups[splits.train.rows], return_inverse=True)[1]
        return ReweightingProblem(**common, row_groups=present, weight_decay=automatic if decay == "auto" else decay)
    return RegularizationProblem(**common, penalty=settings.penalty, weight_decay=0.0 if decay == "auto" else decay)


def _model(spec: ModelSpec, image_shape: tuple[int, int, int] | None) -> Model:
    if spec.type == "linear":
        return Linear()
    if spec.type == "mlp":
        return MLP(tuple(spec.hidden), spec.activation, spec.dropout)
    if image_shape is None:
        raise ValueError("a CNN needs images")
    return CNN(image_shape, tuple(spec.channels), spec.kernel, tuple(spec.hidden), spec.activation, spec.dropout)


def _loss(spec: LossSpec | None, classes: Sequence[str] | None, labels: NDArray[Any]) -> Loss | None:
    """The loss that ``spec`` names, with class weights that are 1 on average over the training rows' ``labels``."""
    if spec is None:
        return None
    if spec.type == "huber":
        return Huber(spec.delta)
    if spec.type == "squared_error":
        return SquaredError()
    if spec.class_weights is None or classes is None:
        return CrossEntropy()
    counts = np.bincount(labels, minlength=len(classes))
    if spec.class_weights == "balanced":
        weights = 1 / np.maximum(counts, 1)
    else:
        weights = np.array([spec.class_weights.get(name, 1.0) for name in classes])
    return CrossEntropy(tuple((weights * len(labels) / (weights @ counts)).tolist()))


def _start(spec: JobSpec, unstarted: ReweightingProblem | RegularizationProblem) -> Progress:
    """Where λ starts, unless the spec says: equal weights of 1/2, or a good single strength."""
    given = None if spec.hyperparameters.initial == "auto" else spec.hyperparameters.initial
    if isinstance(unstarted, ReweightingProblem):
        return Progress(given or 0.0)
    singles = report.single_strengths(unstarted)
    return Progress(singles.mean if given is None else given, singles.best)


def _lightest(table: pa.Table) -> list[dict[str, Any]]:
    """The classes or groups of the smallest weights."""
    ranked = table.rename_columns(["name", "rows", "lam", "weight"]).sort_by("weight")
    rows: list[dict[str, Any]] = ranked.slice(0, report.LISTED).to_pylist()
    return rows


def _strongest(table: pa.Table, penalties: Sequence[str]) -> list[dict[str, Any]]:
    """The strongest of each penalty, since strengths of different penalties do not compare."""
    found = []
    for penalty in penalties:
        rows = [row for row in table.to_pylist() if row["penalty"] == penalty]
        rows.sort(key=lambda row: -row["lambda"])
        found += [
            {"name": row["feature"], "penalty": penalty, "lam": row["lambda"], "strength": row["strength"]}
            for row in rows[: report.LISTED // len(penalties)]
        ]
    return found


def _unpack(checkpoint: bytes) -> tuple[bytes, dict[str, Any]]:
    try:
        header = json.loads(checkpoint[8 : 8 + int.from_bytes(checkpoint[:8], "little")])
        return load(checkpoint)["state"].tobytes(), json.loads(header["__metadata__"]["progress"])
    except Exception as error:
        raise ValueError(f"not a checkpoint of a run: {error}") from error


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _logistic(lam: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    weights: np.ndarray[Any, np.dtype[np.float64]] = 0.5 * (1 + np.tanh(lam / 2))
    return weights
