"""Rows of the data set of a job, to look at."""

from __future__ import annotations

from hposvc.schema.resource import Resource

MOST_ROWS = 100


class Image(Resource):
    """The shape of rows that are images, and the range of all pixels of the dataset."""

    height: int
    width: int
    channels: int
    low: float
    high: float


class Row(Resource):
    """One row: its id, the label that the dataset gives it, and its features; pixels go row by row, channels last."""

    id: str
    label: str
    values: list[float]


class JobRows(Resource):
    """Rows of a dataset; ``image`` is null unless they are images."""

    features: list[str]
    image: Image | None
    items: list[Row]


NO_ROWS = JobRows(features=[], image=None, items=[])
