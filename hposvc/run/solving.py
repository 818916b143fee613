"""What every run shares, whatever brings its problem: iterations, λ, and checkpoints from which it goes on."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.numpy import load, save

from hposvc import snapshots
from hposvc.bilevel import BilevelProblem, Iteration, SolveConfig, SolverState, initial_state, solve
from hposvc.bilevel.state import SeriesDiverges
from hposvc.files.tensors import metadata
from hposvc.run.artifacts import parquet
from hposvc.run.record import RunRecord
from hposvc.schema.spec import JobSpec
from hposvc.tables.defects import DataError, Defect


class Solving:
    """A job that is being solved: its problem, the state of the solver, and what its result needs of the way."""

    spec: JobSpec
    problem_version: str | None = None
    """The version of the package that brings the problem; None where the service does."""
    notes: list[str]
    """What the owner of the job should know about how it goes on from its checkpoint."""
    _problem: BilevelProblem
    _config: SolveConfig
    _state: SolverState
    _record: RunRecord

    @property
    def iteration(self) -> int:
        """How many iterations are done."""
        return self._state.iteration

    def iterations(self, ends: Collection[int] = ()) -> Iterator[list[Iteration]]:
        """Solve, in batches, of which one ends at each of the iterations ``ends``.

        To pause, stop asking: :meth:`checkpoint` then holds everything up to here.

        Raises:
            Diverged: a value became infinite or NaN; everything up to there was yielded.
        """
        for batch in solve(self._problem, self._config, self._state, ends):
            for iteration in batch:
                self._record.note(iteration)
            yield batch

    def end(self) -> None:
        """Make the last iteration of the last batch the last one of all, because somebody asked for the result.

        A checkpoint keeps it.
        """
        self._state.stopped_by = self._state.stopped_by or "request"

    def saved(self, entries: Mapping[str, Any]) -> bytes:
        """Everything that continuing needs, as bytes without code in them; and λ with the columns ``entries``, which
        name it for whoever looks on.
        """
        named = parquet(pa.table({**entries, "lambda": flat(self._state.lam)}))
        parts = {"state": self._state.to_bytes(), snapshots.IN_CHECKPOINT: named}
        progress = self._record.as_dict() | {"version": self.problem_version}
        arrays = {name: np.frombuffer(content, dtype=np.uint8) for name, content in parts.items()}
        return bytes(save(arrays, metadata={"progress": json.dumps(progress)}))


def unpacked(checkpoint: bytes) -> tuple[bytes, dict[str, Any]]:
    """The state of the solver, and what was saved beside it. Raises ValueError."""
    try:
        return load(checkpoint)["state"].tobytes(), json.loads(metadata(checkpoint)["progress"])
    except Exception as error:
        raise ValueError(f"not a checkpoint of a run: {error}") from error


def record_of(saved: Mapping[str, Any]) -> RunRecord:
    """The record in what was saved. Raises ValueError."""
    try:
        return RunRecord.from_dict({name: value for name, value in saved.items() if name != "version"})
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a checkpoint of this release: {error}") from error


def started(problem: BilevelProblem, config: SolveConfig) -> SolverState:
    """The state before the first iteration. Raises DataError."""
    try:
        return initial_state(problem, config)
    except SeriesDiverges as error:
        raise DataError([Defect("solver.lower.learning_rate", error.message, error.remedy)]) from error


def flat(lam: list[Any]) -> NDArray[np.float64]:
    """All of λ (n,), array after array."""
    return np.concatenate([array.numpy().astype(np.float64).ravel() for array in lam])
