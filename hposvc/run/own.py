"""A job whose problem is installed, from its spec to its result: the counterpart of :class:`hposvc.run.run.Run`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ValidationError
from safetensors.numpy import save

from hposvc import snapshots
from hposvc.bilevel import (
    BilevelProblem,
    Diverged,
    Implicit,
    Iteration,
    ModuleProblem,
    SolverState,
    runtime,
)
from hposvc.bilevel.radius import configured_oracle
from hposvc.copyable import Copyable
from hposvc.problems import Plugin, Result, Solved
from hposvc.problems.loading import NotInstalled, find, load
from hposvc.run.artifacts import parquet
from hposvc.run.outcome import Outcome
from hposvc.run.record import RunRecord
from hposvc.run.solving import Solving, flat, record_of, started, unpacked
from hposvc.run.translation import config
from hposvc.schema.figures import number
from hposvc.schema.result import Ends, JobResult, LossEnds, OwnNumber, OwnTable
from hposvc.schema.spec import JobSpec
from hposvc.tables.defects import DataError, Defect

MOST_ROWS = 200  # of a table in a result


class OwnProblemFailed(Copyable, Exception):
    """The code of an own problem raised an error, which is the cause of this one."""

    def __init__(self, name: str, error: BaseException) -> None:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", []))
        first = str(error).strip().partition("\n")[0][:300]
        super().__init__(f"{name} raised {type(error).__name__}: {first}{notes}{_place(error)}")


class OtherVersion(Copyable, Exception):
    """The checkpoint was made by another version of the problem."""

    def __init__(self, name: str, began: str, here: str) -> None:
        super().__init__(f"the job began with {name} {began}, and this worker has {here}")


class OwnRun(Solving):
    """A job of kind ``custom`` that is being solved. ``checkpoint`` continues an earlier run of the same spec.

    Raises:
        NotInstalled: this machine does not have the problem.
        DataError: the parameters, or the settings of the solver, do not fit the problem.
        OtherVersion: ``checkpoint`` is of another version of the problem.
        OwnProblemFailed: its code raised an error.
        ValueError: ``checkpoint`` was not made by :meth:`checkpoint`.
    """

    def __init__(self, spec: JobSpec, checkpoint: bytes | None = None) -> None:
        if spec.problem is None:
            raise NotInstalled("?")
        runtime.start(None, spec.solver.seed)
        self.spec, self._name = spec, spec.problem
        self.problem_version = version = find(self._name).version
        saved = None if checkpoint is None else unpacked(checkpoint)
        if saved is not None and saved[1].get("version") != version:
            raise OtherVersion(self._name, str(saved[1].get("version")), version)
        with self._its_own_code():
            self._plugin: Plugin[Any] = load(self._name)
        self._parameters = _parameters(self._plugin, spec)
        with self._its_own_code():
            self._problem: BilevelProblem = self._plugin.problem(
                self._parameters, seed=spec.solver.seed, dtype=spec.solver.dtype
            )
        self._config = config(spec)
        self.notes: list[str] = []
        _fits(self._problem, spec, self._config.estimator)
        if saved is None:
            self._record = RunRecord(0.0)
            with self._its_own_code():
                self._state = started(self._problem, self._config)
        else:
            self._state, self._record = SolverState.from_bytes(saved[0]), record_of(saved[1])
            self.notes = self._record.moved_here()

    def iterations(self, ends: Collection[int] = ()) -> Iterator[list[Iteration]]:
        """Solve, in batches, of which one ends at each of ``ends``. Raises Diverged, OwnProblemFailed."""
        batches = super().iterations(ends)
        while True:
            with self._its_own_code():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def checkpoint(self) -> bytes:
        """Everything that continuing needs, as bytes without code in them; and λ by name, for whoever looks on."""
        return self.saved({"name": self._names()})

    def snapshot(self) -> snapshots.Snapshot:
        """λ as it is now, in short."""
        names = self._names()
        lam = flat(self._state.lam)
        return snapshots.take(
            self._state.iteration, lam, self._groups(), "linear", lambda index: {"name": names[index]}
        )

    def finish(self) -> Outcome:
        """The result of the problem and its files. Needs at least one iteration."""
        record, state = self._record, self._state
        if record.first is None or record.last is None:
            raise RuntimeError("There is nothing to report before the first iteration.")
        with self._its_own_code():
            if isinstance(self._problem, ModuleProblem):
                self._problem.store(replace(state, lam=state.best_lam))
            own = self._plugin.result(Solved(self._parameters, self._problem, state))
            files = {f"own-{name.replace('/', '-')}": bytes(content) for name, content in own.files.items()}
        first, last = record.first["upper_loss"], record.last["upper_loss"]
        result = JobResult(
            stopped_by=state.stopped_by,
            iterations=state.iteration,
            oracle=configured_oracle(self._config, state.fitted).oracle,
            best_iteration=state.best_iteration,
            seconds=state.seconds,
            upper_loss=LossEnds(first=first, last=last, best=record.best_upper_loss),
            hypergradient_norm=Ends(first=record.first["hypergradient_norm"], last=record.last["hypergradient_norm"]),
            selection_loss=None
            if record.first["selection_loss"] is None
            else LossEnds(
                first=record.first["selection_loss"], last=record.last["selection_loss"], best=state.best_value
            ),
            sentence=own.sentence
            or f"The upper loss went from {number(first)} to {number(last)} in {state.iteration} iterations.",
            problem=self._name,
            numbers=[OwnNumber(name=name, value=float(value)) for name, value in own.numbers.items()],
            tables=_tables(own),
        ).model_dump(mode="python")
        lam = pa.table({"name": self._names(), "lambda": flat(state.best_lam)})
        w = {name: array.numpy() for name, array in zip(self._parameter_names(), state.w, strict=True)}
        return Outcome(
            result,
            {
                "report.json": json.dumps(result, indent=2, ensure_ascii=False).encode(),
                "hyperparameters.parquet": parquet(lam),
                "parameters.safetensors": bytes(save(w)),
                **files,
            },
        )

    def _groups(self) -> list[snapshots.Group]:
        names = self._lambda_names()
        return [snapshots.Group(name, array.numel()) for name, array in zip(names, self._state.lam, strict=True)]

    def _names(self) -> list[str]:
        """A name for each entry of λ: that of its array, and its place in it."""
        return [
            f"{name}[{', '.join(map(str, place))}]" if array.numel() > 1 else name
            for name, array in zip(self._lambda_names(), self._state.lam, strict=True)
            for place in np.ndindex(*array.shape)
        ]

    def _lambda_names(self) -> list[str]:
        problem, count = self._problem, len(self._state.lam)
        return problem.lambda_names if isinstance(problem, ModuleProblem) else [f"λ{i}" for i in range(count)]

    def _parameter_names(self) -> list[str]:
        problem, count = self._problem, len(self._state.w)
        return problem.parameter_names if isinstance(problem, ModuleProblem) else [f"w{i}" for i in range(count)]

    @contextlib.contextmanager
    def _its_own_code(self) -> Iterator[None]:
        """What is raised in here is the fault of the problem, unless the solver knows better."""
        try:
            yield
        except (Diverged, DataError, NotInstalled, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise OwnProblemFailed(self._name, error) from error


def _parameters(plugin: Plugin[Any], spec: JobSpec) -> BaseModel:
    try:
        return plugin.parameters.model_validate(spec.parameters)
    except ValidationError as error:
        raise DataError(
            Defect(".".join(["parameters", *map(str, found["loc"])]), found["msg"], "see GET /v1/problems")
            for found in error.errors()
        ) from error


def _fits(problem: BilevelProblem, spec: JobSpec, estimator: Any) -> None:
    """Raise DataError where the settings of the solver do not suit ``problem``."""
    if problem.dtype != spec.solver.dtype:
        message = f"this problem computes in {problem.dtype}"
        raise DataError([Defect("solver.dtype", message, f"use {problem.dtype}")])
    if not isinstance(estimator, Implicit):
        return
    if problem.stochastic:
        message = "implicit differentiates the solution of one objective, and this problem draws another for each step"
        raise DataError([Defect("solver.estimator", message, "use one_step or unrolled")])
    if estimator.method == "cg" and not problem.convex:
        message = "cg needs a convex lower level, which this problem does not say that it has"
        raise DataError([Defect("solver.implicit.method", message, "use neumann")])


def _tables(own: Result) -> list[OwnTable]:
    return [
        OwnTable(
            title=table.title,
            columns=[str(column) for column in table.columns],
            rows=[list(map(_cell, row)) for row in list(table.rows)[:MOST_ROWS]],
        )
        for table in own.tables
    ]


def _cell(value: Any) -> str | float | None:
    """A cell as JSON has it: numbers of NumPy among them."""
    if value is None or isinstance(value, (str, bool)):
        return None if value is None else str(value)
    return float(value)


def _place(error: BaseException) -> str:
    """Where the last line of code stands that is not of this service."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "/hposvc/" not in file and "/jittor/" not in file:
            place = f", at {file.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
