"""What the service answers about data sets."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from hposvc.schema.resource import Resource


class ColumnResource(Resource):
    """One column: what it holds, the part it plays unless a job says otherwise, and what is done to it."""

    name: str
    dtype: str = Field(description="integer, number, boolean, date, text, empty, or what an array holds.")
    role: Literal["feature", "label", "id", "group", "ignored"]
    treatment: str = Field(description="What is done to it before a model sees it, or why it is left out.")
    missing: int = Field(description="Rows without a value.")
    distinct: int | None = Field(description="Different values; null for arrays.")


class DatasetLinks(Resource):
    """Where the data set and its first rows are found; null where there are none."""

    self: str
    rows: str | None


class DatasetResource(Resource):
    """A data set that a job can name by its id.

    ``features`` counts columns that are learned from (of arrays, their numbers). ``target`` is null until somebody says
    which column is to be predicted: a job then has to. ``size`` is in bytes, as stored. ``columns`` is null in lists
    for sets of more than 200 columns.
    """

    id: str
    name: str
    source: Literal["upload", "bundled"]
    task: Literal["classification", "regression"] | None
    rows: int
    features: int
    columns: list[ColumnResource] | None
    target: str | None
    classes: list[str] | None
    id_column: str | None
    image_shape: tuple[int, int, int] | None
    size: int | None
    created_at: datetime | None
    content_sha256: str | None
    links: DatasetLinks


class DatasetPage(Resource):
    """Data sets: a person's own, newest first, then the bundled ones; ``next_page`` is null on the last page."""

    items: list[DatasetResource]
    next_page: str | None = None


class RowsPreview(Resource):
    """The first rows of a data set: a list of values per row, in the order of ``columns``."""

    columns: list[str]
    rows: list[list[Any]]
    total: int
