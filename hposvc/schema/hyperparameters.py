"""The hyperparameters λ of a job, now and over time."""

from __future__ import annotations

from typing import Literal

from hposvc.schema.numbers import Number
from hposvc.schema.resource import Resource


class Histogram(Resource):
    """How many values lie in each bin."""

    edges: list[Number]
    """The edges of the bins, ascending: one more than `counts`. Weights are counted from 0 to 1, strengths in bins of
    equal width in λ.
    """
    counts: list[int]
    """How many entries lie in each bin. Entries that are not finite are left out."""


class Quantiles(Resource):
    """Quantiles of λ, as lists of equal length."""

    probabilities: list[float]
    """The probabilities of the quantiles, from 0 (the lowest value) to 1 (the highest)."""
    lam: list[Number]
    """λ at each probability."""
    value: list[Number]
    """The weight or the strength at each probability; for an own problem λ itself."""


class HyperparameterGroup(Resource):
    """Entries of λ that belong together, like all rows, or the features under one penalty."""

    name: str
    """What the entries are about: `rows`, `classes`, `features`, `layer 0` and the like."""
    size: int
    """How many entries the group has."""
    quantiles: Quantiles
    """How the entries are spread, by probability."""
    histogram: Histogram
    """How the entries are spread, by value."""


class Hyperparameter(Resource):
    """One entry of λ: the weight of a row, class or group of rows, or a strength."""

    name: str
    """What it belongs to: the id of a row, the name of a class or group, or what a penalty holds back, such as a
    feature.
    """
    lam: Number
    """λ, the number that is tuned."""
    value: Number
    """What λ means: the weight σ(λ), between 0 and 1, the strength e^λ, or for an own problem λ itself."""
    label: str | None = None
    """The label of the row. Only with weights of single rows."""
    rows: int | None = None
    """How many training rows share it. Only with weights of classes and groups."""
    penalty: str | None = None
    """`l2` or `l1`: the penalty that the strength belongs to. Only with strengths."""


class Hyperparameters(Resource):
    """λ of a job: of its result once there is one, before that at its newest snapshot or checkpoint."""

    iteration: int | None
    """The iteration that this λ is of. null: before the first snapshot."""
    final: bool
    """Whether this is the λ of the result. If not, the job goes on and λ changes."""
    scale: Literal["logistic", "log", "linear"]
    """`logistic`: values are weights σ(λ). `log`: values are strengths e^λ. `linear`: values are λ itself."""
    size: int
    """How many entries λ has in all. 0: before the first snapshot."""
    groups: list[HyperparameterGroup]
    """λ in short, one summary for each group of entries."""
    items: list[Hyperparameter]
    """The entries of this page, in the order asked for."""
    complete: bool
    """Whether the pages lead through every entry. false: only the lowest or highest 50 are at hand; `whole=true` reads
    all from the newest checkpoint.
    """
    next_page: str | None
    """What to send as `page` to get the next page, of the same iteration. null: this is the last one."""


class HistoryGroup(Resource):
    """The quantiles of one group of λ over time."""

    name: str
    """What the entries are about."""
    size: int
    """How many entries the group has."""
    lam: list[list[Number]]
    """λ: for each of `probabilities`, a list with a number for each of `iteration`."""
    value: list[list[Number]]
    """The weight or the strength, in lists like those of `lam`."""


class HyperparameterHistory(Resource):
    """λ over time: less than 700 snapshots, however many iterations there are."""

    iteration: list[int]
    """The iterations of the snapshots, ascending."""
    scale: Literal["logistic", "log", "linear"]
    """`logistic`: values are weights σ(λ). `log`: values are strengths e^λ. `linear`: values are λ itself."""
    probabilities: list[float]
    """The probabilities of the quantiles, from 0 (the lowest value) to 1 (the highest)."""
    groups: list[HistoryGroup]
    """Quantiles over time, one item for each group of entries."""
    names: list[str] | None
    """The names of the entries in `values`. null: there are more than 32."""
    values: list[list[Number]] | None
    """For each of `names`, a list of weights or strengths with a number for each of `iteration`. null: there are more
    than 32 entries.
    """
    next_after: int
    """What to send as `after` to get only newer snapshots."""
