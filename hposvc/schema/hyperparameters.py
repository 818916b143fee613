"""The hyperparameters λ of a job, now and over time."""

from __future__ import annotations

from typing import Literal

from hposvc.schema.numbers import Number
from hposvc.schema.resource import Resource


class Histogram(Resource):
    """How many values lie between neighbouring ``edges``; there is one edge more than counts."""

    edges: list[Number]
    counts: list[int]


class Quantiles(Resource):
    """λ at ``probabilities``, and the weight or strength ``value`` that each means."""

    probabilities: list[float]
    lam: list[Number]
    value: list[Number]


class HyperparameterGroup(Resource):
    """Entries of λ that belong together, like all rows, or the features under one penalty."""

    name: str
    size: int
    quantiles: Quantiles
    histogram: Histogram


class Hyperparameter(Resource):
    """One entry of λ: the weight of a row, class or group of rows, or a strength; ``value`` is what ``lam`` means.

    ``name`` is the id of a row, the name of a class or group, or what is held back. ``label`` is that of a row,
    ``rows`` how many there are of a class or group, ``penalty`` the one that a strength belongs to.
    """

    name: str
    lam: Number
    value: Number
    label: str | None = None
    rows: int | None = None
    penalty: str | None = None


class Hyperparameters(Resource):
    """λ of a job: of its answer once there is one (``final``), before that at its newest snapshot or checkpoint.

    ``value`` is a weight σ(λ) where ``scale`` is logistic, and a strength e^λ where it is log. ``iteration`` is null
    and everything empty before the first snapshot. ``next_page`` leads on, at the same iteration; null on the last
    page. Where ``complete`` is false the pages end with the extremes: the snapshot has no more of so many values, and
    ``whole=true`` asks for all of them, at the newest checkpoint.
    """

    iteration: int | None
    final: bool
    scale: Literal["logistic", "log"]
    size: int
    groups: list[HyperparameterGroup]
    items: list[Hyperparameter]
    complete: bool
    next_page: str | None


class HistoryGroup(Resource):
    """The quantiles of one group of λ: a list over the iterations for each probability."""

    name: str
    size: int
    lam: list[list[Number]]
    value: list[list[Number]]


class HyperparameterHistory(Resource):
    """λ over time, by column. ``values`` holds every entry on its own where there are at most 32, named by ``names``.

    ``next_after`` is what to pass as ``after`` to get only newer snapshots.
    """

    iteration: list[int]
    scale: Literal["logistic", "log"]
    probabilities: list[float]
    groups: list[HistoryGroup]
    names: list[str] | None
    values: list[list[Number]] | None
    next_after: int
