"""Rows of the data set of a job, to look at."""

from __future__ import annotations

from hposvc.schema.resource import Resource

MOST_ROWS = 100


class Image(Resource):
    """The shape of rows that are images, and the range of all pixels of the data set."""

    height: int
    """Pixels from top to bottom."""
    width: int
    """Pixels from left to right."""
    channels: int
    """Numbers per pixel: 1 for grey, 3 for colours."""
    low: float
    """The lowest value of a pixel in the data set."""
    high: float
    """The highest value of a pixel in the data set."""


class Row(Resource):
    """One row of a data set."""

    id: str
    """The id of the row."""
    label: str
    """The label of the row in the data set, planted noise not included."""
    values: list[float]
    """Its features, as they came, in the order of `features`. Pixels go row by row, channels last."""


class JobRows(Resource):
    """Rows of the data set of a job."""

    features: list[str]
    """The names of the features."""
    image: Image | None
    """The shape of the images. null: the rows are not images."""
    items: list[Row]
    """The rows, in the order asked for. Ids that no row has are left out."""


NO_ROWS = JobRows(features=[], image=None, items=[])
