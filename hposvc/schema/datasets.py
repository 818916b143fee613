"""Data sets as the service returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from hposvc.schema.resource import Resource


class ColumnResource(Resource):
    """One column of a data set."""

    name: str
    """The name of the column."""
    dtype: str
    """What it holds: integer, number, boolean, date, text, empty, or what an array holds."""
    role: Literal["feature", "label", "id", "group", "ignored"]
    """The part it plays unless a job says otherwise. `feature`: learned from. `label`: predicted. `id`: names the rows.
    `group`: names the group of a row. `ignored`: not used.
    """
    treatment: str
    """What is done to it before a model sees it, or why it is left out."""
    missing: int
    """Rows without a value."""
    distinct: int | None
    """How many different values it has. null: it holds arrays, or values that cannot be read."""


class ReviewCounts(Resource):
    """How many rows of the parent people decided about, by what they decided."""

    right: int
    """Rows whose label was confirmed."""
    relabel: int
    """Rows that got another label."""
    drop: int
    """Rows that were left out."""
    unsure: int
    """Rows that somebody looked at and could not tell."""


class DatasetLinks(Resource):
    """Where the data set and its first rows are found."""

    self: str
    """Path of the data set."""
    rows: str | None
    """Path of its first rows. null: they cannot be shown."""
    file: str | None = None
    """Path of all of it, as CSV or Parquet. null: it is bundled."""


class DatasetResource(Resource):
    """A data set that a job can name by its id."""

    id: str
    """What a job names it by in `dataset.id`: `ds_` and 20 hexadecimal digits, or a name such as `sklearn:digits`."""
    name: str
    """A name for people; of an upload, the name of its file."""
    source: Literal["upload", "bundled"]
    """`upload`: somebody of the tenant uploaded it, or made it by a review. `bundled`: it comes with the service."""
    parent: str | None = None
    """The data set whose review made this one. null: it was uploaded, or is bundled."""
    version: int = 1
    """1, and one more than the parent for what a review made."""
    reviewed: ReviewCounts | None = None
    """What was decided about the rows of the parent. null: there is no parent."""
    review_column: str | None = None
    """The column that says of each row what reviews did to its label: `confirmed`, `relabelled`, `unsure`, or nothing.
    null: no review made the data set.
    """
    task: Literal["classification", "regression"] | None
    """Whether `target` holds classes or numbers. null: there is no target yet."""
    rows: int
    """How many rows it has."""
    features: int
    """How many columns are learned from; an array counts as many as it has numbers."""
    columns: list[ColumnResource] | None
    """Its columns, in the order of the file. null: in lists, if there are more than 200."""
    target: str | None
    """The column that jobs predict unless they name another in `dataset.label`. null: a job must name one."""
    classes: list[str] | None
    """The names of the classes of `target`, in order. null: it holds numbers, or there is no target."""
    id_column: str | None
    """The column that names the rows. null: rows are numbered from 0."""
    image_shape: tuple[int, int, int] | None
    """Height, width and channels in pixels, where rows are images. null: they are not."""
    size: int | None
    """Bytes, as stored. null: it is bundled."""
    created_at: datetime | None
    """When it was uploaded. null: it is bundled."""
    content_sha256: str | None
    """SHA-256 of the uploaded file, in hexadecimal. null: it is bundled, or was made by a review."""
    cautions: list[str] = Field([])
    """What to know of the file before it is used, a sentence each; jobs and results repeat it."""
    links: DatasetLinks
    """Where it and its first rows are found."""


class DatasetPage(Resource):
    """Data sets: those of the tenant, newest first, then the bundled ones."""

    items: list[DatasetResource]
    """The data sets of this page."""
    next_page: str | None = None
    """What to send as `page` to get the next page. null: this is the last one."""


class RowsPreview(Resource):
    """The first rows of a data set."""

    columns: list[str]
    """The names of the columns."""
    rows: list[list[Any]]
    """One list of values per row, in the order of `columns`; null where a value is missing. Fewer rows than asked for,
    if they have more than 2 MiB together.
    """
    total: int
    """How many rows the data set has."""
