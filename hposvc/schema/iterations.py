"""The iterations of a job, by column."""

from __future__ import annotations

from hposvc.schema.numbers import Number
from hposvc.schema.resource import Resource


class Bucket(Resource):
    """One metric over many buckets of iterations. ``min`` and ``max`` are over finite values, ``nonfinite`` counts the
    others.
    """

    first: list[Number | None]
    min: list[float | None]
    max: list[float | None]
    nonfinite: list[int]


class Buckets(Resource):
    """What lies in each bucket: its ``first_iteration``, the ``count`` of them, and what the metrics did there."""

    first_iteration: list[int]
    count: list[int]
    upper_loss: Bucket
    hypergradient_norm: Bucket
    lower_loss: Bucket
    selection_loss: Bucket
    fd_relative_error: Bucket


class IterationColumns(Resource):
    """Iterations of a job by column, ascending. ``next_after`` is what to pass as ``after`` to get only newer ones.

    ``downsampled`` columns hold the last iteration of each of the ``buckets``.
    """

    iteration: list[int]
    upper_loss: list[Number]
    hypergradient_norm: list[Number]
    lower_loss: list[Number | None]
    upper_score: list[Number | None]
    selection_loss: list[Number | None]
    fd_relative_error: list[Number | None]
    seconds: list[Number | None]
    total: int
    next_after: int
    downsampled: bool = False
    buckets: Buckets | None = None
