"""The iterations of a job, by column."""

from __future__ import annotations

from hposvc.schema.numbers import Number
from hposvc.schema.resource import Resource


class Bucket(Resource):
    """One metric in buckets of consecutive iterations."""

    first: list[Number | None]
    """The value at the first iteration of each bucket; null where it was not measured."""
    min: list[float | None]
    """The lowest finite value in each bucket; null where there is none."""
    max: list[float | None]
    """The highest finite value in each bucket; null where there is none."""
    nonfinite: list[int]
    """How many values in each bucket are NaN or infinite."""


class Buckets(Resource):
    """What happened in buckets of consecutive iterations, as lists of equal length."""

    first_iteration: list[int]
    """The first iteration of each bucket."""
    count: list[int]
    """How many iterations each bucket holds."""
    upper_loss: Bucket
    """The upper loss in each bucket."""
    hypergradient_norm: Bucket
    """The norm of the hypergradient in each bucket."""
    lower_loss: Bucket
    """The lower loss in each bucket."""
    selection_loss: Bucket
    """The selection loss in each bucket."""
    fd_relative_error: Bucket
    """The measured error of the hypergradients in each bucket."""


class IterationColumns(Resource):
    """Iterations of a job as columns of equal length, ascending."""

    iteration: list[int]
    """Numbers of the iterations, counted from 1."""
    upper_loss: list[Number]
    """Mean loss of the validation rows that tune λ, plus the shrinkage, where the hypergradient was taken."""
    hypergradient_norm: list[Number]
    """Norm of the hypergradient, before it is clipped."""
    lower_loss: list[Number | None]
    """Weighted mean loss of the training rows (with batches, of the last batch), plus the penalty, before the last
    lower step.
    """
    upper_score: list[Number | None]
    """Accuracy, or R² for numbers, on the validation rows that tune λ. 1 is best."""
    selection_loss: list[Number | None]
    """Mean loss of the selection rows, which chooses the best iteration. null: there are no selection rows."""
    fd_relative_error: list[Number | None]
    """Relative error of the whole hypergradient, rounding included, as `solver.certify_against` measures it. null: it
    was not measured in this iteration (`solver.certify_every`).
    """
    seconds: list[Number | None]
    """Seconds of the solver from its start to the end of the iteration, without loading and pauses."""
    total: int
    """How many iterations the job has recorded in all."""
    next_after: int
    """What to send as `after` to get only newer iterations."""
    downsampled: bool = False
    """Whether the columns hold only the last iteration of each of `buckets`."""
    buckets: Buckets | None = None
    """What the iterations between the points did. null: every iteration is a point."""
